"""A scheduler that runs others one after another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from tapegrad.optim.lr_scheduler.base import LRScheduler
from tapegrad.optim.lr_scheduler.plateau import ReduceLROnPlateau
from tapegrad.optim.optimizer import Optimizer

__all__ = ["SequentialLR"]


class SequentialLR(LRScheduler):
    """Runs `schedulers` one after another, and switches to the next at each of `milestones`.

    Each scheduler starts from epoch 0. Raises ValueError unless there is one milestone less than
    schedulers, and for a scheduler of another optimizer or one that needs a metric.

    >>> from tapegrad import Value, optim
    >>> from tapegrad.optim.lr_scheduler import ConstantLR, ExponentialLR
    >>> optimizer = optim.SGD([Value(1.0)], lr=1.0)
    >>> parts = [ConstantLR(optimizer, factor=0.25, total_iters=9), ExponentialLR(optimizer, 0.5)]
    >>> scheduler = SequentialLR(optimizer, parts, milestones=[2])
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(4):
    ...     scheduler.step()
    ...     rates = rates + scheduler.get_last_lr()
    >>> rates
    [0.25, 0.25, 1.0, 0.5, 0.25]
    """

    _not_saved = ("optimizer", "_schedulers")

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if len(schedulers) == 0:
            raise ValueError("schedulers is empty")
        for k, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                kind = type(scheduler).__name__
                raise TypeError(f"schedulers[{k}] must be an LRScheduler, not '{kind}'")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(f"schedulers[{k}] needs a measure at each step")
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"schedulers[{k}] is of another optimizer")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"{len(schedulers)} schedulers need {len(schedulers) - 1} milestones, not "
                f"{len(milestones)}"
            )
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.optimizer = optimizer
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        # Each scheduler's constructor did its first step, from rates that the others had changed.
        first = self._current()
        first.last_epoch -= 1
        first._begin()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        """Advance to the next epoch and set the learning rates."""
        self.last_epoch += 1
        current = self._current()
        if self.last_epoch in self._milestones:
            current._restart()
        else:
            current.step()
        self._last_lr = current.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with the states of the schedulers."""
        states = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**super().state_dict(), "_schedulers": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state that state_dict() returned, with the states of the schedulers."""
        rest = dict(state_dict)
        states = rest.pop("_schedulers")
        super().load_state_dict(rest)
        for scheduler, state in zip(self._schedulers, states, strict=True):
            scheduler.load_state_dict(state)

    def _current(self) -> LRScheduler:
        return self._schedulers[bisect_right(self._milestones, self.last_epoch)]

    def _restart(self) -> None:
        self.last_epoch = 0
        self._current()._restart()
        self._last_lr = self._current().get_last_lr()
