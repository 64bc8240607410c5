"""The optimizer Adagrad."""

from __future__ import annotations

from typing import Any

from tapegrad.optim.optimizer import Optimizer, Parameters, check_options

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan & Singer 2011).

    With g the gradient plus `weight_decay` times the parameter p, step t computes s = s + g^2,
    where s is `initial_accumulator_value` at first, and
    p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps). `maximize` follows the gradient uphill
    instead of downhill.

    Raises ValueError for a negative option.

    >>> from tapegrad import Value
    >>> x = Value(1.0)
    >>> optimizer = Adagrad([x], lr=0.1)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    0.9
    """

    _rule = "Adagrad"

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_options(group, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
