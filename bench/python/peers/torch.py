"""PyTorch: each number a tensor without dimensions, in double precision, on one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, ClassVar

from bench.python.peers.base import Build, Functions, NodeSession, Peer, Session
from bench.python.updates import RATES, Update

__all__ = ["Torch"]


class Torch(Peer):
    """Eager tensors and torch.optim."""

    name = "torch"
    package = "torch"
    largest = 300_000
    spellings: ClassVar = {
        "a.data": "a.item()",
        "Value(x)": "tensor(x, dtype=float64, requires_grad=True)",
    }

    def __init__(self) -> None:
        torch: Any = import_module("torch")
        torch.set_num_threads(1)
        self.torch = torch
        self.functions = Functions(
            largest=lambda tensors: max(t.item() for t in tensors),
            relu=torch.relu,
            tanh=torch.tanh,
            exp=torch.exp,
            log=torch.log,
            erf=torch.erf,
            grad=torch.func.grad,
        )

    def _leaves(self, start: Sequence[float]) -> list[Any]:
        tensor, float64 = self.torch.tensor, self.torch.float64
        return [tensor(x, dtype=float64, requires_grad=True) for x in start]

    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        leaves = self._leaves(start)
        return _Tensors(leaves, build(leaves, self.functions, variant))

    def gradient(self, f: Callable[..., Any], x: Sequence[float]) -> tuple[float, list[float]]:
        leaves = self._leaves(x)
        y = f(*leaves)
        y.backward()
        return y.item(), [leaf.grad.item() for leaf in leaves]

    def names(self) -> dict[str, Any]:
        return {"tensor": self.torch.tensor, "float64": self.torch.float64}

    def update(self, rule: str, session: Session, variant: str) -> Update:
        optim, p, rate = self.torch.optim, session.parameters, RATES[rule]
        optimizer: Any
        if rule == "sgd":
            optimizer = optim.SGD(p, lr=rate)
        elif rule == "adam":
            optimizer = optim.Adam(p, lr=rate, betas=(0.85, 0.99), eps=1e-8)
        else:
            optimizer = optim.Adagrad(p, lr=rate, eps=1e-10)
        return Update(optimizer.zero_grad, optimizer.step)


class _Tensors(NodeSession):
    def gradients(self) -> list[float]:
        # None where the program does not use a parameter.
        return [0.0 if p.grad is None else p.grad.item() for p in self.parameters]
