"""Optimizers, schedules and clipping do what PyTorch's do.

data/torch_optim.json holds that; make_optim_reference.py wrote it, and with torch installed
`pytest -m torch` computes it anew.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from support import make_optim_reference, training
from support.training import CLIPPED, LIMITS, NORMS, OPTIMIZERS, SCHEDULES

STORED: dict[str, Any] = json.loads(make_optim_reference.REFERENCE_FILE.read_text())
OURS = training.of_tapegrad()


def are_same(found: Any, expected: Any) -> bool:
    """Whether they are the same numbers to rounding, in lists of the same lengths."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            are_same(found[key], expected[key]) for key in expected
        )
    if isinstance(expected, list):
        pairs = zip(found, expected, strict=False)
        return len(found) == len(expected) and all(are_same(a, b) for a, b in pairs)
    if math.isnan(expected):
        return math.isnan(found)
    return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-14)


@pytest.mark.parametrize("k", range(len(OPTIMIZERS)), ids=lambda k: f"{k}-{OPTIMIZERS[k][0]}")
def test_an_optimizer_moves_parameters_as_pytorchs_does(k: int) -> None:
    found = training.trajectory(OURS, *OPTIMIZERS[k])
    assert are_same(found, STORED["optimizers"][k]), OPTIMIZERS[k]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_sets_the_rates_that_pytorchs_does(name: str) -> None:
    assert are_same(training.rates(OURS, SCHEDULES[name]), STORED["schedules"][name])


def test_one_cycle_cycles_the_first_beta_of_adam() -> None:
    found = training.rates(OURS, SCHEDULES["OneCycleLR"], "Adam")
    assert are_same(found, STORED["one cycle of Adam"])
    assert found[0][2] == 0.95 > found[8][2]


def test_gradients_are_clipped_by_norm_as_pytorch_does() -> None:
    cases = [(grads, *norm) for grads in CLIPPED for norm in NORMS]
    for case, expected in zip(cases, STORED["clipped"], strict=True):
        assert are_same(training.clipped(OURS, *case), expected), case


def test_gradients_are_clipped_by_value_as_pytorch_does() -> None:
    cases = [(grads, limit) for grads in CLIPPED for limit in LIMITS]
    for case, expected in zip(cases, STORED["limited"], strict=True):
        assert are_same(training.limited(OURS, *case), expected), case


def test_every_optimizer_and_schedule_is_compared() -> None:
    optim = OURS.optim
    optimizers = {name for name in optim.__all__ if isinstance(getattr(optim, name), type)}
    assert optimizers - {"Optimizer"} == {name for name, _ in OPTIMIZERS}
    schedules = {name for schedule in SCHEDULES.values() for name, _ in schedule}
    assert {*optim.lr_scheduler.__all__} - {"LRScheduler"} == schedules


@pytest.mark.torch
def test_pytorch_still_does_what_is_stored() -> None:
    pytest.importorskip("torch")
    recomputed = training.everything(training.of_torch())
    stored = {key: STORED[key] for key in recomputed}
    assert are_same(json.loads(json.dumps(recomputed)), stored)
    assert {"source", "made_by", *recomputed} == STORED.keys()
