"""Notes about a run, on stderr."""

from __future__ import annotations

import sys


def say(message: str) -> None:
    """Write a note about the run to stderr, apart from the program's output."""
    print(f"tapegrad run: {message}", file=sys.stderr)
