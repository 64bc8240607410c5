"""The cost of k-means: each point's squared distance from the nearest of the centres.

Which centre is nearest is a branch on the data. Away from ties the cost is a sum of squares, its
gradient a sum of differences and its Hessian diagonal: twice the number of points of each centre.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

Number = Any
Array = Any  # numpy.ndarray, of float64 or of traced numbers


def function(centres: Array, points: Array) -> Number:
    """The sum over all points of the least squared distance."""
    cost: Number = 0.0
    for point in points:
        least = squared_distance(point, centres[0])
        for centre in centres[1:]:
            distance = squared_distance(point, centre)
            if distance < least:
                least = distance
        cost = cost + least
    return cost


def squared_distance(a: Array, b: Array) -> Number:
    """The sum of the squares of the differences."""
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def inputs(seed: int, size: int) -> tuple[Array, Array]:
    """As many centres as `size` in the plane, and four times as many points."""
    random = Random(seed)

    def normal(rows: int) -> Array:
        return np.array([[random.gauss(0, 1), random.gauss(0, 1)] for _ in range(rows)])

    return normal(size), normal(4 * size)


def nearest(centres: Array, points: Array) -> list[int]:
    """The number of each point's nearest centre: the path that `function` takes."""
    distances = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
    return [int(k) for k in distances.argmin(axis=1)]


def reference(centres: Array, points: Array) -> Array:
    """The gradient by the centres."""
    gradient = np.zeros_like(centres)
    for point, k in zip(points, nearest(centres, points), strict=True):
        gradient[k] += 2 * (centres[k] - point)
    return gradient


def diagonal_reference(centres: Array, points: Array) -> Array:
    """The diagonal of the Hessian, in the centres' shape."""
    counts = np.bincount(nearest(centres, points), minlength=len(centres))
    return np.repeat(2.0 * counts[:, None], centres.shape[1], axis=1)


def hessian_reference(centres: Array, points: Array) -> Array:
    """The whole Hessian, in the centres' shape twice."""
    diagonal = diagonal_reference(centres, points)
    return np.diag(diagonal.ravel()).reshape(*centres.shape, *centres.shape)
