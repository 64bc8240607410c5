"""docs/operations.md, the C++ functions and the stubs say what the table of operations says."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from support.operations import OPERATIONS
from support.paths import REPOSITORY

SCRIPT = REPOSITORY / "docs" / "make_operations.py"
made: dict[str, Any] = runpy.run_path(str(SCRIPT))
written: dict[str, Any] = runpy.run_path(str(REPOSITORY / "cpp" / "make_operations.py"))


def test_the_page_is_what_its_script_writes() -> None:
    written = made["PAGE"].read_text()
    assert written == made["page"](), "run docs/make_operations.py"


def test_the_page_has_a_row_for_every_operation_under_every_name() -> None:
    rows = [line for line in made["page"]().splitlines() if line.startswith("| `")]
    named = rows[: len(OPERATIONS)]
    for one, line in zip(OPERATIONS, named, strict=True):
        assert one.constant_last or all(f"`{name}" in line for name in one.names)
        assert made["prose"](one.summary) in line


@pytest.mark.parametrize("path", written["SECTIONS"], ids=lambda path: path.name)
def test_functions_and_stubs_are_what_their_script_writes(path: Path) -> None:
    assert path.read_text() == written["written"](path), "run cpp/make_operations.py"
