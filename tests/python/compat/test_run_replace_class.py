"""`--replace-class` puts tapegrad's Value in the place of a program's own class."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from support.running import run, write

# A class as microgpt has one: slots, local gradients, and a sweep over children.
ATOMIC = '''\
"""A program with an engine of its own."""
import math


class Value:
    """A number with local gradients."""

    __slots__ = ("data", "grad", "_children", "_local_grads")

    def __init__(self, data, children=(), local_grads=()):
        self.data, self.grad = data, 0
        self._children, self._local_grads = children, local_grads

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def log(self):
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def softsign(self):
        scale = 1 + abs(self.data)
        return Value(self.data / scale, (self,), (1 / scale**2,))

    def backward(self):
        order, seen = [], set()

        def visit(v):
            if v not in seen:
                seen.add(v)
                for child in v._children:
                    visit(child)
                order.append(v)

        visit(self)
        self.grad = 1
        for v in reversed(order):
            for child, slope in zip(v._children, v._local_grads):
                child.grad += slope * v.grad

    __radd__, __rmul__ = __add__, __mul__


x, y = Value(2.0), Value(-3.0)
loss = (x * y + 7.5).log() + 3 * (x + y).softsign()
loss.backward()
print(f"{loss.data:.12f} {x.grad:.12f} {y.grad:.12f}")
'''


def test_a_class_is_replaced_and_gives_the_methods_that_value_lacks(tmp_path: Path) -> None:
    write(tmp_path, "atomic.py", f"{ATOMIC}\nprint(Value.__module__)")
    own = run(tmp_path, "atomic.py").stdout.splitlines()
    found = run(tmp_path, "--replace-class", "Value", "atomic.py")
    numbers, module = found.stdout.splitlines()
    assert numbers == own[0]
    assert module.startswith("tapegrad")
    assert found.stderr == (
        "tapegrad run: class Value of __main__ is now tapegrad's Value; "
        "kept tapegrad's own: operators, __init__, backward, log; "
        "added from Value: softsign\n"
    )


def test_classes_of_several_names_are_replaced(tmp_path: Path) -> None:
    program = "class A: pass\nclass B: pass\nclass C: pass\nprint(A is B, A is C)"
    write(tmp_path, "program.py", program)
    found = run(tmp_path, "--replace-class", "A", "--replace-class=B", "program.py")
    assert found.stdout == "True False\n"
    assert found.stderr.count("\n") == 2


def test_a_class_that_is_not_there_is_told(tmp_path: Path) -> None:
    program = "def make():\n    class Value: pass\n    return Value\nprint(make().__module__)"
    write(tmp_path, "program.py", program)
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert found.stdout == "__main__\n"
    assert found.stderr == (
        "tapegrad run: --replace-class Value: the program defines no such class at its top level\n"
    )


def test_a_program_that_ends_before_its_class_is_not_told_of(tmp_path: Path) -> None:
    write(tmp_path, "program.py", "raise SystemExit\nclass Value: pass\n")
    assert run(tmp_path, "--replace-class", "Value", "program.py").stderr == ""


def test_a_class_is_replaced_in_modules_beside_the_script_only(tmp_path: Path) -> None:
    write(tmp_path, "app/engine.py", "class Value: pass\n")
    write(tmp_path, "app/parts/__init__.py", "")
    write(tmp_path, "app/parts/other.py", "class Value: pass\n")
    write(tmp_path, "elsewhere/library.py", "class Value: pass\n")
    program = """\
import engine, library, parts.other
for module in engine, parts.other, library:
    print(module.__name__, module.Value.__module__.partition(".")[0])
"""
    write(tmp_path, "app/program.py", program)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "elsewhere"), *sys.path])}
    for _ in range(2):  # The second time bytecode might be cached.
        found = run(tmp_path, "--replace-class", "Value", "app/program.py", env=env)
        told = found.stdout.splitlines()
        assert told == ["engine tapegrad", "parts.other tapegrad", "library library"]
    plain = run(tmp_path, "app/program.py", env=env).stdout.splitlines()
    assert plain == ["engine engine", "parts.other parts", "library library"]


def test_a_module_beside_the_script_keeps_its_lines_and_its_bytecode(tmp_path: Path) -> None:
    engine = (
        "import inspect\n\n\nclass Value:\n    def twice(self):\n        return self + nothing\n"
    )
    write(tmp_path, "engine.py", engine)
    write(tmp_path, "program.py", "from engine import Value\nValue(1.0).twice()")
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert f'File "{tmp_path / "engine.py"}", line 6, in twice' in found.stderr
    assert "return self + nothing" in found.stderr
    assert found.returncode == 1


BEGIN = """\
import tapegrad

def is_ours(cls):
    return cls is tapegrad.Value

"""

SHAPES = {
    "under a condition": """\
try:
    import nothing_of_this_name
except ImportError:
    class Value: pass
print(is_ours(Value))
""",
    "a dataclass": """\
from dataclasses import dataclass

@dataclass(slots=True)
class Value:
    data: float
    _children: tuple = ()

    def cube(self):
        return self ** 3
print(Value(2.0).cube().data == 8.0)
""",
    "with super and __class__": """\
class Value:
    def cls(self): return __class__
    def text(self): return super().__repr__()
    @property
    def seen(self): return __class__
v = Value(1)
print(is_ours(v.cls()) and is_ours(v.seen) and v.text().startswith("<tapegrad"))
""",
    "with static and class methods and properties": """\
class Value:
    @staticmethod
    def one(): return Value(1)

    @classmethod
    def two(cls): return cls(2)

    @property
    def half(self): return self.data / 2
print((Value.one().data, Value.two().data, Value(3).half) == (1, 2, 1.5))
""",
    "with a constant": """\
class Value:
    scale = 3
    def scaled(self): return self * Value.scale
print(Value(2).scaled().data == 6)
""",
    "with special methods of its own": """\
class Value:
    def __call__(self): return "called"
    def __len__(self): return 5
print((Value(1)(), len(Value(1))) == ("called", 5))
""",
    "with mangled names": """\
class Value:
    def __private(self): return True
    def show(self): return self.__private()
print(Value(1).show())
""",
    "with its own way to be copied": """\
import copy

class Value:
    def __setstate__(self, state): 1 / 0
print(copy.deepcopy(Value(1)).data == 1)
""",
    "with a base": """\
class Base:
    def from_base(self): return True
class Value(Base): pass
print(Value(1).from_base())
""",
    "with a base of the library": """\
from typing import Generic, TypeVar

class Value(Generic[TypeVar("T")]):
    def own(self): return True
print(Value(1).own() and not hasattr(Value, "_is_protocol"))
""",
    "derived from micrograd's": """\
from micrograd import engine

class Value(engine.Value):
    def own(self): return True
print((Value(1) + 1).own())
""",
    "defined twice": """\
class Value:
    def own(self): return False
class Value:
    def own(self): return True
print(Value(1).own())
""",
    "inside another class, left alone": """\
class Outer:
    class Value: pass
print(not is_ours(Outer.Value))
""",
    "no class once decorated, left alone": """\
@lambda cls: lambda data: True
class Value: pass
print(Value(1))
""",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_classes_of_every_shape_are_replaced(tmp_path: Path, shape: str) -> None:
    write(tmp_path, "program.py", BEGIN + SHAPES[shape])
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert found.stdout == "True\n", found.stderr
