"""The model of `microgpt` in tapegrad's layers: the same mathematics in fewer calls."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add
from typing import Any

from bench.python.peers.base import Functions, Program
from bench.python.programs.microgpt import DOCUMENT, VOCABULARY, Transformer, start
from tapegrad import Value, cross_entropy, matvec, rmsnorm, softmax, sum

__all__ = ["LayeredTransformer", "build", "start"]

Matrices = list[list[list[Any]]]


class LayeredTransformer(Transformer):
    """Each layer is one call. `keys` has a matrix for each head, `values` the transpose of one."""

    def attend(self, x: list[Any], keys: Matrices, values: Matrices) -> list[Any]:
        size = self.width // self.heads
        scale = size**-0.5
        q = [element * scale for element in matvec(self.q, x)]
        k = matvec(self.k, x)
        v = matvec(self.v, x)
        out: list[Any] = []
        for head in range(self.heads):
            first = head * size
            part = slice(first, first + size)
            keys[head].append(k[part])
            for column, element in zip(values[head], v[part]):
                column.append(element)
            out += matvec(values[head], softmax(matvec(keys[head], q[part])))
        return matvec(self.o, out)

    def logits(self, token: int, position: int, keys: Any, values: Any) -> list[Any]:
        x = rmsnorm(map(add, self.tokens[token], self.positions[position]))
        x = list(map(add, self.attend(rmsnorm(x), keys, values), x))
        hidden: list[Any] = matvec(self.up, rmsnorm(x))
        x = list(map(add, matvec(self.down, map(Value.relu, hidden)), x))
        return matvec(self.head, x)

    def loss(self, document: Sequence[int]) -> Any:
        """The mean cross entropy of each next token."""
        size = self.width // self.heads
        keys: Matrices = [[] for _ in range(self.heads)]
        values: Matrices = [[[] for _ in range(size)] for _ in range(self.heads)]
        count = min(self.context, len(document) - 1)
        losses = [
            cross_entropy(self.logits(document[k], k, keys, values), document[k + 1])
            for k in range(count)
        ]
        return (1 / count) * sum(losses)


def build(numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
    """The loss of one document."""
    model = LayeredTransformer(numbers, functions, VOCABULARY)
    return lambda: model.loss(DOCUMENT)
