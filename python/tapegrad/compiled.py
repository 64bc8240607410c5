"""Functions that are recorded once and replayed."""

from __future__ import annotations

import functools
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

from tapegrad import _core
from tapegrad._trace import Function, Trace, name_of, need_function
from tapegrad.program import Program

__all__ = ["Compiled", "compile"]

_LIMIT = 256
_PATIENCE = 16


class Compiled(_core.Function):
    """A function that replays what it did before: see `compile`.

    `programs` are the paths that are kept, the last used first. Inside another transform or
    compiled function it is the plain function, and becomes part of what is recorded there.
    """

    __slots__ = ("__dict__", "__weakref__")

    _constants = False  # whether a result may hold what is no number, fixed for each program
    _depth = 3  # of whoever calls this, as warnings count it

    def __new__(cls, f: Function, max_programs: int = _LIMIT) -> Compiled:
        return super().__new__(cls, f, max_programs)

    def __init__(self, f: Function, max_programs: int = _LIMIT) -> None:
        for attribute in functools.WRAPPER_ASSIGNMENTS:
            if hasattr(f, attribute):
                setattr(self, attribute, getattr(f, attribute))
        self._broken: Counter[str] = Counter()
        self._derived: dict[tuple[str, bool], Compiled] = {}

    @property
    def programs(self) -> tuple[Program, ...]:
        return tuple(Program(core, name_of(self.__wrapped__)) for _, core, _ in self._programs)

    def program(self, *args: Any, **keywords: Any) -> Program:
        """The program that these arguments run, recorded if need be."""
        self(*args, **keywords)
        return self.programs[0]

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """As a method, the instance is its first argument."""
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {name_of(self.__wrapped__)}, {len(self._programs)} programs>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.__wrapped__,)

    def _record(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        f = self.__wrapped__
        numbers, inputs = _core.flatten(
            (args, keywords), f"compile(): the arguments of {name_of(f)}", True
        )
        recording = _core.Recording(guarding=True)
        try:
            variables = recording.inputs(numbers)
            varied, named = inputs.unflatten(variables)
            result = f(*varied, **named)
            if result is None:
                raise TypeError(f"compile(): {name_of(f)} returned None, not numbers")
            results, outputs = _core.flatten(
                result, f"compile(): the result of {name_of(f)}", self._constants
            )
            program = recording.program(variables, results)
        finally:
            recording.close()
        self._add(inputs, program, outputs)
        self._warn(program)

    def _switched(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """A call of which nothing is kept, while `no_grad` or `detect_anomaly` is on."""
        f = self.__wrapped__
        with Trace(order=0) as trace:
            variables = trace.vary(
                (args, keywords), f"compile(): the arguments of {name_of(f)}", constants=True
            )
            varied, named = variables.tree()
            return trace.outcome(f(*varied, **named))

    def _warn(self, program: _core.Program) -> None:
        """Once, of a function that records again and again."""
        self._broken.update({source for _, _, _, source in program.guards})
        if self._misses != _PATIENCE or not self._broken:
            return
        source, _ = self._broken.most_common(1)[0]
        warnings.warn(
            f"the compiled function {name_of(self.__wrapped__)} has been recorded again "
            f"{_PATIENCE} times: what it is told at {source} differs from call to call",
            RuntimeWarning,
            stacklevel=self._depth,
        )
        self._broken.clear()


def compile(f: Function, *, max_programs: int = _LIMIT) -> Compiled:
    """`f` as a function that is recorded once and replayed in C++, without Python.

    What `f` computes of its arguments is recorded as a program. Comparisons, `float`, `int`,
    `round`, the digits of a number as text (`str`, `repr`, `print`) and all else that it is told
    of a number while it runs become guards: where these hold for other arguments, so does the
    program; where one is broken, `f` runs again, and the program of that path is kept as well.
    So `if x > 0:`, `while err > tol:` and `max(...)` are right. The `max_programs` last used are
    kept.

    Numbers and NumPy arrays among the arguments, also in lists, tuples, dicts and dataclasses, are
    inputs; anything else is a constant, and another one another program. Derivatives of a compiled
    function are compiled; they raise TypeError where it converts to a float what they depend on.
    `f` must depend on its arguments alone: what it prints, draws at random or reads elsewhere
    happens when it is recorded.

    Warns with RuntimeWarning, naming the line, when a function is recorded again and again.

    >>> @compile
    ... def f(x):
    ...     return x * x if x > 0 else -x
    >>> f(3.0), f(-2.0), grad(f)(3.0)
    (9.0, 2.0, 6.0)
    >>> len(f.programs)
    2
    """
    need_function(f, "compile()")
    return f if isinstance(f, Compiled) else Compiled(f, max_programs)


def compile_like(f: Function) -> Callable[[Function], Function]:
    """Compiles what is made of `f` where `f` is compiled."""
    need_function(f)
    return compile if isinstance(f, Compiled) else lambda made: made


def derived(
    f: Function, transform: str, has_aux: bool, make: Callable[[Function], Function]
) -> Compiled | None:
    """Of a compiled `f`, the compiled function of arguments and directions; made once."""
    if not isinstance(f, Compiled) or f._constants:
        return None
    key = (transform, has_aux)
    if key not in f._derived:
        f._derived[key] = compile(make(f.__wrapped__))
    return f._derived[key]
