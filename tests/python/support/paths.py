"""Where this checkout and the stored data of its tests are."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
DATA = TESTS / "data"
REPOSITORY = TESTS.parents[1]
