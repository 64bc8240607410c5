"""Mistakes that a type checker has to find: each `type: ignore` must be needed."""

from __future__ import annotations

import math

import numpy as np

import tapegrad
from tapegrad import Value, optim

v = Value(1.0)

Value("2")  # type: ignore[arg-type]
Value(None)  # type: ignore[arg-type]
Value(1j)  # type: ignore[arg-type]
Value([1])  # type: ignore[arg-type]
Value(v)  # type: ignore[arg-type]
Value(np.zeros(3))  # type: ignore[arg-type]
Value(1.0, (3,))  # type: ignore[arg-type]
Value(1.0, (v,), 3)  # type: ignore[arg-type]
Value(1.0, parents=(v,))  # type: ignore[call-arg]

v + "x"  # type: ignore[operator]
v**1j  # type: ignore[operator]
v % 2  # type: ignore[operator]
assert v < "x"  # type: ignore[operator]
math.exp(v)  # type: ignore[arg-type]
float(v)  # type: ignore[arg-type]
tapegrad.exp("2")  # type: ignore[call-overload]
tapegrad.sum(3)  # type: ignore[call-overload]
tapegrad.softmax(3)  # type: ignore[call-overload]
tapegrad.cross_entropy([v], 0.5)  # type: ignore[call-overload]
tapegrad.mse_loss([v], [1.0], reduction="average")  # type: ignore[call-overload]
v.maximum(None)  # type: ignore[arg-type]

optim.SGD(v)  # type: ignore[arg-type]
optim.SGD([1.0])  # type: ignore[list-item]
optim.Adam([v], betas=0.9)  # type: ignore[arg-type]
optim.Adam([v], rate=0.1)  # type: ignore[call-arg]
optim.clip_grad_norm_([v], "1")  # type: ignore[arg-type]

v.data = "x"  # type: ignore[assignment]
v.grad = None  # type: ignore[assignment]
v.label = 3  # type: ignore[assignment]
v._backward = 3  # type: ignore[assignment]
v._prev = set()  # type: ignore[misc]
v.gard = 0.0  # type: ignore[attr-defined]
v.tanhh()  # type: ignore[attr-defined]
