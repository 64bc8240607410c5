"""A compiled function takes the path that the function takes, whatever it is told of a number."""

from __future__ import annotations

import array
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tapegrad
from tapegrad import (
    compile,
    exp,
    grad,
    hessian,
    jacfwd,
    jacobian,
    jvp,
    sin,
    stop_gradient,
    value_and_grad,
    vjp,
)

Function = Callable[..., Any]

NUMBERS = [2.5, -2.5, 0.0, -0.0, 3.0, -3.0, 0.5, 1.5, -0.5, 1e-9, 7.25, -1e3, 1e20]


def assert_same(f: Function, points: list[tuple[float, ...]]) -> Any:
    """Value and gradient compiled as eager, each point met twice, in two orders."""
    both = tuple(range(len(points[0])))
    eager, compiled, slopes = f, compile(f), compile(value_and_grad(f, both))
    for point in [*points, *reversed(points)]:
        expected = eager(*point)
        found = compiled(*point)
        assert type(found) is float
        assert (found, math.copysign(1.0, found)) == (expected, math.copysign(1.0, expected))
        assert slopes(*point) == value_and_grad(f, both)(*point)
        assert grad(compiled, both)(*point) == grad(f, both)(*point)
    return compiled


ONE = [(x,) for x in NUMBERS]
TWO = [(x, y) for x in NUMBERS for y in NUMBERS]

# What Python can be told of one number.
QUESTIONS: dict[str, Function] = {
    "bool": lambda x: x * 2.0 if x else x + 7.0,
    "not": lambda x: x * 2.0 if not x else x + 7.0,
    "data": lambda x: x * (x.data if hasattr(x, "data") else x),
    "int": lambda x: x * int(x),
    "round": lambda x: x * round(x),
    "round to digits": lambda x: x * round(x, 1),
    "floor": lambda x: x * math.floor(x),
    "ceil": lambda x: x * math.ceil(x),
    "trunc": lambda x: x * math.trunc(x),
    "format with digits": lambda x: x * len(f"{x:.3e}"),
    "float format": lambda x: x * float(f"{x:.1f}"),
    "hash": lambda x: x + hash(x) % 3,
    "in a dict": lambda x: x + {2.5: 1.0, 0.0: 2.0}.get(x, 3.0),
    "in a set": lambda x: x * (2.0 if x in {3.0, 0.5} else 5.0),
    "in a list": lambda x: x * (2.0 if x in [3.0, 0.5] else 5.0),
    "isnan": lambda x: x * 2.0 if tapegrad.isnan(x) else x * 3.0,
    "isinf": lambda x: x * 2.0 if tapegrad.isinf(x) else x * 3.0,
    "isfinite": lambda x: x * 2.0 if tapegrad.isfinite(1.0 / (x + 2.0**-1074)) else x * 3.0,
    "isclose": lambda x: x * 2.0 if tapegrad.isclose(x, 2.0, rel_tol=0.3) else x * 3.0,
    "is_integer": lambda x: x * 2.0 if x.is_integer() else x * 3.0,
    "rint": lambda x: x * np.round(x),
    "round in an array": lambda x: np.sum(np.round(np.array([x, -x]), 1) * x),
    "float of a constant": lambda x: x * float(stop_gradient(x)),
    "digits": lambda x: x * len(str(x)),
    "repr": lambda x: x * len(repr(x)),
    "a sign in the text": lambda x: 2.0 * x if "-" in str(x) else x,
    "where the sign is": lambda x: 2.0 * x if str(x).startswith("-") else x,
    "text as a key": lambda x: x * {"2.5": 2.0, "-0.5": 3.0}.get(str(x), 5.0),
    "text as a key of repr": lambda x: x * {"2.5": 2.0, "-0.5": 3.0}.get(f"{x!r}", 5.0),
    "text that is read again": lambda x: x + 0.0 * float(str(stop_gradient(x))),
    "f-string": lambda x: 2.0 * x if "5" in f"{x}" else x,
    "f-string of repr": lambda x: 2.0 * x if "5" in f"{x!r}" else x,
    "f-string, aligned": lambda x: 2.0 * x if "5" in f"{x!s:>30}" else x,
    "% s": lambda x: 2.0 * x if "5" in "%s" % x else x,  # noqa: UP031
    "% r": lambda x: 2.0 * x if "5" in "%r" % (x,) else x,  # noqa: UP031
    "% d": lambda x: 2.0 * x if "3" in "%d" % x else x,  # noqa: UP031
    "str.format": lambda x: 2.0 * x if "5" in "{} {}".format(x, 1) else x,  # noqa: UP032
    "format": lambda x: 2.0 * x if "5" in format(x) else x,
    "text of a list": lambda x: 2.0 * x if "5" in str([x]) else x,
    "text of an array": lambda x: 2.0 * x if "5" in str(np.array([x])) else x,
    "print": lambda x: x * len(printed(x)),
    "abs": lambda x: abs(x) + x,
    "range": lambda x: sum(x for _ in range(int(abs(x)) % 5)) + 0.0 * 1.0,
}


def printed(x: Any) -> str:
    text = io.StringIO()
    print("x is", x, file=text)
    return text.getvalue()


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_a_function_is_told_of_a_number(name: str) -> None:
    assert_same(QUESTIONS[name], ONE)


# The same, where a derivative is lost.
CONVERSIONS: dict[str, Function] = {
    "float": lambda x: x * float(x),
    "math.isnan": lambda x: x * 2.0 if math.isnan(x) else x * 3.0,
    "math.copysign": lambda x: x * math.copysign(2.0, x),
    "math.sin": lambda x: x + math.sin(x),
    "complex": lambda x: x * complex(x).real,
    "% f": lambda x: x * float("%.2f" % x),  # noqa: UP031
    "array": lambda x: x * array.array("d", [x])[0],
    "numpy": lambda x: x * np.array([x], dtype=float)[0],
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_number_that_becomes_a_float_is_a_guard_and_has_no_derivative(name: str) -> None:
    f = CONVERSIONS[name]
    compiled = compile(f)
    for (x,) in [*ONE, *reversed(ONE)]:
        assert compiled(x) == f(x)
        for derivative in (grad, value_and_grad, jacobian, jacfwd, hessian):
            with pytest.raises(TypeError, match=f"not converted to float at {__file__}:"):
                derivative(compiled)(x)
        with pytest.raises(TypeError, match="not converted to float"):
            jvp(compiled, (x,), (1.0,))
        with pytest.raises(TypeError, match="not converted to float"):
            vjp(compiled, x)[1](1.0)
        with pytest.raises(TypeError, match="not converted to float"):
            grad(lambda x: 2.0 * compiled(x))(x)
        assert compiled(x) == f(x)
    assert all(guard.startswith("float(a) == ") for p in compiled.programs for guard in p.guards)


COMPARISONS: dict[str, Function] = {
    "<": lambda x, y: x * 2.0 if x < y else y * 3.0,
    "<=": lambda x, y: x * 2.0 if x <= y else y * 3.0,
    ">": lambda x, y: x * 2.0 if x > y else y * 3.0,
    ">=": lambda x, y: x * 2.0 if x >= y else y * 3.0,
    "==": lambda x, y: x * 2.0 if x == y else y * 3.0,
    "!=": lambda x, y: x * 2.0 if x != y else y * 3.0,
    "chained": lambda x, y: x * 2.0 if -1.0 < x <= y < 5.0 else y * 3.0,
    "with constants": lambda x, y: x * 2.0 if x < 1.0 else (y if y > 0 else -y),
    "and or": lambda x, y: (x and y) + (x or y) * 2.0,
    "max": lambda x, y: max(x, y, 1.0) * x,
    "min": lambda x, y: min([y, x, 1]) * x,
    "sorted": lambda x, y: sum(k * z for k, z in enumerate(sorted([x, y, 0.7, x * y]))),
    "sorted by key": lambda x, y: sorted([x, y, 1.0], key=lambda z: -abs(z))[1] * x,
    "index of the largest": lambda x, y: [x, y, x + y].index(max(x, y, x + y)) * x,
    "a huge int": lambda x, y: x if x < 10**400 else y,
    "two branches": lambda x, y: (x if x > 0 else -x) * (y if y > 1 else 2.0 * y),
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(name: str) -> None:
    assert_same(COMPARISONS[name], TWO)


def divided(f: Function) -> Function:
    """Where Python's floats raise ZeroDivisionError, the message is the result."""

    def g(x: Any, y: Any) -> Any:
        try:
            return f(x, y)
        except ZeroDivisionError:
            return x * 100.0

    return g


DIVISIONS: dict[str, Function] = {
    "//": lambda x, y: (x // y) * x,
    "// of a constant": lambda x, y: (7.5 // y) * x,
    "// by a constant": lambda x, y: (x // 1.5) * y,
    "// by a negative constant": lambda x, y: (x // -2) * y,
    "divmod": lambda x, y: divmod(x, y)[0] * x + divmod(x, y)[1],
    "divmod by a constant": lambda x, y: sum(divmod(x, 0.7)) * y,
    "%": lambda x, y: x % y if y != 0 else x,
    "% by a constant": lambda x, y: (x % 1.5) * y,
    "% by a negative constant": lambda x, y: (x % -1.5) * y,
    "% of a constant": lambda x, y: 7.5 % y if y != 0 else x,
}


@pytest.mark.parametrize("name", DIVISIONS)
def test_divisions_are_those_of_pythons_floats(name: str) -> None:
    assert_same(divided(DIVISIONS[name]), TWO)


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False).filter(bool),
)
@example(-1.9417955261286604e16, 4.75)  # their quotient ends in .5 once 1 is taken from it
def test_quotient_and_remainder_of_any_two_floats(x: float, y: float) -> None:
    expected = divmod(x, y)
    for f in (compile(lambda x, y: [*divmod(x, y)]), compile(lambda x, y: [x // y, x % y])):
        found = f(x, y)
        for one, other in zip(found, expected, strict=True):
            assert one == other or (one != one and other != other)
            assert math.copysign(1.0, one) == math.copysign(1.0, other) or one != one


def test_slopes_of_remainders() -> None:
    """x % y is x - y * floor(x / y)."""
    for wrap in (lambda f: f, compile):
        assert wrap(grad(lambda x, y: x % y, (0, 1)))(7.5, 2.0) == (1.0, -3.0)
        assert wrap(grad(lambda x, y: x % y, (0, 1)))(-7.5, 2.0) == (1.0, 4.0)
        assert wrap(grad(lambda x: 7.5 % x))(2.0) == -3.0
        assert wrap(grad(lambda x: (x // 2.0) * x))(7.5) == 3.0


@pytest.mark.parametrize("f", [lambda x, y: x // y, divmod, lambda x, y: 1.0 // y])
def test_floor_division_by_zero_raises_as_floats_do(f: Function) -> None:
    first = lambda x, y: f(x, y)[0] if f is divmod else f(x, y)  # noqa: E731
    for g in (grad(first), compile(first), compile(grad(first))):
        for y in (0.0, -0.0):
            with pytest.raises(ZeroDivisionError):
                g(1.0, y)
        g(5.0, 2.0)
        with pytest.raises(ZeroDivisionError):
            g(1.0, 0.0)


class TestIndexing:
    def test_a_whole_number_is_an_index(self) -> None:
        def f(x: Any, k: Any) -> Any:
            return [10.0, 20.0, 30.0][k] * x

        g = compile(f)
        for k in (0.0, 2.0, -1.0, 1, 0.0):
            assert g(2.0, k) == f(2.0, int(k))
            assert grad(f)(2.0, int(k)) == grad(g)(2.0, k)
        assert len(g.programs) == 4

    def test_inside_an_array(self) -> None:
        g = compile(lambda xs, k: xs[int(k)] * 2.0)
        for k in (0.5, 1.5, 2.9, -1.2):
            assert g(np.array([1.0, 2.0, 3.0]), k) == 2.0 * [1.0, 2.0, 3.0][int(k)]

    def test_a_number_that_is_not_whole_is_none(self) -> None:
        for f in (grad(lambda x: [x][x]), compile(lambda x: [x, x, x][x])):
            with pytest.raises(TypeError, match=r"value 0\.5 is no index"):
                f(0.5)

    @pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf])
    def test_nan_and_infinity_are_no_integers(self, x: float) -> None:
        kinds = [int, round, math.floor, math.ceil, math.trunc]
        for kind in kinds:
            for wrap in (grad, compile):
                with pytest.raises((ValueError, OverflowError)) as raised:
                    wrap(lambda x: x * kind(x))(x)  # noqa: B023
                with pytest.raises(raised.type):
                    kind(x)
        with pytest.raises((TypeError, ValueError, OverflowError)):
            compile(lambda x: [x][x])(x)

    def test_large_integers_are_exact(self) -> None:
        for x in (2.0**53, 1e22, -1e300, 2.0**63, -(2.0**63), 2.0**64):
            for kind in (int, round, math.floor, math.ceil, math.trunc):
                seen = []
                compile(lambda x: (seen.append(kind(x)), x)[1])(x)  # noqa: B023
                assert seen == [kind(x)]


class TestSpecialNumbers:
    @pytest.mark.parametrize(
        "name", ["bool", "data", "hash", "float of a constant", "a sign in the text", "in a list"]
    )
    def test_nan_and_zeros_of_both_signs(self, name: str) -> None:
        f = QUESTIONS[name]
        g = compile(f)
        for x in (math.inf, 0.0, -0.0, -math.inf, 1.0, math.nan, -0.0, 0.0, math.nan):
            found, expected = g(x), f(x)
            if name == "hash" and x != x:
                continue  # the hash of a NaN is its object's
            assert np.array(found).tobytes() == np.array(float(expected)).tobytes() or (
                found != found and expected != expected
            )

    @pytest.mark.parametrize("name", COMPARISONS)
    def test_comparisons_with_nan(self, name: str) -> None:
        f = COMPARISONS[name]
        g = compile(f)
        for point in [
            (1.0, 2.0),
            (math.nan, 2.0),
            (2.0, math.nan),
            (math.nan,) * 2,
            (2.0, 1.0),
        ] * 2:
            found, expected = g(*point), f(*point)
            assert found == expected or (found != found and expected != expected)


class TestLoops:
    def test_that_end_on_data(self) -> None:
        def root(a: Any) -> Any:
            x = a
            while abs(x * x - a) > 1e-12 * a:
                x = 0.5 * (x + a / x)
            return x

        g = compile(root)
        for a in (2.0, 3.0, 1e4, 0.01, 2.5, 1.0, 1e-8, 2.0):
            assert g(a) == root(a)
            assert grad(g)(a) == grad(root)(a)
        programs = len(g.programs)
        for a in (2.0, 3.0, 1e4, 0.01, 2.5, 1.0, 1e-8):
            g(a)
        assert len(g.programs) == programs

    def test_bisection(self) -> None:
        def zero(shift: Any) -> Any:
            low, high = 0.0, 4.0
            while high - low > 1e-6:
                middle = 0.5 * (low + high)
                if sin(middle * 0.5) - shift < 0:
                    low = middle
                else:
                    high = middle
            return low + 0.0 * shift

        g = compile(zero)
        for shift in (0.1, 0.5, 0.9, 0.1, 0.55):
            assert g(shift) == zero(shift)

    def test_a_sorting_network_of_python(self) -> None:
        def bubble(xs: Any) -> Any:
            xs = list(xs)
            for i in range(len(xs)):
                for j in range(len(xs) - 1 - i):
                    if xs[j] > xs[j + 1]:
                        xs[j], xs[j + 1] = xs[j + 1], xs[j]
            return sum(k * x for k, x in enumerate(xs))

        g = compile(value_and_grad(bubble))
        for xs in ([3.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [3.0, 1.5, 2.5]):
            ranks = [float(sorted(xs).index(x)) for x in xs]
            assert g(xs) == (sum(k * x for k, x in enumerate(sorted(xs))), ranks)

    def test_many_paths_are_all_kept_and_found(self) -> None:
        runs = []

        def f(xs: Any) -> Any:
            runs.append(1)
            return sum((k + 1.0) * x if x > 0 else x * x for k, x in enumerate(xs))

        g = compile(f)
        signs = [[1.0 if n >> k & 1 else -1.0 for k in range(7)] for n in range(128)]
        with pytest.warns(RuntimeWarning, match="recorded again"):
            list(map(g, signs))
        assert len(g.programs) == 128
        runs.clear()
        for xs in signs:
            assert g(xs) == sum((k + 1.0) * x if x > 0 else 1.0 for k, x in enumerate(xs))
        assert runs == []


class TestQuestionsInsideTransforms:
    def test_a_branch_on_a_slope(self) -> None:
        def f(x: Any) -> Any:
            return x * x if grad(lambda y: y**3 - y)(x) > 0 else exp(x)

        assert_same(f, [(2.0,), (0.1,), (-0.3,), (-4.0,)])

    def test_an_inner_derivative_of_a_branch(self) -> None:
        def f(x: Any) -> Any:
            return x * jacfwd(lambda y: y * y if y > 1 else -y)(x)

        assert_same(f, [(2.0,), (0.5,), (-3.0,), (4.0,)])

    def test_newtons_method_by_an_inner_gradient(self) -> None:
        def minimum(a: Any) -> Any:
            y = a
            while abs(step := grad(lambda y: (y * y - a) ** 2)(y) / 50.0) > 1e-3:
                y = y - step
            return y

        assert_same(minimum, [(2.0,), (1.5,), (3.0,), (2.2,)])

    def test_what_is_told_of_constants_is_no_guard(self) -> None:
        g = compile(lambda x: x * 2.0 if tapegrad.sin(0.5) > 0 else x)
        g(1.0)
        assert g.programs[0].guards == ()
        h = compile(lambda x: x * grad(lambda y: y * y if y > 0 else y)(3.0))
        assert h(2.0) == 12.0
        assert h.programs[0].guards == ()


def test_that_a_number_is_no_index_is_a_guard() -> None:
    def f(x: Any) -> Any:
        try:
            return x * range(1, 9)[x]
        except TypeError:
            return -x

    g = compile(f)
    for x in (2.5, 3.0, 0.0, 7.5, 3.0):
        assert g(x) == (x * (x + 1.0) if x == int(x) else -x)
    assert grad(g)(2.5) == -1.0
    assert grad(g)(3.0) == 4.0


@pytest.mark.parametrize("text", [repr, str, format, "{:}".format, "%s".__mod__, ascii])
def test_digits_that_are_read_are_a_guard(text: Function) -> None:
    """A function may decide by them: printing is recorded again for each number."""
    g = compile(lambda x: (text(x), x * 2.0)[1])
    for x in (1.0, 2.0, 3.0, 1.0):
        assert g(x) == 2.0 * x
    assert [p.guards[0].split("  #")[0] for p in g.programs] == [
        f"digits(a) == {x}" for x in (1.0, 3.0, 2.0)
    ]


def test_a_number_can_be_shown_wherever_it_is() -> None:
    """Also where its trace has ended, and in the middle of an error."""
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x)
        with pytest.raises(ValueError, match=r"what about 2.0\?"):
            raise ValueError(f"what about {x!r}?")
        return x * x

    assert grad(f)(2.0) == 4.0
    assert compile(f)(2.0) == 4.0
    assert {repr(x) for x in kept} == {"Traced(of a trace that has ended)"}


class TestProgram:
    def test_length_counts_bytes_and_text(self) -> None:
        f = compile(lambda x, y: x * sin(y) + x * 2.5)
        program = f.program(2.0, 3.0)
        assert len(program) == 4
        assert program.counts == {"sin": 1, "mul": 2, "add": 1}
        assert program.bytes >= 8 * (1 + 2 + 4)
        assert repr(program) == "<program of <lambda>: 2 inputs, 4 operations, 1 outputs, 0 guards>"
        lines = str(program).splitlines()
        assert lines[0] == "program <lambda>(a, b):"
        assert sorted(line.split(" = ")[1].split()[0] for line in lines[1:-1]) == sorted(
            ["sin", "mul", "mul", "add"]
        )
        assert "2.5" in str(program)
        assert lines[-1].startswith("  return ")

    def test_text_of_the_simplest(self) -> None:
        assert str(compile(lambda x: x).program(1.0)) == "program <lambda>(a):\n  return a"
        assert str(compile(lambda x: 3).program(1.0)) == "program <lambda>(a):\n  return 3.0"

    def test_names_go_on_after_z(self) -> None:
        program = compile(lambda xs: xs[26] + xs[27]).program([1.0] * 28)
        assert "y, z, aa, ab):" in str(program)
        assert "ac = add aa ab" in str(program)

    def test_guards_name_the_line_that_asked(self) -> None:
        def f(x: Any, y: Any) -> Any:
            if x < y:
                x = x * 2.0
            if not x <= 3.0:
                x = x * 3.0
            return x * int(y) * round(x) * (x // y)

        g = compile(f)
        g(1.0, 5.5)
        line = f.__code__.co_firstlineno
        here = f"# {__file__}"
        assert g.programs[0].guards == (
            f"a < b  {here}:{line + 1}",
            f"c <= 3.0  {here}:{line + 3}",
            f"int(b) == 5.0  {here}:{line + 5}",
            f"round(c) == 2.0  {here}:{line + 5}",
            f"not b == 0.0  {here}:{line + 5}",
            f"c // b == 0.0  {here}:{line + 5}",
        )
        assert "  guard a < b" in str(g.programs[0])
        g(10.0, 5.5)
        assert g.programs[0].guards[:2] == (
            f"not a < b  {here}:{line + 1}",
            f"not a <= 3.0  {here}:{line + 3}",
        )

    def test_programs_are_the_last_used_first(self) -> None:
        f = compile(lambda x: x + 1.0 if x > 0 else x * 2.0)
        f(1.0)
        f(-1.0)
        assert [program.counts for program in f.programs] == [{"mul": 1}, {"add": 1}]
        assert f.program(1.0).counts == {"add": 1}
        assert [program.counts for program in f.programs] == [{"add": 1}, {"mul": 1}]
