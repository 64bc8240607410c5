"""Type checkers see what is there: the stubs agree with the module, and programs check."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tapegrad
from support.paths import TESTS
from tapegrad import _core

PROGRAMS = Path(__file__).with_name("typing")

# Through __path__: in an editable install the package has more than one folder.
STUBS = next(
    Path(entry) / "_core.pyi" for entry in tapegrad.__path__ if Path(entry, "_core.pyi").exists()
)


def mypy(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A finished mypy tool that finds the package even where an import hook is what Python uses."""
    pytest.importorskip("mypy")
    environment = dict(os.environ)
    if "site-packages" not in STUBS.parts:
        environment["MYPYPATH"] = str(STUBS.parents[1])
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_users_program_is_clean_and_its_mistakes_are_found(tmp_path: Path) -> None:
    files = [str(PROGRAMS / name) for name in ("consumer.py", "mistakes.py")]
    run = mypy(tmp_path, "mypy", "--strict", "--config-file=", "--follow-imports=silent", *files)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_users_program_runs(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, PROGRAMS / "consumer.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_the_stubs_agree_with_the_built_module(tmp_path: Path) -> None:
    # The list is for the whole package, whose other modules need not all be importable here.
    allowlist = ["--allowlist", str(TESTS / "stubtest-allowlist.txt"), "--ignore-unused-allowlist"]
    run = mypy(tmp_path, "mypy.stubtest", "tapegrad._core", *allowlist)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_stubs_export_what_the_module_does_in_the_same_order() -> None:
    # stubtest does not look at the order.
    assignments = [
        node.value
        for node in ast.parse(STUBS.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert [ast.literal_eval(value) for value in assignments] == [_core.__all__]


def test_the_package_exports_each_of_them_once_and_has_all_that_it_exports() -> None:
    assert set(_core.__all__) - {"abs", "pow", "sum"} < set(tapegrad.__all__)
    assert len(set(tapegrad.__all__)) == len(tapegrad.__all__)
    assert all(hasattr(tapegrad, name) for name in tapegrad.__all__)
