"""Points at which every operation is held against mpmath, and how near it has to come."""

from __future__ import annotations

import functools
import itertools
import math
import sys
from typing import Any

from mpmath import mp  # type: ignore[import-untyped]

from support import jets
from support.operations import OPERATIONS, operation

Point = tuple[float, ...]
Number = Any

EPSILON = sys.float_info.epsilon
SMALLEST = 5e-324
LARGEST = sys.float_info.max
ORDERS = 3
# Of each order: where operands lie, as powers of ten, for derivatives to be right.
REACH = {0: 300, 1: 300, 2: 100, 3: 50}

# Beyond the bound that all others keep, by operation and order: an absolute error.
ALLOWED = {
    # A sum of p (1 - p) (1 - 2p) and the like has zeros where xs are equal. The bound is below a
    # rounding of p only where xs are less than one.
    ("logsumexp", 3): EPSILON,
    ("surprisal", 3): EPSILON,
}

NEXT_TO_ONE = (math.nextafter(1.0, 0.0), math.nextafter(1.0, 2.0), 1 - 1e-12, 1 + 1e-9)
DECADES = (-323, -310, -300, -250, -200, -155, -120, -100, -75, -50, -35, -20, -12, -8, -5, -3, -1)
SMALL = tuple(float(f"1.7e{e}") for e in DECADES)
LARGE = tuple(
    1.3 * 10.0**e
    for e in (1, 2, 3, 5, 8, 12, 20, 35, 49, 70, 99, 120, 154, 155, 200, 250, 299, 307)
)
MIDDLE = (
    0.1,
    0.2,
    0.25,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.9,
    1.0,
    1.1,
    1.5,
    2.0,
    2.5,
    3.0,
    4.0,
    6.5,
    9.0,
    10.0,
    25.0,
)
POSITIVE = (SMALLEST, *SMALL, *MIDDLE, *NEXT_TO_ONE, *LARGE, LARGEST)


def both(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """The numbers, and with a minus sign."""
    return (*numbers, *(-x for x in numbers))


EVERYWHERE = (0.0, -0.0, *both(POSITIVE))
TAILS = (5.0, 8.5, 20.0, 26.5, 36.7, 37.3, 38.4, 40.0, 100.0, 300.0, 354.9, 372.5, 699.0, 701.0)
FAR_TAILS = (708.5, 710.0, 730.0, 740.3, 744.5, 745.0, 746.0)
BELOW_ONE = tuple(x for x in POSITIVE if x < 1)
EDGE = (1 - 1e-3, 1 - 1e-6, 1 - 1e-9, 1 - 3e-15)
INSIDE = (0.0, -0.0, *both((*BELOW_ONE, *EDGE, 0.2, 0.4, 0.6, 0.8, 0.99, 0.57735, 0.70710678)))
GAMMA = (
    *(0.5, 1.0 + 1e-9, 1.4616, 1.4616321449683623, 1.47, 2.0 - 1e-9, 5.5, 9.99, 10.5, 30.5, 171.7),
    *(-0.25, -0.5, -0.504083, -1.5, -2.5, -10.5, -20.1, -100.25, -1000.3, -1.0 - 1e-12, -1e-5),
    *(-1.0 + 1e-12, -9.0 - 1e-9, -9.0 + 1e-9, -2.4570247382208, -2.7476826467274, -1e15 - 0.5),
    *(-1.5734984731623904, -2.610720868444145, -123456.7, -1e-12, -1e-50, -1e-100, -1e-300),
)
TURNS = (*(k * math.pi / 4 for k in range(1, 9)), math.pi / 2 - 1e-9, 11.0, 1e6, 1e22)

UNARY: dict[str, tuple[float, ...]] = {
    "reciprocal": both(POSITIVE),
    "log": POSITIVE,
    "log1p": (*both(BELOW_ONE), *both(EDGE), *POSITIVE),
    "log2": POSITIVE,
    "log10": POSITIVE,
    "sqrt": POSITIVE,
    "log1mexp": POSITIVE,
    "cbrt": both(POSITIVE),
    "abs": both(POSITIVE),
    "relu": both(POSITIVE),
    "asin": INSIDE,
    "acos": INSIDE,
    "atanh": INSIDE,
    "acosh": (
        *(1.0 + 10.0**-k for k in range(1, 16)),
        *tuple(x for x in POSITIVE if x > 1),
        *tuple(1.0 + 0.37 * k for k in range(1, 24)),
    ),
    "lgamma": (*POSITIVE, *GAMMA),
}
CURVED = (*both(TAILS), *both(FAR_TAILS))
EXTRA: dict[str, tuple[float, ...]] = {
    "sin": both(TURNS),
    "cos": both(TURNS),
    "tan": both(TURNS),
    "exp": CURVED,
    "exp2": (*CURVED, 1023.5, 1024.0, 1024.4, 1025.3, 1026.0, -1022.5, -1060.3, -1073.5, -1076.0),
    "expm1": CURVED,
    "sinh": CURVED,
    "cosh": CURVED,
    "tanh": (*CURVED, *both((19.9, 20.1, 356.0, 360.5, 366.25, 372.9))),
    "sigmoid": CURVED,
    "softplus": CURVED,
    "silu": (*CURVED, -1.2784645427610738, -2.399357280515468),
    "gelu": (*CURVED, -0.7517915246935645, 1.41421356, -37.9, -38.5, -38.6),
    "erf": CURVED,
    "erfc": CURVED,
    "asinh": both((0.70710678,)),
    "atan": both((0.57735026919,)),
}
GRID = (1e-300, 1e-200, 1e-100, 1e-50, 1e-8, 0.3, 7.0, 1e50, 1e100, 1e300)
SPECIAL = (
    (0.0, 2.0),
    (-0.0, 1.0),
    (0.0, 1e-300),
    (0.0, 1e300),
    (3.0, -4.0),
    (-3.0, -4.0),
    (-2.0, 5.0),
)
SIGNS = ((1e-100, -1e-100), (-1e100, 1e100), (-1e-50, -1e50), (1e-155, 1e-155), (1e160, 1e160))
TINY = ((SMALLEST, SMALLEST), (1e-310, 1e-310), (1e-310, 1.0), (LARGEST, LARGEST), (1.0, SMALLEST))
PLANE = (*itertools.product(GRID, repeat=2), *SPECIAL, *SIGNS, *TINY, (2.0, 1e-8), (1.0, 1e8))
POWERS = (
    *itertools.product(
        (1e-300, 1e-100, 1e-50, 0.3, 0.5, 1 - 1e-9, 1.0, 1 + 1e-9, 2.0, 1e50, 1e100, 1e300),
        (-2.5, -1.0, -1e-20, 0.0, 1e-300, 1e-100, 0.5, 1.0, 2.0, 3.0, 7.3),
    ),
    *((2.0, 1023.5), (2.0, -1073.5), (0.3, 615.0), (1e-300, 1.07)),
    *((2.0, 1024.0), (2.0, 1024.4), (1.5, 1751.0), (0.9, -6740.0), (1 - 1e-9, -7.1e11)),
)
CONSTANTS = (
    *itertools.product(
        (*both((1e-300, 1e-155, 1e-100, 1e-50, 0.3, 1.0, 2.0, 1e50, 1e100, 1e155, 1e300)), 0.0),
        (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0),
    ),
    *itertools.product((1e-300, 1e-50, 0.3, 2.0, 1e50, 1e300), (-2.5, -0.5, 0.5, 1.5, 1e-20, 20.5)),
    *((1e-300, -0.028), (1e-17, 20.5), (1e-10, 33.2), (1e-300, 2.05)),
)
TRIPLES = (
    *((0.0,), (1.5,), (-1e300,), (1e-300,), (0.0, 0.0), (0.0, -50.0), (-50.0, 0.0), (1.0, 1.0)),
    *((0.0, -800.0), (800.0, 0.0), (1e-20, 0.0), (-700.0, -1.0), (0.3, 0.2), (1e15, 1e15 - 3)),
    *(
        (0.0, 0.0, 50.0),
        (50.0, 0.0, 0.0),
        (0.0, 50.0, 0.0),
        (0.0, -30.0, -60.0),
        (-60.0, 0.0, -30.0),
    ),
    *(
        (0.1, 0.2, 0.3),
        (3.0, -2.0, 1.0),
        (1e-300, 0.0, -1e-300),
        (1e100, 0.0, -1e100),
        (1.0, 1.0, 1.0),
    ),
    *((-1e300, 1e300, 0.0), (700.0, 699.0, -745.0), (-745.0, 0.0, 1.0), (-0.5, -0.5, -1.0)),
    *tuple((0.37 * k - 3, 11.0 - 1.9 * k, 0.11 * k * k - 4) for k in range(36)),
)
ROWS = (
    *itertools.product((1e-300, -1e-100, 0.3, 2.0, 1e100, -1e300), (0.0, 1e-50, -7.0, 1e50, 1e150)),
    *(tuple(x) for x in itertools.product((1e-50, -0.3), (0.0, 1e50), (2.0, -1e-20), (1.0, 5.0))),
    *(tuple(x) for x in itertools.product((1e100, -4.0), (1e-100, 3.0), (2.0, 0.0), (1.0, -1e50))),
)


@functools.cache
def points(name: str) -> tuple[Point, ...]:
    """At least sixty, operands in a row and then the constant, where the operation is smooth."""
    one = operation(name)
    if name == "pow":
        return POWERS
    if name == "pow_const":
        return tuple((x, c) for x, c in CONSTANTS if x != 0.0 or c >= 0.0)
    if name in ("logsumexp", "surprisal"):
        return TRIPLES
    if one.arity is None:
        return ROWS
    if one.arity == 1:
        numbers = UNARY.get(name, EVERYWHERE) + EXTRA.get(name, ())
        return tuple((x,) for x in dict.fromkeys(numbers))
    if name == "clip":
        bounds = ((-1.0, 1.0), (-1e300, 1e300), (1e-300, 2.0), (-1e100, -1e-100))
        return tuple((x, *pair) for x in both(GRID) for pair in bounds if x not in pair)
    signs = itertools.cycle(((1, 1), (1, -1), (-1, 1), (-1, -1), (1, 1)))
    every = tuple((x * a, y * b) for (x, y), (a, b) in zip(PLANE, signs, strict=False))
    if name == "div":
        return tuple(p for p in every if p[1] != 0.0)
    if name in ("maximum", "minimum"):
        return tuple(p for p in every if p[0] != p[1])
    if name == "leaky_relu":
        return tuple(p for p in every if p[0] != 0.0)
    return tuple(
        p for p in every if p != (0.0, 0.0) and not (name == "atan2" and p[0] == 0.0 > p[1])
    )


def count(name: str, point: Point) -> int:
    """Of its operands."""
    return len(point) - operation(name).constant_last


def in_reach(name: str, point: Point, order: int) -> bool:
    """Whether derivatives of this order have to be right there."""
    reach = 10.0 ** REACH[order] * (1 + 1e-9)
    return all(x == 0.0 or 1 / reach <= abs(x) <= reach for x in point[: count(name, point)])


@functools.cache
def wanted(name: str, point: Point) -> dict[tuple[int, ...], Number]:
    """Value and derivatives, one order more than is tested."""
    n = count(name, point)
    constant = point[-1] if n < len(point) else None
    found = jets.derivatives(name, point[:n], ORDERS + 1, constant)
    found[(0,) * n] = jets.value(name, point[:n], constant)
    return found


def check(
    name: str, point: Point, index: tuple[int, ...], result: float, exact: dict[Any, Number]
) -> str | None:
    """What is wrong with a derivative, if anything."""
    truth = exact[index]
    shown = f"is {result!r}, exactly {mp.nstr(truth, 17)}"
    if math.isnan(result):
        return shown
    with mp.workdps(30):
        truth = +truth
        if not in_reach(name, point, sum(index)):
            return shown + ": the sign" if result * mp.sign(truth) < 0 else None
        if math.isinf(result):
            return None if mp.sign(truth) * result > 0 and abs(truth) > LARGEST else shown
        slack = mp.mpf(0)
        for k in range(len(index)):
            next_one = tuple(i + (j == k) for j, i in enumerate(index))
            slack += abs(mp.mpf(point[k]) * exact[next_one])
        tolerance = abs(truth) * mp.mpf(1e-9) + 4 * EPSILON * slack + mp.mpf(SMALLEST)
        tolerance += ALLOWED.get((name, sum(index)), 0.0)
        if abs(mp.mpf(result) - truth) <= tolerance:
            return None
        return shown + f", off by {mp.nstr(abs(result - truth) / tolerance, 3)} tolerances"


NAMES = [one.name for one in OPERATIONS]
