"""The Python tests lie in folders like the package's."""

from __future__ import annotations

from pathlib import Path

from support.paths import REPOSITORY, TESTS


def folders(above: Path) -> set[str]:
    """The folders there that hold more than bytecode."""
    return {
        path.name for path in above.iterdir() if any(f.suffix != ".pyc" for f in path.rglob("*.*"))
    }


def test_the_tests_have_the_folders_of_the_package() -> None:
    private = {"_former"}  # tested by transforms/test_pickling_functions.py
    package = folders(REPOSITORY / "python" / "tapegrad") - private
    assert package - folders(TESTS) == {"demo"}  # in commands/
