"""Function transforms under JAX's names: `grad`, `jvp`, `vjp`, `jacobian`, `hessian` and others.

A transform takes a function of numbers and returns a function. Arguments and results are pytrees:
numbers, NumPy arrays, and lists, tuples, named tuples, dicts and dataclasses of these. Inside a
transform, numbers are traced numbers, and an array is an object array of traced numbers.
Transforms compose and nest to any order. A transform of a compiled function is compiled too.
"""

from __future__ import annotations

from tapegrad.transforms.gradients import grad, stop_gradient, value_and_grad
from tapegrad.transforms.jacobians import hessian, jacfwd, jacobian, jacrev
from tapegrad.transforms.products import hvp, jvp, vjp

__all__ = [
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
