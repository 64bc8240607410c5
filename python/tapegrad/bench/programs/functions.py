"""Functions to be compiled: of any size, of one document's parameters, of five numbers.

Each says what it is called with, and what function of that it is; a variant takes its numbers
together, in arrays or lists.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tapegrad.bench.programs import demo, microgpt, small

if TYPE_CHECKING:
    from tapegrad.bench.peers.base import Build, Functions, Program

__all__ = ["FIVE", "POINT", "Built", "Document", "Plain", "book", "descent", "five", "perceptron"]

# Arguments of `five`; start, stretch and shift of `descent`.
FIVE = (1.5, -2.0, 0.7, 3.0, 1.25)
POINT = (1.5, 0.9, -0.4)

Function = Callable[..., Any]


@dataclass(frozen=True)
class Plain:
    """A function of a few numbers."""

    make: Callable[[Functions], Function]
    x: Sequence[float]

    def function(self, functions: Functions, variant: str) -> Function:
        return self.make(functions)

    def arguments(self, variant: str) -> Sequence[Any]:
        return self.x


@dataclass(frozen=True)
class Built:
    """A function of many numbers, in the variant "array" of one array."""

    build: Build
    start: Sequence[float]

    def function(self, functions: Functions, variant: str) -> Function:
        build = self.build
        if variant == "array":
            return lambda array: build(list(array), functions, variant)()
        return lambda *numbers: build(numbers, functions, variant)()

    def arguments(self, variant: str) -> Sequence[Any]:
        return [import_module("numpy").array(self.start)] if variant == "array" else self.start


class Document:
    """microgpt's loss: of arrays, of lists, or of numbers, then with or without layers."""

    def function(self, functions: Functions, variant: str) -> Function:
        if variant in ("arrays", "lists"):
            return lambda parameters: microgpt.loss(parameters, functions)
        name = "microgpt_layers" if variant == "layers" else "microgpt"
        build = import_module(f"tapegrad.bench.programs.{name}").build
        return lambda *numbers: build(numbers, functions, variant)()

    def arguments(self, variant: str) -> Sequence[Any]:
        if variant not in ("arrays", "lists"):
            return microgpt.start()
        parameters: dict[str, Any] = dict(microgpt.state())
        if variant == "arrays":
            array = import_module("numpy").array
            parameters = {name: array(rows) for name, rows in parameters.items()}
        return [parameters]


def five(functions: Functions) -> Function:
    """A function of five numbers."""
    tanh = functions.tanh
    assert tanh is not None
    return lambda a, b, c, d, e: a * b + tanh(c) * d / e


def perceptron(points: int, unit: str) -> Build:
    """The demo's network and loss on so many points, its hidden units "relu" or "tanh".

    644 operations a point, and 677 more.
    """
    data = demo.data(points)

    def build(numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
        model = demo.Network(numbers, replace(functions, relu=getattr(functions, unit)))
        return demo.loss(model, numbers, functions, data)

    return build


def book(options: int) -> tuple[Build, list[float]]:
    """The worth of so many calls on one asset, 26 operations each, and where it starts.

    It is a function of spot, rate, and a volatility for each option; strikes and years are fixed.
    """
    source = random.Random(11)
    terms = [(source.uniform(80, 120), source.uniform(0.25, 2.25)) for _ in range(options)]

    def build(numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
        spot, rate, *volatilities = numbers
        price = small.black_scholes(functions)
        return lambda: sum(
            price(spot, strike, rate, volatility, years)
            for (strike, years), volatility in zip(terms, volatilities)
        )

    return build, [100.0, 0.02, *(source.uniform(0.1, 0.5) for _ in range(options))]


def descent(steps: int) -> Callable[[Functions], Function]:
    """Where so many steps of gradient descent come, as a function of start, stretch and shift.

    Each step takes the gradient of a function of ten operations, which the other two are part of.
    """

    def make(functions: Functions) -> Function:
        grad = functions.grad
        assert grad is not None

        def end(y: Any, stretch: Any, shift: Any) -> Any:
            def height(y: Any) -> Any:
                u = y * stretch - shift
                v = u * u
                return 0.5 * (v + 0.1 * (v * v) + 0.01 * (y * y))

            slope = grad(height)
            for _ in range(steps):
                y = y - 0.5 / steps * slope(y)
            return y

        return end

    return make
