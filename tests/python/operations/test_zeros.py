"""Zeros and infinities: what comes through a branch not taken, and what a zero weight does.

Products follow IEEE, so that 0 times infinity is NaN, with two exceptions in every mode: what comes
through the branch not taken of a select is absent, and an input whose direction or cotangent is
exactly 0 does not vary.
"""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tapegrad
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
    stop_gradient,
    value_and_grad,
    vjp,
)

Function = Callable[..., Any]

# Functions, a point at which their slope is infinite or NaN, and one at which it is not.
SINGULAR: dict[str, tuple[Function, float, float]] = {
    "log": (tapegrad.log, 0.0, 3.0),
    "log2": (tapegrad.log2, 0.0, 3.0),
    "log1p": (tapegrad.log1p, -1.0, 3.0),
    "sqrt": (tapegrad.sqrt, 0.0, 3.0),
    "cbrt": (tapegrad.cbrt, 0.0, 3.0),
    "division": (lambda x: 1.0 / x, 0.0, 3.0),
    "reciprocal": (tapegrad.reciprocal, 0.0, 3.0),
    "power": (lambda x: x**0.25, 0.0, 3.0),
    "negative power": (lambda x: x**-3, 0.0, 3.0),
    "power of two": (lambda x: x ** (x * 0.0 - 0.5), 0.0, 3.0),
    "asin": (tapegrad.asin, 1.0, 0.5),
    "acos": (tapegrad.acos, -1.0, 0.5),
    "acosh": (tapegrad.acosh, 1.0, 3.0),
    "atanh": (tapegrad.atanh, 1.0, 0.5),
    "exp overflows": (tapegrad.exp, 1000.0, 3.0),
    "product overflows": (lambda x: tapegrad.exp(x) * tapegrad.exp(x), 500.0, 3.0),
    "sinh overflows": (tapegrad.sinh, 1000.0, 3.0),
    "lgamma": (tapegrad.lgamma, 0.0, 3.0),
    "norm": (lambda x: tapegrad.hypot(x, 0.0 * x), 0.0, 3.0),
    "root of a square": (lambda x: tapegrad.sqrt(x * x), 0.0, 3.0),
    "log of a root": (lambda x: tapegrad.log(tapegrad.sqrt(x)), 0.0, 3.0),
    "tan": (lambda x: 1.0 / tapegrad.tan(x), 0.0, 1.0),
}


def below(inner: Function, at: float, other: float) -> Function:
    """`inner` moved to where it is below 0 at one point and above at another."""
    low, high = inner(Value(at)).data, inner(Value(other)).data
    sign = 1.0 if low < high else -1.0
    middle = 0.5 * (sign * low + sign * high)
    if math.isinf(middle):
        middle = sign * high - 1.0
    return lambda x: sign * inner(x) - middle


# Selects of f, which is below 0 at the singular point and above at the other: they take c then.
SELECTS: dict[str, Function] = {
    "maximum": lambda f, c: tapegrad.maximum(f, c),
    "maximum, second": lambda f, c: tapegrad.maximum(c, f),
    "maximum of a number": lambda f, c: tapegrad.maximum(f, 0.0) + c,
    "minimum": lambda f, c: tapegrad.minimum(-f, c),
    "minimum, second": lambda f, c: tapegrad.minimum(c, -f),
    "clip": lambda f, c: tapegrad.clip(f, c, 1e9),
    "clip between numbers": lambda f, c: tapegrad.clip(f, 0.0, 1e9) + c,
    "clip, high": lambda f, c: tapegrad.clip(-f, -1e9, c),
    "clip, the bound": lambda f, c: tapegrad.clip(1.0 + c, f, 1e9),
    "relu": lambda f, c: tapegrad.relu(f) + c,
    "leaky_relu": lambda f, c: tapegrad.leaky_relu(1.0 + c, f),
    "twice": lambda f, c: tapegrad.maximum(tapegrad.relu(f * 2.0), 0.25 + c),
    "in a product": lambda f, c: (tapegrad.relu(f) + 1.0) * (tapegrad.maximum(f, c) + 2.0) + c,
    "beside another": lambda f, c: tapegrad.relu(f) + tapegrad.maximum(f, c) * 3.0,
    "hinge": lambda f, c: tapegrad.hinge_loss([f - 1.0], [-1.0]) + c,
}
# The derivative by c where f is not taken; c is 0 there.
BY_C = {"in a product": 2.0, "beside another": 3.0}


def modes_of_first(f: Function) -> dict[str, Function]:
    """The derivative of a function of one number, in every mode."""
    return {
        "grad": grad(f),
        "value_and_grad": lambda x: value_and_grad(f)(x)[1],
        "jacrev": jacrev(f),
        "jacfwd": jacfwd(f),
        "jacobian": jacobian(f),
        "jvp": lambda x: jvp(f, (x,), (1.0,))[1],
        "vjp": lambda x: vjp(f, x)[1](1.0)[0],
        "checkpoint, grad": grad(checkpoint(f)),
        "checkpoint, jacfwd": jacfwd(checkpoint(f)),
    }


def modes_of_second(f: Function) -> dict[str, Function]:
    return {
        "ff": jacfwd(jacfwd(f)),
        "fr": jacfwd(jacrev(f)),
        "rf": jacrev(jacfwd(f)),
        "rr": jacrev(jacrev(f)),
        "hessian": hessian(f),
        "hvp": lambda x: hvp(f, (x,), (1.0,)),
        "checkpoint, rr": grad(grad(checkpoint(f))),
        "checkpoint, fr": jacfwd(grad(checkpoint(f))),
    }


def modes_of_third(f: Function) -> dict[str, Function]:
    first = (jacfwd, jacrev)
    return {
        f"{a.__name__} {b.__name__} {c.__name__}": a(b(c(f)))
        for a in first
        for b in first
        for c in first
    }


def same(found: Any, wanted: Any) -> bool:
    """Whether two derivatives are alike: NaN is NaN, infinities are infinities."""
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return bool(found == pytest.approx(wanted, rel=1e-12, abs=1e-12, nan_ok=True))


every_select = pytest.mark.parametrize("select", SELECTS)
every_singular = pytest.mark.parametrize("singular", SINGULAR)


def case(select: str, singular: str) -> tuple[Function, float, float]:
    """A function of x that selects, where it takes the other branch, and where it takes f."""
    inner, at, other = SINGULAR[singular]
    moved = below(inner, at, other)
    return (lambda x: SELECTS[select](moved(x), 0.0 * x) + 3.0 * x), at, other


@every_select
@every_singular
class TestBranchesNotTaken:
    """Of a function that is 3 x beside what is not there, all derivatives are those of 3 x."""

    def test_value(self, select: str, singular: str) -> None:
        inner, at, other = SINGULAR[singular]
        moved = below(inner, at, other)
        x, c = Value(at), Value(0.0)
        y = SELECTS[select](moved(x), c) + 3.0 * x
        y.backward()
        assert (x.grad, c.grad) == (3.0, BY_C.get(select, 1.0))

    def test_first(self, select: str, singular: str) -> None:
        f, at, _ = case(select, singular)
        for mode, derivative in modes_of_first(f).items():
            assert derivative(at) == 3.0, mode

    def test_second(self, select: str, singular: str) -> None:
        f, at, _ = case(select, singular)
        for mode, derivative in modes_of_second(f).items():
            assert derivative(at) == 0.0, mode

    def test_third(self, select: str, singular: str) -> None:
        f, at, _ = case(select, singular)
        for mode, derivative in modes_of_third(f).items():
            assert derivative(at) == 0.0, mode

    def test_compiled(self, select: str, singular: str) -> None:
        """Recorded at one point, and replayed where the condition is the opposite."""
        f, at, other = case(select, singular)
        for modes, wanted in (
            (modes_of_first, 3.0),
            (modes_of_second, 0.0),
            (modes_of_third, 0.0),
        ):
            plain = modes(f)
            for first, second in ((at, other), (other, at)):
                for mode, derivative in plain.items():
                    compiled = compile(derivative)
                    results = {point: compiled(point) for point in (first, second, first)}
                    assert len(compiled.programs) == 1, mode
                    assert results[at] == wanted, mode
                    assert same(results[other], plain[mode](other)), mode

    def test_through_a_compiled_function(self, select: str, singular: str) -> None:
        f, at, other = case(select, singular)
        c = compile(f)
        c(other)
        assert [grad(c)(at), jacfwd(c)(at), jvp(c, (at,), (1.0,))[1]] == [3.0] * 3
        assert [hessian(c)(at), hvp(c, (at,), (1.0,)), grad(grad(c))(at)] == [0.0] * 3
        assert same(grad(c)(other), grad(f)(other))

    def test_sparse(self, select: str, singular: str) -> None:
        pytest.importorskip("scipy")
        inner, at, other = SINGULAR[singular]
        moved = below(inner, at, other)

        def f(xs: Any) -> Any:
            return SELECTS[select](moved(xs[0]), 0.0 * xs[1]) + 3.0 * xs[0] + xs[1] ** 2

        def g(xs: Any) -> Any:
            return [f(xs), xs[0] * xs[1]]

        for made in (lambda one: one, compile):
            for points in (([at, 2.0],), ([other, 2.0], [at, 2.0])):
                jacobians = [jacobian(made(g), sparse=True), jacfwd(made(g), sparse=True)]
                hessians = hessian(made(f), sparse=True)
                for point in points:
                    found = [one(point).toarray().tolist() for one in jacobians]
                    second = hessians(point).toarray().tolist()
                assert found == [[[3.0, 4.0], [2.0, at]]] * 2
                assert second == [[0.0, 0.0], [0.0, 2.0]]


@every_singular
class TestRules:
    """Rules of the user's own in the branch that is not taken."""

    @staticmethod
    def ruled(singular: str) -> tuple[list[Function], float, float]:
        inner, at, other = SINGULAR[singular]
        moved = below(inner, at, other)
        forward = custom_jvp(moved)
        forward.defjvp(lambda primals, tangents: jvp(moved, primals, tangents))
        backward = custom_vjp(moved)
        backward.defvjp(lambda x: (moved(x), x), lambda x, g: (g * grad(moved)(x),))
        kept = checkpoint(moved)
        return [forward, backward, kept], at, other

    def test_plain_and_compiled(self, singular: str) -> None:
        rules, at, other = self.ruled(singular)
        for rule in rules:

            def f(x: Any, rule: Function = rule) -> Any:
                return tapegrad.relu(rule(x)) + 3.0 * x

            modes = {"grad": (grad(f), 3.0), "rr": (grad(grad(f)), 0.0), "fr": (hessian(f), 0.0)}
            if not isinstance(rule, custom_vjp):
                modes |= {"jacfwd": (jacfwd(f), 3.0), "rf": (grad(jacfwd(f)), 0.0)}
            for mode, (derivative, wanted) in modes.items():
                compiled = compile(derivative)
                compiled(other)
                assert derivative(at) == wanted, mode
                assert compiled(at) == wanted, mode
                assert same(compiled(other), derivative(other)), mode


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_guarded_partial_is_not_differentiated_through_its_guard(order: int) -> None:
    """`0.0 ** y` is 0 for every y above 0, and so are all its derivatives."""

    def f(y: Any) -> Any:
        return 0.0**y

    derivatives = [f]
    for _ in range(order):
        derivatives = [each(one) for one in derivatives for each in (jacfwd, jacrev)]
    for derivative in derivatives:
        assert derivative(2.0) == 0.0
        assert compile(derivative)(2.0) == 0.0


def test_issue_15() -> None:
    assert grad(grad(lambda y: 0.0**y))(2.0) == 0.0
    f = compile(lambda x, y: tapegrad.sqrt(x) * y)
    assert jvp(f, (0.0, 2.0), (0.0, 1.0)) == (0.0, 0.0)


# What is there is multiplied.


def ieee(f: Function, at: float) -> None:
    for mode, derivative in modes_of_first(f).items():
        assert math.isnan(derivative(at)), mode
        assert math.isnan(compile(derivative)(at)), f"compiled {mode}"
    x = Value(at)
    f(x).backward()
    assert math.isnan(x.grad)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: tapegrad.sqrt(x) ** 2,
        lambda x: tapegrad.sqrt(x * x),
        lambda x: abs(tapegrad.sqrt(x)),
        lambda x: 0.0 * tapegrad.log(x),
        lambda x: tapegrad.square(tapegrad.relu(tapegrad.sqrt(x) + 1.0) - 1.0),
        lambda x: tapegrad.maximum(tapegrad.sqrt(x), -1.0) ** 2,
    ],
)
def test_zero_times_infinity_is_nan(f: Function) -> None:
    ieee(f, 0.0)


def test_zero_times_infinity_is_nan_across_a_rule() -> None:
    """A derivative that is 0 and there is there inside checkpoint and custom rules as well."""
    root = custom_jvp(tapegrad.sqrt)
    root.defjvps(lambda t, y, x: t * (0.5 / y))
    for inner in (checkpoint(tapegrad.sqrt), root):
        ieee(lambda x, inner=inner: inner(x) ** 2, 0.0)
        ieee(lambda x, inner=inner: inner(x * x), 0.0)


class TestWeightsOfZero:
    """An input whose direction is exactly 0 does not vary; a result of cotangent 0 neither."""

    @pytest.mark.parametrize("zero", [0.0, -0.0])
    @every_singular
    def test_directions(self, singular: str, zero: float) -> None:
        inner, at, other = SINGULAR[singular]

        def f(x: Any, y: Any) -> Any:
            return inner(x) * 0.5 + y * y

        def along(x: Any, y: Any, s: Any, t: Any) -> Any:
            return jvp(f, (x, y), (s, t))[1]

        def along_compiled(x: Any, y: Any, s: Any, t: Any) -> Any:
            return jvp(compiled, (x, y), (s, t))[1]

        assert along(at, 2.0, zero, 3.0) == 12.0
        for first in ((at, zero), (other, 1.0), (other, zero)):
            compiled = compile(f)
            for derivative in (compile(along), along_compiled):
                derivative(first[0], 2.0, first[1], 3.0)
                assert derivative(at, 2.0, zero, 3.0) == 12.0
                assert same(derivative(at, 2.0, 1.0, 3.0), along(at, 2.0, 1.0, 3.0))
                assert same(derivative(other, 2.0, 1.0, 3.0), along(other, 2.0, 1.0, 3.0))

    @pytest.mark.parametrize("zero", [0.0, -0.0])
    @every_singular
    def test_cotangents(self, singular: str, zero: float) -> None:
        inner, at, other = SINGULAR[singular]

        def f(x: Any) -> Any:
            return inner(x), 3.0 * x

        def pulled(x: Any, u: Any, v: Any) -> Any:
            return vjp(f, x)[1]((u, v))[0]

        assert pulled(at, zero, 2.0) == 6.0
        for first in ((at, zero), (other, 1.0)):
            compiled = compile(pulled)
            compiled(*first, 2.0)
            assert compiled(at, zero, 2.0) == 6.0
            assert same(compiled(at, 1.0, 2.0), pulled(at, 1.0, 2.0))

    def test_a_direction_of_zero_can_be_differentiated_by(self) -> None:
        def f(x: Any, y: Any) -> Any:
            return tapegrad.sin(x) * y + tapegrad.exp(x)

        def along(s: Any, t: Any) -> Any:
            return jvp(f, (0.5, 2.0), (s, t))[1]

        def pulled(u: Any) -> Any:
            return vjp(lambda x: f(x, 2.0), 0.5)[1](u)[0]

        slopes = grad(f, argnums=(0, 1))(0.5, 2.0)
        for transform in (grad, jacfwd):
            both = transform(along, argnums=(0, 1))
            assert both(0.0, 0.0) == both(1.0, 0.0) == slopes
            assert compile(both)(0.0, 0.0) == pytest.approx(slopes)
            assert transform(pulled)(0.0) == slopes[0]
            assert compile(transform(pulled))(0.0) == pytest.approx(slopes[0])
        product = grad(lambda t: hvp(lambda x: tapegrad.exp(2.0 * x), (0.5,), (t,)))
        assert product(0.0) == pytest.approx(4.0 * math.e)
        assert compile(product)(0.0) == pytest.approx(4.0 * math.e)

    def test_a_direction_of_zero_where_the_slope_is_infinite(self) -> None:
        def along(t: Any) -> Any:
            return jvp(tapegrad.sqrt, (0.0,), (t,))[1]

        assert along(0.0) == 0.0
        for transform in (grad, jacfwd):
            assert transform(along)(0.0) == math.inf
            assert compile(transform(along))(0.0) == math.inf
            assert value_and_grad(along)(0.0) == (0.0, math.inf)

    def test_hvp_along_one_of_two(self) -> None:
        def f(x: Any) -> Any:
            return x[0] ** 1.5 + x[1] ** 3 + tapegrad.relu(tapegrad.log(x[0]))

        point, direction = [0.0, 2.0], [0.0, 1.0]
        assert hvp(f, (point,), (direction,)) == [0.0, 12.0]
        product = compile(lambda x, t: hvp(f, (x,), (t,)))
        product([1.0, 2.0], [1.0, 1.0])
        assert product(point, direction) == [0.0, 12.0]
        assert hvp(compile(f), (point,), (direction,)) == [0.0, 12.0]

    def test_across_rules(self) -> None:
        root = custom_jvp(tapegrad.sqrt)
        root.defjvps(lambda t, y, x: t * (0.5 / y))
        for inner in (checkpoint(tapegrad.sqrt), root, lambda x: stop_gradient(x) * 0.0):

            def f(x: Any, y: Any, inner: Function = inner) -> Any:
                return inner(x) * y + y

            def along(x: Any, y: Any, s: Any, t: Any, f: Function = f) -> Any:
                return jvp(f, (x, y), (s, t))[1]

            compiled = compile(along)
            compiled(4.0, 2.0, 1.0, 1.0)
            for derivative in (along, compiled):
                assert derivative(0.0, 2.0, 0.0, 1.0) == 1.0
            nested = grad(lambda t, along=along: along(0.0, 2.0, 0.0, t))
            assert nested(0.0) == compile(nested)(0.0) == 1.0


class TestValues:
    """A Value gets nothing through the branch that was not taken."""

    def test_a_gradient_that_is_there_is_passed_on_as_in_micrograd(self) -> None:
        x = Value(-1.0)
        y = x * 2.0
        y.grad = 5.0
        for passed in (10.0, 20.0):
            y.relu().backward()
            assert (x.grad, y.grad) == (passed, 5.0)
        with detect_anomaly():
            y.relu().backward()
        assert (x.grad, y.grad) == (30.0, 5.0)

    def test_a_function_gets_no_gradient_of_zero(self) -> None:
        x, low = Value(2.0), Value(-9.0)
        node = Value(-8.0, (x, low))
        calls = []
        node._backward = lambda: calls.append(node.grad)
        for reached, called in ((tapegrad.maximum(node, 1.0), 0), (node * 0.0, 1)):
            reached.backward()
            with detect_anomaly():
                reached.backward()
            assert calls == [0.0] * 2 * called

    def test_a_seed_of_zero_reaches_nothing(self) -> None:
        x = Value(0.0)
        y = x.log()
        for checked in (False, True):
            y.grad = 3.0
            if checked:
                with detect_anomaly():
                    y.backward(0.0)
            else:
                y.backward(-0.0)
            assert (x.grad, y.grad) == (0.0, 0.0)

    def test_partials_are_shown_as_zero(self) -> None:
        x, y = Value(1.0), Value(2.0)
        assert tapegrad.maximum(x, y)._local_grads == (0.0, 1.0)
        assert tapegrad.minimum(x, y)._local_grads == (1.0, 0.0)
        assert tapegrad.clip(x, y, 3.0)._local_grads == (0.0, 1.0, 0.0)
        assert (-x).relu()._local_grads == (0.0,)
        assert tapegrad.maximum(3.0, x)._local_grads == (1.0, 0.0)

    def test_by_hand(self) -> None:
        x = Value(0.0)
        y = x.log().relu()
        y.grad = 1.0
        y._backward()
        assert y._children[0].grad == 0.0

    def test_copies_and_pickles(self) -> None:
        x = Value(0.0)
        z = tapegrad.maximum(x.log(), 2.0 * x) + x
        for again in (copy.deepcopy(z), pickle.loads(pickle.dumps(z))):
            again.backward()
            leaf = again._children[1]
            assert leaf.grad == 3.0

    def test_a_nan_of_the_users_own_is_passed_on(self) -> None:
        for count in (1, 2, 3, 4):
            xs = [Value(1.0) for _ in range(count)]
            Value(1.0, xs, (math.nan,) * count).backward()
            assert all(math.isnan(x.grad) for x in xs)

    def test_detect_anomaly_sees_no_nan(self) -> None:
        with detect_anomaly():
            x, y = Value(1e-320), Value(2.0)
            f = 1e-300 / x**0.5  # finite, its slope is not
            tapegrad.maximum(y, -f).backward()
            tapegrad.relu(-f).backward()
            assert (x.grad, y.grad) == (0.0, 1.0)

    def test_training_with_dead_units(self) -> None:
        """As micrograd's, with half of the units off."""
        w = [Value(0.1 * k - 0.5) for k in range(11)]
        loss = sum(((a * 3.0 + 0.05).relu() * a for a in w), Value(0.0))
        loss.backward()
        for a in w:
            on = a.data * 3.0 + 0.05 > 0
            assert a.grad == pytest.approx(6.0 * a.data + 0.05 if on else 0.0)


# Random programs of selects and singular functions, at points where these are singular.

UNARY: list[Function] = [
    tapegrad.log,
    tapegrad.sqrt,
    tapegrad.square,
    tapegrad.reciprocal,
    tapegrad.relu,
    tapegrad.exp,
    abs,
    lambda x: -x,
    lambda x: x - 1.0,
    lambda x: 2.0 * x,
    lambda x: x**0.5,
    lambda x: tapegrad.clip(x, -1.0, 1.0),
    lambda x: tapegrad.maximum(x, 0.5),
    lambda x: tapegrad.leaky_relu(x),
]
BINARY: list[Function] = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / y,
    tapegrad.maximum,
    tapegrad.minimum,
    tapegrad.hypot,
    tapegrad.leaky_relu,
    lambda x, y: tapegrad.clip(x, y, 1.0),
    lambda x, y: tapegrad.clip(0.5, x, y),
]
steps = st.one_of(
    st.tuples(st.integers(0, len(UNARY) - 1), st.integers(0, 9)),
    st.tuples(st.integers(0, len(BINARY) - 1), st.integers(0, 9), st.integers(0, 9)),
)
numbers = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0])
points = st.lists(numbers, min_size=2, max_size=2)


def function_of(program: list[tuple[int, ...]]) -> Function:
    def f(xs: Any) -> Any:
        values = list(xs)
        for which, *operands in program:
            x = [values[k % len(values)] for k in operands]
            values.append(UNARY[which](*x) if len(x) == 1 else BINARY[which](*x))
        return values[-1] + 0.0 * xs[0] if values[-1] is not xs[0] else values[-1]

    return f


random_programs = given(
    program=st.lists(steps, min_size=2, max_size=9), at=st.lists(points, min_size=1, max_size=4)
)
random_settings = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@random_settings
@random_programs
def test_random_programs_agree_plain_eager_and_compiled(
    program: list[tuple[int, ...]], at: list[list[float]]
) -> None:
    f = function_of(program)
    for derivative in (grad(f), jacfwd(f), jacfwd(grad(f)), jacrev(jacfwd(f)), jacrev(grad(f))):
        compiled = compile(derivative)
        for point in [*at, *at]:
            assert same(compiled(point), derivative(point))
    for point in at:
        xs = [Value(x) for x in point]
        f(xs).backward()
        assert same([x.grad for x in xs], grad(f)(point))
        assert same(jacfwd(f)(point), grad(checkpoint(f))(point)) or not same(
            jacfwd(f)(point), grad(f)(point)
        )


@random_settings
@random_programs
def test_random_directions_agree(program: list[tuple[int, ...]], at: list[list[float]]) -> None:
    f = function_of(program)
    functions: list[Function] = [
        lambda x, t: jvp(f, (x,), (t,))[1],
        lambda x, t: hvp(f, (x,), (t,)),
        lambda x, t: grad(lambda y: jvp(f, (y,), (t,))[1])(x),
        lambda x, t: vjp(lambda y: [f(y), y[0] * y[1]], x)[1](t)[0],
    ]
    for derivative in functions:
        compiled = compile(derivative)
        for point in at:
            for direction in ([0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.5, -2.0]):
                assert same(compiled(point, direction), derivative(point, direction))
