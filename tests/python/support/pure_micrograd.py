"""A pure-Python engine and network in micrograd's dialect: what tapegrad.nn is compared with."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any


def no_step() -> None:
    """The backward step of a leaf."""


class PureValue:
    """A scalar that remembers, by closures, how to hand its gradient to its operands."""

    def __init__(self, data: float, _children: Iterable[PureValue] = (), _op: str = "") -> None:
        self.data = data
        self.grad = 0.0
        self._prev = set(_children)
        self._op = _op
        self._backward: Callable[[], None] = no_step

    def _unary(self, data: float, slope: float, op: str) -> PureValue:
        result = PureValue(data, (self,), op)

        def step() -> None:
            self.grad += slope * result.grad

        result._backward = step
        return result

    def __add__(self, other: Any) -> PureValue:
        operand = lift(other)
        result = PureValue(self.data + operand.data, (self, operand), "+")

        def step() -> None:
            self.grad += result.grad
            operand.grad += result.grad

        result._backward = step
        return result

    def __mul__(self, other: Any) -> PureValue:
        operand = lift(other)
        result = PureValue(self.data * operand.data, (self, operand), "*")

        def step() -> None:
            self.grad += operand.data * result.grad
            operand.grad += self.data * result.grad

        result._backward = step
        return result

    def __pow__(self, exponent: float) -> PureValue:
        slope = exponent * self.data ** (exponent - 1)
        return self._unary(self.data**exponent, slope, f"**{exponent}")

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> PureValue:
        return self * -1

    def __sub__(self, other: Any) -> PureValue:
        return self + -lift(other)

    def __rsub__(self, other: Any) -> PureValue:
        return lift(other) + -self

    def __truediv__(self, other: Any) -> PureValue:
        return self * lift(other) ** -1

    def __rtruediv__(self, other: Any) -> PureValue:
        return lift(other) * self**-1

    def relu(self) -> PureValue:
        return self._unary(max(self.data, 0.0), float(self.data > 0), "ReLU")

    def tanh(self) -> PureValue:
        t = math.tanh(self.data)
        return self._unary(t, 1 - t * t, "tanh")

    def exp(self) -> PureValue:
        e = math.exp(self.data)
        return self._unary(e, e, "exp")

    def log(self) -> PureValue:
        return self._unary(math.log(self.data), 1 / self.data, "log")

    def backward(self) -> None:
        self.grad = 1.0
        for node in reversed(operands_first(self)):
            node._backward()


def lift(x: Any) -> PureValue:
    """A number as a node; a node as itself."""
    return x if isinstance(x, PureValue) else PureValue(x)


def operands_first(root: PureValue) -> list[PureValue]:
    """The nodes that the root reaches, each after its operands."""
    order: list[PureValue] = []
    seen = {root}
    pending = [(root, iter(root._prev))]
    while pending:
        node, operands = pending[-1]
        following = next((o for o in operands if o not in seen), None)
        if following is None:
            order.append(node)
            pending.pop()
        else:
            seen.add(following)
            pending.append((following, iter(following._prev)))
    return order


class PureNetwork:
    """A multi-layer perceptron that draws its weights in micrograd's order."""

    def __init__(self, nin: int, nouts: Sequence[int], nonlin: str = "relu") -> None:
        self.nonlin = nonlin
        self.layers = []
        for fan_in, width in zip([nin, *nouts], nouts, strict=False):
            self.layers.append([make_neuron(fan_in) for _ in range(width)])

    def __call__(self, x: Iterable[Any]) -> Any:
        signal: list[Any] = list(x)
        for layer in self.layers:
            signal = [weighted_sum(weights, bias, signal) for weights, bias in layer]
            if layer is not self.layers[-1]:
                signal = [getattr(value, self.nonlin)() for value in signal]
        return signal[0] if len(signal) == 1 else signal

    def parameters(self) -> list[PureValue]:
        neurons = [neuron for layer in self.layers for neuron in layer]
        return [p for weights, bias in neurons for p in [*weights, bias]]

    def zero_grad(self) -> None:
        for p in self.parameters():
            p.grad = 0.0


def make_neuron(nin: int) -> tuple[list[PureValue], PureValue]:
    """Random weights and a bias of zero."""
    weights = [PureValue(random.uniform(-1, 1)) for _ in range(nin)]
    return weights, PureValue(0.0)


def weighted_sum(weights: list[PureValue], bias: PureValue, x: list[Any]) -> PureValue:
    """The sum of weight times input, beginning with the bias."""
    total = bias
    for weight, value in zip(weights, x, strict=True):
        total = total + weight * value
    return total
