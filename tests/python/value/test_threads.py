"""Several Python threads under the GIL share one arena; subinterpreters are refused."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

import pytest

from support.contract import nodes, output_of
from tapegrad import Value


def in_threads(*jobs: Callable[[], None]) -> None:
    """Runs each in a thread of its own and raises the first of their exceptions."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_record_and_sweep_each_its_own_graph() -> None:
    before = nodes()

    def train(scale: float) -> None:
        w = Value(scale)
        for _ in range(300):
            y = w
            for _ in range(30):
                y = y * 1.0 + 0.0
            loss = y * y
            w.grad = 0.0
            loss.backward()
            assert w.grad == 2 * scale

    in_threads(*[lambda k=k: train(float(k)) for k in range(8)])  # type: ignore[misc]
    assert nodes() == before


def test_threads_share_parameters() -> None:
    w = Value(2.0)

    def use() -> None:
        for _ in range(2000):
            (w * 3).backward()

    in_threads(use, use, use, use)
    assert w.grad == 4 * 2000 * 3.0


def test_a_value_made_in_one_thread_dies_in_another() -> None:
    before = nodes()
    made: list[Value] = []
    in_threads(lambda: made.extend(Value(k) * 2 for k in range(1000)))
    assert [v.data for v in made] == [2.0 * k for k in range(1000)]
    in_threads(made.clear)
    assert nodes() == before


def interrupted(hook: Callable[[], object]) -> tuple[Value, Value]:
    """x and a root with gradient 18, whose sweep stops in a Python function under way."""
    x = Value(2.0)
    mid = x * 3
    low = mid * 5
    pause = Value(low.data, (low,))

    def _backward() -> None:
        hook()
        low.grad += pause.grad

    pause._backward = _backward
    return x, pause + mid


@pytest.mark.parametrize("first_to_end", ["first", "second"])
def test_a_sweep_in_one_thread_may_overtake_a_sweep_in_another(first_to_end: str) -> None:
    second_began, one_ended, first_began = (threading.Event() for _ in range(3))

    def hook_of_first() -> None:
        first_began.set()
        second_began.wait(10)
        if first_to_end == "second":
            one_ended.wait(10)

    def hook_of_second() -> None:
        second_began.set()
        if first_to_end == "first":
            one_ended.wait(10)

    x1, root1 = interrupted(hook_of_first)
    x2, root2 = interrupted(hook_of_second)

    def sweep_first() -> None:
        root1.backward()
        one_ended.set()

    def sweep_second() -> None:
        first_began.wait(10)
        root2.backward()
        one_ended.set()

    in_threads(sweep_first, sweep_second)
    assert (x1.grad, x2.grad) == (18.0, 18.0)


def test_many_threads_whose_backward_functions_let_others_run() -> None:
    def train() -> None:
        for _ in range(20):
            x, root = interrupted(lambda: time.sleep(0))
            root.backward()
            assert x.grad == 18.0

    in_threads(*[train] * 6)


def test_a_thread_may_record_while_another_sweeps() -> None:
    kept: list[Value] = []

    def record() -> None:
        def other_thread() -> None:
            kept.extend(Value(k) * 2 for k in range(3000))
            del kept[::2]

        in_threads(other_thread)

    x, root = interrupted(record)
    root.backward()
    assert x.grad == 18.0
    assert [v.data for v in kept[:3]] == [2.0, 6.0, 10.0]


def test_values_are_collected_by_whichever_thread_the_collector_runs_in() -> None:
    before = nodes()

    def make_cycles() -> None:
        for _ in range(500):
            v = Value(1) * 2
            v.me = v  # type: ignore[attr-defined]

    in_threads(make_cycles, make_cycles, gc.collect)
    assert nodes() == before


def test_subinterpreters_are_refused() -> None:
    lines = output_of(
        """
        import faulthandler
        faulthandler.dump_traceback_later(20, exit=True)  # where the import would never end
        try:
            import _interpreters as interpreters
            new = lambda: interpreters.create("legacy")
        except ImportError:
            import _xxsubinterpreters as interpreters
            new = interpreters.create
        import tapegrad

        program = '''
        try:
            import tapegrad
        except ImportError as error:
            print("ImportError", flush=True)
        else:
            print("imported", flush=True)
        '''
        import textwrap
        interpreters.run_string(new(), textwrap.dedent(program))
        print(tapegrad.Value(1) + 1)
        """
    )
    assert lines == ["ImportError", "Value(data=2.0)"]
