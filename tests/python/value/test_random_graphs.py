"""Random programs on Values agree with the same programs on the pure-Python class."""

from __future__ import annotations

import functools
import gc
import math
import operator
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad
from support.contract import nodes
from tapegrad import Value
from tapegrad.demo import pure

# An operation, where its operands are, and a plain number for one side.
Step = tuple[str, int, int, float]
SMOOTH = ["x + y", "x * y", "c * x", "x + c", "tanh"]
ALL = [
    *SMOOTH,
    *["x - y", "x / y", "x ** c", "x ** y", "c - x", "c / x", "c ** x"],
    *["x * x", "-x", "exp", "relu", "sum", "dot"],
]
LIMIT = 20.0

places = st.integers(0, 999)
numbers = st.sampled_from([0.5, 1.0, 2.0, 3.0, 0.1, 1.7])
inputs = st.lists(st.floats(-2.0, 2.0).map(lambda x: round(x, 3)), min_size=1, max_size=5)


def programs(operations: Sequence[str] = ALL, most: int = 40) -> st.SearchStrategy[list[Step]]:
    """Any number of steps, each with operands among all that was there before it."""
    step = st.tuples(st.sampled_from(operations), places, places, numbers)
    return st.lists(step, min_size=1, max_size=most)


def total(terms: list[Any]) -> Any:
    """The n-ary sum; one node in the reference too, since a chain has more gradients to keep."""
    if any(isinstance(term, Value) for term in terms):
        return tapegrad.sum(terms)
    return product([1.0] * len(terms), terms)


def product(xs: list[Any], ys: list[Any]) -> Any:
    """The n-ary dot product; one node in the reference too."""
    if any(isinstance(term, Value) for term in [*xs, *ys]):
        return tapegrad.dot(xs, ys)
    left = [x if isinstance(x, pure.Value) else pure.Value(x) for x in xs]
    right = [y if isinstance(y, pure.Value) else pure.Value(y) for y in ys]
    products = [x.data * y.data for x, y in zip(left, right, strict=True)]
    result = pure.Value(functools.reduce(operator.add, products), (*left, *right), "dot")

    def push() -> None:
        for x, y in zip(left, right, strict=True):
            x.grad += y.data * result.grad
            y.grad += x.data * result.grad

    result._backward = push
    return result


def several(made: list[Any], start: int, count: int) -> list[Any]:
    """Up to twelve of the nodes, perhaps the same ones again."""
    return [made[(start + 3 * k) % len(made)] for k in range(1 + count % 12)]


def apply(step: Step, made: list[Any]) -> Any:
    """The new node of one step; operands are held to where every operation is finite."""
    name, i, j, c = step
    x, y = made[i % len(made)], made[j % len(made)]
    if name == "sum":
        return total([*several(made, i, j), c])
    if name == "dot":
        return product(several(made, i, j), several(made, j, j))
    if name in ("tanh", "relu"):
        return getattr(x, name)()
    if name == "exp":
        return (x * 0.125).exp()
    if name in ("x / y", "x ** y", "x ** c", "c / x", "c ** x"):
        positive = x * x * 0.01 + 0.5
        forms = {
            "x / y": lambda: y / positive,
            "x ** y": lambda: positive ** y.tanh(),
            "x ** c": lambda: positive**c,
            "c / x": lambda: c / positive,
            "c ** x": lambda: c**positive,
        }
        return forms[name]()
    return {
        "x + y": lambda: x + y,
        "x - y": lambda: x - y,
        "x * y": lambda: x * y,
        "x * x": lambda: x * x,
        "c * x": lambda: c * x,
        "x + c": lambda: x + c,
        "c - x": lambda: c - x,
        "-x": lambda: -x,
    }[name]()


def record(program: list[Step], leaves: list[Any], *, litter: bool = False) -> list[Any]:
    """The leaves and the node of every step; large numbers go through tanh."""
    made = list(leaves)
    for k, step in enumerate(program):
        if litter and k % 3 == 0:
            dead = [apply(other, made) for other in program[: k % 7 + 1]]
            del dead[::2]
            made[-1] + 1.0
        node = apply(step, made)
        made.append(node.tanh() if abs(node.data) > LIMIT else node)
    return made


def same(found: list[Any], expected: list[Any], scale: float) -> None:
    """Data and gradients alike, apart from rounding of terms as large as `scale`."""
    bound = 1e-12 * max(1.0, scale)
    for v, reference in zip(found, expected, strict=True):
        assert math.isfinite(reference.grad)
        assert v.data == pytest.approx(reference.data, rel=1e-12, abs=1e-12)
        assert v.grad == pytest.approx(reference.grad, rel=1e-12, abs=bound)


def largest(made: list[Any]) -> float:
    """The largest of the gradients, which those of the leaves may be the difference of."""
    return float(max(abs(v.grad) for v in made))


def leaves_of(kind: Any, data: list[float]) -> list[Any]:
    return [kind(x) for x in data]


steadily = settings(derandomize=True, max_examples=150)


@steadily
@given(data=inputs, program=programs())
def test_a_program_has_the_data_and_gradients_of_the_reference(
    data: list[float], program: list[Step]
) -> None:
    found = record(program, leaves_of(Value, data))
    expected = record(program, leaves_of(pure.Value, data))
    found[-1].backward()
    expected[-1].backward()
    same(found, expected, largest(expected))


@steadily
@given(data=inputs, program=programs(), roots=st.lists(places, min_size=2, max_size=5))
def test_several_roots_accumulate_as_the_reference_does(
    data: list[float], program: list[Step], roots: list[int]
) -> None:
    found = record(program, leaves_of(Value, data))
    expected = record(program, leaves_of(pure.Value, data))
    scale = 0.0
    for root in roots:
        for made in (found, expected):
            made[root % len(made)].backward()
        scale = max(scale, largest(expected))
    same(found, expected, scale)


@steadily
@given(data=inputs, program=programs(SMOOTH, 25))
def test_a_second_backward_does_what_it_does_in_the_reference(
    data: list[float], program: list[Step]
) -> None:
    found = record(program, leaves_of(Value, data))
    expected = record(program, leaves_of(pure.Value, data))
    for _ in range(2):
        found[-1].backward()
        expected[-1].backward()
    same(found, expected, largest(expected))


@steadily
@given(data=inputs, program=programs())
def test_graphs_that_die_meanwhile_change_no_bit(data: list[float], program: list[Step]) -> None:
    quiet = record(program, leaves_of(Value, data))
    littered = record(program, leaves_of(Value, data), litter=True)
    for made in (quiet, littered):
        made[-1].backward()
    assert [(v.data, v.grad) for v in littered] == [(v.data, v.grad) for v in quiet]


def test_a_branch_not_taken_passes_on_what_an_earlier_sweep_left() -> None:
    """As in micrograd, where a `relu` that is off passes 0 on and its operand passes on its own."""
    gradients = []
    for kind in (Value, pure.Value):
        x, low = kind(1.0), kind(-5.0)
        shared = x * x
        hidden = shared + low
        first, second = shared * 3.0, hidden.relu() + x
        first.backward()
        second.backward()
        gradients.append((x.grad, low.grad, shared.grad, hidden.grad))
    assert gradients == [(13.0, 0.0, 3.0, 0.0)] * 2


@settings(derandomize=True, max_examples=60)
@given(
    data=inputs,
    rounds=st.lists(st.tuples(programs(most=25), places, st.booleans()), min_size=2, max_size=5),
)
def test_recording_again_where_graphs_were_dropped(
    data: list[float], rounds: list[tuple[list[Step], int, bool]]
) -> None:
    gc.disable()  # what is dropped goes by its reference count alone
    try:
        found, expected = leaves_of(Value, data), leaves_of(pure.Value, data)
        kept: tuple[list[Any], list[Any]] = ([], [])
        scale = 0.0
        for program, place, keep in rounds:
            mine = record(program, [*found, *kept[0]], litter=True)
            theirs = record(program, [*expected, *kept[1]])
            mine[-1].backward()
            theirs[-1].backward()
            scale = max(scale, largest(theirs))
            same(mine, theirs, scale)
            # One node in the middle holds its part of the graph; the rest is free to be reused.
            kept = ([mine[place % len(mine)]], [theirs[place % len(theirs)]]) if keep else ([], [])
            del mine, theirs
        same(found, expected, scale)
    finally:
        gc.enable()


def test_random_programs_leave_no_node_behind() -> None:
    before = nodes()

    @settings(derandomize=True, max_examples=25)
    @given(data=inputs, program=programs())
    def run(data: list[float], program: list[Step]) -> None:
        record(program, leaves_of(Value, data), litter=True)[-1].backward()

    run()
    assert nodes() == before
