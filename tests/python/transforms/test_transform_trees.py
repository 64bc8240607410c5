"""What transforms take and return: numbers, arrays, and containers of these, nested."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from tapegrad import (
    Value,
    compile,
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


class Point(NamedTuple):
    x: Any
    y: Any


Old = namedtuple("Old", "first second")  # both ways of making one


@dataclasses.dataclass
class Plain:
    x: Any
    y: Any = 1.0


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: Any
    y: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Slots:
    x: Any
    y: Any


@dataclasses.dataclass
class Checked:
    """Its constructor takes floats alone and is not called with anything else."""

    x: Any
    y: Any
    total: Any = dataclasses.field(init=False, default=0.0)

    def __post_init__(self) -> None:
        assert type(self.x) is float
        self.total = self.x + self.y


class Derived(Plain):
    pass


def leaves(tree: Any) -> list[Any]:
    """The numbers of a tree, in order."""
    if dataclasses.is_dataclass(tree):
        return [n for field in dataclasses.fields(tree) for n in leaves(getattr(tree, field.name))]
    if isinstance(tree, np.ndarray):
        return list(tree.ravel())
    if isinstance(tree, dict):
        return [number for item in tree.values() for number in leaves(item)]
    if isinstance(tree, list | tuple):
        return [number for item in tree for number in leaves(item)]
    return [tree]


def square(tree: Any) -> Any:
    """Its gradient is the tree again."""
    return sum(0.5 * x * x for x in leaves(tree))


def same(x: Any, y: Any) -> bool:
    """Whether two trees are of the same types, with equal numbers."""
    if type(x) is not type(y):
        return False
    if isinstance(x, np.ndarray):
        return (x.dtype, x.shape) == (y.dtype, y.shape) and bool((x == y).all())
    if dataclasses.is_dataclass(x):
        return all(
            same(getattr(x, field.name), getattr(y, field.name)) for field in dataclasses.fields(x)
        )
    if isinstance(x, dict):
        return list(x) == list(y) and all(same(x[key], y[key]) for key in x)
    if isinstance(x, list | tuple):
        return len(x) == len(y) and all(map(same, x, y))
    return bool(x == y)


def skeleton(tree: Any) -> Any:
    """Types, keys and shapes of a tree, without its numbers."""
    if isinstance(tree, np.ndarray):
        return tree.shape
    if dataclasses.is_dataclass(tree):
        fields = dataclasses.fields(tree)
        return [type(tree), *(skeleton(getattr(tree, field.name)) for field in fields)]
    if isinstance(tree, dict):
        return [type(tree), *((key, skeleton(item)) for key, item in tree.items())]
    if isinstance(tree, list | tuple):
        return [type(tree), *map(skeleton, tree)]
    return "a number"


TREES = [
    2.0,
    [1.0, 2.0],
    (1.0, 2.0),
    (1.0,),
    [[1.0, [2.0, ()]], (3.0, [4.0])],
    {"b": 1.0, "a": [2.0, 3.0]},
    {1: 1.0, None: 2.0, (2, "x"): 3.0},
    OrderedDict([("z", 1.0), ("a", 2.0)]),
    Point(1.0, 2.0),
    Old([1.0, 2.0], 3.0),
    Plain(1.0),
    Frozen(1.0, [2.0, 3.0]),
    Slots(1.0, Plain(2.0, 3.0)),
    Checked(1.0, 2.0),
    Derived(1.0, (2.0,)),
    np.array([1.0, 2.0, 3.0]),
    np.arange(6.0).reshape(2, 3),
    np.arange(24.0).reshape(2, 3, 4),
    [np.ones((2, 0)), 1.0],
    np.arange(6.0).reshape(2, 3).T,
    np.arange(10.0)[::-3],
    {"w": np.ones((2, 2)), "more": [Point(1.0, np.array([1.0, 2.0])), {"deep": (3.0,)}]},
    [1.0, [], {}, 2.0],
]


@pytest.mark.parametrize("tree", TREES, ids=repr)
class TestEveryKindOfTree:
    def test_gradient(self, tree: Any) -> None:
        assert same(grad(square)(tree), tree)
        assert same(compile(grad(square))(tree), tree)

    def test_the_function_sees_what_it_was_given(self, tree: Any) -> None:
        def f(seen: Any) -> Any:
            skeletons.append(skeleton(seen))
            return square(seen)

        skeletons: list[Any] = []
        grad(f)(tree)
        compile(f)(tree)
        assert skeletons == [skeleton(tree)] * 2

    def test_results(self, tree: Any) -> None:
        value, slope = jvp(lambda t: t, (tree,), (tree,))
        assert same(value, tree)
        assert same(slope, tree)
        value, pull = vjp(lambda t: t, tree)
        assert same(value, tree)
        assert same(pull(tree), (tree,))
        assert same(compile(lambda t: t)(tree), tree)

    def test_hvp(self, tree: Any) -> None:
        assert same(hvp(square, (tree,), (tree,)), tree)

    def test_jacobian(self, tree: Any) -> None:
        # Of one number it has the structure of the argument.
        for transform in JACOBIANS:
            assert same(transform(square)(tree), tree)
            assert same(compile(transform(square))(tree), tree)

    def test_hessian_is_the_identity(self, tree: Any) -> None:
        entries = leaves(hessian(square)(tree))
        count = len(leaves(tree))
        assert len(entries) == count * count
        assert sum(entries) == count
        assert sorted(entries)[-count:] == [1.0] * count

    def test_as_second_and_keyword_argument(self, tree: Any) -> None:
        total = float(square(tree))
        assert same(grad(lambda x, t: x * square(t), (1, 0))(1.0, tree), (tree, total))
        assert grad(lambda x, *, t: x * square(t))(1.0, t=tree) == total


DTYPES = ["f8", "f4", "f2", "i8", "i4", "i1", "u8", "u1", "?", ">f8", ">i2", "O", "g"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_real_dtype_count_as_floats(dtype: str) -> None:
    x = np.array([[1, 0], [1, 1]]).astype(dtype)
    for f in (square, compile(square)):
        slope = grad(f)(x)
        assert same(slope, np.array([[1.0, 0.0], [1.0, 1.0]]))


@pytest.mark.parametrize("shape", [(0,), (3,), (2, 0, 3), (1, 1), (2, 3), (2, 1, 2)])
def test_the_function_sees_an_array_of_objects_of_the_same_shape(shape: tuple[int, ...]) -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append((type(x), x.dtype if x.size else None, x.shape))
        return x.sum() * 1.0

    x = np.ones(shape)
    slope = grad(f)(x) if x.size else grad(lambda z: f(x) * z)(1.0)
    assert seen == [(np.ndarray, np.dtype(object) if x.size else None, shape)]
    if x.size:
        assert same(slope, np.ones(shape))


def test_an_array_of_no_axes_is_a_number() -> None:
    seen = []
    for x in (np.array(3.0), np.array(3)):
        assert same(grad(lambda x: (seen.append(np.ndim(x)), x * x)[1])(x), 6.0)
        assert same(compile(lambda x: x * x)(x), 9.0)
    assert seen == [0, 0]


def test_an_array_of_no_number_beside_others() -> None:
    slopes = grad(lambda x, y: x * (1.0 + y.sum()), (0, 1))(2.0, np.ones((0, 3)))
    assert slopes[0] == 1.0
    assert same(slopes[1], np.ones((0, 3)))


@pytest.mark.parametrize("transform", JACOBIANS)
@pytest.mark.parametrize("of", [(), (3,), (2, 2), (1,), (0,)])
@pytest.mark.parametrize("by", [(), (2,), (2, 3), (1, 1)])
def test_jacobians_between_arrays_have_the_axes_of_both(
    transform: Function, of: tuple[int, ...], by: tuple[int, ...]
) -> None:
    """As JAX's: first those of the result, then those of the argument."""
    count = int(np.prod(of, dtype=int)) * int(np.prod(by, dtype=int))
    weights = np.arange(float(count)).reshape((*of, *by))

    def f(x: Any) -> Any:
        return np.tensordot(weights.astype(object), x, axes=len(by)) + np.zeros(of)

    x = np.linspace(1.0, 2.0, int(np.prod(by, dtype=int))).reshape(by)
    for g in (transform(f), transform(compile(f)), compile(transform(f))):
        found = g(x)
        assert same(found, weights if weights.ndim else float(weights))


@pytest.mark.parametrize("transform", JACOBIANS)
def test_jacobians_of_trees_by_trees(transform: Function) -> None:
    """In the place of each number returned stands the structure of the argument."""

    def f(p: Any) -> Any:
        return {"sum": p.x + p.y[0] * p.y[1], "all": np.array([p.x, 2.0 * p.x, p.y[1]])}

    found = transform(f)(Point(2.0, np.array([3.0, 5.0])))
    expected = {
        "sum": Point(1.0, np.array([5.0, 3.0])),
        "all": Point(np.array([1.0, 2.0, 0.0]), np.array([[0.0, 0], [0, 0], [0, 1]])),
    }
    assert same(found, expected)


def test_hessians_of_trees_are_blocks() -> None:
    found = hessian(lambda p: p["a"] ** 2 * p["b"].sum())({"a": 3.0, "b": np.array([1.0, 2.0])})
    expected = {
        "a": {"a": 6.0, "b": np.array([6.0, 6.0])},
        "b": {"a": np.array([6.0, 6.0]), "b": np.zeros((2, 2))},
    }
    assert same(found, expected)


def test_hessians_by_two_arguments_are_tuples_of_tuples() -> None:
    found = hessian(lambda x, y: x * x * y, (0, 1))(3.0, 5.0)
    assert found == ((10.0, 6.0), (6.0, 0.0))


def test_hessian_of_an_array_has_its_axes_twice() -> None:
    found = hessian(lambda x: (x[0] @ x[1]) ** 1)(np.ones((2, 3)))
    expected = np.zeros((2, 3, 2, 3))
    for k in range(3):
        expected[0, k, 1, k] = expected[1, k, 0, k] = 1.0
    assert same(found, expected)


def test_numpy_functions_work_on_the_array_of_traced_numbers() -> None:
    def f(x: Any) -> Any:
        y = np.concatenate([np.exp(x), np.sin(x[::-1])])
        return np.sum(y.reshape(2, -1) ** 2) + np.dot(x, x) + np.prod(x) + x.mean() + np.max(x)

    x = np.array([0.3, 0.7])
    expected = (
        2 * np.exp(2 * x) + 2 * np.sin(x) * np.cos(x) + 2 * x + x[::-1] + 0.5 + np.array([0.0, 1.0])
    )
    for g in (grad(f), grad(compile(f)), compile(grad(f))):
        assert np.allclose(g(x), expected, rtol=1e-14, atol=0)


def test_ravelled_and_sliced_arrays_give_the_right_slopes() -> None:
    x = np.arange(12.0).reshape(3, 4)
    for view in (x, x.T, x[:, ::2], x[::-1], np.asfortranarray(x)):
        expected = np.cos(view)
        found = grad(lambda x: sum(sin(each) for each in x.ravel()))(view)
        assert np.allclose(found, expected, rtol=1e-14, atol=0)


def test_traced_numbers_in_arrays_and_lists_may_be_mixed_with_plain_ones() -> None:
    def f(x: Any) -> Any:
        return [x, 1.0, np.array([x * x, 2.0])]

    for transform in (jacrev, jacfwd):
        assert same(transform(f)(3.0), [1.0, 0.0, np.array([6.0, 0.0])])


def test_a_copy_of_the_argument_is_changed_not_the_argument() -> None:
    def f(xs: Any) -> Any:
        xs[0] = xs[0] * xs[1]
        xs.append(0.0)
        return xs[0]

    x = [2.0, 3.0]
    assert value_and_grad(f)(x) == (6.0, [3.0, 2.0])
    assert x == [2.0, 3.0]


def test_an_eager_value_is_no_number_of_a_trace() -> None:
    with pytest.raises(TypeError, match="Value"):
        grad(lambda x: x)(Value(2.0))
