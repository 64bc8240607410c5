"""`python -m tapegrad run` runs notebooks in a terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.running import run, write


def write_notebook(folder: Path, cells: Sequence[str], name: str = "book.ipynb") -> Path:
    """A notebook of code cells, below a cell of text."""
    text: dict[str, Any] = {"cell_type": "markdown", "metadata": {}, "source": ["# %magic"]}
    code: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": cell.splitlines(keepends=True),
        }
        for cell in cells
    ]
    notebook = {"cells": [text, *code], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    return write(folder, name, json.dumps(notebook))


def test_the_cells_of_a_notebook_run_in_order_and_show_their_last_value(tmp_path: Path) -> None:
    cells = [
        "from micrograd.engine import Value\na = Value(2.0, label='a')",
        "(a * 3)  # shown",
        "a + 1;  # a semicolon hides it",
        "",
        "1\n2\nb = 3",
        "b\nNone",
        "_ + 1 if isinstance(_, int) else 'text'",
        "display('x', 1)",
    ]
    write_notebook(tmp_path, cells)
    found = run(tmp_path, "book.ipynb")
    assert found.stdout == "Value(data=6.0)\n'text'\n'x'\n1\n", found.stderr
    assert found.stderr == ""


def test_a_notebook_runs_in_its_folder_as_the_main_module(tmp_path: Path) -> None:
    cells = [
        "import os, pickle, sys\nclass Point: pass\nassert '__file__' not in globals()",
        "print(os.getcwd(), sys.path[0], sys.argv, __name__)",
        "pickle.loads(pickle.dumps(Point())).__class__.__name__",
    ]
    write_notebook(tmp_path / "deep", cells)
    deep = tmp_path / "deep"
    expected = f"{deep} {deep} ['deep/book.ipynb', '-x'] __main__\n'Point'\n"
    assert run(tmp_path, "deep/book.ipynb", "-x").stdout == expected


def test_a_traceback_shows_the_cell_and_its_line(tmp_path: Path) -> None:
    write_notebook(tmp_path, ["def f(x):\n    return 1 / x", "print('before')", "\nf(0)"])
    found = run(tmp_path, "book.ipynb")
    assert found.stdout == "before\n"
    assert found.returncode == 1
    lines = [line for line in found.stderr.splitlines() if "^" not in line]
    assert lines == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/book.ipynb, cell 3", line 2, in <module>',
        "    f(0)",
        f'  File "{tmp_path}/book.ipynb, cell 1", line 2, in f',
        "    return 1 / x",
        "ZeroDivisionError: division by zero",
    ]


def test_a_syntax_error_is_met_when_its_cell_is(tmp_path: Path) -> None:
    write_notebook(tmp_path, ["print('before')", "x = 1\ny = = 2"])
    found = run(tmp_path, "book.ipynb")
    assert found.stdout == "before\n"
    assert found.stderr.splitlines()[:2] == [
        f'  File "{tmp_path}/book.ipynb, cell 2", line 2',
        "    y = = 2",
    ]


def test_future_imports_hold_for_later_cells(tmp_path: Path) -> None:
    cells = [
        "from __future__ import annotations",
        "def f(x: nothing): pass\nf.__annotations__",
    ]
    write_notebook(tmp_path, cells)
    assert run(tmp_path, "book.ipynb").stdout == "{'x': 'nothing'}\n"


def test_exit_in_a_notebook_ends_the_run(tmp_path: Path) -> None:
    write_notebook(tmp_path, ["import sys\nsys.exit(4)", "print('later')"])
    found = run(tmp_path, "book.ipynb")
    assert (found.returncode, found.stdout, found.stderr) == (4, "", "")


WITHOUT_IPYTHON = "import sys; sys.modules['IPython'] = None"
MAGICS = [
    "import os\n%matplotlib inline\nx = 3",
    "!echo from the shell\nfiles = !echo one; echo two\nfiles",
    "?x",
    "os.path?",
    "%%time\n\nx + 1",
    "%%html\n<b>not Python</b>",
    "%time x * 2",
    "for i in range(2):\n    %matplotlib inline\nx %= 2\nx",
    "get_ipython().run_line_magic('load_ext', 'autoreload')",
    "get_ipython().run_cell_magic('bash', '', 'ls')",
    "text = '''\n%kept\n'''\n",
]


@pytest.mark.parametrize("ipython", [True, False], ids=["with IPython", "without IPython"])
def test_magics_and_commands_of_a_notebook(tmp_path: Path, ipython: bool) -> None:
    if ipython:
        pytest.importorskip("IPython")
    cells = MAGICS if ipython else [WITHOUT_IPYTHON, *MAGICS]
    write_notebook(tmp_path, cells)
    found = run(tmp_path, "book.ipynb")
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert lines[:3] == ["from the shell", "['one', 'two']", "4"]
    assert lines[3].startswith("Wall time: ")
    assert lines[4:] == ["6", "1"]
    assert found.stderr.splitlines() == [
        "tapegrad run: skipped %matplotlib inline",
        "tapegrad run: skipped ? x",
        "tapegrad run: skipped ? os.path",
        "tapegrad run: %%time does nothing here",
        f"tapegrad run: skipped cell {6 if ipython else 7}: %%html",
        "tapegrad run: skipped %load_ext autoreload",
        "tapegrad run: skipped %%bash",
    ]


def test_names_in_commands_are_replaced_where_ipython_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    write_notebook(tmp_path, ["x = 20", "!echo {x + 1} $x"])
    assert run(tmp_path, "book.ipynb").stdout == "21 20\n"


def test_pictures_of_a_notebook_need_no_screen(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    cells = [
        "import matplotlib.pyplot as plt\n%matplotlib inline",
        "plt.plot([1, 2]);",
        "plt.figure()\nplt.plot([2, 1])\nplt.show()\nplt.get_fignums()",
        "plt.savefig('empty.png')\nplt.get_fignums()",
    ]
    write_notebook(tmp_path, cells)
    without = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")}
    found = run(tmp_path, "book.ipynb", env=without)
    assert found.stdout == "[1]\n[1]\n"
    assert found.stderr.splitlines() == [
        "tapegrad run: skipped %matplotlib inline",
        "tapegrad run: figures drawn but not shown: 3 (plt.savefig keeps one)",
    ]


def test_a_class_is_replaced_in_every_cell_that_defines_it(tmp_path: Path) -> None:
    cells = [
        "class Value:\n    def __init__(self, data, _children=(), _op='', label=''): ...",
        "Value(2.0) * 3",
        "class Value:\n    def softsign(self): return self / (1 + abs(self.data))",
        "Value(1.0).softsign()",
    ]
    write_notebook(tmp_path, cells)
    found = run(tmp_path, "--replace-class", "Value", "book.ipynb")
    assert found.stdout == "Value(data=6.0)\nValue(data=0.5)\n", found.stderr
    assert found.stderr.count("is now tapegrad's Value") == 2
