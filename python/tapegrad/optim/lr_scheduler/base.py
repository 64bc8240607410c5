"""The base class of learning rate schedulers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from tapegrad.optim.optimizer import Optimizer

__all__ = ["LRScheduler", "each_group", "need_positive_int"]


def need_positive_int(name: str, number: int) -> None:
    """Raise TypeError unless `number` is an int, and ValueError unless it is 1 or more."""
    if not isinstance(number, int):
        raise TypeError(f"{name} must be an int, not '{type(number).__name__}'")
    if number < 1:
        raise ValueError(f"{name} must be 1 or more, not {number}")


def each_group(name: str, given: float | Sequence[float], optimizer: Optimizer) -> list[float]:
    """Return one number for each group of the optimizer; a single number is repeated.

    Raises ValueError for another number of numbers.
    """
    count = len(optimizer.param_groups)
    if not isinstance(given, (list, tuple)):
        return [given] * count  # type: ignore[list-item]
    if len(given) != count:
        raise ValueError(f"{name} has {len(given)} numbers for {count} param_groups")
    return list(given)


class LRScheduler:
    """The base class of schedulers. A subclass defines get_lr().

    The constructor does the first step(), to epoch 0. To resume a training, load the optimizer's
    state and pass the last epoch as `last_epoch`.

    Raises TypeError for an object that is no Optimizer, and ValueError for a `last_epoch` with an
    optimizer that never had a scheduler.

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
    _is_first = False  # True during the step() of the constructor

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
        """Return the learning rate of each group in the epoch `last_epoch`.

        It may be computed from the groups' "lr", which is that of the epoch before. A subclass
        defines it, and step() calls it; programs call `get_last_lr`.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr()")

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group as set by the last step."""
        return self._last_lr

    def step(self) -> None:
        """Advance to the next epoch and set the learning rates."""
        self.last_epoch += 1
        try:
            rates = self.get_lr()
        except BaseException:
            self.last_epoch -= 1
            raise
        self._set_lr(rates)

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state, without the optimizer's, as plain lists and numbers."""
        saved = {name: x for name, x in self.__dict__.items() if name not in self._not_saved}
        return copy.deepcopy(saved)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state that state_dict() returned.

        Raises ValueError for the state of another kind of scheduler.
        """
        expected = self.__dict__.keys() - {*self._not_saved}
        if state_dict.keys() != expected:
            odd = ", ".join(map(repr, sorted(state_dict.keys() ^ expected)))
            raise ValueError(
                f"state_dict is not of a {type(self).__name__}: see {odd}, missing or unexpected"
            )
        self.__dict__.update(copy.deepcopy(state_dict))

    def _begin(self) -> None:
        """Do the first step, in which most schedulers leave the learning rates unchanged."""
        self._is_first = True
        try:
            self.step()
        finally:
            del self._is_first

    def _restart(self) -> None:
        """Go back to epoch 0 with the initial learning rates."""
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
