"""The folders of the C++ sources: who includes whom, and what CONTRIBUTING.md says of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = next(path for path in Path(__file__).parents if (path / "pyproject.toml").is_file())
INCLUDE = ROOT / "cpp" / "include"
CORE = INCLUDE / "tapegrad"
BINDINGS = ROOT / "cpp" / "bindings"
TESTS = ROOT / "tests" / "cpp"

PUBLIC = {
    *("value.hpp", "compact_tape.hpp", "nn.hpp", "optim.hpp", "program.hpp", "coloring.hpp"),
    *("eigen.hpp", "version.hpp"),
}
ENGINES = ("detail/graph", "detail/compact_tape", "detail/ir")
COMPILER = next(
    (x for x in (os.environ.get("CXX"), "c++", "g++", "clang++") if x and shutil.which(x)), None
)


def headers(folder: Path) -> list[Path]:
    """The headers in a folder and those below it."""
    return sorted(folder.rglob("*.hpp"))


def named(path: Path) -> list[str]:
    """The names in the #include directives of a file."""
    return re.findall(r'^ *# *include *[<"]([^">]+)[">]', path.read_text(), re.MULTILINE)


def included(path: Path) -> Iterator[Path]:
    """The files of this repository that a file includes itself."""
    for name in named(path):
        for folder in (path.parent, INCLUDE, BINDINGS, TESTS):
            if (folder / name).is_file():
                yield folder / name
                break


def closure(path: Path) -> set[Path]:
    """A file and all of this repository's that it includes, directly or not."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        if (file := waiting.pop()) not in found:
            found.add(file)
            waiting.extend(included(file))
    return found


def folders(root: Path) -> dict[str, set[str]]:
    """For each folder of headers below `root`, the others that its headers include from."""
    graph: dict[str, set[str]] = {}
    for header in headers(root):
        folder = header.parent.relative_to(root).as_posix()
        others = {
            other.parent.relative_to(root).as_posix()
            for other in included(header)
            if other.is_relative_to(root)
        }
        graph.setdefault(folder, set()).update(others - {folder})
    return graph


def test_no_header_includes_itself_through_others() -> None:
    files = [*headers(ROOT / "cpp"), *headers(TESTS), *headers(ROOT / "bench")]
    assert len(files) > 50
    # Raises CycleError, which names the files.
    list(TopologicalSorter({file: set(included(file)) for file in files}).static_order())


@pytest.mark.parametrize("root", [CORE, BINDINGS], ids=["core", "bindings"])
def test_includes_run_one_way_between_folders(root: Path) -> None:
    graph = folders(root)
    assert len(graph) >= 5
    list(TopologicalSorter(graph).static_order())


def test_headers_outside_detail_are_the_public_ones() -> None:
    assert {path.name for path in CORE.glob("*.hpp")} == PUBLIC
    assert {path.name for path in CORE.iterdir() if path.is_dir()} == {"detail"}


def test_no_internal_header_includes_a_public_one() -> None:
    public = {CORE / name for name in PUBLIC}
    found = [path for path in headers(CORE / "detail") if public & set(included(path))]
    assert found == []


def test_the_engines_do_not_know_each_other() -> None:
    for engine in ENGINES:
        for path in headers(CORE / engine):
            for other in ENGINES:
                if other != engine:
                    seen = [x for x in closure(path) if x.is_relative_to(CORE / other)]
                    assert seen == [], path


def test_includes_name_the_whole_path() -> None:
    """So that a reader, and grep, find the file."""
    for path in headers(CORE):
        for file in included(path):
            assert file.relative_to(INCLUDE).as_posix() in named(path), path


def test_programs_need_no_virtual_memory() -> None:
    files = closure(CORE / "program.hpp")
    assert CORE / "detail" / "ir" / "program.hpp" in files
    assert CORE / "detail" / "base" / "virtual_memory.hpp" not in files
    names = {name for file in files for name in named(file)}
    assert not names & {"sys/mman.h", "unistd.h", "windows.h"}


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler on the path")
@pytest.mark.parametrize("name", ["program.hpp", "coloring.hpp"])
def test_programs_bring_no_system_header_of_virtual_memory(name: str) -> None:
    assert COMPILER is not None
    done = subprocess.run(
        [COMPILER, "-std=c++20", f"-I{INCLUDE}", "-M", "-x", "c++", "-"],
        input=f"#include <tapegrad/{name}>\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"tapegrad/{name}" in done.stdout
    assert "mman.h" not in done.stdout
    assert "windows.h" not in done.stdout


def shown_folders() -> set[str]:
    """The folders in CONTRIBUTING.md's tree: of its first column, and those named beside them."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    block = re.search(r"```\n(cpp/include/tapegrad/.*?)```", text, re.DOTALL)
    assert block is not None
    found: set[str] = set()
    above = ""
    for line in block[1].splitlines():
        row = re.fullmatch(r"( *)((?:[\w.]+/)+)(?: +(.*))?", line)
        assert row is not None, line
        indent, path, description = row.groups()
        if not indent:
            above = path
        folder = path if not indent else above + path
        found.add(folder.rstrip("/"))
        found.update(f"{folder}{name}" for name in re.findall(r"(?<!\S)(\w+)/", description or ""))
    return found


def test_the_tree_in_contributing_is_the_one_on_disk() -> None:
    shown = shown_folders()
    assert len(shown) > 10
    assert [folder for folder in sorted(shown) if not (ROOT / folder).is_dir()] == []
    # Where the tree goes into a folder, it shows all that is in it.
    entered = {parent for folder in shown for parent in Path(folder).parents} - {Path()}
    complete = shown | {parent.as_posix() for parent in entered}
    there = {
        path.relative_to(ROOT).as_posix()
        for parent in entered
        for path in (ROOT / parent).iterdir()
        if path.is_dir() and re.fullmatch(r"[a-z]\w*", path.name)
    }
    assert there - complete == set()
