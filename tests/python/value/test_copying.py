"""copy, deepcopy and pickle: a leaf as a leaf, a graph whole, sharing kept, at any depth."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest

from support.contract import nodes
from tapegrad import Value, _core, dot
from tapegrad import sum as sum_of

PROTOCOLS = list(range(pickle.HIGHEST_PROTOCOL + 1))


def through(protocol: int) -> Callable[[Any], Any]:
    return lambda thing: pickle.loads(pickle.dumps(thing, protocol))


def in_pure_python(thing: Any) -> Any:
    return pickle._loads(pickle._dumps(thing, 4))  # type: ignore[attr-defined]


ways: dict[str, Callable[[Any], Any]] = {f"pickle {p}": through(p) for p in PROTOCOLS}
ways |= {"python's pickle": in_pure_python, "deepcopy": copy.deepcopy}
every_way = pytest.mark.parametrize("duplicate", ways.values(), ids=list(ways))
every_way_and_copy = pytest.mark.parametrize(
    "duplicate", [*ways.values(), copy.copy], ids=[*ways, "copy"]
)


class Weight(Value):
    """A subclass that pickle can find."""


@every_way_and_copy
def test_a_leaf_comes_back_as_a_leaf(duplicate: Callable[[Any], Any]) -> None:
    leaf = Value(1 / 3, label="w")
    leaf.grad = -0.25
    leaf.m = [1.0]  # type: ignore[attr-defined]
    again = duplicate(leaf)
    assert again is not leaf
    assert type(again) is Value
    assert (again.data, again.grad, again.label, again.m) == (1 / 3, -0.25, "w", [1.0])
    assert again._children == ()
    again.data = 5.0
    assert leaf.data == 1 / 3


@every_way_and_copy
@pytest.mark.parametrize("data", [math.inf, -math.inf, -0.0, 5e-324, math.nan])
def test_every_number_comes_back(duplicate: Callable[[Any], Any], data: float) -> None:
    for value in (Value(data), Value(data) * 1.0):
        assert repr(duplicate(value).data) == repr(data)


@every_way_and_copy
def test_a_node_keeps_all_that_it_has(duplicate: Callable[[Any], Any]) -> None:
    y = Value(2.0) * 3.0
    y.label, y._op, y.grad = "y", "times", 0.5
    y.colour = "red"  # type: ignore[attr-defined]
    again = duplicate(y)
    assert (again.data, again.grad, again.label, again._op) == (6.0, 0.5, "y", "times")
    assert vars(again) == {"colour": "red"}
    assert [child.data for child in again._children] == [2.0, 3.0]


@every_way
def test_nodes_without_a_variable_keep_what_they_have(duplicate: Callable[[Any], Any]) -> None:
    y = (Value(2.0) * 3.0).exp().log()
    y._children[0].label = "inner"
    y._children[0].colour = "red"  # type: ignore[attr-defined]
    y._children[0]._children[0].label = "product"
    y._children[0]._children[0]._children[0].label = "leaf"
    again = duplicate(y)._children[0]
    assert (again.label, vars(again)) == ("inner", {"colour": "red"})
    assert again._children[0].label == "product"
    assert again._children[0]._children[0].label == "leaf"


def some_of_everything() -> tuple[Value, list[Value]]:
    a, b = Value(0.5, label="a"), Value(1.5, label="b")
    c = (1 - a) * (b - 2) / (3 / a) + 4**b + a**3 + b**a
    d = c.tanh() + a.leaky_relu(0.1) + b.clip(a, 9) + b.maximum(a) + (-a).relu()
    e = sum_of([a, b, c, 2.5]) * dot([a, 1.0, b], [2.0, b, c])
    f = Value(7.0, (a, e, d), (0.5, 0.25, 0.125)) + d + e
    return f, [a, b, c, d, e]


@every_way
def test_a_graph_comes_back_whole_and_differentiates_alike(
    duplicate: Callable[[Any], Any],
) -> None:
    root, inner = some_of_everything()
    again, inner_again = duplicate((root, inner))
    root.backward()
    again.backward()
    assert [v.grad for v in inner_again] == [v.grad for v in inner]
    assert [v._op for v in inner_again] == [v._op for v in inner]
    assert [v._local_grads for v in inner_again] == [v._local_grads for v in inner]


def shape(root: Value) -> list[tuple[str, float, tuple[int, ...]]]:
    """The graph as text: each node with its operands by number."""
    numbers: dict[Value, int] = {}
    told: list[tuple[str, float, tuple[int, ...]]] = []

    def visit(node: Value) -> int:
        if node not in numbers:
            children = tuple([visit(child) for child in node._children])
            numbers[node] = len(numbers)
            told.append((node._op, node.data, children))
        return numbers[node]

    visit(root)
    return told


@every_way
def test_the_shape_is_the_same_constants_included(duplicate: Callable[[Any], Any]) -> None:
    root, _ = some_of_everything()
    assert shape(duplicate(root)) == shape(root)


@every_way
def test_what_was_shared_is_shared_in_any_order(duplicate: Callable[[Any], Any]) -> None:
    a = Value(1.0, label="a")
    y = a * 2
    z = y + a
    for order in itertools.permutations([a, y, z]):
        copies = duplicate([*order, list(order)])
        a2, y2, z2 = (copies[order.index(v)] for v in (a, y, z))
        assert all(one is other for one, other in zip(copies, copies[3], strict=False))
        assert y2._children[0] is a2
        assert z2._children == (y2, a2)
        assert a2.label == "a"


@every_way
def test_the_copy_is_apart_from_the_original(duplicate: Callable[[Any], Any]) -> None:
    a = Value(3.0)
    y = a * a
    y.backward()
    again = duplicate(y)
    again.zero_grad()
    again.backward()
    again.backward()
    assert a.grad == 6.0


def test_a_shallow_copy_is_a_node_of_its_own_over_the_same_operands() -> None:
    a = Value(3.0)
    for y in (a * a, 5 - a, a.clip(0, 9), Value(1.0, (a,), (2.0,)), a**2):
        again = copy.copy(y)
        assert again is not y
        assert set(again._children) >= {a}
        assert (again._op, again._local_grads) == (y._op, y._local_grads)
        again.label = "copy"
        assert y.label == ""


@pytest.mark.parametrize("duplicate", [copy.deepcopy, through(5)], ids=["deepcopy", "pickle"])
def test_depth_is_no_limit(duplicate: Callable[[Any], Any]) -> None:
    before = nodes()
    x = Value(1.0, label="x")
    y = x
    for _ in range(200_000):
        y = y * 1.0 + 0.5
    again_x, again = duplicate((x, y))
    again.backward()
    assert (again.data, again_x.grad, again_x.label, x.grad) == (y.data, 1.0, "x", 0.0)
    del x, y, again, again_x
    assert nodes() == before


@every_way
def test_attributes_may_hold_values_and_cycles(duplicate: Callable[[Any], Any]) -> None:
    a = Value(1.0)
    y = a * 2
    a.friend, y.friend, y.me = y, a, y  # type: ignore[attr-defined]
    again = duplicate(y)
    assert again.me is again
    assert again.friend is again._children[0]
    assert again.friend.friend is again


@every_way_and_copy
@pytest.mark.parametrize("operands", [(), (Value(1.0),)], ids=["leaf", "node"])
def test_a_subclass_comes_back_as_itself(
    duplicate: Callable[[Any], Any], operands: tuple[Value, ...]
) -> None:
    weight = Weight(2.0, operands, label="w")
    weight.m = 1  # type: ignore[attr-defined]
    again = duplicate(weight)
    assert type(again) is Weight
    assert (again.data, again.label, vars(again)) == (2.0, "w", {"m": 1})


@every_way
def test_a_subclass_without_a_variable_comes_back_as_itself(
    duplicate: Callable[[Any], Any],
) -> None:
    for operands in ((), (Value(1.0),)):
        user = Weight(2.0, operands) * 3
        assert type(duplicate(user)._children[0]) is Weight


def module_level_step() -> None:
    pass


@every_way
def test_a_backward_function_that_can_be_pickled_comes_back(
    duplicate: Callable[[Any], Any],
) -> None:
    y = Value(1.0, (Value(2.0),))
    y._backward = module_level_step
    assert duplicate(y)._backward is module_level_step


def test_a_closure_is_refused_in_pickles_own_words() -> None:
    y = Value(1.0, (Value(2.0),))
    y._backward = lambda: None
    for value in (y, y * 2):
        with pytest.raises((pickle.PicklingError, AttributeError), match=r"[Cc]an't .*lambda"):
            pickle.dumps(value)


def test_a_shallow_copy_has_the_same_closure() -> None:
    y = Value(1.0, (Value(2.0),))
    y._backward = lambda: None
    assert copy.copy(y)._backward is y._backward


def test_several_pickles_after_changes_see_the_changes() -> None:
    a = Value(1.0)
    y = a * 2
    for k in range(3):
        a.data, y.label = float(k), str(k)
        y.backward()
        again = pickle.loads(pickle.dumps(y))
        assert (again._children[0].data, again.label) == (float(k), str(k))
        assert again._children[0].grad == a.grad


def test_a_long_list_of_small_graphs() -> None:
    values = [Value(k) * 2 for k in range(3000)]
    assert [v.data for v in through(5)(values)] == [2.0 * k for k in range(3000)]


def graph_arguments() -> tuple[type, list[Any]]:
    root, _ = some_of_everything()
    snapshot = root.__reduce_ex__(2)[1][0]  # type: ignore[index]
    kind, arguments = snapshot.__reduce__()[:2]  # type: ignore[union-attr]
    return kind, list(arguments)


def test_a_damaged_graph_is_an_error_and_never_a_crash() -> None:
    before = nodes()
    kind, good = graph_arguments()
    fates = random.Random(7)
    outcomes = set()
    for _ in range(3000):
        arguments = list(good)
        which = fates.choice([3, 4])
        damaged = bytearray(arguments[which])
        for _ in range(fates.choice([1, 2, 5])):
            damaged[fates.randrange(len(damaged))] = fates.choice([0, 1, 2, 128, 254, 255])
        if fates.random() < 0.1:
            del damaged[fates.randrange(len(damaged)) :]
        arguments[which] = bytes(damaged)
        try:
            snapshot = kind(*arguments)
            value = _core._value_at(snapshot, fates.randrange(len(snapshot)), Value)
            value.backward()
            _ = repr(value), value._op, value._children, value._local_grads
            copy.deepcopy(value).zero_grad()
            outcomes.add("read")
        except (ValueError, TypeError) as error:
            outcomes.add(type(error).__name__)
    assert outcomes == {"read", "ValueError"}
    del value, snapshot, good, kind, arguments
    assert nodes() == before


@pytest.mark.parametrize(
    ("place", "thing"),
    [(0, 99), (1, "big"), (2, ["no such operation"] * 50), (3, b"short"), (4, b""), (4, b"x" * 15)],
)
def test_a_graph_of_another_make_is_a_value_error(place: int, thing: Any) -> None:
    kind, arguments = graph_arguments()
    arguments[place] = thing
    with pytest.raises(ValueError, match="this pickled graph cannot be read"):
        kind(*arguments)


@pytest.mark.parametrize(
    "state", [3, "abc", (), (1, 2), (1, 2, 3, 4), (None, None, None, 3), (None, None, 3, None)]
)
def test_a_wrong_state_is_an_error(state: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Value(1.0).__setstate__(state)  # type: ignore[attr-defined]
