"""How much compiled functions keep: bounds of their programs, constants, formulas made of text."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapegrad import compile, grad, value_and_grad

STATUS = Path("/proc/self/status")


def resident() -> int:
    """Bytes of this process that are in memory."""
    [line] = [each for each in STATUS.read_text().splitlines() if each.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


class TestBounds:
    def test_bytes_are_bounded_and_the_last_used_stay(self) -> None:
        runs = []

        def plain(xs: Any) -> Any:
            runs.append(len(xs))
            total = 0.0
            for k, x in enumerate(xs):
                total = total + x * float(k)
            return total

        size = compile(plain).program([1.0] * 100).bytes
        f = compile(plain, max_bytes=int(3.5 * size))
        for _ in range(2):
            for n in (98, 99, 100):
                f([1.0] * n)
        assert sum(program.bytes for program in f.programs) <= 3.5 * size
        assert len(f.programs) == 3
        f([1.0] * 98)
        f([1.0] * 101)  # 99 is the one used least recently
        runs.clear()
        for n in (98, 100, 101):
            f([1.0] * n)
        assert runs == []
        f([1.0] * 99)
        assert runs == [99]

    @pytest.mark.parametrize("bound", [0, 1, 1000])
    def test_a_program_above_the_bound_is_kept_alone(self, bound: int) -> None:
        f = compile(lambda xs: sum(x * x for x in xs), max_bytes=bound)
        for n in (200, 300, 200):
            for _ in range(2):
                assert f([2.0] * n) == 4.0 * n
            assert len(f.programs) == 1

    def test_the_order_is_over_all_structures(self) -> None:
        runs = []

        def plain(x: Any) -> Any:
            runs.append(x)
            return x * 2.0 if isinstance(x, list) is False and x > 0 else 1.0

        f = compile(plain, max_programs=3)
        f(1.0)  # a
        f([1.0])  # b
        f(-1.0)  # c
        f([1.0])
        f(1.0)
        runs.clear()
        f([1.0, 2.0])  # d: c goes, though its structure was used last of all
        assert len(runs) == 1
        f(1.0)
        f([1.0])
        assert len(runs) == 1
        f(-1.0)
        assert len(runs) == 2

    def test_derived_ones_have_the_bounds_of_their_function(self) -> None:
        f = compile(lambda x: x * int(x), max_programs=2)
        g = grad(f)
        for k in range(5):
            g(k + 0.5)
        assert len(g.programs) == 2


class TestConstants:
    def test_are_not_kept_alive(self) -> None:
        class Box:
            w = 2.0

        f = compile(lambda x, box: x * box.w)
        for _ in range(20):
            assert f(3.0, Box()) == 6.0
        assert len(f.programs) == 1
        box = Box()
        assert f(3.0, box) == f(3.0, box) == 6.0
        gone = weakref.ref(box)
        del box
        assert gone() is None

    def test_another_object_at_the_same_address_is_another(self) -> None:
        class Box:
            def __init__(self, w: float) -> None:
                self.w = w

        f = compile(lambda x, box: x * box.w)
        for k in range(50):
            assert f(3.0, Box(float(k))) == 3.0 * k

    @pytest.mark.parametrize("make", [lambda: lambda v: v, lambda: type("T", (), {}), object])
    def test_of_every_kind(self, make: Any) -> None:
        f = compile(lambda x, thing: x)
        things = [make() for _ in range(5)]
        for thing in things * 2:
            assert f(1.0, thing) == 1.0
        assert len(f.programs) == 5


def formula(k: int, filename: str) -> Any:
    text = f"lambda x: x * {k} if x > {k} else (float(x) + {k}) if x < -1 else int(x) // 2 + x"
    return eval(compile_text(text, filename))


def compile_text(text: str, filename: str) -> Any:
    import builtins

    return builtins.compile(text, filename, "eval")


@pytest.mark.resident
@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
@pytest.mark.parametrize("name", ["<formula>", "<formula {}>"])
def test_formulas_made_of_text_are_forgotten(name: str) -> None:
    codes = []

    def use(k: int) -> None:
        f = formula(k, name.format(k))
        if k % 500 == 0:
            codes.append(weakref.ref(f.__code__))
        g = compile(f)
        g(1.5)
        g(-3.0)
        if k % 20 == 0:
            value_and_grad(g)(1.5)

    for k in range(500):
        use(k)
    gc.collect()
    before = resident()
    tracemalloc.start()
    start, _ = tracemalloc.get_traced_memory()
    for k in range(500, 800):
        use(k)
    gc.collect()
    end, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for k in range(800, 10_000):
        use(k)
    gc.collect()
    assert all(code() is None for code in codes)
    assert end - start < 100_000  # Python's objects: a code object alone has a thousand bytes
    assert resident() - before < 4_000_000


def test_sources_of_guards_stay_as_long_as_their_programs() -> None:
    kept = [compile(formula(k, f"<formula {k}>")) for k in range(50)]
    for f in kept:
        f(100.0)
    del kept[::2]
    gc.collect()
    for k in range(100, 150):
        compile(formula(k, f"<formula {k}>"))(1.0)
    for k, f in zip(range(1, 50, 2), kept, strict=True):
        assert any(guard.endswith(f"# <formula {k}>:1") for guard in f.programs[0].guards)
        assert f"<formula {k}>:1" in f.programs[0].to_c("f")


def test_recordings_of_programs_that_are_gone_leave_no_lines_behind() -> None:
    f = compile(formula(3, "<one>"))
    f(1.0)
    program = f.programs[0]
    del f
    gc.collect()
    assert any("<one>:1" in guard for guard in program.guards)


def test_static_arrays_are_copies() -> None:
    f = compile(lambda x, index: x[index].sum())
    index = np.array([0])
    gone = weakref.ref(index)
    f(np.ones(2), index)
    del index
    assert gone() is None
