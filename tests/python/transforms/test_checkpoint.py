"""checkpoint: the same derivatives of less memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from support.custom_rules import clipped_gradient, doubled_sine, traced_now
from tapegrad import (
    checkpoint,
    compile,
    grad,
    hessian,
    jacfwd,
    jacobian,
    jacrev,
    sin,
    value_and_grad,
    vjp,
)

Function = Callable[..., Any]


def block(y: Any) -> Any:
    for _ in range(5):
        y = sin(y * y) + y
    return y


LAYERS: dict[str, Callable[[Function], Function]] = {
    "grad": grad,
    "grad of grad": lambda f: grad(grad(f)),
    "third": lambda f: grad(grad(grad(f))),
    "jacfwd": jacfwd,
    "jacfwd of grad": lambda f: jacfwd(grad(f)),
    "grad of jacfwd": lambda f: grad(jacfwd(f)),
    "jacfwd of jacfwd": lambda f: jacfwd(jacfwd(f)),
    "hessian": hessian,
}


class TestCheckpoint:
    @pytest.mark.parametrize("name", LAYERS)
    @pytest.mark.parametrize("compiled", [False, True])
    def test_derivatives_are_those_of_the_function(self, name: str, compiled: bool) -> None:
        c = checkpoint(block)
        transform = LAYERS[name]
        wrap = compile if compiled else lambda f: f
        expected = transform(lambda x: block(block(x) * x))(0.4)
        for f in (
            lambda x: c(c(x) * x),
            lambda x: checkpoint(lambda y: block(block(y) * y))(x),
            lambda x: checkpoint(lambda y: c(c(y) * y))(x),
            lambda x: c(checkpoint(lambda: block(x) * x)()),
            lambda x: c(c(x) * checkpoint(lambda: x)()),
        ):
            assert wrap(transform(f))(0.4) == pytest.approx(expected, rel=1e-12)

    def test_the_value_is_the_functions(self) -> None:
        c = checkpoint(block)
        assert c(0.4) == block(0.4)
        assert value_and_grad(c)(0.4)[0] == block(0.4)

    def test_what_it_recorded_is_forgotten(self) -> None:
        lengths = []

        def long(x: Any) -> Any:
            for _ in range(1000):
                x = x * 0.999
            return x

        def f(x: Any, wrap: Function) -> Any:
            before = traced_now()
            y = wrap(long)(x)
            lengths.append(traced_now() - before)
            return y * y

        assert grad(f)(1.0, checkpoint) == grad(f)(1.0, lambda g: g)
        assert lengths == [1, 1000]

    def test_many_in_a_row_stay_small(self) -> None:
        lengths = []

        def f(x: Any) -> Any:
            c = checkpoint(block)
            for _ in range(100):
                x = c(x) * 0.1
            lengths.append(traced_now())
            return x

        expected = grad(lambda x: [x := block(x) * 0.1 for _ in range(100)][-1])(0.4)
        assert grad(f)(0.4) == pytest.approx(expected, rel=1e-12)
        assert lengths[0] < 1 + 3 * 100

    def test_a_pull_that_leaves_it(self) -> None:
        def cube(x: Any) -> Any:
            value, pull = vjp(lambda y: y**3, x)
            pulls.append(pull)
            return value

        def f(x: Any) -> Any:
            return checkpoint(cube)(x) * pulls[0](1.0)[0]

        pulls: list[Any] = []
        assert value_and_grad(f)(2.0) == (96.0, 240.0)  # of 3 x^5

    def test_derivatives_inside(self) -> None:
        c = checkpoint(lambda y: grad(lambda z: z**4)(y))
        assert grad(c)(2.0) == compile(grad(c))(2.0) == 48.0

    def test_closures_over_traced_numbers(self) -> None:
        def f(x: Any, w: Any) -> Any:
            y = x * w
            return checkpoint(lambda z: sin(z * y) + w * x)(x) * y

        def plain(x: Any, w: Any) -> Any:
            y = x * w
            return (sin(x * y) + w * x) * y

        for transform in (grad, jacfwd, jacrev, hessian):
            assert np.allclose(
                transform(f, (0, 1))(0.3, 0.7), transform(plain, (0, 1))(0.3, 0.7), rtol=1e-13
            )

    def test_traced_numbers_that_outlive_it(self) -> None:
        """Nothing is forgotten that Python still has."""
        kept = []

        def inner(x: Any) -> Any:
            kept.append(x * x)
            return x * 2.0

        def f(x: Any) -> Any:
            y = checkpoint(inner)(x)
            return y * kept.pop(0)

        assert value_and_grad(f)(3.0) == (54.0, 54.0)  # of 2 x^3
        kept.clear()

    def test_trees_and_keywords(self) -> None:
        c = checkpoint(lambda p, *, scale: {"y": p["x"] * scale, "z": [p["x"], scale, 1.0]})

        def f(x: Any, s: Any) -> Any:
            r = c({"x": x, "name": "text"}, scale=s)
            return r["y"] * r["z"][0] + r["z"][1] + r["z"][2]

        assert value_and_grad(f, (0, 1))(3.0, 2.0) == (21.0, (12.0, 10.0))

    def test_a_result_that_depends_on_nothing(self) -> None:
        assert grad(lambda x: x * checkpoint(lambda: 3.0)())(1.0) == 3.0
        assert grad(lambda x: x * checkpoint(lambda y: 3.0)(x))(1.0) == 3.0

    def test_a_result_that_is_an_argument(self) -> None:
        assert grad(lambda x: checkpoint(lambda y: y)(x) * x)(3.0) == 6.0

    def test_a_function_that_gives_another_structure_the_second_time(self) -> None:
        results = iter([lambda x: x, lambda x: [x]])
        f = checkpoint(lambda x: next(results)(x * x))
        with pytest.raises(RuntimeError, match="another structure"):
            grad(f)(1.0)

    def test_an_exception_inside(self) -> None:
        f = checkpoint(lambda x: [x * x, 1 / 0])
        with pytest.raises(ZeroDivisionError):
            grad(lambda x: f(x)[0])(1.0)
        assert traced_now() == 0

        def caught(x: Any) -> Any:
            try:
                return f(x)[0]
            except ZeroDivisionError:
                return x * x * x

        assert grad(caught)(2.0) == 12.0

    def test_with_custom_rules_inside(self) -> None:
        f = doubled_sine()
        assert grad(checkpoint(lambda x: f(x) * x))(0.5) == grad(lambda x: f(x) * x)(0.5)
        clipped = clipped_gradient()
        assert grad(lambda x: 100.0 * checkpoint(lambda y: clipped(y, 1.0))(x))(2.0) == 1.0

    def test_a_jacobian_goes_backward_where_a_rule_inside_does(self) -> None:
        inner = checkpoint(lambda x: clipped_gradient()(x, 9.0))
        for c in (inner, checkpoint(lambda x: inner(x) * 1.0)):
            assert jacobian(lambda x, c=c: [c(x), x])(2.0) == [1.0, 1.0]
            with pytest.raises(TypeError, match="forward mode cannot differentiate clipped"):
                jacfwd(lambda x, c=c: c(x))(2.0)

    def test_it_runs_twice(self) -> None:
        runs = []
        c = checkpoint(lambda x: (runs.append(1), x * x)[1])
        assert grad(lambda x: c(x) * 2.0)(3.0) == 12.0
        assert len(runs) == 2
