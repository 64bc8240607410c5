"""What the tests of Value's contract share: the arena's count, and programs that may not crash."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
from typing import Any

from tapegrad import Value, _core


def nodes_now() -> int:
    """How many nodes live at this moment."""
    return int(_core.arena()["nodes"])


def nodes() -> int:
    """How many nodes live once the collector finds nothing more to do."""
    while gc.collect():
        pass
    return nodes_now()


def snapshot_of(value: Value) -> object:
    """What pickle remembers of the Value's graph."""
    reduced: Any = value.__reduce_ex__(2)
    return reduced[1][0]


def run_program(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program in an interpreter of its own; a crash shows in its returncode."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=300,
    )


def output_of(text: str, **environment: str) -> list[str]:
    """The lines that a program prints which ends as it should."""
    done = run_program(text, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
