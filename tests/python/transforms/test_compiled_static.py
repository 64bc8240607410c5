"""Arguments of compiled functions that are constants: integers, their arrays, static ones."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapegrad import (
    Value,
    compile,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    stop_gradient,
    value_and_grad,
    vjp,
)
from tapegrad.transforms.compiled import Compiled

Function = Callable[..., Any]

INTEGRAL = ["?", "b", "B", "h", "H", "i", "I", "l", "L", ">i4", ">i8"]
LARGE = [2**53 + 1, -(2**53) - 1, 2**60, 2**63 - 1, 2**64 + 1, 10**30, 10**400, -(10**400)]


def gathered(x: Any, index: Any) -> Any:
    return (x[index] * np.arange(1.0, 1.0 + x[index].size).reshape(x[index].shape)).sum()


class TestIntegerArrays:
    @pytest.mark.parametrize("dtype", INTEGRAL)
    @pytest.mark.parametrize("transform", [compile, grad, jacobian, jacfwd, hessian])
    def test_index(self, transform: Function, dtype: str) -> None:
        f = transform(compile(gathered))
        plain = (lambda g: g) if transform is compile else transform
        x = np.array([1.0, 2.0, 3.0])
        for index in ([0, 1, 1], [1, 1, 0], [0, 1, 1]):
            expected = plain(gathered)(x, np.array(index).astype(dtype))
            np.testing.assert_array_equal(f(x, np.array(index).astype(dtype)), expected)
        assert len(f.programs) == 2

    def test_content_decides_and_not_the_object(self) -> None:
        f = compile(gathered)
        x, index = np.array([1.0, 2.0, 3.0]), np.array([0, 2])
        assert f(x, index) == 7.0
        index[1] = 1
        assert f(x, index) == 5.0
        index[1] = 2
        assert f(x, index) == 7.0
        assert f(2.0 * x, np.array([[0, 0, 2, 0]])[0, ::2]) == 14.0
        assert len(f.programs) == 2

    def test_shape_and_dtype_are_content(self) -> None:
        f = compile(lambda x, n: x * n.ndim * n.itemsize)
        for n in (np.zeros(4, "i4"), np.zeros((2, 2), "i4"), np.zeros(4, "i8"), np.zeros(2, "i8")):
            for _ in range(2):
                assert f(3.0, n) == 3.0 * n.ndim * n.itemsize
        assert len(f.programs) == 4

    def test_what_the_function_writes_is_its_own(self) -> None:
        def f(x: Any, index: Any) -> Any:
            index += 1
            return x[index[0]]

        index = np.array([0])
        g = compile(f)
        assert [g(np.array([1.0, 2.0]), index) for _ in range(3)] == [2.0, 2.0, 2.0]
        assert index.tolist() == [0]

    def test_in_containers_and_keywords(self) -> None:
        f = compile(lambda p, index=None: p["x"][p["rows"][0]].sum() + p["x"][index].sum())
        x = np.arange(4.0)
        p = {"x": x, "rows": [np.array([1, 2])]}
        for index in (np.array([3]), np.array([True, False, False, True])):
            for _ in range(2):
                assert f(p, index=index) == 3.0 + x[index].sum()
        assert len(f.programs) == 2

    def test_as_differentiated_arguments_are_numbers(self) -> None:
        x = np.array([1, 2, 3])
        f = compile(lambda x: (x * x).sum())
        for g in (grad(f), compile(grad(f.__wrapped__))):
            for k in range(5):
                assert g(x * k).tolist() == [2.0 * k, 4.0 * k, 6.0 * k]
            assert len(g.programs) == 1
        assert hvp(f)(x, np.array([1, 0, 0])).tolist() == [2.0, 0.0, 0.0]
        assert vjp(f, x)[1](1.0)[0].tolist() == [2.0, 4.0, 6.0]
        assert jvp(f, (x,), (np.array([1, 0, 0]),)) == (14.0, 2.0)

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=6))
    def test_any_content(self, index: list[int]) -> None:
        x = np.array([1.0, 10.0, 100.0, 1000.0])
        assert _gathered(x, np.array(index)) == gathered(x, np.array(index))


_gathered = compile(gathered)


class Mode(enum.Enum):
    ADD = 1
    SUB = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class TestScalars:
    @pytest.mark.parametrize(
        "flags", [(True, False), (np.True_, np.False_), tuple(Mode), tuple(Level)]
    )
    def test_flags_and_members_are_constants(self, flags: tuple[Any, Any]) -> None:
        def plain(x: Any, flag: Any) -> Any:
            return x if flag is flags[0] else -x

        f = compile(plain)
        for flag in flags * 2:
            assert f(2.0, flag) == plain(2.0, flag)
            assert grad(f)(2.0, flag) == plain(1.0, flag)

    @pytest.mark.parametrize("n", LARGE)
    def test_integers_beyond_floats_keep_their_digits(self, n: int) -> None:
        f = compile(lambda x, n: x * (n % 1000003))
        for _ in range(2):
            assert f(2.0, n) == 2.0 * (n % 1000003)
            assert f(2.0, n + 1) == 2.0 * ((n + 1) % 1000003)
            assert grad(f)(2.0, n) == n % 1000003
        assert len(f.programs) == 2

    @pytest.mark.parametrize("n", [-(2**63), 2**63 - 1, 2**53 + 1, 2**62])
    def test_numpy_integers_too(self, n: int) -> None:
        f = compile(lambda x, n: x * (int(n) % 1000003))
        for _ in range(2):
            assert f(2.0, np.int64(n)) == 2.0 * (n % 1000003)
        assert len(f.programs) == 1

    def test_small_ones_are_inputs(self) -> None:
        f = compile(lambda n: n * 2.0)
        for n in (0, 1, -7, 2**53, -(2**53), np.int64(5), np.uint8(5), Fraction(1, 2)):
            assert f(n) == 2.0 * n
        assert len(f.programs) == 1

    @pytest.mark.parametrize(
        "n", [2**53 + 1, 2**64 + 1, np.int64(2**53 + 1), np.array([2**53 + 1])]
    )
    @pytest.mark.parametrize(
        "transform",
        [
            grad,
            jacobian,
            hessian,
            value_and_grad,
            lambda f: lambda n: jvp(f, (n,), (1.0,)),
            lambda f: lambda n: vjp(f, n),
            lambda f: grad(compile(f)),
            lambda f: compile(grad(f)),
        ],
    )
    def test_are_refused_where_they_are_differentiated(self, transform: Function, n: Any) -> None:
        for _ in range(2):
            with pytest.raises(
                OverflowError, match=r"no float holds exactly, as it is above 2\*\*53"
            ):
                transform(lambda x: np.sum(x * x))(n)

    def test_powers_of_two_are_floats(self) -> None:
        assert grad(lambda x: x * x)(2**60) == 2.0**61
        assert grad(compile(lambda x: x * x))(2**60) == 2.0**61

    @pytest.mark.parametrize("made", [lambda n: n, lambda n: [n], lambda n: np.array([n])])
    def test_results_that_no_float_holds_are_refused(self, made: Function) -> None:
        with pytest.raises(OverflowError, match="the result of"):
            compile(lambda x: made(2**53 + 1))(1.0)
        with pytest.raises(OverflowError, match="the result of"):
            jacobian(lambda x: made(2**53 + 1))(1.0)

    def test_constants_of_results_keep_their_digits(self) -> None:
        assert stop_gradient(2**53 + 1) == 2**53 + 1
        assert grad(lambda x: (x * x, {"seed": 2**64 + 1}), has_aux=True)(3.0) == (
            6.0,
            {"seed": 2**64 + 1},
        )

    def test_of_a_value_is_as_pythons_float(self) -> None:
        assert Value(2**53 + 1).data == float(2**53 + 1)


def powers(x: Any, n: Any, kind: Any = "up") -> Any:
    total = 0.0 * x
    for _ in range(n):
        total = total + x * x
    return total if kind == "up" else -total


class TestStatic:
    @pytest.mark.parametrize(
        "options",
        [
            {"static_argnums": 1},
            {"static_argnums": (1, 2)},
            {"static_argnums": -2},
            {"static_argnames": "n"},
            {"static_argnames": ["n", "kind"]},
            {"static_argnums": 1, "static_argnames": "n"},
        ],
    )
    def test_by_position_and_name(self, options: Any) -> None:
        f = compile(powers, **options)
        for n in (1, 3, 1, 3):
            for args, keywords in [((2.0, n), {}), ((2.0,), {"n": n}), ((2.0, n, "down"), {})]:
                assert f(*args, **keywords) == powers(*args, **keywords)
                assert grad(f)(*args, **keywords) == grad(powers)(*args, **keywords)
        assert len(f.programs) == 6

    @pytest.mark.parametrize(
        "derive",
        [grad, value_and_grad, jacobian, jacrev, jacfwd, hessian, lambda f: grad(grad(f))],
    )
    def test_of_what_is_derived(self, derive: Function) -> None:
        g = derive(compile(powers, static_argnums=1))
        for n in (2, 3):
            for x in (1.5, 2.5):
                assert g(x, n) == derive(lambda x, n=n: powers(x, n))(x)
        assert isinstance(g, Compiled)
        assert len(g.programs) == 2

    def test_of_directions(self) -> None:
        f = compile(powers, static_argnums=1)
        for n in (2, 3):
            for x in (1.5, 2.5):
                assert jvp(f, (x, n), (1.0, None)) == (n * x * x, 2.0 * n * x)
                assert hvp(f, (x, n), (1.0, None)) == 2.0 * n
                assert hvp(f)(x, 1.0, n) == 2.0 * n
                value, pull = vjp(f, x, n)
                assert (value, pull(1.0)) == (n * x * x, (2.0 * n * x, None))
        with pytest.raises(TypeError, match="argument 1 is static: its tangent must be None"):
            jvp(f, (1.0, 2), (1.0, 0.0))

    def test_of_methods(self) -> None:
        class Model:
            scale = 3.0

            @compile(static_argnames="n")
            def __call__(self, x: Any, n: Any) -> Any:
                return self.scale * powers(x, n)

            @compile(static_argnums=2)
            def method(self, x: Any, n: Any) -> Any:
                return self.scale * powers(x, n)

        for f in (Model().method, Model().__call__):
            for n in (1, 2):
                for _ in range(2):
                    assert f(2.0, n) == 12.0 * n
                    assert grad(f)(2.0, n) == 12.0 * n
                    assert hvp(f)(2.0, 1.0, n) == 6.0 * n
                    assert jvp(f, (2.0, n), (1.0, None)) == (12.0 * n, 12.0 * n)
                    assert vjp(f, 2.0, n)[1](1.0) == (12.0 * n, None)

    @pytest.mark.parametrize(
        "values",
        [
            (1, 1.0, True, Fraction(1)),
            (0.0, -0.0),
            ((0.0, 1), (-0.0, 1), (0.0, True)),
            ("a", b"a", ("a",)),
            (None, 0, False),
            (frozenset({1}), frozenset({2})),
            (len, sum, Mode.ADD, Mode),
        ],
    )
    def test_values_of_one_type_that_are_equal_are_one(self, values: tuple[Any, ...]) -> None:
        f = compile(lambda x, how: x * sum(map(len, [repr(how)])), static_argnums=1)
        for how in values * 2:
            assert f(2.0, how) == 2.0 * len(repr(how))
        assert len(f.programs) == len(values)

    def test_equality_is_asked(self) -> None:
        class Spec:
            def __init__(self, n: int) -> None:
                self.n = n

            def __eq__(self, other: object) -> bool:
                return isinstance(other, Spec) and self.n == other.n

            def __hash__(self) -> int:
                return 7

        f = compile(lambda x, spec: x * spec.n, static_argnums=1)
        for n in (1, 2, 1, 2):
            assert f(2.0, Spec(n)) == 2.0 * n
        assert len(f.programs) == 2

    @pytest.mark.parametrize("value", [[1], {}, np.array([1]), {1}])
    def test_values_must_be_hashable(self, value: Any) -> None:
        f = compile(lambda x, n: x, static_argnums=1)
        for g in (f, grad(f)):
            with pytest.raises(
                TypeError, match="argument 1 of <lambda> is static and must be hashable"
            ):
                g(1.0, value)
        with pytest.raises(TypeError, match="argument 'n' of <lambda> is static"):
            compile(lambda x, n: x, static_argnames="n")(1.0, n=value)

    def test_an_error_in_a_hash_or_an_equality_comes_out(self) -> None:
        class Odd:
            broken = False

            def __hash__(self) -> int:
                if self.broken:
                    raise KeyError("hash")
                return 1

            def __eq__(self, other: object) -> bool:
                raise ZeroDivisionError

        f = compile(lambda x, n: x, static_argnums=1)
        assert f(1.0, Odd()) == 1.0
        with pytest.raises(ZeroDivisionError):
            f(1.0, Odd())
        odd = Odd()
        odd.broken = True
        with pytest.raises(KeyError, match="hash"):
            compile(lambda x, n: x, static_argnums=1)(1.0, odd)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"static_argnums": 3}, ValueError, "static_argnums has 3, but powers takes 3"),
            ({"static_argnums": -4}, ValueError, "static_argnums has -4"),
            ({"static_argnames": "m"}, ValueError, "'m', but powers has no argument"),
            ({"static_argnums": 1.0}, TypeError, "must be an int or a sequence of ints"),
            ({"static_argnums": "1"}, TypeError, "must be an int or a sequence of ints"),
            ({"static_argnames": 1}, TypeError, "must be a str or a sequence of strs"),
            ({"static_argnames": ["n", 1]}, TypeError, "must be a str or a sequence of strs"),
            ({"max_bytes": -1}, ValueError, "max_bytes must be at least 0"),
        ],
    )
    def test_options_that_do_not_fit(self, options: Any, error: Any, message: str) -> None:
        with pytest.raises(error, match=message):
            compile(powers, **options)

    def test_of_functions_of_any_number_of_arguments(self) -> None:
        f = compile(
            lambda *args, **named: args[0] * len(args) * len(named["how"]),
            static_argnums=-1,
            static_argnames="how",
        )
        for how in ("a", "bb"):
            for rest in (("x",), (1.0, "y")):
                assert f(2.0, *rest, how=how) == 2.0 * (1 + len(rest)) * len(how)

    def test_a_decorator_with_options(self) -> None:
        @compile(static_argnums=1, max_programs=3)
        def f(x: Any, n: Any) -> Any:
            return x * n

        assert isinstance(f, Compiled)
        assert [f(2.0, n) for n in range(5)] == [0.0, 2.0, 4.0, 6.0, 8.0]
        assert len(f.programs) == 3
        assert compile(f) is f
        assert len(compile(f, static_argnums=0).programs) == 0
        with pytest.raises(TypeError, match="compile"):
            compile()

    def test_inside_a_trace_is_the_function(self) -> None:
        f = compile(powers, static_argnums=1)
        assert grad(lambda x: f(x, 2) * f(x, 1))(1.5) == grad(lambda x: 2.0 * x**4)(1.5)
        assert compile(lambda x: f(x, 2))(1.5) == 4.5

    def test_the_signature_is_the_functions(self) -> None:
        f = compile(powers, static_argnums=1)
        for g in (f, grad(f), grad(powers)):
            assert str(inspect.signature(g)) == str(inspect.signature(powers))
        assert [*inspect.signature(hvp(powers)).parameters] == ["x", "p", "n", "kind"]
