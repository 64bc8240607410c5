"""Classes that Value cannot stand for stay, and a note says why; the numbers are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.engines import CLOSURES, DISPATCHING, TRAINING, assert_same_output
from support.running import python, run, write

NEW = "    def __new__(cls, *a, **k):\n        return object.__new__(cls)\n\n"
REGISTER = "known = []\n\ndef register(x):\n    known.append(x)\n    return x\n"
NEWTON = """    def root(self):
        x = 1.0
        while abs(x * x - self.data) > 1e-9 * x:
            x = (x + self.data / x) / 2
        return Value(x, (self,), "root")
"""

# Of an engine: what is replaced in its source and by what, what comes after it, and the reason.
KINDS = {
    "the constructor consults a global": (
        CLOSURES,
        ("set(_children)", "set(_children) if ENABLED else set()"),
        ("import random", "import random\nENABLED = True"),
        "",
        "its __init__ uses ENABLED",
    ),
    "the constructor consults the class": (
        CLOSURES,
        ("set(_children)", "set(_children) if self.enabled else set()"),
        ("    def __repr__", "    enabled = True\n\n    def __repr__"),
        "",
        "its __init__ depends on Value.enabled",
    ),
    "the constructor looks at its operands": (
        CLOSURES,
        ("self.label = label", "self.label = label\n"
         "        self.depth = 1 + max((c.depth for c in self._prev), default=0)"),
        ("", ""),
        "print(loss.depth)",
        "its __init__ looks at the depth of its operands",
    ),
    "the constructor counts": (
        CLOSURES,
        ("self.label = label", "self.label = label\n        Value.count += 1"),
        ("    def __init__", "    count = 0\n\n    def __init__"),
        "print(Value.count)",
        "its __init__ assigns Value.count",
    ),
    "the constructor rounds": (
        CLOSURES,
        ("self.data = data", "self.data = round(data, 6)"),
        ("", ""),
        "",
        "its constructor changes the number",
    ),
    "the constructor keeps its number twice": (
        CLOSURES,
        ("self.data = data", "self.data = self.first = data"),
        ("", ""),
        "print(w.first)",
        "its nodes keep their number more than once, as data and first",
    ),
    "the constructor gives a dict": (
        CLOSURES,
        ("self.label = label", "self.label = label\n        self.meta = {'made': True}"),
        ("", ""),
        "print(len(w.meta))",
        "its constructor gives every node a meta of its own",
    ),
    "it makes its objects": (
        CLOSURES,
        ("    def __repr__", f"{NEW}    def __repr__"),
        ("", ""),
        "",
        "it defines __new__",
    ),
    "it answers for missing attributes": (
        CLOSURES,
        ("    def __repr__", "    def __getattr__(self, name): return len(name)\n    def __repr__"),
        ("", ""),
        "print(w.anything)",
        "it defines __getattr__",
    ),
    "it has a metaclass": (
        CLOSURES,
        ("class Value:", "class Value(metaclass=Meta):"),
        ("import random", "import random\n\nclass Meta(type):\n    pass\n"),
        "",
        "it has a metaclass",
    ),
    "it is registered by a decorator": (
        CLOSURES,
        ("class Value:", "@register\nclass Value:"),
        ("import random", f"import random\n{REGISTER}"),
        "print(len(known))",
        "it is decorated by register",
    ),
    "its operations are registered": (
        CLOSURES,
        ("    def tanh", "    @register\n    def tanh"),
        ("import random", f"import random\n{REGISTER}"),
        "print(len(known))",
        "its tanh is decorated by register",
    ),
    "its body runs statements": (
        CLOSURES,
        ("    def __repr__", "    for i in range(2):\n        print(i)\n\n    def __repr__"),
        ("", ""),
        "",
        "its body runs statements",
    ),
    "an operation of its own dispatch depends on a switch": (
        DISPATCHING,
        ("self.data / (1.0", "self.data * Value.scale / (1.0"),
        ("    def __init__", "    scale = 2.0\n\n    def __init__"),
        "x = w.softsign()\nprint(x.data)",
        "its softsign depends on Value.scale, and makes nodes",
    ),
    "its own dispatch depends on a switch": (
        DISPATCHING,
        ("self.grad = 1.0", "self.grad = Value.seed"),
        ("    def __init__", "    seed = 2.0\n\n    def __init__"),
        "",
        "it has no backward() that could be tried",
    ),
    "its own dispatch clips": (
        DISPATCHING,
        ("child.grad += v.grad", "child.grad += max(-0.3, min(0.3, v.grad))"),
        ("", ""),
        "",
        "its __add__ gives other numbers at 2 and 3 when it works on tapegrad's nodes",
    ),
    "the program makes nodes for its dispatch": (
        DISPATCHING,
        ("", ""),
        ("", ""),
        "x = Value(w.data + b.data, (w, b), '+')\nx.backward()\nprint(x.data, w.grad)",
        "the program makes nodes outside it",
    ),
    "the program assigns what a node has": (
        CLOSURES,
        ("", ""),
        ("", ""),
        "loss._prev = set()\nloss.backward()\nprint(w.grad)",
        "the program assigns the _prev of a node",
    ),
    "the program compares types": (
        CLOSURES,
        ('label=""', 'label="", trainable=True'),
        ("self.label = label", "self.label = label\n        self.trainable = trainable"),
        "print(type(loss) is Value)",
        "the program compares types",
    ),
    "an operation of its own dispatch is a lambda": (
        DISPATCHING,
        ("    def softsign", "    relu = lambda self: Value(max(self.data, 0.0), (self,), 'relu')\n"
         "\n    def softsign"),
        ("            elif v._op == \"softsign\":", "            elif v._op == 'relu':\n"
         "                v._prev[0].grad += (v.data > 0) * v.grad * 0.5\n"
         "            elif v._op == \"softsign\":"),
        "x = (w * w).relu()\nx.backward()\nprint(x.data, w.grad)",
        "its relu is no function written there",
    ),
    "its grad is a property": (
        CLOSURES,
        ("self.grad = 0.0", "self._grad = 0.0"),
        ("    def __repr__", "    @property\n    def grad(self):\n        return self._grad\n\n"
         "    @grad.setter\n    def grad(self, grad):\n        self._grad = grad\n\n"
         "    def __repr__"),
        "",
        "it defines grad itself",
    ),
    "its operations are all lambdas": (
        CLOSURES,
        ("    def __add__", "    def _add"),
        ("    def backward", "    __add__ = lambda self, other: self._add(other)\n"
         "    __mul__ = (lambda f: lambda self, other: f(self, other))(__mul__)\n"
         "    __truediv__, __sub__, __neg__, __pow__, tanh, __rmul__, __radd__ = (\n"
         "        lambda self, o: self * o**-1, lambda self, o: self + o * -1, None, None,\n"
         "        (lambda f: lambda self: f(self))(tanh), None, None)\n\n    def backward"),
        "",
        "none of its operations could be tried",
    ),
    "a loop of its own has no end": (
        DISPATCHING,
        ("    def softsign", NEWTON + "\n    def softsign"),
        ("            elif v._op == \"softsign\":", "            elif v._op == \"root\":\n"
         "                v._prev[0].grad += v.grad / (2 * v.data)\n"
         "            elif v._op == \"softsign\":"),
        "x = (w * w + 2.0).root()\nx.backward()\nprint(x.data, w.grad)",
        "a loop of its own had no end",
    ),
    "its nodes have a name that is a method": (
        CLOSURES,
        ("self.label = label", "self.label = label\n        self.clip = None"),
        ("", ""),
        "print(w.clip)",
        "its nodes have a clip, which is a method of tapegrad's Value",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_stays_where_value_cannot_stand_for_it(tmp_path: Path, kind: str) -> None:
    engine, first, second, after, reason = KINDS[kind]
    for old, new in (first, second):
        assert old in engine
        engine = engine.replace(old, new, 1)
    write(tmp_path, "program.py", f"{engine}\n{TRAINING}\n{after}\n")
    expected = python(tmp_path, "program.py")
    assert expected.returncode == 0, expected.stderr
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert found.returncode == 0, found.stderr
    assert f"tapegrad run: class Value of __main__ is kept: {reason}" in found.stderr
    assert found.stderr.count("\n") == 1
    assert_same_output(found.stdout, expected.stdout)


def test_a_class_with_a_base_from_another_module_stays(tmp_path: Path) -> None:
    base = "import math\n\nclass Base:\n    def log(self):\n        return math.log(self.data)\n"
    write(tmp_path, "base.py", base)
    engine = CLOSURES.replace("class Value:", "from base import Base\n\nclass Value(Base):")
    write(tmp_path, "program.py", f"{engine}\n{TRAINING}\nprint(Value(2.0).log())\n")
    expected = python(tmp_path, "program.py")
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert "is kept: its base Base is defined elsewhere" in found.stderr
    assert_same_output(found.stdout, expected.stdout)


@pytest.mark.parametrize("first", ["plain", "own"])
def test_two_engines_that_differ_are_not_mixed(tmp_path: Path, first: str) -> None:
    own = CLOSURES.replace("(1 - t**2) * out.grad", "(1 - t**2) * out.grad * 0.5")
    engines = {"plain": CLOSURES, "own": own}
    second = "own" if first == "plain" else "plain"
    write(tmp_path, "first.py", engines[first])
    write(tmp_path, "second.py", engines[second])
    training = TRAINING.replace("Value(", "engine.Value(")
    program = f"import first, second\nfor engine in (first, second):{training}"
    program = program.replace("\n", "\n    ").replace("\n    for engine", "\nfor engine")
    write(tmp_path, "program.py", program)
    expected = python(tmp_path, "program.py")
    assert expected.returncode == 0, expected.stderr
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert "class Value of first is now tapegrad's Value" in found.stderr
    assert "class Value of second is kept: first.Value was replaced before it" in found.stderr
    assert_same_output(found.stdout, expected.stdout)
