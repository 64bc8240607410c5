"""microgpt's model, with each layer of the network as one call of a tapegrad function."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add

from tapegrad import Value, cross_entropy, matvec, nn, rmsnorm, softmax

__all__ = ["GPT"]

Vector = list[Value]

_FIRST_SPREAD = 0.08  # standard deviation of the initial parameters


class Projection(nn.Module):
    """A linear layer without a bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.weight = [[Value(0.0) for _ in range(inputs)] for _ in range(outputs)]

    def __call__(self, x: Vector) -> Vector:
        return matvec(self.weight, x)

    def parameters(self) -> Vector:
        return [p for row in self.weight for p in row]


@dataclass(frozen=True)
class Memory:
    """The keys and values of one attention layer for the positions seen so far (its KV cache).

    `keys[head]` has a row per position and `values[head]` a column per position, the layouts that
    `matvec` multiplies without transposing.
    """

    keys: list[list[Vector]]
    values: list[list[Vector]]


class Attention(nn.Module):
    """Causal multi-head self-attention: each position attends to itself and those before it."""

    def __init__(self, width: int, heads: int) -> None:
        self.heads, self.size = heads, width // heads
        self.query = Projection(width, width)
        self.key = Projection(width, width)
        self.value = Projection(width, width)
        self.out = Projection(width, width)

    def start(self) -> Memory:
        """Return an empty memory."""
        heads = range(self.heads)
        return Memory([[] for _ in heads], [[[] for _ in range(self.size)] for _ in heads])

    def __call__(self, x: Vector, memory: Memory) -> Vector:
        """Return the attention's output at the next position, and add `x` to the memory."""
        scale = self.size**-0.5
        query = [q * scale for q in self.query(x)]
        key, value = self.key(x), self.value(x)
        found: Vector = []
        for head, (keys, columns) in enumerate(zip(memory.keys, memory.values, strict=True)):
            part = slice(head * self.size, (head + 1) * self.size)
            keys.append(key[part])
            for column, v in zip(columns, value[part], strict=True):
                column.append(v)
            found += matvec(columns, softmax(matvec(keys, query[part])))
        return self.out(found)

    def parameters(self) -> Vector:
        parts = (self.query, self.key, self.value, self.out)
        return [p for part in parts for p in part.parameters()]


class Block(nn.Module):
    """A transformer block: attention, then a two-layer MLP with relu, both with residuals."""

    def __init__(self, width: int, heads: int) -> None:
        self.attention = Attention(width, heads)
        self.up = Projection(width, 4 * width)
        self.down = Projection(4 * width, width)

    def __call__(self, x: Vector, memory: Memory) -> Vector:
        x = list(map(add, self.attention(rmsnorm(x), memory), x))
        hidden = list(map(Value.relu, self.up(rmsnorm(x))))
        return list(map(add, self.down(hidden), x))

    def parameters(self) -> Vector:
        parts = (self.attention, self.up, self.down)
        return [p for part in parts for p in part.parameters()]


class GPT(nn.Module):
    """A transformer that reads tokens one by one and returns the logits of the next token.

    `vocabulary` is the number of tokens and `context` the number of positions. `heads` must
    divide `width`. The initial parameters are drawn from `source`.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        layers: int,
        width: int,
        heads: int,
        context: int,
        source: random.Random,
    ) -> None:
        self.context = context
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = [Block(width, heads) for _ in range(layers)]
        self.head = Projection(width, vocabulary)
        for p in self.parameters():
            p.data = source.gauss(0.0, _FIRST_SPREAD)

    def parameters(self) -> Vector:
        parts = (self.tokens, self.positions, self.head, *self.blocks)
        return [p for part in parts for p in part.parameters()]

    def start(self) -> list[Memory]:
        """Return an empty memory for each layer."""
        return [block.attention.start() for block in self.blocks]

    def logits(self, token: int, position: int, memories: list[Memory]) -> Vector:
        """Return the logits of the token after `token`, and add this position to the memories."""
        x = rmsnorm(map(add, self.tokens(token), self.positions(position)))
        for block, memory in zip(self.blocks, memories, strict=True):
            x = block(x, memory)
        return self.head(x)

    def loss(self, tokens: Sequence[int]) -> Value:
        """Return the mean cross entropy of the next token over the first `context` positions."""
        memories = self.start()
        inputs, targets = tokens[: self.context], tokens[1 : self.context + 1]
        logits = [self.logits(t, k, memories) for k, t in enumerate(inputs[: len(targets)])]
        return cross_entropy(logits, targets)

    def sample(self, boundary: int, temperature: float, source: random.Random) -> list[int]:
        """Draw the tokens of a new document, up to the boundary or the end of the context.

        The probabilities are softmax(logits / temperature): a low temperature prefers likely
        tokens. Raises ArithmeticError if the logits are not finite.
        """
        memories, found = self.start(), [boundary]
        for position in range(self.context):
            logits = [v.data for v in self.logits(found[-1], position, memories)]
            largest = max(logits)
            weights = softmax([(number - largest) / temperature for number in logits])
            if not math.isfinite(sum(weights)):
                raise ArithmeticError("the logits are not finite: the model has diverged")
            (token,) = source.choices(range(len(weights)), weights)
            if token == boundary:
                break
            found.append(token)
        return found[1:]
