"""CasADi: an expression graph of scalars (SX), differentiated by symbols, evaluated by its VM."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from importlib import import_module
from struct import Struct
from typing import Any, ClassVar

from bench.python.peers.base import Build, Functions, Parameter, Peer, Replay, Session

__all__ = ["Casadi", "CasadiOnce"]


class Casadi(Peer):
    """The expression and its gradient are built anew in each step, as an eager program would."""

    name = "casadi"
    package = "casadi"
    largest = 150_000
    spellings: ClassVar = {
        "a.tanh()": "ca.tanh(a)",
        "a.relu()": "ca.fmax(a, 0.0)",
        "a.data": None,
        "Value(x)": "SX(x)",
    }

    def __init__(self) -> None:
        ca: Any = import_module("casadi")
        self.ca = ca
        self.functions = Functions(
            # An expression has no number; softmax is as right without its shift.
            largest=lambda _: 0.0,
            relu=lambda v: ca.fmax(v, 0.0),
            tanh=ca.tanh,
            exp=ca.exp,
            log=ca.log,
            erf=ca.erf,
            grad=self.derivative,
        )

    def derivative(self, f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Of an expression of one symbol, in whose place what it is taken at is put."""
        ca = self.ca

        def at(x: Any) -> Any:
            symbol = ca.SX.sym("s")
            return ca.substitute(ca.gradient(f(symbol), symbol), symbol, x)

        return at

    def symbols(self, count: int) -> list[Any]:
        return [self.ca.SX.sym(f"x{i}") for i in range(count)]

    def compile(self, y: Any, inputs: Sequence[Any]) -> Any:
        """The function from the inputs' numbers to value and gradient."""
        x = self.ca.vertcat(*inputs)
        return self.ca.Function("f", [x], [y, self.ca.gradient(y, x)])

    def numbers(self, answer: Any) -> tuple[float, list[float]]:
        value, gradient = answer
        return float(value), self.ca.densify(gradient).nonzeros()

    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        return _Symbolic(self, build, start, variant)

    def gradient(self, f: Callable[..., Any], x: Sequence[float]) -> tuple[float, list[float]]:
        inputs = self.symbols(len(x))
        return self.numbers(self.compile(f(*inputs), inputs)(list(x)))

    def names(self) -> dict[str, Any]:
        return {"ca": self.ca, "SX": self.ca.SX}


class _Symbolic(Session):
    def __init__(self, peer: Casadi, build: Build, start: Sequence[float], variant: str) -> None:
        self.parameters = [Parameter(x) for x in start]
        self.peer, self.build, self.variant = peer, build, variant
        self.result = float("nan")

    def forward(self) -> Any:
        inputs = self.peer.symbols(len(self.parameters))
        return self.build(inputs, self.peer.functions, self.variant)(), inputs

    def backward(self, recorded: Any) -> None:
        self.evaluate(self.peer.compile(*recorded))

    def evaluate(self, function: Any) -> None:
        """Call the function at the parameters, and keep what it gives."""
        answer = function([p.data for p in self.parameters])
        self.result, gradient = self.peer.numbers(answer)
        for p, g in zip(self.parameters, gradient, strict=True):
            p.grad = g

    def value(self, recorded: Any) -> float:
        return self.result


class CasadiOnce(Casadi):
    """The expression and its gradient are built once, and evaluated in each step."""

    name = "casadi, built once"
    eager = False

    def __init__(self) -> None:
        super().__init__()
        self.compiled: dict[Callable[..., Any], Any] = {}

    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        return _Evaluated(self, build, start, variant)

    def gradient(self, f: Callable[..., Any], x: Sequence[float]) -> tuple[float, list[float]]:
        if f not in self.compiled:
            inputs = self.symbols(len(x))
            self.compiled[f] = self.compile(f(*inputs), inputs)
        return self.numbers(self.compiled[f](list(x)))

    def program(self, build: Build, x: Sequence[float], gradient: bool) -> object:
        inputs = self.symbols(len(x))
        y = build(inputs, self.functions, "")()
        if gradient:
            return self.compile(y, inputs)
        return self.ca.Function("f", [self.ca.vertcat(*inputs)], [y])

    def replay(self, build: Build, x: Sequence[Any], variant: str) -> Replay:
        """By its buffers, which numbers are put into and taken out of.

        In the variant "in place" they are there already, and the results stay there.
        """
        inputs = self.symbols(len(x))
        y = build(inputs, self.functions, variant)()
        gradient = self.ca.densify(self.ca.gradient(y, self.ca.vertcat(*inputs)))
        function = self.ca.Function("f", [self.ca.vertcat(*inputs)], [y, gradient])
        buffered = _Buffered(function, x)
        if variant == "in place":
            return Replay(buffered.evaluate, (), buffered.read)
        return Replay(buffered.run, x, buffered.read)


class _Buffered:
    """A function's buffers, which hold no references to what they are set to."""

    def __init__(self, function: Any, x: Sequence[float]) -> None:
        self.numbers, self.value, self.slopes = (
            array("d", each) for each in (x, [0.0], [0.0] * len(x))
        )
        self.buffer, self.evaluate = function.buffer()
        self.buffer.set_arg(0, memoryview(self.numbers))
        self.buffer.set_res(0, memoryview(self.value))
        self.buffer.set_res(1, memoryview(self.slopes))
        layout = Struct(f"{len(x)}d")
        self.put, self.take = layout.pack_into, layout.unpack_from

    def run(self, *x: float) -> tuple[float, tuple[float, ...]]:
        """Value and gradient of these numbers."""
        self.put(self.numbers, 0, *x)
        self.evaluate()
        return self.value[0], self.take(self.slopes)

    def read(self, _: object) -> tuple[float, list[float]]:
        value, gradient = self.run(*self.numbers)
        return value, list(gradient)


class _Evaluated(_Symbolic):
    def __init__(self, peer: Casadi, build: Build, start: Sequence[float], variant: str) -> None:
        super().__init__(peer, build, start, variant)
        self.function = peer.compile(*super().forward())

    def forward(self) -> Any:
        return self.function

    def backward(self, recorded: Any) -> None:
        self.evaluate(recorded)
