"""JAX in double precision on the processor: operation by operation, and compiled by XLA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, ClassVar

from bench.python.peers.base import Build, Functions, Parameter, Peer, Replay, Session

__all__ = ["JaxEager", "JaxJit"]


class JaxEager(Peer):
    """`jax.vjp` and `jax.value_and_grad` without compilation: a dispatch for each operation."""

    name = "jax, eager"
    package = "jax"
    imported = "jax.numpy"
    # A third of a millisecond an operation.
    largest = 2_000
    spellings: ClassVar = {
        "a.tanh()": "jnp.tanh(a)",
        "a.relu()": "relu(a)",
        "a.data": None,
        "Value(x)": "jnp.float64(x)",
    }

    def __init__(self) -> None:
        self.jax: Any = import_module("jax")
        self.jax.config.update("jax_enable_x64", True)
        self.jnp: Any = import_module("jax.numpy")
        self.functions = Functions(
            largest=lambda numbers: self.jax.lax.stop_gradient(max(numbers)),
            relu=self.jax.nn.relu,
            tanh=self.jnp.tanh,
            exp=self.jnp.exp,
            log=self.jnp.log,
            erf=self.jax.scipy.special.erf,
            grad=self.jax.grad,
        )

    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        return _Pulled(self, build, start, variant)

    def differentiate(self, f: Callable[..., Any], count: int) -> Any:
        """The function from numbers to value and gradients."""
        return self.jax.value_and_grad(f, argnums=tuple(range(count)))

    def gradient(self, f: Callable[..., Any], x: Sequence[float]) -> tuple[float, list[float]]:
        value, gradient = self.differentiate(f, len(x))(*x)
        return float(value), [float(g) for g in gradient]

    def names(self) -> dict[str, Any]:
        return {"jnp": self.jnp, "relu": self.jax.nn.relu}


class _Pulled(Session):
    def __init__(self, peer: JaxEager, build: Build, start: Sequence[float], variant: str) -> None:
        self.parameters = [Parameter(x) for x in start]
        self.vjp = peer.jax.vjp

        def program(*numbers: Any) -> Any:
            return build(numbers, peer.functions, variant)()

        self.program = program

    def forward(self) -> Any:
        return self.vjp(self.program, *[p.data for p in self.parameters])

    def backward(self, recorded: Any) -> None:
        for p, g in zip(self.parameters, recorded[1](1.0), strict=True):
            p.grad = float(g)

    def value(self, recorded: Any) -> float:
        return float(recorded[0])


class JaxJit(JaxEager):
    """`jax.jit(jax.value_and_grad(f))`, compiled before the clock starts."""

    name = "jax, jit"
    eager = False

    def __init__(self) -> None:
        super().__init__()
        self.compiled: dict[Callable[..., Any], Any] = {}

    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        raise TypeError("no training step is small enough for XLA to compile it unrolled")

    def gradient(self, f: Callable[..., Any], x: Sequence[float]) -> tuple[float, list[float]]:
        if f not in self.compiled:
            self.compiled[f] = self.jax.jit(self.differentiate(f, len(x)))
        value, gradient = self.compiled[f](*x)
        return float(value), [float(g) for g in gradient]

    def program(self, build: Build, x: Sequence[float], gradient: bool) -> object:
        """Traced, as a jaxpr; XLA has yet to compile it."""
        f = self.function(build, "")  # a new one, which jax has not traced before
        return self.jax.jit(self.differentiate(f, len(x)) if gradient else f).trace(*x)

    def replay(self, build: Build, x: Sequence[Any], variant: str) -> Replay:
        f, ready = self.function(build, variant), self.jax.block_until_ready
        compiled = self.jax.jit(self.differentiate(f, len(x)))

        def read(answer: Any) -> tuple[float, list[float]]:
            return float(answer[0]), [float(g) for g in answer[1]]

        return Replay(lambda *numbers: ready(compiled(*numbers)), x, read)
