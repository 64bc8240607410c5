"""Non-linearities as modules, of a Value or each of a list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, overload

from tapegrad import _core
from tapegrad._core import Value
from tapegrad.nn.module import Module

__all__ = ["GELU", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Softplus", "Tanh"]


class _Activation(Module):
    """A function of a Value, or of each Value of a list."""

    @overload
    def __call__(self, x: Value) -> Value: ...
    @overload
    def __call__(self, x: Iterable[Any]) -> list[Any]: ...
    def __call__(self, x: Any) -> Any:
        """Its value at `x`: a Value for a Value, a list for any iterable of them."""
        if isinstance(x, Value):
            return self._function(x)
        return [self(item) if hasattr(item, "__iter__") else self._function(item) for item in x]

    def _function(self, x: Value) -> Value:
        raise NotImplementedError

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


class ReLU(_Activation):
    """max(x, 0).

    >>> ReLU()([Value(-1.0), Value(2.0)])
    [Value(data=0.0), Value(data=2.0)]
    """

    def _function(self, x: Value) -> Value:
        return _core.relu(x)


class LeakyReLU(_Activation):
    """x, or `negative_slope` x below 0.

    >>> LeakyReLU(0.1)(Value(-2.0))
    Value(data=-0.2)
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def _function(self, x: Value) -> Value:
        return _core.leaky_relu(x, self.negative_slope)


class Tanh(_Activation):
    """The hyperbolic tangent.

    >>> Tanh()([Value(0.0)])
    [Value(data=0.0)]
    """

    def _function(self, x: Value) -> Value:
        return _core.tanh(x)


class Sigmoid(_Activation):
    """1 / (1 + exp(-x)).

    >>> Sigmoid()(Value(0.0))
    Value(data=0.5)
    """

    def _function(self, x: Value) -> Value:
        return _core.sigmoid(x)


class GELU(_Activation):
    """x times the normal distribution's function at x.

    >>> GELU()(Value(0.0))
    Value(data=0.0)
    """

    def _function(self, x: Value) -> Value:
        return _core.gelu(x)


class SiLU(_Activation):
    """x times the sigmoid of x.

    >>> SiLU()(Value(0.0))
    Value(data=0.0)
    """

    def _function(self, x: Value) -> Value:
        return _core.silu(x)


class Softplus(_Activation):
    """log(1 + exp(beta x)) / beta, a smooth ReLU.

    >>> round(Softplus()(Value(0.0)).data, 6)
    0.693147
    """

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def _function(self, x: Value) -> Value:
        if self.beta == 1.0:
            return _core.softplus(x)
        return _core.softplus(x * self.beta) / self.beta
