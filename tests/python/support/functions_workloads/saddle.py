"""A saddle point, by gradient descent on a function that gradient ascent computes.

After Pearlmutter and Siskind, "Using programming language theory to make automatic differentiation
sound and efficient" (2008): both descents differentiate, the outer one through all of the inner
one's steps, and both end when the data say so. The payoff is quadratic,

    |x|^2 + a . x + k (x1 y1 - x2 y2) - |y|^2 - b . y

whose saddle solves linear equations, and whose slopes are written by hand in `reference`. With
k = 0 and no a and b it is the classic one, where the inner answer does not depend on x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np

from support.functions_workloads import descent

Number = Any
Floats = Any  # numpy.ndarray of float64
Payoff = Callable[[list[Number], list[Number], dict[str, Any]], Number]
Transform = Callable[[Callable[..., Number]], Callable[..., Any]]


def payoff(x: list[Number], y: list[Number], game: dict[str, Any]) -> Number:
    """What the player of y wins."""
    squares = x[0] * x[0] + x[1] * x[1] - y[0] * y[0] - y[1] * y[1]
    a, b, k = game["a"], game["b"], game["k"]
    lines = a[0] * x[0] + a[1] * x[1] - b[0] * y[0] - b[1] * y[1]
    return squares + lines + k * (x[0] * y[0] - x[1] * y[1])


def function(
    start: list[Number],
    game: dict[str, Any],
    outer: Transform,
    inner: Transform,
    payoff: Payoff = payoff,
) -> list[Number]:
    """x and y of the saddle, looked for from `start`; both transforms make gradients."""
    first, last = start[:2], start[2:]

    def best_reply(x: list[Number]) -> list[Number]:
        def loss(y: list[Number]) -> Number:
            return -payoff(x, y, game)

        return descent.argmin(loss, inner(loss), last)

    def worst(x: list[Number]) -> Number:
        return payoff(x, best_reply(x), game)

    x = descent.argmin(worst, outer(worst), first)
    return [*x, *best_reply(x)]


def inputs(seed: int, size: int) -> tuple[list[float], dict[str, Any]]:
    """A start, farther away the larger `size`, and a game; seed 0 has the classic one."""
    random = Random(seed)
    start = [size * random.choice([-1, 1]) * (1 + random.random()) for _ in range(4)]
    if seed == 0:
        return start, {"a": [0.0, 0.0], "b": [0.0, 0.0], "k": 0.0}
    lines = [[random.gauss(0, 1) for _ in range(2)] for _ in "ab"]
    return start, {"a": lines[0], "b": lines[1], "k": random.random()}


def closed_form(start: list[float], game: dict[str, Any]) -> list[float]:
    """The saddle itself: 2x + a + k s y = 0 and k s x - 2y - b = 0, with s = (1, -1)."""
    coupling = game["k"] * np.diag([1.0, -1.0])
    system = np.block([[2 * np.eye(2), coupling], [coupling, -2 * np.eye(2)]])
    right = [-game["a"][0], -game["a"][1], *game["b"]]
    return list(map(float, np.linalg.solve(system, right)))


def reference(start: list[float], game: dict[str, Any]) -> list[float]:
    """The same descents on floats, with slopes by hand: where they end, tolerances and all."""
    a, b, k = np.array(game["a"]), np.array(game["b"]), game["k"] * np.array([1.0, -1.0])

    def best_reply(x: Sequence[float]) -> tuple[list[float], Floats]:
        """The reply, and by how much each coordinate moves with the same one of x."""

        def loss(y: list[float]) -> float:
            return float(-payoff(list(x), y, game))

        def slope(y: list[float]) -> list[float]:
            return list(map(float, 2 * np.array(y) + b - k * np.array(x)))

        y, rates = descent.descend(loss, slope, start[2:])
        by_x = np.zeros(2)
        for rate in rates:  # y - rate * slope, differentiated by x
            by_x = by_x - rate * (2 * by_x - k)
        return y, by_x

    def worst(x: list[float]) -> float:
        return float(payoff(x, best_reply(x)[0], game))

    def slope(x: list[float]) -> list[float]:
        y, by_x = best_reply(x)
        direct = 2 * np.array(x) + a + k * np.array(y)
        return list(map(float, direct + by_x * (k * np.array(x) - 2 * np.array(y) - b)))

    x = descent.argmin(worst, slope, start[:2])
    return [*x, *best_reply(x)[0]]
