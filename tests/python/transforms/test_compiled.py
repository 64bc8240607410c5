"""Compiled functions: the same as the functions, bit for bit; what is kept, and what comes out."""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad
from tapegrad import (
    compile,
    cos,
    exp,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    sin,
    value_and_grad,
    vjp,
)
from tapegrad.transforms.compiled import Compiled

Function = Callable[..., Any]


def piecewise(x: Any) -> Any:
    return x * x if x > 0 else -x


class AlwaysEqual:
    number = 0.0

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class TestReplay:
    def test_the_function_runs_once(self) -> None:
        runs = []

        @compile
        def f(x: Any, y: Any) -> Any:
            runs.append(1)
            return x * y + sin(x)

        for x in (0.5, 1.0, -3.0):
            assert f(x, 2.0) == x * 2.0 + math.sin(x)
        assert len(runs) == 1
        assert len(f.programs) == 1

    def test_results_are_floats_and_new_containers(self) -> None:
        f = compile(lambda x: {"list": [x, 1], "array": np.array([x, x])})
        first, second = f(1.0), f(1.0)
        assert type(first["list"][0]) is float
        assert type(first["list"][1]) is float
        assert first["list"] is not second["list"]
        assert first["array"] is not second["array"]
        first["array"][0] = 100.0
        assert f(1.0)["array"].tolist() == [1.0, 1.0]

    def test_numbers_of_every_kind_replay_one_program(self) -> None:
        f = compile(lambda x: x * 2.0)
        for x in (3.0, 3, np.float64(3.0), np.float32(3.0), np.int16(3)):
            assert f(x) == 6.0
        assert len(f.programs) == 1

    def test_arrays_of_every_float_dtype_and_layout_replay_one_program(self) -> None:
        f = compile(lambda x: (x * np.arange(6.0).reshape(2, 3)).sum())
        x = np.arange(6.0).reshape(2, 3)
        for each in (x, x.astype("f4"), x.astype(">f8"), x.astype("f2"), np.asfortranarray(x)):
            assert f(each) == 55.0
        assert f(x[::-1]) == 28.0  # 1 * 4 + 2 * 5 + 4 * 1 + 5 * 2
        assert len(f.programs) == 1

    def test_many_inputs_and_outputs(self) -> None:
        f = compile(lambda xs: [x * k for k, x in enumerate(xs)])
        for n in (31, 32, 33, 1000):
            assert f([2.0] * n) == [2.0 * k for k in range(n)]

    def test_inputs_that_are_outputs_and_constants(self) -> None:
        f = compile(lambda x, y: (y, x, 7, x))
        assert f(1.0, 2.0) == (2.0, 1.0, 7.0, 1.0)
        assert f(3.0, 4.0) == (4.0, 3.0, 7.0, 3.0)
        assert len(f.programs) == 1

    def test_no_arguments_and_no_numbers(self) -> None:
        f = compile(lambda: 5)
        assert (f(), f()) == (5.0, 5.0)
        g = compile(lambda x: [])
        assert g(1.0) == []

    def test_keyword_arguments(self) -> None:
        def plain(x: Any, y: Any = 2.0, *more: Any, scale: Any = 1.0) -> Any:
            return scale * (x - y) + sum(more)

        f = compile(plain)
        for args, keywords in [
            ((5.0,), {}),
            ((5.0, 1.0), {}),
            ((5.0,), {"y": 1.0}),
            ((5.0,), {"scale": 3.0}),
            ((5.0,), {"scale": 3.0, "y": 1.0}),
            ((5.0,), {"y": 1.0, "scale": 3.0}),
            ((5.0, 1.0, 10.0, 20.0), {}),
        ] * 2:
            assert f(*args, **keywords) == plain(*args, **keywords)
            assert grad(f)(*args, **keywords) == keywords.get("scale", 1.0)

    def test_methods(self) -> None:
        class Model:
            def __init__(self, w: float) -> None:
                self.w = w

            @compile
            def scaled(self, x: Any) -> Any:
                """Scaled."""
                return self.w * x

        two, three = Model(2.0), Model(3.0)
        for _ in range(2):
            assert (two.scaled(5.0), three.scaled(5.0)) == (10.0, 15.0)
        assert grad(two.scaled)(5.0) == 2.0
        assert Model.scaled.__doc__ == "Scaled."

    def test_an_instance_is_a_constant(self) -> None:
        """What is read from it is the state at the time of recording."""

        class Box:
            w = 2.0

        box = Box()
        f = compile(lambda box, x: box.w * x)
        assert f(box, 1.0) == 2.0
        box.w = 3.0
        assert f(box, 1.0) == 2.0
        assert f(Box(), 1.0) == 2.0

    def test_name_docstring_and_repr(self) -> None:
        def f(x: Any) -> Any:
            """What it does."""
            return x

        g = compile(f)
        assert (g.__name__, g.__doc__, g.__wrapped__) == ("f", "What it does.", f)
        assert repr(g) == "<compiled f, 0 programs>"
        assert compile(g) is g

    def test_pickles_as_the_function(self) -> None:
        g = compile(piecewise)
        g(1.0)
        again = pickle.loads(pickle.dumps(g))
        assert isinstance(again, Compiled)
        assert again.__wrapped__ is piecewise
        assert again(-2.0) == 2.0


class TestStructures:
    def test_another_structure_is_another_program(self) -> None:
        f = compile(lambda x: sum(x))
        for x in ([1.0, 2.0], (1.0, 2.0), [1.0, 2.0, 3.0], np.ones(2)):
            assert f(x) == sum(x)
        assert len(f.programs) == 4

    def test_all_structures_are_kept(self) -> None:
        runs = []

        @compile
        def f(x: Any) -> Any:
            runs.append(x)
            return x["a"] if isinstance(x, dict) else x * 2.0

        for x in (1.0, {"a": 5.0}, np.ones(2), np.ones(3), {"b": 1.0, "a": 5.0}) * 3:
            f(x)
        assert len(runs) == 5

    def test_constants_of_another_kind_are_another_program(self) -> None:
        marker = object()

        def plain(x: Any, how: Any = None) -> Any:
            if how is None:
                return x
            if how == "double":
                return 2.0 * x
            if how is True:
                return 3.0 * x
            if how is False:
                return 4.0 * x
            return 5.0 * x

        f = compile(plain)
        cases = [None, "double", "dou" + "ble"[:3], True, False, marker, b"x", "other", max]
        for how in cases * 2:
            assert f(3.0, how) == plain(3.0, how)
            assert grad(f)(3.0, how) == plain(1.0, how)
        assert f(3.0) == 3.0

    @pytest.mark.parametrize(
        "make",
        [lambda: range(3), lambda: frozenset({1, 2}), lambda: 2j, lambda: slice(3), AlwaysEqual],
    )
    def test_constants_that_are_equal_and_not_the_same(self, make: Function) -> None:
        f = compile(lambda x, how: x * 2.0)
        for _ in range(3):
            assert f(3.0, make()) == 6.0

    def test_equality_of_constants_is_not_asked_of_classes_that_define_it(self) -> None:
        f = compile(lambda x, how: x * how.number)
        one, two = AlwaysEqual(), AlwaysEqual()
        one.number, two.number = 1.0, 2.0
        for _ in range(2):
            assert (f(3.0, one), f(3.0, two)) == (3.0, 6.0)

    def test_a_bool_is_a_constant_and_an_int_a_number(self) -> None:
        f = compile(lambda x, flag: x if flag else -x)
        assert (f(2.0, True), f(2.0, False), f(2.0, 1), f(2.0, 0)) == (2.0, -2.0, 2.0, -2.0)

    def test_an_int_that_is_an_exponent_is_a_number(self) -> None:
        f = compile(lambda x, n: x**n)
        for n in (0, 1, 2, 3, -1, 0.5):
            assert f(2.0, n) == 2.0**n
        assert len(f.programs) == 1

    def test_constants_and_numbers_in_one_container(self) -> None:
        f = compile(lambda p: p["x"] * (2.0 if p["mode"] == "two" else 3.0))
        for mode, expected in [("two", 10.0), ("three", 15.0), ("two", 10.0)]:
            assert f({"mode": mode, "x": 5.0}) == expected


class TestCache:
    def test_the_last_used_programs_are_kept(self) -> None:
        runs = []

        def plain(x: Any) -> Any:
            runs.append(int(x))
            return x * int(x)

        f = compile(plain, max_programs=3)
        for x in (1.5, 2.5, 3.5):
            f(x)
        assert runs == [1, 2, 3]
        f(1.25)  # used again: 2 is now the oldest
        f(4.5)
        assert len(f.programs) == 3
        runs.clear()
        for x in (1.5, 3.5, 4.5):
            assert f(x) == x * int(x)
        assert runs == []
        f(2.5)
        assert runs == [2]

    def test_the_bound_holds_over_structures(self) -> None:
        f = compile(lambda xs: sum(xs), max_programs=4)
        for n in range(1, 20):
            assert f([1.0] * n) == n
            assert len(f.programs) <= 4
        assert len(f.programs) == 4

    def test_one_program_is_enough(self) -> None:
        f = compile(piecewise, max_programs=1)
        for x in (1.0, -2.0, 3.0, -4.0):
            assert f(x) == piecewise(x)
            assert len(f.programs) == 1

    def test_a_function_that_is_recorded_again_and_again_warns_once_naming_the_line(self) -> None:
        def plain(x: Any) -> Any:
            y = x + 1.0
            return y * float(y)

        line = plain.__code__.co_firstlineno + 2
        f = compile(plain)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for k in range(100):
                f(float(k))
        assert [each.category for each in caught] == [RuntimeWarning]
        message = str(caught[0].message)
        assert "plain" in message
        assert f"test_compiled.py:{line}" in message

    def test_a_function_with_a_few_paths_does_not_warn(self) -> None:
        f = compile(lambda x: x * int(x))
        for _ in range(50):
            for k in range(10):
                f(float(k))
        assert len(f.programs) == 10


class TestTransforms:
    @pytest.mark.parametrize("transform", [grad, value_and_grad, jacobian, jacrev, jacfwd, hessian])
    def test_of_a_compiled_function_are_compiled(self, transform: Function) -> None:
        f = compile(piecewise)
        g = transform(f)
        assert isinstance(g, Compiled)
        for x in (2.0, -3.0, 5.0, -7.0):
            assert g(x) == transform(piecewise)(x)
        assert len(g.programs) == 2

    def test_transforms_of_those_too(self) -> None:
        f = compile(lambda x: x**5 if x > 0 else x)
        for k in range(1, 6):
            f = grad(f)
            assert isinstance(f, Compiled)
            assert f(2.0) == math.perm(5, k) * 2.0 ** (5 - k)
            assert f(-2.0) == (1.0 if k == 1 else 0.0)

    def test_jvp_and_hvp_replay(self) -> None:
        runs = []

        @compile
        def f(x: Any) -> Any:
            runs.append(1)
            return x[0] ** 2 * x[1]

        for k in (1.0, 2.0, 3.0):
            assert jvp(f, ([k, 3.0],), ([1.0, 0.0],)) == (3.0 * k * k, 6.0 * k)
        assert len(runs) == 1
        for k in (1.0, 2.0, 3.0):
            assert hvp(f, ([k, 3.0],), ([1.0, 0.0],)) == [6.0, 2.0 * k]

    def test_vjp(self) -> None:
        value, pull = vjp(compile(piecewise), 3.0)
        assert (value, pull(1.0)) == (9.0, (6.0,))

    def test_compiled_functions_inside_transforms_and_compiled_functions(self) -> None:
        inner = compile(piecewise)
        outer = compile(lambda x: inner(x) + grad(inner)(x) + inner(-x))
        for x in (2.0, -2.0, 3.0):
            assert outer(x) == piecewise(x) + grad(piecewise)(x) + piecewise(-x)
            assert grad(outer)(x) == grad(outer.__wrapped__)(x)
            assert grad(lambda x: inner(x) * x)(x) == grad(lambda x: piecewise(x) * x)(x)
        assert inner.programs == ()
        assert len(outer.programs) == 2

    def test_a_compiled_function_calls_itself(self) -> None:
        @compile
        def factorial(n: Any) -> Any:
            return n * factorial(n - 1.0) if n > 1.0 else 1.0

        assert [factorial(float(n)) for n in range(6)] == [1.0, 1.0, 2.0, 6.0, 24.0, 120.0]
        assert grad(factorial)(3.0) == 5.0  # of n (n - 1)

    def test_compiled_outside_a_transform_and_inside(self) -> None:
        f = compile(lambda x: exp(x) * cos(x))
        x = 0.4
        expected = math.exp(x) * (math.cos(x) - math.sin(x))
        assert grad(f)(x) == pytest.approx(expected, rel=1e-15)
        assert compile(grad(f.__wrapped__))(x) == pytest.approx(expected, rel=1e-15)

    def test_has_aux(self) -> None:
        f = compile(lambda x: (x * x, [x, 2.0 * x]))
        assert grad(f, has_aux=True)(3.0) == (6.0, [3.0, 6.0])
        assert value_and_grad(f, has_aux=True)(4.0) == ((16.0, [4.0, 8.0]), 8.0)


class TestExceptions:
    def test_come_out_as_they_were_and_nothing_is_kept(self) -> None:
        class OwnError(Exception):
            pass

        error = OwnError("as it was")

        @compile
        def f(x: Any) -> Any:
            y = x * x
            if x < 0:
                raise error
            return y

        for _ in range(2):
            with pytest.raises(OwnError) as caught:
                f(-1.0)
            assert caught.value is error
            assert f.programs == ()
        assert f(2.0) == 4.0
        with pytest.raises(OwnError):
            f(-1.0)
        assert f(3.0) == 9.0
        assert len(f.programs) == 1

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, StopIteration, MemoryError])
    def test_of_every_kind(self, kind: type[BaseException]) -> None:
        def f(x: Any) -> Any:
            raise kind

        for g in (compile(f), grad(f), compile(grad(f)), jacfwd(f)):
            with pytest.raises(kind):
                g(1.0)
        assert tapegrad._core.Recording.current() is None

    def test_in_the_inner_of_two(self) -> None:
        @compile
        def f(x: Any) -> Any:
            try:
                return grad(lambda y: y / 0 if x > 0 else y * "a")(x)
            except TypeError:
                return 2.0 * x

        assert f(-1.0) == -2.0
        assert f(-2.0) == -4.0

    def test_a_function_that_differs_from_run_to_run_is_an_error_or_what_it_was(self) -> None:
        state = iter([1.0, 2.0, 3.0])
        f = compile(lambda x: x * next(state))
        assert [f(1.0), f(1.0)] == [1.0, 1.0]
