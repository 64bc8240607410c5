"""The garbage collector: cycles go, what a live graph needs stays, plain Values are no burden."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tapegrad
from support.contract import nodes, nodes_now, output_of
from tapegrad import Value


@pytest.fixture(autouse=True)
def _collected_by_hand() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def lecture_tanh(x: Value) -> Value:
    t = math.tanh(x.data)
    out = Value(t, (x,), "tanh")

    def _backward() -> None:
        x.grad += (1 - t**2) * out.grad

    out._backward = _backward
    return out


def test_plain_values_are_not_tracked() -> None:
    x = Value(1)
    everything = [x, x + 1, x * x, x.exp(), Value(2, (x,), (1.0,)), +x, (x + 2)._children[1]]
    everything[1].label = "named"
    everything[1].data = everything[1].grad = 5.0
    everything[1].backward()
    assert not any(gc.is_tracked(v) for v in everything)


def test_a_value_is_tracked_once_its_node_owns_an_object() -> None:
    with_number, with_list, with_backward = Value(1), Value(1), Value(1)
    with_number.m = 0.0  # type: ignore[attr-defined]
    with_list.m = [0.0]  # type: ignore[attr-defined]
    with_backward._backward = lambda: None
    assert not gc.is_tracked(with_number)
    assert gc.is_tracked(with_list)
    assert gc.is_tracked(with_backward)


def test_a_value_that_comes_back_is_tracked_again_if_it_must_be() -> None:
    x = Value(1)
    x.m = [1]  # type: ignore[attr-defined]
    y = x + 1
    del x
    assert gc.is_tracked(y._children[0])
    assert not gc.is_tracked(y._children[1])


def to_itself_by_attribute() -> Value:
    x = Value(1)
    x.me = x  # type: ignore[attr-defined]
    return x


def to_itself_by_closure() -> Value:
    return lecture_tanh(Value(1))


def to_itself_by_list() -> Value:
    x = Value(1) * 2
    x.all = [[x]]  # type: ignore[attr-defined]
    return x


def through_a_subclass() -> Value:
    class Node(Value):
        pass

    x = Node(1.0)
    x.me = x  # type: ignore[attr-defined]
    return x


def two_that_know_each_other() -> Value:
    x, y = Value(1), Value(2)
    x.other, y.other = y, x  # type: ignore[attr-defined]
    return x


def to_a_later_result_by_attribute() -> Value:
    x = Value(1)
    x.user = x * 2  # type: ignore[attr-defined]
    return x


def to_a_later_result_by_closure() -> Value:
    x = Value(1)
    y = x.exp()
    x._backward = lambda: print(y)
    return y


def through_an_operand_without_a_variable() -> Value:
    x = Value(1).exp()
    y = x * 2 + 1
    x.loss = y  # type: ignore[attr-defined]
    return y


cycles = [
    to_itself_by_attribute,
    to_itself_by_closure,
    to_itself_by_list,
    through_a_subclass,
    two_that_know_each_other,
    to_a_later_result_by_attribute,
    to_a_later_result_by_closure,
    through_an_operand_without_a_variable,
]


@pytest.mark.parametrize("make", cycles)
def test_a_cycle_is_collected(make: Callable[[], Value]) -> None:
    before = nodes()
    gone = weakref.ref(make())
    nodes()
    assert gone() is None
    assert nodes() == before


@pytest.mark.parametrize("make", cycles)
def test_a_cycle_that_is_held_is_kept_whole(make: Callable[[], Value]) -> None:
    held = make()
    before, attributes = nodes_now(), set(vars(held))
    for _ in range(3):
        gc.collect()
    assert nodes_now() == before
    assert set(vars(held)) == attributes
    (held * 2).backward()
    assert held.grad == 2.0


def test_one_collection_frees_a_chain_of_closures_as_it_does_in_pure_python() -> None:
    before = nodes()
    x = Value(0.5)
    for _ in range(50):
        x = lecture_tanh(x)
    x.backward()
    del x
    gc.collect()
    assert nodes_now() == before


def test_training_with_closures_stays_flat_under_the_automatic_collector() -> None:
    w = Value(0.5)
    gc.enable()
    most = []
    for _ in range(300):
        x = w
        for _ in range(100):
            x = lecture_tanh(x)
        x.backward()
        most.append(nodes_now())
    assert max(most[200:]) <= 2 * max(most[:100])


@pytest.mark.parametrize("depth", [1, 2, 10])
def test_a_closure_that_a_live_graph_needs_is_never_cleared(depth: int) -> None:
    w = Value(0.5)
    x = w
    for _ in range(depth):
        x = lecture_tanh(x)
    top = x * 1.0
    del x
    for _ in range(3):
        gc.collect()
    top.backward()
    want, data = 1.0, 0.5
    for _ in range(depth):
        data = math.tanh(data)
        want *= 1 - data**2
    assert w.grad == pytest.approx(want, rel=1e-13)


def test_attributes_in_a_cycle_that_a_live_graph_needs_are_never_cleared() -> None:
    x = Value(1) * 2
    x.me = [x]  # type: ignore[attr-defined]
    x.text = "kept"  # type: ignore[attr-defined]
    top = x + 1
    del x
    gc.collect()
    again = top._children[0]
    assert again.text == "kept"  # type: ignore[attr-defined]
    assert again.me == [again]  # type: ignore[attr-defined]


def test_a_finaliser_that_uses_a_dying_value_keeps_it_whole() -> None:
    saved: list[Value] = []

    class Thing:
        def __init__(self, value: Value) -> None:
            self.value = value

        def __del__(self) -> None:
            saved.append(self.value * 3)

    x = lecture_tanh(Value(0.5))
    x.thing = Thing(x)  # type: ignore[attr-defined]
    del x
    gc.collect()
    (top,) = saved
    top.backward()
    leaf = top._children[0]._children[0]
    assert leaf.grad == pytest.approx(3 * (1 - math.tanh(0.5) ** 2))
    gc.collect()
    assert hasattr(top._children[0], "thing")


def test_a_cleared_value_can_still_be_used_by_a_late_finaliser() -> None:
    heard: list[Any] = []
    x = Value(2.0)
    x.me = x  # type: ignore[attr-defined]

    class Late(list[Any]):
        def __del__(self) -> None:
            value = self[0]
            heard.append((value.data, (value * 2).data, value._children))

    x.late = Late([x])  # type: ignore[attr-defined]
    del x
    gc.collect()
    assert heard == [(2.0, 4.0, ())]


def test_the_collector_reports_what_a_node_owns() -> None:
    x = Value(1)
    thing = ["owned"]
    x.thing = thing  # type: ignore[attr-defined]
    step = x._backward = lambda: None
    assert vars(x) in gc.get_referents(x)
    assert step in gc.get_referents(x)
    assert Value in gc.get_referents(x)


def test_the_first_object_that_a_node_owns_changes_what_the_collector_sees_and_no_result() -> None:
    program = """
        import gc, itertools, operator, weakref
        from tapegrad import Value

        operators = [operator.add, operator.sub, operator.mul, operator.truediv]
        kinds = [(Value, Value), (Value, float), (float, Value), (Value, int), (int, Value)]

        def results():
            for f, (left, right) in itertools.product(operators, kinds):
                x, y = left(3), right(2)
                z = f(x, y)
                z.backward()
                yield [z.data, *(v.grad for v in (x, y) if isinstance(v, Value))]

        def cycles():
            for f, (left, right) in itertools.product(operators, kinds):
                x, y = left(3), right(2)
                owner = x if isinstance(x, Value) else y
                owner.later = []
                z = f(x, y)
                owner.later.append(z)
                yield weakref.ref(z)

        before = list(results())
        made = list(cycles())
        assert list(results()) == before
        made += cycles()
        gc.collect()
        print(len(before), sum(gone() is None for gone in made))
    """
    assert output_of(program) == ["20 40"]


LAYERS: dict[str, Callable[[list[Value]], Any]] = {
    "softmax": lambda x: tapegrad.softmax(x),
    "log_softmax": lambda x: tapegrad.log_softmax(x),
    "rmsnorm": lambda x: tapegrad.rmsnorm(x),
    "layernorm": lambda x: tapegrad.layernorm(x),
    "linear": lambda x: tapegrad.linear([x, [1.0, 2.0]], x),
    "logsumexp": lambda x: [tapegrad.logsumexp(x)],
    "mse_loss": lambda x: [tapegrad.mse_loss(x, [0.0, 1.0])],
    "cross_entropy": lambda x: [tapegrad.cross_entropy([x], [1])],
}


@pytest.mark.parametrize("owner", ["before", "after"])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_cycle_through_what_a_layer_recorded_on_its_way_is_collected(
    layer: str, owner: str
) -> None:
    before = nodes()
    x = [Value(1.0), Value(2.0)]
    later: list[Any] = []
    if owner == "before":
        x[0].later = later  # type: ignore[attr-defined]
    y = LAYERS[layer](x)
    if owner == "after":
        x[0].later = later  # type: ignore[attr-defined]
    later.append(y)
    gone = weakref.ref(y[0])
    later.append(y[-1] * 2.0)
    top = later[-1] * 3.0
    gc.collect()
    assert x[0].later[0] is y  # type: ignore[attr-defined]
    del x, y, later
    gc.collect()
    top.backward()
    del top
    assert nodes() == before
    assert gone() is None


class Collects:
    """Runs the collector when it is copied."""

    def __deepcopy__(self, memo: object) -> Collects:
        gc.collect()
        return self


def test_a_cycle_is_collected_whose_node_was_copied_after_its_operand_got_attributes() -> None:
    before = nodes()
    a, b = Value(1.0), Value(2.0)
    product, later = a * b, a + b
    for operand in (a, b):  # either may be copied first
        operand.uses = [product]  # type: ignore[attr-defined]
        operand.between = Collects()  # type: ignore[attr-defined]
    product.later = [later]  # type: ignore[attr-defined]
    twin = copy.deepcopy(product)
    assert twin._children[0].uses[0] is twin  # type: ignore[attr-defined]
    assert twin.later[0]._children == twin._children
    del a, b, operand, product, later, twin
    assert nodes() == before


def test_a_cycle_is_collected_whose_node_was_unpickled_after_its_operand_got_attributes() -> None:
    before = nodes()
    a = Value(1.0)
    a.uses = uses = [a + 1.0]  # type: ignore[attr-defined]
    twins = pickle.loads(pickle.dumps(uses))
    assert twins[0]._children[0].uses is twins
    del a, uses, twins
    assert nodes() == before


class FilledLate(Value):
    """Keeps its __dict__ while Value.__init__ runs, and puts a user of itself there."""

    def __init__(self, data: float) -> None:
        attributes = vars(self)
        super().__init__(data)
        attributes["uses"] = [self + 1.0]


def test_a_cycle_is_collected_through_a_dict_from_before_init() -> None:
    before = nodes()
    assert FilledLate(1.0).uses[0].data == 2.0  # type: ignore[attr-defined]
    assert nodes() == before
