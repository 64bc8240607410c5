"""The workloads' derivatives, eager and compiled, are those that were worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad
from support.functions_workloads import bundle_adjustment, hand_tracking, k_means, particle
from support.functions_workloads.cases import (
    DERIVATIVES,
    HESSIANS,
    SEARCHES,
    SEEDS,
    Derivative,
    Search,
)
from support.trees import assert_close, flat

Transform = Callable[..., Any]

# How a transform of a function is called: as it is, its compiled form, or of a compiled function.
MODES: dict[str, Callable[[Transform, Callable[..., Any]], Callable[..., Any]]] = {
    "eager": lambda transform, f: transform(f),
    "compiled": lambda transform, f: tapegrad.compile(transform(f)),
    "of_compiled": lambda transform, f: transform(tapegrad.compile(f)),
}
# Gradients of functions of one argument, forward and reverse.
GRADIENTS: dict[str, Transform] = {
    "F": lambda f: tapegrad.jacfwd(f),
    "R": lambda f: tapegrad.grad(f),
}
PAIRS = ["FF", "FR", "RF", "RR"]

cases = pytest.mark.parametrize(
    ("one", "transform"),
    [
        pytest.param(one, transform, id=f"{one}-{transform}")
        for one in DERIVATIVES + HESSIANS
        for transform in one.transforms
    ],
)
modes = pytest.mark.parametrize("mode", MODES)


@modes
@cases
def test_derivatives_are_those_by_hand_on_every_path(
    one: Derivative, transform: str, mode: str
) -> None:
    def derivative_of(f: Callable[..., Any]) -> Any:
        return getattr(tapegrad, transform)(f, argnums=one.argnums)

    derivative = MODES[mode](derivative_of, one.function)
    for size in one.sizes:
        # The first inputs again, after others of the same form have taken other branches.
        for seed in [*SEEDS, SEEDS[0]]:
            arguments = one.inputs(seed, size)
            assert_close(derivative(*arguments), one.reference(*arguments))


@modes
@pytest.mark.parametrize("one", [d for d in DERIVATIVES if "grad" in d.transforms], ids=str)
def test_the_value_comes_with_the_gradient(one: Derivative, mode: str) -> None:
    both = MODES[mode](lambda f: tapegrad.value_and_grad(f, argnums=one.argnums), one.function)
    for seed in SEEDS:
        arguments = one.inputs(seed, one.sizes[0])
        value, gradient = both(*arguments)
        assert_close(value, float(one.function(*arguments)))
        assert_close(gradient, one.reference(*arguments))


@pytest.mark.parametrize("one", DERIVATIVES, ids=str)
def test_a_compiled_function_gives_what_it_gives_on_floats(one: Derivative) -> None:
    compiled = tapegrad.compile(one.function)
    for seed in [*SEEDS, SEEDS[0]]:
        arguments = one.inputs(seed, one.sizes[-1])
        assert flat(compiled(*arguments)) == pytest.approx(
            flat(one.function(*arguments)), rel=1e-12
        )


def test_every_path_of_k_means_is_recorded_once() -> None:
    compiled = tapegrad.compile(tapegrad.grad(k_means.function))
    for _ in range(2):
        for seed in SEEDS:
            compiled(*k_means.inputs(seed, 7))
        assert len(compiled.programs) == len(SEEDS)


@modes
def test_one_direction_gives_the_diagonal_of_the_hessian_of_k_means(mode: str) -> None:
    def diagonal_of(f: Callable[..., Any]) -> Any:
        def diagonal(centres: Any, points: Any) -> Any:
            def slope(centres: Any) -> Any:
                return tapegrad.grad(f)(centres, points)

            return tapegrad.jvp(slope, (centres,), (np.ones(centres.shape),))[1]

        return diagonal

    def product_of(f: Callable[..., Any]) -> Any:
        def product(centres: Any, points: Any) -> Any:
            ones = np.ones(centres.shape)
            return tapegrad.hvp(lambda centres: f(centres, points), (centres,), (ones,))

        return product

    diagonal, product = (MODES[mode](one, k_means.function) for one in (diagonal_of, product_of))
    for seed in [*SEEDS, SEEDS[0]]:
        arguments = k_means.inputs(seed, 7)
        assert_close(diagonal(*arguments), k_means.diagonal_reference(*arguments))
        assert_close(product(*arguments), k_means.diagonal_reference(*arguments))


@modes
def test_28_directions_make_the_jacobian_of_hand_tracking(mode: str) -> None:
    def move_of(f: Callable[..., Any]) -> Any:
        def move(step: Any, direction: Any, *rest: Any) -> Any:
            return tapegrad.jvp(lambda step: f(step, *rest), (step,), (direction,))[1]

        return move

    move = MODES[mode](move_of, hand_tracking.function)
    for seed in SEEDS:
        step, *rest = hand_tracking.inputs(seed, 4)
        columns = [move(step, direction, *rest) for direction in np.eye(hand_tracking.DIRECTIONS)]
        assert_close(np.stack(columns, axis=-1), hand_tracking.reference(step, *rest))


def test_the_sparse_jacobian_of_bundle_adjustment_has_its_structure() -> None:
    pytest.importorskip("scipy")
    for seed in (1, 3):
        cameras, points, weights, features, observations = bundle_adjustment.inputs(seed, 2)
        unknowns = cameras, points, weights
        row, arguments = flat(unknowns), ((2, 4), features, observations)

        def residuals(row: Any, arguments: Any = arguments) -> Any:
            return bundle_adjustment.flat_function(row, *arguments)

        by_hand = bundle_adjustment.reference(*unknowns, features, observations)
        blocks = [
            [np.reshape(b, (-1, x.size)) for b, x in zip(one, unknowns, strict=True)]
            for one in by_hand
        ]
        expected: Any = np.block(blocks)
        assert_close(tapegrad.jacobian(residuals)(row), expected)
        sparse = tapegrad.jacobian(residuals, sparse=True)(row)
        assert_close(sparse.toarray(), expected)
        found = {(int(i), int(j)) for i, j in zip(*sparse.nonzero(), strict=True)}
        assert found == bundle_adjustment.structure((2, 4), observations)


@modes
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("one", SEARCHES, ids=str)
def test_searches_that_differentiate_end_where_those_by_hand_do(
    one: Search, pair: str, mode: str
) -> None:
    outer, inner = (GRADIENTS[letter] for letter in pair)

    def search_with(objective: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: one.function(*arguments, outer, inner, objective)

    search = MODES[mode](search_with, one.objective)
    for size in one.sizes:
        for seed in (0, 1, 0):
            arguments = one.inputs(seed, size)
            assert_close(search(*arguments), one.reference(*arguments))


@modes
@pytest.mark.parametrize("pair", PAIRS)
def test_the_miss_is_differentiated_twice_around_the_potential(pair: str, mode: str) -> None:
    outer, inner = (GRADIENTS[letter] for letter in pair)

    def slopes_of(potential: Callable[..., Any]) -> Callable[..., Any]:
        def slopes(w: Any, start: Any) -> Any:
            def miss(w: Any) -> Any:
                return particle.miss(w, start, inner, potential)

            return [miss(w), outer(miss)(w), outer(outer(miss))(w)]

        return slopes

    slopes = MODES[mode](slopes_of, particle.potential)
    for seed in [*SEEDS, SEEDS[0]]:
        arguments = particle.inputs(seed, 2)
        assert_close(slopes(*arguments), particle.miss_reference(*arguments).tolist())
