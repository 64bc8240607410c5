"""Detection of functions that draw random numbers, by comparing the states of generators."""

from __future__ import annotations

import functools
import itertools
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tapegrad.transforms._functions import Function
from tapegrad.transforms._wrapped import Bound

__all__ = ["Generators"]


class Generators:
    """The random generators that a function visibly refers to, and their states.

    These are the global generators of `random` and `numpy.random`, and those that are reachable
    from a call: its arguments, the function's closure and defaults, the globals that its code
    names, containers of these, the attributes of a callable object, and the same places of
    functions found there. Others are not noticed.
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
_MOST = 1000  # limit of the objects searched for generators


def _generators(f: Function, args: Iterable[Any]) -> Iterator[tuple[str, _Read]]:
    random, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    if random is not None:
        yield "random", random.getstate
    if numpy is not None:
        yield "numpy.random", _state_of(numpy.mtrand._rand)
    for thing in _reached([*args, f]):
        if random is not None and isinstance(thing, random.Random):
            yield f"a {type(thing).__name__}", thing.getstate
        elif numpy is not None and isinstance(thing, numpy.Generator):
            yield f"a {type(thing).__name__}", _state_of(thing.bit_generator)
        elif numpy is not None and isinstance(thing, numpy.RandomState):
            yield f"a {type(thing).__name__}", _state_of(thing)


def _state_of(generator: Any) -> _Read:
    """Return a function that reads the state of a generator.

    The state of a RandomState is more than that of its bit generator: it caches a normal number.
    """
    if hasattr(generator, "get_state"):
        return lambda: _plain(generator.get_state(legacy=False))
    return lambda: _plain(generator.state)


def _plain(state: Any) -> Any:
    """Return `state` with arrays converted to bytes, so that == compares whole states."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tobytes() if hasattr(state, "tobytes") else state


def _reached(things: list[Any]) -> Iterator[Any]:
    """Yield the objects and those reachable from them, the last ones first."""
    seen = set()
    for _ in range(_MOST):
        if not things:
            return
        thing = things.pop()
        if id(thing) in seen or isinstance(thing, _PLAIN):
            continue
        seen.add(id(thing))
        yield thing
        if isinstance(thing, list | tuple | set | frozenset):
            things += itertools.islice(thing, _MOST)
        elif isinstance(thing, dict):
            things += itertools.islice(thing.values(), _MOST)
        elif isinstance(thing, types.FunctionType):
            things += _named_by(thing)
        elif isinstance(thing, types.MethodType | Bound):
            things += (thing.__self__, thing.__func__)
        elif isinstance(thing, functools.partial):
            things += (thing.func, thing.args, thing.keywords)
        elif callable(thing) and not isinstance(thing, type | types.BuiltinFunctionType):
            # A function made by a transform, or an object with a method __call__().
            things += (getattr(thing, "__wrapped__", None), getattr(type(thing), "__call__", None))  # noqa: B004
            things += getattr(thing, "__dict__", {}).values()


_PLAIN: tuple[type, ...] = (float, int, str, bytes, type(None), types.ModuleType)


def _named_by(f: types.FunctionType) -> Iterator[Any]:
    """Yield the closure and the defaults of a function, and the globals that its code names."""
    for cell in f.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # an empty cell
            continue
    yield from f.__defaults__ or ()
    yield from (f.__kwdefaults__ or {}).values()
    names = f.__globals__
    module = names.get("__name__")
    codes = [f.__code__]
    while codes:
        code = codes.pop()
        for name in code.co_names:
            thing = names.get(name)
            # Functions of other modules, such as NumPy's, are skipped: they reach too much.
            if not callable(thing) or getattr(thing, "__module__", None) == module:
                yield thing
        codes += (inner for inner in code.co_consts if isinstance(inner, types.CodeType))
