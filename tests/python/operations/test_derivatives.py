"""Every operation's value and derivatives are the mathematical function's, over its whole domain.

The operations come from the table, so that a new one is tested as it is; if mpmath does not know it
by its name, it needs a line in references.py.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.operations import OPERATIONS, Operation
from support.references import exact, reference, spread

EPSILON = sys.float_info.epsilon
BELOW_ONE = math.nextafter(1.0, 0.0)
Point = tuple[float, ...]

# 45 units in the last place: five times what the C libraries promise for their worst function.
RELATIVE = 1e-14
# A result below 1e-308 has fewer digits.
ABSOLUTE = 1e-320

# Where a rounding of an argument changes the result by more than a rounding of the result. What
# four roundings of the arguments do is added to the tolerance.
SENSITIVE = {
    "pow": "x ** y turns a rounding of y, or of y - 1, into one of log(x) * y times its size",
    "pow_const": "as pow",
    "erf": "the derivative is exp(-x * x): a rounding of x * x becomes one of x * x times its size",
    "erfc": "as erf",
    "gelu": "as erf, and the derivative has a zero at -0.75",
    "silu": "the derivative has a zero at -1.28",
    "lgamma": "value and derivative have zeros, each between two poles",
    "sum": "terms cancel",
    "dot": "terms cancel",
    "logsumexp": "the value has a zero where the exponentials add up to 1",
}

# Where the functions have to be right beyond the intervals of the table. At all extremes they are
# tested by test_extreme_derivatives.py, to a bound that is less strict.
WIDE: dict[str, tuple[tuple[float, float], ...]] = {
    "add": ((-1e307, 1e307),) * 2,
    "sub": ((-1e307, 1e307),) * 2,
    "mul": ((-1e150, 1e150),) * 2,
    "div": ((-1e150, 1e150), (1e-70, 1e70)),
    "pow": ((1e-10, 1e10), (-20.0, 20.0)),
    "pow_const": ((1e-10, 1e10), (-20.0, 20.0)),
    "neg": ((-1e308, 1e308),),
    "abs": ((1e-307, 1e308),),
    "square": ((-1e150, 1e150),),
    "reciprocal": ((1e-150, 1e150),),
    "exp": ((-700.0, 709.0),),
    "exp2": ((-1000.0, 1023.0),),
    "expm1": ((-700.0, 709.0),),
    "log": ((1e-307, 1e308),),
    "log1p": ((-BELOW_ONE, 1e308),),
    "log2": ((1e-307, 1e307),),
    "log10": ((1e-307, 1e307),),
    "sqrt": ((1e-307, 1e308),),
    "cbrt": ((1e-307, 1e308),),
    "sin": ((-1e300, 1e300),),
    "cos": ((-1e300, 1e300),),
    "tan": ((-1e6, 1e6),),
    "asin": ((-BELOW_ONE, BELOW_ONE),),
    "acos": ((-BELOW_ONE, BELOW_ONE),),
    "atan": ((-1e154, 1e154),),
    "atan2": ((-1e150, 1e150), (1e-150, 1e150)),
    "sinh": ((-709.0, 709.0),),
    "cosh": ((-709.0, 709.0),),
    "tanh": ((-350.0, 350.0),),
    "asinh": ((-1e300, 1e300),),
    "acosh": ((1.0 + EPSILON, 1e300),),
    "atanh": ((-BELOW_ONE, BELOW_ONE),),
    "hypot": ((1e-300, 1e300),) * 2,
    "sigmoid": ((-700.0, 700.0),),
    "softplus": ((-700.0, 1e308),),
    "relu": ((1e-307, 1e308),),
    "leaky_relu": ((1e-307, 1e150), (-1e150, 1e150)),
    "gelu": ((-37.0, 1e308),),
    "silu": ((-700.0, 1e308),),
    "erf": ((-26.0, 26.0),),
    "erfc": ((-26.0, 26.0),),
    "lgamma": ((-30.0, 1e300),),
    "maximum": ((-1e308, -1e-307), (1e-307, 1e308)),
    "minimum": ((-1e308, -1e-307), (1e-307, 1e308)),
    "clip": ((-1e300, 1e300), (-1e308, -1e301), (1e301, 1e308)),
}

BOTH_TAILS = (5.0, 8.5, 10.0, 20.0, 40.0, 100.0, 300.0)
NEAR_ZERO = (1e-300, 1e-20, 1e-8, 1e-4)
# Points that a formula may well get wrong; a minus sign is tried too where both signs are legal.
DELICATE: dict[str, tuple[float, ...]] = {
    "exp": (*NEAR_ZERO, 700.0),
    "exp2": (*NEAR_ZERO, 1000.0),
    "expm1": (*NEAR_ZERO, *BOTH_TAILS),
    "log": (BELOW_ONE, 1.0 + EPSILON, *NEAR_ZERO),
    "log1p": (*NEAR_ZERO, 0.5, 0.9, BELOW_ONE),
    "log2": (BELOW_ONE, 1.0 + EPSILON, *NEAR_ZERO),
    "log10": (BELOW_ONE, 1.0 + EPSILON, *NEAR_ZERO),
    "sqrt": NEAR_ZERO,
    "sin": (*NEAR_ZERO, math.pi, math.pi / 2, 1e22),
    "cos": (*NEAR_ZERO, math.pi, math.pi / 2, 1e22),
    "tan": (*NEAR_ZERO, math.pi, math.pi / 2, 11.0),
    "asin": (*NEAR_ZERO, 0.5, 0.999, 1.0 - 1e-12, BELOW_ONE),
    "acos": (*NEAR_ZERO, 0.5, 0.999, 1.0 - 1e-12, BELOW_ONE),
    "atan": (*NEAR_ZERO, 1e8, 1e150),
    "sinh": (*NEAR_ZERO, *BOTH_TAILS, 709.0),
    "cosh": (*NEAR_ZERO, *BOTH_TAILS, 709.0),
    "tanh": (*NEAR_ZERO, 0.549, 1.4722, 1.4723, *BOTH_TAILS),
    "asinh": (*NEAR_ZERO, 1e8, 1e150),
    "acosh": (1.0 + EPSILON, 1.0 + 1e-12, 1e8, 1e150),
    "atanh": (*NEAR_ZERO, 0.5, 0.999, 1.0 - 1e-12, BELOW_ONE),
    "sigmoid": (*NEAR_ZERO, *BOTH_TAILS, 700.0),
    "softplus": (*NEAR_ZERO, *BOTH_TAILS, 700.0),
    "gelu": (*NEAR_ZERO, 0.7517915, 5.0, 8.5, 10.0, 20.0, 37.0),
    "silu": (*NEAR_ZERO, 1.2784645, *BOTH_TAILS, 700.0),
    "erf": (*NEAR_ZERO, 5.0, 8.5, 10.0, 20.0, 26.0),
    "erfc": (*NEAR_ZERO, 5.0, 8.5, 10.0, 20.0, 26.0),
    "lgamma": (*NEAR_ZERO, 0.5, 1.0 + 1e-9, 1.4616321, 2.0 - 1e-9, 9.99, 10.0, 30.5, 1e5, 1e300),
}
# Points of several arguments, and of one sign.
FURTHER: dict[str, tuple[Point, ...]] = {
    "add": ((1.0, -BELOW_ONE),),
    "sub": ((1.0, BELOW_ONE),),
    "div": ((3.0, -7.0), (-1e-300, 1e-10)),
    "pow": ((BELOW_ONE, 1e10), (1.0 + EPSILON, -1e10), (1e-300, 0.5), (1e300, -0.5), (2.0, 1e-20)),
    "pow_const": (
        *((-2.0, n) for n in (-3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0, 5.0)),
        *((0.3, c) for c in (-2.0, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 1e-20)),
    ),
    "abs": ((-0.3,), (-1e300,), (-1e-300,)),
    "relu": ((-0.3,), (-1e300,), (-1e-300,)),
    "leaky_relu": ((-3.0, 0.01), (-3.0, -2.0), (-1e-300, 0.5), (3.0, 0.0)),
    "reciprocal": ((-0.3,), (-1e150,), (-1e-150,)),
    "cbrt": ((-8.0,), (-1e300,), (-1e-300,)),
    "exp": ((-745.0,),),
    "sigmoid": ((-740.0,),),
    "softplus": ((-740.0,), (1e308,)),
    "silu": ((1e308,),),
    "gelu": ((1e308,),),
    "tanh": ((1e308,), (-1e308,)),
    "atan2": (
        *((y, x) for y in (0.7, -0.7) for x in (2.0, -2.0)),
        *((1.0, 1e-100), (1e-100, 1.0), (1e-100, -1.0), (1e100, 1e100)),
    ),
    "hypot": ((-3.0, 4.0), (-1e-100, -1.0), (1e300, 1e300), (1e-300, 1e-300)),
    "lgamma": (
        *((x,) for x in (-0.25, -0.5, -1.5, -2.5, -10.5, -20.1)),
        # On either side of poles, and of zeros between them.
        *((x,) for x in (-1.0 - 1e-12, -1.0 + 1e-12, -9.0 - 1e-9, -9.0 + 1e-9)),
        *((x,) for x in (-2.4570247382208, -2.7476826467274, -3.1435808883499, -0.5040830082644)),
    ),
    "maximum": ((2.0, 1.0), (-1.0, -2.0), (1.0, BELOW_ONE)),
    "minimum": ((2.0, 1.0), (-1.0, -2.0), (1.0, BELOW_ONE)),
    "clip": ((-2.0, -1.0, 1.0), (2.0, -1.0, 1.0), (5.0, 6.0, 7.0)),
    "sum": ((1.0,), (1.0, 1e16, -1e16), tuple(0.1 * k for k in range(1, 30))),
    "dot": ((2.0, 3.0), (1.0, 1e8, 1.0, 1e8, 1.0, -1e8), tuple(0.1 * k for k in range(1, 31))),
    "squared_distance": ((2.0, 3.0), (1e8, 1.0, 1e8, 2.0), tuple(0.1 * k for k in range(1, 31))),
    "logsumexp": ((1e-300,), (1000.0, 1000.0), (-1000.0, -1001.0), (0.0, 800.0), (3.0, -800.0)),
    "surprisal": ((5.0,), (1000.0, 900.0), (-1000.0, -1001.0), (0.0, 800.0), (30.0, -10.0)),
}


def is_smooth(operation: Operation, point: Point) -> bool:
    """Whether the operation is differentiable there: lgamma has poles at 0, -1, -2, ..."""
    return operation.name != "lgamma" or point[0] > 0 or point[0] != math.floor(point[0])


def delicate_points() -> list[Any]:
    points: list[tuple[Operation, Point]] = []
    for one in OPERATIONS:
        wide = WIDE.get(one.name, one.domain)
        for x in DELICATE.get(one.name, ()):
            signs = [(x,), (-x,)] if wide[0][0] <= -x else [(x,)]
            points += [(one, point) for point in signs if is_smooth(one, point)]
        points += [(one, point) for point in FURTHER.get(one.name, ())]
    return [
        pytest.param(one, point, id=f"{one}-{','.join(map(str, point[:8]))}")
        for one, point in points
    ]


def points(
    operation: Operation, intervals: Sequence[tuple[float, float]]
) -> st.SearchStrategy[Point]:
    """Arguments from the intervals, one for each parameter; a few from each if it is n-ary."""
    numbers = [st.floats(low, high, allow_subnormal=False) for low, high in intervals]
    if operation.arity is not None:
        return st.tuples(*numbers).filter(lambda point: is_smooth(operation, point))
    lists = st.integers(1, 8).flatmap(
        lambda n: st.tuples(*(st.lists(one, min_size=n, max_size=n) for one in numbers))
    )
    return lists.map(lambda columns: tuple(x for column in columns for x in column))


def assert_right(operation: Operation, point: Point) -> None:
    value, derivatives = operation.evaluate(point)
    wanted = exact(operation, point)
    assert len(derivatives) == len(wanted) - 1
    slack = spread(operation, point) if operation.name in SENSITIVE else [0] * len(wanted)
    for k, result in enumerate([value, *derivatives]):
        tolerance = RELATIVE * abs(wanted[k]) + ABSOLUTE + 4 * slack[k]
        what = "the value" if k == 0 else f"the derivative by argument {k - 1}"
        error = f"{what} of {operation} at {point} is {result!r}, exactly {float(wanted[k])!r}"
        assert abs(result - wanted[k]) <= tolerance, error


every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
seriously = settings(max_examples=30)


@every_operation
def test_every_operation_has_a_reference(operation: Operation) -> None:
    assert callable(reference(operation))


def test_an_operation_without_a_reference_is_an_error_that_says_what_to_do() -> None:
    unknown = dataclasses.replace(OPERATIONS[0], name="no_such_function")
    with pytest.raises(LookupError, match=r"add a line to _OWN in .*references\.py"):
        reference(unknown)


def test_points_and_tolerances_are_of_operations_that_there_are() -> None:
    assert {*WIDE, *DELICATE, *FURTHER, *SENSITIVE} <= {one.name for one in OPERATIONS}


@pytest.mark.parametrize(("operation", "point"), delicate_points())
def test_value_and_derivatives_are_exact_at_delicate_points(
    operation: Operation, point: Point
) -> None:
    assert_right(operation, point)


@every_operation
@seriously
@given(data=st.data())
def test_value_and_derivatives_are_exact_on_the_smooth_domain(
    operation: Operation, data: st.DataObject
) -> None:
    assert_right(operation, data.draw(points(operation, operation.domain)))


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.name in WIDE], ids=str)
@seriously
@given(data=st.data())
def test_value_and_derivatives_are_exact_far_out(operation: Operation, data: st.DataObject) -> None:
    assert_right(operation, data.draw(points(operation, WIDE[operation.name])))


@every_operation
@seriously
@given(data=st.data())
def test_derivatives_are_the_limits_of_central_differences(
    operation: Operation, data: st.DataObject
) -> None:
    point = data.draw(points(operation, operation.domain))
    value, derivatives = operation.evaluate(point)
    for k, derivative in enumerate(derivatives):
        step = 1e-5 * max(abs(point[k]), 0.1)
        ends = [(*point[:k], point[k] + move, *point[k + 1 :]) for move in (step, -step)]
        difference = (operation(*ends[0]) - operation(*ends[1])) / (ends[0][k] - ends[1][k])
        assert difference == pytest.approx(derivative, rel=1e-6, abs=1e-6 * (1 + abs(value)))


def takes_complex_numbers(operation: Operation) -> bool:
    """Whether NumPy's function of its name does, so that a step along the imaginary axis is one."""
    function = getattr(np, operation.names[-1], None)
    return {"D->D", "DD->D"} & set(getattr(function, "types", ())) != set()


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if takes_complex_numbers(one)], ids=str
)
@seriously
@given(data=st.data())
def test_derivatives_of_analytic_functions_are_complex_steps(
    operation: Operation, data: st.DataObject
) -> None:
    point = data.draw(points(operation, operation.domain))
    _, derivatives = operation.evaluate(point)
    function = getattr(np, operation.names[-1])
    for k, derivative in enumerate(derivatives):
        stepped = [complex(x, 1e-30 if j == k else 0.0) for j, x in enumerate(point)]
        assert function(*stepped).imag / 1e-30 == pytest.approx(derivative, rel=1e-13, abs=1e-15)
