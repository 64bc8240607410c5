"""Optimizers with PyTorch's names, defaults and formulas.

A step updates all parameters in one call of compiled code.

>>> from tapegrad import Value, optim
>>> x = Value(0.0)
>>> optimizer = optim.SGD([x], lr=0.25)
>>> for _ in range(20):
...     optimizer.zero_grad()
...     ((x - 3) ** 2).backward()
...     optimizer.step()
>>> round(x.data, 4)
3.0
"""

from __future__ import annotations

from tapegrad._core import clip_grad_norm_, clip_grad_value_
from tapegrad.optim import lr_scheduler
from tapegrad.optim.adagrad import Adagrad
from tapegrad.optim.adam import Adam, AdamW
from tapegrad.optim.optimizer import Optimizer
from tapegrad.optim.rmsprop import RMSprop
from tapegrad.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
]
