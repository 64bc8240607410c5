"""`compile` and its options."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable
from typing import SupportsIndex, overload

from tapegrad.transforms._functions import Function, name_of, need_function
from tapegrad.transforms.compiled import MAX_BYTES, MAX_PROGRAMS, Compiled, Statics

__all__ = ["compile"]


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
        _bound("max_programs", max_programs, MAX_PROGRAMS, 1),
        _bound("max_bytes", max_bytes, MAX_BYTES, 0),
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
