"""Plain Python floats: the interpreter's floor, forward passes alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from bench.python.peers.base import Build, Functions, Parameter, Peer, Program, Session

__all__ = ["Floats"]


class Floats(Peer):
    """The same programs with nothing recorded: what the interpreter alone costs."""

    name = "floats"
    floor = True
    spellings: ClassVar = {
        "a.tanh()": "tanh(a)",
        "a.relu()": "relu(a)",
        "a.data": None,
        "Value(x)": None,
    }

    def __init__(self) -> None:
        self.functions = Functions(
            largest=max, relu=relu, tanh=math.tanh, exp=math.exp, log=math.log, erf=math.erf
        )

    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        return _Forward(build(list(start), self.functions, variant), start)

    def gradient(self, f: Callable[..., Any], x: Sequence[float]) -> tuple[float, list[float]]:
        return f(*x), []

    def names(self) -> dict[str, Any]:
        return {"tanh": math.tanh, "relu": relu}


def relu(x: float) -> float:
    """x where it is positive, else 0."""
    return x if x > 0.0 else 0.0


class _Forward(Session):
    def __init__(self, program: Program, start: Sequence[float]) -> None:
        self.parameters = [Parameter(x) for x in start]
        self.program = program

    def forward(self) -> Any:
        return self.program()

    def backward(self, recorded: Any) -> None:
        """There is none."""

    def value(self, recorded: Any) -> float:
        return float(recorded)

    def gradients(self) -> list[float]:
        return []
