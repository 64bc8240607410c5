"""Jacobians and Hessians: `jacobian`, `jacfwd`, `jacrev` and `hessian`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from tapegrad import _core
from tapegrad.transforms._argnums import Argnums, Chosen
from tapegrad.transforms._derivative import Derivative, derivative_of
from tapegrad.transforms._functions import Function, name_of
from tapegrad.transforms._tracing import Numbers, Trace
from tapegrad.transforms.sparse import (
    CompiledSparse,
    SparseHessian,
    SparseJacobian,
    need_scipy,
)

__all__ = ["hessian", "jacfwd", "jacobian", "jacrev"]


def jacrev(
    f: Function, argnums: Argnums = 0, has_aux: bool = False, *, sparse: bool = False
) -> Function:
    """Return a function that returns the Jacobian of `f`, computed in reverse mode.

    It takes one reverse sweep for each number that `f` returns. The Jacobian has the structure of
    the result of `f`, with the structure of the argument in place of each number. The block of a
    result array and an argument array is one array, with the axes of the result first. With
    `sparse` the Jacobian is a matrix, as in `jacobian`, and takes one sweep for each colour of its
    rows. `argnums`, `has_aux` and errors are as in `value_and_grad`.

    >>> jacrev(lambda x: [x[0] * x[1], x[0] + x[1]])([2.0, 3.0])
    [[3.0, 2.0], [1.0, 1.0]]
    """
    return _jacobian_of(f, "jacrev", argnums, has_aux, False, sparse)


def jacfwd(
    f: Function, argnums: Argnums = 0, has_aux: bool = False, *, sparse: bool = False
) -> Function:
    """Return a function that returns the Jacobian of `f`, computed in forward mode.

    It takes one forward direction for each number of the argument or, with `sparse`, for each
    colour of the columns. Parameters and result are those of `jacrev`.

    >>> jacfwd(lambda x: [x, x**2, x**3])(2.0)
    [1.0, 4.0, 12.0]
    """
    return _jacobian_of(f, "jacfwd", argnums, has_aux, True, sparse)


def jacobian(
    f: Function, argnums: Argnums = 0, has_aux: bool = False, *, sparse: bool = False
) -> Function:
    """Return a function that returns the Jacobian of `f`, in the mode that takes fewer sweeps.

    It is `jacfwd` unless the argument has more numbers than the result, or a `custom_vjp`, which
    supports reverse mode only, lies between them; then it is `jacrev`.

    >>> jacobian(lambda x, y: [x * y, y], argnums=(0, 1))(2.0, 3.0)
    [(3.0, 2.0), (0.0, 1.0)]

    With `sparse` the Jacobian is a `scipy.sparse.csr_array` with a row for each number that `f`
    returns and a column for each number of the arguments, in the order in which the pytrees are
    flattened. It stores the entries that can differ from zero according to the operations of `f`.
    Columns without a common nonzero row share a colour and one direction, so that a banded matrix
    takes as many directions as it has bands, whatever its size (Curtis, Powell & Reid 1974; Coleman
    & Moré 1983; Gebremedhin, Manne & Pothen 2005). For a compiled `f` a call is one replay that
    computes the stored entries alone; the program holds the pattern.

    With `sparse`, raises ImportError without scipy, and TypeError inside another transform, since a
    sparse array holds no traced numbers.

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
    """Return a function that returns the Hessian of `f`, computed forward over reverse as in JAX.

    `argnums`, `has_aux` and errors are as in `value_and_grad`. The result nests the structure of
    the argument twice.

    >>> hessian(lambda x: x[0] ** 2 * x[1])([2.0, 3.0])
    [[6.0, 4.0], [4.0, 0.0]]

    With `sparse` the Hessian is a `scipy.sparse.csr_array`, as in `jacobian`, and `f` must return
    one number. A star colouring computes only one of each pair of symmetric entries (Coleman &
    Moré 1984; Gebremedhin, Tarafdar, Manne & Pothen 2007). If `f` uses a custom derivative rule,
    the matrix need not be symmetric, and both entries are computed.

    >>> matrix = hessian(lambda x: sum(a * a * b for a, b in zip(x, x[1:])), sparse=True)([1.0] * 4)
    >>> matrix.nnz, matrix.toarray().tolist()[1]
    (9, [2.0, 2.0, 2.0, 0.0])
    """
    if sparse:
        need_scipy("hessian")
        return derivative_of(SparseHessian, "hessian", f, argnums, has_aux, compiled=CompiledSparse)
    return derivative_of(Hessian, "hessian", f, argnums, has_aux)


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
        return derivative_of(
            SparseJacobian, transform, f, argnums, has_aux, forward, compiled=CompiledSparse
        )
    return derivative_of(Jacobian, transform, f, argnums, has_aux, forward)


class Jacobian(Derivative):
    """The function that returns a dense Jacobian; `forward` is its mode, None for the cheaper."""

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
    """The function that returns a dense Hessian: a forward Jacobian of a reverse one."""

    __slots__ = ("_columns",)

    def __init__(self, f: Function, chosen: Chosen, has_aux: bool) -> None:
        Derivative.__init__(self, f, chosen, has_aux)
        slopes = Jacobian(f, chosen, has_aux, forward=False)
        self._columns = Jacobian(slopes, chosen, has_aux, forward=True)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self._columns(*args, **keywords)


def _blocks(rows: list[Numbers], of: _core.TreeDef, by: _core.TreeDef) -> Any:
    """Nest a matrix as a pytree of the structure `of`, each leaf a pytree of the structure `by`."""
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
    """Split the rows into blocks of as many rows as each shape has numbers."""
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
    """Return the derivatives of one block with respect to another: a number, or an array."""
    if of is None and by is None:
        return columns[0][0]
    import numpy as np

    shape = (*(of or ()), *(by or ()))
    plain = all(isinstance(number, float) for column in columns for number in column)
    array = np.empty((len(columns), _size(of)), dtype=float if plain else object)
    for k, column in enumerate(columns):
        array[k] = column
    return np.ascontiguousarray(array.T).reshape(shape)
