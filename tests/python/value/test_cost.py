"""What a Value is asked costs the same however many others live; dropped memory goes back."""

from __future__ import annotations

import gc
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.contract import nodes, output_of
from tapegrad import Value

FEW, MANY = 2_000, 200_000


@pytest.fixture(autouse=True)
def _collected_by_hand() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def seconds(ask: Callable[[], object], alive: int) -> float:
    """The least time of a question while so many other Values live."""
    w = Value(1.0)
    kept = [w * 2.0 for _ in range(alive)]
    ask()
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(20):
            ask()
        best = min(best, (time.perf_counter() - begin) / 20)
    del kept
    return best


def look_at_operands() -> object:
    x = Value(1.0)
    return (x * 2.0 + x)._prev


def look_at_operands_of_an_older_node(used: Value = Value(2.0)) -> object:  # noqa: B008
    return (used * 3.0)._children


def set_a_container() -> object:
    x = Value(1.0)
    y = x * 2.0
    x.history = [1.0]  # type: ignore[attr-defined]
    return y


def set_a_backward_function() -> object:
    x = Value(1.0)
    y = x * 2.0
    x._backward = lambda: None
    return y


def read_the_dict() -> object:
    x = Value(1.0)
    y = x * 2.0
    return x.__dict__, y


def set_a_number() -> object:
    x = Value(1.0)
    x.momentum = 0.5  # type: ignore[attr-defined]
    return x * 2.0


QUESTIONS = [
    look_at_operands,
    look_at_operands_of_an_older_node,
    set_a_container,
    set_a_backward_function,
    read_the_dict,
    set_a_number,
]


@pytest.mark.parametrize("ask", QUESTIONS)
def test_the_number_of_living_values_is_no_matter(ask: Callable[[], object]) -> None:
    few = seconds(ask, FEW)
    many = seconds(ask, MANY)
    assert many < 20 * few + 50e-6, (few, many)


def test_questions_among_operations_cost_in_proportion_to_these() -> None:
    """Each question is about a node made since the one before."""
    times = []
    for alive in (FEW, MANY):
        w = Value(1.0)
        kept = [w * 2.0 for _ in range(alive)]
        begin = time.perf_counter()
        for _ in range(300):
            y = w
            for _ in range(20):
                y = y + 1.0
            assert len(y._children) == 2
        times.append(time.perf_counter() - begin)
        del kept
    assert times[1] < 10 * times[0], times


def test_a_handle_is_found_whatever_came_and_went_in_between() -> None:
    """Values are made, asked, dropped and made again in every order; identity holds throughout."""
    import random

    rng = random.Random(5)
    leaves = [Value(float(k)) for k in range(10)]
    alive: dict[int, tuple[Value, list[Value]]] = {}
    for step in range(20_000):
        choice = rng.random()
        if choice < 0.5 or not alive:
            operands = [rng.choice(leaves), rng.choice(leaves)]
            if alive and rng.random() < 0.5:
                operands[0] = alive[rng.choice(list(alive))][0]
            alive[step] = operands[0] + operands[1], operands
        elif choice < 0.75:
            value, operands = alive[rng.choice(list(alive))]
            assert all(a is b for a, b in zip(value._children, operands, strict=True))
        elif choice < 0.95:
            del alive[rng.choice(list(alive))]
        else:
            leaves[rng.randrange(10)] = Value(float(step))
        if rng.random() < 0.002:
            alive.clear()
    for value, operands in alive.values():
        assert value._prev == set(operands)


class Attributes:
    """What a program may set: kinds that no cycle can go through, and others."""

    ATOMS = (0.5, 3, 2**80, True, None, "text", b"bytes", 1j, (), (1, "a", (2.0, None)))
    CONTAINERS = ([], {}, {1}, ([],), (1, ({},)), Value(1.0), lambda: None, type("Class", (), {}))


@pytest.mark.parametrize("attribute", Attributes.ATOMS, ids=repr)
def test_numbers_and_strings_are_no_burden(attribute: Any) -> None:
    """Neither the Value nor what is computed from it becomes the collector's."""
    x = Value(1.0)
    before = x * 2.0
    x.first = attribute  # type: ignore[attr-defined]
    x.second = attribute  # type: ignore[attr-defined]
    after = x * 3.0
    total = before + after
    assert not any(map(gc.is_tracked, (x, before, after, total)))
    assert x.first == attribute  # type: ignore[attr-defined]
    del x
    (again, _) = after._children
    assert again.second == attribute  # type: ignore[attr-defined]
    assert not gc.is_tracked(again)
    del again.second  # type: ignore[attr-defined]
    assert vars(again) == {"first": attribute}


@pytest.mark.parametrize("attribute", Attributes.CONTAINERS, ids=lambda a: type(a).__name__)
def test_containers_are_the_collectors(attribute: Any) -> None:
    x = Value(1.0)
    x.number = 1.0  # type: ignore[attr-defined]
    x.container = attribute  # type: ignore[attr-defined]
    assert gc.is_tracked(x)
    assert gc.is_tracked(x * 2.0)


def test_copies_of_a_value_with_numbers_are_no_burden_either() -> None:
    import copy
    import pickle

    x = Value(1.0)
    x.momentum, x.step, x.name = 0.5, 3, "w"  # type: ignore[attr-defined]
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert vars(other) == {"momentum": 0.5, "step": 3, "name": "w"}
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert not gc.is_tracked(other)
        assert not gc.is_tracked(other * 2.0)


def test_attributes_of_numbers_go_with_the_node_and_come_to_nobody_else() -> None:
    before = nodes()
    for k in range(1000):
        x = Value(1.0)
        x.number = k  # type: ignore[attr-defined]
        y = x * 2.0
        del x, y
        assert vars(Value(2.0)) == {}
    assert nodes() == before


USERS_BEFORE = {
    "one": lambda x: [x * 2.0],
    "a chain": lambda x: [((x * 2.0) + 1.0).tanh()],
    "many": lambda x: [x * float(k) for k in range(50)],
    "a dot product": lambda x: [__import__("tapegrad").dot([x, x], [x, 2.0])],
    "both operands": lambda x: [x * x, (x * x) * x],
}


@pytest.mark.parametrize("users", USERS_BEFORE)
@pytest.mark.parametrize("how", ["attribute", "dict", "backward", "list later"])
def test_a_cycle_through_users_that_came_first_is_collected(users: str, how: str) -> None:
    before = nodes()
    other = Value(1.0)
    bystanders = [other * 2.0 for _ in range(100)]
    for _ in range(3):
        x = Value(1.0)
        made = USERS_BEFORE[users](x)
        if how == "attribute":
            x.users = made  # type: ignore[attr-defined]
        elif how == "dict":
            vars(x)["users"] = made
        elif how == "backward":
            x._backward = lambda made=made: made
        else:
            x.users = []  # type: ignore[attr-defined]
            later = made[-1] * 2.0
            x.users.append(later)  # type: ignore[attr-defined]
            del later
        (made[-1] * 3.0).backward()
        del x, made
    assert nodes() == before + 1 + len(bystanders)
    assert not any(map(gc.is_tracked, bystanders))
    del other, bystanders
    assert nodes() == before


def test_what_a_live_graph_needs_survives_the_search_for_users() -> None:
    x = Value(2.0)
    y = (x * 3.0).exp()
    x.graph = [y]  # type: ignore[attr-defined]
    z = y * 1.0
    del x, y
    for _ in range(3):
        gc.collect()
    (exponential, _) = z._children
    (product,) = exponential._children
    (leaf, _) = product._children
    assert leaf.graph == [exponential]
    z.backward()
    assert leaf.grad == pytest.approx(3.0 * exponential.data)


def test_the_automatic_collector_finds_such_cycles_in_time() -> None:
    before = nodes()
    gc.enable()
    most = 0
    for _ in range(20_000):
        x = Value(1.0)
        y = x * 2.0
        x.users = [y]  # type: ignore[attr-defined]
        del x, y
        most = max(most, nodes_alive() - before)
    assert most < 60_000
    assert nodes() == before


def nodes_alive() -> int:
    from tapegrad import _core

    return int(_core.arena()["nodes"])


RESIDENT = """
    import gc, time
    from tapegrad import Value, _core

    def megabytes():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 1e6

    def chain(depth):
        y = Value(1.0)
        for _ in range(depth):
            y = y + 1.0
        return y
"""


@pytest.mark.resident
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read as Linux tells it")
class TestDroppedMemory:
    def test_goes_back_to_the_system(self) -> None:
        lines = output_of(
            RESIDENT
            + """
    begin = megabytes()
    y = chain(4_000_000)
    full, told = megabytes(), _core.arena()["bytes"]
    del y
    print(begin, full, megabytes(), told / 1e6, _core.arena()["bytes"] / 1e6)
    y = chain(2_000_000)
    y.backward()
    print(y.data)
    """
        )
        begin, full, after, told, told_after = map(float, lines[0].split())
        assert full - begin > 180
        assert told > 180
        assert after - begin < 40
        assert told_after < 40
        assert lines[1] == "2000001.0"

    def test_of_values_that_all_have_a_variable_goes_back_too(self) -> None:
        lines = output_of(
            RESIDENT
            + """
    begin = megabytes()
    w = Value(1.0)
    values = [w * 2.0 for _ in range(1_500_000)]
    values[0]._prev
    full = megabytes()
    del values
    gc.collect()
    print(begin, full, megabytes())
    """
        )
        begin, full, after = map(float, lines[0].split())
        assert full - begin > 180
        assert after - begin < 60

    def test_is_kept_by_a_loop_that_uses_it_again(self) -> None:
        lines = output_of(
            RESIDENT
            + """
    sizes = []
    for _ in range(4):
        y = chain(1_500_000)
        del y
        sizes.append(_core.arena()["bytes"] / 1e6)
    print(*sizes)
    w = Value(1.0)
    for _ in range(10):
        kept = chain(200_000)
    print(kept.data)
    """
        )
        first, *others = map(float, lines[0].split())
        assert first < 40
        assert min(others) > 60
        assert lines[1] == "200001.0"

    def test_survivors_keep_their_numbers(self) -> None:
        lines = output_of(
            RESIDENT
            + """
    kept, first = [], Value(1.0)
    y = first
    for k in range(3_000_000):
        y = y + 1.0
        if k % 700_000 == 0:
            kept.append(y * Value(2.0))
    del y
    print(*(v.data for v in kept[:3]), _core.arena()["nodes"])
    last = kept[-1]
    del kept
    last.backward()
    print(last.data, first.grad)
    """
        )
        assert lines[0].split()[:3] == ["4.0", "1400004.0", "2800004.0"]
        assert lines[1] == "5600004.0 2.0"


@pytest.mark.parametrize("make", ["one after the other", "side by side"])
def test_pickling_a_list_of_results_costs_in_proportion(make: str) -> None:
    times = []
    for count in (500, 4_000):
        results = [Value(1.0)]
        for _ in range(count):
            results.append((results[-1] if make == "one after the other" else Value(2.0)) * 1.5)
        begin = time.perf_counter()
        dumped = pickle.dumps(results)
        times.append(time.perf_counter() - begin)
        assert [v.data for v in pickle.loads(dumped)] == [v.data for v in results]
    assert times[1] < 30 * times[0], times
