"""When numbers of two engines are the same: equal but for the rounding of one's own formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence

# What rounding takes of a formula such as 1 - t * t, and below what a number is exact or nothing.
_NOISE = 4 * 2.0**-52
_SMALL = 1e-13
_RELATIVE = 1e-12


def close(theirs: float, ours: float) -> bool:
    """Whether numbers are equal but for rounding relative to themselves."""
    if theirs == ours or (math.isnan(theirs) and math.isnan(ours)):
        return True
    if not (math.isfinite(theirs) and math.isfinite(ours)):
        return False
    return abs(theirs - ours) <= _RELATIVE * abs(ours)


def same_value(theirs: float, ours: float, bounded: bool = False) -> bool:
    """Whether the values of an operation are the same.

    A formula such as that of tanh by exponentials loses digits near 0, but not a number that is
    tiny: there a clamp would show, and as well at 1 and -1 for functions that are `bounded` so.
    """
    if not _same(theirs, ours):
        return False
    return not bounded or _same(1.0 - abs(theirs), 1.0 - abs(ours))


def _same(theirs: float, ours: float) -> bool:
    return close(theirs, ours) or (
        abs(theirs - ours) <= _NOISE and min(abs(theirs), abs(ours)) >= _SMALL
    )


def same_slope(theirs: float, ours: float) -> bool:
    """Whether derivatives are the same: one's own may vanish where the true one is below rounding.

    The formula 1 - t * t is 0 for a large number; what is not 0 there is a clamp.
    """
    return _same(theirs, ours) or (theirs == 0.0 and abs(ours) <= _NOISE)


def all_close(theirs: Sequence[float], ours: Sequence[float]) -> bool:
    """Whether the numbers of two sweeps over sums and products are the same."""
    return len(theirs) == len(ours) and all(map(close, theirs, ours))
