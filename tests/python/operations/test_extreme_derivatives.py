"""Derivatives of every operation are right from 1e-300 to 1e300, in every mode and to third order.

extreme_points.py has the points and the bound, jets.py the exact derivatives.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from mpmath import mp  # type: ignore[import-untyped]

from support import jets
from support.extreme_points import NAMES, ORDERS, Point, check, count, points, wanted
from support.operations import operation
from tapegrad import (
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    compile,
    exp,
    grad,
    hessian,
    hypot,
    jacfwd,
    jacrev,
)

MODES = [
    "".join(letters)
    for order in range(1, ORDERS + 1)
    for letters in itertools.product("fr", repeat=order)
]
SHOWN = 20  # of the failures of an operation

Function = Callable[..., Any]


def of_operands(name: str, constants: Sequence[float]) -> Function:
    """The operation as a function of its operands alone."""
    return lambda *xs: operation(name)(*xs, *constants)


def differentiated(f: Function, modes: str, operands: int) -> Function:
    """All partial derivatives, the first letter's mode innermost."""
    every = tuple(range(operands))
    for k, mode in enumerate(modes):
        reverse = grad if k == 0 else jacrev
        f = (jacfwd if mode == "f" else reverse)(f, every)
    return f


def flat(results: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], float]]:
    """The numbers of nested sequences, each with its way there."""
    if isinstance(results, float):
        yield path, results
        return
    for k, result in enumerate(results):
        yield from flat(result, (*path, k))


def orders(path: tuple[int, ...], operands: int) -> tuple[int, ...]:
    """How often a derivative is one by each operand."""
    return tuple(path.count(k) for k in range(operands))


def failures(name: str, modes: str, f: Function) -> Iterator[str]:
    """Over all points; `f` is given the operands and the constant."""
    for point in points(name):
        n = count(name, point)
        for path, result in flat(f(point)):
            fault = check(name, point, orders(path, n), result, wanted(name, point))
            if fault is not None:
                yield f"{name}{point} {modes or 'value'}, by {path}, {fault}"


def assert_none(faults: list[str]) -> None:
    shown = "\n".join(faults[:SHOWN])
    assert not faults, f"{len(faults)} failures:\n{shown}"


@pytest.mark.parametrize("name", NAMES)
def test_value_and_derivatives_are_exact_at_extreme_points(name: str) -> None:
    assert len(points(name)) >= 60
    faults = list(failures(name, "", lambda point: operation(name).evaluate(point)[0]))
    faults += failures(name, "eager", lambda point: operation(name).evaluate(point)[1])
    for modes in MODES:

        def at(point: Point, modes: str = modes) -> Any:
            n = count(name, point)
            return differentiated(of_operands(name, point[n:]), modes, n)(*point[:n])

        faults += failures(name, modes, at)
    assert_none(faults)


@pytest.mark.parametrize("name", NAMES)
def test_compiled_derivatives_are_exact_at_extreme_points(name: str) -> None:
    @functools.cache
    def compiled(n: int, constants: Point) -> Function:
        f, every = of_operands(name, constants), tuple(range(n))
        return compile(lambda *xs: (grad(f, every)(*xs), hessian(f, every)(*xs)))

    faults = []
    for order in (0, 1):

        def at(point: Point, order: int = order) -> Any:
            n = count(name, point)
            return compiled(n, point[n:])(*point[:n])[order]

        faults += failures(name, f"compiled, order {order + 1}", at)
    assert_none(faults)


def test_a_power_differentiates_by_its_exponent_where_that_is_0() -> None:
    assert hessian(lambda v: v[0] ** v[1])([2.0, 0.0]) == [
        [0.0, 0.5],
        [0.5, pytest.approx(math.log(2.0) ** 2, rel=1e-15)],
    ]


@pytest.mark.parametrize("y", [0.5, 1.0, 2.0, 2.5, 3.0])
@pytest.mark.parametrize("transform", [grad, jacfwd])
def test_a_power_of_0_does_not_vary_with_a_positive_exponent(y: float, transform: Function) -> None:
    f: Function = lambda y: 0.0**y  # noqa: E731
    for _ in range(3):
        f = transform(f)
        assert f(y) == 0.0


@pytest.mark.parametrize("exponent", [2.0, 2.5, 3.0, 4.0])
def test_a_power_has_finite_second_derivatives_at_a_base_of_0(exponent: float) -> None:
    twice = {2.0: 2.0}.get(exponent, 0.0)
    assert hessian(lambda v: v[0] ** v[1])([0.0, exponent]) == [[twice, 0.0], [0.0, 0.0]]


def test_0_to_the_0_has_the_derivatives_that_pytorch_gives_it() -> None:
    assert grad(lambda x, y: x**y, (0, 1))(0.0, 0.0) == (0.0, 0.0)
    assert hessian(lambda v: v[0] ** v[1])([0.0, 0.0])[0][0] == 0.0


def test_digits_that_were_lost() -> None:
    assert grad(grad(asin))(1e-12) == pytest.approx(1e-12, rel=1e-15)
    assert grad(lambda x: asinh(exp(x)))(400.0) == pytest.approx(1.0, rel=1e-15)
    assert grad(lambda x: acosh(exp(x)))(400.0) == pytest.approx(1.0, rel=1e-15)
    assert grad(grad(grad(atan)))(1e60) == pytest.approx(6e-240, rel=1e-12)
    (_, _), (_, second) = hessian(lambda v: hypot(*v))([1e-8, 1.0])
    assert second == pytest.approx(1e-16, rel=1e-15)
    for x in (1e-155, 1e160):
        assert grad(atan2, (0, 1))(x, x) == pytest.approx((0.5 / x, -0.5 / x), rel=1e-15)


@pytest.mark.parametrize("outer", [grad, jacfwd])
@pytest.mark.parametrize("inner", [grad, jacfwd])
@pytest.mark.parametrize(("x", "y"), [(7.5, 0.3), (-7.5, 0.7), (1e10, -3.3)])
def test_a_remainder_is_piecewise_linear(
    x: float, y: float, inner: Function, outer: Function
) -> None:
    slopes = inner(lambda x, y: x % y, (0, 1))
    assert slopes(x, y) == (1.0, -float(x // y))
    for k in (0, 1):
        assert outer(lambda x, y, k=k: slopes(x, y)[k], (0, 1))(x, y) == (0.0, 0.0)


def test_references_are_mpmaths_differences() -> None:
    """The jets, where differences of many digits serve as well."""
    with mp.workdps(80):
        for name, point in (("hypot", (0.3, 0.7)), ("atan2", (0.3, -0.7)), ("pow", (0.3, 1.7))):
            function = getattr(mp, {"pow": "power"}.get(name, name))
            for index, derivative in jets.derivatives(name, point, 4).items():
                difference = mp.diff(function, point, index, h=mp.mpf(10) ** -15)
                assert abs(derivative - difference) <= 1e-12 * abs(difference)
        for name, x in itertools.product(("gelu", "silu", "lgamma", "tanh", "cbrt"), (-0.7, 1.3)):
            at = functools.partial(jets.derivatives, name, order=4)
            for k in (1, 2, 3):
                near = [at((x + step,))[(k,)] for step in (-(2.0**-30), 2.0**-30)]
                difference = (near[1] - near[0]) * 2.0**29
                assert abs(at((x,))[(k + 1,)] - difference) <= 1e-9 * (1 + abs(difference))
