"""HIPS autograd: a function is traced, and its vector-Jacobian product taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

from bench.python.peers.base import Build, Functions, Parameter, Peer, Session

__all__ = ["Autograd"]


class Autograd(Peer):
    """Its own NumPy's scalars; the parameters come in one array, as its users keep them."""

    name = "autograd"
    package = "autograd"
    imported = "autograd.numpy"
    largest = 300_000
    spellings: ClassVar = {
        "a.tanh()": "np.tanh(a)",
        "a.relu()": "np.maximum(a, 0.0)",
        "a.data": "a._value",
        "Value(x)": None,
    }

    def __init__(self) -> None:
        autograd, np = import_module("autograd"), import_module("autograd.numpy")
        self.np = np
        # Its erf is that of SciPy, which it does not require.
        scipy = find_spec("scipy") is not None
        self.functions = Functions(
            largest=lambda boxes: max(v._value for v in boxes),
            relu=lambda v: np.maximum(v, 0.0),
            tanh=np.tanh,
            exp=np.exp,
            log=np.log,
            erf=import_module("autograd.scipy.special").erf if scipy else None,
            grad=autograd.grad,
        )
        self.make_vjp, self.value_and_grad = autograd.make_vjp, autograd.value_and_grad

    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        return _Traced(self, build, start, variant)

    def gradient(self, f: Callable[..., Any], x: Sequence[float]) -> tuple[float, list[float]]:
        value, gradient = self.value_and_grad(f, argnum=tuple(range(len(x))))(*x)
        return float(value), [float(g) for g in gradient]

    def names(self) -> dict[str, Any]:
        return {"np": self.np}


class _Traced(Session):
    def __init__(self, peer: Autograd, build: Build, start: Sequence[float], variant: str) -> None:
        self.parameters = [Parameter(x) for x in start]
        self.array = peer.np.array

        def program(x: Any) -> Any:
            return build([x[i] for i in range(len(start))], peer.functions, variant)()

        self.record = peer.make_vjp(program)

    def forward(self) -> Any:
        return self.record(self.array([p.data for p in self.parameters]))

    def backward(self, recorded: Any) -> None:
        for p, g in zip(self.parameters, recorded[0](1.0).tolist(), strict=True):
            p.grad = g

    def value(self, recorded: Any) -> float:
        return float(recorded[1])
