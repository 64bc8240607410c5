"""Derivatives of plain Python functions: `grad` and its kin, under JAX's names.

A transform takes a function of numbers and gives back a function. Arguments and results are
numbers, NumPy arrays, and lists, tuples, named tuples, dicts and dataclasses of these; a function
of an array sees an array of objects, traced numbers. Transforms compose and nest to any order. Of
a compiled function they give a compiled function.
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
