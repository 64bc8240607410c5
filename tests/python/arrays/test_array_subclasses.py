"""Subclasses of NumPy's array are refused by name: as plain arrays they are other numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad
from tapegrad import (
    Value,
    compile,
    get_data,
    get_grad,
    grad,
    hessian,
    hvp,
    isclose,
    isnan,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    optim,
    set_data,
    set_grad,
    stop_gradient,
    value_and_grad,
    vjp,
)

Function = Callable[..., Any]


class Doubled(np.ndarray):
    """Its arithmetic is its own."""

    def __mul__(self, other: Any) -> Any:
        return np.asarray(self) * 2.0 * np.asarray(other)


def matrix(numbers: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(numbers)


SUBCLASSES: dict[str, Function] = {
    "MaskedArray": lambda numbers: np.ma.array(numbers, mask=[0, 1, 0]),
    "matrix": matrix,
    "Doubled": lambda numbers: np.asarray(numbers).view(Doubled),
    "recarray": lambda numbers: np.asarray(numbers).view(np.recarray),
}
FLOATS = [1.0, 2.0, 3.0]


@pytest.fixture(params=SUBCLASSES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refused(name: str) -> Any:
    return pytest.raises(TypeError, match=rf"'{name}', a subclass of NumPy's array.*np\.asarray")


def total(x: Any) -> Any:
    return (np.asarray(x) ** 2).sum()


TRANSFORMS: dict[str, Function] = {
    "grad": grad,
    "value_and_grad": value_and_grad,
    "jacobian": jacobian,
    "jacrev": jacrev,
    "jacfwd": jacfwd,
    "hessian": hessian,
    "compile": compile,
    "compiled gradient": lambda f: compile(grad(f)),
    "gradient of compiled": lambda f: grad(compile(f)),
    "vjp": lambda f: lambda x: vjp(f, x),
    "jvp": lambda f: lambda x: jvp(f, (x,), (x,)),
    "hvp": lambda f: lambda x: hvp(f, (x,), (x,)),
    "stop_gradient": lambda f: stop_gradient,
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_as_arguments_of_transforms(transform: str, name: str) -> None:
    f = TRANSFORMS[transform](total)
    x = SUBCLASSES[name](FLOATS)
    with refused(name):
        f(x)
    f(np.array(FLOATS))
    with refused(name):  # compiled, where a program for arrays is there
        f(x)


@pytest.mark.parametrize("nest", [lambda x: [x], lambda x: {"a": (1.0, x)}, lambda x: ((x,), 2.0)])
def test_in_trees(nest: Function, name: str) -> None:
    tree = nest(SUBCLASSES[name](FLOATS))
    with refused(name):
        compile(lambda tree: 1.0)(tree)
    with refused(name):
        grad(lambda tree: 1.0)(tree)


@pytest.mark.parametrize("transform", ["jacobian", "jacrev", "jacfwd", "compile", "vjp", "jvp"])
def test_as_results(transform: str, name: str) -> None:
    f = TRANSFORMS[transform](lambda x: SUBCLASSES[name](x * x))
    with refused(name):
        f(np.array(FLOATS))


def test_as_directions(name: str) -> None:
    x, other = np.array(FLOATS), SUBCLASSES[name](FLOATS)
    with refused(name):
        jvp(lambda x: x * x, (x,), (other,))
    with refused(name):
        vjp(lambda x: x * x, x)[1](other)


def test_many_values_at_once(name: str) -> None:
    values = [Value(x) for x in FLOATS]
    objects = SUBCLASSES[name](np.array(values))
    numbers = SUBCLASSES[name](FLOATS)
    for read in (get_data, get_grad):
        with refused(name):
            read(objects)
        with refused(name):
            read(values, out=numbers)
    for write in (set_data, set_grad):
        with refused(name):
            write(objects, 1.0)
        with refused(name):
            write(values, numbers)
    assert [v.data for v in values] == FLOATS
    with refused(name):
        optim.clip_grad_norm_(objects, 1.0)


CALLS: dict[str, Function] = {
    "sum": tapegrad.sum,
    "dot": lambda x: tapegrad.dot(x, FLOATS),
    "dot, second": lambda x: tapegrad.dot(FLOATS, x),
    "logsumexp": tapegrad.logsumexp,
    "softmax": tapegrad.softmax,
    "linear": lambda x: tapegrad.linear([FLOATS, x], FLOATS),
    "linear, second": lambda x: tapegrad.linear([FLOATS], x),
    "matvec": lambda x: tapegrad.matvec([FLOATS, FLOATS], x),
    "matvec, a row": lambda x: tapegrad.matvec([FLOATS, x], FLOATS),
    "mse_loss": lambda x: tapegrad.mse_loss(x, FLOATS),
    "cross_entropy": lambda x: tapegrad.cross_entropy(x, 1),
}


@pytest.mark.parametrize("call", CALLS)
def test_layers_and_sums(call: str, name: str) -> None:
    f = CALLS[call]
    for numbers in (FLOATS, np.array([Value(x) for x in FLOATS])):
        with refused(name):
            f(SUBCLASSES[name](numbers))
    for transform in (grad, compile):
        with refused(name):
            transform(lambda x: (f(SUBCLASSES[name](x)), x.sum())[1])(np.array(FLOATS))
        with refused(name):
            transform(lambda x: (f(SUBCLASSES[name](FLOATS)), x.sum())[1])(np.array(FLOATS))
    f(np.array(FLOATS))


def test_predicates(name: str) -> None:
    x = SUBCLASSES[name](FLOATS)
    with refused(name):
        isnan(x)
    with refused(name):
        isclose(1.0, x)


@pytest.mark.parametrize(
    "use",
    [
        Value,
        lambda x: Value(1.0) * x,
        lambda x: Value(1.0) < x,
        lambda x: tapegrad.exp(x),
        lambda x: tapegrad.sum([1.0, x]),
        lambda x: setattr(Value(1.0), "data", x),
        lambda x: grad(lambda y: y * x)(1.0),
        lambda x: grad(lambda y: y * y)(x),
        lambda x: compile(lambda y: y * y)([x]),
    ],
)
@pytest.mark.parametrize("masked", [np.ma.masked, np.ma.array(2.0)])
def test_a_masked_number_is_no_number(use: Function, masked: Any) -> None:
    """NumPy would convert it to NaN, with a warning."""
    with pytest.raises(TypeError, match=r"'(MaskedConstant|MaskedArray)', a subclass"):
        use(masked)


def test_numpy_goes_through_the_elements_of_others() -> None:
    """Arithmetic between a Value and a masked array or a matrix is NumPy's own, and right."""
    v = Value(2.0)
    product = v * np.ma.array(FLOATS, mask=[0, 1, 0])
    assert isinstance(product, np.ma.MaskedArray)
    product.sum().backward()
    assert v.grad == 4.0
    v.grad = 0.0
    (v * matrix([[1.0, 2.0]]))[0, 1].backward()
    assert v.grad == 2.0


def test_plain_arrays_of_every_kind_are_taken() -> None:
    x = np.arange(12.0).reshape(3, 4)
    for view in (x, x.T, x[::2, 1:], np.asfortranarray(x), x.astype(np.float32), x.astype(int)):
        assert grad(total)(view).tolist() == (2.0 * view).tolist()
        assert compile(total)(view) == total(view)
    assert isinstance(grad(total)(np.asarray(matrix([[1.0, 2.0]]))), np.ndarray)
