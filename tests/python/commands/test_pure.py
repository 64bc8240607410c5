"""The pure-Python yardstick computes what the engine computes, in micrograd's dialect."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import tapegrad
from tapegrad.demo import pure

FORMULAS: dict[str, Callable[[Any, Any], Any]] = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "a ** b": lambda a, b: a**b,
    "a ** 3": lambda a, b: a**3 + b,
    "a ** -0.5": lambda a, b: a**-0.5 * b,
    "-a": lambda a, b: -a * b,
    "numbers on the right": lambda a, b: (a + 2) * 3 / 4 - b - 5,
    "numbers on the left": lambda a, b: 2 + (3 - a) * (4 / b) + 5 * 2**a,
    "relu of a positive number": lambda a, b: a.relu() * b,
    "relu of a negative number": lambda a, b: (-a).relu() * b + a,
    "tanh": lambda a, b: (a * b).tanh(),
    "exp": lambda a, b: (a / b).exp(),
    "log": lambda a, b: (a * b).log(),
    "a shared node": lambda a, b: (a * b) * (a * b) + a * a,
    "a sum": lambda a, b: sum([a, b, a * b, 1]),
}


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS.keys())
def test_results_and_gradients_are_the_engines(formula: Callable[[Any, Any], Any]) -> None:
    found = []
    for number in (pure.Value, tapegrad.Value):
        a, b = number(1.3), number(0.7)
        y = formula(a, b)
        y.backward()
        found.append((y.data, a.grad, b.grad))
    assert found[0] == pytest.approx(found[1], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS.keys())
def test_gradients_are_the_slopes_of_the_function(formula: Callable[[Any, Any], Any]) -> None:
    a, b, h = pure.Value(1.3), pure.Value(0.7), 1e-6
    formula(a, b).backward()

    def f(x: float, y: float) -> float:
        return float(formula(pure.Value(x), pure.Value(y)).data)

    along_a = (f(1.3 + h, 0.7) - f(1.3 - h, 0.7)) / (2 * h)
    along_b = (f(1.3, 0.7 + h) - f(1.3, 0.7 - h)) / (2 * h)
    assert (a.grad, b.grad) == pytest.approx((along_a, along_b), rel=1e-7, abs=1e-7)


def test_a_node_knows_its_operands_its_operation_and_its_label() -> None:
    a, b = pure.Value(2.0, label="a"), pure.Value(-3.0)
    product = a * b
    assert (product._prev, product._op, a._prev, a._op) == ({a, b}, "*", set(), "")
    assert (a.label, product.label, product.grad) == ("a", "", 0.0)
    assert repr(product) == "Value(data=-6.0)"
    assert [(a + b)._op, (a - b)._op, (a / b)._op, (-a)._op] == ["+", "-", "/", "neg"]
    assert [(a**2)._op, a.relu()._op, a.tanh()._op, a.exp()._op] == ["**2", "ReLU", "tanh", "exp"]
    assert a.log()._op == "log"


def test_a_node_takes_other_attributes_and_gradients_set_by_hand() -> None:
    a: Any = pure.Value(2.0)
    y = a * a
    a.momentum, y.grad = 0.9, 10.0
    y._backward()
    assert (a.momentum, a.grad) == (0.9, 40.0)


def test_gradients_add_up_until_they_are_set_to_zero() -> None:
    a = pure.Value(3.0)
    (a * 2).backward()
    (a * 5).backward()
    assert a.grad == 7.0


def test_relu_has_no_slope_at_zero() -> None:
    a = pure.Value(0.0)
    y = a.relu()
    y.backward()
    assert (y.data, a.grad) == (0.0, 0.0)


def test_a_chain_a_hundred_thousand_deep_has_a_gradient() -> None:
    a = pure.Value(1.0)
    y = a
    for _ in range(100_000):
        y = y + a
    y.backward()
    assert a.grad == 100_001.0


def test_the_topological_order_puts_operands_before_users() -> None:
    a, b = pure.Value(2.0), pure.Value(3.0)
    c = a * b
    y = (c + a) * c
    order = pure.topological_sort(y)
    position = {node: k for k, node in enumerate(order)}
    assert len(order) == len(position) == 5
    assert order[-1] is y
    assert all(position[p] < position[node] for node in order for p in node._prev)


@pytest.mark.parametrize(
    "formula",
    [lambda a: a.log(), lambda a: a**0.5, lambda a: math.pi / (a + 1)],
    ids=["log", "power", "quotient"],
)
def test_what_pythons_numbers_refuse_is_refused(formula: Callable[[Any], Any]) -> None:
    with pytest.raises((ValueError, ZeroDivisionError)):
        formula(pure.Value(-1.0))
