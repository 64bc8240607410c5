"""Derivatives of every operation, to many digits and of any order: Taylor polynomials of mpmath's.

A `Jet` is the Taylor polynomial of a function of several variables at one point. Sums, products and
the elementary functions below are exact on them but for rounding, which `DIGITS` makes too small to
matter even where terms cancel at 1e-300 beside 1e300.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from mpmath import mp  # type: ignore[import-untyped]

# mpmath.mpf; it has no types.
Number = Any
Index = tuple[int, ...]

DIGITS = 130
# Where one operand may be 1e-300 and the other 1e300, to the square of the ratio.
MOST_DIGITS = 1400


@functools.cache
def indices(variables: int, degree: int) -> list[Index]:
    """The exponents of all monomials up to the degree."""
    ranges = itertools.product(range(degree + 1), repeat=variables)
    return sorted((index for index in ranges if sum(index) <= degree), key=lambda i: (sum(i), i))


@functools.cache
def products(variables: int, degree: int) -> list[tuple[int, int, int]]:
    """Which coefficients a product multiplies, and where it adds them."""
    places = {index: k for k, index in enumerate(indices(variables, degree))}
    return [
        (i, j, places[total])
        for first, i in places.items()
        for second, j in places.items()
        if (total := tuple(a + b for a, b in zip(first, second, strict=True))) in places
    ]


class Jet:
    """A Taylor polynomial: its coefficients in the order of `indices`."""

    def __init__(self, variables: int, degree: int, coefficients: list[Number]) -> None:
        self.variables, self.degree, self.coefficients = variables, degree, coefficients

    @classmethod
    def variable(cls, point: Sequence[float], k: int, degree: int) -> Jet:
        """The k-th of the variables at the point."""
        wanted = tuple(int(j == k) for j in range(len(point)))
        every = indices(len(point), degree)
        coefficients = [mp.mpf(int(index == wanted)) for index in every]
        coefficients[0] = mp.mpf(point[k])
        return cls(len(point), degree, coefficients)

    def _with(self, coefficients: list[Number]) -> Jet:
        return Jet(self.variables, self.degree, coefficients)

    def __add__(self, other: Jet | float) -> Jet:
        if isinstance(other, Jet):
            pairs = zip(self.coefficients, other.coefficients, strict=True)
            return self._with([a + b for a, b in pairs])
        return self._with([self.coefficients[0] + other, *self.coefficients[1:]])

    def __mul__(self, other: Jet | float) -> Jet:
        if not isinstance(other, Jet):
            return self._with([a * other for a in self.coefficients])
        total = [mp.mpf(0)] * len(self.coefficients)
        for i, j, k in products(self.variables, self.degree):
            if self.coefficients[i] and other.coefficients[j]:
                total[k] += self.coefficients[i] * other.coefficients[j]
        return self._with(total)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Jet:
        return self * -1

    def __sub__(self, other: Jet | float) -> Jet:
        return self + -other

    def __rsub__(self, other: float) -> Jet:
        return -self + other

    def __truediv__(self, other: Jet) -> Jet:
        return self * power(other, -1)

    def of(self, series: Callable[[int, Number], Number]) -> Jet:
        """A function of this, from its k-th derivative over k! at a number."""
        at = self.coefficients[0]
        rest = self._with([mp.mpf(0), *self.coefficients[1:]])
        total = self * 0 + series(self.degree, at)
        for k in range(self.degree - 1, -1, -1):
            total = total * rest + series(k, at)
        return total

    def derivative(self, index: Index) -> Number:
        """The partial derivative of these orders."""
        k = indices(self.variables, self.degree).index(index)
        return self.coefficients[k] * math.prod(map(math.factorial, index))


def power(x: Jet, exponent: Number) -> Jet:
    """x to a plain number, of a positive x unless that is whole."""

    first = exponent == 0.5 and mp.sqrt(x.coefficients[0])

    def series(k: int, at: Number) -> Number:
        binomial = mp.mpf(1)
        for j in range(k):
            binomial *= mp.mpf(exponent - j) / (j + 1)
        if binomial == 0:
            return mp.mpf(0)
        return binomial * (first / at**k if first else at ** (exponent - k))

    return x.of(series)


def exp(x: Jet) -> Jet:
    """The exponential."""

    def series(k: int, at: Number) -> Number:
        return value / mp.factorial(k)

    value = mp.exp(held(x.coefficients[0]))
    return x.of(series)


def held(x: Number) -> Number:
    """An exponent not so large that mpmath takes its time over a number that no double can tell."""
    return max(min(x, mp.mpf(100000)), mp.mpf(-100000))


def log(x: Jet) -> Jet:
    """The natural logarithm."""
    return x.of(lambda k, at: mp.log(at) if k == 0 else -((-1 / at) ** k) / k)


def sine(x: Jet, quarters: int = 0) -> Jet:
    """The sine of x plus that many quarters of a turn."""

    def series(k: int, at: Number) -> Number:
        turned = (mp.sin(at), mp.cos(at), -mp.sin(at), -mp.cos(at))[(k + quarters) % 4]
        return turned / mp.factorial(k)

    return x.of(series)


def hyperbolic(x: Jet, shift: int = 0) -> Jet:
    """The hyperbolic sine, or its derivative."""

    at = held(x.coefficients[0])
    values = (mp.sinh(at), mp.cosh(at))
    return x.of(lambda k, _: values[(k + shift) % 2] / mp.factorial(k))


def normal_cdf(x: Jet) -> Jet:
    """The distribution function of the normal distribution."""
    density = exp(x * x * mp.mpf(-0.5)) * (1 / mp.sqrt(2 * mp.pi))
    value = mp.erfc(-max(min(x.coefficients[0], 1000), -1000) / mp.sqrt(2)) / 2
    integral = [value] + [c / (k + 1) for k, c in enumerate(density.coefficients[:-1])]
    return Jet(1, x.degree, integral)


def digamma(x: Jet) -> Jet:
    """The derivative of lgamma; mpmath's takes its time, and loses its way far out."""
    if x.coefficients[0] < 0:
        angle = x * mp.pi
        return digamma(1 - x) - sine(angle, 1) / sine(angle) * mp.pi
    steps = max(0, 80 - int(min(x.coefficients[0], 80)))

    def series(k: int, at: Number) -> Number:
        far = at + steps
        tail = mp.fsum(
            mp.bernoulli(2 * j) / mp.mpf(2 * j) / far ** (2 * j + k) * math.comb(2 * j + k - 1, k)
            for j in range(1, 60)
        )
        lead = mp.log(far) if k == 0 else -1 / (k * far**k)
        near = mp.fsum(1 / (at + j) ** (k + 1) for j in range(steps))
        return (-1) ** k * (lead - 1 / (2 * far ** (k + 1)) - tail - near)

    return x.of(series)


def _sum_of_exponentials(xs: Sequence[Jet]) -> Jet:
    # Relative to the largest, which no derivative of the logarithm sees.
    most = max(x.coefficients[0] for x in xs)
    return sum((exp(x - most) for x in xs[1:]), exp(xs[0] - most))


def _logarithm_of_sum(xs: Sequence[Number]) -> Number:
    most = max(xs)
    return mp.log(mp.fsum(mp.exp(held(x - most)) for x in xs))


def _pow(x: Jet, y: Jet) -> Jet:
    if x.coefficients[0] > 0:
        return exp(y * log(x))
    whole = int(y.coefficients[0])  # of a negative base: by x alone
    return power(x, whole)


def _radius(x: Jet, y: Jet) -> Jet:
    return power(x * x + y * y, mp.mpf(0.5))


def _distance(xs: Sequence[Jet]) -> Jet:
    half = len(xs) // 2
    pairs = zip(xs[:half], xs[half:], strict=True)
    return functools.reduce(lambda a, b: a + b, [(x - y) * (x - y) for x, y in pairs])


def _dot(xs: Sequence[Jet]) -> Jet:
    half = len(xs) // 2
    pairs = zip(xs[:half], xs[half:], strict=True)
    return functools.reduce(lambda a, b: a + b, [x * y for x, y in pairs])


def _larger(x: Jet, y: Jet) -> Jet:
    return x if x.coefficients[0] > y.coefficients[0] else y


def _positive(x: Jet) -> bool:
    return bool(x.coefficients[0] > 0)


# Functions of jets; VALUES has those values that they do not have right.
FUNCTIONS: dict[str, Callable[..., Jet]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "pow": _pow,
    "pow_const": power,
    "neg": lambda x: -x,
    "abs": lambda x: x if _positive(x) else -x,
    "square": lambda x: x * x,
    "reciprocal": lambda x: power(x, -1),
    "exp": exp,
    "exp2": lambda x: exp(x * mp.log(2)),
    "expm1": exp,
    "log": log,
    "log1p": lambda x: log(1 + x),
    "log2": lambda x: log(x) * (1 / mp.log(2)),
    "log10": lambda x: log(x) * (1 / mp.log(10)),
    "sqrt": lambda x: power(x, mp.mpf(0.5)),
    "cbrt": lambda x: power(x if _positive(x) else -x, mp.mpf(1) / 3) * (1 if _positive(x) else -1),
    "sin": sine,
    "cos": lambda x: sine(x, 1),
    "sinh": hyperbolic,
    "cosh": lambda x: hyperbolic(x, 1),
    "hypot": _radius,
    "relu": lambda x: x if _positive(x) else x * 0,
    "leaky_relu": lambda x, slope: x if _positive(x) else x * slope,
    "gelu": lambda x: x * normal_cdf(x),
    "silu": lambda x: x * power(1 + exp(-x), -1),
    "maximum": _larger,
    "minimum": lambda x, y: -_larger(-x, -y),
    "clip": lambda x, low, high: -_larger(-_larger(x, low), -high),
    "sum": lambda *xs: sum(xs[1:], xs[0]),
    "dot": lambda *xs: _dot(xs),
    "squared_distance": lambda *xs: _distance(xs),
    "logsumexp": lambda *xs: log(_sum_of_exponentials(xs)),
    "surprisal": lambda *xs: log(_sum_of_exponentials(xs)) - xs[0],
}
# Where the derivative is the simpler function.
SLOPES: dict[str, tuple[Callable[..., Jet], ...]] = {
    "tan": (lambda x: power(sine(x, 1), -2),),
    "asin": (lambda x: power(1 - x * x, mp.mpf(-0.5)),),
    "acos": (lambda x: -power(1 - x * x, mp.mpf(-0.5)),),
    "atan": (lambda x: power(1 + x * x, -1),),
    "atan2": (lambda y, x: x / (x * x + y * y), lambda y, x: -y / (x * x + y * y)),
    "tanh": (lambda x: power(hyperbolic(x, 1), -2),),
    "asinh": (lambda x: power(1 + x * x, mp.mpf(-0.5)),),
    "acosh": (lambda x: power(x * x - 1, mp.mpf(-0.5)),),
    "atanh": (lambda x: power(1 - x * x, -1),),
    "sigmoid": (lambda x: power(hyperbolic(x * mp.mpf(0.5), 1), -2) * mp.mpf(0.25),),
    "softplus": (lambda x: power(1 + exp(-x), -1),),
    "log1mexp": (lambda x: exp(x * mp.mpf(-0.5)) * power(hyperbolic(x * mp.mpf(0.5)) * 2, -1),),
    "erf": (lambda x: exp(-(x * x)) * (2 / mp.sqrt(mp.pi)),),
    "erfc": (lambda x: exp(-(x * x)) * (-2 / mp.sqrt(mp.pi)),),
    "lgamma": (digamma,),
}
# Where the functions of jets have no value, or another one.
VALUES: dict[str, Callable[..., Number]] = {
    "expm1": lambda x: mp.expm1(held(x)),
    "log1p": lambda x: mp.log1p(x),
    "tanh": lambda x: mp.tanh(held(x)),
    "sigmoid": lambda x: 1 / (1 + mp.exp(held(-x))),
    "log1mexp": lambda x: mp.log1p(-mp.exp(-held(x))) if x > 1 else mp.log(-mp.expm1(-x)),
    "softplus": lambda x: max(x, 0) + mp.log1p(mp.exp(held(-abs(x)))),
    "erf": lambda x: mp.erf(max(min(x, 1000), -1000)),
    "erfc": lambda x: mp.erfc(max(min(x, 1000), -1000)),
    "lgamma": lambda x: mp.re(mp.loggamma(x)),
    "logsumexp": lambda *xs: max(xs) + _logarithm_of_sum(xs),
    "surprisal": lambda *xs: max(xs) - xs[0] + _logarithm_of_sum(xs),
}
# Those whose terms cancel far off a diagonal.
CANCELLING = {"hypot", "logsumexp", "surprisal"}


def derivatives(
    name: str, point: Sequence[float], order: int, constant: float | None = None
) -> dict[Index, Number]:
    """All partial derivatives up to the order, that of order 0 apart."""
    with mp.workdps(MOST_DIGITS if name in CANCELLING else DIGITS):
        wanted = [index for index in indices(len(point), order) if sum(index) > 0]
        xs = [Jet.variable(point, k, order) for k in range(len(point))]
        if name not in SLOPES:
            jet = FUNCTIONS[name](*xs, *(() if constant is None else (mp.mpf(constant),)))
            return {index: jet.derivative(index) for index in wanted}
        slopes = [slope(*xs) for slope in SLOPES[name]]
        found = {}
        for index in wanted:
            k = next(k for k, count in enumerate(index) if count)
            less = tuple(count - (j == k) for j, count in enumerate(index))
            found[index] = slopes[k].derivative(less)
        return found


def value(name: str, point: Sequence[float], constant: float | None = None) -> Number:
    """The value at the point."""
    with mp.workdps(MOST_DIGITS if name in CANCELLING else DIGITS):
        if name in VALUES:
            return VALUES[name](*map(mp.mpf, point))
        if name not in FUNCTIONS:
            return getattr(mp, name)(*map(mp.mpf, point))
        xs = [Jet.variable(point, k, 0) for k in range(len(point))]
        jet = FUNCTIONS[name](*xs, *(() if constant is None else (mp.mpf(constant),)))
        return jet.coefficients[0]
