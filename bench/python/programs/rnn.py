"""A character RNN in the manner of min-char-RNN: one hidden layer of tanh, softmax at each letter.

h <- tanh(Wx[letter] + Wh h + bh), logits = Wy h + by, the loss the sum of -log p(next letter).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from operator import mul
from typing import TYPE_CHECKING, Any

from bench.python.programs.microgpt import matrix

if TYPE_CHECKING:
    from bench.python.peers.base import Functions, Program

__all__ = ["build", "start"]

TEXT = "every number remembers"
HIDDEN = 24


def encoded() -> tuple[list[int], int]:
    """The text as letters' numbers, and how many letters there are."""
    letters = sorted(set(TEXT))
    return [letters.index(letter) for letter in TEXT], len(letters)


def start() -> list[float]:
    """The first parameters: Wx, Wh, Wy row by row, then both biases, which are 0."""
    _, letters = encoded()
    source = random.Random(3)
    weights = HIDDEN * (letters + HIDDEN + letters)
    return [source.gauss(0, 0.1) for _ in range(weights)] + [0.0] * (HIDDEN + letters)


def build(numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
    """The loss of the whole text."""
    text, letters = encoded()
    rest = iter(numbers)
    from_letter = matrix(rest, letters, HIDDEN)
    from_hidden, to_letter = matrix(rest, HIDDEN, HIDDEN), matrix(rest, letters, HIDDEN)
    hidden_bias, letter_bias = matrix(rest, 1, HIDDEN)[0], matrix(rest, 1, letters)[0]
    tanh, exp, log = functions.tanh, functions.exp, functions.log
    assert tanh is not None and exp is not None and log is not None  # noqa: PT018

    def loss() -> Any:
        hidden: list[Any] = [0.0] * HIDDEN
        total: Any = 0.0
        for letter, following in pairwise(text):
            hidden = [
                tanh(sum(map(mul, row, hidden), x + b))
                for x, row, b in zip(from_letter[letter], from_hidden, hidden_bias)
            ]
            logits = [sum(map(mul, row, hidden), b) for row, b in zip(to_letter, letter_bias)]
            largest = functions.largest(logits)
            exps = [exp(logit - largest) for logit in logits]
            total = total - log(exps[following] / sum(exps))
        return total

    return loss
