"""The functions that transforms take: their names in messages, and checks of what they return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad import _core

Function = Callable[..., Any]


def need_function(f: Any, transform: str = "a transform") -> None:
    """Raises TypeError where `f` cannot be called."""
    if not callable(f):
        raise TypeError(f"{transform} is for functions, not '{type(f).__name__}'")


def name_of(f: Function) -> str:
    """What messages call a function."""
    return getattr(f, "__name__", None) or type(f).__name__


def scalar(result: object, transform: str, f: Function) -> Any:
    """The result of a function that must be one number."""
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


def described(result: object, structure: _core.Structure) -> str:
    """What a result is, for messages."""
    if result is None:
        return "None"
    shapes = structure.shapes
    if len(shapes) == 1 and shapes[0] is not None and hasattr(result, "shape"):
        return f"an array of shape {shapes[0]}"
    return f"a {type(result).__name__}"


def split_aux(result: Any, has_aux: bool, transform: str, f: Function) -> tuple[Any, Any]:
    """The result and the auxiliary data, of a function that returns a pair of these."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"{transform}(): with has_aux=True {name_of(f)} must return a pair (result, aux), "
            f"not {'None' if result is None else 'a ' + type(result).__name__}"
        )
    return result
