"""Reprojection and weight residuals of bundle adjustment: cameras that look at points.

A camera has eleven numbers: its turn (axis-angle), its centre, its focal length, its principal
point and two coefficients of radial distortion. Each observation of a point by a camera has a
weight w, two residuals w * (projection - feature) and one residual 1 - w^2.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from support.functions_workloads.rotation import matrix, rotate, turned_by_turn

Number = Any
Array = Any  # numpy.ndarray, of float64 or of traced numbers
Observations = list[tuple[int, int]]

CAMERA = 11
POINT = 3


def function(
    cameras: Array, points: Array, weights: Array, features: Array, observations: Observations
) -> tuple[Array, Array]:
    """The residuals of reprojection (observations x 2) and those of the weights."""
    reprojections = [
        [weights[k] * (p - f) for p, f in zip(seen, features[k], strict=True)]
        for k, (camera, point) in enumerate(observations)
        for seen in [projected(cameras[camera], points[point])]
    ]
    return np.array(reprojections), np.array([1 - w * w for w in weights])


def projected(camera: Array, point: Array) -> list[Number]:
    """Where the camera sees the point, in its image."""
    x, y, z = rotate(camera[0:3], [p - c for p, c in zip(point, camera[3:6], strict=True)])
    x, y = x / z, y / z
    squared = x * x + y * y
    distorted = camera[6] * (1 + squared * (camera[9] + squared * camera[10]))
    return [distorted * x + camera[7], distorted * y + camera[8]]


def inputs(seed: int, size: int) -> tuple[Array, Array, Array, Array, Observations]:
    """As many cameras as `size`, twice as many points, about half of the pairs observed.

    The first camera of an even seed has no turn at all, which takes the other branch of `rotate`.
    """
    random = Random(seed)

    def normal(*shape: int) -> Array:
        return np.array([random.gauss(0, 1) for _ in range(int(np.prod(shape)))]).reshape(shape)

    cameras = 0.2 * normal(size, CAMERA)
    cameras[:, 5] -= 6.0  # centres well before the points
    cameras[:, 6] += 2.0
    if seed % 2 == 0:
        cameras[0, 0:3] = 0.0
    points = normal(2 * size, POINT)
    pairs = [(i, j) for i in range(size) for j in range(2 * size)]
    observations = sorted(random.sample(pairs, size * size + 1))
    count = len(observations)
    return cameras, points, 1 + normal(count), normal(count, 2), observations


def reference(
    cameras: Array, points: Array, weights: Array, features: Array, observations: Observations
) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    """The Jacobians of both residuals by cameras, points and weights; most blocks are zero."""
    count = len(observations)
    by_cameras = np.zeros((count, 2, *cameras.shape))
    by_points = np.zeros((count, 2, *points.shape))
    by_weights = np.zeros((count, 2, count))
    for k, (i, j) in enumerate(observations):
        seen, by_camera, by_point = projection_derivatives(cameras[i], points[j])
        by_cameras[k, :, i] = weights[k] * by_camera
        by_points[k, :, j] = weights[k] * by_point
        by_weights[k, :, k] = seen - features[k]
    flat = np.zeros((count, *cameras.shape)), np.zeros((count, *points.shape))
    return (by_cameras, by_points, by_weights), (*flat, np.diag(-2 * weights))


def projection_derivatives(camera: Array, point: Array) -> tuple[Array, Array, Array]:
    """The projection of a point, its derivatives by the camera (2 x 11) and the point (2 x 3)."""
    turn, centre, focal, principal, (k1, k2) = np.split(camera, [3, 6, 7, 9])
    turned = matrix(turn) @ (point - centre)
    flat = turned[:2] / turned[2]
    squared = flat @ flat
    stretch = 1 + k1 * squared + k2 * squared**2
    by_flat = focal * (stretch * np.eye(2) + 2 * (k1 + 2 * k2 * squared) * np.outer(flat, flat))
    by_turned = by_flat @ np.column_stack([np.eye(2), -flat]) / turned[2]
    by_point = by_turned @ matrix(turn)
    by_camera = np.column_stack(
        [
            by_turned @ turned_by_turn(turn, point - centre),
            -by_point,
            stretch * flat,
            np.eye(2),
            focal * squared * flat,
            focal * squared**2 * flat,
        ]
    )
    return focal * stretch * flat + principal, by_camera, by_point


def flat_function(
    unknowns: Array, shape: tuple[int, int], features: Array, observations: Observations
) -> Array:
    """All residuals in one row, by all unknowns in one row: cameras, then points, then weights."""
    cameras, points, weights = split(unknowns, shape)
    reprojections, regularity = function(cameras, points, weights, features, observations)
    return np.concatenate([reprojections.ravel(), regularity])


def split(unknowns: Array, shape: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Cameras, points and weights of a row of unknowns; `shape` counts cameras and points."""
    cameras, points = shape
    ends = [cameras * CAMERA, cameras * CAMERA + points * POINT]
    first, second, weights = np.split(unknowns, ends)
    return first.reshape(cameras, CAMERA), second.reshape(points, POINT), weights


def structure(shape: tuple[int, int], observations: Observations) -> set[tuple[int, int]]:
    """Row and column of every entry of `flat_function`'s Jacobian that is not always zero."""
    cameras, points = shape
    first_point, first_weight = cameras * CAMERA, cameras * CAMERA + points * POINT
    entries = set()
    for k, (i, j) in enumerate(observations):
        # A coordinate of the image does not depend on the principal point's other coordinate.
        for row, elsewhere in [(2 * k, 8), (2 * k + 1, 7)]:
            entries |= {(row, i * CAMERA + c) for c in range(CAMERA) if c != elsewhere}
            entries |= {(row, first_point + j * POINT + c) for c in range(POINT)}
            entries.add((row, first_weight + k))
        entries.add((2 * len(observations) + k, first_weight + k))
    return entries
