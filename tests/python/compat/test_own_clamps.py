"""An operation whose numbers differ from the engine's anywhere, however little, stays its own."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from support.engines import CLOSURES, METHOD, TRAINING, assert_same_output, closure
from support.running import python, run, write

EPSILONS = [1e-7, 1e-14, 1e-15, 1e-16, 1e-30]
SIGMOID = "1 / (1 + math.exp(-self.data))"


def clamped(kind: str, epsilon: float) -> str:
    """An operation with a clamp of this size, in the engine's name."""
    e = repr(epsilon)
    s = f"min(max({SIGMOID}, {e}), 1 - {e})"
    t = "math.tanh(self.data)"
    return {
        "sigmoid": closure("sigmoid", "", s, f"{s} * (1 - {s})"),
        "sigmoid below": closure(
            "sigmoid", "", f"max({SIGMOID}, {e})", "out.data * (1 - out.data)"
        ),
        "tanh": closure("tanh", "", f"max(-1 + {e}, min(1 - {e}, {t}))", "1 - out.data ** 2"),
        "tanh's slope": closure("tanh", "", t, f"max(1 - out.data ** 2, {e})"),
        "exp": closure("exp", "", f"max(math.exp(self.data), {e})", "out.data"),
        "exp's input": closure("exp", "", f"math.exp(max(self.data, math.log({e})))", "out.data"),
        "log": closure("log", "", f"math.log(max(self.data, {e}))", f"1 / max(self.data, {e})"),
        "log with more": closure("log", "", f"math.log(self.data + {e})", f"1 / (self.data + {e})"),
        "sqrt": closure("sqrt", "", f"math.sqrt(self.data + {e})", "0.5 / out.data"),
        "relu": closure(
            "relu", "", f"max(self.data, {e} * self.data)", f"1.0 if self.data > 0 else {e}"
        ),
    }[kind]


KINDS = ["sigmoid", "sigmoid below", "tanh", "tanh's slope", "exp", "exp's input", "log"]
KINDS += ["log with more", "sqrt", "relu"]


def is_nothing(kind: str, epsilon: float) -> bool:
    """Whether a clamp of this size is none in the numbers of the machine."""
    return (kind == "tanh" and 1 - epsilon == 1.0) or (kind == "exp's input" and epsilon < 1e-20)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clamp_of_any_size_is_the_programs_own(tmp_path: Path, kind: str) -> None:
    name = kind.partition(" ")[0].partition("'")[0]
    for number, epsilon in enumerate(EPSILONS):
        if is_nothing(kind, epsilon):
            continue
        operation = clamped(kind, epsilon)
        engine = CLOSURES.replace("    def tanh(self", "    def former(self")
        if name != "tanh":
            engine = CLOSURES
        engine = engine.replace(METHOD, operation + METHOD, 1)
        program = f"import math\n{engine}\n{TRAINING}\n"
        program += "for x in (0.0, -0.0, 40.0, -40.0, -80.0, 1.5, -100.0):\n    v = Value(x)\n"
        program += f"    try:\n        y = v.{name}() * 1e15\n        y.backward()\n"
        program += (
            "        print(repr(y.data), repr(v.grad))\n    except ValueError:\n        pass\n"
        )
        path = write(tmp_path, f"program{number}.py", program)
        expected = python(tmp_path, path.name)
        assert expected.returncode == 0, expected.stderr
        found = run(tmp_path, "--replace-class", "Value", path.name)
        assert found.stdout == expected.stdout or _alike(found.stdout, expected.stdout), (
            epsilon,
            found.stderr,
        )
        told = found.stderr.partition("kept Value's own: ")[2]
        assert f"{name} (" in told, (epsilon, found.stderr)


def _alike(found: str, expected: str) -> bool:
    pairs = itertools.zip_longest(found.split(), expected.split(), fillvalue="none")
    return all(a == b or _is_close(a, b) for a, b in pairs)


def _is_close(found: str, expected: str) -> bool:
    try:
        a, b = float(found), float(expected)
    except ValueError:
        return False
    return abs(a - b) <= 1e-9 * abs(b)


NAIVE = {
    "tanh": ("(math.exp(2 * self.data) - 1) / (math.exp(2 * self.data) + 1)", "1 - out.data ** 2"),
    "sigmoid": (SIGMOID, "out.data * (1 - out.data)"),
    "exp": ("math.exp(self.data)", "out.data"),
    "log": ("math.log(self.data)", "1 / self.data"),
    "sqrt": ("self.data ** 0.5 if self.data >= 0 else math.nan", "0.5 * self.data ** -0.5"),
    "sin": ("math.sin(self.data)", "math.cos(self.data)"),
    "relu": ("max(0.0, self.data)", "float(out.data > 0)"),
    "square": ("self.data * self.data", "2 * self.data"),
}


@pytest.mark.parametrize("name", NAIVE)
def test_formulas_that_only_round_are_the_engines(tmp_path: Path, name: str) -> None:
    value, slope = NAIVE[name]
    engine = CLOSURES if name != "tanh" else CLOSURES.replace("def tanh(self", "def former(self")
    engine = engine.replace(METHOD, closure(name, "", value, slope) + METHOD, 1)
    write(tmp_path, "program.py", f"{engine}\n{TRAINING}\n")
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert found.returncode == 0, found.stderr
    kept = found.stderr.partition("kept tapegrad's own: ")[2].partition(";")[0]
    assert name in kept.split(", "), found.stderr


TINY = {
    "a product": ("__mul__", ", other", "abs(self.data * OTHER) < 1e-15"),
    "a quotient": (
        "__truediv__",
        ", other",
        "abs(self.data / OTHER) < 1e-15",
    ),
    "a sum": ("__add__", ", other", "abs(self.data + OTHER) < 1e-15"),
    "a power": ("__pow__", ", other", "abs(self.data ** other) < 1e-15"),
}


@pytest.mark.parametrize("kind", TINY)
def test_an_operation_that_drops_tiny_numbers_does_so(tmp_path: Path, kind: str) -> None:
    name, parameters, condition = TINY[kind]
    condition = condition.replace("OTHER", "(other.data if isinstance(other, Value) else other)")
    head = f"    def {name}(self{parameters}):\n"
    dropping = f"        if {condition}:\n            return Value(0.0)\n"
    engine = CLOSURES.replace(head, head + dropping, 1)
    use = {
        "a product": "b * 1e-20",
        "a quotient": "b / 1e20",
        "a sum": "b + 1e-20",
        "a power": "b**8",
    }
    after = f"b = Value(1e-20)\ny = {use[kind]}\ny.backward()\nprint(y.data * 1e300, b.grad)"
    write(tmp_path, "program.py", f"{engine}\n{TRAINING}\n{after}\n")
    expected = python(tmp_path, "program.py")
    assert expected.returncode == 0, expected.stderr
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert found.stdout.splitlines()[-1] == expected.stdout.splitlines()[-1]
    assert f"{name} (gives other numbers" in found.stderr


OPERANDS = {
    "relu": ("relu", "", "self.data > 0", "self", "y = w.relu() * w + w.relu()"),
    "a sum with 0": ("__add__", ", other", "other == 0", "self", "y = (b + 0) * b + (w + 0)"),
    "a product with 1": ("__mul__", ", other", "other == 1", "self", "y = (b * 1) * b + (w * 1.0)"),
    "a power of 1": ("__pow__", ", other", "other == 1", "self", "y = (b ** 1) * b"),
    "a quotient by 1": ("__truediv__", ", other", "other == 1", "self", "y = (b / 1) * b"),
    "the other operand": (
        "__add__", ", other", "isinstance(other, Value) and self.data == 0", "other",
        "y = (Value(0.0) + b) * b",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", OPERANDS)
def test_an_operation_that_returns_an_operand_does_so(tmp_path: Path, kind: str) -> None:
    name, parameters, condition, operand, after = OPERANDS[kind]
    engine = CLOSURES
    if name == "relu":
        engine = engine.replace(
            METHOD, closure("relu", "", "max(0.0, self.data)", "float(out.data > 0)") + METHOD, 1
        )
    head = f"    def {name}(self{parameters}):\n"
    assert head in engine
    shortcut = f"        if {condition}:\n            return {operand}\n"
    engine = engine.replace(head, head + shortcut, 1)
    after = f"w, b = Value(3.0), Value(2.0)\n{after}\ny.backward()\nprint(y.data, w.grad, b.grad)\n"
    after += "print(w.relu() is w)" if name == "relu" else "print((b + 0) is b, (b * 1) is b)"
    write(tmp_path, "program.py", f"{engine}\n{TRAINING}\n{after}\n")
    expected = python(tmp_path, "program.py")
    assert expected.returncode == 0, expected.stderr
    found = run(tmp_path, "--replace-class", "Value", "program.py")
    assert_same_output(found.stdout, expected.stdout)
    assert f"{name} (returns its operand at" in found.stderr
