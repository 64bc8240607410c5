"""How functions that are made of functions are pickled: by name, or by their parts."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

from tapegrad.transforms._functions import Function

__all__ = ["by_name", "named", "remade", "unwrapped"]


def remade(transform: str, f: Function, options: dict[str, Any]) -> Any:
    """What a transform makes of a function; for pickles."""
    import tapegrad

    return getattr(tapegrad, transform)(f, **options)


def by_name(f: Any) -> str | None:
    """The name under which a module has `f`, where it has: a decorated function is found by it."""
    name: str | None = getattr(f, "__qualname__", None)
    return name if name is not None and _found(f) is f and not _goes_by_value(f) else None


def _found(f: Any) -> Any:
    """What the module of `f` has under its name; None where there is no such thing."""
    found = sys.modules.get(getattr(f, "__module__", None) or "")
    for part in getattr(f, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found


def _goes_by_value(f: Any) -> bool:
    """Whether `f` is of the main program, and cloudpickle asks, which takes along what is in it."""
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
    """A function that pickles as what is wrapped in another, so many deep."""

    def __init__(self, wrapper: Any, depth: int) -> None:
        self.wrapper = wrapper
        self.depth = depth

    def __reduce__(self) -> tuple[Any, ...]:
        return unwrapped, (self.wrapper.__module__, self.wrapper.__qualname__, self.depth)


def named(f: Function) -> Any:
    """`f`, or what pickles as it where its name is that of a wrapper, as a decorated function's."""
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
    """The function inside what a module has under a name; for pickles."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    for _ in range(depth):
        found = found.__wrapped__
    return found
