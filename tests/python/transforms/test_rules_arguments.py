"""Functions with rules of their own: defaults, keywords, nondiff_argnums, wrong rules."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest

from tapegrad import (
    checkpoint,
    compile,
    custom_jvp,
    custom_vjp,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    stop_gradient,
    vjp,
)

Function = Callable[..., Any]


def scaled(x: Any, k: Any = 3.0, *, shift: Any = 1.0) -> Any:
    return x * k + shift


def scaled_vjp() -> Any:
    """Its slopes are ten times the truth."""
    f = custom_vjp(scaled)
    f.defvjp(
        lambda x, k: (x * k + 1.0, (x, k)), lambda kept, g: (10.0 * g * kept[1], 10.0 * g * kept[0])
    )
    return f


def scaled_jvp() -> Any:
    f = custom_jvp(scaled)
    f.defjvps(lambda t, y, x, k: 10.0 * t * k, lambda t, y, x, k: 10.0 * t * x)
    return f


def scaled_jvp_whole() -> Any:
    f = custom_jvp(scaled)

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x, k), (s, t) = primals, tangents
        return f(x, k), 10.0 * (s * k + t * x)

    return f


MAKERS = [scaled_vjp, scaled_jvp, scaled_jvp_whole]

CALLS: dict[str, tuple[Function, float]] = {
    "the default left out": (lambda f, x: f(x), 3.0),
    "by position": (lambda f, x: f(x, 5.0), 5.0),
    "by keyword": (lambda f, x: f(x, k=5.0), 5.0),
    "all by keyword": (lambda f, x: f(x=x), 3.0),
    "in another order": (lambda f, x: f(k=5.0, x=x), 5.0),
    "an int": (lambda f, x: f(x, 5), 5.0),
    "a partial": (lambda f, x: functools.partial(f, k=5.0)(x), 5.0),
}


@pytest.mark.parametrize(("call", "slope"), CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("wrap", [lambda g: g, compile])
def test_arguments_are_bound_as_a_call_binds_them(
    wrap: Function, make: Function, call: Function, slope: float
) -> None:
    f = make()
    g = wrap(lambda x: call(f, x))
    assert call(f, 2.0) == 2.0 * slope + 1.0
    modes = [grad, jacrev] if make is scaled_vjp else [grad, jacrev, jacfwd]
    for transform in (*modes, jacobian):
        assert transform(g)(2.0) == 10.0 * slope
    assert vjp(g, 2.0)[1](1.0) == (10.0 * slope,)
    if make is not scaled_vjp:
        assert jvp(g, (2.0,), (1.0,)) == (2.0 * slope + 1.0, 10.0 * slope)


@pytest.mark.parametrize("make", MAKERS)
def test_by_the_defaulted_argument(make: Function) -> None:
    assert grad(make(), 1)(2.0, 5.0) == 20.0
    assert grad(make(), (0, 1))(2.0, 5.0) == (50.0, 20.0)
    assert grad(make())(2.0) == 30.0


def test_the_example() -> None:
    h = custom_jvp(lambda x, k=3.0: x * k)
    h.defjvps(lambda t, y, x, k: t * k, lambda t, y, x, k: t * x)
    assert grad(h)(2.0) == jacfwd(h)(2.0) == compile(grad(h))(2.0) == 3.0
    assert hessian(h)(2.0) == hvp(h)(2.0, 1.0) == 0.0
    assert grad(grad(h, 1))(2.0, 3.0) == 1.0


@pytest.mark.parametrize("make", MAKERS)
def test_calls_that_do_not_fit(make: Function) -> None:
    f = make()
    for call, message in [
        (lambda x: f(), "missing a required argument: 'x'"),
        (lambda x: f(x, 1.0, 2.0), "too many positional arguments"),
        (lambda x: f(x, scale=1.0), "unexpected keyword argument 'scale'"),
        (lambda x: f(x, shift=1.0), "knows no keyword-only arguments: shift"),
    ]:
        with pytest.raises(TypeError, match=message):
            grad(call)(1.0)


def test_of_any_number_of_arguments() -> None:
    f = custom_vjp(lambda *xs: sum(xs))
    f.defvjp(lambda *xs: (sum(xs), len(xs)), lambda n, g: (g * n,) * n)
    assert grad(f, (0, 1))(1.0, 2.0) == (2.0, 2.0)
    assert grad(f)(1.0) == 1.0


def test_of_functions_that_have_no_signature() -> None:
    f = custom_vjp(max)
    f.defvjp(
        lambda x, y: (max(x, y), x > y), lambda first, g: (5.0 * g * first, 5.0 * g * (not first))
    )
    assert grad(f, (0, 1))(2.0, 1.0) == (5.0, 0.0)


class TestNondiff:
    @pytest.mark.parametrize("nondiff", [1, (1,), (-1,), [1, -1]])
    def test_with_a_default(self, nondiff: Any) -> None:
        f = custom_vjp(lambda x, n=2: x**n, nondiff_argnums=nondiff)
        f.defvjp(lambda x, n: (x**n, x), lambda n, x, g: (100.0 * n * g,))
        h = custom_jvp(lambda x, n=2: x**n, nondiff_argnums=nondiff)
        h.defjvps(lambda t, y, x: 100.0 * t * y)
        for call, n in [(lambda g: lambda x: g(x), 2), (lambda g: lambda x: g(x, n=3), 3)]:
            assert grad(call(f))(2.0) == 100.0 * n
            assert grad(call(h))(2.0) == jacfwd(call(h))(2.0) == 100.0 * 2.0**n

    @pytest.mark.parametrize("make", [custom_vjp, custom_jvp])
    def test_positions_that_there_are_not(self, make: Function) -> None:
        f = make(lambda x: x, nondiff_argnums=(3,))
        if make is custom_vjp:
            f.defvjp(lambda x: (x, None), lambda kept, g: (g,))
        else:
            f.defjvps(lambda t, y, x: t)
        with pytest.raises(TypeError, match="nondiff_argnums has 3, but <lambda> has 1 argument"):
            grad(f)(1.0)

    @pytest.mark.parametrize("make", [custom_vjp, custom_jvp])
    def test_a_traced_number_there_is_refused(self, make: Function) -> None:
        f = make(lambda x, n: x * n, nondiff_argnums=(1,))
        if make is custom_vjp:
            f.defvjp(lambda x, n: (x * n, None), lambda n, kept, g: (g * n,))
        else:
            f.defjvps(lambda t, y, x: t)
        for call in (lambda x: f(x, x), lambda x: f(1.0, x), lambda x: f(x, {"n": [x]}["n"][0])):
            with pytest.raises(TypeError, match="its derivative would be lost"):
                grad(call)(2.0)
            with pytest.raises(TypeError, match="its derivative would be lost"):
                grad(compile(call))(2.0)
            with pytest.raises(TypeError, match="its derivative would be lost"):
                compile(grad(call))(2.0)
        assert grad(f)(2.0, 3.0) in {3.0, 1.0}
        assert compile(f)(2.0, 3.0) == 6.0
        assert compile(grad(f))(2.0, 3.0) == grad(compile(f))(2.0, 3.0) == grad(f)(2.0, 3.0)
        for derived in (grad(compile(f), 1), jacobian(compile(f), (0, 1))):
            with pytest.raises(TypeError, match="its derivative would be lost"):
                derived(2.0, 3.0)
        # Constants of the derivative that is taken inside: nothing is lost, until a second is.
        inside = compile(lambda x: grad(lambda y: f(y, x))(x))
        assert inside(2.0) == grad(f)(2.0, 2.0)
        with pytest.raises(TypeError, match="its derivative would be lost"):
            grad(inside)(2.0)


def with_rule(make: Function, f: Function, slope: Function) -> Function:
    """`f` of one argument, with its slope."""
    made = make(f)
    if make is custom_vjp:
        made.defvjp(lambda y: (f(y), y), lambda y, g: (g * slope(y),))
    else:
        made.defjvp(lambda primals, tangents: (f(*primals), slope(*primals) * tangents[0]))
    return made


@pytest.mark.parametrize("make", [custom_vjp, custom_jvp])
class TestClosures:
    """A rule has no derivative by what its function has from outside."""

    @pytest.mark.parametrize("transform", [grad, jacrev, lambda f: compile(grad(f)), hessian])
    def test_over_a_number_that_is_differentiated(
        self, make: Function, transform: Function
    ) -> None:
        def product(x: Any) -> Any:
            return with_rule(make, lambda y: x * y, lambda y: x)(x)

        for f in (product, lambda x: product(x * 2.0), compile(product), checkpoint(product)):
            with pytest.raises(TypeError, match="is no argument of it, and its rule would lose"):
                transform(f)(3.0)

    def test_over_constants(self, make: Function) -> None:
        def product(x: Any, k: Any) -> Any:
            return with_rule(make, lambda y: k * y, lambda y: k)(x)

        assert grad(product)(3.0, 5.0) == 5.0
        assert grad(lambda x: product(x, stop_gradient(x)))(3.0) == 3.0
        assert compile(grad(product))(3.0, 5.0) == grad(compile(product))(3.0, 5.0) == 5.0
        with pytest.raises(TypeError, match="is no argument of it, and its rule would lose"):
            grad(product, (0, 1))(3.0, 5.0)
        with pytest.raises(TypeError, match="is no argument of it, and its rule would lose"):
            grad(lambda x: with_rule(make, lambda y: x, lambda y: 0.0)(2.0 * x))(3.0)


class TestWrongRules:
    @pytest.mark.parametrize(
        ("set_rule", "message"),
        [
            (lambda: custom_vjp(scaled).defvjp(None, max), "custom_vjp: fwd is for functions"),
            (lambda: custom_vjp(scaled).defvjp(max, 3), "custom_vjp: bwd is for functions"),
            (lambda: custom_jvp(scaled).defjvp("rule"), "custom_jvp: a rule is for functions"),
            (lambda: custom_jvp(scaled).defjvps(None, 3), "custom_jvp: a rule is for functions"),
        ],
    )
    def test_are_functions(self, set_rule: Function, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            set_rule()

    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            (lambda p, t: ([p[0]], t[0]), "the result that the rule of f returns"),
            (lambda p, t: (None, t[0]), "the rule's result of f"),
            (lambda p, t: (p[0], [t[0]]), "the tangent of f must have the structure"),
            (lambda p, t: (p[0], "text"), "the tangent of f"),
        ],
    )
    @pytest.mark.parametrize("transform", [grad, jacfwd, hessian])
    def test_of_forward_mode(self, transform: Function, rule: Function, message: str) -> None:
        @custom_jvp
        def f(x: Any) -> Any:
            return x * x

        f.defjvp(rule)
        for g in (transform(f), compile(transform(f)), transform(compile(f))):
            with pytest.raises(TypeError, match=message):
                g(1.0)

    def test_for_each_argument_return_one_structure(self) -> None:
        f = custom_jvp(lambda x, y: [x, y])
        f.defjvps(lambda t, z, x, y: [t, t], lambda t, z, x, y: t)
        with pytest.raises(TypeError, match="must return one structure"):
            jvp(f, (1.0, 2.0), (1.0, 1.0))


def test_the_rule_can_be_set_again() -> None:
    f = custom_jvp(lambda x: x)
    f.defjvps(lambda t, y, x: 2.0 * t)
    assert grad(f)(1.0) == 2.0
    f.defjvp(lambda p, t: (p[0], 3.0 * t[0]))
    assert grad(f)(1.0) == 3.0
    f.defjvps(lambda t, y, x: 4.0 * t)
    assert grad(f)(1.0) == 4.0


@pytest.mark.parametrize("make", [custom_vjp, custom_jvp])
def test_shows_the_function(make: Function) -> None:
    f = make(scaled)
    assert inspect.signature(f) == inspect.signature(scaled)
    assert f.__name__ == "scaled"
    assert repr(f) == f"<{make.__name__} scaled>"
    assert math.isclose(f(2.0), 7.0)


def test_what_is_pulled_back_later_may_record() -> None:
    """Rules and checkpoints record again when a sweep comes to them: the trace is closed then."""
    f = scaled_jvp()
    for g in (lambda x: f(x * x), checkpoint(lambda x: f(x) * x), lambda x: checkpoint(f)(x) * x):
        value, pull = vjp(g, 2.0)
        assert pull(1.0) == pull(1.0) == (grad(g)(2.0),)
        assert grad(lambda t, pull=pull: t * pull(1.0)[0])(1.0) == grad(g)(2.0)
        assert value == g(2.0)
