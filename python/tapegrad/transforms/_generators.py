"""Whether a function draws random numbers: states of generators before it runs, and after."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tapegrad.transforms._functions import Function
from tapegrad.transforms._wrapped import Bound

__all__ = ["Generators"]


class Generators:
    """The generators that a function can be seen to use, and their states.

    These are the ones behind the functions of `random` and `numpy.random`, and generators among
    the arguments of a call, in the function's closure, its defaults, and the globals that it names.
    Any other one, as an attribute of an object, is not seen.
    """

    __slots__ = ("_states",)

    def __init__(self, f: Function, args: Iterable[Any]) -> None:
        self._states = [(name, read, read()) for name, read in _generators(f, args)]

    def used(self) -> str | None:
        """The name of one that is in another state than it was."""
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
    """A state in which arrays are bytes, which compare as a whole."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tobytes() if hasattr(state, "tobytes") else state


def _reached(f: Function) -> Iterator[Any]:
    """What the code of a function names: its closure, defaults and globals."""
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
        except ValueError:  # not yet filled
            continue
    yield from f.__defaults__ or ()
    yield from (f.__kwdefaults__ or {}).values()
    names = f.__globals__
    yield from (names[name] for name in f.__code__.co_names if name in names)
