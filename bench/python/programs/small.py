"""Programs of a few operations, and graphs of one shape and any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.python.peers.base import Build, Functions, Program

__all__ = ["CALL", "CHAIN", "NEURON", "black_scholes", "chain", "fan_out", "neuron"]

# Spot, strike, rate, volatility, years; two factors and a summand; x, a, b of the chain.
CALL = (100.0, 105.0, 0.02, 0.25, 0.75)
NEURON = (2.0, -3.0, 10.0)
CHAIN = (1.0, 0.99999999, 1e-9)


def black_scholes(functions: Functions) -> Any:
    """The price of a European call as a function of what `CALL` lists.

    Black and Scholes 1973: s N(d1) - k exp(-r t) N(d2).
    """
    exp, log, erf = functions.exp, functions.log, functions.erf
    assert exp is not None and log is not None and erf is not None  # noqa: PT018

    def normal(x: Any) -> Any:
        return 0.5 * (1.0 + erf(x * 0.7071067811865476))

    def price(s: Any, k: Any, r: Any, v: Any, t: Any) -> Any:
        spread = v * t**0.5
        d1 = (log(s / k) + (r + 0.5 * v * v) * t) / spread
        return s * normal(d1) - k * exp(-r * t) * normal(d1 - spread)

    return price


def neuron(functions: Functions) -> Any:
    """relu(a * b + c)."""
    relu = functions.relu
    assert relu is not None

    def output(a: Any, b: Any, c: Any) -> Any:
        return relu(a * b + c)

    return output


def chain(operations: int) -> Build:
    """x = x * a + b, so often that there are so many operations."""

    def build(numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
        start, a, b = numbers
        rounds = range(operations // 2)

        def program() -> Any:
            x = start
            for _ in rounds:
                x = x * a + b
            return x

        return program

    return build


def fan_out(uses: int) -> Build:
    """One number used so often: a sum of `a * 1e-6`, added by pairs so that nothing is deep."""

    def build(numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
        a = numbers[0]

        def program() -> Any:
            terms = [a * 1e-6 for _ in range(uses)]
            while len(terms) > 1:
                odd = terms[-1:] if len(terms) % 2 else []
                terms = [x + y for x, y in zip(terms[::2], terms[1::2])] + odd
            return terms[0]

        return program

    return build
