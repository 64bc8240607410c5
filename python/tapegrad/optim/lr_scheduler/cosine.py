"""Cosine annealing schedulers (Loshchilov & Hutter 2017)."""

from __future__ import annotations

import math

from tapegrad.optim.lr_scheduler.base import LRScheduler, need_positive_int
from tapegrad.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts"]


class CosineAnnealingLR(LRScheduler):
    """Anneals the learning rate along a cosine to `eta_min` in `T_max` epochs, then back up.

    The rate of an epoch is computed from that of the epoch before, so that other schedulers may
    change it too.

    >>> from tapegrad import Value, optim
    >>> optimizer = optim.SGD([Value(1.0)], lr=1.0)
    >>> scheduler = CosineAnnealingLR(optimizer, T_max=4)
    >>> [scheduler.step() or round(scheduler.get_last_lr()[0], 3) for _ in range(5)]
    [0.854, 0.5, 0.146, 0.0, 0.146]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,  # noqa: N803  # PyTorch's name
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        need_positive_int("T_max", T_max)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._is_first:
            return self._rates()
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # The rate is eta_min here, so scaling its distance to eta_min would leave it there.
            share = (1 - math.cos(math.pi / self.T_max)) / 2
            pairs = zip(self._rates(), self.base_lrs, strict=True)
            return [lr + (base_lr - self.eta_min) * share for lr, base_lr in pairs]
        now = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        before = 1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)
        return [now / before * (lr - self.eta_min) + self.eta_min for lr in self._rates()]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Anneals the learning rate along a cosine to `eta_min` in `T_0` epochs, then restarts.

    Each cycle is `T_mult` times as long as the one before. step() takes an optional epoch, which
    need not be an integer: `scheduler.step(epoch + batch / batches)`.

    >>> from tapegrad import Value, optim
    >>> optimizer = optim.SGD([Value(1.0)], lr=1.0)
    >>> scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    >>> [scheduler.step() or round(scheduler.get_last_lr()[0], 3) for _ in range(5)]
    [0.5, 1.0, 0.854, 0.5, 0.146]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,  # noqa: N803  # PyTorch's name
        T_mult: int = 1,  # noqa: N803
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        need_positive_int("T_0", T_0)
        need_positive_int("T_mult", T_mult)
        self.T_0 = T_0
        self.T_mult = T_mult
        self.T_i = T_0
        self.T_cur: float = last_epoch
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base_lr - self.eta_min) * share for base_lr in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Advance to the next epoch, or go to `epoch`; raises ValueError if it is negative."""
        if epoch is None and self.last_epoch >= 0:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._go_to(0 if epoch is None else epoch)
        self._set_lr(self.get_lr())

    def _go_to(self, epoch: float) -> None:
        if not epoch >= 0:
            raise ValueError(f"epoch must be 0 or more, not {epoch!r}")
        self.last_epoch = math.floor(epoch)
        self.T_i = self.T_0
        self.T_cur = epoch
        if self.T_mult == 1:
            self.T_cur %= self.T_0
            return
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
