"""Nested containers of numbers and arrays, as JAX's trees: what derivatives come in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

Tree = Any  # numbers and arrays in lists, tuples and dicts
Floats = Any  # numpy.ndarray of float64


def leaves(tree: Tree) -> list[Any]:
    """The numbers and arrays, from left to right."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list | tuple):
        return [leaf for branch in tree for leaf in leaves(branch)]
    return [tree]


def flat(tree: Tree) -> Floats:
    """All numbers in one row."""
    return np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in leaves(tree)])


def like(tree: Tree, numbers: Iterator[float]) -> Tree:
    """A tree of the same form with these numbers."""
    if isinstance(tree, dict):
        return {key: like(branch, numbers) for key, branch in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(like(branch, numbers) for branch in tree)
    if isinstance(tree, np.ndarray):
        return np.array([next(numbers) for _ in range(tree.size)]).reshape(tree.shape)
    return next(numbers)


def form(tree: Tree) -> Tree:
    """The containers, with the type of each number and the shape of each array."""
    if isinstance(tree, dict):
        return {key: form(branch) for key, branch in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(form(branch) for branch in tree)
    if isinstance(tree, np.ndarray):
        return tree.shape
    return float if isinstance(tree, float) else type(tree)  # numpy.float64 is one


def assert_close(actual: Tree, expected: Tree, rel: float = 1e-9) -> None:
    """The same containers, and the same numbers to `rel`, small ones to `rel` of the largest."""
    assert form(actual) == form(expected)
    numbers = flat(expected)
    scale = float(np.abs(numbers).max(initial=0.0))
    assert flat(actual) == pytest.approx(numbers, rel=rel, abs=rel * scale * 1e-3)
