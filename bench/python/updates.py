"""The parameter loops of training programs, in Python, as their users write them.

Each works on anything with `data` and `grad`. `zero` runs before backward(), `step` after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["RATES", "SGD", "Adagrad", "Adam", "Update", "in_python"]

# Small steps: ten thousand of them must leave the measured work what it was.
RATES = {"sgd": 1e-3, "adam": 1e-6, "adagrad": 1e-5}


@dataclass(frozen=True, slots=True)
class Update:
    """What moves the parameters of a training step."""

    zero: Callable[[], Any]
    step: Callable[[], Any]


class SGD:
    """micrograd's loop: clear all gradients, and go down the slope after backward()."""

    def __init__(self, parameters: Sequence[Any], rate: float = RATES["sgd"]) -> None:
        self.parameters = parameters
        self.rate = rate

    def zero(self) -> None:
        for p in self.parameters:
            p.grad = 0.0

    def step(self) -> None:
        rate = self.rate
        for p in self.parameters:
            p.data -= rate * p.grad


class Adam:
    """microgpt's loop: Adam's moments in lists, and each gradient cleared when it was used."""

    def __init__(
        self,
        parameters: Sequence[Any],
        rate: float = RATES["adam"],
        betas: tuple[float, float] = (0.85, 0.99),
        eps: float = 1e-8,
    ) -> None:
        self.parameters = parameters
        self.rate, self.betas, self.eps = rate, betas, eps
        self.first = [0.0] * len(parameters)
        self.second = [0.0] * len(parameters)
        self.steps = 0

    def zero(self) -> None:
        """Nothing: `step` has done it."""

    def step(self) -> None:
        self.steps += 1
        rate, eps, (beta1, beta2) = self.rate, self.eps, self.betas
        m, v = self.first, self.second
        for i, p in enumerate(self.parameters):
            m[i] = beta1 * m[i] + (1 - beta1) * p.grad
            v[i] = beta2 * v[i] + (1 - beta2) * p.grad**2
            m_hat = m[i] / (1 - beta1**self.steps)
            v_hat = v[i] / (1 - beta2**self.steps)
            p.data -= rate * m_hat / (v_hat**0.5 + eps)
            p.grad = 0


class Adagrad:
    """min-char-RNN's loop: the rate shrinks with the sum of a parameter's squared gradients.

    The small number stands where PyTorch has it, beside the root, so that optimizers agree.
    """

    def __init__(self, parameters: Sequence[Any], rate: float = RATES["adagrad"]) -> None:
        self.parameters = parameters
        self.rate = rate
        self.memory = [0.0] * len(parameters)

    def zero(self) -> None:
        """Nothing: `step` has done it."""

    def step(self) -> None:
        rate, memory = self.rate, self.memory
        for i, p in enumerate(self.parameters):
            memory[i] += p.grad * p.grad
            p.data -= rate * p.grad / (memory[i] ** 0.5 + 1e-10)
            p.grad = 0.0


_RULES = {"sgd": SGD, "adam": Adam, "adagrad": Adagrad}


def in_python(rule: str, parameters: Sequence[Any]) -> Update:
    """The loop of this name over these parameters."""
    loop: Any = _RULES[rule](parameters)
    return Update(loop.zero, loop.step)
