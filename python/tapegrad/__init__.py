"""Scalars that remember how they were computed, and give back their derivatives.

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
from tapegrad.anomaly import detect_anomaly

__all__ = [
    "__version__",
    "detect_anomaly",
    "draw",
    "get_data",
    "get_grad",
    "graph",
    "install_as_micrograd",
    "nn",
    "optim",
    "set_data",
    "set_grad",
]
__all__ += _core.__all__

_lazy_modules = frozenset({"bulk", "draw", "dropin", "graph", "nn", "optim"})
_lazy_functions = frozenset({"get_data", "get_grad", "set_data", "set_grad"})


def install_as_micrograd() -> None:
    """Make ``import micrograd`` and its submodules find tapegrad's: see `tapegrad.dropin`."""
    from tapegrad import dropin

    dropin.install_as_micrograd()


# Type checkers see the modules that are imported when first used; typing itself is slow to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad import draw, graph, nn, optim
    from tapegrad.bulk import get_data, get_grad, set_data, set_grad
else:

    def __getattr__(name):
        if name in _lazy_modules:
            return importlib.import_module(f"tapegrad.{name}")
        if name in _lazy_functions:
            return getattr(importlib.import_module("tapegrad.bulk"), name)
        raise AttributeError(f"module 'tapegrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_lazy_modules, *_lazy_functions})
