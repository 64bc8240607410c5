"""Automatic differentiation of scalars: numbers that record how they were computed.

>>> from tapegrad import Value, tanh
>>> a, b = Value(2.0), Value(-3.0)
>>> y = tanh(a * b + 6.5)
>>> y.backward()
>>> round(a.grad, 6)
-2.359343
"""

from __future__ import annotations

import importlib

from tapegrad import _core
from tapegrad._core import *  # noqa: F403  # Value and the functions of the table of operations
from tapegrad._core import __version__
from tapegrad._core import abs as abs
from tapegrad._core import pow as pow
from tapegrad._core import sum as sum
from tapegrad.modes import detect_anomaly, no_grad

# The folder _former has modules under their former names, which old pickles refer to.
__path__ += [f"{folder}/_former" for folder in __path__]  # noqa: F405  # every package has it

# The module of each function that is imported on first use.
_homes = {
    "get_data": "arrays",
    "get_grad": "arrays",
    "set_data": "arrays",
    "set_grad": "arrays",
    "isclose": "predicates",
    "isfinite": "predicates",
    "isinf": "predicates",
    "isnan": "predicates",
    "checkpoint": "transforms.checkpointing",
    "compile": "transforms.compiling",
    "custom_jvp": "transforms.custom",
    "custom_vjp": "transforms.custom",
    "grad": "transforms",
    "gradcheck": "transforms.gradient_check",
    "hessian": "transforms",
    "hvp": "transforms",
    "jacfwd": "transforms",
    "jacobian": "transforms",
    "jacrev": "transforms",
    "jvp": "transforms",
    "stop_gradient": "transforms",
    "value_and_grad": "transforms",
    "vjp": "transforms",
}
_lazy_modules = frozenset({"bulk", "draw", "dropin", "graph", "nn", "optim"})

__all__ = [
    "__version__",
    "checkpoint",
    "compile",
    "custom_jvp",
    "custom_vjp",
    "detect_anomaly",
    "draw",
    "get_data",
    "get_grad",
    "grad",
    "gradcheck",
    "graph",
    "hessian",
    "hvp",
    "install_as_micrograd",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "nn",
    "no_grad",
    "optim",
    "set_data",
    "set_grad",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
__all__ += _core.__all__
# Type checkers take this for typing.TYPE_CHECKING; importing typing itself would be slow.
TYPE_CHECKING = False
# Names left out of a star import, so that it replaces no built-in function. The built-in abs, pow
# and sum accept Values too.
_not_starred = ("abs", "compile", "pow", "sum")
if not TYPE_CHECKING:  # type checkers treat names missing from __all__ as private
    __all__ = [name for name in __all__ if name not in _not_starred]


def install_as_micrograd() -> None:
    """Make ``import micrograd`` import tapegrad's modules; see `tapegrad.compat.micrograd`."""
    from tapegrad.compat import micrograd

    micrograd.install_as_micrograd()


if TYPE_CHECKING:
    from tapegrad import draw, graph, nn, optim
    from tapegrad.arrays import get_data, get_grad, set_data, set_grad
    from tapegrad.predicates import isclose, isfinite, isinf, isnan
    from tapegrad.transforms import (
        grad,
        hessian,
        hvp,
        jacfwd,
        jacobian,
        jacrev,
        jvp,
        stop_gradient,
        value_and_grad,
        vjp,
    )
    from tapegrad.transforms.checkpointing import checkpoint
    from tapegrad.transforms.compiling import compile as compile
    from tapegrad.transforms.custom import custom_jvp, custom_vjp
    from tapegrad.transforms.gradient_check import gradcheck
else:

    def __getattr__(name):
        if name in _lazy_modules:
            return importlib.import_module(f"tapegrad.{name}")
        if name in _homes:
            found = getattr(importlib.import_module(f"tapegrad.{_homes[name]}"), name)
            globals()[name] = found
            return found
        raise AttributeError(f"module 'tapegrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, including those not imported yet, and the special attributes."""
    own = {name for name in globals() if name.startswith("__") and name.endswith("__")}
    return sorted({*__all__, *_not_starred, *own} - {"__dir__", "__getattr__"})
