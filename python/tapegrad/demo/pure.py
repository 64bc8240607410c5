"""A pure-Python autograd engine in the style of micrograd, the baseline of tapegrad's demo.

Like micrograd's, its Value has a closure for each operation, so its cost is typical of such
classes. `python -m tapegrad demo` runs the training loop on it to compare times and losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias, Union

__all__ = ["Value", "topological_sort"]

Number: TypeAlias = Union["Value", float]


def _no_step() -> None:
    """The backward step of a leaf."""


class Value:
    """A number with a gradient, and the operation and operands that it was computed from.

    Operations raise as Python's math module does: `Value(0.0).log()` raises ValueError.

    >>> a, b = Value(2.0), Value(-3.0)
    >>> y = a * b + 10
    >>> y.backward()
    >>> y, a.grad, b.grad
    (Value(data=4.0), -3.0, 2.0)
    """

    def __init__(
        self, data: float, _children: Iterable[Value] = (), _op: str = "", label: str = ""
    ) -> None:
        self.data = data
        self.grad = 0.0
        self.label = label
        self._prev = set(_children)
        self._op = _op
        self._backward: Callable[[], None] = _no_step

    def __repr__(self) -> str:
        return f"Value(data={self.data})"

    def __add__(self, other: Number) -> Value:
        addend = _as_value(other)
        total = Value(self.data + addend.data, (self, addend), "+")

        def step() -> None:
            self.grad += total.grad
            addend.grad += total.grad

        total._backward = step
        return total

    def __sub__(self, other: Number) -> Value:
        subtrahend = _as_value(other)
        difference = Value(self.data - subtrahend.data, (self, subtrahend), "-")

        def step() -> None:
            self.grad += difference.grad
            subtrahend.grad -= difference.grad

        difference._backward = step
        return difference

    def __mul__(self, other: Number) -> Value:
        factor = _as_value(other)
        product = Value(self.data * factor.data, (self, factor), "*")

        def step() -> None:
            self.grad += factor.data * product.grad
            factor.grad += self.data * product.grad

        product._backward = step
        return product

    def __truediv__(self, other: Number) -> Value:
        divisor = _as_value(other)
        quotient = Value(self.data / divisor.data, (self, divisor), "/")

        def step() -> None:
            share = quotient.grad / divisor.data
            self.grad += share
            divisor.grad -= quotient.data * share

        quotient._backward = step
        return quotient

    def __pow__(self, other: Number) -> Value:
        if isinstance(other, Value):
            return self._to_the(other)
        exponent = other
        power = Value(math.pow(self.data, exponent), (self,), f"**{exponent}")

        def step() -> None:
            self.grad += exponent * math.pow(self.data, exponent - 1) * power.grad

        power._backward = step
        return power

    def _to_the(self, exponent: Value) -> Value:
        power = Value(math.pow(self.data, exponent.data), (self, exponent), "**")

        def step() -> None:
            slope = exponent.data * math.pow(self.data, exponent.data - 1)
            self.grad += slope * power.grad
            exponent.grad += math.log(self.data) * power.data * power.grad

        power._backward = step
        return power

    def __neg__(self) -> Value:
        opposite = Value(-self.data, (self,), "neg")

        def step() -> None:
            self.grad -= opposite.grad

        opposite._backward = step
        return opposite

    def __radd__(self, other: float) -> Value:
        return Value(other) + self

    def __rsub__(self, other: float) -> Value:
        return Value(other) - self

    def __rmul__(self, other: float) -> Value:
        return Value(other) * self

    def __rtruediv__(self, other: float) -> Value:
        return Value(other) / self

    def __rpow__(self, other: float) -> Value:
        return Value(other) ** self

    def relu(self) -> Value:
        """Return max(self, 0)."""
        rectified = Value(self.data if self.data > 0 else 0.0, (self,), "ReLU")

        def step() -> None:
            if self.data > 0:
                self.grad += rectified.grad

        rectified._backward = step
        return rectified

    def tanh(self) -> Value:
        """Return the hyperbolic tangent."""
        tangent = Value(math.tanh(self.data), (self,), "tanh")

        def step() -> None:
            self.grad += (1 - tangent.data**2) * tangent.grad

        tangent._backward = step
        return tangent

    def exp(self) -> Value:
        """Return the exponential."""
        power = Value(math.exp(self.data), (self,), "exp")

        def step() -> None:
            self.grad += power.data * power.grad

        power._backward = step
        return power

    def log(self) -> Value:
        """Return the natural logarithm."""
        logarithm = Value(math.log(self.data), (self,), "log")

        def step() -> None:
            self.grad += logarithm.grad / self.data

        logarithm._backward = step
        return logarithm

    def backward(self) -> None:
        """Set this node's gradient to 1, and add its derivatives to the gradients of all nodes
        that it was computed from.
        """
        self.grad = 1.0
        for node in reversed(topological_sort(self)):
            node._backward()


def _as_value(number: Number) -> Value:
    return number if isinstance(number, Value) else Value(number)


def topological_sort(root: Value) -> list[Value]:
    """Return the nodes that `root` was computed from, operands before users, `root` last."""
    order: list[Value] = []
    entered: set[Value] = set()
    left: set[Value] = set()
    # An explicit stack, since a sum of a thousand terms exceeds Python's recursion limit.
    pending = [root]
    while pending:
        node = pending[-1]
        if node not in entered:
            entered.add(node)
            pending.extend(node._prev - entered)
            continue
        pending.pop()
        if node not in left:
            left.add(node)
            order.append(node)
    return order
