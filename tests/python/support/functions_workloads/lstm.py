"""The loss of a language model of LSTM layers (Hochreiter and Schmidhuber, 1997) on a text.

A token's embedding goes up through the layers, whose states go on to the next token; the loss is
the mean of -log of the probability that each token's successor gets.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import numpy as np

import tapegrad

Number = Any
Array = Any  # numpy.ndarray, of float64 or of traced numbers

VOCABULARY = 5


def function(model: dict[str, Any], tokens: list[int]) -> Number:
    """The mean surprisal of the tokens after the first."""
    states = [(zeros, zeros) for bias in model["biases"] for zeros in [np.zeros(len(bias) // 4)]]
    loss: Number = 0.0
    for token, successor in pairwise(tokens):
        x = model["embeddings"][token]
        for k, (weights, bias) in enumerate(zip(model["weights"], model["biases"], strict=True)):
            hidden, cell = states[k]
            z = weights @ np.concatenate([x, hidden]) + bias
            i, f, o, g = np.split(z, 4)
            cell = sigmoids(f) * cell + sigmoids(i) * np.tanh(g)
            x = sigmoids(o) * np.tanh(cell)
            states[k] = x, cell
        logits = model["embeddings"] @ x
        loss = loss + tapegrad.logsumexp(list(logits)) - logits[successor]
    return loss / (len(tokens) - 1)


def sigmoids(xs: Array) -> Array:
    """Of each element."""
    return np.array([tapegrad.sigmoid(x) for x in xs])


def inputs(seed: int, size: int) -> tuple[dict[str, Any], list[int]]:
    """A model of `size` layers, size + 1 units wide, and a text of 2 * size + 2 tokens."""
    random = Random(seed)
    width = size + 1

    def normal(*shape: int) -> Array:
        return np.array([random.gauss(0, 1) for _ in range(int(np.prod(shape)))]).reshape(shape)

    model = {
        "embeddings": normal(VOCABULARY, width),
        "weights": [normal(4 * width, 2 * width) for _ in range(size)],
        "biases": [normal(4 * width) for _ in range(size)],
    }
    return model, [random.randrange(VOCABULARY) for _ in range(2 * size + 2)]


def reference(model: dict[str, Any], tokens: list[int]) -> dict[str, Any]:
    """The gradient by the model, by backpropagation through time."""
    embeddings, weights, biases = model["embeddings"], model["weights"], model["biases"]
    layers, steps, width = len(weights), len(tokens) - 1, embeddings.shape[1]
    hidden, cell = np.zeros((layers, width)), np.zeros((layers, width))
    saved, tops = [], []
    for token in tokens[:-1]:
        x = embeddings[token]
        for k in range(layers):
            operands = np.concatenate([x, hidden[k]])
            i, f, o, g = np.split(weights[k] @ operands + biases[k], 4)
            i, f, o, g = logistic(i), logistic(f), logistic(o), np.tanh(g)
            before, cell[k] = cell[k].copy(), f * cell[k] + i * g
            x = hidden[k] = o * np.tanh(cell[k])
            saved.append((operands, i, f, o, g, before, cell[k].copy()))
        tops.append(x.copy())

    by_embeddings = np.zeros_like(embeddings)
    by_weights, by_biases = [np.zeros_like(w) for w in weights], [np.zeros_like(b) for b in biases]
    by_hidden, by_cell = np.zeros((layers, width)), np.zeros((layers, width))
    for t in reversed(range(steps)):
        logits = embeddings @ tops[t]
        by_logits = np.exp(logits - logits.max())
        by_logits /= by_logits.sum()
        by_logits[tokens[t + 1]] -= 1
        by_logits /= steps
        by_embeddings += np.outer(by_logits, tops[t])
        by_x = embeddings.T @ by_logits
        for k in reversed(range(layers)):
            operands, i, f, o, g, before, after = saved.pop()
            by_output = by_x + by_hidden[k]
            by_cell[k] += by_output * o * (1 - np.tanh(after) ** 2)
            by_gates = np.concatenate(
                [
                    by_cell[k] * g * i * (1 - i),
                    by_cell[k] * before * f * (1 - f),
                    by_output * np.tanh(after) * o * (1 - o),
                    by_cell[k] * i * (1 - g**2),
                ]
            )
            by_cell[k] *= f
            by_weights[k] += np.outer(by_gates, operands)
            by_biases[k] += by_gates
            by_x, by_hidden[k] = np.split(weights[k].T @ by_gates, 2)
        by_embeddings[tokens[t]] += by_x
    return {"embeddings": by_embeddings, "weights": by_weights, "biases": by_biases}


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))
