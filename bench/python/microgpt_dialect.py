"""A character GPT written on scalars, for any class in microgpt's dialect, and such a class.

Own writing in the manner of Karpathy's microgpt: the class keeps `_children` and `_local_grads`,
and the model is lists of lists of scalars.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Matrix = list[list[Any]]


class PureValue:
    """A pure-Python scalar whose backward multiplies the local gradients kept by each node."""

    __slots__ = ("_children", "_local_grads", "data", "grad")

    def __init__(self, data: float, children: tuple[Any, ...] = (), grads: tuple[float, ...] = ()):
        self.data = data
        self.grad = 0.0
        self._children = children
        self._local_grads = grads

    def __add__(self, other: Any) -> PureValue:
        other = other if isinstance(other, PureValue) else PureValue(other)
        return PureValue(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: Any) -> PureValue:
        other = other if isinstance(other, PureValue) else PureValue(other)
        return PureValue(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, n: float) -> PureValue:
        return PureValue(self.data**n, (self,), (n * self.data ** (n - 1),))

    def log(self) -> PureValue:
        return PureValue(math.log(self.data), (self,), (1 / self.data,))

    def exp(self) -> PureValue:
        y = math.exp(self.data)
        return PureValue(y, (self,), (y,))

    def relu(self) -> PureValue:
        return PureValue(max(0.0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self) -> PureValue:
        return self * -1

    def __radd__(self, other: Any) -> PureValue:
        return self + other

    def __sub__(self, other: Any) -> PureValue:
        return self + (-other)

    def __rsub__(self, other: Any) -> PureValue:
        return other + (-self)

    def __rmul__(self, other: Any) -> PureValue:
        return self * other

    def __truediv__(self, other: Any) -> PureValue:
        return self * other**-1

    def __rtruediv__(self, other: Any) -> PureValue:
        return other * self**-1

    def backward(self) -> None:
        order: list[PureValue] = []
        seen: set[PureValue] = set()

        def visit(v: PureValue) -> None:
            if v not in seen:
                seen.add(v)
                for child in v._children:
                    visit(child)
                order.append(v)

        visit(self)
        self.grad = 1.0
        for v in reversed(order):
            for child, local in zip(v._children, v._local_grads):
                child.grad += local * v.grad


def linear(x: Sequence[Any], w: Matrix) -> list[Any]:
    return [sum(wi * xi for wi, xi in zip(row, x)) for row in w]


def softmax(logits: Sequence[Any]) -> list[Any]:
    largest = max(logit.data for logit in logits)
    exps = [(logit - largest).exp() for logit in logits]
    total = sum(exps)
    return [e / total for e in exps]


def rmsnorm(x: Sequence[Any]) -> list[Any]:
    scale = (sum(xi * xi for xi in x) / len(x) + 1e-5) ** -0.5
    return [xi * scale for xi in x]


class Transformer:
    """One layer, four heads, sixteen wide, as microgpt's defaults."""

    width, heads, context = 16, 4, 16

    def __init__(self, value: Callable[[float], Any], vocabulary: int) -> None:
        n = self.width

        def matrix(rows: int, columns: int) -> Matrix:
            return [[value(random.gauss(0, 0.08)) for _ in range(columns)] for _ in range(rows)]

        self.tokens, self.positions = matrix(vocabulary, n), matrix(self.context, n)
        self.head = matrix(vocabulary, n)
        self.q, self.k, self.v, self.o = (matrix(n, n) for _ in range(4))
        self.up, self.down = matrix(4 * n, n), matrix(n, 4 * n)

    def attend(self, x: list[Any], keys: Matrix, values: Matrix) -> list[Any]:
        size = self.width // self.heads
        q = linear(x, self.q)
        keys.append(linear(x, self.k))
        values.append(linear(x, self.v))
        out: list[Any] = []
        for start in range(0, self.width, size):
            part = range(start, start + size)
            scores = [sum(q[j] * k[j] for j in part) / size**0.5 for k in keys]
            weights = softmax(scores)
            out += [sum(w * v[j] for w, v in zip(weights, values)) for j in part]
        return linear(out, self.o)

    def logits(self, token: int, position: int, keys: Matrix, values: Matrix) -> list[Any]:
        x = [t + p for t, p in zip(self.tokens[token], self.positions[position])]
        x = rmsnorm(x)
        x = [a + b for a, b in zip(self.attend(rmsnorm(x), keys, values), x)]
        hidden = [h.relu() for h in linear(rmsnorm(x), self.up)]
        x = [a + b for a, b in zip(linear(hidden, self.down), x)]
        return linear(x, self.head)

    def loss(self, document: Sequence[int]) -> Any:
        keys: Matrix = []
        values: Matrix = []
        count = min(self.context, len(document) - 1)
        losses = []
        for position in range(count):
            probabilities = softmax(self.logits(document[position], position, keys, values))
            losses.append(-probabilities[document[position + 1]].log())
        return (1 / count) * sum(losses)


def encode(name: str, alphabet: Iterable[str]) -> list[int]:
    """The name as token numbers, with the boundary token on both sides."""
    letters = list(alphabet)
    return [len(letters), *(letters.index(c) for c in name), len(letters)]
