"""Traced numbers where they do not belong: errors, never a crash or a slope of zero."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad
from support.contract import run_program
from tapegrad import (
    Value,
    compile,
    grad,
    jacfwd,
    jacrev,
    jvp,
    stop_gradient,
    vjp,
)

Function = Callable[..., Any]


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    yield
    assert tapegrad._core.Recording.current() is None
    assert grad(lambda x: x * x)(3.0) == 6.0


def leaked() -> Any:
    """A traced number whose trace has ended."""
    kept: list[Any] = []
    grad(lambda x: (kept.append(x * 2.0), x)[1])(3.0)
    return kept[0]


# Everything that a number can be asked, or used in.
USES: dict[str, Function] = {
    "+": lambda x: x + 1.0,
    "right +": lambda x: 1.0 + x,
    "+ itself": lambda x: x + x,
    "*": lambda x: x * x,
    "-x": lambda x: -x,
    "+x": lambda x: +x,
    "abs": abs,
    "**": lambda x: x**2,
    "right **": lambda x: 2.0**x,
    "%": lambda x: x % 2.0,
    "//": lambda x: x // 2.0,
    "divmod": lambda x: divmod(7.0, x),
    "/": lambda x: 1.0 / x,
    "bool": bool,
    "float": float,
    "int": int,
    "round": round,
    "round to digits": lambda x: round(x, 2),
    "floor": math.floor,
    "index": lambda x: [1, 2, 3][x],
    "hash": hash,
    "format": lambda x: f"{x:.2f}",
    "<": lambda x: x < 1.0,
    "right <": lambda x: 1.0 < x,  # noqa: SIM300
    "==": lambda x: x == 1.0,
    "== a huge int": lambda x: x == 10**400,
    "data": lambda x: x.data,
    "method": lambda x: x.sin(),
    "function": lambda x: tapegrad.sin(x),
    "n-ary": lambda x: tapegrad.sum([x, 1.0]),
    "numpy": lambda x: np.exp(np.array([x])),
    "math": math.sin,
    "grad of it": lambda x: grad(lambda y: y)(x),
    "in a closure": lambda x: grad(lambda y: x * y)(1.0),
    "compiled of it": lambda x: compile(lambda y: y * 2.0)(x),
    "compiled closure": lambda x: compile(lambda y: x * y)(1.0),
    "in a tree": lambda x: jacrev(lambda y: y)([1.0, {"a": x}]),
    "returned": lambda x: grad(lambda y: x)(1.0),
    "returned by one of two": lambda x: jacfwd(lambda y: [y, x])(1.0),
    "vjp": lambda x: vjp(lambda y: x * y, 1.0),
    "cotangent": lambda x: vjp(lambda y: y, 1.0)[1](x),
    "tangent": lambda x: jvp(lambda y: y, (1.0,), (x,)),
    "stop_gradient": stop_gradient,
}


class TestLeakedNumbers:
    @pytest.mark.parametrize("name", USES)
    def test_every_use_is_an_error(self, name: str) -> None:
        x = leaked()
        with pytest.raises(RuntimeError, match="traced number is used after its trace has ended"):
            USES[name](x)

    @pytest.mark.parametrize("name", USES)
    def test_after_another_trace_began(self, name: str) -> None:
        x = leaked()
        for transform in (grad, compile, jacfwd):
            with pytest.raises(RuntimeError, match="traced number"):
                transform(lambda y: (USES[name](x), y)[1])(1.0)

    @pytest.mark.parametrize("name", USES)
    def test_from_another_thread(self, name: str) -> None:
        """Of a trace that has ended, and of one that is open here."""
        errors: list[BaseException] = []

        def use(x: Any, use_in: Function) -> None:
            try:
                use_in(lambda y: (USES[name](x), y)[1])(1.0)
            except RuntimeError as error:
                errors.append(error)

        def in_thread(x: Any, use_in: Function) -> None:
            thread = threading.Thread(target=use, args=(x, use_in))
            thread.start()
            thread.join()

        for use_in in (lambda f: f, grad, compile):
            in_thread(leaked(), use_in)
        assert len(errors) == 3

    def test_a_number_of_this_trace_used_by_another_thread_does_not_crash(self) -> None:
        results: list[Any] = []

        def f(x: Any) -> Any:
            def use() -> None:
                try:
                    results.append(grad(lambda y: y * x)(1.0))
                except RuntimeError as error:
                    results.append(str(error))

            thread = threading.Thread(target=use)
            thread.start()
            thread.join()
            return x * x

        assert grad(f)(3.0) == 6.0
        assert "different traces" in results[0]

    def test_it_says_so_when_it_is_shown(self) -> None:
        assert repr(leaked()) == "Traced(of a trace that has ended)"
        grad(lambda x: x)(1.0)
        assert "ended" in str(leaked())

    def test_of_an_inner_trace_it_is_a_number_of_the_outer(self) -> None:
        """Both are one recording: what leaks is a constant of the inner derivative."""

        def f(x: Any) -> Any:
            kept: list[Any] = []
            grad(lambda y: (kept.append(y * x), y)[1])(x)
            return kept[0]

        assert grad(f)(3.0) == 6.0

    def test_a_compiled_function_that_returns_a_leaked_number_keeps_nothing(self) -> None:
        x = leaked()
        f = compile(lambda y: x if y > 0 else y)
        with pytest.raises(RuntimeError, match="has ended"):
            f(1.0)
        assert f.programs == ()
        assert f(-1.0) == -1.0

    def test_from_a_generator_that_is_left(self) -> None:
        def numbers(x: Any) -> Any:
            while True:
                yield x
                x = x * x

        kept: list[Any] = []

        def f(x: Any) -> Any:
            kept.append(numbers(x))
            next(kept[0])
            return next(kept[0])

        assert grad(f)(3.0) == 6.0
        with pytest.raises(RuntimeError, match="has ended"):
            next(kept[0])

    def test_it_can_be_dropped_at_any_time(self) -> None:
        kept = [leaked() for _ in range(100)]
        grad(lambda x: (kept.clear(), gc.collect(), x * x)[2])(1.0)
        kept = [leaked() for _ in range(100)]
        compile(lambda x: (kept.clear(), x * x)[1])(1.0)


class TestTraced:
    def test_cannot_be_made(self) -> None:
        kind = type(leaked())
        with pytest.raises(TypeError, match="cannot create"):
            kind()
        with pytest.raises(TypeError):
            object.__new__(kind)
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Mine", (kind,), {})

    def test_cannot_be_pickled(self) -> None:
        for x in (leaked(), [leaked()]):
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                with pytest.raises(TypeError, match="cannot be pickled: it belongs to its trace"):
                    pickle.dumps(x, protocol)
        with pytest.raises(TypeError, match="cannot be pickled"):
            grad(lambda x: pickle.dumps(x))(1.0)

    def test_copies_are_the_number(self) -> None:
        assert grad(lambda x: copy.copy(x) * copy.deepcopy([x])[0])(3.0) == 6.0

    def test_has_no_attributes_of_its_own(self) -> None:
        def f(x: Any) -> Any:
            x.grad = 1.0

        with pytest.raises(AttributeError):
            grad(f)(1.0)

    @pytest.mark.parametrize("method", ["__add__", "__float__", "__lt__", "__round__", "sin"])
    def test_methods_are_of_traced_numbers_alone(self, method: str) -> None:
        kind = type(leaked())
        with pytest.raises(TypeError):
            getattr(kind, method)(1.0, 2.0)
        with pytest.raises(TypeError):
            getattr(kind, method)()


class TestMixing:
    @pytest.mark.parametrize(
        "mix",
        [
            lambda v, x: v + x,
            lambda v, x: x + v,
            lambda v, x: v * x,
            lambda v, x: x / v,
            lambda v, x: v**x,
            lambda v, x: x**v,
            lambda v, x: v < x,
            lambda v, x: x >= v,
            lambda v, x: x % v,
            lambda v, x: x // v,
            lambda v, x: divmod(x, v),
            lambda v, x: tapegrad.maximum(v, x),
            lambda v, x: tapegrad.atan2(x, v),
            lambda v, x: tapegrad.sum([v, x]),
            lambda v, x: tapegrad.dot([v, 1.0], [x, 1.0]),
            lambda v, x: v.maximum(x),
            lambda v, x: x.maximum(v),
            lambda v, x: Value(x),
            lambda v, x: np.array([v, v]) * x,
            lambda v, x: grad(lambda y: y * v)(x),
        ],
    )
    @pytest.mark.parametrize("transform", [grad, compile])
    def test_values_and_traced_numbers_do_not_mix(self, transform: Function, mix: Function) -> None:
        v = Value(2.0)
        with pytest.raises(TypeError, match=r"Traced|Value"):
            transform(lambda x: (mix(v, x), x)[1])(3.0)
        assert (v * v).data == 4.0

    def test_they_are_not_equal(self) -> None:
        v = Value(3.0)
        assert grad(lambda x: x * 5.0 if x == v else x)(3.0) == 1.0
        assert grad(lambda x: x * 5.0 if v == x else x)(3.0) == 1.0
        assert grad(lambda x: x * 5.0 if v != x else x)(3.0) == 5.0

    def test_data_of_a_value_cannot_be_traced_in(self) -> None:
        """It would drop the gradient without a word."""
        v = Value(2.0)

        def f(x: Any) -> Any:
            v.data = x
            return x

        with pytest.raises(TypeError, match="Traced"):
            grad(f)(3.0)
        assert v.data == 2.0

    @pytest.mark.parametrize("other", ["a", None, 1j, [1.0], object()])
    def test_operators_with_what_is_no_number(self, other: Any) -> None:
        for use in (
            lambda x: x + other,
            lambda x: other * x if not isinstance(other, str | list) else x - other,
            lambda x: x % other,
            lambda x: x // other,
            lambda x: divmod(x, other),
            lambda x: x < other,
            lambda x: x.maximum(other),
            lambda x: tapegrad.maximum(x, other),
            lambda x: x**other,
        ):
            with pytest.raises(TypeError):
                grad(use)(1.0)
        assert grad(lambda x: x * 2.0 if x == other else x * 3.0)(1.0) == 3.0


class TestTheCompiledModule:
    """What the package builds on is in reach as well."""

    def test_sweeps_of_the_wrong_size(self) -> None:
        def f(x: Any) -> Any:
            recording = tapegrad._core.Recording.current()
            assert recording is not None
            with pytest.raises(ValueError, match="1 weights for 2 outputs"):
                recording.reverse([x], [x, x], [1.0], False)
            with pytest.raises(ValueError, match="0 tangents for 1 inputs"):
                recording.forward([x], [[]], [x], False)
            with pytest.raises(ValueError, match="not a traced number of this recording"):
                recording.reverse([1.0], [x], [1.0], False)
            with pytest.raises(ValueError, match="level 7"):
                recording.end_passing(7)
            return x * x

        assert grad(f)(3.0) == 6.0

    def test_a_recording_that_is_closed_too_early(self) -> None:
        def f(x: Any) -> Any:
            recording = tapegrad._core.Recording.current()
            assert recording is not None
            recording.close()
            return x * x

        for g in (grad(f), compile(f)):
            with pytest.raises(RuntimeError, match="has ended"):
                g(3.0)

    def test_programs_of_other_structures(self) -> None:
        f = compile(lambda xs: xs[0] * 2.0)
        assert f([1.0]) == 2.0
        [(inputs, program, outputs)] = f._programs
        others = tapegrad._core.flatten([1.0, 2.0], "numbers")[1]
        for wrong in ((others, program, outputs), (inputs, program, others)):
            with pytest.raises(ValueError, match="other structures"):
                f._add(*wrong)
        assert f([2.0]) == 4.0


def test_programs_of_hostile_calls_do_not_crash() -> None:
    """What only a program of its own can show: threads that end, the collector, the exit."""
    done = run_program(
        """
        import gc, sys, threading
        import tapegrad
        from tapegrad import compile, grad, jacfwd, vjp

        # A leaked number, a pull and a compiled function that live to the end.
        kept = []
        grad(lambda x: (kept.append(x), x)[1])(1.0)
        pull = vjp(lambda x: x * x, 3.0)[1]
        cycle = [compile(lambda x: x * len(cycle))]
        cycle.append(cycle)
        cycle[0](1.0)

        # A pull of a thread that has ended.
        pulls = []
        thread = threading.Thread(target=lambda: pulls.append(vjp(lambda x: x ** 3, 2.0)[1]))
        thread.start(); thread.join()
        assert pulls[0](1.0) == (12.0,)

        # A compiled function that several threads call while it records.
        f = compile(lambda x: x * int(x), max_programs=3)
        def work(n):
            for k in range(2000):
                x = float((k * n) % 7)
                assert f(x) == x * int(x)
                assert grad(f)(x) == int(x)
        import warnings
        warnings.simplefilter("ignore")
        threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2, 3, 5)]
        for t in threads: t.start()
        for t in threads: t.join()

        # The collector wherever it can run.
        gc.set_threshold(1)
        def g(x):
            y = x
            for _ in range(50):
                loop = [y]; loop.append(loop)
                y = tapegrad.sin(y) * x
            return y
        assert abs(grad(g)(0.5) - jacfwd(compile(g))(0.5)) < 1e-12

        # Recursion without end.
        def deep(x):
            return grad(deep)(x)
        for transform in (grad, compile, jacfwd):
            try: transform(deep)(1.0)
            except RecursionError: pass
        assert grad(lambda x: x * x)(3.0) == 6.0
        print("to the end")
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "to the end\n"
