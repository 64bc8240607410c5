"""The model of microgpt_dialect.py written with tapegrad's layers, and where its step's time goes.

Run it with tapegrad installed: python bench/python/microgpt_layers.py [steps]
"""

from __future__ import annotations

import random
import string
import sys
import time
from collections.abc import Callable, Sequence
from operator import add
from typing import Any

from microgpt_dialect import PureValue, Transformer, encode

from tapegrad import Value, cross_entropy, matvec, rmsnorm, softmax, sum


class LayeredTransformer(Transformer):
    """The same parameters and the same mathematics; each layer is one call."""

    def attend(self, x: list[Any], keys: Any, values: Any) -> list[Any]:
        """`keys` has a matrix for each head, `values` the transpose of one."""
        size = self.width // self.heads
        scale = size**-0.5
        q = [element * scale for element in matvec(self.q, x)]
        k = matvec(self.k, x)
        v = matvec(self.v, x)
        out: list[Any] = []
        for head in range(self.heads):
            start = head * size
            end = start + size
            keys[head].append(k[start:end])
            for column, element in zip(values[head], v[start:end]):
                column.append(element)
            out += matvec(values[head], softmax(matvec(keys[head], q[start:end])))
        return matvec(self.o, out)

    def logits(self, token: int, position: int, keys: Any, values: Any) -> list[Any]:
        x = rmsnorm(map(add, self.tokens[token], self.positions[position]))
        x = list(map(add, self.attend(rmsnorm(x), keys, values), x))
        hidden = list(map(Value.relu, matvec(self.up, rmsnorm(x))))
        x = list(map(add, matvec(self.down, hidden), x))
        return matvec(self.head, x)

    def loss(self, document: Sequence[int]) -> Any:
        size = self.width // self.heads
        keys: list[Any] = [[] for _ in range(self.heads)]
        values: list[Any] = [[[] for _ in range(size)] for _ in range(self.heads)]
        count = min(self.context, len(document) - 1)
        losses = [
            cross_entropy(self.logits(document[k], k, keys, values), document[k + 1])
            for k in range(count)
        ]
        return (1 / count) * sum(losses)


def parameters(model: Transformer) -> list[Any]:
    matrices = (model.tokens, model.positions, model.head, model.q, model.k, model.v, model.o)
    return [p for matrix in (*matrices, model.up, model.down) for row in matrix for p in row]


def made(model: Callable[..., Transformer], value: Callable[[float], Any]) -> Transformer:
    random.seed(42)
    return model(value, 27)


def gradients(model: Transformer, document: Sequence[int]) -> tuple[float, list[float]]:
    loss = model.loss(document)
    loss.backward()
    return loss.data, [p.grad for p in parameters(model)]


def check(document: Sequence[int]) -> None:
    """Loss and gradients are the pure class's."""
    loss, slopes = gradients(made(LayeredTransformer, Value), document)
    wanted, wanted_slopes = gradients(made(Transformer, PureValue), document)
    worst = max(abs(a - b) for a, b in zip(slopes, wanted_slopes))
    assert abs(loss - wanted) < 1e-12, (loss, wanted)
    assert worst < 1e-12, worst


def best(times: list[float]) -> float:
    return min(times) * 1e6


def main(steps: int) -> None:
    document = encode("isabella", string.ascii_lowercase)
    check(document)
    model = made(LayeredTransformer, Value)
    forward, backward, drop = [], [], []
    for _ in range(steps):
        begin = time.perf_counter()
        loss = model.loss(document)
        recorded = time.perf_counter()
        loss.backward()
        swept = time.perf_counter()
        del loss
        forward.append(recorded - begin)
        backward.append(swept - recorded)
        drop.append(time.perf_counter() - swept)
    print(
        f"best of {steps}, in us: forward {best(forward):.0f}, backward {best(backward):.0f}, "
        f"drop {best(drop):.0f}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
