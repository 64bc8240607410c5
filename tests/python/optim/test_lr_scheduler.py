"""Schedules: state, errors, going on; the rates themselves are compared in test_optim_torch."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from support import training
from support.training import (
    SCHEDULES,
    Schedule,
    make_optimizer,
    make_schedule,
    rates_now,
    step_schedule,
)
from tapegrad import Value, optim
from tapegrad.optim import lr_scheduler

OURS = training.of_tapegrad()
MEASURES = [1.0, 0.9, 0.95, 0.97, 0.99, 0.5, 0.6, 0.61, 0.62, 0.1, 0.3, 0.2]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


def sgd(**options: Any) -> optim.SGD:
    return optim.SGD([Value(1.0)], **{"lr": 1.0, **options})


def go_on(optimizer: optim.Optimizer, schedulers: list[Any], steps: list[float]) -> Any:
    """The rates and momenta after each epoch."""
    rows = []
    for measure in steps:
        optimizer.step()
        for scheduler in schedulers:
            step_schedule(scheduler, measure)
        rows.append([*rates_now(optimizer), *(x for s in schedulers for x in s.get_last_lr())])
    return rows


@every_schedule
def test_training_goes_on_from_state_dicts_through_json(schedule: Schedule) -> None:
    optimizer = make_optimizer(OURS)
    schedulers = make_schedule(OURS, optimizer, schedule)
    go_on(optimizer, schedulers, MEASURES)
    saved = json.dumps([optimizer.state_dict(), [s.state_dict() for s in schedulers]])
    expected = go_on(optimizer, schedulers, MEASURES)
    twin = make_optimizer(OURS)
    twins = make_schedule(OURS, twin, schedule)
    of_optimizer, of_schedulers = json.loads(saved)
    twin.load_state_dict(of_optimizer)
    for scheduler, state in zip(twins, of_schedulers, strict=True):
        scheduler.load_state_dict(state)
    assert go_on(twin, twins, MEASURES) == expected
    assert [s.state_dict() for s in twins] == [s.state_dict() for s in schedulers]


@every_schedule
def test_a_pickle_of_optimizer_and_schedule_goes_on_alike(schedule: Schedule) -> None:
    optimizer = make_optimizer(OURS)
    schedulers = make_schedule(OURS, optimizer, schedule)
    go_on(optimizer, schedulers, MEASURES)
    twin, twins = pickle.loads(pickle.dumps((optimizer, schedulers)))
    assert twins[0].optimizer is twin
    assert go_on(twin, twins, MEASURES) == go_on(optimizer, schedulers, MEASURES)


@every_schedule
def test_a_state_dict_is_a_copy(schedule: Schedule) -> None:
    optimizer = make_optimizer(OURS)
    schedulers = make_schedule(OURS, optimizer, schedule)
    before = [json.dumps(s.state_dict()) for s in schedulers]
    saved = [s.state_dict() for s in schedulers]
    go_on(optimizer, schedulers, MEASURES)
    assert [json.dumps(state) for state in saved] == before


def test_the_state_of_another_schedule_is_refused() -> None:
    scheduler = lr_scheduler.StepLR(sgd(), 3)
    before = scheduler.state_dict()
    with pytest.raises(ValueError, match=r"not of a StepLR: see 'T_max', .*'step_size'"):
        scheduler.load_state_dict(lr_scheduler.CosineAnnealingLR(sgd(), 3).state_dict())
    assert scheduler.state_dict() == before


def test_a_function_with_attributes_is_saved_by_them() -> None:
    class Falling:
        def __init__(self, rate: float) -> None:
            self.rate = rate

        def __call__(self, epoch: int) -> float:
            return self.rate**epoch

    saved = lr_scheduler.LambdaLR(sgd(), [Falling(0.5)]).state_dict()
    assert saved["lr_lambdas"] == [{"rate": 0.5}]
    scheduler = lr_scheduler.LambdaLR(sgd(), Falling(0.9))
    scheduler.load_state_dict(saved)
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5]
    assert lr_scheduler.LambdaLR(sgd(), math.exp).state_dict()["lr_lambdas"] == [None]


def test_a_schedule_may_be_made_for_an_optimizer_that_was_scheduled_before() -> None:
    optimizer = sgd()
    first = lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
    for _ in range(4):
        first.step()
    second = lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch), last_epoch=4)
    assert second.last_epoch == 5
    assert second.get_last_lr() == [1 / 6]
    with pytest.raises(ValueError, match="last_epoch is 4, but param_groups"):
        lr_scheduler.StepLR(sgd(), 3, last_epoch=4)


def test_warm_restarts_may_be_given_the_epoch_with_its_fraction() -> None:
    def whole() -> Any:
        return lr_scheduler.CosineAnnealingWarmRestarts(sgd(), T_0=2, T_mult=3)

    stepped, told = whole(), whole()
    for epoch in range(1, 30):
        stepped.step()
        told.step(epoch)
        assert told.get_last_lr() == pytest.approx(stepped.get_last_lr())
    told.step(2.5)
    assert told.get_last_lr() == pytest.approx([(1 + math.cos(math.pi * 0.5 / 6)) / 2])
    with pytest.raises(ValueError, match="epoch must be 0 or more, not -1"):
        told.step(-1)


def test_one_cycle_ends() -> None:
    scheduler = lr_scheduler.OneCycleLR(sgd(momentum=0.9), max_lr=1.0, total_steps=5)
    for _ in range(5):
        scheduler.step()
    state = scheduler.state_dict()
    for _ in range(2):
        with pytest.raises(ValueError, match="all of the 5 steps of the cycle are done"):
            scheduler.step()
    assert scheduler.state_dict() == state


def test_one_cycle_may_begin_at_its_height() -> None:
    scheduler = lr_scheduler.OneCycleLR(sgd(), max_lr=1.0, total_steps=10, pct_start=0.1)
    assert scheduler.get_last_lr() == [1.0]


def test_a_plateau_of_nan_is_one() -> None:
    scheduler = lr_scheduler.ReduceLROnPlateau(sgd(), patience=1)
    for _ in range(2):
        scheduler.step(math.nan)
    assert scheduler.get_last_lr() == [0.1]
    assert not scheduler.in_cooldown


def test_a_group_added_later_is_reduced_too() -> None:
    optimizer = sgd()
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=0.05)
    optimizer.add_param_group({"params": [Value(1.0)], "lr": 0.2})
    for _ in range(3):
        scheduler.step(1.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05]


def test_a_measure_may_be_anything_with_a_float() -> None:
    scheduler = lr_scheduler.ReduceLROnPlateau(sgd())
    scheduler.step(True)
    with pytest.raises(TypeError, match=r"use v\.data"):
        scheduler.step(Value(1.0))  # type: ignore[arg-type]
    assert scheduler.last_epoch == 1


def test_schedules_in_sequence_may_be_nested() -> None:
    optimizer = sgd()
    inner = lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.ConstantLR(optimizer, 0.5, 99), lr_scheduler.ExponentialLR(optimizer, 0.5)],
        milestones=[2],
    )
    outer = lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.ConstantLR(optimizer, 0.25, 99), inner], milestones=[1]
    )
    found = outer.get_last_lr()
    for _ in range(5):
        outer.step()
        found = found + outer.get_last_lr()
    assert found == [0.25, 0.5, 0.5, 1.0, 0.5, 0.25]


def sequence(*schedulers: Any, milestones: list[int]) -> lr_scheduler.SequentialLR:
    optimizer = sgd()
    made = [make(optimizer) for make in schedulers]
    return lr_scheduler.SequentialLR(optimizer, made, milestones)


def step_lr(optimizer: optim.Optimizer) -> Any:
    return lr_scheduler.StepLR(optimizer, 3)


WRONG: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "no optimizer": (
        lambda: lr_scheduler.StepLR([], 3),  # type: ignore[arg-type]
        TypeError,
        "optimizer must be an Optimizer, not 'list'",
    ),
    "step_size": (lambda: lr_scheduler.StepLR(sgd(), 0), ValueError, "step_size must be 1 or more"),
    "T_max": (lambda: lr_scheduler.CosineAnnealingLR(sgd(), 0), ValueError, "T_max must be 1"),
    "T_0": (
        lambda: lr_scheduler.CosineAnnealingWarmRestarts(sgd(), 1.5),  # type: ignore[arg-type]
        TypeError,
        "T_0 must be an int, not 'float'",
    ),
    "ConstantLR": (lambda: lr_scheduler.ConstantLR(sgd(), 1.5), ValueError, "from 0 to 1"),
    "start_factor": (lambda: lr_scheduler.LinearLR(sgd(), 0.0), ValueError, "start_factor"),
    "end_factor": (lambda: lr_scheduler.LinearLR(sgd(), 1.0, -1.0), ValueError, "end_factor"),
    "lambdas": (
        lambda: lr_scheduler.LambdaLR(sgd(), [math.exp, math.sin]),
        ValueError,
        "lr_lambda has 2 functions for 1 param_groups",
    ),
    "steps": (lambda: lr_scheduler.OneCycleLR(sgd(), 1.0), ValueError, "total_steps is needed"),
    "epochs": (
        lambda: lr_scheduler.OneCycleLR(sgd(), 1.0, epochs=0, steps_per_epoch=3),
        ValueError,
        "epochs must be 1 or more, not 0",
    ),
    "pct_start": (
        lambda: lr_scheduler.OneCycleLR(sgd(), 1.0, 9, pct_start=2.0),
        ValueError,
        "pct_start must be from 0 to 1",
    ),
    "strategy": (
        lambda: lr_scheduler.OneCycleLR(sgd(), 1.0, 9, anneal_strategy="cosine"),  # type: ignore[arg-type]
        ValueError,
        "'cos' or 'linear', not 'cosine'",
    ),
    "rates": (
        lambda: lr_scheduler.OneCycleLR(sgd(), [1.0, 2.0], 9),
        ValueError,
        "max_lr has 2 numbers for 1 param_groups",
    ),
    "momentum": (
        lambda: lr_scheduler.OneCycleLR(optim.Adagrad([Value(1.0)]), 1.0, 9),
        ValueError,
        "Adagrad has neither momentum nor betas",
    ),
    "factor": (
        lambda: lr_scheduler.ReduceLROnPlateau(sgd(), factor=1.0),
        ValueError,
        "factor must be below 1",
    ),
    "mode": (
        lambda: lr_scheduler.ReduceLROnPlateau(sgd(), "low"),  # type: ignore[arg-type]
        ValueError,
        "mode must be 'min' or 'max', not 'low'",
    ),
    "no schedule": (
        lambda: sequence(lambda _: None, milestones=[]),
        TypeError,
        r"schedulers\[0\] must be an LRScheduler, not 'NoneType'",
    ),
    "no schedules": (lambda: sequence(milestones=[]), ValueError, "schedulers is empty"),
    "milestones": (lambda: sequence(step_lr, milestones=[1]), ValueError, "need 0 milestones"),
    "plateau": (
        lambda: sequence(lr_scheduler.ReduceLROnPlateau, milestones=[]),
        ValueError,
        "needs a measure",
    ),
    "another": (
        lambda: sequence(lambda _: step_lr(sgd()), milestones=[]),
        ValueError,
        "of another optimizer",
    ),
    "no rule": (
        lambda: lr_scheduler.LRScheduler(sgd()),
        NotImplementedError,
        "LRScheduler defines no get_lr",
    ),
}


@pytest.mark.parametrize(("make", "error", "message"), WRONG.values(), ids=WRONG)
def test_what_makes_no_sense_is_named(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()
