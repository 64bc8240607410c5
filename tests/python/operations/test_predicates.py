"""isnan, isinf, isfinite and isclose: as math's, of everything that is a number here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tapegrad
from support.contract import run_program
from tapegrad import Value, compile, grad, isclose, isfinite, isinf, isnan, jacfwd

Function = Callable[..., Any]

NUMBERS = [0.0, -0.0, 1.0, -2.5, 1e300, 5e-324, math.inf, -math.inf, math.nan]
OF_ONE: dict[str, tuple[Function, Function]] = {
    "isnan": (isnan, math.isnan),
    "isinf": (isinf, math.isinf),
    "isfinite": (isfinite, math.isfinite),
}
floats = st.floats(allow_nan=True, allow_infinity=True)


def traced(f: Function, *numbers: float) -> Any:
    """What `f` says of traced numbers."""
    seen: list[Any] = []
    grad(lambda xs: (seen.append(f(*xs)), xs[0])[1])(list(numbers))
    return seen[0]


@pytest.mark.parametrize("name", OF_ONE)
@pytest.mark.parametrize("x", NUMBERS)
def test_of_one_number_as_math(name: str, x: float) -> None:
    ours, theirs = OF_ONE[name]
    wanted = theirs(x)
    for found in (ours(x), ours(np.float64(x)), ours(np.array(x)[()]), ours(Value(x))):
        assert found is wanted
    assert traced(ours, x) is wanted
    assert ours(np.array([x, 1.0])).tolist() == [wanted, theirs(1.0)]
    assert ours(np.array([[Value(x)], [Value(1.0)]])).tolist() == [[wanted], [theirs(1.0)]]
    assert ours(np.array([2.0, 1.0], dtype=np.float32)).dtype == bool


@pytest.mark.parametrize("number", [3, True, Fraction(1, 3), np.int8(4), np.bool_(1), 10**300])
def test_of_numbers_of_every_kind(number: Any) -> None:
    assert (isnan(number), isinf(number), isfinite(number)) == (False, False, True)
    assert isclose(number, number) is True


@pytest.mark.parametrize("rel_tol", [0.0, 1e-9, 0.5, 2.0, math.inf])
@pytest.mark.parametrize("abs_tol", [0.0, 1e-3, 1e300, math.inf])
def test_isclose_as_math(rel_tol: float, abs_tol: float) -> None:
    for a, b in itertools.product([*NUMBERS, 1.0 + 1e-10, 1.4, -2.4, 1e-4], repeat=2):
        wanted = math.isclose(a, b, rel_tol=rel_tol, abs_tol=abs_tol)

        def close(x: Any, y: Any) -> Any:
            return isclose(x, y, rel_tol=rel_tol, abs_tol=abs_tol)

        assert close(a, b) is wanted
        assert close(Value(a), b) is wanted
        assert close(a, Value(b)) is wanted
        assert traced(close, a, b) is wanted
        assert traced(lambda x, _, b=b: close(x, b), a, b) is wanted


@given(floats, floats, st.floats(0.0, 1.0), st.floats(0.0, 10.0))
@example(1e308, -1e308, 0.9, 0.0)
@example(5e-324, 0.0, 0.9, 0.0)
def test_isclose_as_math_anywhere(a: float, b: float, rel_tol: float, abs_tol: float) -> None:
    wanted = math.isclose(a, b, rel_tol=rel_tol, abs_tol=abs_tol)
    assert isclose(a, b, rel_tol=rel_tol, abs_tol=abs_tol) is wanted
    assert traced(lambda x, y: isclose(x, y, rel_tol=rel_tol, abs_tol=abs_tol), a, b) is wanted


def test_isclose_of_arrays_is_broadcast() -> None:
    a = np.array([[1.0], [2.0]])
    b = np.array([1.0, 2.0, 2.0 + 1e-12])
    assert isclose(a, b).tolist() == [[True, False, False], [False, True, True]]
    assert isclose(b, 2.0).tolist() == [False, True, True]
    assert isclose(np.array([Value(1.0), Value(3.0)]), [1.0, 2.0], rel_tol=0.1).tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize("name", OF_ONE)
def test_the_answer_is_a_guard(name: str) -> None:
    ours, theirs = OF_ONE[name]
    f = compile(lambda x: x * 2.0 if ours(x) else 3.0 + x)
    for x in [*NUMBERS, *NUMBERS]:
        found, wanted = f(x), x * 2.0 if theirs(x) else 3.0 + x
        assert found == wanted or (found != found and wanted != wanted)
    assert len(f.programs) == 2


def test_isclose_is_a_guard() -> None:
    f = compile(lambda x, y: x * 2.0 if isclose(x, y, rel_tol=0.1) else y)
    for x, y in [(1.0, 1.05), (1.0, 2.0), (2.0, 2.0), (math.inf, 1.0), (math.inf, math.inf)] * 2:
        assert f(x, y) == (x * 2.0 if math.isclose(x, y, rel_tol=0.1) else y)
    assert grad(f)(1.0, 1.05) == 2.0


def test_inside_transforms() -> None:
    def f(x: Any) -> Any:
        y = 1.0 / x
        return y * y if isfinite(y) and not isnan(y) else x * 5.0

    for derivative in (grad, jacfwd):
        assert derivative(f)(2.0) == -0.25
        assert derivative(f)(0.0) == 5.0


@pytest.mark.parametrize("bad", ["1.0", None, 1j, [1.0], (1.0,), {}, object()])
def test_what_is_no_number_is_a_type_error_that_names_it(bad: Any) -> None:
    for name, (ours, _) in OF_ONE.items():
        with pytest.raises(TypeError, match=rf"{name}\(\): .*'{type(bad).__name__}'"):
            ours(bad)
    for pair in ((bad, 1.0), (1.0, bad)):
        with pytest.raises(TypeError, match=rf"isclose\(\): .*'{type(bad).__name__}'"):
            isclose(*pair)
    with pytest.raises(TypeError):
        isnan(np.array([bad, object()], dtype=object))


def test_bad_arguments() -> None:
    for tolerances in ({"rel_tol": -1.0}, {"abs_tol": -1e-9}):
        with pytest.raises(ValueError, match="non-negative"):
            isclose(1.0, 1.0, **tolerances)
    with pytest.raises(ValueError, match="broadcast"):
        isclose(np.ones(2), np.ones(3))
    with pytest.raises(TypeError):
        isnan(np.array(["a"]))
    with pytest.raises(TypeError, match="a Value and a traced number"):
        grad(lambda x: x if isclose(x, Value(1.0)) else -x)(1.0)
    with pytest.raises(TypeError):
        isclose(1.0, 2.0, 0.1)  # type: ignore[misc]


def test_they_are_public() -> None:
    assert {"isnan", "isinf", "isfinite", "isclose"} <= {*tapegrad.__all__, *dir(tapegrad)}


def test_numpy_is_not_imported_for_them() -> None:
    done = run_program(
        """
        import sys
        from tapegrad import Value, isclose, isfinite, isinf, isnan
        print(isnan(Value(1.0)), isinf(2), isfinite(3.0), isclose(Value(1.0), 1.0))
        print("numpy" in sys.modules)
        """
    )
    assert (done.stdout, done.stderr) == ("False False True True\nFalse\n", "")
