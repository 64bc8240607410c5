"""`python -m tapegrad` has commands, and tells where its C++ parts are."""

from __future__ import annotations

from pathlib import Path

import pytest

import tapegrad
from support.running import python
from tapegrad.__main__ import main


def test_the_command_line_tells_version_and_commands(tmp_path: Path) -> None:
    found = python(tmp_path, "-m", "tapegrad", "--version")
    assert found.stdout == f"tapegrad {tapegrad.__version__}\n"
    for arguments in [], ["--help"]:
        found = python(tmp_path, "-m", "tapegrad", *arguments)
        assert found.returncode == 0
        assert all(f"\n  {name} " in found.stdout for name in ("run", "demo", "info"))


def test_an_unknown_command_is_an_error_with_status_2(tmp_path: Path) -> None:
    found = python(tmp_path, "-m", "tapegrad", "fly")
    assert found.returncode == 2
    assert "invalid choice: 'fly'" in found.stderr


def test_the_command_line_tells_where_headers_and_cmake_package_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sources, build = tmp_path / "sources", tmp_path / "build"
    (build / "include").mkdir(parents=True)
    monkeypatch.setattr(tapegrad, "__path__", [str(sources), str(build)])
    assert main(["--includedir"]) == 0
    assert capsys.readouterr().out == f"{build / 'include'}\n"
    assert main(["--cmakedir"]) == 1
    told = capsys.readouterr().err
    assert "no cmake folder" in told
    assert str(sources / "cmake") in told
