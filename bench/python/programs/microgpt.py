"""A character GPT written on scalars, for any class in microgpt's dialect, and such a class.

Own writing in the manner of Karpathy's microgpt: the class keeps `_children` and `_local_grads`,
and the model is lists of lists of scalars. Its numbers are ints where microgpt's are: a gradient
begins as 0, and those of a sum are 1 and 1.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from bench.python.peers.base import Functions, Program

__all__ = [
    "DOCUMENT",
    "VOCABULARY",
    "PureValue",
    "Transformer",
    "build",
    "encode",
    "loss",
    "start",
    "state",
]

Matrix: TypeAlias = list[list[Any]]

VOCABULARY = 27
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


class PureValue:
    """A pure-Python scalar whose backward multiplies the local gradients kept by each node."""

    __slots__ = ("_children", "_local_grads", "data", "grad")

    def __init__(self, data: float, children: tuple[Any, ...] = (), grads: tuple[float, ...] = ()):
        self.data = data
        self.grad: float = 0
        self._children = children
        self._local_grads = grads

    def __add__(self, other: Any) -> PureValue:
        other = other if isinstance(other, PureValue) else PureValue(other)
        return PureValue(self.data + other.data, (self, other), (1, 1))

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

    def tanh(self) -> PureValue:
        t = math.tanh(self.data)
        return PureValue(t, (self,), (1 - t * t,))

    def erf(self) -> PureValue:
        slope = 2 / math.sqrt(math.pi) * math.exp(-self.data * self.data)
        return PureValue(math.erf(self.data), (self,), (slope,))

    def relu(self) -> PureValue:
        return PureValue(max(0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self) -> Any:
        return self * -1

    def __radd__(self, other: Any) -> Any:
        return self + other

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __rsub__(self, other: Any) -> Any:
        return other + (-self)

    def __rmul__(self, other: Any) -> Any:
        return self * other

    def __truediv__(self, other: Any) -> Any:
        return self * other**-1

    def __rtruediv__(self, other: Any) -> Any:
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
        self.grad = 1
        for v in reversed(order):
            for child, local in zip(v._children, v._local_grads):
                child.grad += local * v.grad


def linear(x: Sequence[Any], w: Matrix) -> list[Any]:
    """The product of matrix and vector."""
    return [sum(wi * xi for wi, xi in zip(row, x)) for row in w]


def rmsnorm(x: Sequence[Any]) -> list[Any]:
    """x over the root of its mean square."""
    scale = (sum(xi * xi for xi in x) / len(x) + 1e-5) ** -0.5
    return [xi * scale for xi in x]


class Transformer:
    """One layer, four heads, sixteen wide, as microgpt's defaults.

    The parameters are taken from `numbers` in this order: tokens, positions, head, q, k, v, o,
    up, down, each row by row.
    """

    width, heads, context = 16, 4, 16

    def __init__(self, numbers: Sequence[Any], functions: Functions, vocabulary: int) -> None:
        rest = iter(numbers)
        self.functions = functions
        (
            self.tokens,
            self.positions,
            self.head,
            self.q,
            self.k,
            self.v,
            self.o,
            self.up,
            self.down,
        ) = (matrix(rest, rows, columns) for rows, columns in self.shapes(vocabulary).values())

    @classmethod
    def shapes(cls, vocabulary: int) -> dict[str, tuple[int, int]]:
        """The parameters' matrices."""
        n = cls.width
        square = dict.fromkeys(("q", "k", "v", "o"), (n, n))
        return {
            "tokens": (vocabulary, n),
            "positions": (cls.context, n),
            "head": (vocabulary, n),
            **square,
            "up": (4 * n, n),
            "down": (n, 4 * n),
        }

    @classmethod
    def size(cls, vocabulary: int) -> int:
        """The number of parameters."""
        return sum(rows * columns for rows, columns in cls.shapes(vocabulary).values())

    def softmax(self, logits: Sequence[Any]) -> list[Any]:
        exp = self.functions.exp
        assert exp is not None
        largest = self.functions.largest(logits)
        exps = [exp(logit - largest) for logit in logits]
        total = sum(exps)
        return [e / total for e in exps]

    def attend(self, x: list[Any], keys: Matrix, values: Matrix) -> list[Any]:
        size = self.width // self.heads
        q = linear(x, self.q)
        keys.append(linear(x, self.k))
        values.append(linear(x, self.v))
        out: list[Any] = []
        for first in range(0, self.width, size):
            part = range(first, first + size)
            scores = [sum(q[j] * k[j] for j in part) / size**0.5 for k in keys]
            weights = self.softmax(scores)
            out += [sum(w * v[j] for w, v in zip(weights, values)) for j in part]
        return linear(out, self.o)

    def logits(self, token: int, position: int, keys: Matrix, values: Matrix) -> list[Any]:
        relu = self.functions.relu
        assert relu is not None
        x = [t + p for t, p in zip(self.tokens[token], self.positions[position])]
        x = rmsnorm(x)
        x = [a + b for a, b in zip(self.attend(rmsnorm(x), keys, values), x)]
        hidden = [relu(h) for h in linear(rmsnorm(x), self.up)]
        x = [a + b for a, b in zip(linear(hidden, self.down), x)]
        return linear(x, self.head)

    def loss(self, document: Sequence[int]) -> Any:
        """The mean cross entropy of each next token."""
        log = self.functions.log
        assert log is not None
        keys: Matrix = []
        values: Matrix = []
        count = min(self.context, len(document) - 1)
        losses = []
        for position in range(count):
            probabilities = self.softmax(self.logits(document[position], position, keys, values))
            losses.append(-log(probabilities[document[position + 1]]))
        return (1 / count) * sum(losses)


def matrix(numbers: Iterator[Any], rows: int, columns: int) -> Matrix:
    """The next rows times columns numbers."""
    return [[next(numbers) for _ in range(columns)] for _ in range(rows)]


def encode(name: str, alphabet: Iterable[str] = _ALPHABET) -> list[int]:
    """The name as token numbers, with the boundary token on both sides."""
    letters = list(alphabet)
    return [len(letters), *(letters.index(c) for c in name), len(letters)]


DOCUMENT = encode("isabella")


def start() -> list[float]:
    """The first parameters."""
    source = random.Random(42)
    return [source.gauss(0, 0.08) for _ in range(Transformer.size(VOCABULARY))]


def build(numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
    """The loss of one document."""
    model = Transformer(numbers, functions, VOCABULARY)
    return lambda: model.loss(DOCUMENT)


def state() -> dict[str, Matrix]:
    """The first parameters as matrices with names."""
    rest = iter(start())
    return {name: matrix(rest, *shape) for name, shape in Transformer.shapes(VOCABULARY).items()}


def loss(parameters: Mapping[str, Iterable[Iterable[Any]]], functions: Functions) -> Any:
    """The loss of one document as a function of such matrices, lists or arrays."""
    numbers = list(chain.from_iterable(chain.from_iterable(parameters.values())))
    return Transformer(numbers, functions, VOCABULARY).loss(DOCUMENT)
