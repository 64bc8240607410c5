"""What a Value has, and that its node keeps it when the variable is gone."""

from __future__ import annotations

import gc
import math
import weakref
from typing import Any

import numpy as np
import pytest

from tapegrad import Value


def leaf() -> Value:
    return Value(2.0)


def result() -> Value:
    return Value(2.0) * 3.0


def open_node() -> Value:
    return Value(2.0, (Value(1), Value(2), Value(3)), "op")


every_kind = pytest.mark.parametrize("make", [leaf, result, open_node])


@every_kind
@pytest.mark.parametrize("name", ["data", "grad"])
@pytest.mark.parametrize(
    ("number", "kept"), [(1.5, 1.5), (4, 4.0), (True, 1.0), (np.float32(0.5), 0.5), (math.inf,) * 2]
)
def test_data_and_grad_are_floats_to_read_and_write(
    make: Any, name: str, number: Any, kept: float
) -> None:
    value = make()
    setattr(value, name, number)
    assert getattr(value, name) == kept
    assert type(getattr(value, name)) is float


@every_kind
def test_augmented_assignment_is_the_training_loop(make: Any) -> None:
    value = make()
    data = value.data
    value.grad += 2.0
    value.grad += 1.0
    value.data -= 0.5 * value.grad
    assert (value.data, value.grad) == (data - 1.5, 3.0)


refused = [
    ("data", "x", "data must be a real number, not 'str'"),
    ("data", None, "data must be a real number, not 'NoneType'"),
    ("data", Value(1), "data must be a real number, not 'Value'"),
    ("data", np.array([1.0]), "data must be a real number, not 'numpy.ndarray'"),
    ("grad", None, "grad must be a real number, not 'NoneType'"),
    ("grad", 1j, "grad must be a real number, not 'complex'"),
    ("grad", Value(1), "grad must be a real number, not 'Value'"),
    ("label", 3, "label must be a str, not 'int'"),
    ("label", None, "label must be a str, not 'NoneType'"),
    ("_op", 3, "_op must be a str, not 'int'"),
    ("_backward", None, "_backward must be callable, not 'NoneType'"),
    ("_backward", 3, "_backward must be callable, not 'int'"),
]


@every_kind
@pytest.mark.parametrize(("name", "thing", "message"), refused)
def test_a_wrong_assignment_says_so_and_changes_nothing(
    make: Any, name: str, thing: Any, message: str
) -> None:
    value = make()
    before = value.data, value.grad, value.label, value._op
    with pytest.raises(TypeError, match=f"^{message}$"):
        setattr(value, name, thing)
    assert (value.data, value.grad, value.label, value._op) == before


@every_kind
@pytest.mark.parametrize("name", ["data", "grad", "label", "_op", "_backward"])
def test_what_a_value_must_have_cannot_be_deleted(make: Any, name: str) -> None:
    value = make()
    with pytest.raises(TypeError, match=f"^{name} of a Value cannot be deleted$"):
        delattr(value, name)


@pytest.mark.parametrize("name", ["_prev", "_children", "_local_grads"])
def test_operands_are_not_to_be_deleted(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        delattr(result(), name)


def test_a_missing_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Value' object has no attribute 'nothing'"):
        _ = leaf().nothing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="nothing"):
        del leaf().nothing  # type: ignore[attr-defined]


a = Value(2.0)
symbols = [
    (a + 1, "+"),
    (1 + a, "+"),
    (a - 1, "-"),
    (a * a, "*"),
    (a / 2, "/"),
    (a**2, "**2"),
    (a**-1, "**-1"),
    (a**0.5, "**0.5"),
    (a**a, "**"),
    (2**a, "**"),
    (a.relu(), "ReLU"),
    (a.tanh(), "tanh"),
    (a.exp(), "exp"),
    (Value(1, (a,), "mine"), "mine"),
    (Value(1), ""),
]


@pytest.mark.parametrize(("value", "symbol"), symbols, ids=[s or "leaf" for _, s in symbols])
def test_op_is_what_drawings_show(value: Value, symbol: str) -> None:
    assert value._op == symbol


def test_op_may_be_renamed() -> None:
    value = a + 1
    value._op = "bias"
    assert value._op == "bias"


def test_prev_is_a_set_of_the_operands_themselves() -> None:
    x, y = Value(1), Value(2)
    total = x + y
    assert type(total._prev) is set
    assert total._prev == {x, y}
    assert (x * x)._prev == {x}


def test_changing_the_set_does_not_change_the_node() -> None:
    x = Value(1)
    y = x.exp()
    y._prev.clear()
    assert y._prev == {x}


def test_children_are_a_tuple_in_order_with_repeats() -> None:
    x, y = Value(1), Value(2)
    assert (x - y)._children == (x, y)
    assert (x * x)._children == (x, x)
    assert x._children == ()


@pytest.mark.parametrize(
    ("value", "left", "right"),
    [(a - 5, a, 5.0), (5 - a, 5.0, a), (a / 5, a, 5.0), (5 / a, 5.0, a), (5**a, 5.0, a)],
    ids=["a-5", "5-a", "a/5", "5/a", "5**a"],
)
def test_a_plain_number_shows_as_an_operand_on_its_own_side(
    value: Value, left: Any, right: Any
) -> None:
    first, second = value._children
    for child, wanted in [(first, left), (second, right)]:
        assert child is wanted if isinstance(wanted, Value) else child.data == wanted
    assert value._prev == {first, second}
    assert value._children == (first, second)


def test_a_constant_exponent_is_no_operand_as_in_micrograd() -> None:
    assert (a**3)._children == (a,)


def test_a_plain_number_that_is_an_operand_has_its_gradient() -> None:
    x = Value(3.0)
    y = (x * 4.0) * 5.0
    y.backward()
    (four,) = y._children[0]._prev - {x}
    assert (four.data, four.grad) == (4.0, 15.0)
    five = y._children[1]
    assert (five.data, five.grad) == (5.0, 12.0)


def test_looking_at_a_plain_number_before_backward_changes_nothing_else() -> None:
    seen, unseen = Value(3.0), Value(3.0)
    first, second = (seen * 4.0) - 1.5, (unseen * 4.0) - 1.5
    _ = first._prev, first._children[0]._children
    first.backward()
    second.backward()
    assert (seen.grad, first.data) == (unseen.grad, second.data)
    constant = first._children[1]
    assert (constant.data, constant.grad) == (1.5, -1.0)


def test_local_grads_are_the_partials_by_each_child() -> None:
    x, y = Value(3), Value(4)
    assert (x * y)._local_grads == (4.0, 3.0)
    assert (x - y)._local_grads == (1.0, -1.0)
    assert (x * 2)._local_grads == (2.0, 3.0)
    assert x._local_grads == ()


def test_any_other_attribute_may_be_set_read_and_deleted() -> None:
    p = Value(1)
    p.m, p._vis_color = 0.5, "red"  # type: ignore[attr-defined]
    assert (p.m, p._vis_color) == (0.5, "red")  # type: ignore[attr-defined]
    assert vars(p) == {"m": 0.5, "_vis_color": "red"}
    del p.m  # type: ignore[attr-defined]
    assert not hasattr(p, "m")


def test_attributes_are_each_value_s_own() -> None:
    first, second = Value(1.0), Value(2.0)
    vars(first)["m"] = 1
    first.v = 2
    assert vars(second) == {}
    assert vars(first) is not vars(second)
    assert not hasattr(second, "m")
    assert not hasattr(Value(3.0), "v")
    del first.m, first.v
    assert vars(first) == {}
    with pytest.raises(AttributeError, match="m"):
        del second.m


def test_a_failed_assignment_leaves_no_attribute_behind() -> None:
    class Locked(Value):
        @property
        def m(self) -> int:
            return 3

    v = Locked(1.0)
    with pytest.raises(AttributeError):
        v.m = 4  # type: ignore[misc]
    assert vars(v) == {}
    assert vars(Value(1.0)) == {}


def test_the_dictionary_of_attributes_can_be_used_and_replaced() -> None:
    p = Value(1)
    p.__dict__["m"] = 1
    assert p.m == 1  # type: ignore[attr-defined]
    p.__dict__ = {"v": 2}
    assert p.v == 2  # type: ignore[attr-defined]
    assert not hasattr(p, "m")
    with pytest.raises(TypeError, match="__dict__ must be set to a dictionary"):
        p.__dict__ = 3  # type: ignore[assignment]


def test_an_attribute_does_not_hide_what_a_value_has() -> None:
    p = Value(1)
    p.__dict__["data"] = "hidden"
    p.__dict__["grad"] = "hidden"
    assert (p.data, p.grad) == (1.0, 0.0)


def belongings(value: Value) -> tuple[Any, ...]:
    return value.data, value.grad, value.label, value._op, vars(value)


@every_kind
def test_the_node_keeps_everything_while_it_has_no_variable(make: Any) -> None:
    value = make()
    value.label, value._op, value.colour = "name", "sign", ["red"]
    value.data, value.grad = 5.0, 6.0
    before = belongings(value)
    user = value + 1
    del value
    gc.collect()
    (again,) = (child for child in user._children if child.label)
    assert belongings(again) == before
    again.colour.append("blue")
    del again
    assert [vars(c) for c in user._children if c.label] == [{"colour": ["red", "blue"]}]


def test_the_node_keeps_its_subclass_and_backward_function() -> None:
    class Weight(Value):
        pass

    called = []
    weight = Weight(1.0)
    weight._backward = lambda: called.append("weight")
    user = weight * 2
    del weight
    gc.collect()
    assert type(user._children[0]) is Weight
    user.backward()
    assert called == ["weight"]


def test_attributes_go_when_the_node_goes() -> None:
    class Thing:
        pass

    p = Value(1)
    p.thing = Thing()  # type: ignore[attr-defined]
    gone = weakref.ref(p.thing)  # type: ignore[attr-defined]
    user = p + 1
    del p
    assert gone() is not None
    del user
    assert gone() is None


def test_attributes_set_through_one_handle_are_seen_by_the_next() -> None:
    y = Value(2).exp().log()
    for step in range(5):
        y._children[0].step = step  # type: ignore[attr-defined]
        assert y._children[0].step == step  # type: ignore[attr-defined]


def test_attributes_are_there_for_one_who_comes_back_in_a_weakref_callback() -> None:
    p = Value(1)
    p.note = "kept"  # type: ignore[attr-defined]
    user = p + 1
    seen = []
    reference = weakref.ref(p, lambda _: seen.append(user._children[0]))
    del p
    assert reference() is None
    assert seen[0] is user._children[0]
    assert vars(seen[0]) == {"note": "kept"}


@pytest.mark.parametrize("text", ["", "loss", "β₁ → 𝛁", "a\0b", "|{<>}\"'\\", "x" * 100_000])
@pytest.mark.parametrize("name", ["label", "_op"])
def test_labels_and_symbols_are_any_text(name: str, text: str) -> None:
    value = Value(1) + 1
    setattr(value, name, text)
    if text or name == "label":
        assert getattr(value, name) == text


def test_every_method_has_a_docstring_and_a_signature() -> None:
    for name in ("backward", "zero_grad", "relu", "exp", "clip", "maximum", "arcsin"):
        method = getattr(Value, name)
        assert method.__doc__
        assert method.__text_signature__
    assert Value.__text_signature__.startswith("(data, _children=(), _op='', label='', *, ")
