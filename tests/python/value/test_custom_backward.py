"""`_backward` as a Python callable: new operations, and whatever such a function may do."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

from support.contract import nodes
from tapegrad import Value


def lecture_tanh(x: Value) -> Value:
    t = math.tanh(x.data)
    out = Value(t, (x,), "tanh")

    def _backward() -> None:
        x.grad += (1 - t**2) * out.grad

    out._backward = _backward
    return out


def identity(x: Value, then: Callable[[], Any] = lambda: None) -> Value:
    """A node that passes its gradient on, after something else was done."""
    out = Value(x.data, (x,), "id")

    def _backward() -> None:
        then()
        x.grad += out.grad

    out._backward = _backward
    return out


def test_the_lectures_tanh_is_an_operation_like_another() -> None:
    x, w = Value(0.5), Value(0.25)
    ours, theirs = lecture_tanh(x * w) * x, (x * w).tanh() * x
    ours.backward()
    got = x.grad, w.grad
    x.grad = w.grad = 0.0
    theirs.backward()
    assert got == pytest.approx((x.grad, w.grad), rel=1e-14)


def test_backward_calls_it_once_after_all_users() -> None:
    seen: list[tuple[str, float]] = []
    x = Value(1.0)
    inner = identity(x, lambda: seen.append(("inner", inner.grad)))
    left = identity(inner, lambda: seen.append(("left", left.grad)))
    right = identity(inner, lambda: seen.append(("right", right.grad)))
    (left * 2 + right * 3).backward()
    assert sorted(seen[:2]) == [("left", 2.0), ("right", 3.0)]
    assert seen[2:] == [("inner", 5.0)]
    assert x.grad == 5.0


def test_it_takes_the_place_of_recorded_partials() -> None:
    x = Value(3.0)
    y = x * x

    def _backward() -> None:
        x.grad += 100 * y.grad

    y._backward = _backward
    assert y._backward is _backward
    (y * 2).backward()
    assert x.grad == 200.0
    assert y._local_grads == (3.0, 3.0)


def test_a_leaf_may_have_one_too() -> None:
    x, called = Value(3.0), []
    x._backward = lambda: called.append(x.grad)
    (x * 5).backward()
    x.backward()
    assert called == [5.0, 1.0]


def test_a_node_with_a_number_for_operand_keeps_its_operands() -> None:
    for make in (lambda x: 5 - x, lambda x: x - 5):
        x = Value(2.0)
        y = make(x)
        data = [child.data for child in y._children]
        y._backward = lambda x=x: setattr(x, "grad", x.grad + 1)
        assert [child.data for child in y._children] == data
        y.backward()
        assert x.grad == 1.0


def test_it_may_be_any_callable() -> None:
    class Step:
        def __init__(self) -> None:
            self.calls = 0

        def __call__(self) -> str:
            self.calls += 1
            return "an answer that nobody asked for"

        def method(self) -> None:
            self.calls += 10

    step = Step()
    node = Value(1.0, (Value(2.0),))
    for callable_ in (step, step.method, functools.partial(Step.method, step)):
        node._backward = callable_
        node.backward()
    assert step.calls == 21


class StopHereError(Exception):
    pass


def raising() -> None:
    raise StopHereError("here")


def test_its_exception_comes_out_as_it_was_and_the_graph_stays_usable() -> None:
    x = Value(2.0)
    deep = identity(x * 3)
    guard = identity(deep)
    top = guard * 2 + deep * 4 + x
    good = guard._backward
    guard._backward = raising
    for _ in range(3):
        with pytest.raises(StopHereError, match="here") as raised:
            top.backward()
        assert raised.traceback[-1].name == "raising"
        top.zero_grad()
        guard._backward = good
        top.backward()
        assert x.grad == 3 * 6 + 1
        top.zero_grad()
        guard._backward = raising


def test_after_an_exception_other_graphs_are_swept_as_ever() -> None:
    x = Value(2.0)
    y = x * 3
    bad = Value(1.0, (y,))
    bad._backward = raising
    with pytest.raises(StopHereError):
        (bad + y * 5 + x).backward()
    x.grad = y.grad = 0.0
    (y * 7).backward()
    assert (y.grad, x.grad) == (7.0, 21.0)


def test_an_exception_ten_sweeps_deep_comes_out_of_all() -> None:
    x = Value(1.0)
    inner = Value(1.0, (x,))
    inner._backward = raising
    for _ in range(10):
        outer = Value(1.0, (x,))
        outer._backward = inner.backward
        inner = outer * 1.0
    with pytest.raises(StopHereError):
        inner.backward()
    (x * 2).backward()
    assert x.grad == 2.0


def test_a_wrong_number_of_parameters_is_pythons_own_error() -> None:
    y = Value(1.0, (Value(2.0),))
    y._backward = lambda gradient: None  # type: ignore[assignment, misc]
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        y.backward()


def test_it_may_sweep_another_graph() -> None:
    a = Value(3.0)
    other = (a * a) * a
    x = Value(2.0)
    mid = x * 5
    y = identity(mid, other.backward)
    (y * 2 + mid).backward()
    assert (mid.grad, x.grad) == (3.0, 15.0)
    assert a.grad == 27.0


def test_it_may_sweep_its_own_graph() -> None:
    x = Value(2.0)
    mid = x * 5
    low = mid * 3
    y = identity(mid, lambda: low.backward())
    (y * 2 + mid * 7).backward()
    # The inner sweep gives mid 3 and passes on all that mid has then: 7 + 3; the outer adds 2.
    assert low.grad == 1.0
    assert mid.grad == 12.0
    assert x.grad == 5 * 10 + 5 * 12


def test_sweeps_nest_as_deep_as_the_stack_allows() -> None:
    leaves = [Value(k) for k in range(60)]
    inner = leaves[0] * 2
    for leaf in leaves[1:]:
        side = leaf * 3
        inner = identity(side, inner.backward) * 2 + side
    inner.backward()
    assert [leaf.grad for leaf in leaves] == [2.0] + [9.0] * 59


def test_it_may_clear_gradients_under_way() -> None:
    x = Value(2.0)
    a, b = x * 3, x * 5
    y = identity(a, a.zero_grad)
    (y * 2 + b).backward()
    assert (a.grad, b.grad) == (2.0, 1.0)
    assert x.grad == 5.0 + 6.0 or x.grad == 6.0


def test_it_may_record_and_drop_nodes() -> None:
    before = nodes()
    x = Value(2.0)
    made: list[Value] = []

    def record_and_drop(x: Value = x) -> None:
        made.extend(x * k + 1 for k in range(2000))
        del made[::3]

    for _ in range(20):
        mid = x * 5
        y = identity(mid, record_and_drop)
        (identity(y, made.clear) * 2 + mid).backward()
    assert x.grad == 20 * 15.0
    assert [m.data for m in made] == [2.0 * k + 1 for k in range(2000) if k % 3]
    del y, mid, x, record_and_drop
    made.clear()
    assert nodes() == before


def test_it_may_drop_the_last_variable_of_the_root_and_of_itself() -> None:
    x = Value(2.0)
    held: dict[str, Value] = {}
    held["mid"] = x * 5
    held["y"] = Value(1.0, (held["mid"],))

    def _backward() -> None:
        held["mid"].grad += held["y"].grad
        held.clear()

    held["y"]._backward = _backward
    held["root"] = held["y"] * 2
    del _backward
    held["root"].backward()
    assert x.grad == 10.0
    assert not held


# A node that waits for its turn in the sweep, and what is done to it meanwhile.
while_due: dict[str, Callable[[Value], Any]] = {
    "its operands are looked at": lambda v: v._prev,
    "its partials are looked at": lambda v: v._local_grads,
    "it gets a backward function": lambda v: setattr(v, "_backward", v._backward),
    "it is copied": lambda v: copy.copy(v)._children,
    "it is copied deeply": lambda v: copy.deepcopy(v).backward(),
    "it is labelled": lambda v: setattr(v, "label", "due"),
    "it is pushed by hand": lambda v: setattr(v, "grad", 0.0) or v._backward(),
    "it is used": lambda v: v + v,
    "it is cleared": lambda v: v.zero_grad(),
}


@pytest.mark.parametrize("what", list(while_due))
@pytest.mark.parametrize("side", ["left", "right", "both", "list", "own"])
def test_anything_may_be_done_to_a_node_that_is_due(what: str, side: str) -> None:
    x = Value(2.0)
    makers: dict[str, Callable[[], Value]] = {
        "left": lambda: 3 - x,
        "right": lambda: x - 3,
        "both": lambda: x * x,
        "list": lambda: x.clip(-9, 9),
        "own": lambda: identity(x),
    }
    due = makers[side]()
    for distance in (0, 600):  # in this block of the arena, and in an older one
        padding = [x + 1 for _ in range(distance)]
        other = Value(1.0, (due,))
        kept = []

        def _backward(kept: list[Any] = kept, due: Value = due) -> None:
            kept.append(while_due[what](due))

        other._backward = _backward
        (other + due).backward()
        assert len(kept) == 1
        before = x.grad
        due.zero_grad()
        x.grad = 0.0
        due.backward()
        assert math.isfinite(before)
        assert abs(x.grad) == {"both": 4.0}.get(side, 1.0)
        x.grad = due.grad = 0.0
        del padding


def test_it_may_replace_itself_while_it_runs() -> None:
    x = Value(2.0)
    y = Value(1.0, (x,))
    calls = []

    class Once:
        def __call__(self) -> None:
            y._backward = functools.partial(setattr, y, "_backward", raising)
            calls.append(self)

    y._backward = Once()
    y.backward()
    y.backward()
    with pytest.raises(StopHereError):
        y.backward()
    assert len(calls) == 1
