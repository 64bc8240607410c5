"""Losses: beside PyTorch's results (test_layers.py), what their targets and reductions may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad
from support.contract import nodes, nodes_now
from support.layer_calls import assert_near, data
from tapegrad import (
    Value,
    binary_cross_entropy_with_logits,
    cross_entropy,
    hinge_loss,
    log_softmax,
    mse_loss,
    softmax,
)

PAIRED = (mse_loss, hinge_loss, binary_cross_entropy_with_logits)
paired = pytest.mark.parametrize("loss", PAIRED, ids=lambda loss: loss.__name__)
rows = st.lists(st.floats(-30.0, 30.0), min_size=1, max_size=8)
seriously = settings(max_examples=60)


def values(*numbers: float) -> list[Value]:
    return [Value(x) for x in numbers]


@paired
def test_reductions_of_the_same_terms(loss: Any) -> None:
    xs, targets = values(0.5, -2.0, 3.0), [1, -1, 1]
    terms = loss(xs, targets, reduction="none")
    assert [type(term) for term in terms] == [Value] * 3
    total = loss(xs, targets, "sum")
    assert_near(total.data, sum(data(terms)))
    assert_near(loss(xs, targets).data, total.data / 3)
    assert_near(loss(xs, targets, reduction="mean").data, total.data / 3)


@paired
def test_of_nothing_the_mean_is_nan_and_the_sum_zero(loss: Any) -> None:
    assert math.isnan(loss([], []))
    assert loss([], [], reduction="sum") == 0.0
    assert loss([], [], reduction="none") == []
    assert math.isnan(cross_entropy([], []))
    assert cross_entropy([], [], reduction="none") == []


def test_mse_is_one_sum_and_its_mean() -> None:
    xs = values(1.0, 2.0)
    before = nodes()
    loss = mse_loss(xs, [0.0, 0.0])
    assert nodes_now() == before + 2
    loss.backward()
    assert (loss.data, [x.grad for x in xs]) == (2.5, [1.0, 2.0])


def test_a_hinge_at_its_kink_has_no_slope() -> None:
    xs = values(1.0, -1.0, 0.0)
    hinge_loss(xs, [1, -1, 1], "sum").backward()
    assert [x.grad for x in xs] == [0.0, 0.0, -1.0]


@pytest.mark.parametrize("target", [0, 2.0, 0.999, math.nan, Value(0.0)])
def test_hinge_targets_are_signs(target: Any) -> None:
    with pytest.raises(ValueError, match=r"hinge_loss\(\): targets\[1\] must be 1 or -1, not"):
        hinge_loss(values(1.0, 2.0), [1, target])


def test_a_cross_entropy_is_one_node() -> None:
    xs = values(1.0, 2.0, 3.0)
    before = nodes()
    loss = cross_entropy(xs, 1)
    assert nodes_now() == before + 1
    assert loss._op == "surprisal"
    assert loss._children == (xs[1], xs[0], xs[2])


@seriously
@given(xs=rows, target=st.integers(0, 7))
def test_cross_entropy_has_the_slopes_of_softmax_minus_the_target(
    xs: list[float], target: int
) -> None:
    target %= len(xs)
    logits = values(*xs)
    loss = cross_entropy(logits, target)
    loss.backward()
    assert_near(loss.data, -log_softmax(xs)[target], scale=100.0)
    wanted = [p - (k == target) for k, p in enumerate(softmax(xs))]
    assert_near([x.grad for x in logits], wanted, scale=100.0)


@seriously
@given(xs=rows, target=st.integers(0, 7))
def test_an_index_is_the_probabilities_that_are_all_in_one_place(
    xs: list[float], target: int
) -> None:
    target %= len(xs)
    certain = [float(k == target) for k in range(len(xs))]
    assert_near(cross_entropy(xs, target), cross_entropy(xs, certain), scale=100.0)


@seriously
@given(batch=st.lists(st.tuples(rows, st.integers(0, 7)), min_size=1, max_size=4))
def test_a_batch_is_the_mean_of_its_rows(batch: list[tuple[list[float], int]]) -> None:
    logits = [xs for xs, _ in batch]
    targets = [target % len(xs) for xs, target in batch]
    terms = [cross_entropy(xs, target) for xs, target in zip(logits, targets, strict=True)]
    assert cross_entropy(logits, targets, reduction="none") == terms
    assert_near(cross_entropy(logits, targets, reduction="sum"), sum(terms))
    assert_near(cross_entropy(logits, targets), sum(terms) / len(terms))


def test_a_target_may_be_any_integer_and_rows_any_iterables() -> None:
    xs = [0.5, 1.5, 2.5]
    wanted = cross_entropy(xs, 1)
    for target in (np.int64(1), True, np.array(1)):
        assert cross_entropy(xs, target) == wanted
    assert cross_entropy(np.array([xs, xs]), np.array([1, 1])) == wanted
    assert cross_entropy(((x for x in xs) for _ in range(2)), (k for k in (1, 1))) == wanted
    assert cross_entropy([xs, xs], [1, [0.0, 1.0, 0.0]]) == pytest.approx(wanted)


def test_probabilities_are_differentiated_by_too() -> None:
    xs, shares = values(1.0, 2.0), values(0.25, 0.75)
    cross_entropy(xs, shares).backward()
    assert_near([-p.grad for p in shares], log_softmax([1.0, 2.0]))


def test_sure_predictions_keep_their_digits() -> None:
    xs = values(50.0, 0.0)
    loss = cross_entropy(xs, 0)
    loss.backward()
    assert_near(loss.data / math.exp(-50.0), 1.0)
    assert_near(xs[0].grad / math.exp(-50.0), -1.0)
    assert binary_cross_entropy_with_logits([1000.0], [0.0]) == 1000.0
    assert binary_cross_entropy_with_logits([-1000.0], [0.0]) == 0.0


untyped: Any = tapegrad  # mistakes are what is tested here
ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "lengths": (
        lambda: untyped.mse_loss([1.0], [1.0, 2.0]),
        ValueError,
        r"mse_loss\(\): targets has 2 elements and predictions has 1",
    ),
    "a target": (
        lambda: untyped.hinge_loss([1.0], ["1"]),
        TypeError,
        r"hinge_loss\(\): targets\[0\] must be a Value or a real number, not 'str'",
    ),
    "reduction": (
        lambda: untyped.mse_loss([1.0], [1.0], "average"),
        ValueError,
        r"mse_loss\(\): reduction must be 'mean', 'sum' or 'none', not 'average'",
    ),
    "reduction's type": (
        lambda: untyped.cross_entropy([1.0], 0, reduction=None),
        TypeError,
        r"cross_entropy\(\): reduction must be a str, not 'NoneType'",
    ),
    "class too high": (
        lambda: untyped.cross_entropy([1.0, 2.0], 2),
        IndexError,
        r"cross_entropy\(\): target is 2, out of range for 2 classes",
    ),
    "class below zero": (
        lambda: untyped.cross_entropy([1.0, 2.0], -1),
        IndexError,
        r"cross_entropy\(\): target is -1, out of range for 2 classes",
    ),
    "class in a batch": (
        lambda: untyped.cross_entropy([[1.0, 2.0], [1.0, 2.0]], [0, 5]),
        IndexError,
        r"cross_entropy\(\): target\[1\] is 5, out of range for 2 classes",
    ),
    "class beyond all": (lambda: untyped.cross_entropy([1.0], 10**30), IndexError, "cannot fit"),
    "no class": (
        lambda: untyped.cross_entropy([], 0),
        IndexError,
        r"0, out of range for 0 classes",
    ),
    "a float for a class": (
        lambda: untyped.cross_entropy([1.0, 2.0], 1.0),
        TypeError,
        r"target must be an iterable of probabilities, or a class index, not 'float'",
    ),
    "a Value for a class": (
        lambda: untyped.cross_entropy([1.0, 2.0], Value(1.0)),
        TypeError,
        r"cross_entropy\(\): target must be an iterable .* not 'Value'",
    ),
    "probabilities": (
        lambda: untyped.cross_entropy([1.0, 2.0], [1.0]),
        ValueError,
        r"cross_entropy\(\): target has 1 elements and logits has 2",
    ),
    "targets of a batch": (
        lambda: untyped.cross_entropy([[1.0], [2.0]], [0]),
        ValueError,
        r"cross_entropy\(\): target has 1 elements and logits has 2",
    ),
    "one target of a batch": (
        lambda: untyped.cross_entropy([[1.0], [2.0]], 0),
        TypeError,
        r"cross_entropy\(\): logits\[0\] must be a Value or a real number, not 'list'",
    ),
    "a logit in a batch": (
        lambda: untyped.cross_entropy([[1.0, 2.0], [1.0, "2"]], [0, 0]),
        TypeError,
        r"cross_entropy\(\): logits\[1\]\[1\] must be a Value or a real number, not 'str'",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_came_and_what_was_wanted(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    before = nodes()
    with pytest.raises(error, match=message):
        call()
    assert nodes() == before
