"""What a program expects of its nodes and Value does not give keeps the class, or the operation."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.engines import CLOSURES, FINISH, METHOD, TRAINING, assert_same_output, closure
from support.running import python, run, write

NONE_LEAF = ("self._backward = lambda: None", "self._backward = None")
CALL_STEP = ("            node._backward()", "            node._backward and node._backward()")
WALK = """
def nodes(v, seen):
    if v not in seen:
        seen.append(v)
        for child in v._prev:
            nodes(child, seen)
    return seen
"""
POWER = closure("pow", ", exponent", "self.data ** exponent", "exponent * self.data")
MAXIMUM = """    def maximum(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return self if self.data > other.data else other * 1.0

"""
LEAKY = closure(
    "leaky_relu", ", alpha=0.01", "self.data if self.data > 0 else alpha * self.data",
    "1.0 if self.data > 0 else alpha",
)  # fmt: skip
LOG = closure("log", "", "math.log(self.data)", "1 / self.data")
LISTS = (
    "    def __mul__(self, other):\n",
    "    def __mul__(self, other):\n        if isinstance(other, list):\n"
    "            return [self * x for x in other]\n",
)
LENGTHS = (LISTS[0], LISTS[1].replace("isinstance(other, list)", "hasattr(other, '__len__')"))
RETURNS = (
    "            node._backward()\n",
    "            node._backward()\n        return RESULT\n",
)
CHECKS = (
    "        self.data = data\n",
    "        if not isinstance(data, (int, float)):\n            raise ValueError('bad data')\n"
    "        self.data = data\n",
)
WRAPS = (
    "    def tanh(self):\n",
    "    def tanh(self):\n        self = self if isinstance(self, Value) else Value(self)\n",
)

# Changes in an engine and what comes after training: the class is replaced, but for what is told.
OWN = {
    "an operation is read into a name": (
        [], f"{WALK}\nops = []\nfor n in nodes(w - b / w, []):\n    op = n._op\n"
        "    ops.append(op)\nprint(sorted(ops))",
        "__sub__ (makes nodes of another operation",
    ),
    "operations are counted": (
        [], f"from collections import Counter\n{WALK}\n"
        "print(sorted(Counter(n._op for n in nodes(w - b / w, [])).items()))",
        "__sub__ (makes nodes of another operation",
    ),
    "operations are compared in a method of the class": (
        [(METHOD, "    def is_sum(self):\n        op = self._op\n        return op == '+'\n\n"
          + METHOD)],
        "print((w - b).is_sum())",
        "__sub__ (makes nodes of another operation",
    ),
    "operations are asked for by getattr": (
        [], "print({getattr(x, '_op'): 1 for x in (w - b, w * b)})",
        "__sub__ (makes nodes of another operation",
    ),
    "operations are got by attrgetter": (
        [],
        "from operator import attrgetter\nprint(list(map(attrgetter('_op'), (w - b, w * b))))",
        "__sub__ (makes nodes of another operation",
    ),
    "a keyword by methodcaller": (
        [(METHOD, POWER + METHOD)],
        f"from operator import methodcaller\ny = methodcaller('pow', exponent=2)(w) * b\n{FINISH}",
        "pow (has parameters of its own)",
    ),
    "nodes are counted": (
        [], f"{WALK}\nprint(len(nodes(w - b / w, [])))",
        "__sub__ (makes nodes of other operands",
    ),
    "nodes are counted by a method of the class": (
        [(METHOD, "    def size(self):\n        return 1 + sum(c.size() for c in self._prev)\n\n"
          + METHOD)],
        "print((w - b).size())",
        "__sub__ (makes nodes of other operands",
    ),
    "leaves have no step": (
        [NONE_LEAF, CALL_STEP],
        "print([x._backward is None for x in (w, b, w * b, Value(2.0), (w * b).tanh())])\n"
        f"{WALK}\nprint(sum(x._backward is None for x in nodes(w * b + w, [])))",
        "is now tapegrad's Value",
    ),
    "leaves have no step, and some get one": (
        [NONE_LEAF, CALL_STEP],
        "y = w * b\nold = y._backward\ny._backward = lambda: print('step') or old()\n"
        f"w.tag = 1\n{FINISH}\nprint(w._backward, y._backward is None)",
        "is now tapegrad's Value",
    ),
    "the sweep returns its order": (
        [(RETURNS[0], RETURNS[1].replace("RESULT", "topo"))],
        "t = (w - b).backward()\nprint(len(t), [x.grad for x in t][-1])",
        "backward (returns something)",
    ),
    "the sweep returns its node": (
        [(RETURNS[0], RETURNS[1].replace("RESULT", "self"))],
        "print((w - b).backward().data)",
        "backward (returns something)",
    ),
    "a keyword": (
        [(METHOD, POWER + METHOD)],
        f"y = w.pow(exponent=2) * b\n{FINISH}",
        "pow (has parameters of its own)",
    ),
    "keywords in a dict": (
        [(METHOD, POWER + METHOD)],
        f"y = w.pow(**{{'exponent': 2}}) * b\n{FINISH}",
        "pow (has parameters of its own)",
    ),
    "a keyword of a method that is handed on": (
        [(METHOD, POWER + METHOD)],
        f"from functools import partial\ny = partial(w.pow, exponent=2)() * b\n{FINISH}",
        "pow (has parameters of its own)",
    ),
    "a default": (
        [(METHOD, LEAKY + METHOD)],
        f"y = (w * -1.0).leaky_relu() * b + (w * -2.0).leaky_relu(alpha=0.3)\n{FINISH}",
        "leaky_relu (has parameters of its own)",
    ),
    "operands that are lists": (
        [LISTS], f"y = sum(w * [1.0, b, 3.0], b)\n{FINISH}", "__mul__ (treats list in its own way)",
    ),
    "operands that have a length": (
        [LENGTHS], f"y = sum(w * [1.0, b, 3.0], b)\n{FINISH}", "__mul__ (takes [1.0])",
    ),
    "an operation called on the class with numbers": (
        [WRAPS], f"y = Value.tanh(0.5) * w + b.tanh()\n{FINISH}\nprint([f(0.1).data for f in "
        "[Value.tanh]])",
        "tanh (works on numbers as well)",
    ),
    "an error that the program catches": (
        [(METHOD, LOG + METHOD)],
        "try:\n    y = (w * 0.0).log()\nexcept ValueError:\n    y = w * -100.0\n" + FINISH,
        "log (raises ValueError, which the program catches",
    ),
    "an error that the program suppresses": (
        [(METHOD, LOG + METHOD)],
        "import contextlib\ny = w * -100.0\n"
        "with contextlib.suppress(ArithmeticError, ValueError):\n"
        f"    y = (w * 0.0).log()\n{FINISH}",
        "log (raises ValueError, which the program catches",
    ),
}  # fmt: skip

# The same: the class is kept, and why.
KEPT = {
    "operands are cleared": ("y = w * b\ny._prev.clear()\n" + FINISH, "assigns the _prev"),
    "an operand is added": (
        "y = w * 2.0\ny._prev.add(b)\nprint(len(y._prev))", "assigns the _prev",
    ),
    "operands are changed by a name": (
        "y = w * b\noperands = y._prev\noperands.clear()\n" + FINISH, "assigns the _prev",
    ),
    "operands are changed by an operator": (
        "y = w * b\ny._prev -= {w, b}\n" + FINISH, "assigns the _prev",
    ),
    "operands are set by setattr": (
        "y = w * b\nsetattr(y, '_prev', set())\n" + FINISH, "assigns the _prev",
    ),
    "grad is set to None": (
        "w.grad = None\nprint(w.grad)", "sets the grad of a node to None",
    ),
    "grads are set to None at once": (
        "w.grad, b.grad = None, None\nprint(w.grad)", "sets the grad of a node to None",
    ),
    "grad is set to None by setattr": (
        "setattr(w, 'grad', None)\nprint(w.grad)", "sets the grad of a node to None",
    ),
    "grad is deleted": ("del w.grad\nprint(vars)", "sets the grad of a node to nothing"),
    "data is text": ("w.data = 'text'\nprint(w.data)", "sets the data of a node to 'text'"),
    "the step is None": ("y = w * b\ny._backward = None\nprint(w.data)", "sets the _backward"),
    "its dict by vars": ("print(vars(w)['data'])", "lists the attributes of its nodes"),
    "its dict": ("w.__dict__.update(data=7.0)\nprint(w.data)", "lists the attributes of its nodes"),
    "its attributes by dir": ("print('sin' in dir(w))", "lists the attributes of its nodes"),
    "its members": (
        "import inspect\nprint(len([n for n, _ in inspect.getmembers(Value) if n[0] != '_']))",
        "lists the attributes of its nodes",
    ),
    "hasattr": (
        "print(w.sigmoid() if hasattr(w, 'sigmoid') else 'no sigmoid')",
        "whether its nodes have sigmoid",
    ),
    "hasattr of a name": (
        "def act(v, name):\n    return getattr(v, name)() if hasattr(Value, name) else v\n"
        "print(act(w, 'gelu').data, act(w, 'tanh').data)",
        "lists the attributes of its nodes",
    ),
    "getattr with a default": (
        "print(getattr(w, 'gelu', lambda: 'none')())", "whether its nodes have gelu",
    ),
    "AttributeError": (
        "def sine(v):\n    return v.sin()\ntry:\n    print(sine(w))\nexcept AttributeError:\n"
        "    print('no sin')",
        "whether its nodes have sin",
    ),
    "AttributeError of a name": (
        "def call(v, name):\n    return getattr(v, name)().data\ntry:\n    print(call(w, 'sin'))\n"
        "except AttributeError:\n    print('no sin')",
        "tests for any attribute of its nodes",
    ),
    "any error": (
        "try:\n    print(w.sin())\nexcept Exception:\n    print('no sin')",
        "whether its nodes have sin",
    ),
    "arrays": (
        "import numpy as np\nx = Value(np.array([1.0, 2.0]))\nprint((x * x).data.tolist())",
        "makes nodes of np.array",
    ),
    "arrays by a name": (
        "import numpy as np\nn = np.ones(2)\nx = Value(n)\nprint((x * x).data.shape)",
        "makes nodes of n,",
    ),
    "fractions": (
        "from fractions import Fraction\nx = Value(Fraction(1, 3))\nprint((x * x).data)",
        "makes nodes of Fraction(1, 3)",
    ),
    "complex numbers": ("x = Value(1.0 + 2j)\nprint((x * x).data)", "makes nodes of 1.0 + 2j"),
    "text under another name of the class": (
        "V = Value\nx = V('abc')\nprint(x.data)",
        "makes nodes of 'abc'",
    ),
    "parts of a number": (
        "import numpy as np\nw.data = np.float64(2.0)\nprint(w.data.item())",
        "takes data.item of a node",
    ),
    "a label is None": ("w.label = None\nprint(w.label)", "sets the label of a node to None"),
    "a label is a number": ("w.label = 3\nprint(w.label)", "sets the label of a node to 3"),
    "nodes of nothing": ("x = Value(None)\nx.data = 3.0\nprint(x.data)", "makes nodes of None"),
}  # fmt: skip


def assert_runs_alike(folder: Path, engine: str, after: str, told: str) -> str:
    after = f"w.grad = b.grad = 0.0\n{after}"
    write(folder, "program.py", f"{engine}\n{TRAINING}\n{after}\n")
    expected = python(folder, "program.py")
    assert expected.returncode == 0, expected.stderr
    found = run(folder, "--replace-class", "Value", "program.py")
    assert found.returncode == 0, found.stderr
    assert told in found.stderr
    assert found.stderr.count("\n") == 1
    assert_same_output(found.stdout, expected.stdout)
    return found.stderr


@pytest.mark.parametrize("kind", OWN)
def test_an_operation_stays_own_where_the_program_sees_a_difference(
    tmp_path: Path, kind: str
) -> None:
    changes, after, told = OWN[kind]
    engine = CLOSURES
    for old, new in changes:
        assert old in engine
        engine = engine.replace(old, new, 1)
    assert "class Value of __main__ is now tapegrad's Value" in assert_runs_alike(
        tmp_path, engine, after, told
    )


@pytest.mark.parametrize("kind", KEPT)
def test_a_class_is_kept_where_the_program_sees_a_difference(tmp_path: Path, kind: str) -> None:
    after, told = KEPT[kind]
    assert "class Value of __main__ is kept: " in assert_runs_alike(tmp_path, CLOSURES, after, told)


def test_slots_that_refuse_an_attribute_do_so(tmp_path: Path) -> None:
    slots = "    __slots__ = ('data', 'grad', '_backward', '_prev', '_op', 'label')\n\n"
    engine = CLOSURES.replace("    def __init__", slots + "    def __init__", 1)
    after = "try:\n    w.tag = 1\nexcept AttributeError:\n    print('no tag')"
    assert_runs_alike(tmp_path, engine, after, "is kept: its nodes have no tag")


LACKING = {
    "an order": "w < b",
    "the largest": "max([w, b]).data",
    "an absolute value": "abs(w).data",
    "a format": "f'{w:.2f}'",
    "a number to a power": "(2**w).data",
    "a difference from a number": "(1 - w).data",
}


@pytest.mark.parametrize("kind", LACKING)
def test_a_class_is_kept_where_the_program_catches_what_it_lacks(tmp_path: Path, kind: str) -> None:
    after = f"try:\n    print({LACKING[kind]})\nexcept TypeError:\n    print('unsupported')"
    told = "is kept: the program tests whether its nodes have __"
    assert_runs_alike(tmp_path, CLOSURES, after, told)


METHODS = {
    "detaches": ("self._prev.clear()", "y = w * b\ny.change()\ny.backward()\nprint(w.grad)"),
    "forgets": ("self._prev = set()", "y = w * b\ny.change()\ny.backward()\nprint(w.grad)"),
    "clears its grad": ("self.grad = None", "w.change()\nprint(w.grad)"),
    "looks into itself": ("print(sorted(self.__dict__)[0])", "w.change()"),
    "asks itself": ("print(hasattr(self, 'sinh'))", "w.change()"),
}


@pytest.mark.parametrize("kind", METHODS)
def test_a_class_is_kept_where_its_own_methods_would_do_other_things(
    tmp_path: Path, kind: str
) -> None:
    body, after = METHODS[kind]
    method = f"    def change(self):\n        {body}\n\n"
    engine = CLOSURES.replace(METHOD, method + METHOD, 1)
    told = "class Value of __main__ is kept: "
    after = after.replace("y.backward()", "y.grad = 1.0\ny.backward()")
    assert_runs_alike(tmp_path, engine, after, told)


@pytest.mark.parametrize("bad", ["'x'", "None", "[1.0]"])
def test_a_constructor_that_refuses_in_its_own_way_does_so(tmp_path: Path, bad: str) -> None:
    assert CHECKS[0] in CLOSURES
    after = f"try:\n    [Value(x) for x in [{bad}]]\nexcept ValueError as e:\n    print(e)"
    engine = CLOSURES.replace(*CHECKS)
    assert_runs_alike(tmp_path, engine, after, "its constructor raises ValueError")
    # Where nobody catches it the class need not be kept.
    assert_runs_alike(tmp_path, engine, "", "is now tapegrad's Value")


@pytest.mark.parametrize(
    ("made", "kept"), [("float(data)", False), ("np.float64(data)", True), ("np.array(data)", True)]
)
def test_a_constructor_that_makes_another_number_of_its_own(
    tmp_path: Path, made: str, kept: bool
) -> None:
    engine = CLOSURES.replace("self.data = data", f"self.data = {made}", 1)
    after = (
        "print(w.data.item(), w.data.shape)"
        if kept
        else "rows = ['2.5']\nprint(Value(rows[0]).data)"
    )
    told = "is kept: its " if kept else "is now tapegrad's Value"
    assert_runs_alike(tmp_path, f"import numpy as np\n{engine}", after, told)


SHOWN = """
print(f"{w._op} {(w * b)._op}")
for n in (w, w - b):
    if n._op:
        print("op " + n._op, str(n._op), n._op or "leaf")
    else:
        print("leaf", n._op == "")
"""


def test_an_operation_that_is_only_shown_is_the_engines(tmp_path: Path) -> None:
    write(tmp_path, "program.py", f"{CLOSURES}\n{TRAINING}\n{SHOWN}")
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert found.returncode == 0
    assert "__sub__" not in found.stderr


OPTIONS = """
import argparse, dataclasses

class Config:
    def __init__(self, **options):
        self.__dict__.update(options)
        self.data, self.grad = [], None

args = argparse.ArgumentParser().parse_args([])
print(vars(args), vars(argparse.ArgumentParser().parse_args([])), getattr(args, "x" * 2, 3))
x = [1.0, 2.0]
print([Value(x).data for x in x], Value(data=2.0).data)
print(Config(a=2).a, hasattr(args, "tanh"), getattr(w, "label", ""), getattr(math, "nothing", 1))
"""


def test_what_a_program_asks_of_other_objects_does_not_keep_its_class(tmp_path: Path) -> None:
    assert_runs_alike(tmp_path, CLOSURES, OPTIONS, "is now tapegrad's Value")
