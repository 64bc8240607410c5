"""A derivative is right or an error: no number that it depends on becomes a float in silence."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad
from support.foreign_functions import NUMPY, STANDARD, of_math
from tapegrad import (
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
    no_grad,
    stop_gradient,
    value_and_grad,
    vjp,
)

Function = Callable[..., Any]

FUNCTIONS = {**dict(of_math()), **STANDARD, **NUMPY}
try:
    from support.foreign_scipy import SCIPY
except ImportError:
    pass
else:
    FUNCTIONS.update({f"scipy {name}": f for name, f in SCIPY.items()})

# Away from the jumps of `//` and `round`.
POINTS = [np.array([1.31, 1.76, 2.63]), np.array([1.42, 1.93, 2.57])]

# Functions that raise an error of their own kind, before or instead of the TypeError.
OTHERWISE = {
    "struct",
    "flat",
    "cov",
    "corrcoef",
    "angle",
    "scipy solve",
    "scipy inv",
    "scipy svdvals",
    "scipy eigh",
    "scipy solve_triangular",
    "scipy root",
    "scipy fsolve",
    "scipy zscore",
    "scipy pearsonr",
    "scipy linregress",
    "scipy lfilter",
    "scipy gaussian_filter",
    "scipy map_coordinates",
    "scipy csr of",
    "scipy diags",
}

MESSAGE = "a traced number is not converted to float"


def refused(name: str, call: Function, *arguments: Any) -> Any:
    """The result; None where there is an error that this function may raise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations, and what SciPy says before it raises
        try:
            return call(*arguments)
        except TypeError:
            return None
        except Exception:
            if name not in OTHERWISE:
                raise
            return None


def differences(f: Function, x: Any, step: float = 1e-6) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(
            [
                (float(f(x + move)) - float(f(x - move))) / (2.0 * step)
                for move in np.eye(len(x)) * step
            ]
        )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_through_foreign_functions_are_right_or_an_error(name: str) -> None:
    f = FUNCTIONS[name]
    for x in POINTS:
        wanted = differences(f, x)
        for derivative in (grad, jacfwd):
            found = refused(name, derivative(f), x)
            if found is not None:
                assert np.asarray(found, float) == pytest.approx(wanted, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_they_give_what_they_give(name: str) -> None:
    """A float that is taken out is a guard."""
    f = FUNCTIONS[name]
    compiled = compile(f)
    for x in [*POINTS, POINTS[0]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = float(f(x))
        found = refused(name, compiled, x)
        if found is not None:
            assert found == pytest.approx(wanted, rel=1e-12)
        found = refused(name, grad(compiled), x)
        if found is not None:
            assert found == pytest.approx(differences(f, x), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "float",
        "zeros",
        "astype",
        "interp",
        "gradient",
        "asarray of float",
        "array",
        "% f",
        "complex",
        "statistics.fmean",
        "math.exp of 1",
        "scipy cholesky",
        "scipy quad to",
        "scipy quad of",
        "scipy solve_ivp",
        "scipy CubicSpline at",
    ],
)
def test_what_is_meant_to_be_refused_is_refused(name: str) -> None:
    """Else the tests above could pass of functions that never convert."""
    if name not in FUNCTIONS:
        pytest.skip("needs scipy")
    f: Function = FUNCTIONS[name] if name != "array" else STANDARD["array"]
    for derivative in (grad, jacfwd, hessian, value_and_grad, jacrev):
        with pytest.raises(TypeError):
            derivative(f)(POINTS[0])


@pytest.mark.parametrize(
    "name", ["mean", "std", "var", "where", "vectorize", "zeros_like", "cumsum"]
)
def test_what_works_goes_on_working(name: str) -> None:
    assert refused(name, grad(NUMPY[name]), POINTS[0]) is not None


def test_the_message_names_the_line_and_the_remedies() -> None:
    def f(x: Any) -> Any:
        return math.exp(x)

    with pytest.raises(TypeError) as caught:
        grad(f)(1.0)
    message = str(caught.value)
    assert f"{__file__}:{f.__code__.co_firstlineno + 1}," in message
    for remedy in ("tapegrad.exp(x)", "np.zeros_like(x)", "stop_gradient(x)", "tapegrad.isnan(x)"):
        assert remedy in message


class TestWhatDependsOnVariables:
    """Only of numbers that depend on the variables of a transform that is open is it an error."""

    @pytest.mark.parametrize(
        ("f", "slope"),
        [
            (lambda x: x * float(stop_gradient(x)), 3.0),
            (lambda x: x * float(stop_gradient(x * x) + 1.0), 10.0),
            (lambda x: x * float(np.asarray([stop_gradient(x)], float)[0]), 3.0),
            (lambda x: x * x.data, 3.0),
            (lambda x: x * int(x), 3.0),
            (lambda x: x * round(x, 1), 3.0),
            (lambda x: x * len(f"{x:.3f}"), 5.0),
            (lambda x: x * float(f"{x:.3f}"), 3.0),
            (lambda x: x * float(tapegrad.sin(0.0) + 2.0), 2.0),
            # A derivative by a variable of its own, where what is differentiated is constant.
            (lambda x: x * float(grad(lambda y: y * y)(2.0)), 4.0),
            (lambda x: x * float(grad(lambda y: y * y * y)(stop_gradient(x))), 27.0),
            (lambda x: x * float(jvp(lambda y: y * y, (2.0,), (1.0,))[1]), 4.0),
            (lambda x: x * float(vjp(lambda y: y * y, 2.0)[1](1.0)[0]), 4.0),
            (lambda x: x * grad(lambda y: y * float(stop_gradient(y)))(5.0), 5.0),
            (lambda x: x * grad(lambda y: y * float(stop_gradient(x)))(5.0), 3.0),
            (lambda x: x * hessian(lambda y: y * y * float(stop_gradient(y)))(5.0), 10.0),
        ],
    )
    def test_others_are_numbers(self, f: Function, slope: float) -> None:
        assert grad(f)(3.0) == pytest.approx(slope, rel=1e-14)
        assert jacfwd(f)(3.0) == pytest.approx(slope, rel=1e-14)
        assert grad(compile(f))(3.0) == pytest.approx(slope, rel=1e-14)
        assert compile(grad(f))(3.0) == pytest.approx(slope, rel=1e-14)

    @pytest.mark.parametrize(
        "f",
        [
            lambda x: x * float(x),
            lambda x: x * float(x * 0.0),
            lambda x: x * float(abs(stop_gradient(x)) + x),
            lambda x: x * grad(lambda y: y * float(x))(2.0),
            lambda x: x * grad(lambda y: x * float(y))(2.0),
            lambda x: x * grad(lambda y: x * float(y * x))(2.0),
            lambda x: x * float(grad(lambda y: y * y)(x)),
            lambda x: x * float(grad(lambda y: y * y * x)(2.0)),
            lambda x: x * float(jvp(lambda y: y * x, (2.0,), (1.0,))[1]),
            lambda x: x * float(jvp(lambda y: y, (2.0,), (x,))[1]),
            lambda x: x * float(vjp(lambda y: y, 2.0)[1](x)[0]),
            lambda x: vjp(lambda y: float(y), x)[0],
            lambda x: jvp(lambda y: float(y), (x,), (1.0,))[1],
            lambda x: hvp(lambda y: y * float(y), (x,), (1.0,)),
            lambda x: x * float(checkpoint(lambda y: y * y)(x)),
            lambda x: checkpoint(lambda y: y * float(y))(x),
            lambda x: jacobian(lambda y: [y * float(x)])(2.0)[0],
        ],
    )
    def test_of_these_it_is_an_error(self, f: Function) -> None:
        for derivative in (grad(f), jacfwd(f), grad(compile(f)), hessian(f)):
            with pytest.raises(TypeError, match=MESSAGE):
                derivative(3.0)
        assert grad(lambda x: x * float(stop_gradient(x)))(3.0) == 3.0

    def test_random_nests(self) -> None:
        """The same as a plain model: each number with the set of variables that it depends on."""
        random = np.random.default_rng(5)
        asked = {True: 0, False: 0}

        def ask(numbers: list[tuple[Any, frozenset[int]]], alive: frozenset[int]) -> None:
            number, depends = numbers[random.integers(len(numbers))]
            lost = bool(depends & alive)
            asked[lost] += 1
            if not lost:
                assert isinstance(float(number), float)
                return
            with pytest.raises(TypeError, match=MESSAGE):
                float(number)

        def grow(
            numbers: list[tuple[Any, frozenset[int]]], alive: frozenset[int], depth: int
        ) -> tuple[Any, frozenset[int]]:
            for _ in range(random.integers(1, 7)):
                (a, by_a), (b, by_b) = (numbers[random.integers(len(numbers))] for _ in range(2))
                choice = random.integers(9)
                if choice < 2:
                    numbers.append((a * 0.5 + b * 0.5, by_a | by_b))
                elif choice < 5:
                    numbers.append((stop_gradient(a), frozenset()))
                elif choice == 5 and depth < 6:
                    mark = int(random.integers(1 << 60))
                    derivative = grad if random.integers(2) else jacfwd
                    told: list[frozenset[int]] = []

                    def inner(
                        y: Any,
                        mark: int = mark,
                        by_a: frozenset[int] = by_a,
                        told: list[frozenset[int]] = told,
                    ) -> Any:
                        mine = [*numbers, (y, by_a | {mark})]
                        result, by = grow(mine, alive | {mark}, depth + 1)
                        told.append(by | by_a)
                        return result * y

                    slope = derivative(inner)(a)
                    # A slope may depend on less than the result does: only nothing is certain.
                    if is_traced(slope) and not told[0] & alive:
                        numbers.append((slope, told[0] - {mark}))
                else:
                    ask(numbers, alive)
            return numbers[-1]

        is_traced = tapegrad._core.is_traced
        for _ in range(300):

            def outer(x: Any) -> Any:
                result, _ = grow(
                    [(x, frozenset({0})), (x * 1.5, frozenset({0}))], frozenset({0}), 1
                )
                return result * x

            (grad if random.integers(2) else jacfwd)(outer)(1.25)
        assert min(asked.values()) > 50

    def test_deep_nests(self) -> None:
        """More transforms than a word has bits."""

        def nest(depth: int, x: Any, outermost: Any) -> Any:
            if depth == 0:
                return x * float(stop_gradient(x)) * outermost
            return grad(lambda y: y * nest(depth - 1, stop_gradient(x), outermost))(1.0)

        def lost(depth: int, x: Any) -> Any:
            if depth == 0:
                return float(x)
            return grad(lambda y: y * lost(depth - 1, x))(1.0)

        assert grad(lambda x: nest(70, x, x))(2.0) == 4.0
        for depth in (1, 61, 62, 63, 64, 70):
            with pytest.raises(TypeError, match=MESSAGE):
                grad(lambda x, depth=depth: lost(depth, x))(2.0)

    def test_many_questions_of_a_long_recording_take_one_pass(self) -> None:
        def f(x: Any) -> Any:
            y = x
            for _ in range(30_000):
                y = y * 0.999 + float(stop_gradient(y)) * 1e-6
            return y

        assert grad(f)(1.0) == pytest.approx(0.999**30_000, rel=1e-9)


class TestModes:
    def test_without_gradients_it_is_a_number(self) -> None:
        def f(x: Any) -> Any:
            with no_grad():
                scale = math.exp(x)
            return x * scale

        assert grad(f)(1.0) == math.exp(1.0)
        assert jacfwd(f)(1.0) == math.exp(1.0)

    def test_a_compiled_function_that_nobody_differentiates(self) -> None:
        f = compile(lambda x: x * math.exp(x))
        assert f(1.0) == math.exp(1.0)
        with detect_anomaly():
            assert f(1.0) == math.exp(1.0)
        with no_grad():
            assert f(2.0) == 2.0 * math.exp(2.0)
        with pytest.raises(TypeError, match=MESSAGE), detect_anomaly():
            grad(f)(1.0)

    @pytest.mark.parametrize("sparse", [jacobian, jacfwd, jacrev, hessian])
    def test_sparse_derivatives(self, sparse: Function) -> None:
        pytest.importorskip("scipy")
        results = {True: lambda x: x[0] * float(x[1]), False: lambda x: [x[0] * float(x[1])]}
        f = results[sparse is hessian]
        for g in (f, compile(f)):
            with pytest.raises(TypeError, match=MESSAGE):
                sparse(g, sparse=True)([1.0, 2.0])


class TestRules:
    """A function that has a rule may convert: the rule is its derivative."""

    @staticmethod
    def exponential() -> Any:
        @custom_jvp
        def f(x: Any) -> Any:
            return math.exp(x)

        f.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * f(*primals)))
        return f

    @staticmethod
    def pulled() -> Any:
        @custom_vjp
        def f(x: Any) -> Any:
            return math.exp(x)

        f.defvjp(lambda x: (math.exp(x), math.exp(x)), lambda y, g: (g * y,))
        return f

    def test_custom_jvp_to_any_order(self) -> None:
        f, e = self.exponential(), math.exp(0.5)
        for derivative in (
            grad(f),
            jacfwd(f),
            hessian(f),
            grad(grad(grad(f))),
            jacfwd(jacfwd(f)),
            compile(grad(f)),
            grad(compile(f)),
            lambda x: hvp(f, (x,), (1.0,)),
            lambda x: jvp(grad(f), (x,), (1.0,))[1],
        ):
            assert derivative(0.5) == pytest.approx(e, rel=1e-15)

    def test_custom_vjp_once(self) -> None:
        f, e = self.pulled(), math.exp(0.5)
        assert grad(f)(0.5) == e
        assert compile(grad(f))(0.5) == e
        assert vjp(f, 0.5)[1](2.0) == (2.0 * e,)
        # One derivative by each of two variables.
        assert grad(lambda a: a * grad(f)(0.5))(2.0) == e
        assert grad(lambda a: grad(lambda b: b * f(a))(2.0))(0.5) == e

    @pytest.mark.parametrize(
        "twice",
        [
            hessian,
            lambda f: grad(grad(f)),
            lambda f: lambda x: hvp(f, (x,), (1.0,)),
            lambda f: grad(lambda a: grad(lambda b: f(a * b))(2.0)),
            lambda f: compile(hessian(f)),
            lambda f: lambda x: grad(lambda y: vjp(f, y)[1](1.0)[0])(x),
        ],
    )
    def test_custom_vjp_not_twice(self, twice: Function) -> None:
        with pytest.raises(TypeError, match=MESSAGE):
            twice(self.pulled())(0.5)

    def test_nor_in_a_sparse_hessian(self) -> None:
        pytest.importorskip("scipy")
        f = self.pulled()
        with pytest.raises(TypeError, match=MESSAGE):
            hessian(lambda x: f(x[0]), sparse=True)([0.5])

    def test_a_step_backwards_that_converts(self) -> None:
        @custom_vjp
        def f(x: Any) -> Any:
            return x * x

        f.defvjp(lambda x: (x * x, x), lambda x, g: (2.0 * float(x) * g,))
        assert grad(f)(3.0) == 6.0
        assert grad(lambda a: a * grad(f)(3.0))(1.0) == 6.0
        for twice in (grad(grad(f)), hessian(f), grad(lambda a: a * grad(f)(a))):
            with pytest.raises(TypeError, match=MESSAGE):
                twice(3.0)

    def test_a_step_forwards_that_converts_its_tangent(self) -> None:
        """Backward mode differentiates the rule by these."""

        @custom_jvp
        def f(x: Any) -> Any:
            return x * x

        f.defjvp(lambda primals, tangents: (f(*primals), 2.0 * primals[0] * float(tangents[0])))
        assert jacfwd(f)(3.0) == 6.0
        for derivative in (grad(f), hessian(f), compile(grad(f))):
            with pytest.raises(TypeError, match=MESSAGE):
                derivative(3.0)
        assert jacfwd(f)(3.0) == 6.0

    def test_what_is_differentiated_inside_is_watched(self) -> None:
        @custom_jvp
        def f(x: Any) -> Any:
            return grad(lambda y: y * math.exp(y))(x)

        f.defjvp(lambda primals, tangents: (primals[0], tangents[0]))
        with pytest.raises(TypeError, match=MESSAGE):
            grad(f)(0.5)

    def test_nothing_stays_open_after_an_error(self) -> None:
        @custom_jvp
        def f(x: Any) -> Any:
            raise KeyError("not today")

        f.defjvp(lambda primals, tangents: (primals[0], tangents[0]))

        def g(x: Any) -> Any:
            with pytest.raises(KeyError):
                f(x)
            with pytest.raises(KeyError):
                grad(f)(x)
            with pytest.raises(TypeError, match=MESSAGE):
                float(x)
            return x * x

        assert grad(g)(3.0) == 6.0
        assert grad(lambda x: x * grad(g)(2.0))(3.0) == 4.0
