"""Checkpoints: all that a training is, in a file of JSON that is written whole or not at all."""

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
    """A file that is no checkpoint of this program, or numbers that cannot be in one."""


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps.

    `data` is the file of the documents, None for the package `names`; `digest` tells whether the
    documents are the same.
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
            raise ValueError(f"alphabet must be characters in order, each once, not {letters!r}")
        if type(self.step) is not int or self.step < 0:
            raise ValueError(f"step must be a whole number of at least 0, not {self.step!r}")
        if not isinstance(self.data, (str, type(None))):
            raise TypeError(f"data must be a file or null, not {self.data!r}")


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Put the checkpoint in the place of the file, if there is one, at a stroke.

    Raises CheckpointError for numbers that are not finite, OSError where the file cannot be
    written. The file is then what it was.
    """
    try:
        text = json.dumps({"format": _FORMAT, **asdict(checkpoint)}, allow_nan=False)
    except ValueError:
        raise CheckpointError(
            f"{path} is not written: the model has numbers that are not finite"
        ) from None
    # In the same folder: only within a file system is replacing one step.
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
    """The checkpoint in a file; CheckpointError for one that holds anything else."""
    with fitting(path):
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT!r}")
        return Checkpoint(**{**content, "options": Options(**content["options"])})


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Make a CheckpointError of what is raised where the content is not what it should be."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        raise CheckpointError(f"{path} is no checkpoint of this program: {e}") from e


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"it has a number that is not finite, {name}")
