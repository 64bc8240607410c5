"""Memory comes back by itself and soon; depth and size are no danger; running out is an error."""

from __future__ import annotations

import gc
import math
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from support.contract import nodes, nodes_now, output_of
from tapegrad import Value, _core, dot


def chain(x: Value, depth: int) -> Value:
    y = x
    for _ in range(depth):
        y = y + 1.0
    return y


def test_dropping_a_root_gives_its_graph_back_at_once() -> None:
    before = nodes()
    x = Value(1.0)
    y = chain(x, 1000) * x
    assert nodes_now() == before + 1002
    del y
    assert nodes_now() == before + 1
    del x
    assert nodes_now() == before


def test_a_number_for_operand_costs_no_node_until_it_is_looked_at() -> None:
    x = Value(1.0)
    before = nodes()
    y = x * 2.0
    assert nodes_now() == before + 1
    _ = y._children
    assert nodes_now() == before + 2


def test_a_node_that_something_uses_stays() -> None:
    before = nodes()
    x = Value(1.0)
    inner = x * 2
    users = [inner + k for k in range(10)]
    del inner, x
    for k in range(9, 0, -1):
        del users[k]
        assert nodes_now() == before + 2 + k
    users[0].backward()
    assert users[0]._children[0].grad == 1.0
    users.clear()
    assert nodes_now() == before


def training_step(w: list[Value], target: float) -> Value:
    hidden = [(w[k] * 0.5 + w[k + 1]).tanh() for k in range(0, len(w) - 1, 2)]
    loss = (dot(hidden, hidden) - target) ** 2
    for p in w:
        p.grad = 0.0
    loss.backward()
    for p in w:
        p.data -= 0.01 * p.grad
    return loss


@pytest.mark.parametrize("alive", ["no loss", "one loss", "some losses"])
def test_a_training_loop_runs_in_constant_memory(alive: str) -> None:
    w = [Value(0.01 * k) for k in range(40)]
    kept: list[Any] = []
    counts: set[int] = set()
    capacities: list[int] = []
    sizes: list[int] = []
    for step in range(3000):
        loss = training_step(w, 0.5)
        if alive == "no loss":
            del loss
        elif alive == "some losses":
            kept = [*kept[-3:], loss]
        if step > 100:
            counts.add(nodes_now())
            capacities.append(_core.arena()["capacity"])
            sizes.append(_core.arena()["bytes"])
    assert len(counts) == 1
    # Memory of earlier graphs may go back to the system meanwhile; none is added.
    assert max(capacities) == capacities[0]
    assert max(sizes) == sizes[0]


def test_leaves_kept_for_ever_among_dropped_graphs_do_not_hold_the_others() -> None:
    before = nodes()
    kept = []
    for step in range(2000):
        x = Value(float(step))
        y = chain(x, 20)
        kept.append(x if step % 2 else y + 0.0 if step % 100 == 0 else x)
        y.backward()
        del y
    assert nodes_now() - before <= len(kept) + 20 * 22
    for step, value in enumerate(kept):
        value.grad = 0.0
        (value * 2).backward()
        assert value.grad == 2.0, step
    kept.clear()
    del x, value
    assert nodes_now() == before


def test_room_that_leaves_had_is_used_again_by_results() -> None:
    lines = output_of(
        """
        from tapegrad import Value
        leaves = [Value(k) for k in range(18_000)]
        del leaves
        y = Value(1.0)
        for _ in range(15_000):
            y = y + 1
        print(y.data)
        del y
        leaves = [Value(k) for k in range(18_000)]
        print(len(leaves))
        """,
        TAPEGRAD_MAX_NODES="20480",
    )
    assert lines == ["15001.0", "18000"]


def test_a_million_deep() -> None:
    before = nodes()
    x = Value(1.0)
    y = chain(x, 1_000_000)
    y.backward()
    assert (y.data, x.grad) == (1_000_001.0, 1.0)
    y.zero_grad()
    assert x.grad == 0.0
    del y
    assert nodes_now() == before + 1


@pytest.mark.slow
def test_ten_million_deep() -> None:
    lines = output_of(
        """
        import resource, threading
        from tapegrad import Value, _core
        x = y = Value(1.0)
        for _ in range(10_000_000):
            y = y + 1.0
        y.backward()
        print(y.data, x.grad)
        threading.stack_size(256 * 1024)
        thread = threading.Thread(target=lambda: globals().__delitem__("y"))
        thread.start()
        thread.join()
        print(_core.arena()["nodes"])
        """
    )
    assert lines == ["10000001.0 1.0", "1"]


def by_attribute(p: Value, q: Value) -> None:
    p.next = q  # type: ignore[attr-defined]


def by_list(p: Value, q: Value) -> None:
    p.next = [q]  # type: ignore[attr-defined]


def by_closure(p: Value, q: Value) -> None:
    p._backward = lambda: q.backward()


@pytest.mark.parametrize("tie", [by_attribute, by_list, by_closure])
def test_a_chain_through_python_objects_is_dropped_without_recursion(
    tie: Callable[[Value, Value], None],
) -> None:
    before = nodes()
    first = last = Value(0.0)
    for _ in range(200_000):
        following = Value(1.0) if tie is not by_attribute else Value(1.0) * 2.0
        tie(last, following)
        last = following
    del first, last, following
    assert nodes() == before


def test_a_chain_of_subclass_instances_is_dropped_without_recursion() -> None:
    class Node(Value):
        pass

    before = nodes()
    y = Node(0.0)
    for _ in range(200_000):
        following = Node(1.0, (y,))
        following.previous = y  # type: ignore[attr-defined]
        y = following
    del y, following
    assert nodes() == before


@pytest.mark.parametrize("size", [2, 3, 1000, 300_000])
def test_wide_nodes_come_back(size: int) -> None:
    before = nodes()
    xs = [Value(1.0) for _ in range(size)]
    Value(1.0, xs, [2.0] * size).backward()
    dot(xs, xs).backward()
    assert xs[-1].grad == 4.0
    xs.clear()
    assert nodes() == before


def test_values_that_die_late_through_the_collector_harm_nothing() -> None:
    threshold = gc.get_threshold()
    before = nodes()
    w, b = Value(0.5), Value(-0.25)

    def run(depth: int, scale: float) -> None:
        def fold(n: int) -> Value:
            kept = w * scale + n
            local.append(kept)
            return b * 1.0 if n == 0 else (fold(n - 1) * kept).tanh() + kept * 0.125

        local: list[Any] = [fold]  # fold -> local -> fold: only the collector ends this
        w.grad = b.grad = 0.0
        fold(depth).backward()

        def check(wx: float, bx: float, n: int) -> tuple[float, float, float]:
            if n == 0:
                return bx, 0.0, 1.0
            value, by_w, by_b = check(wx, bx, n - 1)
            kept = wx * scale + n
            slope = math.cosh(value * kept) ** -2
            by_w = slope * (by_w * kept + value * scale) + 0.125 * scale
            return math.tanh(value * kept) + kept * 0.125, by_w, slope * by_b * kept

        _, by_w, by_b = check(w.data, b.data, depth)
        assert (w.grad, b.grad) == pytest.approx((by_w, by_b), rel=1e-9, abs=1e-300)

    try:
        for turn in range(1500):
            gc.set_threshold(1 + turn % 50, 2, 2)
            run(turn % 12, 0.5 + turn % 7)
    finally:
        gc.set_threshold(*threshold)
    assert nodes() == before + 2


def test_weak_references_tell_when_a_loss_went() -> None:
    w = Value(1.0)
    loss = w * 2
    seen = weakref.ref(loss)
    for _ in range(3):
        loss = w * 3
        assert seen() is None
        seen = weakref.ref(loss)


def test_reference_counts_do_not_drift() -> None:
    x, three = Value(2.0), 3.0
    counts = sys.getrefcount(x), sys.getrefcount(three), sys.getrefcount(None)
    kinds = sys.getrefcount(Value)
    for _ in range(1000):
        y = (x * three + x**2 - three / x).tanh()
        y.backward()
        _ = y._prev, y._children, y._local_grads, y._backward, y.label, y._op, repr(y), x < three
        y.label = "y"
        y.backward(seed=three)
        y.zero_grad()
        for bad in (lambda: x + "x", lambda: Value("x"), lambda: x.clip(1, "x")):
            with pytest.raises(TypeError):
                bad()
    del y, _, bad
    gc.collect()
    assert sys.getrefcount(x) == counts[0]
    assert abs(sys.getrefcount(three) - counts[1]) <= 2
    assert abs(sys.getrefcount(None) - counts[2]) <= 200
    assert sys.getrefcount(Value) - kinds <= 20


def test_a_full_arena_is_a_memory_error_and_the_program_goes_on() -> None:
    lines = output_of(
        """
        from tapegrad import Value, _core
        print(_core.arena()["limit"])
        x = y = Value(1.0)
        try:
            while True:
                y = y + 1.0
        except MemoryError as error:
            print(error)
        for attempt in (lambda: y * 2, lambda: y.tanh(), lambda: Value(1.0, (y,)),
                        lambda: y.clip(0, 1), lambda: 1 - y, lambda: y.__copy__()):
            try:
                attempt()
            except MemoryError:
                print("still full")
        y.backward()
        print(x.grad)
        del y
        print((x * 2 + 1).data, _core.arena()["nodes"])
        """,
        TAPEGRAD_MAX_NODES="10240",
    )
    assert lines[0] == "10240"
    assert lines[1].startswith("the arena is full: ")
    assert lines[1].endswith(" of 10240 nodes are in use")
    assert lines[2:] == ["still full"] * 6 + ["1.0", "3.0 1"]


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits memory by RLIMIT_AS")
limit_memory = """
import resource
from tapegrad import Value, _core
def limit(extra):
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + extra, resource.RLIM_INFINITY))
"""


@pytest.mark.resident
@linux_only
def test_a_system_that_gives_no_more_memory_is_a_memory_error_and_the_program_goes_on() -> None:
    lines = output_of(
        """
import resource
resource.setrlimit(resource.RLIMIT_AS, (600 * 2**20, resource.RLIM_INFINITY))
from tapegrad import Value, _core
x = y = Value(1.0)
try:
    while True:
        y = y + 1.0
except MemoryError as error:
    print(error)
y.backward()
print(x.grad)
del y
kept = []
try:
    while True:
        kept.append(Value(1.0))
except MemoryError as error:
    kept.clear()
print((x * 2).data, _core.arena()["nodes"])
"""
    )
    assert lines[0].startswith("the arena cannot grow past ")
    assert lines[0].endswith(" nodes: the system gives no more memory")
    assert lines[1:] == ["1.0", "2.0 1"]


@pytest.mark.resident
@linux_only
@pytest.mark.parametrize(
    "make",
    [
        "Value(1.0, many)",
        "Value(1.0, many, grads)",
        "Value(1.0, tuple(many))",
        "tapegrad.sum(many)",
        "tapegrad.dot(many, grads)",
    ],
)
def test_too_many_operands_for_the_memory_are_a_memory_error(make: str) -> None:
    lines = output_of(
        limit_memory
        + f"""
import tapegrad
x = Value(1.0)
(x + 1).backward()
many, grads = [x] * 5_000_000, [1.0] * 5_000_000
outcomes = set()
for megabytes in (10, 30, 50, 70, 90, 130, 200, 300):
    limit(megabytes * 2**20)
    try:
        {make}
    except MemoryError:
        outcomes.add("MemoryError")
print(sorted(outcomes), (x * 2).data)
"""
    )
    assert lines == ["['MemoryError'] 2.0"]
