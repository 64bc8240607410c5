"""The mathematical functions that the operations stand for, to many digits, by mpmath."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath  # type: ignore[import-untyped]
from mpmath import mp

from support.operations import Operation

DIGITS = 50
MOST_DIGITS = 400
STEP = mpmath.ldexp(1, -150)  # of a difference; far below a double's last place

# mpmath.mpf; it has no types.
Number = Any


def _surprisal(*xs: Number) -> Number:
    # The 1 is the first one's own: a sum with it would round the others away.
    return mp.log1p(mp.fsum(mp.exp(x - xs[0]) for x in xs[1:]))


# The operations that mpmath does not have under the same name.
_OWN: dict[str, Callable[..., Number]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "pow": lambda x, y: mp.power(x, y),
    "pow_const": lambda x, c: mp.power(x, c),
    "neg": lambda x: -x,
    "abs": lambda x: abs(x),
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "exp2": lambda x: mp.power(2, x),
    "log2": lambda x: mp.log(x, 2),
    "log1mexp": lambda x: mp.log(-mp.expm1(-x)),
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "relu": lambda x: max(x, 0),
    "leaky_relu": lambda x, slope: x if x > 0 else slope * x,
    "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
    "silu": lambda x: x / (1 + mp.exp(-x)),
    "lgamma": lambda x: mp.re(mp.loggamma(x)),
    "maximum": lambda x, y: max(x, y),
    "minimum": lambda x, y: min(x, y),
    "clip": lambda x, low, high: min(max(x, low), high),
    "sum": lambda *xs: mp.fsum(xs),
    "dot": lambda *xs: mp.fdot(xs[: len(xs) // 2], xs[len(xs) // 2 :]),
    "squared_distance": lambda *xs: mp.fsum(
        (x - y) ** 2 for x, y in zip(xs[: len(xs) // 2], xs[len(xs) // 2 :], strict=True)
    ),
    "logsumexp": lambda *xs: xs[0] + _surprisal(*xs),
    "surprisal": lambda *xs: _surprisal(*xs),
}


def reference(operation: Operation) -> Callable[..., Number]:
    """The function that the operation stands for."""
    function = _OWN.get(operation.name) or getattr(mp, operation.name, None)
    if function is None:
        raise LookupError(
            f"the operation {operation.name} has no reference, and mpmath has no function of this "
            f"name: add a line to _OWN in {__file__}"
        )
    return function


def exact(operation: Operation, arguments: Sequence[Number]) -> list[Number]:
    """The value and the derivatives at exactly these arguments, away from kinks."""
    with mp.workdps(2 * DIGITS):
        value = reference(operation)(*map(mp.mpf, arguments))
    operands = len(arguments) - operation.constant_last
    return [value, *(_derivative(operation, arguments, k) for k in range(operands))]


def spread(operation: Operation, arguments: Sequence[float]) -> list[Number]:
    """How far the value and the derivatives move when every argument does by its last place."""
    centre = exact(operation, arguments)
    total = [mp.mpf(0)] * len(centre)
    for j in range(len(arguments)):
        for sign in (-1, 1):
            with mp.workdps(2 * DIGITS):
                moved = list(map(mp.mpf, arguments))
                moved[j] *= 1 + sign * mpmath.ldexp(1, -52)
            results = exact(operation, moved)
            total = [t + abs(r - c) / 2 for t, r, c in zip(total, results, centre, strict=True)]
    return total


def _derivative(operation: Operation, arguments: Sequence[Number], k: int) -> Number:
    # Digits are doubled until that changes nothing: tanh at 300 is 1, its derivative 1e-260.
    digits = DIGITS
    derivative = _difference(operation, arguments, k, digits)
    while digits < MOST_DIGITS:
        digits *= 2
        coarse, derivative = derivative, _difference(operation, arguments, k, digits)
        if derivative != 0 and abs(derivative - coarse) <= 1e-25 * abs(derivative):
            break
    return derivative


def _difference(operation: Operation, arguments: Sequence[Number], k: int, digits: int) -> Number:
    with mp.workdps(digits):
        point = tuple(map(mp.mpf, arguments))
        # Smaller than the way to any kink: those are at 0 and where two arguments are equal.
        step = STEP * min([mp.mpf(1), *(abs(x) for x in point if x != 0)])
        orders = tuple(int(j == k) for j in range(len(point)))
        return mp.diff(reference(operation), point, orders, h=step)
