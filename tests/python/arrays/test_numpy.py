"""Values and NumPy: arrays of Values, ufuncs that find Value's methods, NumPy's scalars."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad
from support.operations import OPERATIONS, Operation
from tapegrad import Value

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
FLOATS = [np.float16, np.float32, np.float64, np.longdouble]
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint64, np.bool_]
DTYPES: list[Any] = [*FLOATS, *INTEGERS]
UFUNCS = [
    (name, one)
    for one in OPERATIONS
    for name in one.names
    if isinstance(getattr(np, name, None), np.ufunc)
]
# Names that every NumPy since 1.24 has, whatever the installed one adds.
ALWAYS = (
    "absolute arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt cos cosh divide exp exp2 "
    "expm1 hypot log log10 log1p log2 maximum minimum multiply negative power reciprocal sin sinh "
    "sqrt square subtract tan tanh"
)


def values(*data: float) -> Any:
    """An object array of new Values."""
    return np.array([Value(x) for x in data], dtype=object)


def grads(array: Any) -> list[float]:
    """The gradients of the Values of an array, in order."""
    return [v.grad for v in array.flat]


def data(array: Any) -> list[float]:
    """The data of the Values of an array, each of which must be a Value."""
    assert isinstance(array, np.ndarray)
    assert array.dtype == object
    assert all(type(v) is Value for v in array.flat)
    return [v.data for v in array.flat]


@pytest.mark.parametrize("apply", ARITHMETIC, ids=lambda f: f.__name__)
def test_an_array_and_a_value_combine_elementwise_on_either_side(apply: Any) -> None:
    numbers = np.array([[1.0, 2.0], [3.0, 0.5]])
    left, right = Value(1.5), Value(1.5)
    before, after = apply(left, numbers), apply(numbers, right)
    assert before.shape == after.shape == (2, 2)
    assert data(before) == [apply(1.5, x) for x in numbers.flat]
    assert data(after) == [apply(x, 1.5) for x in numbers.flat]
    for scalar, array, swap in ((left, before, False), (right, after, True)):
        for result in array.flat:
            result.backward()
        expected = 0.0
        for x in numbers.flat:
            alone = Value(1.5)
            (apply(float(x), alone) if swap else apply(alone, float(x))).backward()
            expected += alone.grad
        assert scalar.grad == pytest.approx(expected, rel=1e-14)


def test_arrays_of_every_number_type_hand_their_elements_over() -> None:
    for dtype in DTYPES:
        v = Value(3.0)
        product = np.array([1, 0, 1], dtype=dtype) * v
        assert data(product) == [3.0, 0.0, 3.0], dtype
        product.sum().backward()
        assert v.grad == 2.0, dtype


def test_an_array_of_values_and_a_value() -> None:
    xs, v = values(1.0, 2.0, 3.0), Value(4.0)
    total = (xs * v + v * xs).sum()
    assert total.data == 48.0
    total.backward()
    assert grads(xs) == [8.0, 8.0, 8.0]
    assert v.grad == 12.0


def test_two_arrays_of_values_broadcast() -> None:
    rows, columns = values(1.0, 2.0).reshape(2, 1), values(3.0, 4.0, 5.0)
    table = rows * columns
    assert table.shape == (2, 3)
    assert data(table) == [3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
    table.sum().backward()
    assert grads(rows) == [12.0, 12.0]
    assert grads(columns) == [3.0, 3.0, 3.0]


def test_the_ufuncs_that_are_methods_include_those_that_numpy_always_had() -> None:
    assert set(ALWAYS.split()) <= {name for name, _ in UFUNCS}


@pytest.mark.parametrize(("name", "one"), UFUNCS, ids=[name for name, _ in UFUNCS])
def test_a_ufunc_on_values_is_the_method_of_its_name(name: str, one: Operation) -> None:
    ufunc: Callable[..., Any] = getattr(np, name)
    point = [low + 0.3 * (high - low) for low, high in one.domain]
    operands = [Value(x) for x in point]
    result = ufunc(*operands)
    assert type(result) is Value
    assert result.data == pytest.approx(float(ufunc(*point)), rel=1e-14)
    result.backward()
    expected, slopes = one.evaluate(point)
    assert result.data == expected
    assert [v.grad for v in operands] == slopes

    arrays = [values(x, x) for x in point]
    results = ufunc(*arrays)
    assert data(results) == [expected, expected]
    results[0].backward()
    assert [grads(array) for array in arrays] == [[slope, 0.0] for slope in slopes]


@pytest.mark.parametrize("name", ["arctan2", "hypot", "maximum", "power", "subtract"])
def test_a_ufunc_takes_a_number_beside_an_array_of_values(name: str) -> None:
    ufunc = getattr(np, name)
    xs = values(1.0, 2.5)
    results = ufunc(xs, 0.75)
    assert data(results) == pytest.approx([float(ufunc(x, 0.75)) for x in (1.0, 2.5)], rel=1e-15)
    results.sum().backward()
    alone = [Value(1.0), Value(2.5)]
    for v in alone:
        getattr(tapegrad, name)(v, 0.75).backward()
    assert grads(xs) == [v.grad for v in alone]


def test_dot_products_of_arrays_have_the_gradients_of_dot() -> None:
    weights = np.array([0.5, -1.0, 2.0])
    products: list[Callable[[Any], Any]] = [
        lambda xs: np.dot(xs, weights),
        lambda xs: np.dot(weights, xs),
        lambda xs: xs @ weights,
        lambda xs: weights @ xs,
        lambda xs: tapegrad.dot(xs, weights),
    ]
    for product in products:
        xs = values(1.0, 2.0, 3.0)
        y = product(xs)
        assert type(y) is Value
        assert y.data == 4.5
        y.backward()
        assert grads(xs) == [0.5, -1.0, 2.0]


def test_a_matrix_times_a_vector() -> None:
    w, x = values(1.0, 2.0, 3.0, 4.0, 5.0, 6.0).reshape(2, 3), values(1.0, 0.5, -1.0)
    y = w @ x
    assert data(y) == [-1.0, 0.5]
    (3 * y[0] + y[1]).backward()
    assert grads(w) == [3.0, 1.5, -3.0, 1.0, 0.5, -1.0]
    assert grads(x) == [7.0, 11.0, 15.0]


def test_sums_along_axes_and_of_everything() -> None:
    xs = values(1.0, 2.0, 3.0, 4.0).reshape(2, 2)
    assert data(np.sum(xs, axis=0)) == [4.0, 6.0]
    for total in (np.sum(xs), xs.sum(), tapegrad.sum(xs.flat)):
        assert type(total) is Value
        assert total.data == 10.0
        total.backward()
    assert grads(xs) == [3.0] * 4


def test_maximum_and_minimum_of_arrays_choose_among_the_values_themselves() -> None:
    xs, ys = values(-1.0, 2.5, 3.0), values(1.0, 2.0, -3.0)
    larger = np.maximum(xs, ys)
    assert [v is w for v, w in zip(larger, (ys[0], xs[1], xs[2]), strict=True)] == [True] * 3
    smaller = np.minimum(xs, ys)
    (np.sum(larger) * 2 + np.sum(smaller)).backward()
    assert grads(xs) == [1.0, 2.0, 2.0]
    assert grads(ys) == [2.0, 1.0, 1.0]


def test_abs_of_an_array_has_the_gradients_of_abs() -> None:
    xs = values(-2.0, 0.0, 3.0)
    sizes = np.abs(xs)
    assert data(sizes) == [2.0, 0.0, 3.0]
    np.sum(sizes).backward()
    assert grads(xs) == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize("apply", ARITHMETIC, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda t: t.__name__)
def test_numpy_scalars_on_either_side_are_plain_numbers(apply: Any, dtype: Any) -> None:
    for scalar in (dtype(1), np.array(1, dtype=dtype)):
        for number, sides in ((scalar, "right"), (scalar, "left")):
            v, w = Value(2.5), Value(2.5)
            result, plain = (
                (apply(v, number), apply(w, 1.0))
                if sides == "right"
                else (apply(number, v), apply(1.0, w))
            )
            assert type(result) is Value
            assert result.data == plain.data
            result.backward()
            plain.backward()
            assert v.grad == w.grad


def test_numpy_numbers_are_data_and_arguments_of_functions() -> None:
    numbers: list[Any] = [np.float32(0.1), np.float16(0.1), np.int64(-7), np.bool_(True)]
    for number in [*numbers, np.array(2.5)]:
        assert Value(number).data == float(number)
        v = Value(1.0)
        v.data = number
        assert type(v.data) is float
        assert v.data == float(number)
        assert tapegrad.mul(v, number).data == float(number) ** 2
        assert type(tapegrad.square(number)) is float
        assert (v < np.float64(100)) is True


@pytest.mark.parametrize(
    "thing",
    [np.complex128(1), np.complex64(1), np.array(1j), np.array([1.0]), np.array([[1]]), np.str_(1)],
    ids=repr,
)
def test_complex_numbers_and_arrays_of_one_element_are_no_data(thing: Any) -> None:
    v = Value(3.0)
    kind = type(thing).__name__
    with pytest.raises(TypeError, match=kind):
        Value(thing)
    with pytest.raises(TypeError, match=kind):
        v.data = thing
    with pytest.raises(TypeError, match=kind):
        tapegrad.exp(thing)
    assert v.data == 3.0


def test_a_value_goes_into_an_array_whole_and_never_as_a_float() -> None:
    v = Value(2.0)
    assert np.array([v])[0] is v
    with pytest.raises(TypeError, match=r"v\.data"):
        np.array([v], dtype=float)
    with pytest.raises(TypeError, match=r"v\.data"):
        np.zeros(1)[0] = v


def test_array_ufunc_is_left_undefined() -> None:
    assert not hasattr(Value, "__array_ufunc__")
    assert not hasattr(Value, "__array_priority__")
