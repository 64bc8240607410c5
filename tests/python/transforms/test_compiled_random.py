"""Functions that draw random numbers while they are recorded warn."""

from __future__ import annotations

import functools
import random
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tapegrad import compile, grad, hessian, hvp, jacobian, jvp, vjp

Function = Callable[..., Any]

GENERATOR = np.random.default_rng(1)
OLD = np.random.RandomState(1)
OWN = random.Random(1)


def closed_over() -> Function:
    generator = np.random.default_rng(1)
    return lambda x: x * generator.random()


def rejecting(x: Any) -> Any:
    return x * random.gauss(0.0, 1.0)


PAIRED = np.random.RandomState(1)
PAIRED.randn()
KEPT = {"all": (np.random.default_rng(2),)}


def dropped_out(x: Any) -> Any:
    return x * (GENERATOR.random() < 2.0)


def multiplied(generator: np.random.Generator, x: Any) -> Any:
    return x * generator.normal()


class Noisy:
    __name__ = "Noisy"

    def __call__(self, x: Any) -> Any:
        return x * GENERATOR.normal()


class NoisyInside:
    __name__ = "NoisyInside"

    def __init__(self) -> None:
        self.generators = [np.random.default_rng(3)]

    def method(self, x: Any) -> Any:
        return x * self.generators[0].normal()

    __call__ = method


DRAWERS: dict[str, tuple[Function, str]] = {
    "random.random": (lambda x: x * random.random(), "random"),
    "random.gauss": (rejecting, "random"),
    "random.shuffle": (lambda x: (random.shuffle([1, 2, 3]), x)[1], "random"),
    "random.seed": (lambda x: (random.seed(12345), x)[1], "random"),
    "numpy.random.rand": (lambda x: x * np.random.rand(), "numpy.random"),
    "numpy.random.normal": (lambda x: x * np.random.normal(), "numpy.random"),
    "a global generator": (lambda x: x * GENERATOR.normal(), "a Generator"),
    "a global state": (lambda x: x * OLD.rand(), "a RandomState"),
    "a global Random": (lambda x: x * OWN.random(), "a Random"),
    "a closure": (closed_over(), "a Generator"),
    "numpy.random.randn": (lambda x: x * np.random.randn(), "numpy.random"),
    "numpy.random.randn, the second": (lambda x: x * np.random.randn(), "numpy.random"),
    "a second normal number": (lambda x: x * PAIRED.randn(), "a RandomState"),
    "a generator expression": (lambda x: sum(x * GENERATOR.normal() for _ in "ab"), "a Generator"),
    "a list": (lambda x: [x * GENERATOR.normal() for _ in "ab"], "a Generator"),
    "a function inside": (lambda x: (lambda y: y * GENERATOR.normal())(x), "a Generator"),
    "a function of the module": (lambda x: dropped_out(x), "a Generator"),
    "a partial": (functools.partial(multiplied, GENERATOR), "a Generator"),
    "a container": (lambda x: x * KEPT["all"][0].random(), "a Generator"),
    "an object": (Noisy(), "a Generator"),
    "an attribute of an object": (NoisyInside(), "a Generator"),
    "a method": (NoisyInside().method, "a Generator"),
    "a default": (lambda x, g=GENERATOR: x * g.random(), "a Generator"),
}


@pytest.mark.parametrize(("f", "name"), DRAWERS.values(), ids=DRAWERS)
def test_a_function_that_draws_warns_once(f: Function, name: str) -> None:
    g = compile(f)
    name_of_f = getattr(f, "__name__", type(f).__name__)
    message = re.escape(f"the compiled function {name_of_f} drew random numbers from {name} while")
    with pytest.warns(RuntimeWarning, match=message) as caught:
        g(1.0)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g(2.0)
        g([1.0]) if f is None else g(3.0)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState, random.Random])
def test_a_generator_among_the_arguments(make: Function) -> None:
    for call in (
        lambda f: f(1.0, make(1)),
        lambda f: f(1.0, generator=make(1)),
        lambda f: grad(f)(1.0, make(1)),
        lambda f: compile(lambda x, kept: f(x, kept["g"][0]))(1.0, {"g": [make(1)]}),
    ):
        f = compile(lambda x, generator: x * generator.random())
        if make is np.random.RandomState:
            f = compile(lambda x, generator: x * generator.rand())
        with pytest.warns(
            RuntimeWarning, match=f"drew random numbers from a {make(1).__class__.__name__}"
        ):
            call(f)


@pytest.mark.parametrize(
    "call",
    [
        lambda f: grad(f)(1.0),
        lambda f: jacobian(f)(1.0),
        lambda f: hessian(f)(1.0),
        lambda f: hvp(f)(1.0, 1.0),
        lambda f: jvp(f, (1.0,), (1.0,)),
        lambda f: vjp(f, 1.0)[0],
    ],
)
def test_what_is_derived_warns_too(call: Function) -> None:
    with pytest.warns(RuntimeWarning, match="rejecting drew random numbers") as caught:
        call(compile(rejecting))
    assert len(caught) == 1


def test_on_a_path_that_is_recorded_later() -> None:
    f = compile(lambda x: x * random.random() if x > 5.0 else x * int(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for k in range(5):
            f(float(k))
    with pytest.warns(RuntimeWarning, match="drew random numbers"):
        f(6.0)


def test_functions_that_do_not_draw_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        random.random()
        np.random.rand()
        f = compile(lambda x, g: x * x)
        assert f(2.0, np.random.default_rng(1)) == f(2.0, random.Random(1)) == 4.0
        assert compile(lambda x: x * 2.0 if GENERATOR is not None else x)(1.0) == 2.0


def test_a_warning_that_is_an_error_leaves_nothing_behind() -> None:
    f = compile(rejecting)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            f(1.0)
    assert f.programs == ()
    assert isinstance(f(1.0), float)
    assert grad(lambda x: x * x)(3.0) == 6.0
