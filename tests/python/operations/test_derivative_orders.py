"""Derivatives of every operation up to the fourth are the mathematical function's, in every mode.

An operation is followed along a line through a point of its domain: the derivatives of
`t -> operation(x + t * d)` hold all its mixed partial derivatives.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp  # type: ignore[import-untyped]

from support.operations import OPERATIONS, Operation
from support.references import reference
from tapegrad import compile, grad, hessian, jacfwd, jacrev, jvp, vjp

ORDERS = 4
TERMS = 3  # of an n-ary operation, in each of its sequences
DIGITS = 150

# Cancelling terms leave fewer digits, of which a fourth derivative has many.
RELATIVE = 1e-11
ABSOLUTE = 1e-12

Point = tuple[float, ...]
Along = Callable[[Any], Any]


def jvp_slope(f: Along) -> Along:
    return lambda t: jvp(f, (t,), (1.0,))[1]


def vjp_slope(f: Along) -> Along:
    return lambda t: vjp(f, t)[1](1.0)[0]


def compiled_slope(f: Along) -> Along:
    return compile(grad(f))


# What is applied four times, the innermost first.
MODES: dict[str, tuple[Callable[[Along], Along], ...]] = {
    "reverse": (grad,) * 4,
    "forward": (jacfwd,) * 4,
    "forward over reverse": (grad, jacfwd, jacfwd, jacfwd),
    "reverse over forward": (jacfwd, jacfwd, grad, grad),
    "alternating": (jacrev, jvp_slope, vjp_slope, jacfwd),
    "compiled": (compiled_slope,) * 4,
}


def points(operation: Operation) -> list[Point]:
    """A few in the domain of smoothness, at the same places of each interval whatever it is."""
    intervals = [
        interval
        for interval in operation.domain
        for _ in range(TERMS if operation.arity is None else 1)
    ]
    return [
        tuple(
            low + (high - low) * math.modf(fraction + 0.6180339887 * k)[0]
            for k, (low, high) in enumerate(intervals)
        )
        for fraction in (0.123, 0.41, 0.57, 0.83)
    ]


def direction(operation: Operation, point: Point) -> Point:
    """One along which no argument stands still, constants apart."""
    steps = [0.7 - 0.37 * k for k in range(len(point))]
    return (*steps[:-1], 0.0) if operation.constant_last else tuple(steps)


def along(operation: Operation, point: Point) -> Along:
    """The operation on the line through the point."""
    steps = direction(operation, point)

    def at(t: Any) -> Any:
        return operation(*(x + t * d if d else x for x, d in zip(point, steps, strict=True)))

    return at


@functools.cache
def exact(operation: Operation, point: Point) -> list[float]:
    """Value and derivatives along the line at t = 0, by differences of many digits."""
    steps = direction(operation, point)

    def at(t: Any) -> Any:
        return reference(operation)(
            *(mp.mpf(x) + t * mp.mpf(d) for x, d in zip(point, steps, strict=True))
        )

    with mp.workdps(DIGITS):
        return [float(mp.diff(at, 0, order, h=mp.mpf(10) ** -25)) for order in range(ORDERS + 1)]


def derivatives(f: Along, mode: str) -> list[float]:
    """Value and derivatives at 0."""
    found = [f(0.0)]
    for slope in MODES[mode]:
        f = slope(f)
        found.append(f(0.0))
    return found


every_point = pytest.mark.parametrize(
    ("operation", "point"),
    [
        pytest.param(one, point, id=f"{one}-{k}")
        for one in OPERATIONS
        for k, point in enumerate(points(one))
    ],
)


@every_point
@pytest.mark.parametrize("mode", MODES)
def test_derivatives_to_fourth_order(operation: Operation, point: Point, mode: str) -> None:
    wanted = exact(operation, point)
    found = derivatives(along(operation, point), mode)
    for order, (is_, should_be) in enumerate(zip(found, wanted, strict=True)):
        size = max(map(abs, wanted[: order + 1]))
        assert abs(is_ - should_be) <= RELATIVE * abs(should_be) + ABSOLUTE * size, (
            f"derivative {order} of {operation} at {point} along {direction(operation, point)}, "
            f"{mode}, is {is_!r}, exactly {should_be!r}"
        )


@every_point
def test_forward_and_reverse_agree_on_all_partial_derivatives(
    operation: Operation, point: Point
) -> None:
    count = len(point) - operation.constant_last

    def f(xs: Any) -> Any:
        return operation(*xs, *point[count:])

    x = list(point[:count])
    assert np.allclose(grad(f)(x), jacfwd(f)(x), rtol=1e-14, atol=0)
    seconds = [hessian(f), jacfwd(jacfwd(f)), jacrev(grad(f)), jacrev(jacfwd(f))]
    for second in seconds[1:]:
        assert np.allclose(second(x), seconds[0](x), rtol=1e-11, atol=1e-13)
    assert np.allclose(compile(hessian(f))(x), seconds[0](x), rtol=0, atol=0)
    thirds = [np.array(each(second)(x)) for second in seconds for each in (jacrev, jacfwd)]
    for third in thirds:
        assert np.allclose(third, thirds[0], rtol=1e-10, atol=1e-12)
        for axes in ((0, 2, 1), (1, 0, 2), (2, 1, 0)):
            assert np.allclose(third.transpose(axes), third, rtol=1e-10, atol=1e-12)
