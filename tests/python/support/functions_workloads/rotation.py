"""Turning a point by an axis-angle vector (Rodrigues' formula), and the derivatives of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import tapegrad

Number = Any
Floats = Any  # numpy.ndarray of float64


def cross(a: Sequence[Number], b: Sequence[Number]) -> list[Number]:
    """The vector product."""
    return [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]


def inner(a: Sequence[Number], b: Sequence[Number]) -> Number:
    """The scalar product."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def rotate(turn: Sequence[Number], point: Sequence[Number]) -> list[Number]:
    """The point turned about the direction of `turn` by its length, in radians."""
    squared = inner(turn, turn)
    across = cross(turn, point)
    if squared == 0:  # no direction to divide by: the formula's limit, right to first order
        return [p + c for p, c in zip(point, across, strict=True)]
    angle = tapegrad.sqrt(squared)
    cosine, sine = tapegrad.cos(angle), tapegrad.sin(angle)
    along = inner(turn, point) * (1 - cosine) / squared
    return [
        p * cosine + c * sine / angle + t * along
        for p, c, t in zip(point, across, turn, strict=True)
    ]


def skew(a: Floats) -> Floats:
    """The matrix that multiplies by a from the left, as a vector product."""
    return np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]], float)


def matrix(turn: Floats) -> Floats:
    """The matrix of `rotate`."""
    angle = np.linalg.norm(turn)
    if angle == 0:
        return np.eye(3)
    axis = skew(turn / angle)
    return np.eye(3) + np.sin(angle) * axis + (1 - np.cos(angle)) * axis @ axis


def turned_by_turn(turn: Floats, point: Floats) -> Floats:
    """The derivative of the turned point by the axis-angle vector, 3 x 3.

    By the product rule on cos(t) p + a (r x p) + b (r . p) r with t = |r|, a = sin(t) / t and
    b = (1 - cos(t)) / t^2, whose gradients by r are a' r and b' r.
    """
    angle = np.linalg.norm(turn)
    if angle == 0:
        return -skew(point)
    cosine, a, b = np.cos(angle), np.sin(angle) / angle, (1 - np.cos(angle)) / angle**2
    along = turn @ point
    by_length = (
        -a * point
        + (cosine - a) / angle**2 * np.cross(turn, point)
        + (a - 2 * b) / angle**2 * along * turn
    )
    by_direction = -a * skew(point) + b * (along * np.eye(3) + np.outer(turn, point))
    return np.outer(by_length, turn) + by_direction
