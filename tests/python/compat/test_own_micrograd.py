"""A program's own package called micrograd, modules by name, and folders besides the script's."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from support.engines import CLOSURES as ENGINE
from support.engines import DISPATCHING, assert_same_output
from support.running import python, run, write

# Differs from tapegrad.nn on purpose: other weights, another activation, a layer of its own.
NN = """
import random
from micrograd.engine import Value

class Module:
    def zero_grad(self):
        for p in self.parameters():
            p.grad = 0.0

class Neuron(Module):
    def __init__(self, nin):
        self.w = [Value(random.gauss(0, 0.5), label="w") for _ in range(nin)]
        self.b = Value(0.1)
    def __call__(self, x):
        return sum((wi * xi for wi, xi in zip(self.w, x)), self.b).tanh()
    def parameters(self):
        return [*self.w, self.b]

class MLP(Module):
    def __init__(self, nin, nouts):
        sizes = [nin, *nouts]
        self.layers = [[Neuron(n) for _ in range(m)] for n, m in zip(sizes, nouts)]
    def __call__(self, x):
        for layer in self.layers:
            x = [n(x) for n in layer]
        return x[0] if len(x) == 1 else x
    def parameters(self):
        return [p for layer in self.layers for n in layer for p in n.parameters()]
"""
OPTIM = """
from . import engine

class Momentum:
    def __init__(self, parameters, lr):
        self.parameters, self.lr = parameters, lr
        self.velocity = {p: 0.0 for p in parameters}
    def step(self):
        for p in self.parameters:
            assert isinstance(p, engine.Value)
            self.velocity[p] = 0.9 * self.velocity[p] + p.grad
            p.data -= self.lr * self.velocity[p]
"""
TRAIN = """
import random
import micrograd
from micrograd import nn
from micrograd.engine import Value
from micrograd.optim import Momentum

random.seed(3)
model = nn.MLP(2, [4, 1])
optimizer = Momentum(model.parameters(), lr=0.05)
rows = [([0.5, -1.0], 1.0), ([1.5, 0.5], -1.0), ([-0.5, 0.25], 0.3)]
for step in range(10):
    loss = sum(((model(x) - y) ** 2 for x, y in rows), Value(0.0))
    model.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, loss.data, micrograd.VERSION)
"""


def write_package(folder: Path, engine: str = ENGINE) -> None:
    write(folder, "micrograd/__init__.py", "VERSION = 7")
    write(folder, "micrograd/engine.py", engine)
    write(folder, "micrograd/nn.py", NN)
    write(folder, "micrograd/optim.py", OPTIM)


def test_a_package_of_its_own_is_found_with_tapegrads_value(tmp_path: Path) -> None:
    write_package(tmp_path)
    where = "\nimport sys\nprint(Value.__module__, nn.__name__, file=sys.stderr)"
    write(tmp_path, "train.py", TRAIN + where)
    expected = python(tmp_path, "train.py")
    assert expected.returncode == 0, expected.stderr
    found = run(tmp_path, "train.py")
    assert found.returncode == 0, found.stderr
    assert_same_output(found.stdout, expected.stdout)
    told = found.stderr.splitlines()
    assert told[0] == f"tapegrad run: micrograd is the program's own, {tmp_path / 'micrograd'}"
    assert told[1].startswith("tapegrad run: class Value of micrograd.engine is now tapegrad's")
    assert told[2].startswith("tapegrad")
    assert told[2].endswith("micrograd.nn")
    assert len(told) == 3


def test_an_engine_that_value_cannot_stand_for_stays(tmp_path: Path) -> None:
    engine = ENGINE.replace("    def __init__(", "    made = []\n\n    def __init__(")
    engine = engine.replace(
        "        self._op = _op\n",
        "        self._op = _op\n" + " " * 8 + ("Value.made.append(self)\n"),
    )
    write_package(tmp_path, engine)
    write(tmp_path, "train.py", TRAIN + "\nprint(len(Value.made))")
    expected, found = python(tmp_path, "train.py"), run(tmp_path, "train.py")
    assert expected.returncode == 0, expected.stderr
    assert_same_output(found.stdout, expected.stdout)
    assert "class Value of micrograd.engine is kept: its __init__ depends on Value.made" in (
        found.stderr
    )


def test_modules_that_the_package_lacks_are_tapegrads(tmp_path: Path) -> None:
    write_package(tmp_path)
    program = """
import micrograd.util.graph
from micrograd.engine import Value
from micrograd.util.draw import draw_dot
x = Value(2.0)
print(micrograd.util.graph.__name__, draw_dot.__module__, len(micrograd.util.graph.trace(x * x)[0]))
"""
    write(tmp_path, "program.py", program)
    found = run(tmp_path, "program.py")
    assert found.stdout == "tapegrad.graph tapegrad.draw 2\n", found.stderr
    assert "micrograd.util.graph is tapegrad's, since the program's own micrograd has none" in (
        found.stderr
    )


def test_one_module_called_micrograd_is_found(tmp_path: Path) -> None:
    write(tmp_path, "micrograd.py", ENGINE + "\ndef double(x):\n    return x * 2.0\n")
    program = """
from micrograd import Value, double
x = Value(3.0)
y = double(x).tanh() + x
y.backward()
print(y.data, x.grad)
"""
    write(tmp_path, "program.py", program)
    expected, found = python(tmp_path, "program.py"), run(tmp_path, "program.py")
    assert_same_output(found.stdout, expected.stdout)
    assert f"micrograd is the program's own, {tmp_path / 'micrograd.py'}\n" in found.stderr
    assert "class Value of micrograd is now tapegrad's Value" in found.stderr


def test_a_package_without_init_is_found_and_a_folder_of_data_is_not(tmp_path: Path) -> None:
    if find_spec("micrograd") is None:  # otherwise Python finds that one first
        write(tmp_path, "micrograd/engine.py", ENGINE + "\nnumber = 42\n")
        write(tmp_path, "program.py", "from micrograd.engine import number; print(number)")
        assert run(tmp_path, "program.py").stdout == "42\n"
    write(tmp_path, "other/micrograd/weights.json", "{}")
    write(tmp_path, "other/program.py", "from micrograd.nn import MLP; print(MLP.__module__[:8])")
    found = run(tmp_path, "other/program.py")
    assert (found.stdout, found.stderr) == ("tapegrad\n", "")


def test_a_package_that_fails_is_told_of_and_tapegrads_taken(tmp_path: Path) -> None:
    write(tmp_path, "micrograd/__init__.py", "import no_such_thing")
    write(tmp_path, "program.py", "from micrograd import nn; print(nn.__name__)")
    found = run(tmp_path, "program.py")
    assert found.stdout == "tapegrad.nn\n"
    assert found.stderr.splitlines()[1] == (
        "tapegrad run: the program's own micrograd fails (ModuleNotFoundError: No module named "
        "'no_such_thing'); micrograd is tapegrad's"
    )


@pytest.mark.parametrize(
    "arguments", [["--root", "src", "scripts/train.py"], ["--root=src", "-m", "app"]]
)
def test_a_src_layout_is_found_by_its_root(tmp_path: Path, arguments: list[str]) -> None:
    write(tmp_path, "src/app/__init__.py", "")
    write(tmp_path, "src/app/engine.py", DISPATCHING)
    main = "from app.engine import Value\nx = Value(0.5)\ny = (x * x + x).softsign()\n"
    main += "y.backward()\nprint(y.data, x.grad)\n"
    write(tmp_path, "src/app/__main__.py", main)
    write(tmp_path, "scripts/train.py", main)
    expected = python(tmp_path / "src", "-m", "app")
    assert expected.returncode == 0, expected.stderr
    found = run(tmp_path, "--replace-class", "Value", *arguments)
    assert found.returncode == 0, found.stderr
    assert_same_output(found.stdout, expected.stdout)
    assert "class Value of app.engine is now tapegrad's Value" in found.stderr


def test_a_test_folder_finds_the_package_above_it(tmp_path: Path) -> None:
    write_package(tmp_path)
    write(tmp_path, "tests/check.py", TRAIN)
    write(tmp_path, "train.py", TRAIN)
    expected = python(tmp_path, "train.py")
    found = run(tmp_path, "--root", ".", "tests/check.py")
    assert_same_output(found.stdout, expected.stdout)
    assert "micrograd is the program's own" in found.stderr
    # Without the root it is not there, as under Python.
    assert "No module named 'micrograd.optim'" in run(tmp_path, "tests/check.py").stderr


def test_a_root_that_is_no_folder_is_an_error_with_status_2(tmp_path: Path) -> None:
    found = run(tmp_path, "--root", "nowhere", "program.py")
    assert found.returncode == 2
    assert "--root nowhere: no such folder" in found.stderr


PORTRAIT = """
import sys, helper
print(__name__, __package__, __spec__.name, __file__, sys.argv, sys.path[0], __doc__)
"""


@pytest.mark.parametrize("name", ["app", "app.tool", "app.deep", "portrait"])
@pytest.mark.parametrize("replace", [[], ["--replace-class", "Value"]], ids=["plain", "replace"])
def test_a_module_sees_what_it_would_see_under_python(
    tmp_path: Path, name: str, replace: list[str]
) -> None:
    for path in ("app/__main__.py", "app/tool.py", "app/deep/__main__.py", "portrait.py"):
        write(tmp_path, path, f'"""{path}."""' + PORTRAIT + "class Value: pass\n")
    write(tmp_path, "app/__init__.py", "print('imported once')")
    write(tmp_path, "app/deep/__init__.py", "")
    write(tmp_path, "helper.py", "")
    expected = python(tmp_path, "-m", name, "-x", "--", "-m")
    assert expected.returncode == 0, expected.stderr
    found = run(tmp_path, *replace, "-m", name, "-x", "--", "-m")
    assert (found.stdout, found.returncode) == (expected.stdout, 0)
    assert bool(found.stderr) is bool(replace)


@pytest.mark.parametrize("name", ["nothing", "app", "app.nothing", "app.tool.x", "tool.py"])
def test_a_module_that_cannot_be_run_is_an_error_as_under_python(tmp_path: Path, name: str) -> None:
    write(tmp_path, "app/__init__.py", "")
    write(tmp_path, "app/tool.py", "")
    write(tmp_path, "tool.py", "")
    expected, found = python(tmp_path, "-m", name), run(tmp_path, "-m", name)
    assert found.returncode == expected.returncode == 1
    assert found.stderr.startswith("tapegrad run: ")
    assert found.stderr.count("\n") == 1
    assert found.stdout == ""


def test_a_traceback_of_a_module_shows_the_programs_lines_only(tmp_path: Path) -> None:
    write(tmp_path, "app/__init__.py", "")
    write(tmp_path, "app/__main__.py", "from app import engine\n")
    write(tmp_path, "app/engine.py", "def f():\n    raise ValueError('bad')\n\nf()\n")
    found = run(tmp_path, "--replace-class", "Value", "-m", "app")
    assert found.returncode == 1
    lines = [line for line in found.stderr.splitlines() if line.startswith("  File")]
    assert [line.split(", ", 1)[1] for line in lines] == [
        "line 1, in <module>",
        "line 4, in <module>",
        "line 2, in f",
    ]
    assert "\nValueError: bad\n" in found.stderr


def test_a_traceback_through_a_replaced_class_shows_its_lines(tmp_path: Path) -> None:
    engine = DISPATCHING.replace("self.data / (1.0", "self.data / missing / (1.0")
    write(tmp_path, "program.py", engine + "\nprint(Value(1.0).softsign())\n")
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert found.returncode == 1
    assert "return Value(self.data / missing" in found.stderr
    assert "NameError: name 'missing' is not defined" in found.stderr
    assert "tapegrad/" not in found.stderr
