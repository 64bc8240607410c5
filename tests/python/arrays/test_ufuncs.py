"""NumPy's ufuncs on object arrays of Values and of traced numbers: right, or a clear error."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad
from tapegrad import Value, compile, grad, hessian, jacfwd

Function = Callable[..., Any]

UFUNCS = sorted(
    name
    for name in dir(np)
    if isinstance(getattr(np, name), np.ufunc) and getattr(np, name).signature is None
)
# Among these every NumPy since 1.24 has those that must work.
WORK = (
    "absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt conjugate cos "
    "cosh deg2rad degrees divide exp exp2 expm1 fabs hypot log log10 log1p log2 maximum "
    "minimum multiply negative positive power rad2deg radians reciprocal rint sign sin sinh "
    "sqrt square subtract tan tanh true_divide"
)
# Inside their domains, off all kinks and jumps.
POINTS = [(0.37, 0.83), (0.61, 0.29), (1.7, 2.3)]


def number(x: Any) -> Any:
    """What a ufunc gave, as a number of the kind that it is of; None of no number."""
    x = x[0] if isinstance(x, tuple) else x
    x = x.ravel()[0] if isinstance(x, np.ndarray) else x
    return None if isinstance(x, bool | np.bool_ | complex) else x


def plain(ufunc: Any, point: tuple[float, ...]) -> float | None:
    """Its value on floats, where it takes them and gives a finite float."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = number(ufunc(*point))
    except TypeError:
        return None
    return float(found) if found is not None and np.isfinite(found) else None


def slopes(ufunc: Any, point: tuple[float, ...], step: float = 1e-6) -> list[float]:
    found = []
    for k in range(len(point)):
        sides = [
            plain(ufunc, tuple(x + sign * step * (j == k) for j, x in enumerate(point)))
            for sign in (1.0, -1.0)
        ]
        assert sides[0] is not None
        assert sides[1] is not None
        found.append((sides[0] - sides[1]) / (2.0 * step))
    return found


def cases(arity: int) -> list[str]:
    return [name for name in UFUNCS if getattr(np, name).nin == arity]


def points(ufunc: Any) -> list[tuple[float, ...]]:
    known = [point[: ufunc.nin] for point in POINTS]
    return [point for point in known if plain(ufunc, point) is not None]


def applied(ufunc: Any, operands: list[Any]) -> Any:
    """On arrays of one object each."""
    return number(ufunc(*(np.array([x], dtype=object) for x in operands)))


@pytest.mark.parametrize("name", [*cases(1), *cases(2)])
def test_values(name: str) -> None:
    ufunc = getattr(np, name)
    for point in points(ufunc):
        operands = [Value(x) for x in point]
        try:
            result = applied(ufunc, operands)
        except (TypeError, AttributeError):  # NumPy has no loop, or the number no method
            if name in WORK.split():
                raise
            continue
        if result is None or result is NotImplemented:
            continue
        assert getattr(result, "data", result) == pytest.approx(plain(ufunc, point), rel=1e-14)
        if isinstance(result, Value):
            result.backward()
        found = [x.grad for x in operands]
        assert found == pytest.approx(slopes(ufunc, point), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", [*cases(1), *cases(2)])
@pytest.mark.parametrize("derivative", [grad, jacfwd, lambda f: grad(compile(f))])
def test_traced_numbers(name: str, derivative: Function) -> None:
    ufunc = getattr(np, name)

    def f(xs: Any) -> Any:
        result = applied(ufunc, list(xs))
        if result is None:
            raise TypeError("not of numbers")
        return result

    for point in points(ufunc):
        try:
            found = derivative(f)(list(point))
        except (TypeError, AttributeError):  # NumPy has no loop, or the number no method
            if name in WORK.split():
                raise
            continue
        assert found == pytest.approx(slopes(ufunc, point), rel=1e-6, abs=1e-8)
        assert compile(f)(list(point)) == pytest.approx(plain(ufunc, point), rel=1e-14)


@pytest.mark.parametrize("name", [*cases(1), *cases(2)])
def test_of_one_object_as_of_an_array_of_it(name: str) -> None:
    """`np.exp(v)` and its kind."""
    ufunc = getattr(np, name)
    for point in points(ufunc):
        try:
            found = number(ufunc(*map(Value, point)))
        except (TypeError, AttributeError):  # NumPy has no loop, or the number no method
            if name in WORK.split():
                raise
            continue
        if isinstance(found, Value):
            assert found.data == pytest.approx(plain(ufunc, point), rel=1e-14)


def numbers(kind: str, f: Function, xs: list[float]) -> tuple[float, list[float]]:
    """The value of `f` of an array, and its gradient."""
    if kind == "traced":
        value, slope = tapegrad.value_and_grad(f)(np.array(xs))
        return value, slope.tolist()
    operands = [Value(x) for x in xs]
    result = f(np.array(operands))
    if isinstance(result, Value):
        result.backward()
    return float(getattr(result, "data", result)), [x.grad for x in operands]


REDUCTIONS: dict[str, Function] = {
    "std": np.std,
    "std of a sample": lambda x: np.std(x, ddof=1),
    "var": np.var,
    "var along an axis": lambda x: np.var(x.reshape(2, 2), axis=0).sum(),
    "std method": lambda x: x.std(),
    "mean": np.mean,
    "median": np.median,
    "prod": np.prod,
    "ptp": np.ptp,
    "max": np.max,
    "round": lambda x: (np.round(x) * x).sum(),
    "round to digits": lambda x: (np.round(x, 1) * x).sum(),
    "round to tens": lambda x: (np.round(x * 37.0, -1) * x).sum(),
    "round method": lambda x: (x.round(2) * x).sum(),
    "round, then a root": lambda x: np.sqrt(np.round(x * x * 4.0 + 0.1)).sum() + x[0],
    "around": lambda x: (np.around(x, 1) * x).sum(),
    "radians": lambda x: np.radians(x).sum(),
    "degrees": lambda x: np.rad2deg(x**2).sum(),
    "real": lambda x: (np.real(x) * x.real).sum(),
    "imag": lambda x: np.imag(x).sum() + x[0],
    "conjugate": lambda x: (np.conj(x) * x.conj()).sum(),
    "norm": np.linalg.norm,
    "vdot": lambda x: np.vdot(x, x),
    "average": lambda x: np.average(x, weights=[1.0, 2.0, 3.0, 4.0]),
    "real of a number": lambda x: x[0].real * x[1].conjugate() + x[2].imag,
}


@pytest.mark.parametrize("kind", ["Value", "traced"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_functions_of_arrays(name: str, kind: str) -> None:
    f, xs, step = REDUCTIONS[name], [0.34, 1.27, -0.83, 2.41], 1e-6
    value, found = numbers(kind, f, xs)
    assert value == pytest.approx(float(f(np.array(xs))), rel=1e-14)
    wanted = [
        float(f(np.array(xs) + move) - f(np.array(xs) - move)) / (2.0 * step)
        for move in np.eye(4) * step
    ]
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("x", [0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -2.7, 1e17, -1e300, 3.0])
class TestFloatsMethods:
    """What both kinds of number have of a float."""

    def test_as_a_float(self, x: float) -> None:
        seen: list[Any] = []

        def ask(y: Any) -> Any:
            plain = np.float64(getattr(y, "data", y))
            made = (y.real, y.conjugate(), y.rint(), y.fabs())
            seen.append([y.is_integer(), y.imag, *map(float_of, made)])
            assert seen[-1] == [x.is_integer(), 0.0, x, x, np.rint(x), abs(x)]
            assert np.copysign(1.0, float_of(y.rint())) == np.copysign(1.0, np.rint(x))
            for name in ("radians", "degrees", "deg2rad", "rad2deg"):
                assert float_of(getattr(y, name)()) == getattr(np, name)(plain)
            return y * 1.0

        ask(Value(x))
        grad(ask)(x)
        compile(ask)(x)
        assert len(seen) == 3

    def test_rint_is_a_constant_of_the_same_kind(self, x: float) -> None:
        v = Value(x)
        assert type(v.rint()) is Value
        assert v.rint()._prev == set()
        assert grad(lambda y: y.rint())(x) == 0.0
        assert grad(lambda y: y.rint() * y)(x) == np.rint(x)
        assert hessian(lambda y: y.rint() * y)(x) == 0.0


def float_of(x: Any) -> float:
    return float(getattr(x, "data", x))


@pytest.mark.parametrize("x", [np.inf, -np.inf, np.nan])
def test_floats_that_are_not_finite(x: float) -> None:
    for ask in (lambda y: y.is_integer(), lambda y: y.rint().data == np.rint(x) or x != x):
        wanted = ask(Value(x))
        seen: list[Any] = []
        grad(lambda y, ask=ask, seen=seen: (seen.append(ask(y)), y)[1])(x)
        assert seen == [wanted]
    assert not Value(x).is_integer()


@pytest.mark.parametrize("name", ["real", "imag"])
def test_a_value_may_keep_something_of_its_own_there(name: str) -> None:
    class Complex(Value):
        def __init__(self, data: float) -> None:
            super().__init__(data)
            setattr(self, name, [data])

    for v in (Value(2.0), Complex(2.0)):
        usual = getattr(Value(2.0), name)
        setattr(v, name, [v])
        again = copy.copy(v)
        assert getattr(v, name) == getattr(again, name) == vars(v)[name] == [v]
        delattr(v, name)
        assert getattr(v, name) in (v, usual)
        with pytest.raises(AttributeError):
            delattr(v, name)
    x = grad(lambda x: setattr(x, name, 1.0))
    with pytest.raises(AttributeError):
        x(1.0)


def test_real_and_imag_end_with_the_trace() -> None:
    kept: list[Any] = []
    grad(lambda x: (kept.append(x), x)[1])(1.0)
    for name in ("real", "imag"):
        with pytest.raises(RuntimeError, match="ended"):
            getattr(kept[0], name)
    for name in ("conjugate", "is_integer", "radians", "fabs", "rint"):
        with pytest.raises(RuntimeError, match="ended"):
            getattr(kept[0], name)()


def test_a_subclass_keeps_its_own() -> None:
    class Named(Value):
        real = "mine"

        def conjugate(self) -> Any:
            return "mine too"

    v = Named(2.0)
    assert (v.real, v.conjugate()) == ("mine", "mine too")
    assert v.rint().data == 2.0
