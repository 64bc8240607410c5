"""A Value is a node: `is`, `id`, `==`, `hash` and truth are the object's own."""

from __future__ import annotations

import gc
import operator
import weakref

import pytest

from support.contract import nodes, output_of
from tapegrad import Value


def test_operands_come_back_as_the_same_objects() -> None:
    a, b = Value(1), Value(2)
    total = a + b
    assert total._children[0] is a
    assert total._children[1] is b
    assert {id(v) for v in total._prev} == {id(a), id(b)}


def test_an_operand_met_on_two_ways_is_one_object() -> None:
    inner = Value(1) + Value(2)
    left, right = inner * 2, inner * 3
    top = left + right
    del inner
    one = top._children[0]._children[0]
    other = top._children[1]._children[0]
    assert one is other


def test_a_constant_operand_is_the_same_object_each_time() -> None:
    y = Value(1) + 5
    assert y._children[1] is y._children[1]
    held = y._children[1]
    assert held in y._prev


@pytest.mark.parametrize("objects", ["quiet", "owned"])
def test_operands_are_found_whatever_lived_and_died_in_between(objects: str) -> None:
    lines = output_of(
        f"""
        import random
        from tapegrad import Value

        class Weight(Value):
            pass

        source = random.Random(3)
        known = [(Value(k), ()) for k in range(4)]  # a value, and its operands while they are known
        if {objects!r} == "owned":
            known[0][0].note = known
        for step in range(20000):
            a, b = (source.choice(known)[0] for _ in range(2))
            kind = source.randrange(8)
            if kind < 4:
                known.append((a * b if kind % 2 else a + b, (a, b)))
            elif kind == 4:
                known.append((Value(step) if step % 3 else Weight(step), ()))
            elif kind == 5:
                known.append((a.tanh(), (a,)))
            elif len(known) > 60:
                del known[source.randrange(len(known)) :: 3]
            else:
                value, operands = source.choice(known)
                assert all(x is y for x, y in zip(value._children, operands)), step
                assert len(value._children) >= len(operands)
                assert all(x is y for x, y in zip(value._children, value._children)), step
        print("found")
        """
    )
    assert lines == ["found"]


def test_operands_are_found_after_more_objects_died_than_are_kept_for_later() -> None:
    lines = output_of(
        """
        from tapegrad import Value

        a, b = Value(1), Value(2)
        total = a + b
        for _ in range(3):
            values = [a * k for k in range(100_000)]
            assert total._children[0] is a
            sums = [values[k] + values[k + 1] for k in range(0, 100_000, 5)]
            del values[1::2]
            assert sums[7]._children == (sums[7]._children[0], values[18])
            for k, one in enumerate(sums[:100]):
                assert one._children[(5 * k) % 2] is values[(5 * k + 1) // 2]
            del values, sums, one
            assert total._children[1] is b
        print("found")
        """
    )
    assert lines == ["found"]


def test_a_node_that_nobody_holds_gets_a_new_object_for_the_same_node() -> None:
    y = (Value(1) + 5).exp()
    y._children[0].grad = 3.0
    y._children[0].label = "inner"
    assert (y._children[0].grad, y._children[0].label) == (3.0, "inner")


def test_equality_is_identity() -> None:
    a, b = Value(1), Value(1)
    assert operator.eq(a, a)
    assert not operator.ne(a, a)
    for other in (b, 1, 1.0, None):
        assert operator.ne(a, other)
        assert not operator.eq(a, other)
    assert a.__eq__(1) is NotImplemented


def test_values_live_in_sets_dictionaries_and_lists() -> None:
    a, b, c = Value(1), Value(1), Value(1)
    assert len({a, b, c, a}) == 3
    assert {a: "a", b: "b"}[b] == "b"
    assert [a, b, c].index(c) == 2
    assert a in [b, a]
    assert 1 not in [a]


def test_hash_is_the_same_for_life_and_differs_between_nodes() -> None:
    values = [Value(k) for k in range(1000)]
    hashes = [hash(v) for v in values]
    values[0].data = 9
    assert [hash(v) for v in values] == hashes
    assert len(set(hashes)) == 1000


@pytest.mark.parametrize("data", [0.0, -0.0, float("nan"), 1.0])
def test_every_value_is_true(data: float) -> None:
    assert bool(Value(data)) is True


def test_depth_first_search_by_id_as_micrograd_draws() -> None:
    x = Value(2)
    y = (x * x + x).tanh() * x

    found: dict[int, Value] = {}
    edges = set()

    def build(node: Value) -> None:
        if id(node) in found:
            return
        found[id(node)] = node
        for child in node._prev:
            edges.add((id(child), id(node)))
            build(child)

    build(y)
    assert len(found) == 5
    assert len(edges) == 6
    assert sorted(v._op for v in found.values()) == ["", "*", "*", "+", "tanh"]


def test_what_a_dead_value_had_never_shows_on_a_later_one() -> None:
    kept = Value(0)
    for k in range(2000):
        gone = kept + k
        gone.label, gone.grad, gone.note = "gone", 1.0, "gone"  # type: ignore[attr-defined]
        gone._backward = lambda: None
        del gone
        fresh = kept - k if k % 2 else Value(-k)
        assert (fresh.data, fresh.grad, fresh.label) == (-k, 0.0, "")
        assert not hasattr(fresh, "note")
        assert len(fresh._children) == 2 * (k % 2)


def test_weak_references_die_with_the_last_variable() -> None:
    value = Value(1)
    reference = weakref.ref(value)
    assert reference() is value
    del value
    assert reference() is None


def test_a_weak_reference_of_one_life_is_not_of_the_next() -> None:
    value = Value(1)
    user = value + 1
    reference = weakref.ref(value)
    called = []
    weakref.finalize(value, called.append, "dead")
    del value
    assert called == ["dead"]
    assert user._children[0].data == 1.0
    assert reference() is None


def test_weak_sets_and_dictionaries_let_values_go() -> None:
    before = nodes()
    held = weakref.WeakSet(Value(k) for k in range(10))
    assert len(held) == 0
    names: weakref.WeakKeyDictionary[Value, str] = weakref.WeakKeyDictionary()
    value = Value(1)
    names[value] = "one"
    assert names[value] == "one"
    del value
    assert len(names) == 0
    assert nodes() == before


def test_a_value_may_be_brought_back_by_its_own_finaliser() -> None:
    saved: list[Value] = []

    class Phoenix(Value):
        def __del__(self) -> None:
            saved.append(self)

    bird = Phoenix(3.0)
    bird.song = "la"  # type: ignore[attr-defined]
    del bird
    again = saved.pop()
    assert type(again) is Phoenix
    assert (again.data, vars(again)) == (3.0, {"song": "la"})
    (again * 2).backward()
    assert again.grad == 2.0


def test_a_node_has_one_object_even_if_the_collector_asks_while_it_is_made() -> None:
    lines = output_of(
        """
        import gc
        from tapegrad import Value

        class Weight(Value):
            pass

        gc.disable()
        weight = Weight(3.0)
        weight.note = {"x": 1}
        user = weight * 2
        del weight
        asked = []

        def ask(phase, info):
            if phase == "start" and not asked:
                asked.append(None)
                asked[0] = user._children[0]

        gc.callbacks.append(ask)
        gc.enable()
        gc.set_threshold(1, 1, 1)
        for step in range(50):
            child = user._children[0]
            junk = [[] for _ in range(4)]
            assert not asked or asked[0] is None or asked[0] is child, step
            assert child.note == {"x": 1}
            asked.clear()
            del child
        print("same")
        """
    )
    assert lines == ["same"]


def test_identity_survives_collections() -> None:
    a = Value(1)
    y = a * 2
    for _ in range(3):
        gc.collect()
        assert y._children[0] is a
