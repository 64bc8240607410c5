"""Derivatives of compiled functions belong to these: made once, and gone with them."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad
from tapegrad import (
    checkpoint,
    compile,
    custom_jvp,
    custom_vjp,
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
from tapegrad.transforms.compiled import Compiled

Function = Callable[..., Any]

TRANSFORMS = [grad, value_and_grad, jacobian, jacrev, jacfwd, hessian]


class Counted:
    """A function that counts how often it runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, x: Any, y: Any = 2.0) -> Any:
        self.runs += 1
        return x * x * sin(y) + exp(x) * y


CALLS: dict[str, Function] = {
    "grad": lambda f: grad(f)(1.5),
    "grad by the second": lambda f: grad(f, 1)(1.5, 2.0),
    "grad by both": lambda f: grad(f, (0, 1))(1.5, 2.0),
    "grad by a list": lambda f: grad(f, [0, 1])(1.5, 2.0),
    "value_and_grad": lambda f: value_and_grad(f)(1.5),
    "jacobian": lambda f: jacobian(f)(1.5),
    "jacrev": lambda f: jacrev(f)(1.5),
    "jacfwd": lambda f: jacfwd(f)(1.5),
    "hessian": lambda f: hessian(f)(1.5),
    "hessian by both": lambda f: hessian(f, (0, 1))(1.5, 2.0),
    "hvp": lambda f: hvp(f, (1.5,), (1.0,)),
    "hvp of two": lambda f: hvp(f, (1.5, 2.0), (1.0, 0.5)),
    "hvp curried": lambda f: hvp(f)(1.5, 1.0),
    "jvp": lambda f: jvp(f, (1.5,), (1.0,)),
    "vjp": lambda f: vjp(f, 1.5, 2.0)[1](1.0),
    "vjp, the value": lambda f: vjp(f, 1.5)[0],
    "grad of grad": lambda f: grad(grad(f))(1.5),
    "grad of hvp": lambda f: grad(hvp(f))(1.5, 1.0),
    "jvp of grad": lambda f: jvp(grad(f), (1.5,), (1.0,)),
    "hessian of grad": lambda f: hessian(grad(f))(1.5),
}


def numbers(tree: Any) -> list[float]:
    return tapegrad._core.flatten(tree, "a result")[0]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_is_derived_records_once(call: Function) -> None:
    counted = Counted()
    f = compile(counted)
    first = call(f)
    runs = counted.runs
    assert runs >= 1
    for _ in range(5):
        assert call(f) == first
    assert counted.runs == runs
    assert numbers(first) == pytest.approx(numbers(call(Counted())), rel=1e-12)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_is_derived_of_a_method_records_once_and_keeps_no_instance(call: Function) -> None:
    runs = []

    class Model:
        scale = 3.0

        @compile
        def f(self, x: Any, y: Any = 2.0) -> Any:
            runs.append(1)
            return self.scale * (x * x * sin(y) + exp(x) * y)

        def plain(self, x: Any, y: Any = 2.0) -> Any:
            return self.scale * (x * x * sin(y) + exp(x) * y)

    model = Model()
    assert numbers(call(model.f)) == pytest.approx(numbers(call(model.plain)), rel=1e-12)
    count = len(runs)
    for _ in range(3):
        call(model.f)
    assert len(runs) == count
    gone = weakref.ref(model)
    del model
    assert gone() is None
    Model.f(Model(), 1.0)
    assert len(Model.f.programs) == 1


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_same_transform_gives_the_same_function(transform: Function) -> None:
    f = compile(lambda x, y: (x * y, x))
    assert transform(f, has_aux=True) is transform(f, 0, True)
    assert transform(f) is transform(f, argnums=0)
    assert transform(f, (0, 1)) is transform(f, [0, 1])
    made = [transform(f), transform(f, 1), transform(f, (0,)), transform(f, has_aux=True)]
    assert len({*map(id, made)}) == len(made)
    assert transform(compile(f.__wrapped__)) is not transform(f, has_aux=True)


def test_all_transforms_differ() -> None:
    f = compile(lambda x: x * x)
    assert len({id(transform(f)) for transform in (*TRANSFORMS, hvp)}) == len(TRANSFORMS) + 1


def test_sparse_ones_are_kept_too() -> None:
    pytest.importorskip("scipy")
    f = compile(lambda x: (x[1:] * x[:-1]) ** 2)
    for transform in (jacobian, jacrev, jacfwd):
        assert transform(f, sparse=True) is transform(f, sparse=True)
        assert transform(f, sparse=True) is not transform(f)
    assert jacfwd(f, sparse=True) is not jacrev(f, sparse=True)
    g = compile(lambda x: ((x[1:] * x[:-1]) ** 2).sum())
    assert hessian(g, sparse=True) is hessian(g, sparse=True)
    x = np.arange(4.0)
    assert (hessian(g, sparse=True)(x) != hessian(g)(x)).sum() == 0


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_goes_with_its_function_without_the_collector(call: Function) -> None:
    f = compile(lambda x, y=2.0: x * x * sin(y) + exp(x) * y)
    call(f)
    gone = [weakref.ref(each) for each in (f, *f._derived.values())]
    gc.disable()
    try:
        del f
        assert all(each() is None for each in gone)
    finally:
        gc.enable()


def test_what_is_derived_outlives_the_function() -> None:
    g = grad(compile(lambda x: x**3))
    assert g(2.0) == 12.0
    assert grad(g)(2.0) == 12.0


def test_errors_are_those_of_the_plain_function() -> None:
    f = compile(lambda x: x * x)
    for g in (f, f.__wrapped__):
        with pytest.raises(TypeError, match="argnums has 3"):
            grad(g, 3)(1.0)
        with pytest.raises(TypeError, match="argnums must be an int"):
            grad(g, 1.0)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="tangents must have the structure"):
            jvp(g, (1.0,), ([1.0],))
        with pytest.raises(TypeError, match="tangents must have the structure"):
            jvp(g, (1.0,), (1.0, 2.0))
        with pytest.raises(TypeError, match="cotangent must have the structure"):
            vjp(g, 1.0)[1]([1.0])
        with pytest.raises(TypeError, match="tangents is missing"):
            hvp(g, (1.0,))  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="a point and a direction"):
            hvp(g)(1.0)


def test_vjp_pulls_back_at_the_point_where_it_was_taken() -> None:
    x = np.array([1.0, 2.0])
    _, pull = vjp(compile(lambda x: (x * x).sum()), x)
    x[:] = 100.0
    assert pull(1.0)[0].tolist() == [2.0, 4.0]


def test_of_a_function_that_calls_itself() -> None:
    @compile
    def f(x: Any) -> Any:
        return x * f(x - 1.0) if x > 1.0 else x

    for _ in range(2):
        assert vjp(f, 3.0)[1](1.0) == jacrev(f)(3.0) * np.ones(1)
        assert hvp(f)(3.0, 1.0) == grad(grad(f))(3.0)


class TestHessp:
    @pytest.mark.parametrize("made", [lambda f: f, compile])
    @pytest.mark.parametrize("method", ["Newton-CG", "trust-ncg", "trust-krylov", "trust-constr"])
    def test_minimize(self, made: Function, method: str) -> None:
        optimize = pytest.importorskip("scipy.optimize")

        @made
        def rosenbrock(x: Any, scale: Any) -> Any:
            return (scale * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()

        found = optimize.minimize(
            rosenbrock,
            np.zeros(4),
            args=(10.0,),
            method=method,
            jac=grad(rosenbrock),
            hessp=hvp(rosenbrock),
        )
        assert found.x == pytest.approx(np.ones(4), abs=1e-3)

    def test_is_the_product_with_the_hessian(self) -> None:
        def f(x: Any, how: Any = 1.0) -> Any:
            return how * sum(a * a * exp(b) for a, b in itertools.pairwise(x))

        x, p = [0.5, 1.0, -1.0], [1.0, 2.0, 0.5]
        for g in (f, compile(f)):
            expected = [sum(map(lambda h, v: h * v, row, p)) for row in hessian(g)(x)]
            assert hvp(g)(x, p) == pytest.approx(expected)
            assert hvp(g)(x, p, how=2.0) == pytest.approx([2.0 * v for v in expected])
            assert hvp(g, (x,), (p,)) == pytest.approx(expected)


class Named:
    """What a wrapper shows of its function."""

    def f(self, x: Any, *, scale: float = 2.0) -> Any:
        """What f does."""
        return x * x * scale


MAKERS: dict[str, Function] = {
    **{each.__name__: each for each in (*TRANSFORMS, hvp, compile, checkpoint)},
    "custom_vjp": custom_vjp,
    "custom_jvp": custom_jvp,
    "grad of compile": lambda f: grad(compile(f)),
    "grad of grad": lambda f: grad(grad(f)),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
class TestWrappers:
    def test_show_the_function(self, make: Function) -> None:
        f = Named.f
        f.note = "kept"  # type: ignore[attr-defined]
        g = make(f)
        assert (g.__name__, g.__qualname__, g.__module__) == ("f", "Named.f", __name__)
        assert g.__doc__ == "What f does."
        assert g.__annotations__ == f.__annotations__
        assert not hasattr(g, "missing")
        assert "f" in repr(g)
        if not isinstance(g, Compiled):
            assert g.note == "kept"

    def test_have_attributes_of_their_own(self, make: Function) -> None:
        g = make(Named.f)
        g.__name__ = "other"
        g.extra = 1
        assert (g.__name__, g.extra) == ("other", 1)
        assert Named.f.__name__ == "f"

    def test_bind_as_methods(self, make: Function) -> None:
        class Model:
            f = make(Named.f)

        model = Model()
        assert model.f == model.f
        assert model.f != Model().f
        assert {model.f: 1}[model.f] == 1
        assert model.f.__self__ is model
        assert model.f.__doc__ == "What f does."
        assert weakref.ref(model.f.__self__)() is model
        assert Model.f is Model.__dict__["f"]

    def test_are_functions_of_objects_that_have_no_name(self, make: Function) -> None:
        class Square:
            def __call__(self, x: Any) -> Any:
                return x * x

        g = make(Square())
        assert callable(g)
        assert not hasattr(g, "__name__") or isinstance(g, Compiled)


def test_decorated_methods() -> None:
    class Model:
        w = 3.0

        @grad
        def slope_by_self(self: Any) -> Any:
            return self * self

        @compile
        @value_and_grad
        def both(x: Any) -> Any:  # type: ignore[misc]  # noqa: N805
            return x * x

    assert Model.slope_by_self(2.0) == 4.0
    assert Model.both(2.0) == (4.0, 4.0)


class TestJacobianThroughRules:
    def test_a_custom_vjp_goes_backwards(self) -> None:
        f = custom_vjp(lambda x: [x, 2.0 * x, x * x])
        f.defvjp(lambda x: ([x, 2.0 * x, x * x], x), lambda x, g: (10.0 * (g[0] + g[1]),))
        for made in (lambda g: g, compile):
            assert jacobian(made(f))(3.0) == [10.0, 10.0, 0.0]
            assert jacobian(made(lambda x: f(x * x)))(3.0) == [60.0, 60.0, 0.0]
            assert jacobian(made(lambda x: f(3.0)))(1.0) == [0.0, 0.0, 0.0]
            with pytest.raises(TypeError, match="forward mode cannot differentiate"):
                jacfwd(made(f))(3.0)

    def test_sparse(self) -> None:
        pytest.importorskip("scipy")
        f = custom_vjp(lambda x: x * x)
        f.defvjp(lambda x: (x * x, x), lambda x, g: (10.0 * g * x,))
        x = np.arange(1.0, 4.0)
        for made in (lambda g: g, compile):
            g = made(lambda x: np.array([f(a) for a in x]))
            assert jacobian(g, sparse=True)(x).toarray().tolist() == np.diag(10.0 * x).tolist()

    def test_hessians_are_forward_over_reverse(self) -> None:
        f = custom_vjp(lambda x: x**3)
        f.defvjp(lambda x: (x**3, x), lambda x, g: (3.0 * g * x * x,))
        assert hessian(f)(2.0) == 12.0
        assert jacobian(grad(f))(2.0) == 12.0

    def test_unused_rules_do_not_matter(self) -> None:
        f = custom_vjp(lambda x: x)
        f.defvjp(lambda x: (x, None), lambda kept, g: (g,))

        def g(x: Any) -> Any:
            f(x)
            return [x, x * x, x]

        assert jacobian(g)(3.0) == [1.0, 6.0, 1.0]


def test_no_recording_is_left_open() -> None:
    assert tapegrad._core.Recording.current() is None
