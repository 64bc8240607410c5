"""The derivatives that are asked of the workloads, each beside its function and its reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from support.functions_workloads import (
    bundle_adjustment,
    determinant,
    gaussian_mixture,
    hand_tracking,
    k_means,
    least_squares,
    log_sum_exp,
    lstm,
    particle,
    runge_kutta,
    saddle,
)

GRADIENT = ("grad", "jacobian", "jacrev", "jacfwd")
JACOBIAN = ("jacobian", "jacrev", "jacfwd")
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Derivative:
    """A derivative, and the transforms of tapegrad that take it."""

    name: str
    function: Callable[..., Any]
    inputs: Callable[[int, int], tuple[Any, ...]]
    reference: Callable[..., Any]
    transforms: tuple[str, ...]
    argnums: int | tuple[int, ...] = 0
    sizes: tuple[int, ...] = (1, 3)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Search:
    """A function that differentiates, with its transforms as its last two arguments."""

    name: str
    function: Callable[..., Any]
    inputs: Callable[[int, int], tuple[Any, ...]]
    reference: Callable[..., Any]
    objective: Callable[..., Any]
    sizes: tuple[int, ...]

    def __str__(self) -> str:
        return self.name


DERIVATIVES = (
    Derivative(
        "gaussian_mixture",
        gaussian_mixture.function,
        gaussian_mixture.inputs,
        gaussian_mixture.reference,
        GRADIENT,
    ),
    Derivative(
        "bundle_adjustment",
        bundle_adjustment.function,
        bundle_adjustment.inputs,
        bundle_adjustment.reference,
        JACOBIAN,
        argnums=(0, 1, 2),
    ),
    Derivative(
        "hand_tracking",
        hand_tracking.function,
        hand_tracking.inputs,
        hand_tracking.reference,
        JACOBIAN,
        sizes=(2, 12),
    ),
    Derivative("lstm", lstm.function, lstm.inputs, lstm.reference, GRADIENT),
    Derivative(
        "runge_kutta",
        runge_kutta.function,
        runge_kutta.inputs,
        runge_kutta.reference,
        GRADIENT,
        argnums=(0, 1),
    ),
    Derivative(
        "runge_kutta_chain",
        runge_kutta.chain,
        runge_kutta.chain_inputs,
        runge_kutta.chain_reference,
        JACOBIAN,
        sizes=(1, 4),
    ),
    Derivative(
        "k_means",
        k_means.function,
        k_means.inputs,
        k_means.reference,
        GRADIENT,
        sizes=(2, 7),
    ),
    Derivative(
        "determinant",
        determinant.function,
        determinant.inputs,
        determinant.reference,
        GRADIENT,
        sizes=(3, 5),
    ),
    Derivative(
        "log_sum_exp",
        log_sum_exp.function,
        log_sum_exp.inputs,
        log_sum_exp.reference,
        GRADIENT,
        sizes=(2, 20),
    ),
    Derivative(
        "log_sum_exp_operation",
        log_sum_exp.by_operation,
        log_sum_exp.inputs,
        log_sum_exp.reference,
        GRADIENT,
        sizes=(2, 20),
    ),
    Derivative(
        "least_squares",
        least_squares.function,
        least_squares.inputs,
        least_squares.reference,
        GRADIENT,
        argnums=(0, 1, 2),
        sizes=(2, 5),
    ),
)

HESSIANS = (
    Derivative(
        "k_means",
        k_means.function,
        k_means.inputs,
        k_means.hessian_reference,
        ("hessian",),
        sizes=(2, 4),
    ),
    Derivative(
        "determinant",
        determinant.function,
        determinant.inputs,
        determinant.hessian_reference,
        ("hessian",),
        sizes=(3, 4),
    ),
    Derivative(
        "log_sum_exp",
        log_sum_exp.function,
        log_sum_exp.inputs,
        log_sum_exp.hessian_reference,
        ("hessian",),
        sizes=(2, 6),
    ),
    Derivative(
        "least_squares",
        least_squares.function,
        least_squares.inputs,
        least_squares.hessian_reference,
        ("hessian",),
        sizes=(2, 5),
    ),
)

SEARCHES = (
    Search("saddle", saddle.function, saddle.inputs, saddle.reference, saddle.payoff, sizes=(1, 3)),
    Search(
        "particle",
        particle.function,
        particle.inputs,
        particle.reference,
        particle.potential,
        sizes=(1, 2),
    ),
)
