"""Programs that derive from micrograd's Value run unedited and give the numbers that they gave."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from support.engines import CLOSURES, assert_same_output
from support.running import python, run, write

PROGRAMS = {
    "a number of its own making": """
class Scaled(Value):
    def __init__(self, d):
        super().__init__(d * 10)

w, b = Scaled(0.03), Scaled(-0.02)
print(w.data, isinstance(w, Value), type(w).__name__)
""",
    "other parameters and attributes": """
class Parameter(Value):
    def __init__(self, name, data=0.0, *, frozen=False):
        super().__init__(data, label=name)
        self.name = name
        self.frozen = frozen
        self.momentum = 0

    def step(self, lr):
        self.momentum = 0.9 * self.momentum + self.grad
        if not self.frozen:
            self.data -= lr * self.momentum

w, b = Parameter("w", 0.3), Parameter("b", -0.2, frozen=True)
for step in range(3):
    loss = (w * 0.5 + b - 1.0) ** 2 + (w * b).tanh()
    w.grad = b.grad = 0.0
    loss.backward()
    w.step(0.1)
    b.step(0.1)
    print(loss.data, w.momentum, b.momentum, w.name, w.label, b.frozen)
""",
    "slots": """
class Weight(Value):
    __slots__ = ("decay",)

    def __init__(self, data, decay):
        Value.__init__(self, data)
        self.decay = decay

w, b = Weight(0.3, 0.1), Weight(-0.2, 0.0)
print(w.decay, b.decay)
""",
    "operands and an operation": """
class Leaf(Value):
    def __init__(self, data):
        super().__init__(data, _children=(), _op="leaf")

class Cube(Value):
    def __init__(self, x):
        super().__init__(x.data ** 3, (x,), "cube")
        self.x = x

        def _backward():
            self.x.grad += 3 * self.x.data ** 2 * self.grad

        self._backward = _backward

w, b = Leaf(0.3), Leaf(-0.2)
y = Cube(w) * Cube(b) + Cube(w * b)
y.backward()
print(y.data, w.grad, b.grad, w._op, Cube(w)._op, len(Cube(w)._prev))
w.grad = b.grad = 0.0
""",
    "two levels": """
class Named(Value):
    count = 0

    def __init__(self, data, name="x"):
        super().__init__(data)
        self.name = name
        Named.count += 1

class Positive(Named):
    def __init__(self, data):
        super().__init__(abs(data), name="positive")

w, b = Positive(-0.3), Named(-0.2)
print(w.name, b.name, Named.count, w.data)
""",
    "an operator of its own": """
class Loud(Value):
    def __mul__(self, other):
        out = super().__mul__(other)
        out.label = "product"
        return out

w, b = Loud(0.3), Loud(-0.2)
print((w * b).label, (w + b).label == "", (w * 2.0).label)
""",
    "methods of its own": """
class More(Value):
    def cube(self):
        out = Value(self.data ** 3, (self,), "cube")

        def _backward():
            self.grad += 3 * self.data ** 2 * out.grad

        out._backward = _backward
        return out

    @classmethod
    def zero(cls):
        return cls(0.0)

w, b = More(0.3), More.zero()
y = w.cube() + b
y.backward()
print(y.data, w.grad, b.grad, type(b).__name__)
w.grad = b.grad = 0.0
""",
}
TRAINING = """
for step in range(5):
    loss = Value(0.0)
    for x, y in [(0.5, 1.0), (-1.0, 0.25), (2.0, -0.5)]:
        error = (w * x + b).tanh() - y
        loss = loss + error * error
    w.grad = b.grad = 0.0
    loss.backward()
    for p in (w, b):
        p.data -= 0.1 * p.grad
    print(step, loss.data, w.grad, b.grad)
"""


@pytest.mark.parametrize("way", ["micrograd", "its own micrograd", "its own class", "renamed"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_derives_from_value_gives_its_numbers(
    tmp_path: Path, name: str, way: str
) -> None:
    program = PROGRAMS[name] + TRAINING
    micrograd = f"from micrograd.engine import Value\n{program}"
    options = []
    if way == "its own micrograd":
        write(tmp_path, "micrograd/engine.py", CLOSURES)
        write(tmp_path, "micrograd/__init__.py", "")
        write(tmp_path, "program.py", micrograd)
        expected = python(tmp_path, "program.py")
    elif way == "micrograd":
        write(tmp_path, "pure/micrograd/engine.py", CLOSURES)
        write(tmp_path, "pure/micrograd/__init__.py", "")
        write(tmp_path, "program.py", micrograd)
        path = os.pathsep.join([str(tmp_path / "pure"), *filter(None, sys.path)])
        expected = python(tmp_path, "program.py", env={**os.environ, "PYTHONPATH": path})
    else:
        engine = CLOSURES
        if way == "renamed":  # no longer tapegrad's parameters
            engine = engine.replace('label=""):', 'label="", trainable=True):')
            changed = "self.label = label\n        self.trainable = trainable\n"
            engine = engine.replace("self.label = label\n", changed)
        options = ["--replace-class", "Value"]
        write(tmp_path, "program.py", engine + program)
        expected = python(tmp_path, "program.py")
    assert expected.returncode == 0, expected.stderr
    found = run(tmp_path, *options, "program.py")
    assert found.returncode == 0, found.stderr
    assert "is kept" not in found.stderr
    assert_same_output(found.stdout, expected.stdout)
