"""The published C++ figures are the measured ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BENCH = REPOSITORY / "bench" / "cpp"
PUBLISHED = REPOSITORY / "docs" / "benchmarks"


def test_the_table_is_generated_from_the_stored_run() -> None:
    command = [sys.executable, BENCH / "report.py", "--markdown", PUBLISHED / "cpp.json"]
    written = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (PUBLISHED / "cpp.md").read_text() == written


@pytest.mark.parametrize("module", ["results", "plots"])
def test_the_examples_hold(module: str) -> None:
    command = [sys.executable, "-m", "doctest", BENCH / f"{module}.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
