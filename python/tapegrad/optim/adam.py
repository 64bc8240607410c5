"""The optimizers Adam and AdamW."""

from __future__ import annotations

from typing import Any

from tapegrad.optim.optimizer import Optimizer, Parameters, check_options, need_real

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015) and, with `amsgrad`, AMSGrad (Reddi et al. 2018).

    With g the gradient plus `weight_decay` times the parameter p, step t computes
    m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, and
    p -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps). `amsgrad` uses the largest v so
    far. With `decoupled_weight_decay`, g is the gradient alone, and p decreases by
    lr weight_decay p. `maximize` follows the gradient uphill instead of downhill.

    Raises ValueError for a negative option, and for a beta outside [0, 1).

    >>> from tapegrad import Value
    >>> x = Value(1.0)
    >>> optimizer = Adam([x], lr=0.1)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    0.9
    """

    _rule = "Adam"

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_options(group, "lr", "eps", "weight_decay")
        if len(group["betas"]) != 2:
            raise ValueError(f"betas must be two numbers, not {len(group['betas'])}")
        for k, beta in enumerate(group["betas"]):
            need_real(f"betas[{k}]", beta)
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"betas[{k}] must be 0 or more and below 1, not {beta!r}")


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    >>> from tapegrad import Value
    >>> x = Value(1.0)
    >>> AdamW([x], lr=0.1, weight_decay=0.5).step()  # its gradient is 0
    >>> x
    Value(data=0.95)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
        )
