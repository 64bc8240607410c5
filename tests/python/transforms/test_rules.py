"""Derivatives that a function is given: custom_vjp and custom_jvp."""

from __future__ import annotations

import gc
import math
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from support.custom_rules import clipped_gradient, doubled_sine, traced_now
from tapegrad import (
    checkpoint,
    compile,
    cos,
    custom_jvp,
    custom_vjp,
    exp,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacrev,
    jvp,
    log,
    sin,
    sqrt,
    vjp,
)
from tapegrad.transforms.compiled import Compiled

Function = Callable[..., Any]


def test_an_argument_that_does_not_vary_has_no_part_in_defjvps() -> None:
    def calls(f: Function) -> list[Any]:
        return [
            jvp(f, (0.0, 2.0), (0.0, 1.0)),
            jvp(f, (4.0, 2.0), (0.0, 0.0)),
            jvp(f, (4.0, 2.0), (1.0, 0.0)),
            jacfwd(f, 1)(0.0, 2.0),
            grad(f, 1)(0.0, 2.0),
        ]

    f = custom_jvp(lambda x, y: sqrt(x) * y)
    f.defjvps(lambda t, z, x, y: t * y / (2.0 * sqrt(x)), lambda t, z, x, y: t * sqrt(x))
    wanted = [(0.0, 0.0), (4.0, 0.0), (4.0, 0.5), 0.0, 0.0]
    assert calls(f) == calls(lambda x, y: sqrt(x) * y) == wanted


class TestCustomVjp:
    def test_the_rule_is_the_derivative(self) -> None:
        clipped = clipped_gradient()
        assert grad(lambda x: 100.0 * clipped(x, 1.0))(2.0) == 1.0
        assert grad(lambda x: -100.0 * clipped(x, 1.0))(2.0) == -1.0
        assert grad(lambda x: 0.5 * clipped(x, 1.0))(2.0) == 0.5
        assert vjp(lambda x: clipped(x, 3.0), 2.0)[1](7.0) == (3.0,)

    @pytest.mark.parametrize("kind", ["custom_vjp", "custom_jvp", "checkpoint"])
    def test_pulled_back_in_several_threads(self, kind: str) -> None:
        def slow_sine(x: Any) -> Any:
            time.sleep(0.0005)
            return sin(x)

        if kind == "checkpoint":
            f: Any = checkpoint(slow_sine)
        elif kind == "custom_jvp":
            f = custom_jvp(slow_sine)
            f.defjvps(lambda t, y, x: (time.sleep(0.0005), t * cos(x))[1])
        else:
            f = custom_vjp(slow_sine)
            f.defvjp(lambda x: (sin(x), x), lambda x, g: (slow_sine(x + math.pi / 2) * g,))
        _, pull = vjp(lambda x: f(x) * f(2.0 * x), 1.0)
        (wanted,) = pull(1.0)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: pull(1.0), range(40)))
        assert found == [(wanted,)] * 40

    @pytest.mark.parametrize("compiled", [False, True])
    def test_a_jvp_rule_shields_it(self, compiled: bool) -> None:
        inner = custom_vjp(lambda x: x * x)
        inner.defvjp(lambda x: (x * x, x), lambda x, g: (2.0 * x * g,))
        for rules in ([lambda t, y, x: t * 2.0 * x], [lambda t, y, x: t * 2.0 * y / x]):
            f = custom_jvp(lambda x: inner(x))
            f.defjvps(*rules)
            for call in (f, compile(f)):
                for transform, wanted in (
                    *((jacfwd, 6.0), (jacrev, 6.0), (hessian, 2.0)),
                    *((lambda f: grad(grad(f)), 2.0), (lambda f: jacfwd(jacfwd(f)), 2.0)),
                    *((lambda f: grad(jacfwd(f)), 2.0), (lambda f: lambda x: hvp(f)(x, 1.0), 2.0)),
                ):
                    derived = transform(call)
                    assert (compile(derived) if compiled else derived)(3.0) == wanted

    def test_none_is_a_cotangent_of_zeros(self) -> None:
        clipped = clipped_gradient()
        assert grad(lambda x, b: clipped(x, b) * b, (0, 1))(2.0, 3.0) == (3.0, 2.0)

    def test_outside_transforms_it_is_the_function(self) -> None:
        clipped = clipped_gradient()
        assert clipped(2.0, "not looked at") == 2.0
        assert (clipped.__name__, clipped.__doc__) == ("clipped", "x, with its gradient clipped.")

    def test_with_plain_numbers_inside_transforms_too(self) -> None:
        unset = custom_vjp(lambda x: x * 2.0)
        unset.defvjp(lambda x: 1 / 0, lambda *_: 1 / 0)
        assert grad(lambda x: x * unset(3.0))(1.0) == 6.0

    def test_compiled(self) -> None:
        f = doubled_sine()
        for g in (compile(grad(f)), grad(compile(f)), compile(grad(compile(f)))):
            assert isinstance(g, Compiled)
            for x in (0.3, 1.7):
                assert g(x) == 2.0 * math.cos(x)
        assert compile(f)(0.3) == math.sin(0.3)

    def test_a_rule_that_branches_is_guarded(self) -> None:
        clipped = clipped_gradient()
        g = compile(grad(lambda x: x * x * clipped(x, 1.0)))
        eager = grad(lambda x: x * x * clipped(x, 1.0))
        for x in (0.1, 3.0, -0.2, -5.0, 0.5, 4.0):
            assert g(x) == eager(x)

    def test_higher_orders_differentiate_the_rule(self) -> None:
        f = doubled_sine()
        for x in (0.3, 1.7):
            assert grad(grad(f))(x) == pytest.approx(-2.0 * math.sin(x), rel=1e-15)
            assert grad(grad(grad(f)))(x) == pytest.approx(-2.0 * math.cos(x), rel=1e-15)
            assert jacrev(compile(grad(f)))(x) == pytest.approx(-2.0 * math.sin(x), rel=1e-15)

    @pytest.mark.parametrize("transform", [hessian, lambda f: jacfwd(grad(f))])
    def test_forward_over_reverse_differentiates_the_rule(self, transform: Function) -> None:
        assert transform(doubled_sine())(0.3) == pytest.approx(-2.0 * math.sin(0.3), rel=1e-15)

    def test_forward_mode_is_an_error_that_says_what_to_do(self) -> None:
        f = doubled_sine()
        for call in (
            lambda: jvp(f, (1.0,), (1.0,)),
            lambda: jacfwd(f)(1.0),
            lambda: grad(jacfwd(f))(1.0),
            lambda: compile(jacfwd(f))(1.0),
        ):
            with pytest.raises(TypeError, match="custom_vjp"):
                call()
        assert grad(f)(0.0) == 2.0

    def test_trees_in_and_out(self) -> None:
        def plain(p: Any, x: Any) -> Any:
            return {"y": p["w"] @ x, "w": p["w"]}

        f = custom_vjp(plain)
        f.defvjp(
            lambda p, x: (plain(p, x), (p["w"], x)),
            lambda kept, g: ({"w": 10.0 * g["y"] * kept[1] + g["w"]}, g["y"] * kept[0]),
        )
        w, x = np.array([1.0, 2.0]), np.array([3.0, 5.0])
        slopes = grad(lambda p, x: f(p, x)["y"] + f(p, x)["w"][0], (0, 1))({"w": w}, x)
        assert slopes[0]["w"].tolist() == [31.0, 50.0]
        assert slopes[1].tolist() == [1.0, 2.0]

    def test_several_results_of_which_one_is_used(self) -> None:
        @custom_vjp
        def f(x: Any) -> Any:
            return x, x * x

        f.defvjp(lambda x: ((x, x * x), x), lambda x, g: (g[0] + 2.0 * x * g[1],))
        assert grad(lambda x: f(x)[1])(3.0) == 6.0
        assert grad(lambda x: f(x)[0])(3.0) == 1.0
        assert jacrev(f)(3.0) == (1.0, 6.0)

    def test_keyword_arguments_and_defaults(self) -> None:
        @custom_vjp
        def f(x: Any, scale: Any = 3.0) -> Any:
            return x * scale

        f.defvjp(lambda x, scale: (x * scale, scale), lambda scale, g: (10.0 * scale * g, 0.0))
        assert grad(lambda x: f(x, scale=2.0))(1.0) == 20.0
        assert grad(lambda x: f(scale=2.0, x=x))(1.0) == 20.0

    def test_methods(self) -> None:
        class Layer:
            w = 2.0

            @custom_vjp
            def call(self, x: Any) -> Any:
                return self.w * x

            call.defvjp(lambda self, x: (self.w * x, self.w), lambda w, g: (None, 100.0 * w * g))

        assert grad(Layer().call)(1.0) == 200.0

    def test_nondiff_argnums(self) -> None:
        seen = []

        def f(how: str, x: Any, power: int) -> Any:
            return x**power

        g = custom_vjp(f, nondiff_argnums=(0, 2))
        g.defvjp(
            lambda how, x, power: (x**power, x),
            lambda how, power, x, cotangent: (seen.append((how, power)), (cotangent * 100.0,))[1],
        )
        assert grad(g, 1)("fast", 3.0, 2) == 100.0
        assert seen == [("fast", 2)]
        last = custom_vjp(f, nondiff_argnums=(0, -1))
        last.defvjp(lambda how, x, power: (x, ()), lambda how, power, kept, g: (g * power,))
        assert grad(last, 1)("fast", 3.0, 7) == 7.0

    def test_cotangents_have_the_order_of_the_arguments_keys(self) -> None:
        f = custom_vjp(lambda p: p["a"])
        f.defvjp(lambda p: (p["a"], None), lambda kept, g: ({"b": 0.0, "a": g},))
        with pytest.raises(TypeError, match="structure of argument 0"):
            grad(f)({"a": 1.0, "b": 2.0})

    def test_constants_among_the_arguments_have_no_cotangent(self) -> None:
        f = custom_vjp(lambda p, how: p["x"])
        f.defvjp(
            lambda p, how: (p["x"], how),
            lambda how, g: ({"x": len(how) * g, "name": None}, None),
        )
        assert grad(lambda x: f({"x": x, "name": "text"}, "seven77"))(1.0) == 7.0

    def test_residuals_may_be_anything(self) -> None:
        f = custom_vjp(lambda x: x)
        f.defvjp(
            lambda x: (x, {"name": "kept", "x": [x], "none": None}),
            lambda kept, g: (g * kept["x"][0] * len(kept["name"]),),
        )
        assert grad(f)(3.0) == 12.0
        assert grad(grad(f))(3.0) == 4.0

    def test_a_rule_may_use_transforms(self) -> None:
        f = custom_vjp(lambda x: x**3)
        f.defvjp(lambda x: (x**3, x), lambda x, g: (g * grad(lambda y: y**3)(x),))
        assert grad(f)(2.0) == 12.0
        assert grad(grad(f))(2.0) == 12.0
        assert compile(grad(f))(2.0) == 12.0

    def test_an_exception_in_a_rule_comes_out_as_it_was(self) -> None:
        f = custom_vjp(lambda x: x)
        f.defvjp(lambda x: (x, None), lambda kept, g: {}["missing"])
        for g in (grad(f), compile(grad(f)), grad(grad(f))):
            with pytest.raises(KeyError, match="missing"):
                g(1.0)
        assert traced_now() == 0
        f.defvjp(lambda x: 1 / 0, lambda kept, g: (g,))
        with pytest.raises(ZeroDivisionError):
            grad(f)(1.0)
        f.defvjp(lambda x: (x, None), lambda kept, g: (g,))
        assert grad(f)(1.0) == 1.0

    @pytest.mark.parametrize(
        ("fwd", "bwd", "message"),
        [
            (lambda x: x, lambda r, g: (g,), "fwd of f must return a pair"),
            (lambda x: None, lambda r, g: (g,), "fwd of f .* not None"),
            (lambda x: (x, 1, 2), lambda r, g: (g,), "not a tuple of 3"),
            (lambda x: (x, None), lambda r, g: g, "bwd of f must return a tuple of 1"),
            (lambda x: (x, None), lambda r, g: None, "not None"),
            (lambda x: (x, None), lambda r, g: (g, g), "not a tuple of 2"),
            (lambda x: (x, None), lambda r, g: ([g],), "structure of argument 0"),
            (lambda x: (x, None), lambda r, g: (np.array([g]),), "structure of argument 0"),
            (lambda x: (x, None), lambda r, g: ("a",), "structure of argument 0"),
            (lambda x: ("text", None), lambda r, g: (g,), "the result of f"),
        ],
    )
    def test_a_rule_of_the_wrong_kind(self, fwd: Function, bwd: Function, message: str) -> None:
        @custom_vjp
        def f(x: Any) -> Any:
            return x

        f.defvjp(fwd, bwd)
        for g in (grad(f), compile(grad(f))):
            with pytest.raises(TypeError, match=message):
                g(1.0)

    @pytest.mark.parametrize(
        ("fwd", "bwd"),
        [(lambda: 1, lambda r, g: (g,)), (lambda x: (x, None), lambda g: (g,))],
    )
    def test_a_rule_of_the_wrong_arity(self, fwd: Function, bwd: Function) -> None:
        f = custom_vjp(lambda x: x)
        f.defvjp(fwd, bwd)
        with pytest.raises(TypeError, match="positional argument"):
            grad(f)(1.0)

    def test_no_rule(self) -> None:
        @custom_vjp
        def f(x: Any) -> Any:
            return x

        assert f(1.0) == 1.0
        with pytest.raises(AttributeError, match=r"f\.defvjp\(fwd, bwd\)"):
            grad(f)(1.0)

    def test_keyword_only_arguments_are_refused(self) -> None:
        @custom_vjp
        def f(x: Any, *, scale: Any) -> Any:
            return x * scale

        f.defvjp(lambda x: (x, None), lambda kept, g: (g,))
        with pytest.raises(TypeError, match="scale"):
            grad(lambda x: f(x, scale=2.0))(1.0)

    def test_what_a_rule_holds_is_freed(self) -> None:
        class Kept:
            pass

        kept = Kept()
        f = custom_vjp(lambda x: x)
        f.defvjp(lambda x, residual=kept: (x, residual), lambda residual, g: (g,))
        assert grad(f)(1.0) == 1.0
        gone = weakref.ref(kept)
        del kept, f
        gc.collect()
        assert gone() is None


def stable() -> Any:
    @custom_jvp
    def log1pexp(x: Any) -> Any:
        return log(1.0 + exp(x))

    return log1pexp


class TestCustomJvp:
    def test_the_rule_is_the_derivative_in_both_modes(self) -> None:
        f = stable()
        f.defjvps(lambda t, y, x: t * (1.0 - 1.0 / (1.0 + exp(x))))
        for slope in (grad(f)(100.0), jacfwd(f)(100.0), jvp(f, (100.0,), (1.0,))[1]):
            assert slope == 1.0
        assert compile(grad(f))(100.0) == jacfwd(compile(f))(100.0) == 1.0

    def test_defjvp_takes_tuples_and_is_a_decorator(self) -> None:
        @custom_jvp
        def f(x: Any, y: Any) -> Any:
            return x * y

        @f.defjvp
        def rule(primals: Any, tangents: Any) -> Any:
            (x, y), (s, t) = primals, tangents
            return f(x, y), 10.0 * s * y + 100.0 * t * x

        assert rule((1.0, 2.0), (1.0, 0.0)) == (2.0, 20.0)
        assert grad(f, (0, 1))(3.0, 5.0) == (50.0, 300.0)
        assert jvp(f, (3.0, 5.0), (1.0, 1.0)) == (15.0, 350.0)

    def test_higher_orders(self) -> None:
        f = stable()
        f.defjvps(lambda t, y, x: t * (1.0 - 1.0 / (1.0 + exp(x))))
        s = 1.0 / (1.0 + math.exp(-0.3))
        for second in (
            grad(grad(f)),
            jacfwd(grad(f)),
            grad(jacfwd(f)),
            jacfwd(jacfwd(f)),
            hessian(f),
            compile(hessian(f)),
            lambda x: hvp(f, (x,), (1.0,)),
        ):
            assert second(0.3) == pytest.approx(s * (1.0 - s), rel=1e-14)
            assert grad(second)(0.3) == pytest.approx(s * (1 - s) * (1 - 2 * s), rel=1e-13)

    def test_none_adds_nothing(self) -> None:
        f = custom_jvp(lambda x, y: x * y)
        f.defjvps(None, lambda t, z, x, y: t * x)
        assert grad(f, (0, 1))(3.0, 5.0) == (0.0, 3.0)

    def test_the_rule_gets_the_result(self) -> None:
        f = custom_jvp(lambda x: exp(x))
        f.defjvps(lambda t, y, x: t * y * 10.0)
        assert grad(f)(0.5) == 10.0 * math.exp(0.5)
        assert grad(grad(f))(0.5) == pytest.approx(100.0 * math.exp(0.5), rel=1e-15)

    def test_trees(self) -> None:
        f = custom_jvp(lambda p: [p["x"] * p["y"], p["x"]])
        f.defjvp(
            lambda primals, tangents: (
                f(*primals),
                [tangents[0]["x"] * 7.0, tangents[0]["y"] * primals[0]["x"]],
            )
        )
        assert jacrev(f)({"x": 2.0, "y": 3.0}) == [{"x": 7.0, "y": 0.0}, {"x": 0.0, "y": 2.0}]
        assert jacfwd(f)({"x": 2.0, "y": 3.0}) == [{"x": 7.0, "y": 0.0}, {"x": 0.0, "y": 2.0}]

    def test_nondiff_argnums(self) -> None:
        f = custom_jvp(lambda g, x: g(x), nondiff_argnums=(0,))

        @f.defjvp
        def rule(g: Any, primals: Any, tangents: Any) -> Any:
            return g(*primals), 10.0 * tangents[0]

        assert grad(lambda x: f(lambda y: y * y, x))(3.0) == 10.0
        h = custom_jvp(lambda name, x, n: x * n, nondiff_argnums=(0, 2))
        h.defjvps(lambda t, y, x: t * 7.0)
        assert grad(h, 1)("name", 3.0, 2) == 7.0

    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            (lambda p, t: t[0], "must return a pair"),
            (lambda p, t: None, "not None"),
            (lambda p, t: (p[0], t[0], 1), "not a tuple of 3"),
            (lambda p, t: (p[0], [t[0]]), "structure of its result"),
            (lambda p, t: (p[0], None), "the tangent of f"),
            (lambda p: (p, p), "positional argument"),
        ],
    )
    def test_a_rule_of_the_wrong_kind(self, rule: Function, message: str) -> None:
        @custom_jvp
        def f(x: Any) -> Any:
            return x

        f.defjvp(rule)
        for g in (grad(f), jacfwd(f), compile(grad(f))):
            with pytest.raises(TypeError, match=message):
                g(1.0)

    def test_as_many_rules_as_arguments(self) -> None:
        f = custom_jvp(lambda x, y: x)
        f.defjvps(lambda t, z, x, y: t)
        with pytest.raises(TypeError, match="2 arguments, and defjvps was given 1"):
            grad(f)(1.0, 2.0)
        f.defjvps(None, None)
        with pytest.raises(TypeError, match="are None"):
            grad(f)(1.0, 2.0)

    def test_no_rule(self) -> None:
        @custom_jvp
        def f(x: Any) -> Any:
            return x

        with pytest.raises(AttributeError, match=r"f\.defjvp\(rule\)"):
            grad(f)(1.0)


@pytest.mark.parametrize("rule", [custom_vjp, custom_jvp, checkpoint])
@pytest.mark.parametrize("thing", [None, 3, "f", [1]])
def test_rules_are_for_functions(rule: Function, thing: Any) -> None:
    with pytest.raises(TypeError, match=f"is for functions, not '{type(thing).__name__}'"):
        rule(thing)


@pytest.mark.parametrize("rule", [custom_vjp, custom_jvp])
def test_nondiff_argnums_are_ints(rule: Function) -> None:
    with pytest.raises(TypeError):
        rule(lambda x: x, nondiff_argnums=("x",))
