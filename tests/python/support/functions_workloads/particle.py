"""The charge that sends a particle to the origin, by Newton's method on derivatives of a path.

After Pearlmutter and Siskind, "Using programming language theory to make automatic differentiation
sound and efficient" (2008). Two charges stand at (10, 10 - w) and (10, 0); a particle that starts
at (0, 8) with speed (0.75, 0) is pushed by the gradient of their potential, in Euler's steps of a
tenth, until it falls below y = 0. `w` is sought for which it crosses that line at x = 0: two
derivatives of the whole path, which takes one of the potential at every step. At the classic start
the miss curves downwards, where Newton's step would go uphill: it is turned round, and kept short.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

import tapegrad

Number = Any
Floats = Any  # numpy.ndarray of float64
Transform = Callable[[Callable[..., Number]], Callable[..., Any]]
Potential = Callable[[list[Number], Number], Number]

STEP = 0.1
TOLERANCE = 1e-10
LONGEST = 0.05


def potential(place: list[Number], w: Number) -> Number:
    """One over the distance from each charge."""
    x, y = place
    return 1 / tapegrad.hypot(x - 10, y - (10 - w)) + 1 / tapegrad.hypot(x - 10, y)


def miss(
    w: Number, start: list[Number], inner: Transform, potential: Potential = potential
) -> Number:
    """The square of x where the path crosses y = 0; `start` is the place and the speed."""
    x, y, dx, dy = start
    while y + STEP * dy > 0:
        push = inner(lambda place: potential(place, w))([x, y])
        x, y = x + STEP * dx, y + STEP * dy
        dx, dy = dx - STEP * push[0], dy - STEP * push[1]
    return (x - y / dy * dx) ** 2


def function(
    w: Number,
    start: list[Number],
    outer: Transform,
    inner: Transform,
    potential: Potential = potential,
) -> Number:
    """The w of the least miss, by Newton's method from this one on."""

    def cost(w: Number) -> Number:
        return miss(w, start, inner, potential)

    first, second = outer(cost), outer(outer(cost))
    step: Number = LONGEST
    while abs(step) > TOLERANCE:
        step = newton_step(first(w), second(w))
        w = w + step
    return w


def newton_step(first: Number, second: Number) -> Number:
    """Towards less miss, by Newton's method where it curves upwards, never by more than LONGEST."""
    step = -first / abs(second)
    if abs(step) > LONGEST:
        return LONGEST if step > 0 else -LONGEST
    return step


def inputs(seed: int, size: int) -> tuple[float, list[float]]:
    """Where to begin with w, and the particle's start; seed 0 has the classic one.

    Size 1 begins where the miss curves downwards, size 2 on the other side of the answer.
    """
    slower = 0.0 if seed == 0 else 0.02 * Random(seed).random()
    return 0.25 * (size - 1), [0.0, 8.0, 0.75 - slower, 0.0]


def reference(w: float, start: list[float]) -> float:
    """The same by derivatives that are carried along the path by hand."""
    step = LONGEST
    while abs(step) > TOLERANCE:
        _, first, second = miss_reference(w, start)
        step = newton_step(first, second)
        w += float(step)
    return w


def miss_reference(w: float, start: list[float]) -> Floats:
    """The miss and its first two derivatives by w.

    A row of each array is the value, a second one its derivative by w, and a third the second.
    """
    place, speed = np.zeros((3, 2)), np.zeros((3, 2))
    place[0], speed[0] = start[:2], start[2:]
    charges = [np.array([[10, 10 - w], [0, -1], [0, 0]]), np.array([[10, 0], [0, 0], [0, 0]])]
    while place[0, 1] + STEP * speed[0, 1] > 0:
        push = sum(repulsion(place - charge) for charge in charges)
        place, speed = place + STEP * speed, speed + STEP * push
    crossing = place[:, 0] - product(quotient(place[:, 1], speed[:, 1]), speed[:, 0])
    return product(crossing, crossing)


def repulsion(u: Floats) -> Floats:
    """u / |u|^3, by the chain rule on (u . u)^(-3/2)."""
    q = u[0] @ u[0]
    dq, ddq = 2 * u[0] @ u[1], 2 * (u[1] @ u[1] + u[0] @ u[2])
    cube = np.array([1, -1.5 / q * dq, -1.5 / q * ddq + 3.75 / q**2 * dq**2]) * q**-1.5
    return np.column_stack([product(u[:, 0], cube), product(u[:, 1], cube)])


def product(a: Floats, b: Floats) -> Floats:
    """By Leibniz's rule."""
    first = a[1] * b[0] + a[0] * b[1]
    return np.array([a[0] * b[0], first, a[2] * b[0] + 2 * a[1] * b[1] + a[0] * b[2]])


def quotient(a: Floats, b: Floats) -> Floats:
    """c of c b = a, solved for each derivative of c in turn."""
    c = a[0] / b[0]
    dc = (a[1] - c * b[1]) / b[0]
    return np.array([c, dc, (a[2] - c * b[2] - 2 * dc * b[1]) / b[0]])
