"""The 1cycle policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from tapegrad.optim.lr_scheduler.base import LRScheduler, each_group, need_positive_int
from tapegrad.optim.optimizer import Optimizer

__all__ = ["OneCycleLR"]


class OneCycleLR(LRScheduler):
    """The 1cycle policy: one rise of the learning rate to `max_lr` and one fall (Smith 2018).

    The cycle has `total_steps` steps, or `epochs * steps_per_epoch`. step() is called after each
    step of the optimizer. The rate rises from the initial rate, `max_lr / div_factor`, to `max_lr`
    in the fraction `pct_start` of the steps, and then falls to the initial rate divided by
    `final_div_factor`. With `three_phase` it first falls to the initial rate in as many steps as it
    rose, and then to the final one. With `cycle_momentum` the momentum, or the first beta of Adam,
    goes from `max_momentum` to `base_momentum` and back. The "lr" and momentum of the groups are
    overwritten.

    Raises ValueError for invalid options, for `cycle_momentum` with an optimizer without momentum,
    and from step() after the last step.

    >>> from tapegrad import Value, optim
    >>> optimizer = optim.SGD([Value(1.0)], momentum=0.9)
    >>> scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=6, pct_start=0.5)
    >>> [scheduler.step() or round(scheduler.get_last_lr()[0], 3) for _ in range(5)]
    [0.52, 1.0, 0.75, 0.25, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an Optimizer, not '{type(optimizer).__name__}'")
        if not 0.0 <= pct_start <= 1.0:
            raise ValueError(f"pct_start must be from 0 to 1, not {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}")
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.three_phase = three_phase
        self.cycle_momentum = cycle_momentum
        self.use_beta1 = "betas" in optimizer.defaults
        if cycle_momentum and not self.use_beta1 and "momentum" not in optimizer.defaults:
            kind = type(optimizer).__name__
            raise ValueError(f"cycle_momentum is True, but {kind} has neither momentum nor betas")
        highest = each_group("max_lr", max_lr, optimizer)
        most = each_group("max_momentum", max_momentum, optimizer)
        least = each_group("base_momentum", base_momentum, optimizer)
        if last_epoch == -1:
            for k, group in enumerate(optimizer.param_groups):
                first = highest[k] / div_factor
                rates = {"max_lr": highest[k], "min_lr": first / final_div_factor}
                group.update({"initial_lr": first, **rates})
                if cycle_momentum:
                    group.update({"max_momentum": most[k], "base_momentum": least[k]})
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the learning rates of this step, and set the momentum of the groups."""
        if self.last_epoch > self.total_steps:
            raise ValueError(f"all of the {self.total_steps} steps of the cycle are done")
        (lr_from, lr_to), (momentum_from, momentum_to), share = self._phase()
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[lr_from], group[lr_to], share))
            if not self.cycle_momentum:
                continue
            momentum = self._between(group[momentum_from], group[momentum_to], share)
            if self.use_beta1:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum
        return rates

    def _phase(self) -> tuple[tuple[str, str], tuple[str, str], float]:
        """Return the current phase: the names of its rates and momenta, and the fraction done."""
        rise = self.pct_start * self.total_steps - 1
        ways = [(rise, ("initial_lr", "max_lr"), ("max_momentum", "base_momentum"))]
        down = ("base_momentum", "max_momentum")
        last = float(self.total_steps - 1)
        if self.three_phase:
            ways.append((2 * rise, ("max_lr", "initial_lr"), down))
            ways.append((last, ("initial_lr", "min_lr"), ("max_momentum", "max_momentum")))
        else:
            ways.append((last, ("max_lr", "min_lr"), down))
        begin = 0.0
        while len(ways) > 1 and self.last_epoch > ways[0][0]:
            begin, *_ = ways.pop(0)
        end, rates, momenta = ways[0]
        share = (self.last_epoch - begin) / (end - begin) if end != begin else 1.0
        return rates, momenta, share

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start


def _total_steps(total: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total is not None:
        need_positive_int("total_steps", total)
        return total
    if epochs is None or steps_per_epoch is None:
        raise ValueError("total_steps is needed, or both epochs and steps_per_epoch")
    need_positive_int("epochs", epochs)
    need_positive_int("steps_per_epoch", steps_per_epoch)
    return epochs * steps_per_epoch
