"""Derivatives of plain Python functions: `grad` and its kin, under JAX's names.

A transform takes a function of numbers and gives back a function. Arguments and results are
numbers, NumPy arrays, and lists, tuples, named tuples, dicts and dataclasses of these; a function
of an array sees an array of objects, traced numbers. Transforms compose and nest to any order. Of
a compiled function they give a compiled function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tapegrad import _core
from tapegrad._trace import Chosen, Function, Numbers, Trace, name_of, scalar, split_aux
from tapegrad.compiled import compile_like, derived
from tapegrad.sparse import assembled

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
    chosen = Chosen(argnums, "value_and_grad")
    return _gradient_of(f, chosen, has_aux, with_value=True)


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradient of `f`, or with `has_aux` a pair of it and the rest.

    Arguments, structure and errors are `value_and_grad`'s.

    >>> grad(grad(lambda x: x**3))(2.0)
    12.0
    >>> grad(lambda p: p["w"] * p["x"][1])({"w": 2.0, "x": [1.0, 4.0]})
    {'w': 4.0, 'x': [0.0, 2.0]}
    """
    return _gradient_of(f, Chosen(argnums, "grad"), has_aux, with_value=False)


def _gradient_of(f: Function, chosen: Chosen, has_aux: bool, *, with_value: bool) -> Function:
    @compile_like(f)
    @functools.wraps(f)
    def gradient(*args: Any, **keywords: Any) -> Any:
        with Trace() as trace:
            variables, result, aux = chosen.apply(trace, f, args, keywords, has_aux)
            value = scalar(result, chosen.transform, f)
            adjoints = trace.recording.reverse(variables.numbers, [value], [1.0], trace.nested)
            slopes = variables.structure.unflatten(adjoints)
            if has_aux:
                aux = trace.outcome(aux)
            if not with_value:
                return (slopes, aux) if has_aux else slopes
            value = value if trace.nested else _core.primal(value)
            return ((value, aux) if has_aux else value), slopes

    return gradient


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """What `f` returns of `primals`, and the function that pulls cotangents back through it.

    That function takes a cotangent of the structure of the result and returns a tuple, with the
    structure of each of the primals. With `has_aux`, a third result is what `f` returned besides.

    >>> y, pull = vjp(lambda x, y: (x * y, x + y), 2.0, 3.0)
    >>> y, pull((1.0, 0.0)), pull((0.0, 1.0))
    ((6.0, 5.0), (3.0, 2.0), (1.0, 1.0))
    """
    with Trace() as trace:
        variables = trace.vary(primals, f"vjp(): the primals of {name_of(f)}")
        result, aux = split_aux(f(*variables.tree()), has_aux, "vjp", f)
        numbers, structure = _core.flatten(result, f"vjp(): the result of {name_of(f)}")
        value = trace.outcome(structure.unflatten(numbers))
        aux = trace.outcome(aux) if has_aux else None

    def pull(cotangent: Any) -> Any:
        weights = _like(cotangent, structure, "the cotangent", "the result")
        record = _core.Recording.current() is not None
        adjoints = trace.recording.reverse(variables.numbers, numbers, weights, record)
        return variables.structure.unflatten(adjoints)

    return (value, pull, aux) if has_aux else (value, pull)


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
    compiled = derived(f, "jvp", has_aux, lambda g: lambda p, t: jvp(g, p, t, has_aux))
    if compiled is not None:
        both: tuple[Any, ...] = compiled(primals, tangents)
        return both
    with Trace() as trace:
        variables = trace.vary(primals, f"jvp(): the primals of {name_of(f)}")
        direction = _like(tangents, variables.structure, "tangents", "primals")
        result, aux = split_aux(f(*variables.tree()), has_aux, "jvp", f)
        trace.end()
        numbers, structure = _core.flatten(result, f"jvp(): the result of {name_of(f)}")
        [tangent] = trace.recording.forward(variables.numbers, [direction], numbers, trace.nested)
        value = trace.outcome(structure.unflatten(numbers))
        slope = structure.unflatten(tangent)
        return (value, slope, trace.outcome(aux)) if has_aux else (value, slope)


def hvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The product of the Hessian of `f` at `primals` with `tangents`, by the first argument.

    Forward over reverse: it costs a few evaluations of `f`, whatever the number of arguments.

    >>> hvp(lambda x: x[0] ** 2 * x[1], ([2.0, 3.0],), ([1.0, 0.0],))
    [6.0, 4.0]
    """
    return jvp(grad(f), primals, tangents)[1]


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
    if sparse:
        return _sparse_jacobian_of(f, Chosen(argnums, "jacrev"), has_aux, forward=False)
    return _jacobian_of(f, Chosen(argnums, "jacrev"), has_aux, lambda inputs, outputs: False)


def jacfwd(
    f: Function, argnums: Argnums = 0, has_aux: bool = False, *, sparse: bool = False
) -> Function:
    """As `jacrev`, by one forward direction for each number of the argument, or of its colours.

    >>> jacfwd(lambda x: [x, x**2, x**3])(2.0)
    [1.0, 4.0, 12.0]
    """
    if sparse:
        return _sparse_jacobian_of(f, Chosen(argnums, "jacfwd"), has_aux, forward=True)
    return _jacobian_of(f, Chosen(argnums, "jacfwd"), has_aux, lambda inputs, outputs: True)


def jacobian(
    f: Function, argnums: Argnums = 0, has_aux: bool = False, *, sparse: bool = False
) -> Function:
    """As `jacrev` or `jacfwd`, whichever has fewer directions to go.

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
    chosen = Chosen(argnums, "jacobian")
    if sparse:
        return _sparse_jacobian_of(f, chosen, has_aux, forward=None)
    return _jacobian_of(f, chosen, has_aux, lambda inputs, outputs: inputs <= outputs)


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
    chosen = Chosen(argnums, "hessian")
    if sparse:
        return _sparse_hessian_of(f, chosen, has_aux)
    slopes = _jacobian_of(f, chosen, has_aux, lambda inputs, outputs: False)
    return _jacobian_of(slopes, chosen, has_aux, lambda inputs, outputs: True)


def _sparse_jacobian_of(
    f: Function, chosen: Chosen, has_aux: bool, forward: bool | None
) -> Function:
    @assembled(f, chosen.transform)
    @functools.wraps(f)
    def entries(*args: Any, **keywords: Any) -> Any:
        with Trace() as trace:
            variables, result, aux = chosen.apply(trace, f, args, keywords, has_aux)
            name = f"{chosen.transform}(): the result of {name_of(f)}"
            numbers, _ = _core.flatten(result, name)
            found = _core.jacobian_entries(variables.numbers, numbers, trace.nested, forward)
            return (*found, trace.outcome(aux)) if has_aux else found

    return entries


def _sparse_hessian_of(f: Function, chosen: Chosen, has_aux: bool) -> Function:
    @assembled(f, chosen.transform)
    @functools.wraps(f)
    def entries(*args: Any, **keywords: Any) -> Any:
        with Trace(order=2) as trace:
            variables, result, aux = chosen.apply(trace, f, args, keywords, has_aux)
            value = scalar(result, chosen.transform, f)
            gradient = trace.recording.reverse(variables.numbers, [value], [1.0], True)
            found = _core.hessian_entries(variables.numbers, gradient, trace.nested)
            return (*found, trace.outcome(aux)) if has_aux else found

    return entries


def _jacobian_of(
    f: Function, chosen: Chosen, has_aux: bool, forward: Callable[[int, int], bool]
) -> Function:
    @compile_like(f)
    @functools.wraps(f)
    def jacobian(*args: Any, **keywords: Any) -> Any:
        with Trace() as trace:
            variables, result, aux = chosen.apply(trace, f, args, keywords, has_aux)
            name = f"{chosen.transform}(): the result of {name_of(f)}"
            numbers, structure = _core.flatten(result, name)
            inputs, recording = variables.numbers, trace.recording
            if forward(len(inputs), len(numbers)):
                columns = recording.columns(inputs, numbers, trace.nested)
                rows = [list(row) for row in zip(*columns, strict=True)]
            else:
                rows = recording.rows(inputs, numbers, trace.nested)
            matrix = _blocks(rows, structure, variables.structure)
            return (matrix, trace.outcome(aux)) if has_aux else matrix

    return jacobian


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
