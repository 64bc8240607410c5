"""Documents to learn from, the alphabet they are written in, and what is held out of training."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

__all__ = ["Alphabet", "Corpus", "DataError", "load_documents", "make_corpus"]

# Of the package `names`, the first names of the US census of 1990.
_LISTS = ("dist.female.first", "dist.male.first")
_MOST_HELD_OUT = 1000


class DataError(ValueError):
    """There is nothing to learn from."""


@dataclass(frozen=True)
class Alphabet:
    """The characters that have a token each; one more token, the boundary, is around documents."""

    letters: str

    @property
    def boundary(self) -> int:
        """The token before the first character and after the last."""
        return len(self.letters)

    @property
    def size(self) -> int:
        """The number of tokens."""
        return len(self.letters) + 1

    def encode(self, document: str) -> list[int]:
        """The document's tokens between boundaries; ValueError for a character not in here."""
        return [self.boundary, *map(self.letters.index, document), self.boundary]

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens that are no boundaries."""
        return "".join(self.letters[token] for token in tokens)


@dataclass(frozen=True)
class Corpus:
    """Documents to train on and to hold out, and the alphabet of both."""

    train: Sequence[str]
    held_out: Sequence[str]
    alphabet: Alphabet

    @property
    def digest(self) -> str:
        """What tells whether two corpora are the same."""
        lines = "\n".join([*self.train, "", *self.held_out])
        return hashlib.sha256(lines.encode()).hexdigest()

    def longer_than(self, context: int) -> int:
        """How many documents have more characters than a context of this length predicts."""
        return sum(len(document) > context for document in (*self.train, *self.held_out))


def load_documents(path: str | None) -> list[str]:
    """The lines of a text file, or without one the lists of the package `names`; each line once.

    Spaces around lines and empty lines are left out. Raises DataError for a file that has no text
    and for a missing package, OSError for a file that cannot be read.
    """
    if path is None:
        lines = _census_names()
    else:
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is no text in UTF-8: {error}") from None
    # A document that comes twice could be in both parts of the corpus.
    documents = list(dict.fromkeys(filter(None, map(str.strip, lines))))
    if len(documents) < 2:
        place = path or "the package names"
        raise DataError(
            f"{place} has {len(documents)} different lines: two are needed, one of them held out"
        )
    return documents


def make_corpus(documents: Sequence[str], seed: int) -> Corpus:
    """Hold out a tenth of the documents, drawn by the seed: one at least, 1000 at most."""
    shuffled = random.Random(seed).sample(documents, len(documents))
    count = min(max(len(documents) // 10, 1), _MOST_HELD_OUT)
    letters = "".join(sorted(set().union(*documents)))
    return Corpus(shuffled[count:], shuffled[:count], Alphabet(letters))


def _census_names() -> list[str]:
    """The names in lower case. A line of a list is a name, its share, the sum so far, its rank."""
    try:
        folder = resources.files("names")
        text = "".join((folder / name).read_text(encoding="ascii") for name in _LISTS)
    except ModuleNotFoundError:
        raise DataError(
            "the package names is not installed: pip install names, or give --data FILE"
        ) from None
    except OSError as error:
        raise DataError(f"the package names lacks its lists: {error}") from None
    return [line.split()[0].lower() for line in text.splitlines() if line.strip()]
