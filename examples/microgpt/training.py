"""The training loop, and saving and restoring its state."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path

from tapegrad import optim

from .checkpoint import Checkpoint, CheckpointError, fitting
from .data import Alphabet, Corpus
from .model import GPT
from .options import Options

__all__ = ["Training", "model_of"]


class Training:
    """A model in training: each step draws a document at random and makes one step of Adam.

    `data` is the path that the corpus was loaded from, which checkpoints record.
    """

    def __init__(self, options: Options, corpus: Corpus, data: str | None = None) -> None:
        self.options, self.corpus, self.data = options, corpus, data
        self.source = random.Random(options.seed)
        self.model = options.model(corpus.alphabet.size, self.source)
        self.optimizer = optim.Adam(self.model.parameters(), lr=options.rate, betas=(0.85, 0.99))
        self.done = 0

    def step(self) -> float:
        """Do one training step and return the document's loss before it.

        Raises ArithmeticError for a loss that is not finite; the parameters are then unchanged.
        """
        document = self.source.choice(self.corpus.train)
        self.optimizer.zero_grad()
        loss = self.model.loss(self.corpus.alphabet.encode(document))
        if not math.isfinite(loss.data):
            raise ArithmeticError(
                f"the loss became {loss.data} in step {self.done + 1}: try a smaller rate"
            )
        loss.backward()
        left = 1 - self.done / self.options.steps
        self.optimizer.param_groups[0]["lr"] = self.options.rate * left
        self.optimizer.step()
        self.done += 1
        return loss.data

    def held_out_losses(self) -> Iterator[float]:
        """Yield the loss of each held-out document."""
        for document in self.corpus.held_out:
            yield self.model.loss(self.corpus.alphabet.encode(document)).data

    def checkpoint(self) -> Checkpoint:
        """Return the complete state, from which `restore` continues."""
        return Checkpoint(
            options=self.options,
            data=self.data,
            digest=self.corpus.digest,
            alphabet=self.corpus.alphabet.letters,
            step=self.done,
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            random=list(self.source.getstate()),
        )

    def restore(self, checkpoint: Checkpoint, path: Path) -> None:
        """Continue from a checkpoint that was read from `path`.

        Raises CheckpointError if its alphabet is not the corpus's, or if its state does not fit
        the model.
        """
        known, found = set(checkpoint.alphabet), set(self.corpus.alphabet.letters)
        if known != found:
            only_known, only_found = ("".join(sorted(s)) for s in (known - found, found - known))
            raise CheckpointError(
                f"{path} was trained on other characters than the data has: only the checkpoint "
                f"has {only_known!r}, only the data {only_found!r}"
            )
        with fitting(path):
            version, numbers, pair = checkpoint.random
            self.model.load_state_dict(checkpoint.model)
            self.optimizer.load_state_dict(checkpoint.optimizer)
            self.source.setstate((version, tuple(numbers), pair))
            self.done = checkpoint.step


def model_of(checkpoint: Checkpoint, path: Path) -> tuple[GPT, Alphabet]:
    """Return the model and the alphabet of a checkpoint that was read from `path`."""
    alphabet = Alphabet(checkpoint.alphabet)
    with fitting(path):
        model = checkpoint.options.model(alphabet.size, random.Random(0))
        model.load_state_dict(checkpoint.model)
    return model, alphabet
