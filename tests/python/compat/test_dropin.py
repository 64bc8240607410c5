"""After install_as_micrograd(), imports of micrograd find tapegrad."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_python(tmp_path: Path, program: str, *options: str) -> str:
    """What a program prints in a fresh process whose folder may hold another micrograd."""
    script = tmp_path / "program.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, *options, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def other_micrograd(tmp_path: Path) -> None:
    """An importable package micrograd that is not tapegrad's."""
    package = tmp_path / "micrograd"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "engine.py").write_text("class Value: pass\n")
    (package / "nn.py").write_text("from micrograd.engine import Value\n")


@pytest.mark.parametrize(
    "program",
    [
        "from micrograd.engine import Value\nassert Value is tapegrad.Value",
        "import micrograd.engine\nassert micrograd.engine.Value is tapegrad.Value",
        "import micrograd\nassert micrograd.engine.Value is tapegrad.Value",
        "import micrograd\nassert micrograd.nn is __import__('tapegrad.nn').nn",
        "from micrograd import nn\nassert nn.__name__ == 'tapegrad.nn'",
        "from micrograd.nn import MLP, Layer, Neuron, Module",
        "import micrograd.util.graph as g\nassert g.__name__ == 'tapegrad.graph'",
        "from micrograd.util import draw\nassert draw.__name__ == 'tapegrad.draw'",
        "from micrograd.util.graph import topological_sort, trace",
        "from micrograd.util.draw import draw_dot",
        "import micrograd.util\nassert micrograd.util.graph.trace",
    ],
)
@pytest.mark.usefixtures("other_micrograd")
def test_every_form_of_import_finds_tapegrad(tmp_path: Path, program: str) -> None:
    begin = "import tapegrad\ntapegrad.install_as_micrograd()\n"
    run_python(tmp_path, begin + program)


def test_it_needs_no_other_micrograd(tmp_path: Path) -> None:
    program = """\
import importlib.util
assert importlib.util.find_spec("micrograd") is None
import tapegrad
tapegrad.install_as_micrograd()
from micrograd.engine import Value
print(Value(2.0) * 3 + 1)
"""
    assert run_python(tmp_path, program) == "Value(data=7.0)\n"


def test_what_micrograd_does_not_have_is_not_found(tmp_path: Path) -> None:
    program = """\
import tapegrad
tapegrad.install_as_micrograd()
import micrograd
for statement in "import micrograd.optim", "from micrograd import optim", "micrograd.optim":
    try:
        exec(statement)
    except (ImportError, AttributeError) as error:
        print(f"{type(error).__name__}: {error}".partition(" (")[0])
"""
    assert run_python(tmp_path, program).splitlines() == [
        "ModuleNotFoundError: No module named 'micrograd.optim'",
        "ImportError: cannot import name 'optim' from 'micrograd'",
        "AttributeError: module 'micrograd' has no attribute 'optim'",
    ]


def test_calling_it_again_changes_nothing(tmp_path: Path) -> None:
    program = """\
import sys
import tapegrad
tapegrad.install_as_micrograd()
import micrograd.nn, micrograd.util.graph
before, finders = micrograd, len(sys.meta_path)
tapegrad.install_as_micrograd()
import micrograd.engine
assert micrograd is before and len(sys.meta_path) == finders
"""
    run_python(tmp_path, program)


@pytest.mark.usefixtures("other_micrograd")
def test_its_modules_can_be_reloaded(tmp_path: Path) -> None:
    program = """\
import importlib
import tapegrad, tapegrad.compat.micrograd
tapegrad.install_as_micrograd()
import micrograd.engine, micrograd.nn, micrograd.util.graph
for module in micrograd, micrograd.engine, micrograd.nn, micrograd.util, micrograd.util.graph:
    assert importlib.reload(module) is module
assert importlib.reload(tapegrad.nn) is micrograd.nn
importlib.reload(tapegrad.compat.micrograd).install_as_micrograd()
from micrograd.engine import Value
assert Value is tapegrad.Value
assert tapegrad.nn.__spec__.name == "tapegrad.nn"
"""
    run_python(tmp_path, program)


@pytest.mark.usefixtures("other_micrograd")
def test_a_micrograd_that_was_imported_before_is_replaced_with_a_warning(tmp_path: Path) -> None:
    program = """\
import warnings
import micrograd.nn
from micrograd.engine import Value as Original
import tapegrad
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    tapegrad.install_as_micrograd()
    tapegrad.install_as_micrograd()
for warning in caught:
    print(warning.category.__name__, warning.message)
    assert warning.filename == __file__
from micrograd.engine import Value
import micrograd
assert Value is tapegrad.Value is not Original
assert micrograd.nn is tapegrad.nn
"""
    told = run_python(tmp_path, program)
    assert told.startswith("RuntimeWarning micrograd was imported before install_as_micrograd()")
    assert told.count("\n") == 1


def test_it_imports_nothing_large(tmp_path: Path) -> None:
    program = """\
import sys
import tapegrad
tapegrad.install_as_micrograd()
import micrograd.engine, micrograd.nn, micrograd.util.graph, micrograd.util.draw
print(sorted({"graphviz", "numpy", "matplotlib", "IPython"} & sys.modules.keys()))
"""
    assert run_python(tmp_path, program) == "[]\n"
