"""The training: its steps, and the way to a checkpoint and back."""

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
    """A model on its way: one document a step, drawn at random, and one step of Adam.

    `data` is the file that the corpus came from, for checkpoints.
    """

    def __init__(self, options: Options, corpus: Corpus, data: str | None = None) -> None:
        self.options, self.corpus, self.data = options, corpus, data
        self.source = random.Random(options.seed)
        self.model = options.model(corpus.alphabet.size, self.source)
        self.optimizer = optim.Adam(self.model.parameters(), lr=options.rate, betas=(0.85, 0.99))
        self.done = 0

    def step(self) -> float:
        """Learn from one document; returns its loss before.

        Raises ArithmeticError for a loss that is not finite, where the parameters stay as they are.
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
        """The loss of each document that is held out."""
        for document in self.corpus.held_out:
            yield self.model.loss(self.corpus.alphabet.encode(document)).data

    def checkpoint(self) -> Checkpoint:
        """All that it takes to go on from here."""
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
        """Go on where the checkpoint, read from `path`, was made.

        Raises CheckpointError for another alphabet than the corpus has, and for a state that does
        not fit the model.
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
    """The model of a checkpoint, read from `path`, and the alphabet it writes in."""
    alphabet = Alphabet(checkpoint.alphabet)
    with fitting(path):
        model = checkpoint.options.model(alphabet.size, random.Random(0))
        model.load_state_dict(checkpoint.model)
    return model, alphabet
