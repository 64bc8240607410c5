"""The log likelihood of a mixture of Gaussians, with a Wishart prior on its precisions.

As in Bishop, Pattern Recognition and Machine Learning, 9.2: component k has the weight
softmax(a)_k, the mean m_k and the precision Q'Q, where Q is lower triangular with diagonal exp(q).
"""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np

import tapegrad

Number = Any

PRECISION_SCALE = 0.7  # of the prior: how much it pulls Q to zero
PRECISION_EXCESS = 2  # of the prior: degrees of freedom beyond the least


def function(mixture: dict[str, Any], points: list[list[float]]) -> Number:
    """The log density of the points and of the precisions."""
    weights, scales, lowers = mixture["weights"], mixture["scales"], mixture["lowers"]
    log_volumes = [sum(q) for q in scales]
    total: Number = -0.5 * len(points) * len(points[0]) * math.log(2 * math.pi)
    for point in points:
        total = total + tapegrad.logsumexp(
            [
                weight + log_volume - 0.5 * squared_length(whitened(point, mean, q, lower))
                for weight, log_volume, mean, q, lower in zip(
                    weights, log_volumes, mixture["means"], scales, lowers, strict=True
                )
            ]
        )
    total = total - len(points) * tapegrad.logsumexp(weights)
    for q, lower, log_volume in zip(scales, lowers, log_volumes, strict=True):
        size = sum(tapegrad.exp(2 * s) for s in q) + sum(squared_length(row) for row in lower)
        total = total + PRECISION_EXCESS * log_volume - 0.5 * PRECISION_SCALE**2 * size
    return total


def squared_length(xs: list[Number]) -> Number:
    """The sum of the squares; zero of nothing."""
    return sum(x * x for x in xs)


def whitened(
    point: list[float], mean: list[Number], scale: list[Number], lower: list[list[Number]]
) -> list[Number]:
    """Q (point - mean)."""
    centred = [x - m for x, m in zip(point, mean, strict=True)]
    return [
        tapegrad.exp(scale[j]) * centred[j]
        + sum(c * x for c, x in zip(lower[j], centred[:j], strict=True))
        for j in range(len(point))
    ]


def inputs(seed: int, size: int) -> tuple[dict[str, Any], list[list[float]]]:
    """A mixture of `size` components in size + 1 dimensions, and 5 * size points."""
    random = Random(seed)
    dimensions = size + 1

    def normal(count: int) -> list[float]:
        return [random.gauss(0, 1) for _ in range(count)]

    mixture = {
        "weights": normal(size),
        "means": [normal(dimensions) for _ in range(size)],
        "scales": [normal(dimensions) for _ in range(size)],
        "lowers": [[normal(j) for j in range(dimensions)] for _ in range(size)],
    }
    return mixture, [normal(dimensions) for _ in range(5 * size)]


def reference(mixture: dict[str, Any], points: list[list[float]]) -> dict[str, Any]:
    """The gradient by the mixture: responsibilities times each component's own gradient."""
    x, weights, means = np.array(points), np.array(mixture["weights"]), np.array(mixture["means"])
    factors = [
        np.diag(np.exp(q)) + strictly_lower(lower)
        for q, lower in zip(mixture["scales"], mixture["lowers"], strict=True)
    ]
    centred = [x - mean for mean in means]
    white = [c @ factor.T for c, factor in zip(centred, factors, strict=True)]
    scores = np.array(
        [
            weight + sum(q) - 0.5 * (w * w).sum(axis=1)
            for weight, q, w in zip(weights, mixture["scales"], white, strict=True)
        ]
    )
    shares = softmax(scores)
    gradient: dict[str, Any] = {
        "weights": (shares.sum(axis=1) - len(x) * softmax(weights)).tolist(),
        "means": [],
        "scales": [],
        "lowers": [],
    }
    for share, c, w, factor in zip(shares, centred, white, factors, strict=True):
        by_factor = -(share[:, None] * w).T @ c - PRECISION_SCALE**2 * factor
        by_scale = share.sum() + PRECISION_EXCESS + np.diag(factor) * np.diag(by_factor)
        gradient["means"].append((share @ w @ factor).tolist())
        gradient["scales"].append(by_scale.tolist())
        gradient["lowers"].append([by_factor[j, :j].tolist() for j in range(len(factor))])
    return gradient


def strictly_lower(rows: list[list[float]]) -> Any:
    """The square matrix with these rows under its diagonal."""
    square = np.zeros((len(rows), len(rows)))
    for j, row in enumerate(rows):
        square[j, :j] = row
    return square


def softmax(scores: Any) -> Any:
    """Along the first axis."""
    weights = np.exp(scores - scores.max(axis=0))
    return weights / weights.sum(axis=0)
