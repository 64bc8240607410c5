"""Bulk access to the data and gradients of Values, as NumPy arrays."""

from __future__ import annotations

from tapegrad import _core

# typing and NumPy are slow to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any, TypeAlias

    import numpy as np
    import numpy.typing as npt

    from tapegrad._core import Value

    _Values: TypeAlias = Value | Iterable[Any]
    _Array: TypeAlias = npt.NDArray[np.float64]

__all__ = ["get_data", "get_grad", "set_data", "set_grad"]


def get_data(values: _Values, out: npt.NDArray[Any] | None = None) -> _Array:
    """Return the data of many Values as a NumPy array of float64.

    `values` is a sequence of Values, nested sequences of them without ragged rows, or an object
    array; the result has its shape. `out` is an optional array of that shape to write to and
    return.

    Raises TypeError for an element that is no Value, ValueError for an `out` of another shape, and
    ImportError without NumPy. `out` is unchanged after an error.

    >>> from tapegrad import Value, get_data
    >>> get_data([[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]])
    array([[1., 2.],
           [3., 4.]])
    """
    return _read(_core.read_data, "get_data", values, out)


def get_grad(values: _Values, out: npt.NDArray[Any] | None = None) -> _Array:
    """Return the gradients of many Values as a NumPy array of float64.

    Parameters and errors are those of `get_data`.

    >>> from tapegrad import Value, get_grad
    >>> x, y = Value(2.0), Value(3.0)
    >>> (x * x * y).backward()
    >>> get_grad([x, y])
    array([12.,  4.])
    """
    return _read(_core.read_grad, "get_grad", values, out)


def set_data(values: _Values, numbers: Any) -> None:
    """Set the data of many Values.

    `values` is a sequence or array of Values, as in `get_data`. `numbers` is an array-like of real
    numbers of the same shape, or one number for all. A Value that occurs more than once gets its
    last number.

    Raises TypeError for an element that is no Value or no real number, ValueError for another
    shape, and ImportError if NumPy is needed and missing. No Value has changed after an error.

    >>> from tapegrad import Value, set_data
    >>> values = [Value(0.0) for _ in range(3)]
    >>> set_data(values, [1.0, 2.0, 3.0])
    >>> values
    [Value(data=1.0), Value(data=2.0), Value(data=3.0)]
    """
    _write(_core.write_data, "set_data", values, numbers)


def set_grad(values: _Values, numbers: Any) -> None:
    """Set the gradients of many Values.

    Parameters and errors are those of `set_data`.

    >>> from tapegrad import Value, set_grad
    >>> x = Value(2.0)
    >>> (x * x).backward()
    >>> set_grad([x], 0.0)
    >>> x.grad
    0.0
    """
    _write(_core.write_grad, "set_grad", values, numbers)


def _read(read: Callable[[Any, Any], None], name: str, values: _Values, out: Any) -> _Array:
    np = _numpy(name)
    flat, shape = _flattened(values, name, np)
    target: Any = np.empty(shape) if out is None else _checked(name, out, shape, np)
    as_it_lies = target.dtype == np.float64 and target.flags.c_contiguous and target.flags.writeable
    made: _Array = target if as_it_lies else np.empty(shape)
    read(flat, made)
    if not as_it_lies:
        np.copyto(target, made)
    filled: _Array = target
    return filled


def _checked(name: str, out: Any, shape: tuple[int, ...], np: ModuleType) -> Any:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name}(): out must be a NumPy array, not '{type(out).__name__}'")
    _refuse_subclass(out, f"{name}(): out", np)
    if out.shape != shape:
        raise ValueError(f"{name}(): values have the shape {shape}, and out {out.shape}")
    return out


def _write(write: Callable[[Any, Any], None], name: str, values: _Values, numbers: Any) -> None:
    if _is_flat(values) and _is_plain(numbers):
        write(values, numbers)
        return
    np = _numpy(name)
    _refuse_subclass(numbers, f"{name}(): numbers", np)
    given = np.asarray(numbers)
    if given.dtype.kind not in "fiubO":
        raise TypeError(f"{name}(): numbers must be real numbers, not of NumPy's {given.dtype}")
    flat, shape = _flattened(values, name, np)
    if given.shape not in ((), shape):
        raise ValueError(f"{name}(): values have the shape {shape}, and numbers {given.shape}")
    if given.dtype.kind == "O":  # such as Fractions; the core raises for an element not a number
        write(flat, given.ravel().tolist() if given.shape == shape else given.item())
    elif given.shape == shape:
        write(flat, np.ascontiguousarray(given, dtype=np.float64))
    else:
        write(flat, float(given))


def _is_flat(values: Any) -> bool:
    return type(values) in (list, tuple) and (not values or isinstance(values[0], _core.Value))


def _is_plain(numbers: Any) -> bool:
    if type(numbers) in (list, tuple):
        return not numbers or type(numbers[0]) in (float, int)
    return type(numbers) in (float, int)


def _refuse_subclass(x: Any, what: str, np: ModuleType) -> None:
    if isinstance(x, np.ndarray) and type(x) is not np.ndarray:
        raise TypeError(
            f"{what} is a '{type(x).__name__}', a subclass of NumPy's array: pass a plain array, "
            f"np.asarray(x)"
        )


def _flattened(values: Any, name: str, np: ModuleType) -> tuple[Any, tuple[int, ...]]:
    """Return the Values as a flat list, and their shape."""
    if _is_flat(values):
        return values, (len(values),)
    _refuse_subclass(values, f"{name}(): values", np)
    if not isinstance(values, (list, tuple, np.ndarray, _core.Value)):
        values = list(values)
    nested = np.array(values, dtype=object)
    return nested.ravel().tolist(), nested.shape


def _numpy(name: str) -> ModuleType:
    try:
        import numpy
    except ImportError as error:
        raise ImportError(f"{name}() needs NumPy: pip install numpy") from error
    return numpy
