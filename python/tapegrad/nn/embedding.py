"""Embeddings: a table of vectors."""

from __future__ import annotations

import operator
import random
from typing import SupportsIndex

from tapegrad._core import Value
from tapegrad.nn.module import Module

__all__ = ["Embedding"]


class Embedding(Module):
    """A table of `num_embeddings` rows of `embedding_dim` Values, called with the index of a row.

    The Values are drawn from `random.gauss(0, 1)`. Raises ValueError for a negative size.

    >>> embedding = Embedding(3, 2)
    >>> embedding(1) == embedding.weight[1]
    True
    """

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        for name, size in (("num_embeddings", num_embeddings), ("embedding_dim", embedding_dim)):
            if size < 0:
                raise ValueError(f"{name} must be 0 or more, not {size}")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.weight = [
            [Value(random.gauss(0.0, 1.0)) for _ in range(embedding_dim)]
            for _ in range(num_embeddings)
        ]

    def __call__(self, index: SupportsIndex) -> list[Value]:
        """Return the Values of the row `index` as a new list.

        Raises IndexError if there is no such row; negative indices are not supported.
        """
        row = operator.index(index)
        if not 0 <= row < len(self.weight):
            raise IndexError(f"index is {row}, and the rows are 0 to {len(self.weight) - 1}")
        return list(self.weight[row])

    def parameters(self) -> list[Value]:
        """Return the Values, row by row."""
        return [p for row in self.weight for p in row]

    def __repr__(self) -> str:
        return f"Embedding({self.num_embeddings}, {self.embedding_dim})"
