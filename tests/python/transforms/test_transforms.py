"""grad and its kin: which argument, what comes back, and how transforms nest."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad
from tapegrad import (
    detect_anomaly,
    grad,
    hessian,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    log,
    no_grad,
    stop_gradient,
    tanh,
    value_and_grad,
    vjp,
)

Function = Callable[..., Any]
JACOBIANS = [jacrev, jacfwd, jacobian]


def product(x: Any, y: Any, z: Any) -> Any:
    return x * y**2 * z**3


# x, y, z = 2, 3, 5
SLOPES = (9.0 * 125.0, 2.0 * 6.0 * 125.0, 2.0 * 9.0 * 75.0)


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, SLOPES[0]),
        (2, SLOPES[2]),
        (-1, SLOPES[2]),
        (-3, SLOPES[0]),
        (True, SLOPES[1]),
        (np.int64(1), SLOPES[1]),
        ((0,), SLOPES[:1]),
        ((0, 1, 2), SLOPES),
        ([2, 0], (SLOPES[2], SLOPES[0])),
        ((-1, 1), (SLOPES[2], SLOPES[1])),
        (range(2), SLOPES[:2]),
    ],
)
@pytest.mark.parametrize("transform", [grad, *JACOBIANS])
def test_argnums_chooses_arguments(transform: Function, argnums: Any, expected: Any) -> None:
    assert transform(product, argnums)(2.0, 3.0, 5.0) == expected
    assert value_and_grad(product, argnums)(2.0, 3.0, 5.0) == (2250.0, expected)


def test_arguments_that_are_not_chosen_are_passed_on_as_they_are() -> None:
    kept = object()

    def f(flag: str, x: Any, other: object) -> Any:
        assert flag == "square"
        assert other is kept
        return x * x

    assert grad(f, 1)("square", 3.0, kept) == 6.0


def test_keyword_arguments_are_passed_on() -> None:
    def f(x: Any, power: int = 1, *, scale: Any) -> Any:
        return scale * x**power

    assert grad(f)(2.0, power=3, scale=10.0) == 120.0
    assert jacfwd(f)(2.0, scale=10.0) == 10.0
    assert value_and_grad(f)(2.0, scale=0.5) == (1.0, 0.5)


def test_a_transformed_function_keeps_its_name_and_docstring() -> None:
    def f(x: Any) -> Any:
        """What f does."""
        return x

    for transform in (grad, value_and_grad, hessian, *JACOBIANS):
        assert (transform(f).__name__, transform(f).__doc__) == ("f", "What f does.")


@pytest.mark.parametrize("f", [functools.partial(pow, 3.0), math.prod, [].append, float.__neg__])
def test_any_callable_can_be_transformed(f: Function) -> None:
    assert callable(grad(f))


def test_numbers_of_every_kind_count_as_floats() -> None:
    for number in (2, 2.0, np.float64(2.0), np.float32(2.0), np.int8(2), np.array(2.0)[()]):
        value, slope = value_and_grad(lambda x: x * x)(number)
        assert (value, slope) == (4.0, 4.0)
        assert type(value) is type(slope) is float


def test_a_result_that_depends_on_nothing_has_slope_zero() -> None:
    assert value_and_grad(lambda x: 7)(2.0) == (7.0, 0.0)
    assert grad(lambda x, y: y, (0, 1))(2.0, 3.0) == (0.0, 1.0)
    assert jacfwd(lambda x: [x, 1.0])(2.0) == [1.0, 0.0]
    assert jvp(lambda x: 1.0, (2.0,), (1.0,)) == (1.0, 0.0)
    value, pull = vjp(lambda x: [1.0, x], 2.0)
    assert (value, pull([5.0, 0.0])) == ([1.0, 2.0], (0.0,))


@pytest.mark.parametrize("wrap", [np.array, lambda x: np.squeeze(np.array([x]))])
def test_a_result_may_be_an_array_of_no_axes(wrap: Function) -> None:
    assert value_and_grad(lambda x: wrap(x * x))(3.0) == (9.0, 6.0)
    assert tapegrad.compile(grad(lambda x: wrap(x * x)))(3.0) == 6.0


def test_an_argument_that_is_the_result_has_slope_one() -> None:
    assert grad(lambda x: x)(2.0) == 1.0
    assert jacrev(lambda x: (x, x))(2.0) == (1.0, 1.0)


class TestAux:
    def test_comes_back_beside_the_derivative(self) -> None:
        def f(x: Any) -> Any:
            return x * x, "more"

        assert grad(f, has_aux=True)(3.0) == (6.0, "more")
        assert value_and_grad(f, has_aux=True)(3.0) == ((9.0, "more"), 6.0)
        assert jvp(f, (3.0,), (2.0,), has_aux=True) == (9.0, 12.0, "more")
        value, pull, aux = vjp(f, 3.0, has_aux=True)
        assert (value, pull(1.0), aux) == (9.0, (6.0,), "more")
        for transform in JACOBIANS:
            assert transform(f, has_aux=True)(3.0) == (6.0, "more")
        assert hessian(f, has_aux=True)(3.0) == (2.0, "more")

    def test_its_traced_numbers_are_floats(self) -> None:
        def f(x: Any) -> Any:
            return x, {"square": x * x, "list": [x, None, "text"], "array": np.array([x, 2 * x])}

        for transform in (grad, *JACOBIANS):
            _, aux = transform(f, has_aux=True)(3.0)
            assert type(aux["square"]) is float
            assert aux["square"] == 9.0
            assert aux["list"] == [3.0, None, "text"]
            assert aux["array"].dtype == float
            assert aux["array"].tolist() == [3.0, 6.0]

    def test_inside_another_transform_it_is_differentiated(self) -> None:
        def outer(x: Any) -> Any:
            slope, aux = grad(lambda y: (y**3, y * y), has_aux=True)(x)
            return slope + aux

        assert outer(2.0) == 16.0
        assert grad(outer)(2.0) == 16.0
        assert jacfwd(outer)(2.0) == 16.0


class TestStopGradient:
    def test_nothing_is_differentiated_through_it(self) -> None:
        assert grad(lambda x: x * stop_gradient(x))(3.0) == 3.0
        assert jacfwd(lambda x: x * stop_gradient(x))(3.0) == 3.0
        assert grad(lambda x: stop_gradient(x * x))(3.0) == 0.0
        assert grad(grad(lambda x: x * x * stop_gradient(x)))(3.0) == 6.0

    def test_takes_a_tree_and_leaves_the_rest_of_it(self) -> None:
        seen = []

        def f(p: Any) -> Any:
            stopped = stop_gradient({"p": p, "name": "x", "array": np.array([p["x"]])})
            seen.append((stopped["name"], type(stopped["array"])))
            return p["x"] * stopped["p"]["x"] * stopped["array"][0]

        assert grad(f)({"x": 3.0}) == {"x": 9.0}
        assert seen == [("x", np.ndarray)]

    def test_outside_transforms_it_is_the_identity(self) -> None:
        assert stop_gradient([1.0, (2, "a")]) == [1.0, (2.0, "a")]

    def test_of_a_value_it_is_a_leaf(self) -> None:
        v = tapegrad.Value(2.0) * 3.0
        stopped = stop_gradient(v)
        assert (stopped.data, stopped._prev) == (6.0, set())


class TestNoGrad:
    def test_what_it_computes_is_constant(self) -> None:
        @no_grad()
        def constant(x: Any) -> Any:
            return x * x

        def f(x: Any) -> Any:
            return constant(x) * x

        assert value_and_grad(f)(3.0) == (27.0, 9.0)
        assert jvp(f, (3.0,), (1.0,)) == (27.0, 9.0)
        assert tapegrad.compile(value_and_grad(f))(3.0) == (27.0, 9.0)

    def test_a_compiled_function_keeps_nothing_of_it(self) -> None:
        g = tapegrad.compile(value_and_grad(lambda x, how="plain": x * x))
        with no_grad():
            assert g(3.0) == (9.0, 0.0)
        assert g.programs == ()
        assert g(3.0, how="plain") == (9.0, 6.0)
        with no_grad():
            assert g(3.0, how="plain") == (9.0, 0.0)
        assert g(3.0, how="plain") == (9.0, 6.0)

    def test_ends_with_an_exception(self) -> None:
        with pytest.raises(KeyError), no_grad():
            raise KeyError
        assert grad(lambda x: x * x)(3.0) == 6.0


class TestDetectAnomaly:
    @pytest.mark.parametrize("transform", [grad, *JACOBIANS, tapegrad.compile])
    def test_the_first_operation_that_gives_nan_raises(self, transform: Function) -> None:
        with detect_anomaly(), pytest.raises(FloatingPointError, match="log"):
            transform(lambda x: log(x - 2.0) * 0.0)(1.0)

    def test_a_compiled_function_is_watched_too(self) -> None:
        f = tapegrad.compile(lambda x: log(x))
        assert f(1.0) == 0.0
        with detect_anomaly():
            assert f(1.0) == 0.0
            with pytest.raises(FloatingPointError, match="log"):
                f(-1.0)
        assert math.isnan(f(-1.0))
        assert len(f.programs) == 1

    def test_results_that_are_numbers_pass(self) -> None:
        with detect_anomaly():
            assert grad(lambda x: log(x))(4.0) == 0.25

    def test_transforms_work_after_it_raised(self) -> None:
        with detect_anomaly(), pytest.raises(FloatingPointError):
            grad(lambda x: 1.0 / (x - x))(1.0)
        assert grad(lambda x: x * x)(1.0) == 2.0


class TestThreads:
    def test_two_threads_differentiate_at_once(self) -> None:
        """Each waits for the other in the middle of its function."""
        meet = threading.Barrier(2, timeout=60)
        results: dict[float, Any] = {}

        def f(x: Any) -> Any:
            y = x * x
            meet.wait()
            y = y * grad(lambda z: z**3)(x)
            meet.wait()
            return tanh(y)

        def work(x: float) -> None:
            results[x] = value_and_grad(f)(x)

        threads = [threading.Thread(target=work, args=(x,)) for x in (0.5, 0.7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for x in (0.5, 0.7):
            value = math.tanh(3 * x**4)
            assert results[x] == pytest.approx((value, (1 - value * value) * 12 * x**3))

    def test_a_generator_may_differentiate_between_steps(self) -> None:
        def steps(x: Any) -> Any:
            for k in range(3):
                yield grad(lambda y, k=k: y ** (k + 1))(x)

        assert grad(lambda x: sum(steps(x)))(2.0) == 2.0 + 6.0 * 2.0


def test_scipy_minimises_with_values_and_gradients() -> None:
    optimize = pytest.importorskip("scipy.optimize")

    def rosenbrock(x: Any) -> Any:
        return (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2

    start = np.array([-1.2, 1.0])
    for f in (value_and_grad(rosenbrock), tapegrad.compile(value_and_grad(rosenbrock))):
        found = optimize.minimize(f, start, jac=True, method="BFGS")
        assert np.allclose(found.x, [1.0, 1.0], atol=1e-5)
    found = optimize.minimize(
        value_and_grad(rosenbrock), start, jac=True, hess=hessian(rosenbrock), method="Newton-CG"
    )
    assert np.allclose(found.x, [1.0, 1.0], atol=1e-4)
