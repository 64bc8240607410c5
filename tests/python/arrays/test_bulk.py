"""get_data, get_grad, set_data, set_grad: many Values to and from NumPy in one call."""

from __future__ import annotations

import pickle
import sys
from array import array
from collections import UserList, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from support.contract import output_of, snapshot_of
from tapegrad import Value, get_data, get_grad, set_data, set_grad

Get = Callable[..., Any]
Set = Callable[[Any, Any], None]

every_get = pytest.mark.parametrize("get", [get_data, get_grad])
every_set = pytest.mark.parametrize(("put", "name"), [(set_data, "data"), (set_grad, "grad")])
FLOAT = np.dtype(np.float64)


def value(data: float, grad: float = 0.0) -> Value:
    made = Value(data)
    made.grad = grad
    return made


def three() -> list[Value]:
    return [value(1.0, 10.0), value(2.0, 20.0), value(3.0, 30.0)]


def nested(numbers: Any) -> Any:
    """The same lists, of Values whose data and grad are the numbers."""
    return [*map(nested, numbers)] if isinstance(numbers, list) else value(numbers, numbers)


# Reading.


@pytest.mark.parametrize("sequence", [list, tuple, iter, deque, UserList, np.array])
def test_values_in_any_order_of_them_give_an_array(sequence: Callable[[Any], Any]) -> None:
    data, grad = get_data(sequence(three())), get_grad(sequence(three()))
    assert data.tolist() == [1.0, 2.0, 3.0]
    assert grad.tolist() == [10.0, 20.0, 30.0]
    assert (data.dtype, data.shape, data.flags.writeable) == (FLOAT, (3,), True)


SHAPES: list[Any] = [[], [[]], [[], []], [[1.0, 2.0, 3.0]], [[1.0], [2.0]], [[[1.0, 2.0]]] * 3]


@every_get
@pytest.mark.parametrize("numbers", SHAPES)
def test_nested_sequences_give_an_array_of_their_shape(get: Get, numbers: Any) -> None:
    found = get(nested(numbers))
    assert found.shape == np.array(numbers).shape
    assert found.tolist() == numbers
    assert found.dtype == FLOAT


@every_get
def test_an_object_array_gives_its_shape(get: Get) -> None:
    block = np.array(nested([[1.0, 2.0], [3.0, 4.0]]))
    for given_array in (block, block.T, block[:, :1], block[::-1], np.asfortranarray(block)):
        found = get(given_array)
        assert found.shape == given_array.shape
        assert found.tolist() == [[v.data for v in row] for row in given_array]
    assert get(np.empty((0, 3), dtype=object)).shape == (0, 3)


@every_get
def test_one_value_gives_an_array_without_axes(get: Get) -> None:
    found = get(value(2.0, 2.0))
    assert (found.shape, float(found)) == ((), 2.0)


def test_any_node_can_be_read_also_of_a_subclass() -> None:
    class Weight(Value):
        pass

    x = Weight(3.0)
    y = x * x
    y.backward()
    assert get_data([x, y]).tolist() == [3.0, 9.0]
    assert get_grad([x, y]).tolist() == [6.0, 1.0]


OUTS: list[Any] = [
    np.zeros(3),
    np.zeros(3, dtype=np.float32),
    np.zeros(6)[::2],
    np.zeros(3, dtype=complex),
    np.zeros(3, dtype=">f8"),
    np.zeros(3, dtype=object),
]


@every_get
@pytest.mark.parametrize("out", OUTS, ids=lambda out: f"{out.dtype}-{out.strides}")
def test_out_is_filled_and_returned(get: Get, out: Any) -> None:
    assert get([value(1.5, 1.5), value(2.5, 2.5), value(3.5, 3.5)], out=out) is out
    assert out.tolist() == [1.5, 2.5, 3.5]


def read_only() -> Any:
    made = np.zeros(3)
    made.flags.writeable = False
    return made


WRONG_OUTS: list[tuple[Any, type[Exception], str]] = [
    (np.zeros(2), ValueError, r"values have the shape \(3,\), and out \(2,\)"),
    (np.zeros((1, 3)), ValueError, r"out \(1, 3\)"),
    (np.zeros(3, dtype=int), TypeError, "Cannot cast"),
    (read_only(), ValueError, "read-only"),
    ([0.0, 0.0, 0.0], TypeError, "out must be a NumPy array, not 'list'"),
    (array("d", [0.0] * 3), TypeError, "out must be a NumPy array, not 'array'"),
]


@every_get
@pytest.mark.parametrize(("out", "error", "message"), WRONG_OUTS)
def test_an_out_that_does_not_fit_is_left_as_it_was(
    get: Get, out: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        get(three(), out=out)
    assert not np.any(out)


# Writing.


NUMBERS: list[Any] = [
    [1.0, 2.0, 3.0],
    (1, 2, 3),
    [1.0, Fraction(2), Decimal(3)],
    [Fraction(1), 2.0, 3],
    array("d", [1.0, 2.0, 3.0]),
    array("f", [1.0, 2.0, 3.0]),
    np.array([1.0, 2.0, 3.0]),
    np.array([1.0, 2.0, 3.0], dtype=np.float16),
    np.array([1, 2, 3], dtype=np.uint8),
    np.array([3.0, 2.0, 1.0])[::-1],
    np.array([1.0, 2.0, 3.0], dtype=">f8"),
    np.array([1.0, 2.0, 3.0], dtype=np.longdouble),
    range(1, 4),
    memoryview(array("d", [1.0, 2.0, 3.0])),
]


@every_set
@pytest.mark.parametrize("numbers", NUMBERS, ids=lambda n: type(n).__name__)
def test_values_take_any_array_like_of_their_shape(put: Set, name: str, numbers: Any) -> None:
    values = [Value(0.0) for _ in range(3)]
    put(values, numbers)
    assert [getattr(v, name) for v in values] == [1.0, 2.0, 3.0]
    twins = np.array([Value(0.0) for _ in range(3)])
    put(twins, numbers)
    assert [getattr(v, name) for v in twins] == [1.0, 2.0, 3.0]


ONES: list[Any] = [7, 7.0, np.float32(7), np.array(7.0), Fraction(7), Decimal(7), np.uint8(7)]


@every_set
@pytest.mark.parametrize("number", ONES, ids=lambda n: type(n).__name__)
def test_one_number_goes_to_all(put: Set, name: str, number: Any) -> None:
    for values in (three(), nested([[1.0, 2.0], [3.0, 4.0]]), np.array(three()), []):
        put(values, number)
        assert {getattr(v, name) for v in np.ravel(np.array(values, dtype=object))} <= {7.0}


@every_set
def test_only_that_is_set(put: Set, name: str) -> None:
    other = {"data": "grad", "grad": "data"}[name]
    values = three()
    before = [getattr(v, other) for v in values]
    put(values, [7.0, 8.0, 9.0])
    assert [getattr(v, other) for v in values] == before


@every_set
def test_nested_values_take_nested_numbers(put: Set, name: str) -> None:
    values = nested([[1.0, 2.0], [3.0, 4.0]])
    put(values, [[5.0, 6.0], [7.0, 8.0]])
    assert [[getattr(v, name) for v in row] for row in values] == [[5.0, 6.0], [7.0, 8.0]]
    put(np.array(values).T, np.array([[1, 2], [3, 4]]))
    assert [[getattr(v, name) for v in row] for row in values] == [[1.0, 3.0], [2.0, 4.0]]


def test_of_a_value_that_is_there_twice_the_last_number_stays() -> None:
    x = Value(0.0)
    set_data([x, x], [1.0, 2.0])
    assert x.data == 2.0


def test_what_is_computed_later_uses_the_data_set() -> None:
    x, y = values = [Value(1.0), Value(1.0)]
    set_data(values, [3.0, 4.0])
    (x * y).backward()
    assert (x.grad, y.grad) == (4.0, 3.0)


WRONG_NUMBERS: list[tuple[Any, type[Exception], str]] = [
    ([1.0, 2.0], ValueError, "3 values and 2 numbers"),
    (np.zeros(4), ValueError, r"values have the shape \(3,\), and numbers \(4,\)"),
    (np.zeros((3, 1)), ValueError, r"numbers \(3, 1\)"),
    ([1.0, 2.0, "3"], TypeError, r"numbers\[2\] must be a real number, not 'str'"),
    (["1", "2", "3"], TypeError, "numbers must be real numbers, not of NumPy's <U1"),
    ([1.0, 2.0, Value(3.0)], TypeError, r"numbers\[2\] must be a real number, not 'Value'"),
    ([1.0, 2.0, 3j], TypeError, r"numbers\[2\] must be a real number, not 'complex'"),
    (np.array([1.0, 2.0, 3j]), TypeError, "not of NumPy's complex128"),
    ([1.0, 2.0, None], TypeError, r"numbers\[2\] must be a real number, not 'NoneType'"),
    ([1.0, 2.0, 10**400], OverflowError, "too large"),
    (None, TypeError, "numbers must be"),
    ("123", TypeError, "not of NumPy's <U3"),
    (Value(1.0), TypeError, "numbers must be"),
]


@every_set
@pytest.mark.parametrize(("numbers", "error", "message"), WRONG_NUMBERS)
def test_wrong_numbers_change_nothing(
    put: Set, name: str, numbers: Any, error: type[Exception], message: str
) -> None:
    values = three()
    before = [(v.data, v.grad) for v in values]
    with pytest.raises(error, match=message):
        put(values, numbers)
    with pytest.raises(error):
        put(np.array(values), numbers)
    assert [(v.data, v.grad) for v in values] == before


WRONG_VALUES: list[tuple[Any, str]] = [
    ([Value(1.0), 2.0], r"values\[1\] must be a Value, not 'float'"),
    ([2.0, Value(1.0)], r"values\[0\] must be a Value, not 'float'"),
    ([Value(1.0), [Value(2.0)]], r"values\[1\] must be a Value, not 'list'"),
    ([[Value(1.0)], [Value(2.0), Value(3.0)]], r"values\[0\] must be a Value, not 'list'"),
    ("values", r"values\[0\] must be a Value, not 'str'"),
    (np.zeros(3), r"values\[0\] must be a Value, not 'float'"),
    (2.0, "not iterable"),
    (None, "not iterable"),
]


@pytest.mark.parametrize(("values", "message"), WRONG_VALUES)
def test_what_is_no_value_is_named(values: Any, message: str) -> None:
    for call in (get_data, get_grad, lambda v: set_data(v, 1.0), lambda v: set_grad(v, 1.0)):
        with pytest.raises(TypeError, match=message):
            call(values)


def test_a_list_in_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises((TypeError, ValueError)):
        get_data(endless)


@given(arrays.arrays(np.float64, arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)))
def test_what_was_set_is_read_again(numbers: Any) -> None:
    values = np.array([Value(0.0) for _ in range(numbers.size)], dtype=object)
    shaped = values.reshape(numbers.shape)
    set_data(shaped, numbers)
    np.testing.assert_array_equal(get_data(shaped), numbers)
    np.testing.assert_array_equal(get_data(shaped.tolist()), numbers)
    assert not get_grad(shaped).any()


@given(st.lists(st.floats(allow_nan=False)))
def test_reading_is_what_the_attributes_say(numbers: list[float]) -> None:
    values = [value(x, -x) for x in numbers]
    assert get_data(values).tolist() == [v.data for v in values]
    assert get_grad(values).tolist() == [v.grad for v in values]


@every_set
def test_what_pickle_remembers_of_a_graph_is_not_used_after_a_change(put: Set, name: str) -> None:
    x = Value(2.0)
    y = x * 3
    for number, numbers in ((5.0, 5.0), (6.0, [6.0]), (7.0, np.array([7.0]))):
        snapshot = snapshot_of(y)
        get_data([x, y])
        assert snapshot_of(y) is snapshot
        put([x], numbers)
        assert snapshot_of(y) is not snapshot
        assert getattr(pickle.loads(pickle.dumps([x, y]))[0], name) == number


def test_numpy_is_imported_when_it_is_needed_and_missed_by_name() -> None:
    program = """
        import sys
        sys.modules["numpy"] = None
        import tapegrad
        from tapegrad import Value, get_data, set_data
        values = [Value(1.0), Value(2.0)]
        set_data(values, [3.0, 4.0]); set_data(values, 5)
        print([v.data for v in values])
        for call in (lambda: get_data(values), lambda: set_data([values], [[1.0, 2.0]])):
            try: call()
            except ImportError as error: print(error)
        """
    assert output_of(program) == [
        "[5.0, 5.0]",
        "get_data() needs NumPy: pip install numpy",
        "set_data() needs NumPy: pip install numpy",
    ]
    assert output_of("import sys, tapegrad.optim; print('numpy' in sys.modules)") == ["False"]


def test_code_that_runs_meanwhile_may_change_the_sequences() -> None:
    program = """
        import gc
        from tapegrad import Value, _core, get_data, set_data, set_grad
        import numpy as np
        class Evil:
            def __float__(self):
                values.clear(); gc.collect(); [Value(9.0) * 2 for _ in range(1000)]
                return 1.0
        class Items:
            def __iter__(self):
                yield Value(1.0); gc.collect(); [Value(9.0) * 2 for _ in range(1000)]
                yield Value(2.0)
        for put in (set_data, set_grad, _core.write_data):
            for numbers in ([1.0, Evil()], [Evil(), 1.0], Evil(), np.array([Evil(), 1.0])):
                values = [Value(1.0), Value(2.0)]
                try: put(values, numbers)
                except (ValueError, TypeError) as error: print(type(error).__name__)
        assert get_data(Items()).tolist() == [1.0, 2.0]
        for odd in (b"12345678", array := bytearray(8), memoryview(b"12345678"), None, 3):
            try: _core.read_data([Value(1.0)], odd)
            except (TypeError, BufferError) as error: print(type(error).__name__)
        """
    assert set(output_of(program)) <= {"ValueError", "TypeError", "BufferError"}


def test_the_collector_finds_nothing_left_over() -> None:
    values = three()
    before = sys.getrefcount(values[0])
    for _ in range(100):
        set_data(values, get_data(values))
        set_grad(np.array(values), get_grad([values])[0])
    after = sys.getrefcount(values[0])
    assert after == before
