"""Detection of functions that draw random numbers, by comparing the states of generators."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tapegrad.transforms._functions import Function
from tapegrad.transforms._wrapped import Bound

__all__ = ["Generators"]


class Generators:
    """The random generators that a function visibly refers to, and their states.

    These are the global generators of `random` and `numpy.random`, and generators among the
    arguments of a call, in the function's closure, in its defaults, and in the globals that its
    code names. Others, such as a generator in an attribute of an object, are not found.
    """

    __slots__ = ("_states",)

    def __init__(self, f: Function, args: Iterable[Any]) -> None:
        self._states = [(name, read, read()) for name, read in _generators(f, args)]

    def used(self) -> str | None:
        """Return the name of a generator whose state has changed, or None."""
        for name, read, state in self._states:
            if read() != state:
                return name
        return None


_Read = Callable[[], Any]


def _generators(f: Function, args: Iterable[Any]) -> Iterator[tuple[str, _Read]]:
    random, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    if random is not None:
        yield "random", random.getstate
    if numpy is not None:
        yield "numpy.random", _reader(numpy.mtrand._rand._bit_generator)
    for thing in (*args, *_reached(f)):
        if random is not None and isinstance(thing, random.Random):
            yield f"a {type(thing).__name__}", thing.getstate
        elif numpy is not None and isinstance(thing, numpy.Generator | numpy.RandomState):
            bits = thing._bit_generator if hasattr(thing, "_bit_generator") else thing.bit_generator
            yield f"a {type(thing).__name__}", _reader(bits)


def _reader(bits: Any) -> _Read:
    return lambda: _plain(bits.state)


def _plain(state: Any) -> Any:
    """Return `state` with arrays converted to bytes, so that == compares whole states."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tobytes() if hasattr(state, "tobytes") else state


def _reached(f: Function) -> Iterator[Any]:
    """Yield the objects that a function refers to: its closure, defaults and globals."""
    while not isinstance(f, types.FunctionType):
        if isinstance(f, types.MethodType | Bound):
            yield f.__self__
            f = f.__func__
        elif (wrapped := getattr(f, "__wrapped__", None)) is not None:
            f = wrapped
        else:
            return
    for cell in f.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # an empty cell
            continue
    yield from f.__defaults__ or ()
    yield from (f.__kwdefaults__ or {}).values()
    names = f.__globals__
    yield from (names[name] for name in f.__code__.co_names if name in names)
