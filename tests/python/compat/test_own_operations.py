"""A class that Value stands for keeps the operations in which it differs, and its derivatives."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.engines import (
    CLOSURES,
    DISPATCHING,
    FINISH,
    METHOD,
    TRAINING,
    assert_same_output,
    closure,
)
from support.running import python, run, write

LEAKY = closure(
    "leaky", "", "self.data if self.data > 0 else Value.slope * self.data",
    "1.0 if self.data > 0 else Value.slope",
)  # fmt: skip
DROPOUT = closure("dropout", "", "self.data * kept", "kept", "kept = random.random() > 0.3")
SCALED = closure("scaled", ", by=2.0, *, shift=0.0", "self.data * by + shift", "by")
CUBE = closure("cube", "", "self.data ** 3", "3 * self.data ** 2")
OUTSIDE = """
def softmax(values):
    exps = [math.exp(v.data) for v in values]
    outs = []
    for i, e in enumerate(exps):
        out = Value(e / sum(exps), tuple(values), "softmax")
        def _backward(i=i, out=out):
            for j, v in enumerate(values):
                p = exps[j] / sum(exps)
                v.grad += out.data * ((i == j) - p) * out.grad
        out._backward = _backward
        outs.append(out)
    return outs
"""
SIGMOID = """
def sigmoid(self):
    s = 1 / (1 + math.exp(-self.data))
    out = Value(s, (self,), "sigmoid")
    def _backward():
        self.grad += s * (1 - s) * out.grad + 0.125 * out.grad  # wrong on purpose
    out._backward = _backward
    return out

Value.sigmoid = sigmoid
"""

# Of an engine: changes in its source, what comes after training, and parts of the note.
KINDS = {
    "a sweep with a parameter": (
        CLOSURES,
        [("def backward(self):", "def backward(self, retain_graph=False):")],
        "y = w * b\ny.backward(retain_graph=True)\nprint(w.grad, b.grad)",
        ["kept Value's own: ", "backward (has parameters of its own)"],
    ),
    "a sweep that prints": (
        CLOSURES,
        [("        self.grad = 1.0\n", "        print(len(topo))\n        self.grad = 1.0\n")],
        "",
        ["backward (uses print)"],
    ),
    "a sweep that prints, and a slope of its own": (
        CLOSURES,
        [("        self.grad = 1.0\n", "        print(len(topo))\n        self.grad = 1.0\n"),
         ("(1 - t**2) * out.grad", "(1.5 - t**2) * out.grad")],
        "",
        ["backward (uses print)", "tanh (gives other numbers at"],
    ),
    "a sweep that begins with a seed of the class": (
        CLOSURES,
        [("        self.grad = 1.0\n", "        self.grad = Value.seed\n"),
         ("    def __init__", "    seed = 1.0\n\n    def __init__")],
        "Value.seed = 3.0\ny = w * b\ny.backward()\nprint(w.grad, b.grad)",
        ["backward (depends on Value.seed)"],
    ),
    "a slope of the class that changes": (
        CLOSURES,
        [(METHOD, LEAKY + METHOD), ("    def __init__", "    slope = 0.1\n\n    def __init__")],
        f"y = (w * -4.0).leaky() * b\n{FINISH}\nValue.slope = 0.5\ny = (w * -4).leaky()\n{FINISH}",
        ["added from Value: leaky, slope"],
    ),
    "random numbers": (
        CLOSURES,
        [(METHOD, DROPOUT + METHOD), ("class Value", "random.seed(2)\nclass Value")],
        f"y = sum((w.dropout() * i for i in range(20)), b)\n{FINISH}\nprint(random.random())",
        ["added from Value: dropout"],
    ),
    "parameters of its own": (
        CLOSURES,
        [(METHOD, SCALED + METHOD)],
        f"y = w.scaled(3.0, shift=1.0) * b.scaled() + w.scaled(by=w.data)\n{FINISH}",
        ["added from Value: scaled"],
    ),
    "a function that makes nodes": (
        CLOSURES + OUTSIDE,
        [],
        f"y = sum((p * float(i) for i, p in enumerate(softmax([w, b, w * b]))), w)\n{FINISH}",
        ["added from Value: nothing"],
    ),
    "a method that is set later": (
        CLOSURES + SIGMOID,
        [],
        f"y = w.sigmoid() * b.sigmoid()\n{FINISH}",
        ["kept tapegrad's own: operators"],
    ),
    "its own comparisons and text": (
        CLOSURES,
        [(METHOD, "    def __lt__(self, other):\n        return abs(self.data) < abs(other.data)\n"
         "    def __gt__(self, other):\n        return self.data > other.data\n"
         "    def __eq__(self, other):\n        return self.data == getattr(other, 'data', other)\n"
         "    def __hash__(self):\n        return id(self)\n"
         "    def __format__(self, how):\n        return '<' + format(self.data, how) + '>'\n"
         "    def __float__(self):\n        return self.data * 1.0\n" + METHOD)],
        "print(w < b, w > b, w == w.data, w == b, max([w, b]).data, f'{w:.3f}', float(b), w)\n"
        "print(Value(-2.0) < Value(1.0), math.exp(Value(0.0)))",
        ["__lt__ (is its own)", "__eq__ (is its own)", "__gt__, __hash__, __init__"],
    ),
    "its own hash, by the number": (
        CLOSURES,
        [(METHOD, "    def __hash__(self):\n        return hash(self.data)\n" + METHOD)],
        "print(hash(Value(2.0)) == hash(Value(2.0)), hash(w) == hash(w.data))",
        ["__hash__ (is its own)"],
    ),
    "operands given after the node was made": (
        CLOSURES,
        [('out = Value(self.data * other.data, (self, other), "*")',
          'out = Value(self.data * other.data)\n        out._prev, out._op = {self, other}, "*"'),
         (METHOD, CUBE.replace('(self,), "cube")', ')\n        out._prev = {self}') + METHOD)],
        f"y = w.cube() * b.cube() + w * b\n{FINISH}",
        ["kept tapegrad's own: operators"],
    ),
    "a power of its own": (
        CLOSURES,
        [("self.grad += other * (self.data ** (other - 1)) * out.grad",
          "self.grad += 0.5 * other * (self.data ** (other - 1)) * out.grad")],
        f"y = w ** 3 * b ** -1 + w / b\n{FINISH}",
        ["__pow__ (gives other numbers at", "__truediv__ (gives other numbers at"],
    ),
    "a derivative that is assigned, not added": (
        CLOSURES,
        [("self.grad += (1 - t**2) * out.grad", "self.grad = (1 - t**2) * out.grad")],
        f"w.grad = b.grad = 5.0\ny = w.tanh() * b\n{FINISH}",
        ["tanh (gives other numbers at"],
    ),
    "a derivative that forgets what comes to it": (
        CLOSURES,
        [("self.grad += (1 - t**2) * out.grad", "self.grad += 1 - t**2")],
        f"y = w.tanh() * 3.0 + b\n{FINISH}",
        ["tanh (gives other numbers at"],
    ),
    "a derivative that is clipped": (
        CLOSURES,
        [("self.grad += (1 - t**2) * out.grad",
          "self.grad += max(-50.0, min(50.0, (1 - t**2) * out.grad))")],
        f"y = w.tanh() * 200.0 + b\n{FINISH}",
        ["tanh (gives other numbers at"],
    ),
    "numpy's functions": (
        CLOSURES,
        [("math.exp", "np.exp"), ("math.exp", "np.exp"),
         ("import math", "import math\nimport numpy as np")],
        f"y = w.tanh() * b\n{FINISH}",
        ["backward, tanh"],
    ),
    "functions and numbers of its module": (
        CLOSURES,
        [("self.data + other.data, (self, other)", "plus(self.data, other.data), (self, other)"),
         ("import math", "import math\nZERO = 0.0\n\ndef plus(a, b):\n    return a + b + ZERO\n")],
        "",
        ["operators, __init__, backward, tanh"],
    ),
    "annotations": (
        CLOSURES,
        [("def __mul__(self, other):", "def __mul__(self, other: Number | 'Value') -> Value:"),
         ("import math", "from typing import Any as Number\nimport math"),
         ("from typing", "from __future__ import annotations\nfrom typing")],
        "",
        ["operators, __init__, backward, tanh"],
    ),
    "labels that are made of labels": (
        CLOSURES,
        [('(self, other), "*")', '(self, other), "*", label=self.label + other.label)')],
        f"w.label, b.label = 'w', 'b'\ny = w * b + w\nprint((w * b * w).label)\n{FINISH}",
        ["__mul__ (reads self.label)"],
    ),
    "an attribute that operations hand on": (
        CLOSURES,
        [('label=""):', 'label="", trainable=True):'),
         ("self.label = label", "self.label = label\n        self.trainable = trainable"),
         ('(self, other), "*")',
          '(self, other), "*", trainable=self.trainable or other.trainable)'),
         ("            node._backward()",
          "            if node.trainable:\n                node._backward()")],
        "frozen = Value(2.0, trainable=False)\nother = frozen * Value(3.0, trainable=False)\n"
        f"y = other * w + b\nprint(other.trainable, y.trainable)\n{FINISH}\nprint(frozen.grad)",
        ["__mul__ (reads self.trainable)", "backward (reads node.trainable)"],
    ),
    "an operation that is a lambda": (
        CLOSURES,
        [(METHOD, "    log = lambda self: self * 2.0\n    clip = 5.0\n\n" + METHOD)],
        f"y = w.log() * b * Value.clip\n{FINISH}",
        ["clip (is no function written there)", "log (is no function written there)"],
    ),
    "an operation on a list": (
        CLOSURES,
        [(METHOD, "    @staticmethod\n    def total(values):\n"
          "        out = Value(sum(v.data for v in values), tuple(values), 'total')\n"
          "        def _backward():\n"
          "            for v in values:\n                v.grad += out.grad\n"
          "        out._backward = _backward\n        return out\n\n" + METHOD)],
        f"y = Value.total([w, b, w, w * b]) * 2.0\n{FINISH}",
        ["added from Value: total"],
    ),
    "operators in place": (
        CLOSURES,
        [(METHOD, "    def __iadd__(self, other):\n        self.data += other.data\n"
          "        return self\n\n" + METHOD)],
        f"kept = w\nw += b\nprint(kept is w, w.data)\ny = w * b\n{FINISH}",
        ["added from Value: operators"],
    ),
    "an operation of its own dispatch with two operands": (
        DISPATCHING,
        [("    def softsign", "    def gap(self, other):\n"
          "        return Value((self.data - other.data) ** 2, (self, other), 'gap')\n\n"
          "    def softsign"),
         ("            elif v._op == \"softsign\":", "            elif v._op == 'gap':\n"
          "                a, b = v._prev\n"
          "                a.grad += 2.0 * (a.data - b.data) * v.grad\n"
          "                b.grad -= 2.0 * (a.data - b.data) * v.grad\n"
          "            elif v._op == \"softsign\":")],
        f"y = w.gap(b) * w.gap(w) + w.gap(other=Value(3.0)) + (w * b).gap(b)\n{FINISH}",
        ["added from Value: gap, huber, softsign"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_the_programs_own_works_on_value(tmp_path: Path, kind: str) -> None:
    engine, changes, after, told = KINDS[kind]
    for old, new in changes:
        assert old in engine
        engine = engine.replace(old, new, 1)
    after = f"w.grad = b.grad = 0.0\n{after}"
    write(tmp_path, "program.py", f"{engine}\n{TRAINING}\n{after}\n")
    expected = python(tmp_path, "program.py")
    assert expected.returncode == 0, expected.stderr
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert found.returncode == 0, found.stderr
    assert "class Value of __main__ is now tapegrad's Value" in found.stderr
    assert [part for part in told if part not in found.stderr] == [], found.stderr
    assert found.stderr.count("\n") == 1
    assert_same_output(found.stdout, expected.stdout)


def test_operations_that_print_do_so_when_the_program_runs_only(tmp_path: Path) -> None:
    printing = '        print("product", random.random())\n'
    engine = CLOSURES.replace(
        "    def __mul__(self, other):\n", f"    def __mul__(self, other):\n{printing}"
    )
    program = f"{engine}\nrandom.seed(1)\n{TRAINING}\nprint((-w * b - 1.0) / b)\n"
    write(tmp_path, "program.py", program)
    expected = python(tmp_path, "program.py")
    assert expected.stdout.count("product") > 30
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert "__mul__ (uses print), __neg__ (is made of its own __mul__)" in found.stderr
    assert_same_output(found.stdout, expected.stdout)
