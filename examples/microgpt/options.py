"""The options of a run."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from .model import GPT

__all__ = ["OptionError", "Options"]


class OptionError(ValueError):
    """Raised for options that are invalid or do not fit a checkpoint."""


@dataclass(frozen=True)
class Options:
    """The options of a run; the defaults are microgpt's.

    The learning rate falls linearly from `rate` to 0 over the `steps`. Raises OptionError for an
    invalid option.
    """

    layers: int = 1
    width: int = 16
    heads: int = 4
    context: int = 16
    steps: int = 1000
    rate: float = 0.01
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "context", "steps"):
            number = getattr(self, name)
            if type(number) is not int or number < 1:
                raise OptionError(f"{name} must be a whole number of at least 1, not {number!r}")
        if self.width % self.heads:
            raise OptionError(f"heads must divide width, and {self.heads} does not {self.width}")
        if not (isinstance(self.rate, (int, float)) and 0 < self.rate < math.inf):
            raise OptionError(f"rate must be a finite number above 0, not {self.rate!r}")
        if type(self.seed) is not int or self.seed < 0:
            raise OptionError(f"seed must be a whole number of at least 0, not {self.seed!r}")

    def model(self, vocabulary: int, source: random.Random) -> GPT:
        """Make a new model of these options, its parameters drawn from `source`."""
        return GPT(
            vocabulary,
            layers=self.layers,
            width=self.width,
            heads=self.heads,
            context=self.context,
            source=source,
        )
