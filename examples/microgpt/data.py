"""The documents, their alphabet, and their split into a training and a held-out set."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

__all__ = ["Alphabet", "Corpus", "DataError", "load_documents", "make_corpus"]

# Files of the package `names`: the first names of the US census of 1990.
_LISTS = ("dist.female.first", "dist.male.first")
_MOST_HELD_OUT = 1000


class DataError(ValueError):
    """Raised if there are no usable documents."""


@dataclass(frozen=True)
class Alphabet:
    """The characters of the documents, one token each, and a boundary token around documents."""

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
        """Return the document's tokens between two boundaries.

        Raises ValueError for a character that is not in the alphabet.
        """
        return [self.boundary, *map(self.letters.index, document), self.boundary]

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of `tokens`, none of which may be the boundary."""
        return "".join(self.letters[token] for token in tokens)


@dataclass(frozen=True)
class Corpus:
    """The training documents, the held-out documents, and the alphabet of both."""

    train: Sequence[str]
    held_out: Sequence[str]
    alphabet: Alphabet

    @property
    def digest(self) -> str:
        """A hash of the documents: equal for equal corpora."""
        lines = "\n".join([*self.train, "", *self.held_out])
        return hashlib.sha256(lines.encode()).hexdigest()

    def longer_than(self, context: int) -> int:
        """Return the number of documents of more characters than a context of this length."""
        return sum(len(document) > context for document in (*self.train, *self.held_out))


def load_documents(path: str | None) -> list[str]:
    """Return the distinct lines of a text file, or the first names in the package `names`.

    Leading and trailing spaces are stripped, and empty lines dropped. Raises DataError for a file
    without text and for a missing package, and OSError for a file that cannot be read.
    """
    if path is None:
        lines = _census_names()
    else:
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is no text in UTF-8: {error}") from None
    # A repeated document could land in both parts of the corpus.
    documents = list(dict.fromkeys(filter(None, map(str.strip, lines))))
    if len(documents) < 2:
        place = path or "the package names"
        raise DataError(
            f"{place} has {len(documents)} different lines: two are needed, one of them held out"
        )
    return documents


def make_corpus(documents: Sequence[str], seed: int) -> Corpus:
    """Hold out a random tenth of the documents: at least 1, at most 1000 of them."""
    shuffled = random.Random(seed).sample(documents, len(documents))
    count = min(max(len(documents) // 10, 1), _MOST_HELD_OUT)
    letters = "".join(sorted(set().union(*documents)))
    return Corpus(shuffled[count:], shuffled[:count], Alphabet(letters))


def _census_names() -> list[str]:
    """Return the names in lower case.

    A line of a list is a name, its frequency, the cumulative frequency and its rank.
    """
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
