"""The examples of docs/functions.md print what their comments say."""

from __future__ import annotations

import contextlib
import io
import re

import pytest

from support.paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "functions.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if PAGE.exists() else []


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) == 8


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_prints_what_its_comments_say(example: str) -> None:
    if "scipy" in example or "sparse=True" in example:
        pytest.importorskip("scipy")
    said = [
        line.split("#", 1)[1].split(": ")[0].strip()
        for line in example.splitlines()
        if line.startswith("print(")
    ]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(example, {"__name__": "example"})
    assert printed.getvalue().splitlines() == said
