"""Activation functions as modules, applied to a Value or to each Value of a list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, overload

from tapegrad import _core
from tapegrad._core import Value
from tapegrad.nn.module import Module

__all__ = ["GELU", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Softplus", "Tanh"]


class _Activation(Module):
    """The base of activation modules."""

    @overload
    def __call__(self, x: Value) -> Value: ...
    @overload
    def __call__(self, x: Iterable[Any]) -> list[Any]: ...
    def __call__(self, x: Any) -> Any:
        """Apply the function to `x`, a Value, or elementwise to an iterable, returning a list."""
        if isinstance(x, Value):
            return self._function(x)
        return [self(item) if hasattr(item, "__iter__") else self._function(item) for item in x]

    def _function(self, x: Value) -> Value:
        raise NotImplementedError

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


class ReLU(_Activation):
    """The rectified linear unit, max(x, 0).

    >>> ReLU()([Value(-1.0), Value(2.0)])
    [Value(data=0.0), Value(data=2.0)]
    """

    def _function(self, x: Value) -> Value:
        return _core.relu(x)


class LeakyReLU(_Activation):
    """The leaky rectified linear unit: x if x > 0, else `negative_slope` * x.

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
    """The logistic sigmoid, 1 / (1 + exp(-x)).

    >>> Sigmoid()(Value(0.0))
    Value(data=0.5)
    """

    def _function(self, x: Value) -> Value:
        return _core.sigmoid(x)


class GELU(_Activation):
    """The Gaussian error linear unit: x times the standard normal distribution function at x.

    >>> GELU()(Value(0.0))
    Value(data=0.0)
    """

    def _function(self, x: Value) -> Value:
        return _core.gelu(x)


class SiLU(_Activation):
    """The sigmoid linear unit, x * sigmoid(x), also called swish.

    >>> SiLU()(Value(0.0))
    Value(data=0.0)
    """

    def _function(self, x: Value) -> Value:
        return _core.silu(x)


class Softplus(_Activation):
    """A smooth form of ReLU, log(1 + exp(beta * x)) / beta.

    >>> round(Softplus()(Value(0.0)).data, 6)
    0.693147
    """

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def _function(self, x: Value) -> Value:
        if self.beta == 1.0:
            return _core.softplus(x)
        return _core.softplus(x * self.beta) / self.beta
