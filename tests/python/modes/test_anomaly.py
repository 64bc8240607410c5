"""detect_anomaly raises where a NaN or an infinity is made, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import tapegrad
from support.contract import nodes, nodes_now
from tapegrad import Value


def leaf(data: float, label: str) -> Value:
    return Value(data, label=label)


# What makes it, and the message: operation, labels, values.
FORWARD: dict[str, tuple[Callable[[], Any], str]] = {
    "log of zero": (lambda: leaf(0.0, "z").log(), "log of 0.0 (label 'z') gave -inf"),
    "log by function": (lambda: tapegrad.log(leaf(-1.0, "n")), "log of -1.0 (label 'n') gave nan"),
    "number by zero": (lambda: 1 / leaf(0.0, "d"), "div of 1.0, 0.0 (label 'd') gave inf"),
    "value by zero": (
        lambda: leaf(-2.0, "n") / leaf(0.0, "d"),
        "div of -2.0 (label 'n'), 0.0 (label 'd') gave -inf",
    ),
    "root of minus one": (lambda: leaf(-1.0, "q").sqrt(), "sqrt of -1.0 (label 'q') gave nan"),
    "overflow of exp": (lambda: leaf(1000.0, "big").exp(), "exp of 1000.0 (label 'big') gave inf"),
    "overflow of a product": (
        lambda: leaf(1e308, "big") * 10,
        "mul of 1e+308 (label 'big'), 10.0 gave inf",
    ),
    "overflow of a sum": (
        lambda: tapegrad.sum([leaf(1e308, "a"), leaf(1e308, "b"), 3.0]),
        "sum of 1e+308 (label 'a'), 1e+308 (label 'b'), 3.0 gave inf",
    ),
    "overflow of a dot product": (
        lambda: tapegrad.dot([leaf(1e308, "a")], [leaf(1e308, "b")]),
        "dot of 1e+308 (label 'a'), 1e+308 (label 'b') gave inf",
    ),
}


@pytest.mark.parametrize("what", FORWARD)
def test_a_result_that_becomes_nan_or_infinite_raises_where_it_is_made(what: str) -> None:
    make, message = FORWARD[what]
    with tapegrad.detect_anomaly(), pytest.raises(FloatingPointError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("what", FORWARD)
def test_outside_nothing_raises(what: str) -> None:
    make, _ = FORWARD[what]
    assert not math.isfinite(make().data)
    with tapegrad.detect_anomaly():
        assert (Value(2.0) * 3).data == 6.0
    assert not math.isfinite(make().data)


def test_a_gradient_that_becomes_infinite_raises_in_backward() -> None:
    x = leaf(0.0, "x")
    y = x.sqrt() * 2
    with tapegrad.detect_anomaly(), pytest.raises(FloatingPointError) as caught:
        y.backward()
    message = str(caught.value)
    for part in ("backward", "gradient became inf", "sqrt", "0.0 (label 'x')", "is 2.0"):
        assert part in message


def test_a_gradient_that_overflows_raises_in_backward() -> None:
    x = leaf(1e-200, "small")
    y = 1.0 / x
    with tapegrad.detect_anomaly(), pytest.raises(FloatingPointError, match=r"backward.*small"):
        y.backward()


def test_the_gradient_of_what_was_recorded_outside_is_checked_inside() -> None:
    y = leaf(0.0, "x").log()
    y.backward()
    with tapegrad.detect_anomaly(), pytest.raises(FloatingPointError, match=r"log of 0\.0"):
        y.backward()


def test_backward_outside_lets_infinite_gradients_flow() -> None:
    x = Value(0.0)
    with tapegrad.detect_anomaly():
        y = x.sqrt()
    y.backward()
    assert x.grad == math.inf


@pytest.mark.parametrize("data", [math.nan, math.inf, -math.inf])
def test_data_that_is_no_finite_number_from_the_start_does_not_raise(data: float) -> None:
    with tapegrad.detect_anomaly():
        v = Value(data)
        results = [v * 2, v + 1, -v, tapegrad.sum([v, 1.0]), tapegrad.dot([v], [2.0])]
        (v + 1).backward()
    assert not any(math.isfinite(result.data) for result in results)
    assert v.grad == 1.0


def test_ordinary_work_inside_is_as_outside() -> None:
    def work() -> tuple[float, ...]:
        x, y = Value(0.75), Value(-1.5)
        z = tapegrad.sum([x * y, x.tanh(), (y * y).exp().log(), x**3 / y, tapegrad.relu(y)])
        z.backward()
        return z.data, x.grad, y.grad

    outside = work()
    with tapegrad.detect_anomaly():
        inside = work()
    assert inside == outside


def test_it_nests() -> None:
    zero = Value(0.0)
    with tapegrad.detect_anomaly():
        with tapegrad.detect_anomaly(), pytest.raises(FloatingPointError):
            zero.log()
        with pytest.raises(FloatingPointError):
            zero.log()
    assert zero.log().data == -math.inf


def test_one_object_may_be_used_again() -> None:
    zero, detector = Value(0.0), tapegrad.detect_anomaly()
    for _ in range(2):
        with detector, pytest.raises(FloatingPointError):
            zero.log()
        assert zero.log().data == -math.inf


@pytest.mark.parametrize("error", [FloatingPointError, KeyError, KeyboardInterrupt])
def test_an_exception_ends_it_as_it_should(error: type[BaseException]) -> None:
    zero = Value(0.0)

    def leave() -> None:
        with tapegrad.detect_anomaly():
            if error is FloatingPointError:
                zero.log()
            raise error

    with pytest.raises(error):
        leave()
    assert zero.log().data == -math.inf
    with tapegrad.detect_anomaly():
        with pytest.raises(error):
            leave()
        with pytest.raises(FloatingPointError):
            zero.log()
    assert zero.log().data == -math.inf


@pytest.mark.parametrize("what", FORWARD)
def test_a_result_that_raises_leaves_no_node(what: str) -> None:
    make, _ = FORWARD[what]
    before = nodes()
    with tapegrad.detect_anomaly():
        for _ in range(50):
            try:
                make()
            except FloatingPointError:
                continue
            pytest.fail("nothing was raised")
    assert nodes_now() == before


def test_a_backward_that_raises_leaves_no_node_and_a_graph_that_can_be_used() -> None:
    before = nodes()
    x, w = Value(0.0), Value(3.0)
    y = x.sqrt() * w + w
    with tapegrad.detect_anomaly():
        for _ in range(20):
            with pytest.raises(FloatingPointError):
                y.backward()
    y.zero_grad()
    y.backward()
    assert (x.grad, w.grad) == (math.inf, 1.0)
    del x, w, y
    assert nodes() == before
