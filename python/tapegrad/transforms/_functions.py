"""Checks of the functions given to transforms and of their results, with error messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad import _core

Function = Callable[..., Any]


def need_function(f: Any, transform: str = "a transform") -> None:
    """Raise TypeError unless `f` is callable."""
    if not callable(f):
        raise TypeError(f"{transform} is for functions, not '{type(f).__name__}'")


def name_of(f: Function) -> str:
    """Return the name of a function for messages."""
    return getattr(f, "__name__", None) or type(f).__name__


def scalar(result: object, transform: str, f: Function) -> Any:
    """Return the single number in `result`; raises TypeError if there is none or more than one."""
    if _core.is_traced(result):
        return result
    numbers, structure = _core.flatten(result, f"{transform}(): the result of {name_of(f)}", True)
    marker = object()
    if structure.shapes not in ([None], [()]) or structure.rebuild([marker]) is not marker:
        raise TypeError(
            f"{transform}() is for functions that return one number; {name_of(f)} returned "
            f"{described(result, structure)}"
        )
    return numbers[0]


def described(result: object, structure: _core.TreeDef) -> str:
    """Return a description of a result for messages."""
    if result is None:
        return "None"
    shapes = structure.shapes
    if len(shapes) == 1 and shapes[0] is not None and hasattr(result, "shape"):
        return f"an array of shape {shapes[0]}"
    return f"a {type(result).__name__}"


def split_aux(result: Any, has_aux: bool, transform: str, f: Function) -> tuple[Any, Any]:
    """Return the result of `f` and its auxiliary data, which is None without `has_aux`.

    Raises TypeError with `has_aux` unless `result` is a pair.
    """
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"{transform}(): with has_aux=True {name_of(f)} must return a pair (result, aux), "
            f"not {'None' if result is None else 'a ' + type(result).__name__}"
        )
    return result
