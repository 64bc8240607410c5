"""The functions of the module: what they take, what they give, and what their errors say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tapegrad
from support.contract import nodes_now
from support.operations import OPERATIONS, Operation
from tapegrad import Value

FIXED = [one for one in OPERATIONS if one.arity is not None and not one.constant_last]
BINARY = [one for one in FIXED if one.arity is not None and one.arity > 1]
SOME = [1.5, -2.0, 0.5, 4.0]
ITERABLES: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda xs: (x for x in xs),
    "iterator": iter,
    "dictionary": lambda xs: dict(enumerate(xs)).values(),
}


def point(one: Operation) -> list[float]:
    """An argument for each parameter, inside the domain."""
    return [low + 0.4 * (high - low) for low, high in one.domain]


def raising_after(*first: Any) -> Iterator[Any]:
    """Hands these over, then breaks off."""
    yield from first
    raise LookupError("no more")


@pytest.mark.parametrize("one", FIXED, ids=str)
def test_plain_numbers_give_the_float_that_values_give(one: Operation) -> None:
    for name in one.names:
        before = nodes_now()
        number = getattr(tapegrad, name)(*point(one))
        assert type(number) is float
        assert nodes_now() == before
        result = getattr(tapegrad, name)(*map(Value, point(one)))
        assert type(result) is Value
        assert result.data == number
        del result


@pytest.mark.parametrize("one", BINARY, ids=str)
def test_one_value_among_numbers_gives_a_value_and_takes_its_own_gradient(one: Operation) -> None:
    function = getattr(tapegrad, one.name)
    expected, slopes = one.evaluate(point(one))
    for k, x in enumerate(point(one)):
        v = Value(x)
        result = function(*[v if j == k else y for j, y in enumerate(point(one))])
        assert type(result) is Value
        assert result.data == expected
        result.backward()
        assert v.grad == pytest.approx(slopes[k], rel=1e-14)


@pytest.mark.parametrize("one", FIXED, ids=str)
def test_arguments_may_be_named_in_any_order(one: Operation) -> None:
    for name in one.names:
        function = getattr(tapegrad, name)
        named = dict(reversed(list(zip(one.parameters, point(one), strict=True))))
        assert function(**named) == function(*point(one))


@pytest.mark.parametrize("one", [one for one in OPERATIONS if one.alias], ids=str)
def test_numpys_name_is_the_same_operation(one: Operation) -> None:
    result = getattr(tapegrad, str(one.alias))(*map(Value, point(one)))
    assert result._op == getattr(tapegrad, one.name)(*map(Value, point(one)))._op == one.symbol


@pytest.mark.parametrize("one", FIXED, ids=str)
def test_a_wrong_type_names_function_argument_and_type(one: Operation) -> None:
    before = nodes_now()
    for k, parameter in enumerate(one.parameters):
        arguments: list[Any] = list(point(one))
        arguments[k] = "text"
        with pytest.raises(TypeError, match=rf"{one.name}\(\).*\b{parameter}\b.*'str'"):
            getattr(tapegrad, one.name)(*arguments)
        arguments = [Value(x) for x in point(one)]
        arguments[k] = None
        with pytest.raises(TypeError, match=rf"\b{parameter}\b.*'NoneType'"):
            getattr(tapegrad, one.name)(*arguments)
    del arguments
    assert nodes_now() == before


@pytest.mark.parametrize("one", FIXED, ids=str)
def test_too_many_too_few_and_unknown_arguments_are_type_errors(one: Operation) -> None:
    function = getattr(tapegrad, one.name)
    with pytest.raises(TypeError, match=r"at most|takes"):
        function(*point(one), 1.0)
    with pytest.raises(TypeError, match=rf"missing.*'{one.parameters[0]}'"):
        function()
    with pytest.raises(TypeError, match="unexpected keyword argument 'stranger'"):
        function(*point(one), stranger=1.0)


@pytest.mark.parametrize("kind", ITERABLES)
def test_a_sum_takes_any_iterable_and_is_one_node(kind: str) -> None:
    xs = [Value(x) for x in SOME]
    before = nodes_now()
    total = tapegrad.sum(ITERABLES[kind](xs))
    assert nodes_now() == before + 1
    assert total.data == 4.0
    assert total._children == tuple(xs)
    total.backward()
    assert [x.grad for x in xs] == [1.0] * 4


@pytest.mark.parametrize("kind", ITERABLES)
def test_a_dot_product_takes_any_iterables_and_is_one_node(kind: str) -> None:
    xs, ys = [Value(x) for x in SOME], [Value(x) for x in reversed(SOME)]
    before = nodes_now()
    product = tapegrad.dot(ITERABLES[kind](xs), ITERABLES[kind](ys))
    assert nodes_now() == before + 1
    assert product.data == 10.0
    assert product._children == (*xs, *ys)
    product.backward()
    assert [x.grad for x in xs] == SOME[::-1]
    assert [y.grad for y in ys] == SOME


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 100, 5000])
def test_however_many_operands_make_one_node(count: int) -> None:
    v = Value(0.5)
    before = nodes_now()
    total = tapegrad.sum([v] * count)
    product = tapegrad.dot([v] * count, [v] * count)
    assert nodes_now() == before + 2
    assert total._children == (v,) * count
    assert product._children == (v,) * (2 * count)
    (total + product).backward()
    assert v.grad == 2.0 * count


def test_numbers_among_the_operands_keep_their_places() -> None:
    v = Value(3.0)
    total = tapegrad.sum([1, v, True, 0.5])
    assert total.data == 5.5
    assert [child.data for child in total._children] == [1.0, 3.0, 1.0, 0.5]
    product = tapegrad.dot([2, v], [v, 0.25])
    assert product.data == 6.75
    assert [child.data for child in product._children] == [2.0, 3.0, 3.0, 0.25]
    (total + product).backward()
    assert v.grad == 3.25


def test_sums_and_dot_products_of_plain_numbers_are_floats() -> None:
    for number, expected in (
        (tapegrad.sum([1, 2.5]), 3.5),
        (tapegrad.dot([1, 2], (x for x in (3, 4))), 11.0),
        (tapegrad.sum(values=(1, 2)), 3.0),
        (tapegrad.dot(xs=[2], ys=[3]), 6.0),
        (tapegrad.sum([]), 0.0),
        (tapegrad.sum(iter(())), 0.0),
        (tapegrad.dot([], ()), 0.0),
    ):
        assert type(number) is float
        assert number == expected


@pytest.mark.parametrize(("left", "right"), [(0, 1), (1, 0), (2, 3), (100, 1)])
def test_dot_products_need_equal_lengths_whatever_they_hold(left: int, right: int) -> None:
    v = Value(1.0)
    before = nodes_now()
    for x in (v, 1.0):
        for wrap in (list, iter):
            with pytest.raises(ValueError, match=rf"xs has {left} .* ys has {right}"):
                tapegrad.dot(wrap([x] * left), wrap([x] * right))
    assert nodes_now() == before


def test_an_element_that_is_no_number_is_named_with_its_place() -> None:
    v = Value(1.0)
    before = nodes_now()
    with pytest.raises(TypeError, match=r"sum\(\): values\[2\].*'str'"):
        tapegrad.sum([v, 1.0, "two"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"dot\(\): xs\[0\].*'NoneType'"):
        tapegrad.dot([None], [v])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"dot\(\): ys\[1\].*'complex'"):
        tapegrad.dot([v, v], [2.0, 1j])  # type: ignore[list-item]
    assert nodes_now() == before


def test_what_is_no_iterable_is_named() -> None:
    with pytest.raises(TypeError, match=r"sum\(\): values must be an iterable.*'int'"):
        tapegrad.sum(3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"dot\(\): xs must be an iterable.*'Value'"):
        tapegrad.dot(Value(1.0), [1.0])  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"dot\(\): ys must be an iterable.*'float'"):
        tapegrad.dot([1.0], 2.0)  # type: ignore[call-overload]


def test_an_iterator_that_raises_is_heard_and_leaves_no_node() -> None:
    v = Value(2.0)
    before = nodes_now()
    calls: list[Callable[[], Any]] = [
        lambda: tapegrad.sum(raising_after()),
        lambda: tapegrad.sum(raising_after(v, 1.0, v * 2, 3)),
        lambda: tapegrad.dot(raising_after(v * 2, 1.0), [v, v]),
        lambda: tapegrad.dot([v, 1.0, v * 3], raising_after(1.0, v * 2)),
        lambda: tapegrad.dot((v * x for x in (1, 2)), raising_after(1.0, v)),
    ]
    for call in calls:
        with pytest.raises(LookupError, match="no more"):
            call()
        assert nodes_now() == before
    assert v.grad == 0.0


def test_an_iterator_that_drops_what_it_gave_harms_nothing() -> None:
    def given() -> Iterator[Value]:
        for k in range(100):
            x = Value(k)
            yield x * 2
            del x
            Value(7.0) * Value(9.0)

    before = nodes_now()
    total = tapegrad.sum(given())
    assert total.data == 9900.0
    assert [child.data for child in total._children] == [2.0 * k for k in range(100)]
    total.backward()
    assert all(child.grad == 1.0 for child in total._children)
    del total
    assert nodes_now() == before
