"""Functions that are recorded once and replayed."""

from __future__ import annotations

import functools
import inspect
import operator
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeGuard, overload

from tapegrad import _core
from tapegrad._random import Generators
from tapegrad._trace import Function, Trace, name_of, need_function
from tapegrad._wrapped import Bound, Transformed, by_name, named
from tapegrad.program import Program

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Compiled", "compile"]

_LIMIT = 256
_BYTES = 1 << 30
_PATIENCE = 16

Statics = tuple[tuple[int, ...], tuple[str, ...]]


class Compiled(_core.Function):
    """A function that replays what it did before: see `compile`.

    `programs` are the paths that are kept, the last used first. Inside another transform or
    compiled function it is the plain function, and becomes part of what is recorded there.
    """

    __slots__ = ("__dict__", "__weakref__")

    _constants = False  # whether a result may hold what is no number, fixed for each program
    _depth = 3  # of whoever calls this, as warnings count it

    def __new__(
        cls,
        f: Function,
        max_programs: int = _LIMIT,
        max_bytes: int = _BYTES,
        statics: Statics = ((), ()),
        floating: tuple[int, ...] | None = (),
    ) -> Self:
        if isinstance(f, Transformed) and floating is not None:
            floating = (*floating, *f._floating)
        return super().__new__(cls, f, max_programs, max_bytes, *statics, floating)

    def __init__(
        self,
        f: Function,
        max_programs: int = _LIMIT,
        max_bytes: int = _BYTES,
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
        """The program that these arguments run, recorded if need be."""
        self(*args, **keywords)
        return self.programs[0]

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """As a method, the instance is its first argument."""
        return self if instance is None else Bound(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {name_of(self.__wrapped__)}, {len(self._programs)} programs>"

    # A function is not copied: it is itself.
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
            if result is None:
                raise TypeError(f"compile(): {name_of(f)} returned None, not numbers")
            results, outputs = _core.flatten(
                result, f"compile(): the result of {name_of(f)}", self._constants
            )
            program = recording.program(variables, results)
        finally:
            _core.close_recording(recording)
        self._add(inputs, program, outputs)
        self._warn(program)

    def _switched(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """A call of which nothing is kept, while `no_grad` or `detect_anomaly` is on."""
        f = self.__wrapped__
        numbers, inputs = self._flatten(args, keywords, name_of(f))
        with Trace(order=0) as trace:
            varied, named = inputs.unflatten(trace.recording.inputs(numbers))
            return trace.outcome(f(*varied, **named))

    def _generators(self, args: Sequence[Any], keywords: dict[str, Any]) -> Generators | None:
        """The random generators to watch in a recording, as their states cost some time."""
        self._recorded = count = self._recorded + 1
        if self._drew or (count > _PATIENCE and count & (count - 1)):
            return None
        return Generators(self.__wrapped__, (*args, *keywords.values()))

    def _warn_of(self, generators: Generators) -> None:
        """Once, of a function that drew random numbers."""
        name = generators.used()
        if name is None:
            return
        self._drew = True
        warnings.warn(
            f"the compiled function {name_of(self.__wrapped__)} drew random numbers from {name} "
            f"while it was recorded: replays use the numbers that were drawn then; draw them "
            f"outside, and pass them as arguments",
            RuntimeWarning,
            stacklevel=self._depth,
        )

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


@overload
def compile(
    f: None = None,
    *,
    max_programs: int | None = None,
    max_bytes: int | None = None,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
) -> Callable[[Function], Compiled]: ...


@overload
def compile(
    f: Function,
    *,
    max_programs: int | None = None,
    max_bytes: int | None = None,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
) -> Compiled: ...


def compile(
    f: Function | None = None,
    *,
    max_programs: int | None = None,
    max_bytes: int | None = None,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
) -> Compiled | Callable[[Function], Compiled]:
    """`f` as a function that is recorded once and replayed in C++, without Python.

    What `f` computes of its arguments is recorded as a program. Comparisons, `float`, `int`,
    `round`, the digits of a number as text (`str`, `repr`, `print`) and all else that it is told
    of a number while it runs become guards: where these hold for other arguments, so does the
    program; where one is broken, `f` runs again, and the program of that path is kept as well.
    So `if x > 0:`, `while err > tol:` and `max(...)` are right. The `max_programs` (256) last used
    are kept, and of these as many as fit into `max_bytes` (2**30).

    Numbers and NumPy arrays of floats among the arguments, also in lists, tuples, dicts and
    dataclasses, are inputs. Anything else is a constant, and another one another program: strings,
    integers above 2**53, and arrays of integers and booleans by their content, so that these can be
    indices; other objects by identity, and booleans and members of enumerations too.

    `static_argnums` and `static_argnames` make arguments constants, numbers and containers too:
    these must be hashable, and another value (of another type, or unequal by `==`) is another
    program. Where one of the two is given, the other follows from the signature, as in JAX. Without
    `f`, the result is a decorator with these options.

    Derivatives of a compiled function are compiled, and belong to it: `grad(f)` is the same
    function each time. They raise TypeError where `f` converts to a float what they depend on. `f`
    must depend on its arguments alone: what it prints, draws at random or reads elsewhere happens
    when it is recorded.

    Warns with RuntimeWarning when a function is recorded again and again, naming the line, and when
    it draws random numbers while it is recorded: from `random`, `numpy.random`, or a generator
    among its arguments, in its closure, its defaults or the globals that it names. A generator that
    is hidden elsewhere is not seen, and of a function that is recorded more than 16 times not every
    recording is watched.

    Raises TypeError for a static argument that is not hashable, ValueError for options that do not
    fit the signature, and OverflowError for a result with an integer that no float holds.

    >>> @compile
    ... def f(x):
    ...     return x * x if x > 0 else -x
    >>> f(3.0), f(-2.0), grad(f)(3.0)
    (9.0, 2.0, 6.0)
    >>> len(f.programs)
    2
    >>> power = compile(lambda x, n: x**n if n % 2 else abs(x) ** n, static_argnums=1)
    >>> power(-2.0, 3), power(-2.0, 2), grad(power)(-2.0, 3)
    (-8.0, 4.0, 12.0)
    """
    options = (max_programs, max_bytes, static_argnums, static_argnames)
    given = not all(option is None for option in options)
    if f is None and given:
        return lambda g: _compiled(g, *options)
    need_function(f, "compile()")
    assert f is not None
    return f if isinstance(f, Compiled) and not given else _compiled(f, *options)


def _compiled(
    f: Function,
    max_programs: int | None,
    max_bytes: int | None,
    static_argnums: int | Iterable[int] | None,
    static_argnames: str | Iterable[str] | None,
) -> Compiled:
    need_function(f, "compile()")
    g = f.__wrapped__ if isinstance(f, Compiled) else f
    return Compiled(
        g,
        _bound("max_programs", max_programs, _LIMIT, 1),
        _bound("max_bytes", max_bytes, _BYTES, 0),
        _statics(g, static_argnums, static_argnames),
    )


def _bound(name: str, given: int | None, otherwise: int, least: int) -> int:
    if given is None:
        return otherwise
    bound = operator.index(given)
    if bound < least:
        raise ValueError(f"compile(): {name} must be at least {least}, not {bound}")
    return bound


def _statics(
    f: Function,
    argnums: int | Iterable[int] | None,
    argnames: str | Iterable[str] | None,
) -> Statics:
    """The static arguments by position and by name, as the signature has them."""
    if argnums is None and argnames is None:
        return (), ()
    positions = _positions(argnums)
    names = _names(argnames)
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return positions, names
    kinds = {each.kind for each in parameters}
    given_by_position = [
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    given_by_name = {
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        count = len(given_by_position)
        for k in positions:
            if not -count <= k < count:
                raise ValueError(
                    f"compile(): static_argnums has {k}, but {name_of(f)} takes "
                    f"{count} positional argument{'s' if count != 1 else ''}"
                )
        positions = tuple(k % count for k in positions)
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        for name in names:
            if name not in given_by_name:
                raise ValueError(
                    f"compile(): static_argnames has {name!r}, but {name_of(f)} has no argument of "
                    f"that name"
                )
    if argnums is None:
        positions = tuple(
            given_by_position.index(name) for name in names if name in given_by_position
        )
    if argnames is None:
        each_name = (given_by_position[k] for k in positions if 0 <= k < len(given_by_position))
        names = tuple(name for name in each_name if name in given_by_name)
    return positions, names


def _positions(argnums: int | Iterable[int] | None) -> tuple[int, ...]:
    if argnums is None:
        return ()
    each = (argnums,) if isinstance(argnums, SupportsIndex) else argnums
    try:
        return tuple(operator.index(position) for position in each)
    except TypeError:
        raise TypeError(
            f"compile(): static_argnums must be an int or a sequence of ints, not {argnums!r}"
        ) from None


def _names(argnames: str | Iterable[str] | None) -> tuple[str, ...]:
    if argnames is None:
        return ()
    names = (argnames,) if isinstance(argnames, str) else argnames
    names = tuple(names) if isinstance(names, Iterable) else (names,)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"compile(): static_argnames must be a str or a sequence of strs, not {argnames!r}"
        )
    return names


def derived(
    f: Compiled,
    key: tuple[Any, ...],
    make: Callable[[Function], Transformed],
    statics: Statics | None = None,
    floating: tuple[int, ...] | None = (),
    kind: type[Compiled] = Compiled,
) -> Compiled:
    """A compiled function of what `make` makes of the function that is compiled in `f`.

    It belongs to `f`: for one key it is made once. It does not refer to `f`, so that both go when
    `f` does.
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
    """The compiled function of a method bound to an instance, and the instance; else `f` alone."""
    bound: Any = f
    if type(f) is Bound and replays(bound.__func__):
        return bound.__func__, (bound.__self__,)
    return f, ()


def replays(f: Function) -> TypeGuard[Compiled]:
    """Whether what is derived of a function is compiled too."""
    return isinstance(f, Compiled) and not f._constants
