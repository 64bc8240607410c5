"""The logarithm of a sum of exponentials: its gradient is softmax, whatever is taken out first."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

import tapegrad

Number = Any
Array = Any  # numpy.ndarray, of float64 or of traced numbers


def function(xs: Array) -> Number:
    """By hand, the largest taken out: which one that is is a branch on the data."""
    largest = max(xs)
    return largest + tapegrad.log(sum(tapegrad.exp(x - largest) for x in xs))


def by_operation(xs: Array) -> Number:
    """The same in one operation of the table."""
    return tapegrad.logsumexp(list(xs))


def inputs(seed: int, size: int) -> tuple[Array]:
    """A row of `size` numbers, so large that their exponentials overflow."""
    random = Random(seed)
    return (np.array([1000 + random.gauss(0, 2) for _ in range(size)]),)


def reference(xs: Array) -> Array:
    """Softmax."""
    weights = np.exp(xs - xs.max())
    return weights / weights.sum()


def hessian_reference(xs: Array) -> Array:
    """The covariance of a draw with these probabilities."""
    p = reference(xs)
    return np.diag(p) - np.outer(p, p)
