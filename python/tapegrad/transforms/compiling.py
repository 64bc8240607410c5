"""The decorator `compile` and its options."""

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
    """Return a function that records what `f` computes once and replays it in C++, without Python.

    A call records the operations of `f` as a program. Every answer about a number that `f` gets
    while it runs becomes a guard: comparisons, `float`, `int`, `round`, and the digits of a number
    as text (`str`, `repr`, `print`). A later call replays a program whose guards all hold for its
    arguments. If none does, the call runs `f` again and records a further program. Branches and
    loops that depend on numbers, such as `if x > 0:`, `while err > tol:` and `max(...)`, are
    therefore handled correctly. `f` must depend on its arguments alone: whatever it prints, draws
    at random or reads elsewhere happens only while it is recorded.

    Numbers and NumPy arrays of floats in the arguments, also inside lists, tuples, dicts and
    dataclasses, are inputs of a program. All other objects are constants, and a call with another
    constant needs another program. Strings, integers above 2**53, and arrays of integers or
    booleans are compared by content, so that they can serve as indices; other objects, including
    booleans and members of enumerations, are compared by identity.

    Parameters:
        f: the function. Without it, `compile` returns a decorator with the options given.
        max_programs: the number of programs to keep, the most recently used; 256 by default.
        max_bytes: the memory for these programs; 2**30 by default.
        static_argnums, static_argnames: positions and names of arguments that are constants even
            if they are numbers or containers. They must be hashable, and another value (one of
            another type, or unequal by `==`) needs another program. If only one of the two is
            given, the signature of `f` determines the other, as in JAX.

    A transform of a compiled function is compiled too and cached, so `grad(f)` is the same object
    each time. It raises TypeError if `f` converts to a float a number that the derivative depends
    on.

    Warns:
        RuntimeWarning: if a function has been recorded many times, naming the line whose outcome
            varies; and if a function draws random numbers while it is recorded, from `random`,
            `numpy.random`, or a generator in its arguments, closure, defaults or globals. A
            generator elsewhere is not noticed, and after 16 recordings only some are watched.

    Raises:
        TypeError: for a static argument that is not hashable.
        ValueError: for options that do not fit the signature.
        OverflowError: for a result with an integer that no float holds.

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
    """Return the positions and names of the static arguments, completed by the signature."""
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
