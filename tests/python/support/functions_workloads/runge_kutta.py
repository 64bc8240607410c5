"""Ordinary differential equations by the classical method of Runge and Kutta, of fourth order.

`chain` has a closed form: y_0' = p_0 and y_k' = p_k y_(k-1) from zero make y_k a polynomial of
degree k + 1 in time, which the method solves exactly up to degree 4. `function` is the misfit of
Lotka and Volterra's predators and prey, whose derivative is that of the steps as they were taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

Number = Any
Floats = Any  # numpy.ndarray of float64
Slope = Callable[[list[Number]], list[Number]]


def runge_kutta(slope: Slope, state: list[Number], time: float, steps: int) -> list[Number]:
    """The state after `time`, in equal steps."""
    h = time / steps

    def ahead(by: float, k: list[Number]) -> list[Number]:
        return [y + by * d for y, d in zip(state, k, strict=True)]

    for _ in range(steps):
        k1 = slope(state)
        k2 = slope(ahead(h / 2, k1))
        k3 = slope(ahead(h / 2, k2))
        k4 = slope(ahead(h, k3))
        state = [
            y + h / 6 * (a + 2 * b + 2 * c + d)
            for y, a, b, c, d in zip(state, k1, k2, k3, k4, strict=True)
        ]
    return state


def function(state: list[Number], rates: dict[str, Number], seen: list[float]) -> Number:
    """The squared distance of prey and predators, after two units of time, from those seen."""

    def slope(state: list[Number]) -> list[Number]:
        prey, predators = state
        eaten = rates["eating"] * prey * predators
        return [
            rates["birth"] * prey - eaten,
            rates["gain"] * eaten - rates["death"] * predators,
        ]

    last = runge_kutta(slope, state, 2.0, steps(seen))
    return sum((y - s) ** 2 for y, s in zip(last, seen, strict=True))


def steps(seen: list[float]) -> int:
    """More steps where more prey was seen: a count that is taken from a number."""
    return 4 + int(seen[0])


def inputs(seed: int, size: int) -> tuple[list[float], dict[str, float], list[float]]:
    """Where it starts, the rates, and what is seen in the end, about `size` of each kind."""
    random = Random(seed)
    state = [1 + random.random(), 0.5 + random.random()]
    names = ["birth", "eating", "gain", "death"]
    rates = {name: 0.5 + random.random() for name in names}
    return state, rates, [size + random.random(), random.random()]


def reference(
    state: list[float], rates: dict[str, float], seen: list[float]
) -> tuple[list[float], dict[str, float]]:
    """The gradient by state and rates: the tangents of both carried along the same steps."""
    names = list(rates)
    birth, eating, gain, death = (rates[n] for n in ("birth", "eating", "gain", "death"))

    def slope(state: Floats, tangents: Floats) -> tuple[Floats, Floats]:
        x, y = state
        by_state = np.array(
            [[birth - eating * y, -eating * x], [gain * eating * y, gain * eating * x - death]]
        )
        by_rate = {
            "birth": [x, 0.0],
            "eating": [-x * y, gain * x * y],
            "gain": [0.0, eating * x * y],
            "death": [0.0, -y],
        }
        direct = np.column_stack([np.zeros((2, 2)), *(by_rate[name] for name in names)])
        value = np.array([(birth - eating * y) * x, (gain * eating * x - death) * y])
        return value, by_state @ tangents + direct

    y, tangents = np.array(state), np.eye(2, 2 + len(names))
    h = 2.0 / steps(seen)
    for _ in range(steps(seen)):
        k1, t1 = slope(y, tangents)
        k2, t2 = slope(y + h / 2 * k1, tangents + h / 2 * t1)
        k3, t3 = slope(y + h / 2 * k2, tangents + h / 2 * t2)
        k4, t4 = slope(y + h * k3, tangents + h * t3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        tangents = tangents + h / 6 * (t1 + 2 * t2 + 2 * t3 + t4)
    gradient = (2 * (y - np.array(seen)) @ tangents).tolist()
    return gradient[:2], dict(zip(names, gradient[2:], strict=True))


def chain(factors: list[Number], time: float) -> list[Number]:
    """The states of the chain after `time`, one for each factor."""

    def slope(state: list[Number]) -> list[Number]:
        return [factors[0], *(p * y for p, y in zip(factors[1:], state, strict=False))]

    return runge_kutta(slope, [0.0] * len(factors), time, 6)


def chain_inputs(seed: int, size: int) -> tuple[list[float], float]:
    """As many factors as `size`, at most 4, and a time."""
    random = Random(seed)
    return [random.gauss(0, 1) for _ in range(size)], 0.5 + random.random()


def chain_reference(factors: list[float], time: float) -> list[list[float]]:
    """The Jacobian by the factors of p_0 p_1 ... p_k t^(k+1) / (k+1)!."""
    return [
        [
            math.prod(p for i, p in enumerate(factors[: k + 1]) if i != j)
            * time ** (k + 1)
            / math.factorial(k + 1)
            if j <= k
            else 0.0
            for j in range(len(factors))
        ]
        for k in range(len(factors))
    ]
