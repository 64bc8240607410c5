"""What all schedules have."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from tapegrad.optim.optimizer import Optimizer

__all__ = ["LRScheduler", "each_group", "need_positive_int"]


def need_positive_int(name: str, number: int) -> None:
    """Raise unless the number is an int of 1 or more."""
    if not isinstance(number, int):
        raise TypeError(f"{name} must be an int, not '{type(number).__name__}'")
    if number < 1:
        raise ValueError(f"{name} must be 1 or more, not {number}")


def each_group(name: str, given: float | Sequence[float], optimizer: Optimizer) -> list[float]:
    """One number for each group of the optimizer, from as many or one."""
    count = len(optimizer.param_groups)
    if not isinstance(given, (list, tuple)):
        return [given] * count  # type: ignore[list-item]
    if len(given) != count:
        raise ValueError(f"{name} has {len(given)} numbers for {count} param_groups")
    return list(given)


class LRScheduler:
    """The base of schedules; one of your own derives from this and defines get_lr().

    Making it does the first step(), to epoch 0. `last_epoch` is for going on with a training whose
    optimizer has been loaded: the epoch that was the last one. Raises TypeError for what is no
    Optimizer, and ValueError for a `last_epoch` with an optimizer that was never scheduled.

    >>> from tapegrad import Value, optim
    >>> class Halving(LRScheduler):
    ...     def get_lr(self):
    ...         return [lr * 0.5**self.last_epoch for lr in self.base_lrs]
    >>> optimizer = optim.SGD([Value(1.0)], lr=0.5)
    >>> scheduler = Halving(optimizer)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    _not_saved: tuple[str, ...] = ("optimizer",)
    _is_first = False  # whether this is the step that making a schedule does

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an Optimizer, not '{type(optimizer).__name__}'")
        self.optimizer = optimizer
        for k, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ValueError(
                    f"last_epoch is {last_epoch}, but param_groups[{k}] has no 'initial_lr': load "
                    "the optimizer's state first"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._begin()

    def get_lr(self) -> list[float]:
        """The learning rate of each group in the epoch `last_epoch`, from those of the one before.

        A subclass defines it. After a step, `get_last_lr` tells what was set.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr()")

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group, as it was last set."""
        return self._last_lr

    def step(self) -> None:
        """Go on to the next epoch."""
        self.last_epoch += 1
        try:
            rates = self.get_lr()
        except BaseException:
            self.last_epoch -= 1
            raise
        self._set_lr(rates)

    def state_dict(self) -> dict[str, Any]:
        """All but the optimizer, which has a state_dict of its own: plain lists and numbers."""
        saved = {name: x for name, x in self.__dict__.items() if name not in self._not_saved}
        return copy.deepcopy(saved)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what state_dict() gave; ValueError where it is another kind of schedule's."""
        expected = self.__dict__.keys() - {*self._not_saved}
        if state_dict.keys() != expected:
            odd = ", ".join(map(repr, sorted(state_dict.keys() ^ expected)))
            raise ValueError(f"state_dict is not of a {type(self).__name__}: see {odd}")
        self.__dict__.update(copy.deepcopy(state_dict))

    def _begin(self) -> None:
        """Take the first step, in which most schedules leave the learning rates as they are."""
        self._is_first = True
        try:
            self.step()
        finally:
            del self._is_first

    def _restart(self) -> None:
        """Be at epoch 0, whatever was before."""
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base_lr
        self.last_epoch = -1
        self._begin()

    def _set_lr(self, rates: Sequence[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = self._rates()

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [lr * factor for lr in self._rates()]
