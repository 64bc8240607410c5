"""Gradient descent with a step that grows and shrinks, until the data say that it is enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tapegrad

Number = Any
Objective = Callable[[list[Number]], Number]
Gradient = Callable[[list[Number]], Sequence[Number]]

TOLERANCE = 1e-5
PATIENCE = 10  # steps that succeed before they are doubled


def argmin(objective: Objective, gradient: Gradient, start: Sequence[Number]) -> list[Number]:
    """Where the objective is least, from `start` on, to within TOLERANCE in slope or in step."""
    return descend(objective, gradient, start)[0]


def descend(
    objective: Objective, gradient: Gradient, start: Sequence[Number]
) -> tuple[list[Number], list[float]]:
    """`argmin`, and the rate of each step that it took."""
    x, rate, rates = list(start), 1e-1, list[float]()
    height, slope, successes = objective(x), gradient(x), 0
    while length(slope) > TOLERANCE:
        step = [rate * s for s in slope]
        if length(step) <= TOLERANCE:
            break
        further = [a - b for a, b in zip(x, step, strict=True)]
        next_height = objective(further)
        if next_height < height:
            rates.append(rate)
            x, height, slope = further, next_height, gradient(further)
            successes += 1
            if successes == PATIENCE:
                rate, successes = 2 * rate, 0
        else:
            rate, successes = rate / 2, 0
    return x, rates


def length(xs: Sequence[Number]) -> Number:
    """The Euclidean length."""
    return tapegrad.sqrt(sum(x * x for x in xs))
