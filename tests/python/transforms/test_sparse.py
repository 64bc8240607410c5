"""Sparse Jacobians and Hessians: the dense ones, from as many sweeps as there are colours."""

from __future__ import annotations

import doctest
import gc
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapegrad import (
    _core,
    compile,
    cos,
    custom_jvp,
    custom_vjp,
    detect_anomaly,
    exp,
    grad,
    hessian,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    maximum,
    sin,
    sqrt,
    stop_gradient,
    tanh,
    transforms,
    vjp,
)

np = pytest.importorskip("numpy")
scipy_sparse = pytest.importorskip("scipy.sparse")

Function = Callable[..., Any]
TRANSFORMS = [jacobian, jacfwd, jacrev]


def eager(f: Function) -> Function:
    return f


@pytest.fixture(params=[eager, compile], ids=["eager", "compiled"])
def made(request: pytest.FixtureRequest) -> Function:
    """What a function is made before it is differentiated."""
    make: Function = request.param
    return make


@pytest.fixture
def compressions(monkeypatch: pytest.MonkeyPatch) -> list[_core.Compression]:
    """How each sparse matrix of the test was computed."""
    seen: list[_core.Compression] = []

    def spied(function: Function) -> Function:
        def spy(*args: Any) -> Any:
            numbers, compression = function(*args)
            seen.append(compression)
            return numbers, compression

        return spy

    for name in ("jacobian_entries", "hessian_entries"):
        monkeypatch.setattr(_core, name, spied(getattr(_core, name)))
    return seen


def numbers(n: int) -> list[float]:
    return [0.3 + 0.17 * (k % 7) for k in range(n)]


def banded(x: Sequence[Any]) -> list[Any]:
    return [a * b + sin(b) - exp(c) for a, b, c in zip(x, x[1:], x[2:], strict=False)]


def arrow(x: Sequence[Any]) -> list[Any]:
    return [sum(a * x[0] for a in x), *(x[0] * sin(a) for a in x[1:])]


def dense(x: Sequence[Any]) -> list[Any]:
    total = sum(x)
    return [a * total for a in x]


def with_empty_rows(x: Sequence[Any]) -> list[Any]:
    return [2.0, x[1] * x[1], stop_gradient(x[0]), 1.0 * (x[0] < x[1]), x[3], 0.5]


def wide(x: Sequence[Any]) -> list[Any]:
    return [sum(a * a for a in x), x[0] * x[1]]


def project(camera: Sequence[Any], point: Sequence[Any]) -> list[Any]:
    """A point as a camera of nine numbers sees it: turned, moved, projected, distorted."""
    turned = [
        cos(camera[k]) * point[k] - sin(camera[k]) * point[(k + 1) % 3] + camera[3 + k]
        for k in range(3)
    ]
    u, v = turned[0] / (3.0 + turned[2]), turned[1] / (3.0 + turned[2])
    r2 = u * u + v * v
    scale = camera[6] * (1.0 + camera[7] * r2 + camera[8] * r2 * r2)
    return [scale * u, scale * v]


def bundle(x: Sequence[Any]) -> list[Any]:
    """The sights of ten points, each by two of four cameras."""
    cameras = [x[9 * c : 9 * c + 9] for c in range(4)]
    points = [x[36 + 3 * p : 39 + 3 * p] for p in range(10)]
    return [
        seen
        for p, point in enumerate(points)
        for c in (p % 4, (p + 1 + p // 4) % 4)
        for seen in project(cameras[c], point)
    ]


FUNCTIONS: dict[Function, int] = {
    banded: 30,
    arrow: 12,
    dense: 8,
    with_empty_rows: 5,
    wide: 20,
    bundle: 66,
}


def as_matrix(tree: Any, columns: int) -> Any:
    return np.array(tree, dtype=float).reshape(-1, columns)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("f", FUNCTIONS)
def test_a_sparse_jacobian_is_the_dense_one(
    f: Function, transform: Function, made: Function
) -> None:
    x = numbers(FUNCTIONS[f])
    matrix = transform(made(f), sparse=True)(x)
    assert isinstance(matrix, scipy_sparse.csr_array)
    assert matrix.dtype == float
    np.testing.assert_allclose(matrix.toarray(), as_matrix(jacfwd(f)(x), len(x)), rtol=1e-12)
    assert matrix.has_canonical_format


def chain(x: Sequence[Any]) -> Any:
    """Rosenbrock's function of many."""
    return sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in pairwise(x))


def hub(x: Sequence[Any]) -> Any:
    return sum(a * a * sin(x[0]) for a in x)


def all_with_all(x: Sequence[Any]) -> Any:
    return exp(sum(x) * 0.1) * x[-1]


def linear(x: Sequence[Any]) -> Any:
    return 3.0 * x[0] - x[2]


def squared_residuals(x: Sequence[Any]) -> Any:
    return sum(r * r for r in bundle(x))


SCALARS: dict[Function, int] = {
    chain: 20,
    hub: 15,
    all_with_all: 6,
    linear: 4,
    squared_residuals: 66,
}


@pytest.mark.parametrize("f", SCALARS)
def test_a_sparse_hessian_is_the_dense_one(f: Function, made: Function) -> None:
    x = numbers(SCALARS[f])
    matrix = hessian(made(f), sparse=True)(x)
    assert isinstance(matrix, scipy_sparse.csr_array)
    assert matrix.shape == (len(x), len(x))
    expected = as_matrix(hessian(f)(x), len(x))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(matrix.toarray(), expected, rtol=1e-10, atol=1e-12 * scale)


def test_what_is_stored_is_what_may_differ_from_zero(made: Function) -> None:
    matrix = jacobian(made(lambda x: [x[0] * x[2], 1.0, x[1] - x[1]]), sparse=True)([1.0, 2.0, 3.0])
    assert matrix.indptr.tolist() == [0, 2, 2, 3]
    assert matrix.indices.tolist() == [0, 2, 1]
    assert matrix.data.tolist() == [3.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("f", "n", "sweeps", "forward"),
    [
        (banded, 50, 3, True),
        (bundle, 66, 12, True),
        (dense, 8, 8, True),
        (wide, 20, 2, False),
        (lambda x: [a * a for a in x], 40, 1, True),
        (lambda x: sum(a * a for a in x), 40, 1, False),
        (lambda x: [1.0, 2.0], 3, 0, True),
    ],
)
def test_there_is_a_sweep_for_each_color(
    f: Function, n: int, sweeps: int, forward: bool, compressions: list[_core.Compression]
) -> None:
    matrix = jacobian(f, sparse=True)(numbers(n))
    [found] = compressions
    assert (found.sweeps, found.forward) == (sweeps, forward)
    assert found.shape == matrix.shape


@pytest.mark.parametrize(
    ("f", "n", "sweeps"), [(chain, 50, 3), (hub, 50, 2), (all_with_all, 6, 6), (linear, 4, 0)]
)
def test_a_hessian_takes_a_sweep_for_each_star_color(
    f: Function, n: int, sweeps: int, compressions: list[_core.Compression]
) -> None:
    hessian(f, sparse=True)(numbers(n))
    assert [found.sweeps for found in compressions] == [sweeps]


def test_jacfwd_colors_columns_and_jacrev_rows(compressions: list[_core.Compression]) -> None:
    for transform in (jacfwd, jacrev):
        transform(wide, sparse=True)(numbers(20))
    assert [(found.forward, found.sweeps) for found in compressions] == [(True, 20), (False, 2)]


def test_sweeps_do_not_grow_with_a_band() -> None:
    """Each rule is pushed in the one direction of its operand."""
    directions = []

    @custom_jvp
    def cubed(x: Any) -> Any:
        return x**3

    @cubed.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        directions.append(tangents[0])
        return primals[0] ** 3, 3.0 * primals[0] ** 2 * tangents[0]

    def f(x: Sequence[Any]) -> list[Any]:
        y = [cubed(a) for a in x]
        return [a + b for a, b in pairwise(y)]

    matrix = jacfwd(f, sparse=True)([1.0, 2.0, 3.0, 4.0])
    assert len(directions) == 4
    assert matrix.toarray().tolist() == [[3, 12, 0, 0], [0, 12, 27, 0], [0, 0, 27, 48]]


# Functions of random programs: (operation, operands), each result an operand of the next ones.
OPERATIONS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b,
    lambda a, b: a - 0.5 * b,
    lambda a, b: a * b,
    lambda a, b: sin(a),
    lambda a, b: tanh(a) * 0.25,
    lambda a, b: maximum(a, b),
    lambda a, b: a if a < b else b * b,
    lambda a, b: 1.5,
    lambda a, b: stop_gradient(a) * b,
]
PLACES = st.integers(0, 10**6)
PROGRAMS = st.lists(st.tuples(st.sampled_from(OPERATIONS), PLACES, PLACES), max_size=25)
INPUTS = st.lists(st.floats(-2.0, 2.0, allow_subnormal=False), min_size=1, max_size=8)


def run(program: Any, x: Sequence[Any]) -> list[Any]:
    found = list(x)
    for operation, i, j in program:
        found.append(operation(found[i % len(found)], found[j % len(found)]))
    return found


@given(PROGRAMS, INPUTS, st.lists(PLACES, max_size=10), st.sampled_from(TRANSFORMS))
def test_random_functions_have_the_jacobian_of_dense_sweeps(
    program: Any, x: list[float], places: list[int], transform: Function
) -> None:
    def f(x: Sequence[Any]) -> list[Any]:
        found = run(program, x)
        return [found[k % len(found)] for k in places]

    expected = as_matrix(jacfwd(f)(x), len(x))
    for make in (eager, compile):
        found = transform(make(f), sparse=True)(x)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.toarray(), expected, rtol=1e-9, atol=1e-9)


@given(PROGRAMS, INPUTS)
def test_random_functions_have_the_hessian_of_dense_sweeps(program: Any, x: list[float]) -> None:
    def f(x: Sequence[Any]) -> Any:
        found = run(program, x)
        return sum(tanh(a * found[-1]) for a in found)

    expected = as_matrix(hessian(f)(x), len(x))
    for make in (eager, compile):
        found = hessian(make(f), sparse=True)(x)
        np.testing.assert_allclose(found.toarray(), expected, rtol=1e-9, atol=1e-9)


def test_trees_are_flattened_in_their_order(made: Function) -> None:
    def f(p: Any, scale: Any) -> Any:
        return {"y": (p["w"][0] * scale, p["b"]), "z": p["w"] * p["b"]}

    p = {"w": np.array([2.0, 3.0]), "b": 5.0}
    matrix = jacobian(made(f), sparse=True)(p, 10.0)
    assert matrix.toarray().tolist() == [[10, 0, 0], [0, 0, 1], [5, 0, 2], [0, 5, 3]]
    matrix = jacobian(made(f), argnums=(1, 0), sparse=True)(p, 10.0)
    assert matrix.toarray().tolist() == [
        [2, 10, 0, 0],
        [0, 0, 0, 1],
        [0, 5, 0, 2],
        [0, 0, 5, 3],
    ]


def test_numbers_are_matrices_of_one_row_or_column(made: Function) -> None:
    assert jacobian(made(lambda x: x * x), sparse=True)(3).toarray().tolist() == [[6.0]]
    assert jacobian(made(lambda x: [x, x * x]), sparse=True)(3.0).shape == (2, 1)
    assert jacobian(made(lambda x: x[0] * x[1]), sparse=True)([3.0, 4.0]).shape == (1, 2)
    assert hessian(made(lambda x: x**3), sparse=True)(2.0).toarray().tolist() == [[12.0]]


def test_a_function_of_an_array_sees_an_array(made: Function) -> None:
    x = np.linspace(0.1, 1.0, 6).reshape(2, 3)
    matrix = jacobian(made(lambda x: np.sin(x) * x[0]), sparse=True)(x)
    np.testing.assert_allclose(
        matrix.toarray(), jacobian(lambda x: np.sin(x) * x[0])(x).reshape(6, 6), rtol=1e-13
    )
    assert matrix.nnz == 9


def test_a_function_that_returns_nothing_has_no_rows(made: Function) -> None:
    assert jacobian(made(lambda x: []), sparse=True)([1.0, 2.0]).shape == (0, 2)


def test_aux_is_passed_on(made: Function) -> None:
    matrix, aux = jacobian(
        made(lambda x: ([x[0] * x[1]], {"sum": x[0] + x[1]})), 0, True, sparse=True
    )([2.0, 3.0])
    assert matrix.toarray().tolist() == [[3.0, 2.0]]
    assert aux == {"sum": 5.0}
    assert type(aux["sum"]) is float
    matrix, aux = hessian(made(lambda x: (x[0] ** 2, x)), has_aux=True, sparse=True)([2.0, 3.0])
    assert matrix.toarray().tolist() == [[2, 0], [0, 0]]
    assert aux == [2.0, 3.0]


def test_keyword_arguments_are_passed_on(made: Function) -> None:
    matrix = jacobian(made(lambda x, scale: [x[0] * scale]), sparse=True)([1.0], scale=3.0)
    assert matrix.toarray().tolist() == [[3.0]]


def test_each_path_of_a_compiled_function_has_its_pattern() -> None:
    @compile
    def f(x: Sequence[Any]) -> list[Any]:
        return [x[0] * x[1]] if x[0] > 0 else [x[1], x[0], 1.0]

    derivative = jacobian(f, sparse=True)
    for _ in range(2):
        assert derivative([2.0, 3.0]).toarray().tolist() == [[3.0, 2.0]]
        assert derivative([-2.0, 3.0]).toarray().tolist() == [[0, 1], [1, 0], [0, 0]]
    assert len(derivative.programs) == 2
    assert derivative([1.0, 1.0, 1.0]).shape == (1, 3)


def test_a_compiled_function_is_recorded_once_and_computes_what_is_stored() -> None:
    runs = []

    @compile
    def f(x: Sequence[Any]) -> list[Any]:
        runs.append(len(x))
        return [sin(a) for a in x]

    derivative = jacobian(f, sparse=True)
    for k in range(5):
        x = [0.1 * k + 0.01 * j for j in range(100)]
        np.testing.assert_allclose(derivative(x).diagonal(), np.cos(x), rtol=1e-15)
    assert runs == [100]
    [program] = derivative.programs
    assert program.counts == {"cos": 100}


def test_a_matrix_can_be_changed_in_place(made: Function) -> None:
    derivative = jacobian(made(lambda x: [x[0] * x[1], x[1] * x[1]]), sparse=True)
    matrix = derivative([0.0, 0.0])
    assert matrix.nnz == 3
    matrix.eliminate_zeros()
    matrix.indices[:] = 7
    assert derivative([2.0, 3.0]).toarray().tolist() == [[3.0, 2.0], [0.0, 6.0]]


def test_a_derivative_that_is_not_finite_stays_alone(made: Function) -> None:
    matrix = jacfwd(made(lambda x: [x[0] * 2.0, sqrt(x[1]), x[2] / x[1]]), sparse=True)(
        [1.0, 0.0, 1.0]
    )
    assert matrix.toarray().tolist() == [
        [2.0, 0.0, 0.0],
        [0.0, float("inf"), 0.0],
        [0.0, -float("inf"), float("inf")],
    ]


def test_a_hessian_through_a_rule_need_not_be_symmetric(made: Function) -> None:
    @custom_jvp
    def product(x: Any, y: Any) -> Any:
        return x * y

    product.defjvps(lambda t, z, x, y: t * y, lambda t, z, x, y: t * x * 2.0)

    def f(x: Sequence[Any]) -> Any:
        return product(x[0], x[1]) + x[2] ** 2

    matrix = hessian(made(f), sparse=True)([2.0, 3.0, 4.0])
    assert matrix.toarray().tolist() == hessian(f)([2.0, 3.0, 4.0])
    assert matrix.toarray().tolist() == [[0, 1, 0], [2, 0, 0], [0, 0, 2]]


def test_a_backward_rule_gives_rows(made: Function) -> None:
    @custom_vjp
    def clipped(x: Any) -> Any:
        return x

    clipped.defvjp(lambda x: (x, None), lambda _, g: (0.5 * g,))
    matrix = jacrev(made(lambda x: [clipped(x[0]) * x[1], x[1]]), sparse=True)([2.0, 3.0])
    assert matrix.toarray().tolist() == [[1.5, 2.0], [0.0, 1.0]]


def test_other_transforms_may_be_inside(made: Function) -> None:
    cubes = grad(lambda x: sum(a**4 for a in x))
    matrix = jacobian(made(cubes), sparse=True)([1.0, 2.0])
    assert matrix.toarray().tolist() == [[12.0, 0.0], [0.0, 48.0]]


INSIDE = {
    "grad": lambda inner: grad(lambda x: inner([x, x])[0, 0])(1.0),
    "jacobian": lambda inner: jacobian(lambda x: inner(x))([1.0, 2.0]),
    "sparse": lambda inner: jacobian(inner, sparse=True)([1.0, 2.0]),
    "jvp": lambda inner: jvp(inner, ([1.0, 2.0],), ([1.0, 0.0],)),
    "vjp": lambda inner: vjp(inner, [1.0, 2.0]),
    "compile": lambda inner: compile(lambda x: inner(x))([1.0, 2.0]),
}


@pytest.mark.parametrize("outer", INSIDE.values(), ids=INSIDE)
@pytest.mark.parametrize("transform", [jacobian, jacrev, jacfwd, hessian])
def test_inside_another_trace_it_is_a_type_error(
    outer: Function, transform: Function, made: Function
) -> None:
    f = made((lambda x: x[0] * x[1]) if transform is hessian else (lambda x: [x[0] * x[1], x[1]]))
    inner = transform(f, sparse=True)
    with pytest.raises(TypeError, match=r"sparse=True inside .* holds no traced numbers"):
        outer(inner)
    assert inner([2.0, 3.0]).shape[1] == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda made: jacobian(3, sparse=True), "for functions, not 'int'"),
        (lambda made: jacobian(made(lambda x: None), sparse=True)(1.0), "NoneType"),
        (lambda made: jacobian(made(lambda x: ["a"]), sparse=True)(1.0), "'str'"),
        (lambda made: jacobian(made(lambda x: x), sparse=True)("a"), "'str'"),
        (lambda made: jacobian(made(lambda x: x), sparse=True)([]), "no number"),
        (lambda made: jacobian(made(lambda x: x), 1, sparse=True)(1.0), "argnums has 1"),
        (lambda made: hessian(made(lambda x: [x]), sparse=True)(1.0), "return one number"),
        (lambda made: jacobian(made(lambda x: x), has_aux=True, sparse=True)(1.0), "a pair"),
    ],
)
def test_bad_calls_are_type_errors(call: Function, message: str, made: Function) -> None:
    with pytest.raises(TypeError, match=message):
        call(made)
    assert _core.Recording.current() is None


def test_an_exception_comes_out_as_it_was(made: Function) -> None:
    def f(x: Sequence[Any]) -> Any:
        return x[5]

    with pytest.raises(IndexError):
        jacobian(made(f), sparse=True)([1.0])
    assert _core.Recording.current() is None


def test_aux_that_is_no_number_is_not_compiled() -> None:
    with pytest.raises(TypeError, match="returned besides"):
        jacobian(compile(lambda x: (x, "text")), has_aux=True, sparse=True)(1.0)


@pytest.mark.parametrize("transform", [jacobian, jacrev, jacfwd, hessian])
def test_without_scipy_it_says_what_to_install(
    transform: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(
        ImportError, match=rf"{transform.__name__}.*pip install 'tapegrad\[sparse\]'"
    ):
        transform(lambda x: x, sparse=True)
    assert transform(lambda x: x * x)(3.0) in (6.0, 2.0)


def test_scipy_is_imported_when_it_is_used() -> None:
    program = (
        "import sys, tapegrad; tapegrad.jacobian(lambda x: x)(1.0);"
        "print('scipy' in sys.modules or 'numpy' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"


def test_a_function_that_records_again_and_again_is_told_where_it_was_called() -> None:
    derivative = jacobian(
        compile(lambda x: [x[0] if x[0] > 0 and int(x[1]) else x[1]]), sparse=True
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(40):
            derivative([1.0, float(k)])
    assert {warning.filename for warning in caught} == {__file__}


def test_backward_sweeps_look_for_anomalies() -> None:
    f = jacrev(lambda x: [sqrt(x[0]), x[1]], sparse=True)
    assert f([0.0, 1.0])[0, 0] == float("inf")
    with detect_anomaly(), pytest.raises(FloatingPointError, match="became inf"):
        f([0.0, 1.0])


def test_entries_of_what_is_not_recorded_are_refused() -> None:
    with pytest.raises(RuntimeError, match="no recording is open"):
        _core.jacobian_entries([1.0], [1.0], False)
    recording = _core.Recording()
    try:
        [x] = recording.inputs([2.0])
        for bad in ([1.0], ["a"], [None]):
            with pytest.raises(ValueError, match="not a traced number"):
                _core.jacobian_entries(bad, [x], False)
        with pytest.raises(ValueError, match="not a traced number"):
            _core.jacobian_entries([x], ["a"], False)
        with pytest.raises(ValueError, match="a number for each input"):
            _core.hessian_entries([x], [x, x], False)
        numbers, compression = _core.jacobian_entries([x], [x * x, 3.0], False)
        assert numbers == [4.0]
        assert compression.shape == (2, 1)
    finally:
        recording.close()


def test_patterns_go_with_their_functions() -> None:
    f = compile(lambda x: [x[0] * x[1]])
    derivative = jacobian(f, sparse=True)
    derivative([1.0, 2.0])
    gone = weakref.ref(derivative)
    del f, derivative
    gc.collect()
    assert gone() is None


def test_the_examples_of_the_docstrings_run() -> None:
    for transform in (jacobian, jacrev, jacfwd, hessian):
        [test] = doctest.DocTestFinder().find(transform, globs=dict(vars(transforms)))
        assert test.examples
        assert doctest.DocTestRunner().run(test).failed == 0
