"""Optimizers to test and something to train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tapegrad import Value, optim

Make = Callable[[list[Value]], optim.Optimizer]
MAKERS: dict[str, Make] = {
    "SGD": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    "Adam": lambda params: optim.Adam(params, lr=0.1, amsgrad=True),
    "AdamW": lambda params: optim.AdamW(params, lr=0.1),
    "RMSprop": lambda params: optim.RMSprop(params, lr=0.1, momentum=0.5, centered=True),
    "Adagrad": lambda params: optim.Adagrad(params, lr=1.0),
}

every_optimizer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def values(*data: float) -> list[Value]:
    return [Value(x) for x in data]


def train(optimizer: optim.Optimizer, params: list[Value], steps: int) -> list[float]:
    """Steps towards 1, 2, 3, ...; the parameters afterwards."""
    for _ in range(steps):
        optimizer.zero_grad()
        loss: Any = sum((p - k) ** 2 for k, p in enumerate(params, 1))
        loss.backward()
        optimizer.step()
    return [p.data for p in params]
