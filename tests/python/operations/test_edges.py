"""At kinks, edges, infinities and NaN, values and derivatives are PyTorch's.

data/torch_edges.json holds them; make_torch_reference.py wrote it, and with torch installed
`pytest -m torch` computes them anew.
"""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest

import tapegrad
from support import make_torch_reference
from support.operations import OPERATIONS, OPERATORS, evaluate, operation
from tapegrad import Value

INF = math.inf
NAN = math.nan
LARGEST = 1.7976931348623157e308

Results = tuple[float, list[float]]

STORED = json.loads(make_torch_reference.REFERENCE_FILE.read_text())
CASES = [(case["op"], tuple(case["args"])) for case in STORED["cases"]]
TORCH = {
    (case["op"], repr(case["args"])): (case["value"], case["grads"]) for case in STORED["cases"]
}

# Operations that PyTorch does not have; their edges have tests of their own below.
NOT_IN_TORCH = {"cbrt", "log1mexp"}

every_case = pytest.mark.parametrize(
    ("name", "point"),
    CASES,
    ids=[f"{name}-{','.join(map(repr, point))}" for name, point in CASES],
)


def stored(name: str, point: tuple[float, ...]) -> Results:
    return TORCH[name, repr(list(point))]


def computed(name: str, point: tuple[float, ...]) -> Results:
    if name == "clip":  # of which the file has derivatives by x alone
        return evaluate(tapegrad.clip, [Value(point[0]), *point[1:]])
    if name == "leaky_relu":
        return evaluate(tapegrad.leaky_relu, [Value(point[0])])
    return operation(name).evaluate(point)


def is_same(one: float, other: float) -> bool:
    """Whether they are one number; 0.0 is -0.0, and below 1e-300 is 0."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=1e-13, abs_tol=1e-300)


def are_same(one: Results, other: Results) -> bool:
    pairs = zip([one[0], *one[1]], [other[0], *other[1]], strict=True)
    return all(is_same(a, b) for a, b in pairs)


@every_case
def test_value_and_derivatives_are_pytorchs(name: str, point: tuple[float, ...]) -> None:
    result, expected = computed(name, point), stored(name, point)
    assert are_same(result, expected), f"{result}, in {STORED['source']} {expected}"


def test_every_operation_has_edges_from_pytorch() -> None:
    missing = {one.name for one in OPERATIONS} - {name for name, _ in CASES} - NOT_IN_TORCH
    assert not missing, f"add points for {missing} to make_torch_reference.py and run it"


@pytest.mark.torch
def test_pytorch_still_gives_the_stored_values() -> None:
    pytest.importorskip("torch")
    assert repr(make_torch_reference.edge_cases()) == repr(CASES), "run make_torch_reference.py"
    for name, point in CASES:
        recomputed = make_torch_reference.torch_reference(name, point)
        assert are_same(recomputed, stored(name, point)), f"{name} at {point} is {recomputed}"


# What the contract names, spelled out.
CONTRACT: dict[str, tuple[str, tuple[float, ...], float, list[float]]] = {
    "relu at 0": ("relu", (0.0,), 0.0, [0.0]),
    "relu at -0": ("relu", (-0.0,), 0.0, [0.0]),
    "abs at 0": ("abs", (0.0,), 0.0, [0.0]),
    "leaky_relu at 0": ("leaky_relu", (0.0,), 0.0, [0.01]),
    "maximum at a tie": ("maximum", (2.0, 2.0), 2.0, [0.5, 0.5]),
    "minimum at a tie": ("minimum", (2.0, 2.0), 2.0, [0.5, 0.5]),
    "clip at the lower bound": ("clip", (-1.0, -1.0, 1.0), -1.0, [1.0]),
    "clip at the upper bound": ("clip", (1.0, -1.0, 1.0), 1.0, [1.0]),
    "0 ** 0": ("pow", (0.0, 0.0), 1.0, [0.0, 0.0]),
    "0 ** constant 0": ("pow_const", (0.0, 0.0), 1.0, [0.0]),
    "x ** 0": ("pow", (2.0, 0.0), 1.0, [0.0, math.log(2.0)]),
    "x ** constant 0": ("pow_const", (2.0, 0.0), 1.0, [0.0]),
    "inf ** constant 0": ("pow_const", (INF, 0.0), 1.0, [0.0]),
    "nan ** constant 0": ("pow_const", (NAN, 0.0), 1.0, [0.0]),
    "0 ** 2": ("pow", (0.0, 2.0), 0.0, [0.0, 0.0]),
    "0 ** 0.5": ("pow", (0.0, 0.5), 0.0, [INF, 0.0]),
    "0 ** -1": ("pow", (0.0, -1.0), INF, [-INF, -INF]),
    "a negative base": ("pow", (-2.0, 3.0), -8.0, [12.0, NAN]),
    "a negative base, constant exponent": ("pow_const", (-2.0, 3.0), -8.0, [12.0]),
    "a root of a negative base": ("pow", (-2.0, 0.5), NAN, [NAN, NAN]),
    "a constant root of a negative base": ("pow_const", (-2.0, 0.5), NAN, [NAN]),
    "sqrt at 0": ("sqrt", (0.0,), 0.0, [INF]),
    "sqrt of a negative number": ("sqrt", (-1.0,), NAN, [NAN]),
    "log at 0": ("log", (0.0,), -INF, [INF]),
    "1 / 0": ("div", (1.0, 0.0), INF, [INF, -INF]),
    "1 / -0": ("div", (1.0, -0.0), -INF, [-INF, -INF]),
    "atan2 at the origin": ("atan2", (0.0, 0.0), 0.0, [0.0, 0.0]),
    "hypot at the origin": ("hypot", (0.0, 0.0), 0.0, [NAN, NAN]),
}


@pytest.mark.parametrize("what", CONTRACT)
def test_the_contract_at_kinks_and_edges(what: str) -> None:
    name, point, value, derivatives = CONTRACT[what]
    assert are_same(computed(name, point), (value, derivatives)), computed(name, point)
    assert are_same(stored(name, point), (value, derivatives)), "PyTorch has other values"


binary_cases = [
    (name, point) for name, point in CASES if operation(name).arity == 2 and len(point) == 2
]


@pytest.mark.parametrize("name", sorted({name for name, _ in binary_cases}))
def test_a_plain_number_on_either_side_changes_nothing_at_edges(name: str) -> None:
    for _, (x, y) in (case for case in binary_cases if case[0] == name):
        form = OPERATORS.get(name, getattr(tapegrad, name))
        value, derivatives = stored(name, (x, y))
        right = evaluate(form, [x, Value(y)])
        assert are_same(right, (value, derivatives[1:])), f"{name}({x}, Value({y})) is {right}"
        left = evaluate(form, [Value(x), y])
        # A power of a plain exponent has cases of its own, those of pow_const.
        expected = stored("pow_const", (x, y)) if name == "pow" else (value, derivatives[:1])
        assert are_same(left, expected), f"{name}(Value({x}), {y}) is {left}"


@pytest.mark.parametrize(("base", "exponent"), [point for name, point in CASES if name == "pow"])
def test_a_number_to_the_power_of_a_value_has_pows_second_derivative(
    base: float, exponent: float
) -> None:
    value, derivatives = operation("pow").evaluate((base, exponent))
    for form in (lambda y: base**y, lambda y: tapegrad.pow(base, y), Value(base).pow):
        assert are_same(evaluate(form, [Value(exponent)]), (value, derivatives[1:]))


STABLE = (
    "tanh",
    "sigmoid",
    "softplus",
    "silu",
    "gelu",
    "relu",
    "leaky_relu",
    "atan",
    "asinh",
    "erf",
)
FAR = (20.0, 36.8, 88.8, 709.8, 745.2, 1e4, 1e155, LARGEST)


@pytest.mark.parametrize("name", STABLE)
@pytest.mark.parametrize("x", [sign * x for x in FAR for sign in (1, -1)])
def test_stable_functions_never_overflow(name: str, x: float) -> None:
    value, derivatives = computed(name, (x,))
    assert math.isfinite(value)
    assert abs(value) <= abs(x) + 1.0
    assert all(-0.2 <= derivative <= 1.2 for derivative in derivatives)


@pytest.mark.parametrize("scale", [1e-308, 1e-200, 1e200, 1e307])
def test_hypot_overflows_and_underflows_only_where_its_result_does(scale: float) -> None:
    value, derivatives = computed("hypot", (3 * scale, 4 * scale))
    assert value == pytest.approx(5 * scale, rel=1e-15, abs=0.0)
    assert derivatives == pytest.approx([0.6, 0.8], rel=1e-15)


@pytest.mark.parametrize(
    ("x", "value", "derivative"),
    [(0.0, 0.0, INF), (-0.0, -0.0, INF), (INF, INF, 0.0), (-INF, -INF, 0.0), (NAN, NAN, NAN)],
)
def test_the_cube_root_goes_through_zero_with_an_infinite_slope(
    x: float, value: float, derivative: float
) -> None:
    assert are_same(computed("cbrt", (x,)), (value, [derivative]))
    assert math.copysign(1, Value(x).cbrt().data) == math.copysign(1, value)


@pytest.mark.parametrize(
    ("x", "value", "derivative"),
    [(0.0, -INF, INF), (5e-324, math.log(5e-324), INF), (INF, 0.0, 0.0), (NAN, NAN, NAN)],
)
def test_the_edges_of_log1mexp(x: float, value: float, derivative: float) -> None:
    assert are_same(computed("log1mexp", (x,)), (value, [derivative]))


# x, low, high: bounds in order, at a tie, and crossed. As torch.clamp with tensors for bounds.
BOUNDS: list[tuple[tuple[float, float, float], list[float]]] = [
    ((0.0, -1.0, 1.0), [1.0, 0.0, 0.0]),
    ((-1.0, -1.0, 1.0), [1.0, 0.0, 0.0]),
    ((1.0, -1.0, 1.0), [1.0, 0.0, 0.0]),
    ((-2.0, -1.0, 1.0), [0.0, 1.0, 0.0]),
    ((2.0, -1.0, 1.0), [0.0, 0.0, 1.0]),
    ((0.0, 1.0, -1.0), [0.0, 0.0, 1.0]),
]


@pytest.mark.parametrize(("point", "derivatives"), BOUNDS)
def test_a_bound_that_holds_x_takes_its_gradient(
    point: tuple[float, float, float], derivatives: list[float]
) -> None:
    assert operation("clip").evaluate(point)[1] == derivatives


@pytest.mark.torch
def test_clip_gives_its_bounds_the_gradients_that_torch_clamp_does() -> None:
    torch: Any = pytest.importorskip("torch")
    for point in itertools.product((-2.0, -1.0, 0.0, 1.0, 2.0), (-1.0, 0.0), (0.0, 1.0, -2.0)):
        inputs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in point]
        value = torch.clamp(*inputs)
        gradients = [gradient.item() for gradient in torch.autograd.grad(value, inputs)]
        assert operation("clip").evaluate(point) == (value.item(), gradients)


@pytest.mark.parametrize("one", OPERATIONS, ids=str)
def test_nothing_raises_at_any_combination_of_special_numbers(one: Any) -> None:
    special = (0.0, -0.0, 1.0, INF, -INF, NAN, LARGEST, -LARGEST, 5e-324)
    count = len(one.parameters) if one.arity is not None else 2
    for point in itertools.product(special, repeat=count):
        value, derivatives = one.evaluate(point)
        assert isinstance(value, float)
        assert len(derivatives) == count - one.constant_last
