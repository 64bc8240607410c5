"""Checkpoints: the complete state of a training in a JSON file that is replaced atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from .options import Options

__all__ = ["Checkpoint", "CheckpointError", "fitting", "read", "write"]

_FORMAT = "tapegrad's microgpt, 1"


class CheckpointError(ValueError):
    """Raised for a file that is no checkpoint of this program, and for numbers not finite."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training between two steps.

    `data` is the path of the documents, or None for the package `names`. `digest` is a hash of
    the documents.
    """

    options: Options
    data: str | None
    digest: str
    alphabet: str
    step: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    random: list[Any]

    def __post_init__(self) -> None:
        letters = self.alphabet
        if not isinstance(letters, str) or list(letters) != sorted(set(letters)):
            raise ValueError(f"alphabet must be distinct characters in order, not {letters!r}")
        if type(self.step) is not int or self.step < 0:
            raise ValueError(f"step must be a whole number of at least 0, not {self.step!r}")
        if not isinstance(self.data, (str, type(None))):
            raise TypeError(f"data must be a path or null, not {self.data!r}")


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to `path`, replacing an existing file atomically.

    Raises CheckpointError for numbers that are not finite, and OSError if the file cannot be
    written. An existing file is then unchanged.
    """
    try:
        text = json.dumps({"format": _FORMAT, **asdict(checkpoint)}, allow_nan=False)
    except ValueError:
        raise CheckpointError(
            f"cannot write {path}: the model has numbers that are not finite"
        ) from None
    # In the same folder, because renaming is atomic only within one file system.
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def read(path: Path) -> Checkpoint:
    """Read the checkpoint in the file `path`.

    Raises CheckpointError for a file that holds anything else.
    """
    with fitting(path):
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT!r}")
        return Checkpoint(**{**content, "options": Options(**content["options"])})


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Turn the errors that unexpected content of `path` causes into a CheckpointError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        raise CheckpointError(f"{path} is no checkpoint of this program: {e}") from e


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"it has a number that is not finite, {name}")
