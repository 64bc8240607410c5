"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from tapegrad.optim.optimizer import Optimizer, Parameters, check_options, need_real

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum (Sutskever et al. 2013).

    With g the gradient plus `weight_decay` times the parameter p, and b the momentum buffer, a step
    computes b = momentum b + (1 - dampening) g, or b = g in the first step, and p -= lr b, or with
    `nesterov` p -= lr (g + momentum b). `maximize` follows the gradient uphill instead of downhill.

    Raises ValueError for a negative option, and for `nesterov` without momentum or with dampening.

    >>> from tapegrad import Value
    >>> x = Value(1.0)
    >>> optimizer = SGD([x], lr=0.1, momentum=0.9)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> x
    Value(data=0.8)
    """

    _rule = "SGD"

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_options(group, "lr", "momentum", "weight_decay")
        need_real("dampening", group["dampening"])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")
