"""The workloads' derivatives by hand agree with differences of the functions on plain floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from support.functions_workloads import (
    bundle_adjustment,
    hand_tracking,
    k_means,
    particle,
    runge_kutta,
    saddle,
)
from support.functions_workloads.cases import DERIVATIVES, HESSIANS, SEEDS, Derivative
from support.trees import Floats, Tree, flat, leaves, like

LOOSE = 1e-6  # relative to the largest entry: what differences of doubles can tell


def differences(
    function: Callable[..., Any], arguments: tuple[Any, ...], argnums: tuple[int, ...]
) -> Floats:
    """The Jacobian by central differences, all results by all of these arguments' numbers."""

    def at(numbers: Floats) -> Floats:
        replaced = like(tuple(arguments[k] for k in argnums), iter(numbers.tolist()))
        full = list(arguments)
        for k, argument in zip(argnums, replaced, strict=True):
            full[k] = argument
        return flat(function(*full))

    point = flat(tuple(arguments[k] for k in argnums))
    columns = []
    for k in range(len(point)):
        step = np.zeros_like(point)
        step[k] = 1e-5
        columns.append((at(point + step) - at(point - step)) / 2e-5)
    return np.stack(columns, axis=1)


def as_matrix(derivative: Tree, results: Tree, operands: Tree) -> Floats:
    """JAX's tree of derivatives, a leaf for each pair of leaves, as one matrix."""
    blocks = iter(leaves(derivative))
    return np.block(
        [
            [np.reshape(next(blocks), (np.size(y), np.size(x))) for x in leaves(operands)]
            for y in leaves(results)
        ]
    )


def argnums_of(one: Derivative) -> tuple[int, ...]:
    """As a tuple."""
    return one.argnums if isinstance(one.argnums, tuple) else (one.argnums,)


def assert_near(actual: Floats, expected: Floats) -> None:
    scale = float(np.abs(expected).max(initial=1.0))
    assert actual == pytest.approx(expected, rel=0, abs=LOOSE * scale)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("one", DERIVATIVES, ids=str)
def test_derivatives_by_hand_agree_with_differences(one: Derivative, seed: int) -> None:
    arguments = one.inputs(seed, one.sizes[-1])
    operands = tuple(arguments[k] for k in argnums_of(one))
    by_hand = as_matrix(one.reference(*arguments), one.function(*arguments), operands)
    assert_near(by_hand, differences(one.function, arguments, argnums_of(one)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("one", HESSIANS, ids=str)
def test_hessians_by_hand_agree_with_differences_of_gradients(one: Derivative, seed: int) -> None:
    gradient = next(d for d in DERIVATIVES if d.name == one.name)

    def first(*arguments: Any) -> Any:
        both = gradient.reference(*arguments)
        return both[0] if isinstance(both, tuple) else both

    arguments = one.inputs(seed, one.sizes[-1])
    by_hand = np.reshape(one.reference(*arguments), (arguments[0].size, -1))
    assert_near(by_hand, differences(first, arguments, (0,)))


def test_the_diagonal_of_k_means_is_that_of_its_hessian() -> None:
    arguments = k_means.inputs(0, 4)
    whole = k_means.hessian_reference(*arguments).reshape(8, 8)
    assert k_means.diagonal_reference(*arguments).ravel().tolist() == np.diag(whole).tolist()


def test_the_inputs_take_different_branches() -> None:
    paths = [k_means.nearest(*k_means.inputs(seed, 7)) for seed in SEEDS]
    assert len({tuple(path) for path in paths}) == len(paths)
    steps = {runge_kutta.steps(runge_kutta.inputs(0, size)[2]) for size in (1, 3)}
    assert len(steps) == 2
    for module, argument in [(bundle_adjustment, 0), (hand_tracking, 1)]:
        turned = [bool(np.ravel(module.inputs(seed, 2)[argument])[0]) for seed in SEEDS]
        assert turned == [False, True, False]


def test_the_structure_of_bundle_adjustment_is_where_its_jacobian_is_not_zero() -> None:
    found = set()
    for seed in (1, 3):
        cameras, points, weights, features, _ = bundle_adjustment.inputs(seed, 2)
        observations = [(0, 0), (0, 2), (1, 1), (1, 2), (1, 3)]
        arguments = cameras, points, weights, features, observations
        jacobian = as_matrix(
            bundle_adjustment.reference(*arguments),
            bundle_adjustment.function(*arguments),
            arguments[:3],
        )
        found |= {(int(i), int(j)) for i, j in zip(*np.nonzero(jacobian), strict=True)}
    assert found == bundle_adjustment.structure((2, 4), observations)


def test_the_row_of_all_residuals_has_them_in_order() -> None:
    cameras, points, weights, features, observations = bundle_adjustment.inputs(1, 2)
    row = bundle_adjustment.flat_function(
        flat((cameras, points, weights)), (2, 4), features, observations
    )
    expected = bundle_adjustment.function(cameras, points, weights, features, observations)
    assert row.tolist() == flat(expected).tolist()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", [1, 3])
def test_descents_end_at_the_saddle(seed: int, size: int) -> None:
    arguments = saddle.inputs(seed, size)
    found = saddle.reference(*arguments)
    assert found == pytest.approx(saddle.closed_form(*arguments), rel=0, abs=3e-5)


def by_differences(function: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient of a function of a list, by central differences."""
    return lambda x: differences(function, (x,), (0,))[0].tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_saddle_with_slopes_by_hand_is_the_one_with_differences(seed: int) -> None:
    arguments = saddle.inputs(seed, 1)
    found = saddle.function(*arguments, by_differences, by_differences)
    assert found == pytest.approx(saddle.reference(*arguments), rel=0, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_miss_and_its_derivatives_agree_with_differences(seed: int) -> None:
    w, start = particle.inputs(seed, 2)
    value = particle.miss(w, start, by_differences)
    assert value == pytest.approx(particle.miss_reference(w, start)[0], rel=1e-6)
    by_w = differences(lambda w: particle.miss_reference(w, start)[:2], (w,), (0,))[:, 0]
    assert by_w == pytest.approx(particle.miss_reference(w, start)[1:], rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", [1, 2])
def test_the_least_miss_is_none(seed: int, size: int) -> None:
    w, start = particle.inputs(seed, size)
    assert particle.miss_reference(particle.reference(w, start), start)[0] < 1e-20
