"""`python -m tapegrad run` runs a program as Python would, with micrograd being tapegrad."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.running import python, run, write

SELF_PORTRAIT = """\
\"\"\"A program that shows how it is run.\"\"\"
import __main__, os, pickle, sys
from helper import number
class Point: pass
assert __name__ == "__main__" and __main__.Point is Point
assert type(pickle.loads(pickle.dumps(Point()))) is Point
print(__file__, sys.argv, sys.path[0], os.getcwd(), __doc__, __spec__, __package__, number)
print(type(__loader__).__name__, sorted(set(globals()) - {"__annotations__"}))
"""


@pytest.mark.parametrize("arguments", [["-h"], ["--help", "--", "-x"], ["--replace-class", "y"]])
def test_a_script_sees_what_it_would_see_under_python(tmp_path: Path, arguments: list[str]) -> None:
    write(tmp_path, "deep/portrait.py", SELF_PORTRAIT)
    write(tmp_path, "deep/helper.py", "number = 42")
    plain = python(tmp_path, "deep/portrait.py", *arguments)
    found = run(tmp_path, "deep/portrait.py", *arguments)
    assert plain.returncode == 0, plain.stderr
    assert (found.stdout, found.stderr, found.returncode) == (plain.stdout, "", 0)


def test_a_script_behind_a_link_finds_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, "real/program.py", "import helper; print(helper.number)")
    write(tmp_path, "real/helper.py", "number = 42")
    (tmp_path / "link.py").symlink_to(tmp_path / "real" / "program.py")
    assert run(tmp_path, "link.py").stdout == "42\n"


def test_a_script_may_have_any_extension_and_encoding(tmp_path: Path) -> None:
    (tmp_path / "train").write_bytes("# coding: latin-1\nprint(len('é'))".encode("latin-1"))
    assert run(tmp_path, "train").stdout == "1\n"


def test_the_future_imports_of_tapegrad_do_not_leak_into_a_script(tmp_path: Path) -> None:
    write(tmp_path, "program.py", "def f(x: 1 + 1): pass\nprint(f.__annotations__)")
    assert (
        run(tmp_path, "program.py").stdout
        == run(tmp_path, "--replace-class", "X", "program.py").stdout
    )
    assert run(tmp_path, "program.py").stdout == "{'x': 2}\n"


ENDINGS = {
    "end": "print('done')",
    "status": "raise SystemExit(7)",
    "message": "import sys; sys.exit('no data')",
    "error": "def f():\n    raise ValueError('bad')\n\nf()",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise OSError(3) from e",
    "syntax": "x = 1\ny = = 2\n",
    "indent": "if True:\nx = 1\n",
    "import": "import broken",
    "missing": "import no_such_module",
    "interrupt": "import atexit\natexit.register(print, 'bye')\nraise KeyboardInterrupt",
    "deep": "def f(): f()\nf()",
    "group": "raise ExceptionGroup('all', [ValueError(1)])",
    "hook": "import sys\nsys.excepthook = lambda k, v, t: print(k, t.tb_frame.f_code.co_name)\n1/0",
    "thread": "import threading as t\nx = t.Thread(target=lambda: 1 / 0)\nx.start()\nx.join()",
}


@pytest.mark.parametrize("replace", [[], ["--replace-class", "Value"]], ids=["plain", "replace"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_script_ends_as_under_python(tmp_path: Path, ending: str, replace: list[str]) -> None:
    write(tmp_path, "program.py", ENDINGS[ending])
    write(tmp_path, "broken.py", "x = 1\nx = = 2\n")
    plain = python(tmp_path, "program.py")
    found = run(tmp_path, *replace, "program.py")
    told = "".join(
        line
        for line in found.stderr.splitlines(keepends=True)
        if not line.startswith("tapegrad run: ")
    )
    assert found.stdout == plain.stdout
    assert found.returncode == plain.returncode
    if ending != "deep":
        assert told == plain.stderr
    else:
        assert "tapegrad" not in told.replace(str(tmp_path), "")


def test_ctrl_c_ends_a_script_as_under_python(tmp_path: Path) -> None:
    program = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
os.kill(os.getpid(), signal.SIGINT)
print("later")
"""
    write(tmp_path, "program.py", program)
    found = run(tmp_path, "program.py")
    assert found.returncode == -signal.SIGINT
    assert found.stdout == ""
    assert found.stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert "tapegrad" not in found.stderr.replace(str(tmp_path), "")


def test_a_folder_runs_by_its_main_module(tmp_path: Path) -> None:
    write(tmp_path, "folder/__main__.py", "import sys; print(sys.argv)")
    assert run(tmp_path, "folder", "-x").stdout == "['folder', '-x']\n"


def test_a_missing_script_is_an_error_with_status_2(tmp_path: Path) -> None:
    for name in ("missing.py", "missing.ipynb"):
        found = run(tmp_path, name)
        expected = f"can't open file '{tmp_path / name}': [Errno 2] No such file or directory\n"
        assert found.stderr == f"tapegrad run: {expected}"
        assert found.returncode == 2


def test_a_folder_without_main_module_is_an_error_with_status_1(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    found = run(tmp_path, "folder")
    assert found.stderr == "tapegrad run: can't find '__main__' module in 'folder'\n"
    assert found.returncode == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not json", "it is not JSON: Expecting value"),
        ("[]", "it has no list of cells"),
        ('{"worksheets": [], "nbformat": 3}', "older than format 4"),
        ('{"cells": [3]}', "malformed cell"),
        ('{"cells": [{"cell_type": "code", "source": 3}]}', "it has a code cell without text"),
        (
            '{"cells": [], "metadata": {"language_info": {"name": "julia"}}}',
            "its language is julia, not Python",
        ),
    ],
)
def test_a_bad_notebook_is_an_error_that_says_why(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path, "bad.ipynb", text)
    found = run(tmp_path, "bad.ipynb")
    assert found.stderr.startswith(f"tapegrad run: can't run '{path}' as a notebook: ")
    assert reason in found.stderr
    assert found.returncode == 2


@pytest.mark.parametrize("arguments", [[], ["--replace-class", "Value"], ["--replace", "x.py"]])
def test_wrong_usage_is_an_error_with_status_2(tmp_path: Path, arguments: list[str]) -> None:
    found = run(tmp_path, *arguments)
    assert found.returncode == 2
    assert "usage: python -m tapegrad run [-h] [--replace-class NAME]" in found.stderr


TRAINING = """\
import random
from micrograd import nn
from micrograd.engine import Value
from micrograd.util.graph import topological_sort

random.seed(3)
model = nn.MLP(2, [4, 1])
rows = [([0.5, -1.0], 1), ([1.5, 0.5], -1)]
for step in range(3):
    loss = sum((1 - y * model(list(map(Value, x)))).relu() for x, y in rows)
    model.zero_grad()
    loss.backward()
    for p in model.parameters():
        p.data -= 0.05 * p.grad
assert type(loss).__module__.startswith("tapegrad")
assert topological_sort(loss)[-1] is loss
print("trained")
"""


def test_a_program_for_micrograd_runs_unchanged(tmp_path: Path) -> None:
    write(tmp_path, "train.py", TRAINING)
    found = run(tmp_path, "train.py")
    assert (found.stdout, found.stderr) == ("trained\n", "")
    write(tmp_path, "micrograd/__init__.py", "raise RuntimeError('this is not tapegrad')")
    found = run(tmp_path, "train.py")
    assert found.stdout == "trained\n"
    assert "(RuntimeError: this is not tapegrad); micrograd is tapegrad's\n" in found.stderr


def test_a_class_of_its_own_stays_its_own_unless_told(tmp_path: Path) -> None:
    write(tmp_path, "program.py", "class Value: pass\nprint(Value.__module__)")
    assert run(tmp_path, "program.py").stdout == "__main__\n"
