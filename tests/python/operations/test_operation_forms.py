"""An operation is one, however it is written: same value and same derivatives, to the last bit."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tapegrad
from support.operations import OPERATIONS, OPERATORS, Operation, evaluate, operation
from tapegrad import Value

every_operation = pytest.mark.parametrize("one", OPERATIONS, ids=str)
functions = pytest.mark.parametrize(
    "one", [one for one in OPERATIONS if not one.constant_last], ids=str
)
fixed = [one for one in OPERATIONS if one.arity is not None]
numbers = st.floats(-4.0, 4.0)


def inside(one: Operation) -> tuple[float, ...]:
    """A point of the domain, of three elements for each sequence of an n-ary operation."""
    shares = (0.61, 0.37, 0.83) if one.arity is None else (0.61,)
    return tuple(low + share * (high - low) for low, high in one.domain for share in shares)


def mixtures(one: Operation) -> list[tuple[bool, ...]]:
    """Which arguments are Values and which plain numbers: every mixture with a Value."""
    count = len(inside(one)) - one.constant_last
    mixes = [mix for mix in itertools.product((True, False), repeat=count) if any(mix)]
    # A power of a plain exponent is another operation, pow_const.
    return [mix for mix in mixes if one.name != "pow" or mix[1]]


def mixed(one: Operation, mix: tuple[bool, ...]) -> list[Any]:
    """The point's arguments, as Values where `mix` says so."""
    point = inside(one)
    arguments = [Value(x) if is_value else x for x, is_value in zip(point, mix, strict=False)]
    return [*arguments, *point[len(mix) :]]


def forms() -> list[Any]:
    """Every way to write an operation of fixed arity that ends up in the core itself."""
    written: list[tuple[Operation, str, Callable[..., Any]]] = []
    for one in fixed:
        if one.name in OPERATORS:
            written.append((one, "operator", OPERATORS[one.name]))
        for name in one.names if not one.constant_last else ():
            written.append((one, f"tapegrad.{name}", getattr(tapegrad, name)))
            written.append((one, f"Value.{name}", getattr(Value, name)))
    return [pytest.param(one, form, id=f"{one}-{name}") for one, name, form in written]


@pytest.mark.parametrize(("one", "form"), forms())
def test_functions_methods_operators_and_both_names_are_the_same(
    one: Operation, form: Callable[..., Any]
) -> None:
    point = inside(one)
    assert evaluate(form, one.operands(point)) == one.evaluate(point)
    assert form(*one.operands(point))._op == one(*one.operands(point))._op


# NumPy computes these with operators: x * x, 1 / x, and the operand that is larger.
WITH_OPERATORS = {"square", "reciprocal", "maximum", "minimum"}
known_to_numpy = [one for one in fixed if isinstance(getattr(np, one.names[-1], None), np.ufunc)]


@pytest.mark.parametrize("one", known_to_numpy, ids=str)
def test_numpys_function_of_the_name_does_the_same_on_objects(one: Operation) -> None:
    value, derivatives = one.evaluate(inside(one))
    numpys_value, numpys = evaluate(getattr(np, one.names[-1]), one.operands(inside(one)))
    assert numpys_value == value
    if one.name in WITH_OPERATORS:
        assert numpys == pytest.approx(derivatives, rel=4e-16)
    else:
        assert numpys == derivatives


@pytest.mark.parametrize("one", known_to_numpy, ids=str)
def test_numpys_function_works_element_by_element_on_arrays_of_values(one: Operation) -> None:
    rows = [one.operands(inside(one)) for _ in range(3)]
    columns = [np.array(column, dtype=object) for column in zip(*rows, strict=True)]
    results = getattr(np, one.names[-1])(*columns)
    assert [result.data for result in results] == [one.evaluate(inside(one))[0]] * 3


@every_operation
def test_numbers_in_the_place_of_values_change_no_result(one: Operation) -> None:
    value, derivatives = one.evaluate(inside(one))
    for mix in mixtures(one):
        kept = [d for d, is_value in zip(derivatives, mix, strict=True) if is_value]
        assert evaluate(one, mixed(one, mix)) == (value, kept)


@functions
def test_plain_numbers_alone_give_the_same_value_as_a_float(one: Operation) -> None:
    result = one(*inside(one))
    assert type(result) is float
    assert result == one.evaluate(inside(one))[0]


@functions
def test_arguments_may_be_given_by_name(one: Operation) -> None:
    arguments: list[Any] = one.operands(inside(one))
    grouped = one.sequences(arguments) if one.arity is None else arguments
    function = getattr(tapegrad, one.name)
    by_name = dict(zip(one.parameters, grouped, strict=True))
    assert function(**by_name).data == one.evaluate(inside(one))[0]
    if one.arity is not None:
        own = by_name.pop(one.parameters[0])
        assert getattr(own, one.name)(**by_name).data == one.evaluate(inside(one))[0]


@every_operation
def test_numbers_show_as_children_in_their_place_with_their_partial_derivatives(
    one: Operation,
) -> None:
    _, derivatives = one.evaluate(inside(one))
    for mix in mixtures(one):
        arguments = mixed(one, mix)
        result = one(*arguments)
        shown = result._children
        assert [child.data for child in shown] == list(inside(one)[: len(mix)])
        assert result._local_grads == tuple(derivatives)
        for child, argument in zip(shown, arguments, strict=False):
            assert child is argument or not isinstance(argument, Value)


@every_operation
def test_showing_the_children_changes_no_gradient(one: Operation) -> None:
    _, derivatives = one.evaluate(inside(one))
    for mix in mixtures(one):
        arguments = mixed(one, mix)
        result = one(*arguments)
        children = result._children
        result.backward()
        assert [child.grad for child in children] == derivatives


@every_operation
def test_a_child_first_shown_after_backward_has_the_gradient_that_it_would_have(
    one: Operation,
) -> None:
    _, derivatives = one.evaluate(inside(one))
    for mix in mixtures(one):
        result = one(*mixed(one, mix))
        result.backward()
        assert [child.grad for child in result._children] == derivatives


ORDERED: dict[str, tuple[Callable[[Value], Value], float, float]] = {
    "2.0 - x": (lambda x: 2.0 - x, -1.0, -1.0),
    "x - 2.0": (lambda x: x - 2.0, 1.0, 1.0),
    "2.0 / x": (lambda x: 2.0 / x, 2.0 / 3.0, -2.0 / 9.0),
    "x / 2.0": (lambda x: x / 2.0, 1.5, 0.5),
    "2.0 ** x": (lambda x: 2.0**x, 8.0, 8.0 * math.log(2.0)),
    "x ** 2.0": (lambda x: x**2.0, 9.0, 6.0),
    "atan2(2.0, x)": (lambda x: tapegrad.atan2(2.0, x), math.atan2(2.0, 3.0), -2.0 / 13.0),
    "atan2(x, 2.0)": (lambda x: tapegrad.atan2(x, 2.0), math.atan2(3.0, 2.0), 2.0 / 13.0),
    "x.atan2(2.0)": (lambda x: x.atan2(2.0), math.atan2(3.0, 2.0), 2.0 / 13.0),
    "pow(2.0, x)": (lambda x: tapegrad.pow(2.0, x), 8.0, 8.0 * math.log(2.0)),
    "sub(2.0, x)": (lambda x: tapegrad.sub(2.0, x), -1.0, -1.0),
    "div(2.0, x)": (lambda x: tapegrad.div(2.0, x), 2.0 / 3.0, -2.0 / 9.0),
    "leaky_relu(-2.0, x)": (lambda x: tapegrad.leaky_relu(-2.0, x), -6.0, -2.0),
    "leaky_relu(x, 2.0)": (lambda x: tapegrad.leaky_relu(x, 2.0), 3.0, 1.0),
    "clip(5.0, x, 9.0)": (lambda x: tapegrad.clip(5.0, x, 9.0), 5.0, 0.0),
    "clip(1.0, x, 9.0)": (lambda x: tapegrad.clip(1.0, x, 9.0), 3.0, 1.0),
    "clip(9.0, 1.0, x)": (lambda x: tapegrad.clip(9.0, 1.0, x), 3.0, 1.0),
    "clip(x, 1.0, 9.0)": (lambda x: tapegrad.clip(x, 1.0, 9.0), 3.0, 1.0),
}


@pytest.mark.parametrize("written", ORDERED)
def test_a_number_on_either_side_keeps_its_side(written: str) -> None:
    form, value, derivative = ORDERED[written]
    x = Value(3.0)
    result = form(x)
    result.backward()
    assert (result.data, x.grad) == pytest.approx((value, derivative), rel=1e-15)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow"])
@pytest.mark.parametrize(
    "number", [2, True, np.float64(2.5), np.float32(2.5), np.int64(2)], ids=repr
)
def test_operators_take_numbers_of_every_kind_on_either_side(name: str, number: Any) -> None:
    form, plain = OPERATORS[name], float(number)
    assert evaluate(form, [Value(3.0), number]) == evaluate(form, [Value(3.0), plain])
    assert evaluate(form, [number, Value(3.0)]) == evaluate(form, [plain, Value(3.0)])


def test_the_slope_of_leaky_relu_is_a_hundredth_unless_given() -> None:
    assert evaluate(Value.leaky_relu, [Value(-3.0)]) == (-0.03, [0.01])
    assert evaluate(tapegrad.leaky_relu, [Value(-3.0)]) == (-0.03, [0.01])
    assert tapegrad.leaky_relu(-3.0) == -0.03


@pytest.mark.parametrize("exponent", [2.0, 3.0, -1.0, 0.5, -2.0, 1.0, 0.0, 2.5])
def test_a_power_of_a_plain_exponent_is_that_of_a_value_for_the_base(exponent: float) -> None:
    constant = operation("pow_const").evaluate([1.7, exponent])
    value, derivatives = operation("pow").evaluate([1.7, exponent])
    assert constant[0] == pytest.approx(value, rel=4e-16)
    assert constant[1] == pytest.approx(derivatives[:1], rel=4e-16)


def test_a_power_of_a_plain_exponent_has_the_base_for_its_only_child() -> None:
    x = Value(1.7)
    for power in (x**2, x.pow(2), tapegrad.pow(x, 2), x ** np.float64(2), x.power(2)):
        assert (power._op, power._children, power._local_grads) == ("**2", (x,), (3.4,))


@given(st.lists(numbers, min_size=1, max_size=20))
def test_a_sum_is_the_chain_of_additions_to_the_last_bit(xs: list[float]) -> None:
    chained = evaluate(lambda *values: functools.reduce(operator.add, values, Value(0)), xs_of(xs))
    assert evaluate(lambda *values: tapegrad.sum(values), xs_of(xs)) == chained
    assert evaluate(lambda *values: np.sum(np.array(values)), xs_of(xs)) == chained


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20))
def test_a_dot_product_is_the_chain_of_products_to_the_last_bit(
    pairs: list[tuple[float, float]],
) -> None:
    n = len(pairs)
    flat = [x for x, _ in pairs] + [y for _, y in pairs]

    def chain(*values: Value) -> Any:
        return functools.reduce(operator.add, map(operator.mul, values[:n], values[n:]))

    chained = evaluate(chain, xs_of(flat))
    assert evaluate(lambda *v: tapegrad.dot(v[:n], v[n:]), xs_of(flat)) == chained
    assert evaluate(lambda *v: np.dot(np.array(v[:n]), np.array(v[n:])), xs_of(flat)) == chained


def xs_of(numbers: list[float]) -> list[Value]:
    return [Value(x) for x in numbers]


def test_one_value_may_stand_in_several_places() -> None:
    x = Value(3.0)
    tapegrad.sum([x, x, 1.0, x]).backward()
    assert x.grad == 3.0
    x.grad = 0.0
    tapegrad.dot([x, x], [x, 2.0]).backward()
    assert x.grad == 2 * 3.0 + 2.0
    x.grad = 0.0
    x.hypot(x).backward()
    assert x.grad == pytest.approx(math.sqrt(2.0), rel=1e-15)


def test_sequences_may_be_any_iterables() -> None:
    xs = xs_of([1.0, 2.0, 3.0])
    assert tapegrad.sum(x for x in xs).data == 6.0
    assert tapegrad.sum(dict.fromkeys(xs)).data == 6.0
    assert tapegrad.dot(iter(xs), np.array([1.0, 10.0, 100.0])).data == 321.0


def test_an_empty_sum_is_zero() -> None:
    assert tapegrad.sum([]) == 0.0
    assert tapegrad.dot([], []) == 0.0


def test_a_dot_product_of_unequal_lengths_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"dot\(\): xs has 2 elements and ys has 1"):
        tapegrad.dot(xs_of([1.0, 2.0]), [1.0])


@every_operation
def test_what_is_no_number_is_a_type_error_naming_it(one: Operation) -> None:
    arguments: list[Any] = list(one.operands(inside(one)))
    for k in range(len(arguments)):
        wrong = [*arguments[:k], "2", *arguments[k + 1 :]]
        with pytest.raises(TypeError, match="'str'"):
            one(*wrong)
