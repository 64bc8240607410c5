"""Compiled functions: programs recorded once for each path, and replayed."""

from __future__ import annotations

import functools
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from tapegrad import _core
from tapegrad.transforms._functions import Function, name_of
from tapegrad.transforms._generators import Generators
from tapegrad.transforms._pickling import by_name, named
from tapegrad.transforms._tracing import Numbers, Trace
from tapegrad.transforms._wrapped import Bound, Transformed
from tapegrad.transforms.program import Program

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Compiled", "derived", "replays", "split_method"]

MAX_PROGRAMS = 256
MAX_BYTES = 1 << 30
_PATIENCE = 16

Statics = tuple[tuple[int, ...], tuple[str, ...]]


class Compiled(_core.Function):
    """A function that replays recorded programs; see `compile`.

    `programs` are the cached programs, most recently used first. Called inside a transform or
    another compiled function, it runs as the plain function and is recorded there.
    """

    __slots__ = ("__dict__", "__weakref__")

    _constants = False  # True if results may hold objects, which are constants of a program

    def __new__(
        cls,
        f: Function,
        max_programs: int = MAX_PROGRAMS,
        max_bytes: int = MAX_BYTES,
        statics: Statics = ((), ()),
        floating: tuple[int, ...] | None = (),
    ) -> Self:
        if isinstance(f, Transformed) and floating is not None:
            floating = (*floating, *f._floating)
        return super().__new__(cls, f, max_programs, max_bytes, *statics, floating)

    def __init__(
        self,
        f: Function,
        max_programs: int = MAX_PROGRAMS,
        max_bytes: int = MAX_BYTES,
        statics: Statics = ((), ()),
        floating: tuple[int, ...] | None = (),
    ) -> None:
        for attribute in functools.WRAPPER_ASSIGNMENTS:
            if hasattr(f, attribute):
                setattr(self, attribute, getattr(f, attribute))
        self._options = (max_programs, max_bytes, statics, floating)
        self._broken: Counter[str] = Counter()
        self._recorded = 0
        self._drew = False
        self._derived: dict[Any, Any] = {}

    @property
    def programs(self) -> tuple[Program, ...]:
        return tuple(Program(core, name_of(self.__wrapped__)) for _, core, _ in self._programs)

    def program(self, *args: Any, **keywords: Any) -> Program:
        """Call the function, and return the program that ran, recorded if need be."""
        self(*args, **keywords)
        return self.programs[0]

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind to an instance, which becomes the first argument."""
        return self if instance is None else Bound(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {name_of(self.__wrapped__)}, {len(self._programs)} programs>"

    # Copying a function returns the function itself, as for Python's own functions.
    def __copy__(self) -> Compiled:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        return by_name(self) or (type(self), (named(self.__wrapped__), *self._options))

    def _record(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        f = self.__wrapped__
        numbers, inputs = self._flatten(args, keywords, name_of(f))
        recording = _core.Recording(True)
        try:
            variables = recording.inputs(numbers)
            varied, named = inputs.unflatten(variables)
            generators = self._generators(varied, named)
            result = f(*varied, **named)
            if generators is not None:
                self._warn_of(generators)
            results, outputs = self._flattened(result)
            program = recording.program(variables, results)
        finally:
            _core.close_recording(recording)
        self._add(inputs, program, outputs)
        self._warn(program)

    def _switched(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Run the function uncompiled, while `no_grad` or `detect_anomaly` is on."""
        f = self.__wrapped__
        numbers, inputs = self._flatten(args, keywords, name_of(f))
        with Trace(order=0) as trace:
            varied, named = inputs.unflatten(trace.recording.inputs(numbers))
            results, outputs = self._flattened(f(*varied, **named))
            return trace.outcome(outputs.unflatten(results))

    def _flattened(self, result: Any) -> tuple[Numbers, _core.TreeDef]:
        name = name_of(self.__wrapped__)
        if result is None:
            raise TypeError(f"compile(): {name} returned None, not numbers")
        return _core.flatten(result, f"compile(): the result of {name}", self._constants)

    def _generators(self, args: Sequence[Any], keywords: dict[str, Any]) -> Generators | None:
        """Return the random generators to watch during a recording, or None.

        Reading their states takes time, so of many recordings only some are watched.
        """
        self._recorded = count = self._recorded + 1
        if self._drew or (count > _PATIENCE and count & (count - 1)):
            return None
        return Generators(self.__wrapped__, (*args, *keywords.values()))

    def _warn_of(self, generators: Generators) -> None:
        """Warn once if the function drew random numbers while it was recorded."""
        name = generators.used()
        if name is None:
            return
        self._drew = True
        warnings.warn(
            f"the compiled function {name_of(self.__wrapped__)} drew random numbers from {name} "
            f"while it was recorded, and replays reuse them: draw the numbers outside, and pass "
            f"them as arguments",
            RuntimeWarning,
            stacklevel=_callers_level(),
        )

    def _warn(self, program: _core.Program) -> None:
        """Warn once if the function has been recorded _PATIENCE times after broken guards."""
        self._broken.update({source for _, _, _, source in program.guards})
        if self._misses != _PATIENCE or not self._broken:
            return
        source, _ = self._broken.most_common(1)[0]
        warnings.warn(
            f"the compiled function {name_of(self.__wrapped__)} has been recorded again "
            f"{_PATIENCE} times: the outcome at {source} differs from call to call",
            RuntimeWarning,
            stacklevel=_callers_level(),
        )
        self._broken.clear()


def _callers_level() -> int:
    """Return the `stacklevel` with which the caller's warn() names the first frame outside."""
    level = 1
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("tapegrad."):
        level += 1
        frame = frame.f_back
    return level


def derived(
    f: Compiled,
    key: tuple[Any, ...],
    make: Callable[[Function], Transformed],
    statics: Statics | None = None,
    floating: tuple[int, ...] | None = (),
    kind: type[Compiled] = Compiled,
) -> Compiled:
    """Return the compiled form of `make(g)`, where `f` is the compiled form of `g`.

    `f` caches it under `key`, so each is made once. It does not refer to `f`, so that both are
    freed with `f`.
    """
    found: Compiled | None = f._derived.get(key)
    if found is None:
        most_programs, most_bytes, own_statics, _ = f._options
        made = kind(
            make(f.__wrapped__), most_programs, most_bytes, statics or own_statics, floating
        )
        kept: Compiled = f._derived.setdefault(key, made)
        return kept
    return found


def split_method(f: Function) -> tuple[Function, tuple[Any, ...]]:
    """Split a bound compiled method into its function and a tuple of the instance.

    Any other `f` gives `f` and an empty tuple.
    """
    bound: Any = f
    if type(f) is Bound and replays(bound.__func__):
        return bound.__func__, (bound.__self__,)
    return f, ()


def replays(f: Function) -> TypeGuard[Compiled]:
    """True if transforms of `f` are to be compiled too."""
    return isinstance(f, Compiled) and not f._constants
