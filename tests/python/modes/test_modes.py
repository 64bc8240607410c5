"""no_grad and detect_anomaly belong to threads, are counted, and never stay on."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import queue
import threading
import time
import warnings
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad
from tapegrad import Value, _core, compile, detect_anomaly, grad, no_grad, vjp
from tapegrad.modes import Mode

MODES: list[type[Mode]] = [no_grad, detect_anomaly]


def modes_here() -> set[type[Mode]]:
    """The modes of this thread, as operations of every kind see them."""
    w, zero = Value(2.0), Value(0.0)
    without = [
        not (w * 3)._prev,
        not tapegrad.exp(w)._prev,
        not tapegrad.softmax([w, w])[0]._prev,
        grad(lambda x: x * x)(3.0) == 0.0,
    ]
    raised = []
    for make in (lambda: 1 / zero, zero.log, lambda: grad(lambda x: 1.0 / x)(0.0)):
        try:
            make()
        except FloatingPointError:
            raised.append(True)
        else:
            raised.append(False)
    assert len(set(without)) == len(set(raised)) == 1
    return {mode for mode, on in zip(MODES, (without[0], raised[0]), strict=True) if on}


def is_on_somewhere(expected: bool) -> bool:
    """Whether some thread has a mode on; a thread that ends takes a moment for that."""
    end = time.monotonic() + 10
    while True:
        modes_here()
        if _core.some_mode_is_on() == expected or time.monotonic() > end:
            return bool(_core.some_mode_is_on())
        time.sleep(0.001)


class Worker:
    """A thread that runs what it is given, and returns or raises its result."""

    def __init__(self) -> None:
        self._orders: queue.Queue[Callable[[], Any] | None] = queue.Queue()
        self._results: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            try:
                self._results.put((order(), None))
            except BaseException as error:
                self._results.put((None, error))

    def do(self, order: Callable[[], Any]) -> Any:
        self._orders.put(order)
        result, error = self._results.get(timeout=60)
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        self._orders.put(None)
        self._thread.join()


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    made = [Worker() for _ in range(3)]
    yield made
    for worker in made:
        worker.end()
    assert modes_here() == set()
    assert not is_on_somewhere(False)


@pytest.mark.parametrize("mode", MODES)
def test_blocks_that_overlap_in_two_threads_end_both(mode: type[Mode], workers: Any) -> None:
    first, second, _ = workers
    one, other = mode(), mode()
    first.do(one.__enter__)
    second.do(other.__enter__)
    first.do(lambda: one.__exit__(None, None, None))
    assert (first.do(modes_here), second.do(modes_here)) == (set(), {mode})
    second.do(lambda: other.__exit__(None, None, None))
    assert (first.do(modes_here), second.do(modes_here), modes_here()) == (set(), set(), set())


# A step of a history: who does it, with which of a few objects, and what.
steps = st.tuples(
    st.integers(0, 2), st.integers(0, 3), st.sampled_from(["enter", "leave", "leave", "new thread"])
)


@settings(max_examples=40)
@given(st.lists(steps, max_size=40), st.data())
def test_any_history_of_blocks_is_as_a_count_for_each_thread(history: Any, data: Any) -> None:
    """Each object is entered and left by all threads, in any order."""
    threads = [Worker() for _ in range(3)]
    objects = [no_grad(), no_grad(), detect_anomaly(), detect_anomaly()]
    entries: list[list[Worker]] = [[] for _ in objects]  # the model: who entered, in order
    try:
        for who, which, what in history:
            thread, entered, switch = threads[who], entries[which], objects[which]
            if what == "enter":
                thread.do(switch.__enter__)
                entered.append(thread)
            elif what == "new thread":
                thread.end()
                threads[who] = Worker()
            elif not entered:
                with pytest.raises(RuntimeError, match="was not entered"):
                    thread.do(lambda switch=switch: switch.__exit__(None, None, None))
            else:
                thread.do(lambda switch=switch: switch.__exit__(None, None, None))
                own = [k for k, worker in enumerate(entered) if worker is thread]
                del entered[own[-1] if own else -1]
            counts = Counter((w, type(o)) for o, e in zip(objects, entries, strict=True) for w in e)
            for worker in threads:
                assert worker.do(modes_here) == {m for m in MODES if counts[worker, m]}
            assert modes_here() == set()
            alive = any(counts[worker, mode] for worker in threads for mode in MODES)
            assert is_on_somewhere(alive) == alive
    finally:
        for worker in threads:
            worker.end()
    assert not is_on_somewhere(False)


@pytest.mark.parametrize("mode", MODES)
def test_a_thread_that_ends_takes_its_modes_along(mode: type[Mode]) -> None:
    left_open = mode()
    thread = threading.Thread(target=left_open.__enter__)
    thread.start()
    thread.join()
    assert not is_on_somewhere(False)
    left_open.__exit__(None, None, None)
    assert modes_here() == set()


@pytest.mark.parametrize("mode", MODES)
def test_a_generator_that_another_thread_finishes_ends_the_mode(
    mode: type[Mode], workers: Any
) -> None:
    def numbers() -> Generator[int, None, None]:
        with mode():
            yield 1

    running = numbers()
    workers[0].do(running.__next__)
    assert (workers[0].do(modes_here), workers[1].do(modes_here)) == ({mode}, set())
    workers[1].do(running.close)
    assert (workers[0].do(modes_here), workers[1].do(modes_here)) == (set(), set())


@pytest.mark.parametrize("mode", MODES)
def test_a_dropped_generator_ends_the_mode(mode: type[Mode]) -> None:
    def numbers() -> Generator[int, None, None]:
        with mode():
            yield 1
            yield 2

    for _ in numbers():
        assert modes_here() == {mode}
        break
    assert modes_here() == set()


def test_blocks_that_overlap_in_one_thread_may_end_in_any_order() -> None:
    first, second = no_grad(), no_grad()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert modes_here() == {no_grad}
    second.__exit__(None, None, None)
    assert modes_here() == set()


@pytest.mark.parametrize("mode", MODES)
def test_one_object_nests_in_itself(mode: type[Mode]) -> None:
    switch = mode()
    with switch, switch:
        assert modes_here() == {mode}
    assert modes_here() == set()
    with pytest.raises(RuntimeError, match="is left, but was not entered"):
        switch.__exit__(None, None, None)
    assert modes_here() == set()


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("mode", MODES)
class TestDecorators:
    def test_of_a_function(self, mode: type[Mode]) -> None:
        @mode()
        def work(fails: bool) -> set[type[Mode]]:
            """Documented."""
            if fails:
                raise BrokenError
            return modes_here()

        assert work(False) == {mode}
        with pytest.raises(BrokenError):
            work(True)
        assert modes_here() == set()
        assert (work.__name__, work.__doc__) == ("work", "Documented.")

    def test_of_a_recursive_function(self, mode: type[Mode]) -> None:
        @mode()
        def work(depth: int) -> set[type[Mode]]:
            return modes_here() if depth == 0 else work(depth - 1)

        assert work(5) == {mode}
        assert modes_here() == set()

    def test_of_a_generator(self, mode: type[Mode]) -> None:
        heard: list[Any] = []

        @mode()
        def numbers(count: int) -> Generator[int, Any, str]:
            try:
                for k in range(count):
                    try:
                        heard.append((yield k))
                    except BrokenError:
                        heard.append("broken")
                    assert modes_here() == {mode}
                return "done"
            finally:
                heard.append(modes_here())

        assert inspect.isgeneratorfunction(numbers)
        running = numbers(3)
        assert next(running) == 0
        assert modes_here() == set()
        assert running.send("sent") == 1
        assert running.throw(BrokenError()) == 2
        assert modes_here() == set()
        with pytest.raises(StopIteration, match="done"):
            next(running)
        assert heard == ["sent", "broken", None, {mode}]
        closed = numbers(3)
        next(closed)
        closed.close()
        assert heard[4:] == [{mode}]
        failing = numbers(3)
        next(failing)
        with pytest.raises(KeyError):
            failing.throw(KeyError())
        assert heard[5:] == [{mode}]
        assert modes_here() == set()

    def test_of_a_coroutine(self, mode: type[Mode]) -> None:
        @mode()
        async def work(name: str) -> str:
            for _ in range(3):
                assert modes_here() == {mode}
                await asyncio.sleep(0)
            return name

        async def other() -> set[type[Mode]]:
            seen = modes_here()
            for _ in range(5):
                await asyncio.sleep(0)
                seen |= modes_here()
            return seen

        async def both() -> list[Any]:
            return await asyncio.gather(work("a"), other(), work("b"))

        assert asyncio.run(both()) == ["a", set(), "b"]
        assert modes_here() == set()

    def test_of_an_asynchronous_generator(self, mode: type[Mode]) -> None:
        heard: list[Any] = []

        @mode()
        async def numbers() -> AsyncGenerator[int, Any]:
            try:
                await asyncio.sleep(0)
                heard.append((yield 1))
                await asyncio.sleep(0)
                yield 2
            finally:
                heard.append(modes_here())

        async def use() -> None:
            async for _ in numbers():
                assert modes_here() == set()
            running = numbers()
            await running.asend(None)
            assert await running.asend("sent") == 2
            await running.aclose()
            assert modes_here() == set()

        assert inspect.isasyncgenfunction(numbers)
        asyncio.run(use())
        assert heard == [None, {mode}, "sent", {mode}]


def test_a_task_that_waits_in_a_block_leaves_it_in_the_end() -> None:
    async def work(mode: type[Mode], pauses: int) -> None:
        with mode():
            for _ in range(pauses):
                await asyncio.sleep(0)
                assert mode in modes_here()

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(work(MODES[k % 2], k % 5)) for k in range(10)]
        await asyncio.sleep(0)
        tasks[4].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(all_of_them())
    assert modes_here() == set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_after_a_fork_the_modes_of_other_threads_are_gone(workers: Any) -> None:
    switch = no_grad()
    workers[0].do(switch.__enter__)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads
        child = os.fork()
    if child == 0:
        os.write(writer, b"on" if _core.some_mode_is_on() else b"off")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 3) == b"off"
    os.close(reader)
    os.close(writer)
    assert workers[0].do(modes_here) == {no_grad}
    workers[0].do(lambda: switch.__exit__(None, None, None))


class TestPullingBack:
    """What `vjp` returns was recorded before: no_grad ends nothing in it, compiled or not."""

    @pytest.mark.parametrize("make", [lambda f: f, compile], ids=["plain", "compiled"])
    def test_inside_no_grad(self, make: Callable[..., Any]) -> None:
        f = make(lambda x: x * x)
        for recorded in (False, True):
            _, pull = vjp(f, 3.0)
            if recorded:
                assert pull(1.0) == (6.0,)
            with no_grad(), no_grad():
                assert pull(1.0) == (6.0,)
                assert not (Value(1.0) * 2.0)._prev
            assert (Value(1.0) * 2.0)._prev

    @pytest.mark.parametrize("make", [lambda f: f, compile], ids=["plain", "compiled"])
    def test_of_a_function_that_was_called_inside_no_grad(self, make: Callable[..., Any]) -> None:
        with no_grad():
            _, pull = vjp(make(lambda x: x * x), 3.0)
        assert pull(1.0) == (0.0,)

    def test_a_block_that_is_left_or_entered_meanwhile(self) -> None:
        outer = no_grad()

        @compile
        def f(x: Any) -> Any:
            if left:
                left.pop().__exit__(None, None, None)
            with no_grad():
                constant = x * 2.0
            return x * constant

        left: list[no_grad] = []
        _, pull = vjp(f, 3.0)
        outer.__enter__()
        left.append(outer)
        assert pull(1.0) == (6.0,)
        assert (Value(1.0) * 2.0)._prev
        assert not _core.some_mode_is_on()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("result", [None, "text", object()])
def test_a_compiled_function_refuses_the_same_results(mode: type[Mode], result: Any) -> None:
    f = compile(lambda x: result)
    with pytest.raises(TypeError) as usual:
        f(1.0)
    with mode(), pytest.raises(TypeError) as meanwhile:
        f(1.0)
    assert str(meanwhile.value) == str(usual.value)
