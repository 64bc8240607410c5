"""Equality of two engines' numbers up to the rounding of the program's formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence

# The rounding error of a formula such as 1 - t * t, and the size below which it is not accepted.
_NOISE = 4 * 2.0**-52
_SMALL = 1e-13
_RELATIVE = 1e-12


def close(theirs: float, ours: float) -> bool:
    """True if numbers agree up to a rounding error relative to themselves."""
    if theirs == ours or (math.isnan(theirs) and math.isnan(ours)):
        return True
    if not (math.isfinite(theirs) and math.isfinite(ours)):
        return False
    return abs(theirs - ours) <= _RELATIVE * abs(ours)


def same_value(theirs: float, ours: float, bounded: bool = False) -> bool:
    """True if the values of an operation agree.

    A formula such as tanh by exponentials loses digits near 0; tiny numbers and, for a `bounded`
    function, numbers next to 1 and -1 must agree nevertheless, since there clamps are revealed.
    """
    if not _same(theirs, ours):
        return False
    return not bounded or _same(1.0 - abs(theirs), 1.0 - abs(ours))


def _same(theirs: float, ours: float) -> bool:
    return close(theirs, ours) or (
        abs(theirs - ours) <= _NOISE and min(abs(theirs), abs(ours)) >= _SMALL
    )


def same_slope(theirs: float, ours: float) -> bool:
    """True if derivatives agree, or the program's is 0 and the true one below rounding.

    The formula 1 - t * t is 0 for a large number; another small number there reveals a clamp.
    """
    return _same(theirs, ours) or (theirs == 0.0 and abs(ours) <= _NOISE)


def all_close(theirs: Sequence[float], ours: Sequence[float]) -> bool:
    """True if the numbers of two sweeps over sums and products agree."""
    return len(theirs) == len(ours) and all(map(close, theirs, ours))
