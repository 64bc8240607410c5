"""Valid names of C functions."""

from __future__ import annotations

import re

__all__ = ["c_name", "checked_c_name"]

# The keywords of C99 6.4.1 and the names in <math.h> (7.12), which has most functions for float
# and long double too.
_KEYWORDS = """auto break case char const continue default do double else enum extern float for goto
if inline int long register restrict return short signed sizeof static struct switch typedef union
unsigned void volatile while"""
_FUNCTIONS = """acos asin atan atan2 cos sin tan acosh asinh atanh cosh sinh tanh exp exp2 expm1
frexp ilogb ldexp log log10 log1p log2 logb modf scalbn scalbln cbrt fabs hypot pow sqrt erf erfc
lgamma tgamma ceil floor nearbyint rint lrint llrint round lround llround trunc fmod remainder
remquo copysign nan nextafter nexttoward fdim fmax fmin fma"""
_MACROS = """fpclassify isfinite isinf isnan isnormal signbit isgreater isgreaterequal isless
islessequal islessgreater isunordered float_t double_t math_errhandling"""
_TAKEN = frozenset(
    f"{_KEYWORDS} {_MACROS} main".split()
    + [function + suffix for function in _FUNCTIONS.split() for suffix in ("", "f", "l")]
)
# The names that C99 7.1.3 and 7.12 reserve, and the prefix of the functions that programs define.
_RESERVED = re.compile(r"_\w*|FP_\w*|MATH_\w*|HUGE_VAL[FL]?|INFINITY|NAN|tapegrad_\w*", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def c_name(name: str) -> str:
    """Return a valid C function name as close as possible to a Python function's `name`."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    near = "_".join(words) if words and not words[0][0].isdigit() else "_".join(["f", *words])
    return f"{near}_" if _is_taken(near) else near


def checked_c_name(name: str) -> str:
    """Return `name` if a C function can have it.

    Raises TypeError unless it is a string, and ValueError if it is no identifier or is reserved.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not '{type(name).__name__}'")
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"name must be a C identifier, of letters, digits and _, not {name!r}")
    if _is_taken(name):
        raise ValueError(f"name must be one that C or <math.h> does not reserve, not {name!r}")
    return name


def _is_taken(name: str) -> bool:
    return name in _TAKEN or _RESERVED.fullmatch(name) is not None
