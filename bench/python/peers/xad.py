"""XAD: an explicit tape, its first-order adjoint mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar

from bench.python.peers.base import Build, Functions, Parameter, Peer, Session

__all__ = ["Xad"]


class Xad(Peer):
    """One tape, started anew for each recording, as its manual advises."""

    name = "xad"
    package = "xad"
    imported = "xad.adj_1st"
    largest = 2_000_000
    spellings: ClassVar = {
        "a.tanh()": "math.tanh(a)",
        "a.relu()": "math.max(a, 0.0)",
        "a.data": "a.value",
        "Value(x)": "Real(x)",
    }

    def __init__(self) -> None:
        adjoint, math = import_module("xad.adj_1st"), import_module("xad.math")
        self.make, self.make_tape, self.math = adjoint.Real, adjoint.Tape, math
        self.functions = Functions(
            largest=lambda numbers: max(v.value for v in numbers),
            relu=lambda v: math.max(v, 0.0),
            tanh=math.tanh,
            exp=math.exp,
            log=math.log,
            erf=math.erf,
        )

    @cached_property
    def tape(self) -> Any:
        """The tape, which records from now on."""
        tape = self.make_tape()
        tape.activate()
        return tape

    def record(self, x: Sequence[float]) -> list[Any]:
        """Inputs with these values, on the tape started anew."""
        numbers = [self.make(number) for number in x]
        self.tape.registerInputs(numbers)
        self.tape.newRecording()
        return numbers

    def sweep(self, y: Any) -> None:
        self.tape.registerOutput(y)
        y.derivative = 1.0
        self.tape.computeAdjoints()

    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        return _Recorded(self, build, start, variant)

    def gradient(self, f: Callable[..., Any], x: Sequence[float]) -> tuple[float, list[float]]:
        inputs = self.record(x)
        y = f(*inputs)
        self.sweep(y)
        return y.value, [number.derivative for number in inputs]

    def names(self) -> dict[str, Any]:
        return {"math": self.math, "Real": self.make}


class _Recorded(Session):
    def __init__(self, peer: Xad, build: Build, start: Sequence[float], variant: str) -> None:
        self.parameters = [Parameter(x) for x in start]
        self.peer, self.build, self.variant = peer, build, variant

    def forward(self) -> Any:
        numbers = self.peer.record([p.data for p in self.parameters])
        return self.build(numbers, self.peer.functions, self.variant)(), numbers

    def backward(self, recorded: Any) -> None:
        y, numbers = recorded
        self.peer.sweep(y)
        for p, number in zip(self.parameters, numbers, strict=True):
            p.grad = number.derivative

    def value(self, recorded: Any) -> float:
        return float(recorded[0].value)
