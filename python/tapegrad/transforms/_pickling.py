"""Pickling of transformed and compiled functions, by name or as a transform of a function."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

from tapegrad.transforms._functions import Function

__all__ = ["by_name", "named", "remade", "unwrapped"]


def remade(transform: str, f: Function, options: dict[str, Any]) -> Any:
    """Apply the transform named `transform` to `f`. Pickles refer to this function."""
    import tapegrad

    if "at" in options:  # an internal option of hvp, for methods, whose instance comes first
        from tapegrad.transforms.products import HessianProduct

        return HessianProduct(f, **options)
    return getattr(tapegrad, transform)(f, **options)


def by_name(f: Any) -> str | None:
    """Return the qualified name of `f` if its module has `f` under that name, else None.

    A decorated function of a module has such a name.
    """
    name: str | None = getattr(f, "__qualname__", None)
    return name if name is not None and _found(f) is f and not _goes_by_value(f) else None


def _found(f: Any) -> Any:
    """Return the object that the module of `f` has under the name of `f`, or None."""
    found = sys.modules.get(getattr(f, "__module__", None) or "")
    for part in getattr(f, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found


def _goes_by_value(f: Any) -> bool:
    """True if cloudpickle is pickling a function of `__main__`, which it does by value."""
    if getattr(f, "__module__", None) != "__main__":
        return False
    frame: types.FrameType | None = sys._getframe()
    for _ in range(6):
        frame = frame.f_back if frame is not None else None
        if frame is None:
            return False
        if "cloudpickle" in frame.f_globals.get("__name__", ""):
            return True
    return False


class _Inside:
    """A stand-in for a function that pickles as `wrapper.__wrapped__`, repeated `depth` times."""

    def __init__(self, wrapper: Any, depth: int) -> None:
        self.wrapper = wrapper
        self.depth = depth

    def __reduce__(self) -> tuple[Any, ...]:
        return unwrapped, (self.wrapper.__module__, self.wrapper.__qualname__, self.depth)


def named(f: Function) -> Any:
    """Return an object that pickles as `f`.

    This is `f` itself unless the name of `f` refers to a wrapper, as for a decorated function.
    """
    if _goes_by_value(f):
        return f
    wrapper = _found(f)
    inner, depth = wrapper, 0
    while inner is not f:
        inner = getattr(inner, "__wrapped__", None)
        depth += 1
        if inner is None:
            return f
    return _Inside(wrapper, depth) if depth else f


def unwrapped(module: str, name: str, depth: int) -> Any:
    """Return the function wrapped `depth` deep in `module.name`. Pickles refer to this function."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    for _ in range(depth):
        found = found.__wrapped__
    return found
