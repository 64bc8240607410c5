"""Derivatives of plain Python functions: `grad` and its kin, under JAX's names.

A transform takes a function of numbers and gives back a function. Arguments and results are
numbers, NumPy arrays, and lists, tuples, named tuples, dicts and dataclasses of these; a function
of an array sees an array of objects, traced numbers. Transforms compose and nest to any order. Of
a compiled function they give a compiled function.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from tapegrad import _core
from tapegrad._trace import (
    Chosen,
    Function,
    Numbers,
    Trace,
    Variables,
    chosen,
    name_of,
    need_function,
    scalar,
    split_aux,
)
from tapegrad._wrapped import Bound, Transformed
from tapegrad.compiled import Compiled, derived, replays, split_method
from tapegrad.sparse import CompiledSparse, Entries, need_scipy

__all__ = [
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]

Argnums = int | Sequence[int]


def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns what `f` returns, and its gradient.

    `f` returns one number, or with `has_aux` a pair of it and anything else. `argnums` chooses the
    arguments to differentiate by; the gradient has the structure and shapes of that argument, or is
    a tuple of such for a sequence of positions. Ints count as floats. Keyword arguments are passed
    on.

    Raises TypeError for an `f` that returns anything but a number, for an argument that holds
    anything else, and for positions that the call does not have.

    >>> value_and_grad(lambda x, y: x * y**2, argnums=(0, 1))(2.0, 3.0)
    (18.0, (9.0, 12.0))
    """
    return _made(ValueAndGradient, "value_and_grad", f, argnums, has_aux)


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradient of `f`, or with `has_aux` a pair of it and the rest.

    Arguments, structure and errors are `value_and_grad`'s.

    >>> grad(grad(lambda x: x**3))(2.0)
    12.0
    >>> grad(lambda p: p["w"] * p["x"][1])({"w": 2.0, "x": [1.0, 4.0]})
    {'w': 4.0, 'x': [0.0, 2.0]}
    """
    return _made(Gradient, "grad", f, argnums, has_aux)


class Derivative(Transformed):
    """What a transform makes of a function: one of the same arguments."""

    __slots__ = ("chosen", "has_aux")

    def __init__(self, f: Function, chosen: Chosen, has_aux: bool) -> None:
        Transformed.__init__(self, f)
        self.chosen = chosen
        self.has_aux = has_aux

    @property
    def _floating(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.chosen.positions

    def _remaking(self) -> tuple[str, dict[str, Any]]:
        return self.chosen.transform, {"argnums": self.chosen.argnums, "has_aux": self.has_aux}


class Gradient(Derivative):
    """A function that returns the gradient of another."""

    __slots__ = ()

    _with_value = False

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        f, chosen, has_aux = self.__wrapped__, self.chosen, self.has_aux
        with Trace() as trace:
            variables, result, aux = chosen.apply(trace, f, args, keywords, has_aux)
            value = scalar(result, chosen.transform, f)
            adjoints = trace.recording.reverse(variables.numbers, [value], [1.0], trace.nested)
            slopes = variables.like(adjoints)
            if has_aux:
                aux = trace.outcome(aux)
            if not self._with_value:
                return (slopes, aux) if has_aux else slopes
            value = value if trace.nested else _core.primal(value)
            return ((value, aux) if has_aux else value), slopes


class ValueAndGradient(Gradient):
    """The same with the value before it."""

    __slots__ = ()

    _with_value = True


_Kind = TypeVar("_Kind", bound=Derivative)


def _made(
    kind: Callable[..., _Kind],
    transform: str,
    f: Function,
    argnums: Argnums,
    has_aux: bool,
    *options: Any,
    compiled: type[Compiled] = Compiled,
) -> Function:
    """The function that a transform makes of `f`; of a compiled one the same each time."""
    if type(f) is Bound:
        function, instance = split_method(f)
        if instance:
            chosen_ones = chosen(argnums, transform)
            shifted = tuple(k + 1 if k >= 0 else k for k in chosen_ones.positions)
            made = _made(
                kind,
                transform,
                function,
                shifted[0] if chosen_ones.one else shifted,
                has_aux,
                *options,
                compiled=compiled,
            )
            return Bound(made, *instance)
    if not replays(f):
        need_function(f)
        return kind(f, chosen(argnums, transform), has_aux, *options)
    if type(argnums) is int:
        found: Compiled | None = f._derived.get((kind, argnums, has_aux, *options))
        if found is not None:
            return found
    chosen_ones = chosen(argnums, transform)
    return derived(
        f,
        (kind, chosen_ones.argnums, has_aux, *options),
        lambda g: kind(g, chosen_ones, has_aux, *options),
        kind=compiled,
    )


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """What `f` returns of `primals`, and the function that pulls cotangents back through it.

    That function takes a cotangent of the structure of the result and returns a tuple, with the
    structure of each of the primals. With `has_aux`, a third result is what `f` returned besides.

    >>> y, pull = vjp(lambda x, y: (x * y, x + y), 2.0, 3.0)
    >>> y, pull((1.0, 0.0)), pull((0.0, 1.0))
    ((6.0, 5.0), (3.0, 2.0), (1.0, 1.0))
    """
    need_function(f)
    function, instance = split_method(f)
    if replays(function) and not has_aux and _core.Recording.current() is None:
        return _vjp_of_compiled(function, instance, primals)
    with Trace() as trace:
        variables = trace.vary(primals, lambda: f"vjp(): the primals of {name_of(f)}")
        result, aux = split_aux(f(*variables.tree()), has_aux, "vjp", f)
        numbers, structure = _core.flatten(result, f"vjp(): the result of {name_of(f)}")
        value = trace.outcome(structure.unflatten(numbers))
        aux = trace.outcome(aux) if has_aux else None

    def pull(cotangent: Any) -> Any:
        weights = _like(cotangent, structure, "the cotangent", "the result")
        # Plain numbers are pulled back in the trace where they were recorded, which may have ended.
        record = _core.Recording.current() is not None and (
            trace.nested or any(map(_core.is_traced, weights))
        )
        adjoints = trace.recording.reverse(variables.numbers, numbers, weights, record)
        return variables.like(adjoints)

    return (value, pull, aux) if has_aux else (value, pull)


def _vjp_of_compiled(
    f: Compiled, instance: tuple[Any, ...], primals: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The same as replays: the value now, what is pulled back when it is asked for."""
    args = (*instance, *primals)
    fixed = _fixed(f, len(instance), len(args))
    free = tuple(x for k, x in enumerate(args) if k not in fixed)
    # As they are now: lists and arrays may change before they are asked for.
    numbers, structure = _core.flatten(free, f"vjp(): the primals of {name_of(f)}")
    args = _joined(args, fixed, structure.unflatten(numbers))
    pulled = derived(f, ("vjp", fixed), lambda g: Pulled(g, fixed), _shifted(f, 1), floating=None)

    def pull(cotangent: Any) -> Any:
        slopes = iter(pulled(cotangent, *args))
        return tuple(None if k in fixed else next(slopes) for k in range(len(instance), len(args)))

    return f(*args), pull


def _fixed(f: Function, first: int, count: int) -> tuple[int, ...]:
    """Positions that a compiled function is not differentiated by: an instance, static ones."""
    statics = f._options[2][0] if replays(f) else ()
    return tuple(sorted({*range(first), *(k % count for k in statics if -count <= k < count)}))


def _shifted(f: Compiled, by: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The static arguments of `f` where as many arguments are before its own."""
    positions, names = f._options[2]
    return tuple(k + by if k >= 0 else k for k in positions), names


def _joined(args: Sequence[Any], fixed: Sequence[int], free: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments, those that are not fixed replaced."""
    others = iter(free)
    return tuple(x if k in fixed else next(others) for k, x in enumerate(args))


class Along(Transformed):
    """A function of a cotangent or of tangents and of a function's arguments."""

    __slots__ = ("fixed", "has_aux")

    def __init__(self, f: Function, fixed: tuple[int, ...], has_aux: bool = False) -> None:
        Transformed.__init__(self, f)
        self.fixed = fixed
        self.has_aux = has_aux

    def _vary(
        self, trace: Trace, transform: str, primals: tuple[Any, ...]
    ) -> tuple[Variables, tuple[Any, ...]]:
        free = tuple(x for k, x in enumerate(primals) if k not in self.fixed)
        variables = trace.vary(
            free, lambda: f"{transform}(): the primals of {name_of(self.__wrapped__)}"
        )
        return variables, _joined(primals, self.fixed, variables.tree())


class Pulled(Along):
    """Cotangents of the arguments, by a cotangent of the result."""

    __slots__ = ()

    def __call__(self, cotangent: Any, *primals: Any) -> Any:
        f = self.__wrapped__
        with Trace() as trace:
            variables, varied = self._vary(trace, "vjp", primals)
            result = f(*varied)
            trace.end()
            numbers, structure = _core.flatten(result, f"vjp(): the result of {name_of(f)}")
            weights = _like(cotangent, structure, "the cotangent", "the result")
            adjoints = trace.recording.reverse(variables.numbers, numbers, weights, trace.nested)
            return variables.like(adjoints)


class Pushed(Along):
    """The result and its tangent, by tangents of the arguments."""

    __slots__ = ()

    def __call__(self, tangents: Any, *primals: Any) -> Any:
        f, has_aux = self.__wrapped__, self.has_aux
        with Trace() as trace:
            variables, varied = self._vary(trace, "jvp", primals)
            direction = _like(tangents, variables.structure, "tangents", "primals")
            result, aux = split_aux(f(*varied), has_aux, "jvp", f)
            trace.end()
            numbers, structure = _core.flatten(result, f"jvp(): the result of {name_of(f)}")
            [tangent] = trace.recording.forward(
                variables.numbers, [direction], numbers, trace.nested
            )
            value = trace.outcome(structure.unflatten(numbers))
            slope = structure.unflatten(tangent)
            return (value, slope, trace.outcome(aux)) if has_aux else (value, slope)


def jvp(
    f: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """What `f` returns of `primals`, and its derivative in the direction of `tangents`.

    Both are sequences with one entry for each argument; entries have the same structure. With
    `has_aux`, a third result is what `f` returned besides.

    >>> jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 10.0))
    (6.0, 23.0)
    """
    primals, tangents = _tuple_of(primals, "primals"), _tuple_of(tangents, "tangents")
    known: Any = f
    if type(f) is Compiled and (kept := known._derived.get(("jvp", has_aux))) is not None:
        both: tuple[Any, ...] = kept(tangents, *primals)
        return both
    need_function(f)
    function, instance = split_method(f)
    if not replays(function):
        both = Pushed(f, (), has_aux)(tangents, *primals)
        return both
    args = (*instance, *primals)
    fixed = _fixed(function, len(instance), len(args))
    if fixed:
        tangents = _free_tangents(tangents, fixed, len(instance), len(args))
    # Without static arguments it is the same whatever the number of arguments is.
    any_number = not instance and not function._options[2][0]
    both = derived(
        function,
        ("jvp", has_aux) if any_number else ("jvp", has_aux, fixed),
        lambda g: Pushed(g, fixed, has_aux),
        _shifted(function, 1),
        floating=None,
    )(tangents, *args)
    return both


def _free_tangents(
    tangents: tuple[Any, ...], fixed: tuple[int, ...], first: int, count: int
) -> tuple[Any, ...]:
    """The tangents of arguments that vary. A static argument has None."""
    if len(tangents) != count - first:
        return tangents  # which are refused for that
    for k in fixed:
        if k >= first and tangents[k - first] is not None:
            raise TypeError(
                f"jvp(): argument {k - first} is static: its tangent must be None, not "
                f"'{type(tangents[k - first]).__name__}'"
            )
    return tuple(t for k, t in enumerate(tangents, first) if k not in fixed)


@overload
def hvp(f: Function, primals: None = None, tangents: None = None) -> Function: ...


@overload
def hvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> Any: ...


def hvp(
    f: Function, primals: Sequence[Any] | None = None, tangents: Sequence[Any] | None = None
) -> Any:
    """The product of the Hessian of `f` at `primals` with `tangents`, by the first argument.

    Forward over reverse: it costs a few evaluations of `f`, whatever the number of arguments.
    With `f` alone, the result is the function of the first argument, a direction of its structure,
    and the other arguments, as SciPy's `hessp` wants it.

    >>> hvp(lambda x: x[0] ** 2 * x[1], ([2.0, 3.0],), ([1.0, 0.0],))
    [6.0, 4.0]
    >>> hvp(lambda x: x[0] ** 2 * x[1])([2.0, 3.0], [1.0, 0.0])
    [6.0, 4.0]
    """
    if primals is not None and tangents is not None:
        return jvp(grad(f), primals, tangents)[1]
    if primals is not None or tangents is not None:
        missing = "primals" if primals is None else "tangents"
        raise TypeError(f"hvp(): {missing} is missing: give both of primals and tangents, or none")
    need_function(f)
    function, instance = split_method(f)
    if not replays(function):
        return HessianProduct(f)
    at = len(instance)
    positions, names = function._options[2]
    made = derived(
        function,
        ("hvp", at),
        lambda g: HessianProduct(g, at),
        (tuple(k + 1 if k > at else k for k in positions), names),
        floating=(at, at + 1),
    )
    return Bound(made, *instance) if instance else made


class HessianProduct(Transformed):
    """A function of what another one is differentiated by, a direction, and the other arguments."""

    __slots__ = ("at",)

    def __init__(self, f: Function, at: int = 0) -> None:
        Transformed.__init__(self, f)
        self.at = at

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        f, at = self.__wrapped__, self.at
        if len(args) < at + 2:
            raise TypeError(
                f"hvp(): {name_of(f)} is called with a point and a direction, and then its other "
                f"arguments; {len(args)} were given"
            )
        before, x, p, rest = args[:at], args[at], args[at + 1], args[at + 2 :]
        slopes = Gradient(f, chosen(at, "hvp"), False)
        return jvp(lambda y: slopes(*before, y, *rest, **keywords), (x,), (p,))[1]

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.__wrapped__)
        parameters = list(signature.parameters.values())
        direction = inspect.Parameter("p", inspect.Parameter.POSITIONAL_ONLY)
        before = [each.replace(kind=direction.kind) for each in parameters[: self.at + 1]]
        return signature.replace(parameters=[*before, direction, *parameters[self.at + 1 :]])

    def _remaking(self) -> tuple[str, dict[str, Any]]:
        return "hvp", {}


def jacrev(
    f: Function, argnums: Argnums = 0, has_aux: bool = False, *, sparse: bool = False
) -> Function:
    """A function that returns the Jacobian of `f`, by one backward sweep for each number returned.

    The result has the structure of what `f` returns; in the place of each number there is the
    structure of the argument. Between arrays stands an array: first the axes of the result, then
    those of the argument. With `sparse` it is a matrix, as `jacobian` says, by one sweep for each
    colour of its rows.

    >>> jacrev(lambda x: [x[0] * x[1], x[0] + x[1]])([2.0, 3.0])
    [[3.0, 2.0], [1.0, 1.0]]
    """
    return _jacobian_of(f, "jacrev", argnums, has_aux, False, sparse)


def jacfwd(
    f: Function, argnums: Argnums = 0, has_aux: bool = False, *, sparse: bool = False
) -> Function:
    """As `jacrev`, by one forward direction for each number of the argument, or of its colours.

    >>> jacfwd(lambda x: [x, x**2, x**3])(2.0)
    [1.0, 4.0, 12.0]
    """
    return _jacobian_of(f, "jacfwd", argnums, has_aux, True, sparse)


def jacobian(
    f: Function, argnums: Argnums = 0, has_aux: bool = False, *, sparse: bool = False
) -> Function:
    """As `jacrev` or `jacfwd`, whichever has fewer directions to go.

    Through a `custom_vjp`, which knows backward mode alone, it is `jacrev`.

    >>> jacobian(lambda x, y: [x * y, y], argnums=(0, 1))(2.0, 3.0)
    [(3.0, 2.0), (0.0, 1.0)]

    With `sparse` the result is a `scipy.sparse.csr_array`: a row for each number that `f` returns
    and a column for each number of the arguments, trees of these in the order in which they are
    written. What is stored are the entries that may differ from zero by what `f` computed. Inputs
    that no result depends on together are varied together, so that a banded matrix of a million
    rows takes as many directions as it has bands (Curtis, Powell & Reid 1974; Coleman & Moré 1983;
    Gebremedhin, Manne & Pothen 2005). For a compiled `f` a call is one replay, which computes the
    stored entries alone; the pattern belongs to the program.

    Raises ImportError without scipy, and TypeError inside another transform: a sparse array holds
    no traced numbers.

    >>> def differences(x):
    ...     return [b * b - a for a, b in zip(x, x[1:])]
    >>> matrix = jacobian(differences, sparse=True)([1.0, 2.0, 3.0, 4.0])
    >>> matrix.nnz, matrix.toarray().tolist()
    (6, [[-1.0, 4.0, 0.0, 0.0], [0.0, -1.0, 6.0, 0.0], [0.0, 0.0, -1.0, 8.0]])
    """
    return _jacobian_of(f, "jacobian", argnums, has_aux, None, sparse)


def hessian(
    f: Function, argnums: Argnums = 0, has_aux: bool = False, *, sparse: bool = False
) -> Function:
    """A function that returns the second derivatives of `f`, as JAX's: forward over reverse.

    >>> hessian(lambda x: x[0] ** 2 * x[1])([2.0, 3.0])
    [[6.0, 4.0], [4.0, 0.0]]

    With `sparse`, of an `f` that returns one number, a `scipy.sparse.csr_array` as `jacobian`'s, by
    star colouring: of an entry and its mirror image one is computed (Coleman & Moré 1984;
    Gebremedhin, Tarafdar, Manne & Pothen 2007). Where rules of the user's own are among the
    operations, both are: the matrix need not be symmetric then.

    >>> matrix = hessian(lambda x: sum(a * a * b for a, b in zip(x, x[1:])), sparse=True)([1.0] * 4)
    >>> matrix.nnz, matrix.toarray().tolist()[1]
    (9, [2.0, 2.0, 2.0, 0.0])
    """
    if sparse:
        need_scipy("hessian")
        return _made(SparseHessian, "hessian", f, argnums, has_aux, compiled=CompiledSparse)
    return _made(Hessian, "hessian", f, argnums, has_aux)


def _jacobian_of(
    f: Function,
    transform: str,
    argnums: Argnums,
    has_aux: bool,
    forward: bool | None,
    sparse: bool,
) -> Function:
    if sparse:
        need_scipy(transform)
        return _made(
            SparseJacobian, transform, f, argnums, has_aux, forward, compiled=CompiledSparse
        )
    return _made(Jacobian, transform, f, argnums, has_aux, forward)


class SparseJacobian(Entries, Derivative):
    """A function that returns a sparse Jacobian of another."""

    __slots__ = ("forward",)

    def __init__(self, f: Function, chosen: Chosen, has_aux: bool, forward: bool | None) -> None:
        Derivative.__init__(self, f, chosen, has_aux)
        self.forward = forward

    def entries(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        f, chosen = self.__wrapped__, self.chosen
        with Trace() as trace:
            variables, result, aux = chosen.apply(trace, f, args, keywords, self.has_aux)
            name = f"{chosen.transform}(): the result of {name_of(f)}"
            numbers, _ = _core.flatten(result, name)
            forward = self.forward
            if forward is None and trace.recording.needs_backward(variables.numbers, numbers):
                forward = False
            found = _core.jacobian_entries(variables.numbers, numbers, trace.nested, forward)
            return (*found, trace.outcome(aux)) if self.has_aux else found


class SparseHessian(Entries, Derivative):
    """A function that returns a sparse Hessian of another."""

    __slots__ = ()

    def entries(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        f, chosen, has_aux = self.__wrapped__, self.chosen, self.has_aux
        with Trace(order=2) as trace:
            variables, result, aux = chosen.apply(trace, f, args, keywords, has_aux)
            value = scalar(result, chosen.transform, f)
            gradient = trace.recording.reverse(variables.numbers, [value], [1.0], True)
            found = _core.hessian_entries(variables.numbers, gradient, trace.nested)
            return (*found, trace.outcome(aux)) if has_aux else found


class Jacobian(Derivative):
    """A function that returns the Jacobian of another, forwards or backwards."""

    __slots__ = ("forward",)

    def __init__(self, f: Function, chosen: Chosen, has_aux: bool, forward: bool | None) -> None:
        Derivative.__init__(self, f, chosen, has_aux)
        self.forward = forward

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        f, chosen, has_aux = self.__wrapped__, self.chosen, self.has_aux
        with Trace() as trace:
            variables, result, aux = chosen.apply(trace, f, args, keywords, has_aux)
            name = f"{chosen.transform}(): the result of {name_of(f)}"
            numbers, structure = _core.flatten(result, name)
            inputs, recording = variables.numbers, trace.recording
            forward = self.forward
            if forward is None:
                forward = len(inputs) <= len(numbers)
                forward = forward and not recording.needs_backward(inputs, numbers)
            if forward:
                columns = recording.columns(inputs, numbers, trace.nested)
                rows = [list(row) for row in zip(*columns, strict=True)]
            else:
                rows = recording.rows(inputs, numbers, trace.nested)
            matrix = _blocks(rows, structure, variables.structure)
            return (matrix, trace.outcome(aux)) if has_aux else matrix


class Hessian(Derivative):
    """A function that returns the second derivatives of another, forward over reverse."""

    __slots__ = ("_columns",)

    def __init__(self, f: Function, chosen: Chosen, has_aux: bool) -> None:
        Derivative.__init__(self, f, chosen, has_aux)
        slopes = Jacobian(f, chosen, has_aux, forward=False)
        self._columns = Jacobian(slopes, chosen, has_aux, forward=True)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self._columns(*args, **keywords)


def _blocks(rows: list[Numbers], of: _core.Structure, by: _core.Structure) -> Any:
    """A matrix as a tree of the result's structure, in it trees of the argument's."""
    outer: Numbers = []
    for shape, block in zip(of.shapes, _split(rows, of.shapes), strict=True):
        columns = list(zip(*block, strict=True)) if block else [() for _ in range(len(by))]
        inner = [
            _block(piece, shape, width)
            for width, piece in zip(by.shapes, _split(columns, by.shapes), strict=True)
        ]
        outer.append(by.rebuild(inner))
    return of.rebuild(outer)


def _split(rows: Sequence[Any], shapes: Sequence[tuple[int, ...] | None]) -> list[Sequence[Any]]:
    """The rows that belong to each block."""
    pieces, start = [], 0
    for shape in shapes:
        end = start + _size(shape)
        pieces.append(rows[start:end])
        start = end
    return pieces


def _size(shape: tuple[int, ...] | None) -> int:
    return functools.reduce(lambda product, length: product * length, shape or (), 1)


def _block(
    columns: Sequence[Sequence[Any]], of: tuple[int, ...] | None, by: tuple[int, ...] | None
) -> Any:
    """One number, or the array of the derivatives of one block by another."""
    if of is None and by is None:
        return columns[0][0]
    import numpy as np

    shape = (*(of or ()), *(by or ()))
    plain = all(isinstance(number, float) for column in columns for number in column)
    array = np.empty((len(columns), _size(of)), dtype=float if plain else object)
    for k, column in enumerate(columns):
        array[k] = column
    return np.ascontiguousarray(array.T).reshape(shape)


def _like(tree: object, wanted: _core.Structure, what: str, other: str) -> Numbers:
    """The numbers of a tree, which must have a given structure."""
    numbers, structure = _core.flatten(tree, what)
    if structure != wanted:
        raise TypeError(f"{what} must have the structure and shapes of {other}")
    return numbers


def _tuple_of(arguments: Sequence[Any], name: str) -> tuple[Any, ...]:
    if type(arguments) is tuple:
        return arguments
    if not isinstance(arguments, tuple | list):
        raise TypeError(
            f"{name} must be a tuple or list with one entry for each argument, "
            f"not {type(arguments).__name__}"
        )
    return tuple(arguments)


def stop_gradient(x: Any) -> Any:
    """`x`, a tree of numbers, as a constant: nothing is differentiated through it.

    So it may be converted to a float where `x` itself may not. Of a `Value`, a new one without
    operands.

    >>> grad(lambda x: x * stop_gradient(x))(3.0)
    3.0
    >>> grad(lambda x: x * float(stop_gradient(x)))(3.0)
    3.0
    """
    if isinstance(x, _core.Value):
        return _core.Value(x.data)
    numbers, structure = _core.flatten(x, "stop_gradient(): x", True)
    recording = _core.Recording.current()
    return structure.unflatten(numbers if recording is None else recording.stopped(numbers))
