"""Programs of optimizers, schedules and clipping that run alike on tapegrad and on PyTorch."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Options = dict[str, Any]

PARAMETERS = 5
STEPS = 12
EPOCHS = 26

# Optimizers with options that change what they compute.
OPTIMIZERS: list[tuple[str, Options]] = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}),
    ("Adam", {"lr": 0.1, "betas": (0.0, 0.0)}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.2}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "betas": (0.9, 0.5)}),
    ("Adam", {"lr": 0.1, "maximize": True, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5, "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.5, "eps": 1e-2, "weight_decay": 0.2}),
    ("RMSprop", {"lr": 0.05, "momentum": 0.9, "maximize": True}),
    ("RMSprop", {"lr": 0.05, "centered": True, "alpha": 0.9}),
    ("RMSprop", {"lr": 0.05, "centered": True, "momentum": 0.5, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.5, "lr_decay": 0.1, "weight_decay": 0.2}),
    ("Adagrad", {"lr": 0.5, "initial_accumulator_value": 0.3, "eps": 1e-2, "maximize": True}),
]


def _step_size(epoch: int) -> float:
    return 1.0 / math.sqrt(1 + epoch)


# A schedule, or several that are stepped together.
Schedule = list[tuple[str, Options]]
SCHEDULES: dict[str, Schedule] = {
    "LambdaLR": [("LambdaLR", {"lr_lambda": _step_size})],
    "StepLR": [("StepLR", {"step_size": 3})],
    "StepLR-half": [("StepLR", {"step_size": 4, "gamma": 0.5})],
    "MultiStepLR": [("MultiStepLR", {"milestones": [2, 7, 7, 11], "gamma": 0.5})],
    "ConstantLR": [("ConstantLR", {})],
    "ConstantLR-long": [("ConstantLR", {"factor": 0.5, "total_iters": 9})],
    "LinearLR": [("LinearLR", {})],
    "LinearLR-down": [("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 8})],
    "ExponentialLR": [("ExponentialLR", {"gamma": 0.9})],
    "PolynomialLR": [("PolynomialLR", {})],
    "PolynomialLR-2": [("PolynomialLR", {"total_iters": 15, "power": 2.0})],
    "CosineAnnealingLR": [("CosineAnnealingLR", {"T_max": 10})],
    "CosineAnnealingLR-min": [("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01})],
    "CosineAnnealingWarmRestarts": [("CosineAnnealingWarmRestarts", {"T_0": 5})],
    "CosineAnnealingWarmRestarts-2": [
        ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01})
    ],
    "OneCycleLR": [("OneCycleLR", {"max_lr": 1.0, "total_steps": EPOCHS})],
    "OneCycleLR-linear": [
        (
            "OneCycleLR",
            {"max_lr": 1.0, "epochs": 6, "steps_per_epoch": 5, "anneal_strategy": "linear"},
        )
    ],
    "OneCycleLR-three": [
        (
            "OneCycleLR",
            {
                "max_lr": 1.0,
                "total_steps": 40,
                "pct_start": 0.2,
                "three_phase": True,
                "base_momentum": 0.6,
                "max_momentum": 0.9,
                "div_factor": 10.0,
                "final_div_factor": 100.0,
            },
        )
    ],
    "OneCycleLR-no-momentum": [
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": EPOCHS, "cycle_momentum": False})
    ],
    "SequentialLR": [
        (
            "SequentialLR",
            {
                "schedulers": [
                    ("LinearLR", {"start_factor": 0.1, "total_iters": 4}),
                    ("CosineAnnealingLR", {"T_max": 9}),
                    ("ExponentialLR", {"gamma": 0.5}),
                ],
                "milestones": [4, 13],
            },
        )
    ],
    "SequentialLR-2": [
        (
            "SequentialLR",
            {
                "schedulers": [
                    ("ConstantLR", {"factor": 0.5, "total_iters": 3}),
                    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2}),
                    ("LambdaLR", {"lr_lambda": _step_size}),
                    ("PolynomialLR", {"total_iters": 4}),
                ],
                "milestones": [5, 12, 20],
            },
        )
    ],
    "together": [
        ("ExponentialLR", {"gamma": 0.9}),
        ("StepLR", {"step_size": 4}),
        ("LinearLR", {"total_iters": 6}),
    ],
    "together-cosine": [
        ("CosineAnnealingLR", {"T_max": 6, "eta_min": 0.01}),
        ("MultiStepLR", {"milestones": [3, 9]}),
    ],
    "ReduceLROnPlateau": [("ReduceLROnPlateau", {"patience": 2})],
    "ReduceLROnPlateau-max": [
        ("ReduceLROnPlateau", {"mode": "max", "factor": 0.5, "patience": 1, "cooldown": 2})
    ],
    "ReduceLROnPlateau-abs": [
        (
            "ReduceLROnPlateau",
            {"threshold": 0.2, "threshold_mode": "abs", "patience": 0, "min_lr": [0.05, 0.001]},
        )
    ],
    "ReduceLROnPlateau-max-abs": [
        (
            "ReduceLROnPlateau",
            {"mode": "max", "threshold": 0.2, "threshold_mode": "abs", "patience": 1, "eps": 0.02},
        )
    ],
}

INF = float("inf")
NAN = float("nan")
CLIPPED: list[list[float]] = [
    [3.0, -4.0, 0.0],
    [0.03, -0.04, 0.0],
    [0.0, 0.0],
    [1.0],
    [INF, 1.0],
    [NAN, 1.0],
    [1e200, 1e200],
]
NORMS: list[tuple[float, float]] = [
    *((1.0, 2.0), (0.1, 1.0), (2.0, INF), (0.5, 3.0), (1.0, 0.5), (1.0, 0.0), (1.0, -INF)),
]
LIMITS = (0.5, 3.5, 0.0, INF)


@dataclass(frozen=True)
class Library:
    """A library of numbers that are parameters, and of optimizers for them."""

    optim: Any
    parameter: Callable[[float], Any]
    set_grad: Callable[[Any, float], None]
    clip_grad_norm: Callable[..., Any]
    clip_grad_value: Callable[..., Any]


def of_tapegrad() -> Library:
    """What is tested."""
    from tapegrad import Value, optim

    def set_grad(p: Value, grad: float) -> None:
        p.grad = grad

    return Library(optim, Value, set_grad, optim.clip_grad_norm_, optim.clip_grad_value_)


def of_torch() -> Library:
    """What it is compared with, in double precision."""
    import torch

    def parameter(x: float) -> Any:
        return torch.nn.Parameter(torch.tensor(x, dtype=torch.float64))

    def set_grad(p: Any, grad: float) -> None:
        p.grad = torch.tensor(grad, dtype=torch.float64)

    clip = torch.nn.utils
    return Library(torch.optim, parameter, set_grad, clip.clip_grad_norm_, clip.clip_grad_value_)


def _numbers(rows: int, columns: int, seed: int) -> list[list[float]]:
    source = random.Random(seed)
    return [[round(source.uniform(-2, 2), 3) for _ in range(columns)] for _ in range(rows)]


def trajectory(library: Library, name: str, options: Options) -> list[list[float]]:
    """The parameters after each step, in two groups of which the second has half the rate.

    The gradients are given numbers: some of them 0, and one parameter's always.
    """
    parameters = [library.parameter(x) for x in _numbers(1, PARAMETERS, 1)[0]]
    rate = options.get("lr", 0.01) / 2
    groups = [{"params": parameters[:3]}, {"params": parameters[3:], "lr": rate}]
    optimizer = getattr(library.optim, name)(groups, **options)
    rows = []
    for row in _numbers(STEPS, PARAMETERS, 2):
        for p, grad in zip(parameters, [0.0, *row[1:]], strict=True):
            library.set_grad(p, grad if abs(grad) > 0.3 else 0.0)
        optimizer.step()
        rows.append([_number(p) for p in parameters])
    return rows


def make_schedule(library: Library, optimizer: Any, schedule: Schedule) -> list[Any]:
    """The schedules of one optimizer."""
    made = []
    for name, given in schedule:
        options = dict(given)
        if "schedulers" in options:
            options["schedulers"] = make_schedule(library, optimizer, options["schedulers"])
        made.append(getattr(library.optim.lr_scheduler, name)(optimizer, **options))
    return made


def make_optimizer(library: Library, kind: str = "SGD") -> Any:
    """An optimizer of two groups for schedules."""
    groups = [
        {"params": [library.parameter(1.0)], "lr": 0.5},
        {"params": [library.parameter(2.0)], "lr": 0.125},
    ]
    return getattr(library.optim, kind)(groups, **({"momentum": 0.5} if kind == "SGD" else {}))


def rates(library: Library, schedule: Schedule, kind: str = "SGD") -> list[list[float]]:
    """Each group's learning rate and momentum, at the start and after each epoch."""
    optimizer = make_optimizer(library, kind)
    schedulers = make_schedule(library, optimizer, schedule)
    rows = [rates_now(optimizer)]
    for measure in _numbers(1, EPOCHS, 3)[0]:
        optimizer.step()
        for scheduler in schedulers:
            step_schedule(scheduler, measure)
        rows.append(rates_now(optimizer))
    return rows


def step_schedule(scheduler: Any, measure: float) -> None:
    """An epoch that went so well."""
    if type(scheduler).__name__ == "ReduceLROnPlateau":
        scheduler.step(measure)
    else:
        scheduler.step()


def rates_now(optimizer: Any) -> list[float]:
    """Each group's learning rate, then each group's momentum."""
    groups = optimizer.param_groups
    momenta = [group["betas"][0] if "betas" in group else group["momentum"] for group in groups]
    return [*(group["lr"] for group in groups), *momenta]


def clipped(library: Library, grads: list[float], max_norm: float, norm_type: float) -> list[float]:
    """The norm before, then the gradients after."""
    parameters = _with_grads(library, grads)
    norm = library.clip_grad_norm(parameters, max_norm, norm_type)
    return [float(norm), *(float(p.grad) for p in parameters)]


def limited(library: Library, grads: list[float], limit: float) -> list[float]:
    """The gradients after."""
    parameters = _with_grads(library, grads)
    library.clip_grad_value(parameters, limit)
    return [float(p.grad) for p in parameters]


def _with_grads(library: Library, grads: list[float]) -> list[Any]:
    parameters = [library.parameter(0.0) for _ in grads]
    for p, grad in zip(parameters, grads, strict=True):
        library.set_grad(p, grad)
    return parameters


def _number(p: Any) -> float:
    return float(p.data)


def everything(library: Library) -> dict[str, Any]:
    """The results of all programs, by the names that the tests use."""
    return {
        "optimizers": [trajectory(library, name, options) for name, options in OPTIMIZERS],
        "schedules": {name: rates(library, schedule) for name, schedule in SCHEDULES.items()},
        "one cycle of Adam": rates(library, SCHEDULES["OneCycleLR"], "Adam"),
        "clipped": [clipped(library, grads, *norm) for grads in CLIPPED for norm in NORMS],
        "limited": [limited(library, grads, limit) for grads in CLIPPED for limit in LIMITS],
    }
