"""The predicates of `math` for Values, traced numbers and NumPy arrays.

`math.isnan(x)` converts `x` to a float, which Values and traced numbers do not allow.
"""

from __future__ import annotations

import math
import sys

from tapegrad import _core

# typing and NumPy are slow to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["isclose", "isfinite", "isinf", "isnan"]


def isnan(x: Any) -> Any:
    """Return True if `x` is NaN.

    `x` is a real number, a Value, a traced number, or a NumPy array of these; an array gives an
    array of bools. In a compiled function the answer becomes a guard, as with a comparison. Raises
    TypeError for anything else.

    >>> isnan(Value(0.0) / 0.0), isnan(2.0)
    (True, False)
    """
    return _each(_isnan, "isnan", x)


def isinf(x: Any) -> Any:
    """Return True if `x` is infinite, of either sign. Arguments and result are as in `isnan`.

    >>> isinf(Value(0.0).log())
    True
    """
    return _each(_isinf, "isinf", x)


def isfinite(x: Any) -> Any:
    """Return True if `x` is neither infinite nor NaN. Arguments and result are as in `isnan`.

    >>> grad(lambda x: x * x if isfinite(1.0 / x) else x)(0.0)
    1.0
    """
    return _each(_isfinite, "isfinite", x)


def isclose(a: Any, b: Any, *, rel_tol: float = 1e-09, abs_tol: float = 0.0) -> Any:
    """Return True if `a` and `b` are close, as `math.isclose` defines it.

    They are close if their difference is at most `rel_tol` times the larger magnitude, or at most
    `abs_tol`. Arrays broadcast and give an array of bools. Raises ValueError for a negative
    tolerance, and TypeError for an argument that `isnan` does not take.

    >>> isclose(Value(1.0), 1.0 + 1e-12), isclose(1.0, 1.1, rel_tol=0.2)
    (True, True)
    """
    if rel_tol < 0.0 or abs_tol < 0.0:
        raise ValueError("isclose(): tolerances must be non-negative")

    def close(x: Any, y: Any) -> bool:
        if x == y:
            return True
        if _isinf(x) or _isinf(y):
            return False
        gap = abs(x - y)
        return bool(gap <= rel_tol * abs(y) or gap <= rel_tol * abs(x) or gap <= abs_tol)

    return _each(close, "isclose", a, b)


# Traced numbers are only compared, so that each answer is a single guard.
def _isnan(x: Any) -> bool:
    return bool(x != x)


def _isinf(x: Any) -> bool:
    return bool(abs(x) == math.inf)


def _isfinite(x: Any) -> bool:
    return bool(abs(x) < math.inf)


def _each(ask: Callable[..., bool], name: str, *numbers: Any) -> Any:
    """Return `ask(*numbers)`, or for arrays an array of the answers for their elements."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not any(isinstance(x, numpy.ndarray) for x in numbers):
        return ask(*_numbers(name, *numbers))
    for x in numbers:
        if isinstance(x, numpy.ndarray) and type(x) is not numpy.ndarray:
            raise TypeError(
                f"{name}(): an argument is a '{type(x).__name__}', a subclass of NumPy's array: "
                f"pass a plain array, np.asarray(x)"
            )
    if len(numbers) == 1 and numbers[0].dtype.kind in "fiub":
        return getattr(numpy, name)(numbers[0])
    arrays = numpy.broadcast_arrays(*(numpy.asarray(x, dtype=object) for x in numbers))
    elements = zip(*(array.ravel().tolist() for array in arrays), strict=True)
    answers = [ask(*_numbers(name, *xs)) for xs in elements]
    return numpy.array(answers, dtype=bool).reshape(arrays[0].shape)


def _numbers(name: str, *numbers: Any) -> list[Any]:
    """Return the arguments with all but traced numbers converted to floats."""
    found: list[Any] = []
    for x in numbers:
        try:
            if _core.is_traced(x):
                found.append(x)
            else:
                found.append(x.data if isinstance(x, _core.Value) else _core.primal(x))
        except TypeError:
            raise TypeError(
                f"{name}(): expected a real number, a Value, a traced number or an array of these, "
                f"not '{type(x).__name__}'"
            ) from None
    if any(map(_core.is_traced, numbers)) and any(isinstance(x, _core.Value) for x in numbers):
        raise TypeError(
            f"{name}(): a Value and a traced number cannot be arguments of one operation"
        )
    return found
