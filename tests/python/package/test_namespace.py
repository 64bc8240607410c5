"""What `from tapegrad import *` gives and leaves alone, and what `dir(tapegrad)` shows."""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import tapegrad
from tapegrad import Value


@pytest.fixture
def starred() -> dict[str, Any]:
    namespace: dict[str, Any] = {"np": np, "Decimal": Decimal, "Fraction": Fraction, "ast": ast}
    exec("from tapegrad import *", namespace)
    return namespace


# Everything that Python's functions take: a result must be equal, of the same type.
PYTHONS_OWN = [
    "sum([1, 2])",
    "sum(range(4))",
    "sum([0.1] * 10)",
    "sum([[1], [2]], [])",
    "sum([(1,), (2,)], ())",
    "sum([], 5)",
    "sum([1], start=2.5)",
    "sum([True, True])",
    "sum({1: 0, 2: 0})",
    "sum([1j, 2])",
    "sum([Decimal('0.1'), Fraction(1, 3)][:1])",
    "sum(np.ones((2, 3))).tolist()",
    "abs(-3)",
    "abs(-3.5)",
    "abs(3 + 4j)",
    "abs(True)",
    "abs(Fraction(-1, 3))",
    "abs(np.array([-1, 2])).tolist()",
    "pow(2, 10)",
    "pow(2, -1)",
    "pow(2, 10, 1000)",
    "pow(base=2, exp=3, mod=5)",
    "pow(3, -1, 7)",
    "pow(-8, 1 / 3)",
    "pow(np.array([1, 2]), 2).tolist()",
    "eval(compile('1 + 1', '<s>', 'eval'))",
    "eval(compile(ast.parse('2 * 3', mode='eval'), '<s>', 'eval'))",
    "compile(source=b'x = 1', filename='<s>', mode='exec', dont_inherit=True).co_filename",
    "max(1, 2), min([3, 4], default=0), round(2.5), divmod(7, 2), any([0]), all([1])",
]


@pytest.mark.parametrize("expression", PYTHONS_OWN)
def test_what_pythons_functions_accept_is_accepted_after_a_star_import(
    starred: dict[str, Any], expression: str
) -> None:
    plain = {name: starred[name] for name in ("np", "Decimal", "Fraction", "ast")}
    expected, found = eval(expression, plain), eval(expression, starred)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("expression", ["sum(['a', 'b'])", "sum(3)", "abs('a')", "pow(2)"])
def test_what_pythons_functions_refuse_is_refused_in_the_same_words(
    starred: dict[str, Any], expression: str
) -> None:
    with pytest.raises(TypeError) as expected:
        eval(expression, {})
    with pytest.raises(TypeError) as found:
        eval(expression, starred)
    assert str(found.value) == str(expected.value)


def test_a_star_import_replaces_no_builtin(starred: dict[str, Any]) -> None:
    assert [name for name in vars(builtins) if name in starred and not name.startswith("_")] == []


def test_the_lectures_neuron_works_after_a_star_import(starred: dict[str, Any]) -> None:
    exec(
        "w, x, b = [Value(2.0), Value(-1.0)], [3.0, Value(4.0)], Value(0.5)\n"
        "act = sum((wi * xi for wi, xi in zip(w, x)), b)\n"
        "out = pow(abs(-act), 2) + pow(2.0, act)\n"
        "out.backward()",
        starred,
    )
    w, b = starred["w"], starred["b"]
    slope = 2 * 2.5 + 2**2.5 * np.log(2.0)
    assert starred["act"].data == 2.5
    assert b.grad == pytest.approx(slope, rel=1e-14)
    assert [p.grad for p in w] == pytest.approx([3 * slope, 4 * slope], rel=1e-14)


@pytest.mark.parametrize("name", ["sum", "abs", "pow", "compile"])
def test_functions_of_builtin_names_remain_in_the_package(name: str) -> None:
    ours = getattr(tapegrad, name)
    assert ours is not getattr(builtins, name)
    namespace: dict[str, Any] = {}
    exec(f"from tapegrad import {name}", namespace)
    assert namespace[name] is ours
    assert name in dir(tapegrad)


def test_tapegrads_own_functions_still_take_values() -> None:
    x = Value(-2.0)
    assert tapegrad.sum([x, 1.0]).data == -1.0
    assert tapegrad.abs(x).data == 2.0
    assert tapegrad.pow(x, 2).data == 4.0
    assert tapegrad.compile(lambda x: x * x)(3.0) == 9.0


SHOWN = """
import sys, types, tapegrad
before = set(sys.modules)
names = dir(tapegrad)
assert set(sys.modules) == before, "dir() imports nothing"
assert set(tapegrad.__all__) <= set(names)
public = [name for name in names if not name.startswith("_")]
assert set(public) == set(tapegrad.__all__) - {"__version__"} | {"abs", "compile", "pow", "sum"}
assert all(name.startswith("__") for name in set(names) - set(public))
for name in names:
    found = getattr(tapegrad, name)
    if isinstance(found, types.ModuleType):
        assert found.__name__ == f"tapegrad.{name}", name
assert dir(tapegrad) == names, "what was imported since shows nothing new"
import tapegrad.info, tapegrad.compat.micrograd, tapegrad.transforms.gradient_check
assert dir(tapegrad) == names
"""


def test_dir_shows_what_is_public() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOWN], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
