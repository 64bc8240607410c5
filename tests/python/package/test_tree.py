"""The tree that CONTRIBUTING.md shows is the one that is there."""

from __future__ import annotations

import re
from pathlib import Path

from support.paths import REPOSITORY, TESTS

# A folder or files at the left, and after two spaces what they are.
LINE = re.compile(r"(?P<indent> *)(?P<names>\S+(?: \S+)*)(?: {2,}.*)?")


def shown() -> set[Path]:
    """The files and folders that the first code block after the heading names."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text.partition("\n## Repository layout\n")[2].split("```")[1]
    found: set[Path] = set()
    above = REPOSITORY
    for line in block.strip("\n").split("\n"):
        match = LINE.fullmatch(line)
        assert match is not None, line
        if len(match["indent"]) > 2:  # goes on
            continue
        names = [name for name in match["names"].split() if name != "..."]
        folder = above if match["indent"] else REPOSITORY
        found.update(folder / name for name in names)
        if not match["indent"]:
            above = REPOSITORY / names[0]
    return found


def test_what_it_shows_is_there() -> None:
    missing = [str(path.relative_to(REPOSITORY)) for path in shown() if not path.exists()]
    assert missing == []


def folders(above: Path) -> set[Path]:
    """The folders there that hold more than bytecode."""
    return {path for path in above.iterdir() if any(f.suffix != ".pyc" for f in path.rglob("*.*"))}


def test_it_shows_every_folder_of_the_package() -> None:
    assert folders(REPOSITORY / "python" / "tapegrad") - shown() == set()


def test_the_tests_have_the_folders_of_the_package() -> None:
    private = {"_former"}  # tested by transforms/test_pickling_functions.py
    package = {path.name for path in folders(REPOSITORY / "python" / "tapegrad")} - private
    assert package - {path.name for path in folders(TESTS)} == {"demo"}  # in commands/
