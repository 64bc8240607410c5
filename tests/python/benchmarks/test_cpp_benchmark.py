"""The published C++ figures are the measured ones."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module

import pytest

from support.paths import REPOSITORY

PUBLISHED = REPOSITORY / "docs" / "benchmarks"


def test_the_table_is_generated_from_the_stored_run() -> None:
    command = [sys.executable, "-m", "bench.cpp.report", "--markdown", PUBLISHED / "cpp.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert (PUBLISHED / "cpp.md").read_text() == done.stdout


@pytest.mark.parametrize("module", ["results", "plots"])
def test_the_examples_hold(module: str) -> None:
    results = doctest.testmod(import_module(f"bench.cpp.{module}"))
    assert results.attempted
    assert results.failed == 0
