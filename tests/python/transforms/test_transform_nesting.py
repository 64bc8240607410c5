"""Transforms of transforms, to every order and in every mixture, and closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tapegrad import (
    cos,
    exp,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    sin,
    value_and_grad,
    vjp,
)

Function = Callable[..., Any]
JACOBIANS = [jacrev, jacfwd, jacobian]


class TestNesting:
    """Every order, every mixture, no confusion."""

    @pytest.mark.parametrize("first", [grad, *JACOBIANS])
    @pytest.mark.parametrize("second", [grad, *JACOBIANS])
    @pytest.mark.parametrize("third", [grad, *JACOBIANS])
    def test_third_derivative(self, first: Function, second: Function, third: Function) -> None:
        def f(x: Any) -> Any:
            return sin(x) * exp(2.0 * x)

        x = 0.3
        # Im of exp((2 + i) x), three times.
        expected = ((2 + 1j) ** 3 * np.exp((2 + 1j) * x)).imag
        assert third(second(first(f)))(x) == pytest.approx(expected, rel=1e-14)

    def test_derivatives_to_tenth_order(self) -> None:
        f: Function = lambda x: x**10  # noqa: E731
        for order in range(1, 11):
            f = grad(f)
            assert f(1.0) == math.perm(10, order)
        assert grad(f)(1.0) == 0.0

    def test_hessian_is_jacobian_of_gradient(self) -> None:
        def f(x: Any) -> Any:
            return x[0] ** 2 * x[1] + sin(x[1] * x[2])

        x = [1.0, 2.0, 0.5]
        s, c = math.sin(1.0), math.cos(1.0)
        expected = [
            [4.0, 2.0, 0.0],
            [2.0, -s * 0.25, c - s],
            [0.0, c - s, -s * 4.0],
        ]
        for outer in JACOBIANS:
            for inner in (grad, *JACOBIANS):
                assert np.allclose(outer(inner(f))(x), expected, rtol=1e-14, atol=0)
        assert np.allclose(hessian(f)(x), expected, rtol=1e-14, atol=0)

    @pytest.mark.parametrize("inner", [grad, jacfwd])
    @pytest.mark.parametrize("outer", [grad, jacfwd])
    def test_no_perturbation_confusion(self, outer: Function, inner: Function) -> None:
        """The example of Siskind & Pearlmutter, IFL 2005: d/dx (x * d/dy (x + y)) = 1."""
        assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0) == 1.0
        assert outer(lambda x: x * inner(lambda y: x * y)(2.0))(3.0) == 6.0
        assert outer(lambda x: inner(lambda y: x * y * y)(x))(3.0) == 12.0

    @pytest.mark.parametrize("inner", [grad, jacfwd])
    @pytest.mark.parametrize("middle", [grad, jacfwd])
    @pytest.mark.parametrize("outer", [grad, jacfwd])
    def test_no_confusion_of_three(
        self, outer: Function, middle: Function, inner: Function
    ) -> None:
        def f(x: Any) -> Any:
            return x * middle(lambda y: y * inner(lambda z: x * y * z * z)(y))(x)

        # inner: 2 x y^2; times y, by y: 6 x y^2 at y = x: 6 x^3; times x: 6 x^4.
        assert f(2.0) == 96.0
        assert outer(f)(2.0) == 24.0 * 8.0

    def test_a_gradient_step_is_differentiated(self) -> None:
        """Through the minimisation of (y - a)^2 by gradient descent."""

        def descended(a: Any, rate: Any) -> Any:
            y: Any = 0.0
            for _ in range(5):
                y = y - rate * grad(lambda y: (y - a) ** 2)(y)
            return y

        # y = a (1 - (1 - 2 rate)^5)
        value, (by_a, by_rate) = value_and_grad(descended, (0, 1))(3.0, 0.1)
        assert value == pytest.approx(3.0 * (1 - 0.8**5), rel=1e-14)
        assert by_a == pytest.approx(1 - 0.8**5, rel=1e-14)
        assert by_rate == pytest.approx(3.0 * 5 * 0.8**4 * 2.0, rel=1e-14)

    def test_vjp_inside_and_outside(self) -> None:
        def f(x: Any) -> Any:
            value, pull = vjp(lambda y: y**3, x)
            return value * pull(x)[0]

        # x^3 * 3 x^3
        assert f(2.0) == 192.0
        assert grad(f)(2.0) == 18.0 * 32.0
        assert jacfwd(f)(2.0) == 18.0 * 32.0
        assert vjp(grad(f), 2.0)[1](1.0) == (90.0 * 16.0,)

    def test_a_pull_that_is_differentiated_after_its_trace(self) -> None:
        """It is linear in the cotangent; the primals are constants by then."""
        _, pull = vjp(lambda x: x * x, 5.0)
        assert grad(lambda c: pull(c * c)[0])(3.0) == 60.0
        assert jacfwd(lambda c: pull(c * c)[0])(3.0) == 60.0

    def test_a_pull_pulls_many_times(self) -> None:
        _, pull = vjp(lambda x, y: (x * y, x / y), 3.0, 2.0)
        assert pull((1.0, 0.0)) == (2.0, 3.0)
        assert pull((0.0, 1.0)) == (0.5, -0.75)
        assert pull((1, 1)) == (2.5, 2.25)

    def test_jvp_inside_and_outside(self) -> None:
        def f(x: Any, t: Any) -> Any:
            value, slope = jvp(lambda y: y**3, (x,), (t,))
            return value * slope  # 3 x^5 t

        assert f(2.0, 1.0) == 96.0
        assert grad(f, (0, 1))(2.0, 1.0) == (15.0 * 16.0, 96.0)
        assert jvp(f, (2.0, 1.0), (1.0, 0.0)) == (96.0, 15.0 * 16.0)

    def test_hvp_is_the_hessian_times_the_tangent(self) -> None:
        def f(x: Any) -> Any:
            return x[0] ** 3 * x[1] + exp(x[0] * x[1])

        x, t = [0.5, 1.5], [0.7, -0.2]
        expected = np.array(hessian(f)(x)) @ t
        assert np.allclose(hvp(f, (x,), (t,)), expected, rtol=1e-13, atol=0)
        third = jacrev(lambda x: hvp(f, (x,), (t,)))(x)
        assert np.allclose(grad(lambda x: hvp(f, (x,), (t,))[1])(x), third[1], rtol=1e-13, atol=0)

    def test_a_transform_of_a_closure_over_a_traced_number(self) -> None:
        def f(x: Any) -> Any:
            return sum(hessian(lambda y: x * y**3)(k * x) for k in (1.0, 2.0))

        # 6 x * (x + 2 x)
        assert f(2.0) == 72.0
        assert grad(f)(2.0) == 72.0
        assert grad(grad(f))(2.0) == 36.0


class TestClosedForms:
    def test_rosenbrock(self) -> None:
        def f(x: Any) -> Any:
            return (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2

        x, y = -1.2, 1.0
        assert grad(f)([x, y]) == pytest.approx(
            [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)]
        )
        assert np.allclose(
            hessian(f)([x, y]), [[2 - 400 * (y - 3 * x * x), -400 * x], [-400 * x, 200.0]]
        )

    def test_quadratic_form(self) -> None:
        a = np.arange(9.0).reshape(3, 3)
        x = np.array([1.0, -2.0, 0.5])
        form = lambda x: x @ a @ x  # noqa: E731
        assert np.allclose(grad(form)(x), (a + a.T) @ x)
        assert np.allclose(hessian(form)(x), a + a.T)
        assert np.allclose(hvp(form, (x,), (x,)), (a + a.T) @ x)

    def test_polar_coordinates(self) -> None:
        def cartesian(r: Any, phi: Any) -> Any:
            return r * cos(phi), r * sin(phi)

        r, phi = 2.0, 0.7
        expected = ((math.cos(phi), -r * math.sin(phi)), (math.sin(phi), r * math.cos(phi)))
        for transform in JACOBIANS:
            assert np.allclose(transform(cartesian, (0, 1))(r, phi), expected)

    def test_softmax(self) -> None:
        def softmax(x: Any) -> Any:
            e = [exp(each) for each in x]
            return [each / sum(e) for each in e]

        x = [0.1, -1.0, 2.0]
        p = np.array(softmax(x))
        for transform in JACOBIANS:
            assert np.allclose(transform(softmax)(x), np.diag(p) - np.outer(p, p))

    def test_a_determinant(self) -> None:
        def determinant(m: Any) -> Any:
            (a, b), (c, d) = m
            return a * d - b * c

        m = np.array([[1.0, 2.0], [3.0, 5.0]])
        assert grad(determinant)(m).tolist() == [[5.0, -3.0], [-2.0, 1.0]]

    def test_a_loop_that_ends_on_data(self) -> None:
        def root(a: Any) -> Any:
            x = a
            while abs(x * x - a) > 1e-13 * a:
                x = 0.5 * (x + a / x)
            return x

        for a in (0.5, 2.0, 300.0):
            assert grad(root)(a) == pytest.approx(0.5 / math.sqrt(a), rel=1e-6)
