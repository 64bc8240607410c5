"""The optimizer RMSprop."""

from __future__ import annotations

from typing import Any

from tapegrad.optim.optimizer import Optimizer, Parameters, check_options

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012) and, with `centered`, its centered form (Graves 2013).

    With g the gradient plus `weight_decay` times the parameter p, a step computes
    v = alpha v + (1 - alpha) g^2, and p -= lr g / (sqrt(v) + eps). `centered` subtracts the square
    of the running average of g from v. With momentum, b = momentum b + g / (sqrt(v) + eps) and
    p -= lr b. `maximize` follows the gradient uphill instead of downhill.

    Raises ValueError for a negative option.

    >>> from tapegrad import Value
    >>> x = Value(1.0)
    >>> optimizer = RMSprop([x], lr=0.1)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    0.0
    """

    _rule = "RMSprop"

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_options(group, "lr", "alpha", "eps", "weight_decay", "momentum")
