"""Functions to be compiled: of five numbers, of any size, of one document's parameters."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from bench.python.programs import demo, microgpt, small

if TYPE_CHECKING:
    from bench.python.peers.base import Build, Functions, Program

__all__ = [
    "FIVE",
    "POINT",
    "book",
    "descent",
    "document",
    "five",
    "parameters",
    "perceptron",
    "together",
]

# Arguments of `five`; start, stretch and shift of `descent`.
FIVE = (1.5, -2.0, 0.7, 3.0, 1.25)
POINT = (1.5, 0.9, -0.4)

Function: TypeAlias = Callable[..., Any]
Arguments: TypeAlias = Callable[[str], Sequence[Any]]


def five(numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
    """A function of five numbers."""
    a, b, c, d, e = numbers
    tanh = functions.tanh
    assert tanh is not None
    return lambda: a * b + tanh(c) * d / e


def document(numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
    """microgpt's loss, in the variant "layers" by tapegrad's layers.

    In the variants "arrays" and "lists" it is a function of a dict of these.
    """
    if variant in ("arrays", "lists"):
        return lambda: microgpt.loss(numbers[0], functions)
    name = "microgpt_layers" if variant == "layers" else "microgpt"
    program: Program = import_module(f"bench.python.programs.{name}").build(
        numbers, functions, variant
    )
    return program


def parameters(variant: str) -> Sequence[Any]:
    """What `document` is a function of."""
    if variant == "arrays":
        array = import_module("numpy").array
        return [{name: array(rows) for name, rows in microgpt.state().items()}]
    return [microgpt.state()] if variant == "lists" else microgpt.start()


def together(build: Build, start: Sequence[float]) -> tuple[Build, Arguments]:
    """The same, and in the variant "array" a function of one array."""

    def built(numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
        return build(list(numbers[0]) if variant == "array" else numbers, functions, variant)

    def arguments(variant: str) -> Sequence[Any]:
        return [import_module("numpy").array(start)] if variant == "array" else start

    return built, arguments


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
