"""Linear least squares: half of the squared length of A x - b."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

Number = Any
Array = Any  # numpy.ndarray, of float64 or of traced numbers


def function(x: Array, a: Array, b: Array) -> Number:
    """The cost at x, by matrix products of NumPy's."""
    residuals = a @ x - b
    return 0.5 * (residuals @ residuals)


def inputs(seed: int, size: int) -> tuple[Array, Array, Array]:
    """As many unknowns as `size`, and twice as many equations."""
    random = Random(seed)

    def normal(*shape: int) -> Array:
        return np.array([random.gauss(0, 1) for _ in range(int(np.prod(shape)))]).reshape(shape)

    return normal(size), normal(2 * size, size), normal(2 * size)


def reference(x: Array, a: Array, b: Array) -> tuple[Array, Array, Array]:
    """The gradient by all three."""
    residuals = a @ x - b
    return a.T @ residuals, np.outer(residuals, x), -residuals


def hessian_reference(x: Array, a: Array, b: Array) -> Array:
    """The Hessian by x."""
    return a.T @ a
