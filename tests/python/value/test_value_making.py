"""Making a Value, in every dialect's spelling, out of whatever is a real number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from support.contract import nodes
from tapegrad import Value


class HasFloat:
    def __float__(self) -> float:
        return 1.25


class HasIndex:
    def __index__(self) -> int:
        return 7


class FloatSubclass(float):
    pass


class IntSubclass(int):
    pass


numbers = [
    (2, 2.0),
    (-6.5, -6.5),
    (True, 1.0),
    (False, 0.0),
    (2**53, 9007199254740992.0),
    (Fraction(1, 4), 0.25),
    (Decimal("0.125"), 0.125),
    (HasFloat(), 1.25),
    (HasIndex(), 7.0),
    (FloatSubclass(0.5), 0.5),
    (IntSubclass(3), 3.0),
    (np.float64(0.5), 0.5),
    (np.float32(0.5), 0.5),
    (np.float16(0.5), 0.5),
    (np.longdouble(0.5), 0.5),
    (np.int8(-3), -3.0),
    (np.uint64(2**63), 2.0**63),
    (np.bool_(True), 1.0),
    (np.array(2.5), 2.5),
    (np.array(3), 3.0),
    (np.array(True), 1.0),
    (math.inf, math.inf),
    (-math.inf, -math.inf),
]


def names_of(case: Any) -> str | None:
    return type(case).__name__ if not isinstance(case, float) else None


@pytest.mark.parametrize(("number", "data"), numbers, ids=names_of)
def test_any_real_number_becomes_a_float(number: Any, data: float) -> None:
    value = Value(number)
    assert type(value.data) is float
    assert value.data == data


@pytest.mark.parametrize("nan", [math.nan, np.float64("nan"), Decimal("NaN")], ids=names_of)
def test_nan_is_a_number_too(nan: Any) -> None:
    assert math.isnan(Value(nan).data)


def test_the_sign_of_zero_is_kept() -> None:
    assert math.copysign(1.0, Value(-0.0).data) == -1.0


no_numbers = [
    ("2", "str"),
    (b"2", "bytes"),
    (None, "NoneType"),
    (1j, "complex"),
    ([1], "list"),
    ((1,), "tuple"),
    ({}, "dict"),
    (object(), "object"),
    (float, "type"),
    (Value(1), "Value"),
    (np.complex128(1), "numpy.complex128"),
    (np.array([1.0]), "numpy.ndarray"),
    (np.array([1.0, 2.0]), "numpy.ndarray"),
    (np.array(None), "numpy.ndarray"),
    (np.array("1"), "numpy.ndarray"),
    (np.array(1j), "numpy.ndarray"),
    (np.str_("1"), "numpy.str_"),
    (np.datetime64(1, "s"), "numpy.datetime64"),
    (np.timedelta64(1, "s"), "numpy.timedelta64"),
]


@pytest.mark.parametrize(("thing", "name"), no_numbers, ids=lambda case: str(case)[:20])
def test_anything_else_is_a_type_error_that_names_the_type(thing: Any, name: str) -> None:
    with pytest.raises(TypeError, match=rf"^data must be a real number, not '{name}'$"):
        Value(thing)


def test_a_subclass_of_value_is_no_number_either() -> None:
    class Weight(Value):
        pass

    with pytest.raises(TypeError, match=r"^data must be a real number, not 'Weight'$"):
        Value(Weight(1))


def test_an_integer_beyond_every_float_overflows_as_float_does() -> None:
    with pytest.raises(OverflowError, match="int too large to convert to float"):
        Value(10**400)


def test_the_exception_of_a_conversion_comes_out_as_it_was() -> None:
    class Refuses:
        def __float__(self) -> float:
            raise LookupError("no number today")

    with pytest.raises(LookupError, match="no number today"):
        Value(Refuses())


def test_a_fresh_value_is_a_leaf_without_gradient_or_label() -> None:
    value = Value(3)
    assert (value.grad, value.label, value._op) == (0.0, "", "")
    assert (value._prev, value._children, value._local_grads) == (set(), (), ())


def made_of(a: Value, b: Value) -> dict[str, Value]:
    """One node with two operands, in each spelling."""
    return {
        "micrograd, positional": Value(5, (a, b), "op"),
        "micrograd, by keyword": Value(5, _children=(a, b), _op="op"),
        "every name": Value(data=5, _children=(a, b), _op="op", label=""),
        "_prev": Value(5, _prev=(a, b), _op="op"),
        "children": Value(5, children=(a, b), _op="op"),
        "a list": Value(5, [a, b], "op"),
        "a generator": Value(5, (v for v in (a, b)), "op"),
        "an iterator": Value(5, iter([a, b]), "op"),
        "keys of a dict": Value(5, {a: 1, b: 2}, "op"),
        "an object array": Value(5, np.array([a, b]), "op"),
    }


@pytest.mark.parametrize("spelling", list(made_of(Value(0), Value(0))))
def test_operands_are_kept_in_order_however_they_are_spelled(spelling: str) -> None:
    a, b = Value(1), Value(2)
    node = made_of(a, b)[spelling]
    assert (node.data, node._op, node._children) == (5.0, "op", (a, b))
    assert node._prev == {a, b}


def test_a_set_of_operands_is_taken() -> None:
    a, b = Value(1), Value(2)
    node = Value(5, {a, b})
    assert node._prev == {a, b}
    assert sorted(node._children) == [a, b]


def test_the_fourth_positional_argument_is_the_label() -> None:
    node = Value(5, (Value(1),), "op", "loss")
    assert (node._op, node.label) == ("op", "loss")
    assert Value(5, label="a").label == "a"


def with_partials(a: Value, b: Value) -> dict[str, Value]:
    """One node of microgpt's kind, in each spelling."""
    return {
        "a tuple in third place": Value(5, (a, b), (2.0, -3)),
        "a list in third place": Value(5, (a, b), [2.0, -3]),
        "local_grads": Value(5, (a, b), local_grads=(2.0, -3)),
        "_local_grads": Value(5, (a, b), _local_grads=(2.0, -3)),
        "all by keyword": Value(data=5, children=(a, b), local_grads=(2.0, -3)),
        "an array": Value(5, (a, b), local_grads=np.array([2.0, -3.0])),
        "a generator": Value(5, (a, b), local_grads=(g for g in (2.0, -3))),
        "with _op": Value(5, (a, b), "op", local_grads=(2.0, -3)),
    }


@pytest.mark.parametrize("spelling", list(with_partials(Value(0), Value(0))))
def test_local_gradients_make_a_node_with_exactly_those_partials(spelling: str) -> None:
    a, b = Value(1), Value(2)
    node = with_partials(a, b)[spelling]
    assert node._local_grads == (2.0, -3.0)
    assert node._children == (a, b)
    node.backward()
    assert (a.grad, b.grad) == (2.0, -3.0)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_a_node_has_any_number_of_operands(count: int) -> None:
    operands = [Value(k) for k in range(count)]
    node = Value(1.5, operands, tuple(range(count)))
    assert node._children == tuple(operands)
    node.backward()
    assert [v.grad for v in operands] == [float(k) for k in range(count)]


def test_an_operand_may_occur_more_than_once() -> None:
    a = Value(3)
    node = Value(9, (a, a, a), (1.0, 2.0, 4.0))
    assert node._children == (a, a, a)
    assert node._prev == {a}
    node.backward()
    assert a.grad == 7.0


def test_without_local_gradients_nothing_flows_until_a_backward_is_given() -> None:
    a = Value(3)
    node = Value(9, (a,), "mystery")
    assert node._local_grads == (0.0,)
    node.backward()
    assert a.grad == 0.0


bad_calls = [
    ("Value()", TypeError, r"Value\(\) missing required argument 'data' \(pos 1\)"),
    ("Value(label='x')", TypeError, r"Value\(\) missing required argument 'data' \(pos 1\)"),
    ("Value(1, (), '', '', 5)", TypeError, r"at most 4 positional arguments \(5 given\)"),
    ("Value(1, colour=2)", TypeError, "unexpected keyword argument 'colour'"),
    ("Value(1, data=2)", TypeError, "multiple values for argument 'data'"),
    ("Value(1, (), _children=())", TypeError, "multiple values for argument '_children'"),
    ("Value(1, (3,))", TypeError, r"^_children\[0\] must be a Value, not 'int'$"),
    ("Value(1, (v, 'v'))", TypeError, r"^_children\[1\] must be a Value, not 'str'$"),
    ("Value(1, children=(None,))", TypeError, r"^children\[0\] must be a Value, not 'NoneType'$"),
    ("Value(1, _prev=[2.0])", TypeError, r"^_prev\[0\] must be a Value, not 'float'$"),
    ("Value(1, 3)", TypeError, "^_children must be an iterable of Values, not 'int'$"),
    ("Value(1, v)", TypeError, "^_children must be an iterable of Values, not 'Value'$"),
    ("Value(1, None)", TypeError, "^_children must be an iterable of Values, not 'NoneType'$"),
    ("Value(1, (v,), children=(v,))", TypeError, r"Value\(\) got its children twice"),
    ("Value(1, _prev=(v,), children=(v,))", TypeError, r"Value\(\) got its children twice"),
    ("Value(1, (v,), 3)", TypeError, "^_op must be a str, or a tuple .*, not 'int'$"),
    ("Value(1, (v,), None)", TypeError, "^_op must be a str, or a tuple .*, not 'NoneType'$"),
    ("Value(1, (v,), (1.0,), local_grads=(1.0,))", TypeError, "got local gradients twice"),
    ("Value(1, (v,), '', 3)", TypeError, "^label must be a str, not 'int'$"),
    ("Value(1, label=None)", TypeError, "^label must be a str, not 'NoneType'$"),
    ("Value(1, (v,), (1.0, 2.0))", ValueError, "one number for each child: 2 for 1"),
    ("Value(1, (v, v), (1.0,))", ValueError, "one number for each child: 1 for 2"),
    ("Value(1, (v,), local_grads=())", ValueError, "one number for each child: 0 for 1"),
    ("Value(1, local_grads=(1.0,))", ValueError, "one number for each child: 1 for 0"),
    ("Value(1, (v,), ('x',))", TypeError, r"^local_grads\[0\] must be a real number, not 'str'$"),
    ("Value(1, (v,), (v,))", TypeError, r"^local_grads\[0\] must be a real number, not 'Value'$"),
    ("Value(1, (v,), local_grads=3)", TypeError, "local_grads must be a sequence of numbers"),
    (r"Value(1, label='\ud800')", UnicodeEncodeError, "surrogates not allowed"),
]


@pytest.mark.parametrize(("call", "kind", "message"), bad_calls, ids=[c[0] for c in bad_calls])
def test_a_wrong_call_says_what_is_wrong(call: str, kind: type[Exception], message: str) -> None:
    v = Value(2)
    before = nodes()
    with pytest.raises(kind, match=message):
        eval(call, {"Value": Value, "v": v})
    assert nodes() == before


def test_an_iterator_of_operands_that_raises_is_heard() -> None:
    def operands() -> Iterator[Value]:
        yield Value(1)
        raise LookupError("no more")

    before = nodes()
    with pytest.raises(LookupError, match="no more"):
        Value(1, operands())
    assert nodes() == before


def test_a_conversion_that_empties_the_list_of_local_gradients_does_no_harm() -> None:
    grads: list[Any] = []

    class Empties:
        def __float__(self) -> float:
            grads.clear()
            return 1.0

    grads += [Empties(), 2.0]
    with pytest.raises(ValueError, match="local_grads changed while it was read"):
        Value(1, (Value(1), Value(2)), grads)


def test_a_conversion_that_empties_the_list_of_operands_does_no_harm() -> None:
    operands = [Value(1), Value(2)]

    class Empties:
        def __float__(self) -> float:
            operands.clear()
            return 1.0

    node = Value(3, operands, (Empties(), 2.0))
    assert [v.data for v in node._children] == [1.0, 2.0]


class Weight(Value):
    """A subclass as a program may write it, with a name given to its constructor."""

    def __new__(cls, data: float, name: str = "") -> Weight:
        return super().__new__(cls, data)

    def __init__(self, data: float, name: str = "") -> None:
        super().__init__(data)
        self.name = name

    def double(self) -> Value:
        return self + self


def test_a_subclass_has_its_own_constructor_and_methods() -> None:
    weight = Weight(2.0, "w")
    assert (weight.data, weight.name, weight.double().data) == (2.0, "w", 4.0)
    assert isinstance(weight, Value)


def test_results_of_operators_on_a_subclass_are_plain_values() -> None:
    weight = Weight(2.0)
    assert type(weight + weight) is type(weight * 2) is type(-weight) is type(weight.exp()) is Value


def test_a_subclass_that_only_adds_methods_takes_every_spelling() -> None:
    class Named(Value):
        pass

    a = Value(1)
    node = Named(5, (a,), (2.0,), label="n")
    assert type(node) is Named
    assert (node._children, node._local_grads, node.label) == ((a,), (2.0,), "n")


def test_the_class_takes_new_methods_and_operators() -> None:
    def gelu_of_mine(self: Value) -> Value:
        return self * 0.5

    try:
        Value.gelu_of_mine = gelu_of_mine  # type: ignore[attr-defined]
        assert Value(4).gelu_of_mine().data == 2.0  # type: ignore[attr-defined]
    finally:
        del Value.gelu_of_mine  # type: ignore[attr-defined]


def test_new_and_init_may_be_called_by_hand() -> None:
    value = Value.__new__(Value, 3, (), "", "x")
    assert (value.data, value.label) == (3.0, "x")
    value.__init__(9)  # type: ignore[misc]
    assert value.data == 3.0
