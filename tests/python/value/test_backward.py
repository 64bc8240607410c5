"""backward(): as micrograd's, with the partials of the moment of recording."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad
from support.pure_micrograd import PureValue
from tapegrad import Value


def test_the_roots_gradient_becomes_one_and_the_others_accumulate() -> None:
    a, b = Value(2), Value(-3)
    a.grad, b.grad = 10.0, 20.0
    y = a * b
    y.grad = 100.0
    y.backward()
    assert (y.grad, a.grad, b.grad) == (1.0, 7.0, 22.0)


@pytest.mark.parametrize("seed", [0.0, -2.5, 3, np.float64(4), True, math.inf])
def test_a_seed_takes_the_place_of_one(seed: Any) -> None:
    for pass_seed in (lambda v: v.backward(seed), lambda v: v.backward(seed=seed)):
        a = Value(2)
        y = a * 3
        pass_seed(y)
        assert y.grad == float(seed)
        assert a.grad == pytest.approx(3 * float(seed), nan_ok=True)


@pytest.mark.parametrize(
    ("arguments", "names", "message"),
    [
        (("x",), {}, "seed must be a real number, not 'str'"),
        ((None,), {}, "seed must be a real number, not 'NoneType'"),
        ((Value(1),), {}, "seed must be a real number, not 'Value'"),
        ((1, 2), {}, r"backward\(\) takes at most 1 argument \(2 given\)"),
        ((), {"sed": 1}, r"backward\(\) got an unexpected keyword argument 'sed'"),
        ((1,), {"seed": 1}, r"backward\(\) got multiple values for argument 'seed'"),
    ],
)
def test_a_wrong_seed_is_refused_and_nothing_has_moved(
    arguments: Any, names: Any, message: str
) -> None:
    a = Value(2)
    y = a * 3
    with pytest.raises(TypeError, match=message):
        y.backward(*arguments, **names)
    assert (y.grad, a.grad) == (0.0, 0.0)


def test_backward_and_zero_grad_return_nothing() -> None:
    y = Value(2) * 3
    assert y.backward() is None  # type: ignore[func-returns-value]
    assert y.zero_grad() is None  # type: ignore[func-returns-value]


def test_a_leaf_is_its_own_root() -> None:
    a = Value(2)
    a.backward()
    a.backward()
    assert a.grad == 1.0


def expressions(make: Callable[[float], Any]) -> list[tuple[Any, list[Any]]]:
    """The same graphs in both classes: roots and the nodes to look at.

    Only operations that are one node in micrograd too: its difference and quotient are several,
    whose hidden nodes accumulate as well.
    """
    a, b, c = make(2.0), make(-3.0), make(10.0)
    d = a * b
    e = d + c
    f = e * e + d * a + 2 * c**-1
    g = (f * 0.01).tanh() + f.relu()
    shared = a + a
    top = shared * shared * shared + shared**2 + g
    return [
        (e, [a, b, c, d, e]),
        (f, [a, b, c, d, e, f]),
        (top, [a, b, c, d, e, f, g, shared, top]),
    ]


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_calling_again_does_what_micrograd_does(which: int, times: int) -> None:
    ours, nodes = expressions(Value)[which]
    pure, wanted = expressions(PureValue)[which]
    for _ in range(times):
        ours.backward()
        pure.backward()
    assert [n.grad for n in nodes] == pytest.approx([n.grad for n in wanted], rel=1e-12)


def test_several_roots_over_one_graph_accumulate_as_in_micrograd() -> None:
    ours, pure = expressions(Value), expressions(PureValue)
    for k in (2, 0, 1, 0, 2):
        ours[k][0].backward()
        pure[k][0].backward()
    for (_, nodes), (_, wanted) in zip(ours, pure, strict=True):
        assert [n.grad for n in nodes] == pytest.approx([n.grad for n in wanted], rel=1e-12)


def test_a_diamond_counts_both_ways() -> None:
    x = Value(3)
    left, right = x * 2, x * 5
    (left * right).backward()
    assert x.grad == 2 * right.data + 5 * left.data


def test_sixty_diamonds_in_a_row_count_every_way_once_per_node() -> None:
    x = y = Value(1.0)
    for _ in range(60):
        y = y + y
    y.backward()
    assert (y.data, x.grad) == (2.0**60, 2.0**60)


def test_bystanders_are_not_touched() -> None:
    x = Value(2)
    below, beside = x * 2, x * 3
    above = below * 5
    sibling = beside + below
    for bystander in (beside, above, sibling):
        bystander.grad = 7.0
    below.backward()
    assert (beside.grad, above.grad, sibling.grad) == (7.0, 7.0, 7.0)
    assert (x.grad, below.grad) == (2.0, 1.0)


def test_partials_are_those_of_the_moment_of_recording() -> None:
    x, w = Value(2.0), Value(3.0)
    y = x * w
    x.data, w.data = 100.0, 200.0
    y.data = 50.0
    z = y * 2 + x * w
    y.backward()
    assert (x.grad, w.grad) == (3.0, 2.0)
    assert z.data == 100.0 + 20000.0


def test_a_new_number_is_seen_by_what_is_recorded_after_it() -> None:
    x = Value(2.0)
    x.data = 5.0
    (x * x).backward()
    assert x.grad == 10.0


@pytest.mark.parametrize("gradient", [0.0, -0.0, math.inf, math.nan])
def test_zero_and_infinite_gradients_pass_as_ieee_numbers(gradient: float) -> None:
    x = Value(2.0)
    y = x * 3
    (y * 1).backward(gradient)
    assert x.grad == pytest.approx(gradient * 3, nan_ok=True)


def test_zero_grad_clears_all_that_it_reaches_and_nothing_else() -> None:
    x, w = Value(2), Value(3)
    y = x * w
    z = y + x
    other = x * 5
    other.backward()
    z.backward()
    w_only = w * 2
    w_only.grad = 4.0
    z.zero_grad()
    assert [v.grad for v in (x, w, y, z)] == [0.0] * 4
    assert (other.grad, w_only.grad) == (1.0, 4.0)


def test_zero_grad_is_the_cure_for_the_second_backward() -> None:
    x = Value(3)
    y = (x * x) * x
    for _ in range(3):
        y.zero_grad()
        y.backward()
        assert x.grad == 27.0


def test_zero_grad_on_a_leaf_and_on_constants() -> None:
    x = Value(3)
    x.grad = 2.0
    x.zero_grad()
    assert x.grad == 0.0
    y = x * 4
    y.backward()
    constant = y._children[1]
    assert constant.grad == 3.0
    y.zero_grad()
    assert constant.grad == 0.0


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_plain_number_that_was_looked_at_accumulates_as_its_micrograd_node(times: int) -> None:
    product = Value(3.0) * 4.0
    constant = product._children[1]
    for _ in range(times):
        product.backward()
    assert constant.grad == 3.0 * times


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_plain_number_looked_at_later_has_the_gradient_that_its_users_implies(times: int) -> None:
    product = Value(3.0) * 4.0
    for _ in range(times):
        product.backward()
    assert product._children[1].grad == 3.0 * product.grad == 3.0


def step_by_hand(root: Any) -> None:
    root.grad = 1.0
    todo = [root]
    while todo:
        node = todo.pop(0)
        node._backward()
        todo += [child for child in node._children if child._children]


def test_backward_by_hand_as_the_lecture_does_it() -> None:
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    n = (x1 * w1 + x2 * w2) + b
    o = n.tanh()
    step_by_hand(o)
    assert o.data == pytest.approx(0.7071067811865476)
    grads = [v.grad for v in (x1, w1, x2, w2, b)]
    assert grads == pytest.approx([-1.5, 1.0, 0.5, 0.0, 0.5])


def test_the_step_by_hand_pushes_one_node_alone() -> None:
    x = Value(3.0)
    y = x * 2
    z = y * 5
    z.grad = 1.0
    z._backward()
    assert (y.grad, x.grad) == (5.0, 0.0)
    y._backward()
    y._backward()
    assert x.grad == 20.0
    assert x._backward() is None


def test_a_step_kept_in_a_variable_keeps_its_node() -> None:
    x = Value(3.0)
    y = x * 2
    y.grad = 1.0
    step = y._backward
    del y
    step()
    assert x.grad == 2.0


def on_blocks_of_every_alignment(make: Callable[[], tuple[Value, list[Value]]]) -> set[Any]:
    """The gradients of one graph, recorded in many different places of the arena."""
    x, found = Value(1.0), set()
    for length in range(0, 1030):
        padding = [x + 1 for _ in range(length)]
        root, leaves = make()
        root.backward()
        found.add(tuple(leaf.grad for leaf in leaves))
        del root, leaves, padding
    return found


def test_results_are_the_same_bit_for_bit_wherever_they_were_recorded() -> None:
    def make() -> tuple[Value, list[Value]]:
        x = Value(0.1)
        p = x * 1.1
        q = p * p
        r = p * 0.5655136772680869
        return q * 0.7 + r, [x, p, q]

    assert len(on_blocks_of_every_alignment(make)) == 1


def test_results_are_the_same_bit_for_bit_under_detect_anomaly() -> None:
    def gradient() -> float:
        x = Value(0.1)
        p = x * 1.1
        q = p * p
        (q * 0.7 + p * 0.5655136772680869).backward()
        return p.grad

    plain = gradient()
    with tapegrad.detect_anomaly():
        assert gradient() == plain
