"""The determinant by Laplace's expansion along rows; its gradient is the matrix of cofactors."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

Number = Any
Array = Any  # numpy.ndarray, of float64 or of traced numbers


def function(square: Array) -> Number:
    """The determinant, by as many products as permutations."""
    return expanded(square, list(range(len(square))))


def expanded(rows: Array, columns: list[int]) -> Number:
    """The determinant of the last rows in these columns, as many as there are."""
    if len(columns) == 1:
        return rows[-1][columns[0]]
    first = rows[-len(columns)]
    total: Number = 0.0
    for k, column in enumerate(columns):
        term = first[column] * expanded(rows, columns[:k] + columns[k + 1 :])
        total = total - term if k % 2 else total + term
    return total


def inputs(seed: int, size: int) -> tuple[Array]:
    """A square matrix of `size` rows; an odd seed's last is the sum of the others: singular."""
    random = Random(seed)
    square = np.array([[random.gauss(0, 1) for _ in range(size)] for _ in range(size)])
    if seed % 2:
        square[-1] = square[:-1].sum(axis=0)
    return (square,)


def reference(square: Array) -> Array:
    """The matrix of cofactors, which needs no inverse."""
    size = len(square)
    return np.array([[signed_minor(square, [i], [j]) for j in range(size)] for i in range(size)])


def hessian_reference(square: Array) -> Array:
    """The second derivatives: signed minors without two rows and two columns."""
    size = len(square)
    hessian = np.zeros((size,) * 4)
    for i, j, k, m in np.ndindex(*hessian.shape):
        if i != k and j != m:
            order = 1 if (i < k) == (j < m) else -1
            hessian[i, j, k, m] = order * signed_minor(square, [i, k], [j, m])
    return hessian


def signed_minor(square: Array, rows: list[int], columns: list[int]) -> float:
    """The determinant without these rows and columns, with the sign of their places."""
    rest = np.delete(np.delete(square, rows, axis=0), columns, axis=1)
    sign = -1.0 if (sum(rows) + sum(columns)) % 2 else 1.0
    return sign * float(np.linalg.det(rest))
