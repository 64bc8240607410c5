"""The programs of docs/training.md run, and print what stands behind them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.paths import REPOSITORY
from tapegrad import optim

PAGE = (REPOSITORY / "docs" / "training.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_programs_print_what_their_comments_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("numpy")
    monkeypatch.chdir(tmp_path)
    exec("\n".join(PROGRAMS), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed == re.findall(r"print\(.*\)  # (.*)", "\n".join(PROGRAMS))
    assert len(printed) == 2


def test_the_page_names_every_optimizer_and_schedule() -> None:
    names = {*optim.__all__, *optim.lr_scheduler.__all__} - {"LRScheduler", "lr_scheduler"}
    missing = {name for name in names if f"`{name}`" not in PAGE and f".{name}`" not in PAGE}
    assert not missing
