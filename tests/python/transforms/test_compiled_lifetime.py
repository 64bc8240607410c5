"""Compiled functions that are called, changed and dropped while they run."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from tapegrad import (
    compile,
    grad,
)


class TestReentrancy:
    def test_an_argument_whose_float_calls_the_function(self) -> None:
        class Number:
            def __init__(self, depth: int) -> None:
                self.depth = depth

            def __float__(self) -> float:
                return f(Number(self.depth - 1)) if self.depth else 3.0

        f = compile(lambda x: x + 1.0)
        assert f(3.0) == 4.0
        for _ in range(3):
            for depth in range(4):
                result = f(Number(depth))
                assert result == 4.0 + depth

    def test_an_argument_whose_float_records_other_structures(self) -> None:
        class Number:
            def __float__(self) -> float:
                for n in range(10):
                    f([1.0] * n)
                return 2.0

        f = compile(lambda xs: sum(xs) if isinstance(xs, list) else xs)
        for _ in range(3):
            assert f(Number()) == 2.0
            assert f([Number(), 1.0]) == 3.0

    def test_an_argument_whose_float_drops_the_program_that_is_being_looked_for(self) -> None:
        class Number:
            def __float__(self) -> float:
                for n in range(10):
                    f([1.0] * n)
                return 2.0

        f = compile(lambda xs: sum(xs) if isinstance(xs, list) else xs, max_programs=2)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="must depend on nothing else"):
                f(Number())
        assert f([1.0, 2.0]) == 3.0

    def test_a_list_that_changes_while_it_is_read(self) -> None:
        class Number:
            def __float__(self) -> float:
                xs.clear()
                return 1.0

        f = compile(lambda xs: sum(xs))
        assert f([1.0, 2.0, 3.0]) == 6.0
        xs: list[Any] = [Number(), 2.0, 3.0]
        assert f(xs) in {1.0, 6.0, 0.0}

    def test_the_function_that_is_recorded_calls_the_compiled_one(self) -> None:
        @compile
        def f(x: Any) -> Any:
            return f(x - 1.0) + 1.0 if x > 0.5 else x

        assert f(4.0) == 4.0
        assert f(5.0) == 5.0
        assert grad(f)(4.0) == 1.0


class TestCollection:
    def test_cycles_through_the_function_are_collected(self) -> None:
        class Owner:
            def __init__(self) -> None:
                self.f = compile(lambda x: x * self.scale)
                self.scale = 2.0

        owner = Owner()
        assert owner.f(3.0) == 6.0
        assert grad(owner.f)(3.0) == 2.0
        gone = weakref.ref(owner)
        del owner
        gc.collect()
        assert gone() is None

    def test_cycles_through_a_constant_argument_are_collected(self) -> None:
        class Owner:
            pass

        owner = Owner()
        owner.f = compile(lambda owner, x: 2.0 * x)  # type: ignore[attr-defined]
        assert owner.f(owner, 3.0) == 6.0  # type: ignore[attr-defined]
        gone = weakref.ref(owner)
        del owner
        gc.collect()
        assert gone() is None

    def test_a_function_can_be_dropped_while_it_runs(self) -> None:
        holder: list[Any] = []

        def f(x: Any) -> Any:
            holder.clear()
            gc.collect()
            return x * 2.0

        holder.append(compile(f))
        assert holder[0](3.0) == 6.0

    def test_the_collector_in_the_middle_of_a_recording(self) -> None:
        def f(x: Any) -> Any:
            y = x
            for _ in range(5):
                loop: list[Any] = [y]
                loop.append(loop)
                y = y * x
                del loop
                gc.collect()
            return y

        assert grad(f)(1.5) == pytest.approx(6 * 1.5**5)
        assert grad(compile(f))(1.5) == pytest.approx(6 * 1.5**5)
