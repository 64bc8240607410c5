"""Run programs and notebooks in processes of their own, for the tests that need them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.paths import REPOSITORY


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


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A finished `python -m bench`, as from the checkout."""
    path = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    return python(folder, "-m", "bench", *arguments, env=environment)


def write(folder: Path, name: str, text: str) -> Path:
    """A file of this text, its folder made where it is missing."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
