"""detect_anomaly looks at values and derivatives of every mode, and names the line."""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad
from support.operations import OPERATIONS, Operation, operation
from tapegrad import (
    Value,
    checkpoint,
    compile,
    custom_jvp,
    custom_vjp,
    detect_anomaly,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    nn,
    value_and_grad,
    vjp,
)

Numbers = list[float]
Function = Callable[[Any], Any]


def backward(f: Function, x: Numbers) -> Any:
    values = [Value(number) for number in x]
    y = f(values)
    if isinstance(y, Value):
        y.backward()
    return y.data, [value.grad for value in values]


def pulled(f: Function, x: Numbers) -> Any:
    y, pull = vjp(f, x)
    return y, pull(1.0)


def pushed(f: Function, x: Numbers) -> Any:
    directions = np.eye(len(x)).tolist()
    return [jvp(f, (x,), (direction,)) for direction in directions]


def hessian_columns(f: Function, x: Numbers) -> Any:
    return [hvp(f, (x,), (direction,)) for direction in np.eye(len(x)).tolist()]


def value(f: Function, x: Numbers) -> Any:
    """What `f` gives of traced numbers: floats alone nobody looks at."""
    return jvp(f, (x,), ([0.0] * len(x),))[0]


def twice(outer: Any, inner: Any) -> Callable[[Function, Numbers], Any]:
    return lambda f, x: (value(f, x), inner(f)(x), outer(inner(f))(x))


# Each gives a tree of numbers: all that it computes and the user may see.
FIRST: dict[str, Callable[[Function, Numbers], Any]] = {
    "backward": backward,
    "grad": lambda f, x: (value(f, x), grad(f)(x)),
    "value_and_grad": lambda f, x: value_and_grad(f)(x),
    "vjp": pulled,
    "jvp": pushed,
    "jacrev": lambda f, x: (value(f, x), jacrev(f)(x)),
    "jacfwd": lambda f, x: (value(f, x), jacfwd(f)(x)),
    "jacobian": lambda f, x: (value(f, x), jacobian(f)(x)),
    "compiled": lambda f, x: compile(f)(x),
    "compiled grad": lambda f, x: (value(f, x), compile(grad(f))(x)),
    "grad of compiled": lambda f, x: value_and_grad(compile(f))(x),
    "jvp of compiled": lambda f, x: pushed(compile(f), x),
    "jacfwd of compiled": lambda f, x: (value(f, x), jacfwd(compile(f))(x)),
    "sparse jacrev": lambda f, x: (value(f, x), dense(jacrev(lambda v: [f(v)], sparse=True)(x))),
    "sparse jacfwd": lambda f, x: (value(f, x), dense(jacfwd(lambda v: [f(v)], sparse=True)(x))),
    "sparse of compiled": lambda f, x: (
        value(f, x),
        dense(jacobian(compile(lambda v: [f(v)]), sparse=True)(x)),
    ),
}
SECOND: dict[str, Callable[[Function, Numbers], Any]] = {
    "hessian": twice(lambda f: f, hessian),
    "hvp": lambda f, x: (value(f, x), grad(f)(x), hessian_columns(f, x)),
    "forward over reverse": twice(jacfwd, grad),
    "reverse over reverse": twice(jacrev, grad),
    "forward over forward": twice(jacfwd, jacfwd),
    "reverse over forward": twice(jacrev, jacfwd),
    "compiled hessian": lambda f, x: (value(f, x), grad(f)(x), compile(hessian(f))(x)),
    "hessian of compiled": lambda f, x: (value(f, x), grad(f)(x), hessian(compile(f))(x)),
    "sparse hessian": lambda f, x: (value(f, x), grad(f)(x), dense(hessian(f, sparse=True)(x))),
}
SPECIAL = (0.0, -0.0, 0.5, 1.0, -1.0, 2.0, -3.0, 1e-200, -1e200, 710.0)


def dense(matrix: Any) -> Any:
    return matrix.toarray().tolist()


def numbers_in(tree: Any) -> Iterator[float]:
    if isinstance(tree, tuple | list):
        for part in tree:
            yield from numbers_in(part)
    else:
        yield float(tree)


def applied(op: Operation, arguments: tuple[float, ...]) -> tuple[Function, Numbers]:
    """The operation as a function of one list, and that list; constants stay out of it."""
    if not op.constant_last:
        return lambda v: op(*v), list(arguments)
    return lambda v: op(*v, arguments[-1]), list(arguments[:-1])


def points(op: Operation) -> list[tuple[float, ...]]:
    """Special arguments in every combination, as far as a test has time for them."""
    arity = 3 if op.arity is None else op.arity + op.constant_last
    if op.arity is None:
        arity *= len(op.parameters)
    every = list(itertools.product(SPECIAL, repeat=min(arity, 2)))
    several = every[:: max(1, len(every) // 30)]
    return [tuple(itertools.islice(itertools.cycle(point), arity)) for point in several]


def outcome(call: Callable[[], Any]) -> list[float] | str:
    try:
        return list(numbers_in(call()))
    except (ArithmeticError, ValueError) as error:
        return type(error).__name__


def check(mode: Callable[[Function, Numbers], Any], op: Operation) -> None:
    for point in points(op):
        f, x = applied(op, point)
        outside = outcome(lambda f=f, x=x: mode(f, x))
        with detect_anomaly():
            inside = outcome(lambda f=f, x=x: mode(f, x))
        finite = isinstance(outside, list) and all(map(math.isfinite, outside))
        if finite:
            # Compiled derivatives are the plain ones to rounding.
            assert inside == pytest.approx(outside, rel=1e-12), (op.name, point)
        elif isinstance(outside, list):
            assert inside == "FloatingPointError", (op.name, point, outside)


@pytest.mark.parametrize("op", OPERATIONS, ids=str)
@pytest.mark.parametrize("mode", FIRST)
def test_it_raises_where_a_value_or_slope_is_not_finite_and_nowhere_else(
    mode: str, op: Operation
) -> None:
    check(FIRST[mode], op)


@pytest.mark.parametrize("op", OPERATIONS, ids=str)
@pytest.mark.parametrize("mode", SECOND)
def test_the_same_of_second_derivatives(mode: str, op: Operation) -> None:
    check(SECOND[mode], op)


def root(x: Any) -> Any:
    return tapegrad.sqrt(x)


def power(x: Any) -> Any:
    return x**1.5


def line_in(f: Function) -> str:
    return f"{__file__}:{inspect.getsourcelines(f)[1] + 1}"


def summed(f: Function) -> Function:
    return lambda v: f(v[0] * 1.0) + v[1]


@pytest.mark.parametrize("mode", [name for name in FIRST if name != "compiled"])
def test_a_slope_that_becomes_infinite_is_told_with_value_and_line(mode: str) -> None:
    with detect_anomaly(), pytest.raises(FloatingPointError) as caught:
        FIRST[mode](summed(root), [0.0, 3.0])
    message = str(caught.value)
    assert re.search(r"(gradient|tangent) became inf in sqrt of 0\.0", message)
    assert line_in(root) in message


@pytest.mark.parametrize("mode", SECOND)
def test_a_second_slope_that_becomes_infinite_is_told_with_value_and_line(mode: str) -> None:
    assert grad(power)(0.0) == 0.0
    with detect_anomaly(), pytest.raises(FloatingPointError) as caught:
        SECOND[mode](summed(power), [0.0, 3.0])
    message = str(caught.value)
    assert re.search(r"(gradient|tangent) became inf in \w+ of 0\.0", message)
    assert line_in(power) in message


@pytest.mark.parametrize("mode", ["grad", "jvp", "compiled", "hvp", "sparse jacfwd"])
def test_a_value_is_told_with_its_operands_and_the_line(mode: str) -> None:
    def inner(x: Any) -> Any:
        return tapegrad.log(x)

    def f(v: Any) -> Any:
        return inner(v[0]) * v[1] if tapegrad._core.is_traced(v[0]) else 1.0

    with detect_anomaly(), pytest.raises(FloatingPointError) as caught:
        {**FIRST, **SECOND}[mode](f, [-1.0, 3.0])
    assert str(caught.value) == f"log of -1.0 gave nan, at {line_in(inner)}"


@pytest.mark.parametrize("name", ["sum", "dot"])
def test_an_overflow_inside_an_operation_of_many_numbers_is_found(name: str) -> None:
    f = operation(name)
    x = [1e200] * 6 if name == "dot" else [1e308] * 6
    with detect_anomaly():
        for transform in (grad, jacfwd, compile):
            with pytest.raises(FloatingPointError, match="gave inf"):
                transform(lambda v: f(*v) * 0.5)(x)


def test_backward_names_the_line_that_made_the_node() -> None:
    with detect_anomaly():
        y = root(Value(0.0, label="x") * 1.0) * 2.0
        with pytest.raises(FloatingPointError, match=re.escape(line_in(root))):
            y.backward()


def test_backward_says_that_a_line_is_not_known_where_it_ran_outside() -> None:
    y = root(Value(0.0))
    with detect_anomaly(), pytest.raises(FloatingPointError, match="made outside detect_anomaly"):
        y.backward()


def test_the_line_is_the_users_where_a_layer_of_ours_made_the_node() -> None:
    def forward(neuron: Any) -> Any:
        return neuron([Value(0.0)])

    neuron = nn.Neuron(1, nonlin=False)
    neuron.w[0].data = 1e200
    with detect_anomaly():
        y = forward(neuron)
        with pytest.raises(FloatingPointError, match=re.escape(line_in(forward))) as caught:
            y.backward(1e200)
    assert "/nn/" not in str(caught.value)


def test_what_was_recorded_outside_is_checked_where_it_is_pulled() -> None:
    _, pull = vjp(root, 0.0)
    assert pull(1.0) == (math.inf,)
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"in sqrt of 0\.0"):
        pull(1.0)


def test_seeds_and_data_that_are_not_finite_raise_nothing() -> None:
    with detect_anomaly():
        _, pull = vjp(lambda x: x * 2.0, 1.0)
        assert pull(math.inf) == (math.inf,)
        assert math.isnan(pull(math.nan)[0])
        assert jvp(lambda x: x * 2.0, (1.0,), (math.inf,)) == (2.0, math.inf)
        assert jvp(lambda x: x * x, (math.inf,), (1.0,)) == (math.inf, math.inf)
        assert grad(lambda x: x * x)(math.inf) == math.inf
        x = Value(math.inf)
        (x * x).backward()
        assert x.grad == math.inf
        y = Value(1.0)
        y.grad = math.inf
        (y * 2.0).backward()
        assert y.grad == math.inf


@pytest.mark.parametrize("transform", [grad, jacfwd, jacrev, hessian, compile])
def test_a_branch_not_taken_raises_if_it_spoils_the_result(transform: Any) -> None:
    def f(x: Any) -> Any:
        return tapegrad.maximum(tapegrad.sqrt(x) - 1.0, x * 0.5)

    outside = outcome(lambda: transform(f)(0.0))
    with detect_anomaly():
        inside = outcome(lambda: transform(f)(0.0))
    assert inside == (outside if all(map(math.isfinite, outside)) else "FloatingPointError")


def test_a_gradient_that_becomes_infinite_as_a_sum_raises() -> None:
    def f(x: Any) -> Any:
        return x * 1e308 + x * 1e308

    for transform in (grad, jacfwd):
        with detect_anomaly(), pytest.raises(FloatingPointError, match="became inf"):
            transform(f)(1e-10)
    x = Value(1e-10)
    y = x * 1e308 + x * 1e308
    with detect_anomaly(), pytest.raises(FloatingPointError, match="became inf"):
        y.backward()


def test_rules_of_the_users_own_are_checked() -> None:
    @custom_jvp
    def f(x: Any) -> Any:
        return x * 2.0

    f.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * math.inf))

    @custom_vjp
    def g(x: Any) -> Any:
        return x * 2.0

    g.defvjp(lambda x: (x * 2.0, None), lambda _, cotangent: (cotangent * math.inf,))
    with detect_anomaly():
        for call in (lambda: jvp(f, (1.0,), (1.0,)), lambda: grad(f)(1.0), lambda: grad(g)(1.0)):
            with pytest.raises(FloatingPointError, match=r"(gave|became) (inf|nan)"):
                call()


def test_a_checkpoint_is_checked_when_it_runs_again() -> None:
    with detect_anomaly():
        for transform in (grad, jacfwd):
            with pytest.raises(FloatingPointError) as caught:
                transform(lambda x: checkpoint(root)(x * 1.0))(0.0)
            assert "in sqrt of 0.0" in str(caught.value)
            assert line_in(root) in str(caught.value)


def test_replays_go_on_after_it() -> None:
    f = compile(lambda x: tapegrad.sqrt(x) * 2.0)
    slope = grad(f)
    assert (f(4.0), slope(4.0)) == (4.0, 0.5)
    with detect_anomaly():
        assert (f(4.0), slope(4.0)) == (4.0, 0.5)
        with pytest.raises(FloatingPointError):
            slope(0.0)
    assert (f(0.0), slope(0.0)) == (0.0, math.inf)
    assert len(f.programs) == 1
