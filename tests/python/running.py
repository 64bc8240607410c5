"""Run programs and notebooks in processes of their own, for the tests that need them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any


def python(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A finished Python process, its output as text."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def run(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A finished `python -m tapegrad run`."""
    return python(folder, "-m", "tapegrad", "run", *arguments, **options)


def write(folder: Path, name: str, text: str) -> Path:
    """A file of this text, its folder made where it is missing."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
