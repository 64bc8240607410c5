"""Schedulers that multiply the learning rate by a factor.

Several of them may act on one optimizer, except for LambdaLR, which sets the rate.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tapegrad.optim.lr_scheduler.base import LRScheduler, need_positive_int
from tapegrad.optim.optimizer import Optimizer

__all__ = [
    "ConstantLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "PolynomialLR",
    "StepLR",
]


class LambdaLR(LRScheduler):
    """Sets the learning rate to the initial one times `lr_lambda(epoch)`.

    `lr_lambda` is a function, or a list of a function for each group; another number of functions
    raises ValueError. state_dict() saves the attributes of callable objects, but no functions.

    >>> from tapegrad import Value, optim
    >>> optimizer = optim.SGD([Value(1.0)], lr=1.0)
    >>> scheduler = LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    _not_saved = ("optimizer", "lr_lambdas")

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups)
        functions = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(functions) != groups:
            raise ValueError(f"lr_lambda has {len(functions)} functions for {groups} param_groups")
        self.lr_lambdas = functions
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        pairs = zip(self.lr_lambdas, self.base_lrs, strict=True)
        return [base_lr * function(self.last_epoch) for function, base_lr in pairs]

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "lr_lambdas": [*map(_attributes, self.lr_lambdas)]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = dict(state_dict)
        saved = rest.pop("lr_lambdas")
        super().load_state_dict(rest)
        for function, attributes in zip(self.lr_lambdas, saved, strict=True):
            if attributes is not None:
                function.__dict__.update(attributes)


def _attributes(function: Callable[[int], float]) -> dict[str, Any] | None:
    if isinstance(function, (types.FunctionType, types.BuiltinFunctionType, types.MethodType)):
        return None
    return dict(vars(function))


class StepLR(LRScheduler):
    """Multiplies the learning rate by `gamma` every `step_size` epochs.

    >>> from tapegrad import Value, optim
    >>> optimizer = optim.SGD([Value(1.0)], lr=1.0)
    >>> scheduler = StepLR(optimizer, step_size=2, gamma=0.5)
    >>> [scheduler.step() or round(scheduler.get_last_lr()[0], 3) for _ in range(5)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        need_positive_int("step_size", step_size)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        due = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        return self._scaled(self.gamma) if due else self._rates()


class MultiStepLR(LRScheduler):
    """Multiplies the learning rate by `gamma` at each of the epochs `milestones`.

    >>> from tapegrad import Value, optim
    >>> optimizer = optim.SGD([Value(1.0)], lr=1.0)
    >>> scheduler = MultiStepLR(optimizer, milestones=[2, 3], gamma=0.5)
    >>> [scheduler.step() or round(scheduler.get_last_lr()[0], 3) for _ in range(5)]
    [1.0, 0.5, 0.25, 0.25, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        times = self.milestones.count(self.last_epoch)
        return self._scaled(self.gamma**times) if times else self._rates()


class ConstantLR(LRScheduler):
    """Multiplies the learning rate by `factor`, from 0 to 1, until the epoch `total_iters`.

    >>> from tapegrad import Value, optim
    >>> optimizer = optim.SGD([Value(1.0)], lr=1.0)
    >>> scheduler = ConstantLR(optimizer, factor=0.5, total_iters=3)
    >>> [scheduler.step() or round(scheduler.get_last_lr()[0], 3) for _ in range(5)]
    [0.5, 0.5, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0.0 <= factor <= 1.0:
            raise ValueError(f"factor must be from 0 to 1, not {factor!r}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        over = self.last_epoch == self.total_iters
        return self._scaled(1.0 / self.factor) if over else self._rates()


class LinearLR(LRScheduler):
    """Multiplies the learning rate by a factor that changes linearly over `total_iters` epochs.

    The factor goes from `start_factor`, above 0 and at most 1, to `end_factor`, from 0 to 1. Raises
    ValueError for another factor.

    >>> from tapegrad import Value, optim
    >>> optimizer = optim.SGD([Value(1.0)], lr=1.0)
    >>> scheduler = LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> [scheduler.step() or round(scheduler.get_last_lr()[0], 3) for _ in range(5)]
    [0.5, 0.75, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0.0 < start_factor <= 1.0:
            raise ValueError(f"start_factor must be above 0 and at most 1, not {start_factor!r}")
        if not 0.0 <= end_factor <= 1.0:
            raise ValueError(f"end_factor must be from 0 to 1, not {end_factor!r}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_first or self.last_epoch > self.total_iters:
            return self._rates()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return self._scaled(1.0 + rise / before)


class ExponentialLR(LRScheduler):
    """Multiplies the learning rate by `gamma` every epoch.

    >>> from tapegrad import Value, optim
    >>> optimizer = optim.SGD([Value(1.0)], lr=1.0)
    >>> scheduler = ExponentialLR(optimizer, gamma=0.5)
    >>> [scheduler.step() or round(scheduler.get_last_lr()[0], 3) for _ in range(5)]
    [0.5, 0.25, 0.125, 0.062, 0.031]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return self._rates() if self._is_first else self._scaled(self.gamma)


class PolynomialLR(LRScheduler):
    """Scales the initial learning rate by (1 - epoch / total_iters)**power, then keeps it at 0.

    >>> from tapegrad import Value, optim
    >>> optimizer = optim.SGD([Value(1.0)], lr=1.0)
    >>> scheduler = PolynomialLR(optimizer, total_iters=4, power=2.0)
    >>> [scheduler.step() or round(scheduler.get_last_lr()[0], 3) for _ in range(5)]
    [0.562, 0.25, 0.062, 0.0, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        need_positive_int("total_iters", total_iters)
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._is_first or self.last_epoch > self.total_iters:
            return self._rates()
        now = 1.0 - self.last_epoch / self.total_iters
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return self._scaled((now / before) ** self.power)
