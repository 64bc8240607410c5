"""tapegrad's function transforms: eager, and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import tapegrad as tg
from bench.python.peers.base import Build, Functions, Parameter, Peer, Replay, Session

__all__ = ["Compiled", "Transforms"]


class Transforms(Peer):
    """`tapegrad.value_and_grad` and `tapegrad.vjp` of plain functions."""

    name = "tapegrad, functions"

    def __init__(self) -> None:
        self.functions = Functions(
            # Taken of the numbers and not by comparisons: no guards.
            largest=lambda numbers: tg.stop_gradient(reduce(tg.maximum, numbers)),
            relu=tg.relu,
            tanh=tg.tanh,
            exp=tg.exp,
            log=tg.log,
            erf=tg.erf,
            grad=tg.grad,
        )
        self.made: dict[Callable[..., Any], Callable[..., Any]] = {}

    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        return _Pulled(build, start, self.functions, variant)

    def differentiate(self, f: Callable[..., Any], count: int) -> Callable[..., Any]:
        """The function from so many arguments to value and gradients."""
        return tg.value_and_grad(f, argnums=tuple(range(count)))

    def gradient(self, f: Callable[..., Any], x: Sequence[float]) -> tuple[float, list[float]]:
        if f not in self.made:
            self.made[f] = self.differentiate(f, len(x))
        value, gradient = self.made[f](*x)
        return value, list(gradient)

    def replay(self, build: Build, x: Sequence[Any], variant: str) -> Replay:
        """The arguments may be arrays, lists and dicts of numbers."""
        run = self.differentiate(self.function(build, variant), len(x))
        return Replay(run, x, lambda answer: (answer[0], list(leaves(answer[1]))))


class _Pulled(Session):
    def __init__(
        self, build: Build, start: Sequence[float], functions: Functions, variant: str
    ) -> None:
        self.parameters = [Parameter(x) for x in start]
        self.program = lambda *numbers: build(numbers, functions, variant)()

    def forward(self) -> Any:
        return tg.vjp(self.program, *[p.data for p in self.parameters])

    def backward(self, recorded: Any) -> None:
        for p, g in zip(self.parameters, recorded[1](1.0), strict=True):
            p.grad = g

    def value(self, recorded: Any) -> float:
        return float(recorded[0])


class Compiled(Transforms):
    """`tapegrad.compile` of these: recorded once, replayed in each call."""

    name = "tapegrad, compiled"
    eager = False

    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        raise TypeError("what trains compiled is a function of all parameters")

    def differentiate(self, f: Callable[..., Any], count: int) -> Callable[..., Any]:
        return tg.compile(super().differentiate(f, count))

    def program(self, build: Build, x: Sequence[float], gradient: bool) -> object:
        f = self.function(build, "")
        compiled = self.differentiate(f, len(x)) if gradient else tg.compile(f)
        compiled(*x)
        return compiled


def leaves(tree: Any) -> Iterator[float]:
    """The numbers in arrays, lists, tuples and dicts, in order."""
    if isinstance(tree, dict):
        tree = tree.values()
    elif hasattr(tree, "tolist"):
        tree = tree.tolist()
    elif not isinstance(tree, (list, tuple)):
        yield tree
        return
    for each in tree:
        yield from leaves(each)
