"""Layers and losses in both tails and at infinities, beside mpmath: value, gradient, Hessian.

Of Values, of traced numbers in both modes, and compiled on other numbers than it is called with.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpmath import mpf

import tapegrad
from tapegrad import Value, compile, hessian, jacfwd, jacrev

INF, NAN = math.inf, math.nan
EPSILON = sys.float_info.epsilon
SUBNORMAL = 5e-324

Vector = list[Any]
Matrix = list[Vector]
seriously = settings(max_examples=40)


def digits(x: list[float]) -> int:
    """Enough of them that 1 + exp(-x) and 1 + exp(-2 x) differ from 1 wherever a double does."""
    return 60 + round(2.0 * min(800.0, max(map(abs, x))))


def kronecker(i: int, j: int) -> int:
    return int(i == j)


@dataclass(frozen=True)
class Truth:
    """The values of all results, their gradients and their Hessians."""

    value: Vector
    gradient: Matrix
    hessian: list[Matrix]


def shares(x: Vector) -> tuple[Any, Vector]:
    """The logarithm of the sum of the exponentials, and softmax."""
    top = max(x)
    powers = [mpmath.exp(item - top) for item in x]
    total = mpmath.fsum(powers)
    return top + mpmath.log(total), [power / total for power in powers]


def covariance(p: Vector) -> Matrix:
    n = range(len(p))
    return [[p[i] * (kronecker(i, j) - p[j]) for j in n] for i in n]


def true_logsumexp(x: Vector) -> Truth:
    total, p = shares(x)
    return Truth([total], [p], [covariance(p)])


def true_log_softmax(x: Vector) -> Truth:
    total, p = shares(x)
    n = range(len(x))
    bend = [[-c for c in row] for row in covariance(p)]
    gradient = [[kronecker(k, j) - p[j] for j in n] for k in n]
    return Truth([item - total for item in x], gradient, [bend for _ in n])


def true_softmax(x: Vector) -> Truth:
    _, p = shares(x)
    n = range(len(x))
    c = covariance(p)
    hessians = [
        [
            [p[k] * ((kronecker(k, i) - p[i]) * (kronecker(k, j) - p[j]) - c[i][j]) for j in n]
            for i in n
        ]
        for k in n
    ]
    return Truth(p, c, hessians)


def true_cross_entropy(target: int) -> Callable[[Vector], Truth]:
    def truth(x: Vector) -> Truth:
        total, p = shares(x)
        gradient = [p[j] - kronecker(target, j) for j in range(len(x))]
        return Truth([total - x[target]], [gradient], [covariance(p)])

    return truth


def true_soft_cross_entropy(x: Vector) -> Truth:
    """Of as many logits and then probabilities."""
    half = len(x) // 2
    logits, targets = x[:half], x[half:]
    total, p = shares(logits)
    weight = mpmath.fsum(targets)
    logs = [item - total for item in logits]
    value = -mpmath.fsum(t * log for t, log in zip(targets, logs, strict=True))
    gradient = [weight * p[j] - targets[j] for j in range(half)] + [-log for log in logs]
    bend = [[weight * c for c in row] for row in covariance(p)]
    mixed = [[p[j] - kronecker(j, k) for k in range(half)] for j in range(half)]
    upper = [bend[j] + mixed[j] for j in range(half)]
    lower = [[mixed[j][k] for j in range(half)] + [mpf(0)] * half for k in range(half)]
    return Truth([value], [gradient], [upper + lower])


def true_binary(x: Vector) -> Truth:
    logit, target = x
    p = 1 / (1 + mpmath.exp(-logit))
    value = mpmath.log(1 + mpmath.exp(logit)) - target * logit
    return Truth([value], [[p - target, -logit]], [[[p * (1 - p), -1], [-1, mpf(0)]]])


def true_rmsnorm(eps: float) -> Callable[[Vector], Truth]:
    def truth(x: Vector) -> Truth:
        n, each = len(x), range(len(x))
        r = 1 / mpmath.sqrt(mpmath.fsum(item * item for item in x) / n + mpf(eps))
        gradient = [[kronecker(k, j) * r - x[k] * x[j] * r**3 / n for j in each] for k in each]

        def bend(k: int, i: int, j: int) -> Any:
            pairs = kronecker(k, j) * x[i] + kronecker(k, i) * x[j] + kronecker(i, j) * x[k]
            return -pairs * r**3 / n + 3 * x[k] * x[j] * x[i] * r**5 / n**2

        hessians = [[[bend(k, i, j) for j in each] for i in each] for k in each]
        return Truth([item * r for item in x], gradient, hessians)

    return truth


def true_layernorm(eps: float) -> Callable[[Vector], Truth]:
    def truth(x: Vector) -> Truth:
        n, each = len(x), range(len(x))
        mean = mpmath.fsum(x) / n
        inner = true_rmsnorm(eps)([item - mean for item in x])

        def centred(row: Vector) -> Vector:
            total = mpmath.fsum(row) / n
            return [item - total for item in row]

        def both(matrix: Matrix) -> Matrix:
            rows = [centred(row) for row in matrix]
            columns = [centred([rows[i][j] for i in each]) for j in each]
            return [[columns[j][i] for j in each] for i in each]

        return Truth(
            inner.value, [centred(row) for row in inner.gradient], [both(h) for h in inner.hessian]
        )

    return truth


def true_mse(x: Vector) -> Truth:
    p, t = x
    return Truth([(p - t) ** 2], [[2 * (p - t), 2 * (t - p)]], [[[2, -2], [-2, 2]]])


# A function of one list that gives a list, and the truth about it.
Case = tuple[Callable[[Any], Any], Callable[[Vector], Truth]]


def binary(x: Any) -> Any:
    return [tapegrad.binary_cross_entropy_with_logits([x[0]], [x[1]])]


def soft_cross_entropy(x: Any) -> Any:
    half = len(x) // 2
    return [tapegrad.cross_entropy(x[:half], x[half:])]


def binary_of(target: float) -> Case:
    """By the logit alone, the target being a plain number."""

    def truth(x: Vector) -> Truth:
        all_of = true_binary([x[0], mpf(target)])
        return Truth(all_of.value, [all_of.gradient[0][:1]], [[[all_of.hessian[0][0][0]]]])

    return (lambda x: [tapegrad.binary_cross_entropy_with_logits(x, [target])]), truth


LOGITS: dict[str, Case] = {
    "softmax": (tapegrad.softmax, true_softmax),
    "log_softmax": (tapegrad.log_softmax, true_log_softmax),
    "logsumexp": (lambda x: [tapegrad.logsumexp(x)], true_logsumexp),
    "surprisal": (lambda x: [tapegrad.surprisal(x)], true_cross_entropy(0)),
    "cross_entropy": (
        lambda x: [tapegrad.cross_entropy(x, len(x) - 1)],
        lambda x: true_cross_entropy(len(x) - 1)(x),
    ),
}
ROWS = (
    *([40.0, 0.0], [0.0, 40.0], [800.0, 0.0], [0.0, 700.0], [30.0, -10.0, 29.0], [5.0, 5.0]),
    *([0.0, -1e-300], [1e-12, 0.0], [1e10, 1e10 - 20.0, 0.0], [1e17, 1e17], [1e300, -1e300, 0.0]),
    *([-745.0, -745.0, -740.0], [0.0, 36.0, 36.0, -2.0], [3.0, 3.0, -600.0], [7.0]),
)
BINARY_POINTS = tuple(
    [x, t]
    for x in (0.0, -0.0, 1e-300, 30.0, -30.0, 40.0, -40.0, 700.0, -700.0, 1e10, -1e300, 2.5)
    for t in (0.0, 1.0, 0.25)
)


def forms(f: Callable[[Any], Any], x: list[float]) -> dict[str, tuple[list[float], Any]]:
    """The values and the Jacobian, as each kind of number gives them."""
    values, rows = [], []
    for k in range(len(f(x))):
        inputs = [Value(item) for item in x]
        result = f(inputs)[k]
        values.append(result.data)
        result.backward()
        rows.append([v.grad for v in inputs])
    elsewhere = [0.25 * (k + 1) for k in range(len(x))]
    compiled, slopes = compile(f), compile(jacrev(f))
    compiled(elsewhere), slopes(elsewhere)
    return {
        "plain": (f(x), jacrev(f)(x)),
        "forward": (f(x), jacfwd(f)(x)),
        "Values": (values, rows),
        "compiled": (compiled(x), slopes(x)),
    }


def flat(nested: Any) -> Vector:
    if isinstance(nested, (list, tuple)):
        return [item for inner in nested for item in flat(inner)]
    return [nested]


def slack(truth: Callable[[Vector], Any], x: list[float]) -> Vector:
    """How far the truth moves when each number moves by four roundings."""
    at = flat(truth([mpf(item) for item in x]))
    total = [mpf(0)] * len(at)
    for k in range(len(x)):
        moved = [mpf(item) for item in x]
        moved[k] *= 1 + 4 * mpf(EPSILON)
        for i, item in enumerate(flat(truth(moved))):
            total[i] += abs(item - at[i])
    return total


def assert_near(got: Any, want: Any, more: Vector, scale: float, what: str, terms: int = 1) -> None:
    """Each entry within the bound; a sum may round each of its terms to a subnormal."""
    ones, others = flat(got), flat(want)
    assert len(ones) == len(others)
    largest = max((abs(item) for item in others), default=mpf(0))
    for k, (one, other) in enumerate(zip(ones, others, strict=True)):
        allowed = mpf("1e-9") * abs(other) + more[k] + terms * SUBNORMAL + scale * largest
        if abs(other) > sys.float_info.max:
            assert one == math.copysign(INF, other), f"{what}[{k}] is {one!r}"
            continue
        near = math.isfinite(one) and abs(mpf(one) - other) <= allowed
        assert near, f"{what}[{k}] is {one!r} and should be {mpmath.nstr(other, 17)}"


def check(case: Case, x: list[float], scale: float = 0.0, noise: float = 0.0) -> None:
    """Value, gradient and Hessian in all forms.

    `scale` times the largest entry is no error, nor is `noise` times the value in a Hessian.
    """
    f, truth = case
    with mpmath.workdps(digits(x)):
        true = truth([mpf(item) for item in x])
        value_slack = slack(lambda at: truth(at).value, x)
        slope_slack = slack(lambda at: truth(at).gradient, x)
        terms = len(x)
        for form, (value, slopes) in forms(f, x).items():
            what = f"{form}: the value at {x}"
            assert_near(value, true.value, value_slack, 0.0, what, terms)
            what = f"{form}: the gradient at {x}"
            assert_near(slopes, true.gradient, slope_slack, scale, what, terms)
        bend_slack = slack(lambda at: truth(at).hessian, x)
        count, size = len(true.value), len(x) ** 2
        for k in range(count):
            bends = hessian(lambda at, k=k: f(at)[k])(x)
            near = [one + noise * abs(true.value[k]) for one in bend_slack[k * size :][:size]]
            assert_near(bends, true.hessian[k], near, scale, f"the Hessian of {k} at {x}", terms)


@pytest.mark.parametrize("x", ROWS, ids=str)
@pytest.mark.parametrize("name", LOGITS)
def test_logits_in_both_tails(name: str, x: list[float]) -> None:
    check(LOGITS[name], x, noise=noise_of(name))


# Where a share is 1/2 its second derivatives pass through 0, and have the roundings of the share.
def noise_of(name: str) -> float:
    return 8 * EPSILON if name == "softmax" else 0.0


logits = st.one_of(
    st.floats(-5.0, 5.0),
    st.floats(-800.0, 800.0),
    st.sampled_from([0.0, 1e-300, -1e-12, 1e10, -1e10, 1e17, 1e300, -1e300]),
)


@seriously
@example(x=[0.0, 0.0, 0.0, 726.625], name="cross_entropy")
@given(x=st.lists(logits, min_size=2, max_size=4), name=st.sampled_from(sorted(LOGITS)))
def test_logits_anywhere(x: list[float], name: str) -> None:
    check(LOGITS[name], x, noise=noise_of(name))


@pytest.mark.parametrize("x", BINARY_POINTS, ids=str)
def test_binary_cross_entropy_in_both_tails(x: list[float]) -> None:
    check((binary, true_binary), x)
    check(binary_of(x[1]), x[:1])


@seriously
@given(x=logits, target=st.floats(0.0, 1.0))
def test_binary_cross_entropy_anywhere(x: float, target: float) -> None:
    check((binary, true_binary), [x, target])


@pytest.mark.parametrize("x", [row for row in ROWS if len(row) == 2], ids=str)
@pytest.mark.parametrize("shares", [[1.0, 0.0], [0.0, 1.0], [0.25, 0.75]], ids=str)
def test_cross_entropy_of_probabilities(x: list[float], shares: list[float]) -> None:
    check((soft_cross_entropy, true_soft_cross_entropy), x + shares)


NORM_ROWS = (
    *([1e200, 1.0, -2e200], [1e-200, 3e-200, -2e-201], [1e150, -1.0, 2.0], [3.0, 4.0, 1e-8]),
    *([1e-60, 2e-60, -1e-60], [1e60, 3e60, 0.0], [1e300, -1e299, 2e300], [1e-3, 2e-3, -5e-3]),
)


@pytest.mark.parametrize("eps", [0.0, 1e-5, 1e-200])
@pytest.mark.parametrize("x", NORM_ROWS, ids=str)
def test_norms_of_large_and_small_numbers(x: list[float], eps: float) -> None:
    if max(map(abs, x)) < 1e-100 and eps != 1e-5:
        pytest.skip("its second derivative is beyond the range of a double")
    check((lambda at: tapegrad.rmsnorm(at, eps=eps), true_rmsnorm(eps)), x, 1e-12)
    check((lambda at: tapegrad.layernorm(at, eps=eps), true_layernorm(eps)), x, 1e-12)


@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_norms_at_the_ends_of_the_range(eps: float) -> None:
    """Values and gradients; second derivatives leave the range."""
    for layer, true in ((tapegrad.rmsnorm, true_rmsnorm), (tapegrad.layernorm, true_layernorm)):
        for x in ([1e-200, 3e-200, -2e-201], [1.7e308, -1.7e308, 1e308], [1e-290, 0.0, 3e-300]):
            with mpmath.workdps(1600):
                truth = true(eps)([mpf(item) for item in x])
                none = [mpf(0)] * 9
                call = functools.partial(layer, eps=eps)
                for form, (value, slopes) in forms(call, x).items():
                    assert_near(value, truth.value, none, 0.0, f"{form}: the value at {x}")
                    assert_near(slopes, truth.gradient, none, 1e-12, f"{form}: gradient at {x}")


def test_a_compiled_norm_takes_numbers_of_any_size() -> None:
    compiled = compile(lambda x: tapegrad.rmsnorm(x, eps=0))
    for size in (1.0, 1e200, 1e-200, 3.0, 1e300):
        assert compiled([3.0 * size, 4.0 * size]) == pytest.approx(
            tapegrad.rmsnorm([3.0, 4.0], eps=0), rel=1e-14
        )


def test_mse_is_ieee() -> None:
    f = (lambda x: [tapegrad.mse_loss([x[0]], [x[1]])]), true_mse
    for x in ([1e150, -1e150], [1e-200, 0.0], [3.0, 3.0], [1e200, 1.0]):
        check(f, x)
    assert tapegrad.mse_loss([1e200], [0.0]) == INF


INFINITE: dict[str, tuple[Callable[[Any], Any], list[float], list[float], Matrix]] = {
    "binary, sure and right": (binary_of(1.0)[0], [INF], [0.0], [[0.0]]),
    "binary, sure and right below": (binary_of(0.0)[0], [-INF], [0.0], [[0.0]]),
    "binary, sure and wrong": (binary_of(1.0)[0], [-INF], [INF], [[-1.0]]),
    "binary, sure and wrong above": (binary_of(0.0)[0], [INF], [INF], [[1.0]]),
    "binary, undecided target": (binary_of(0.25)[0], [INF], [INF], [[0.75]]),
    "binary by the target": (binary, [INF, 1.0], [0.0], [[0.0, -INF]]),
    "binary by the target below": (binary, [-INF, 0.0], [0.0], [[0.0, INF]]),
    "binary of nan": (binary_of(1.0)[0], [NAN], [NAN], [[NAN]]),
    "cross_entropy, sure": (LOGITS["surprisal"][0], [INF, 0.0], [0.0], [[0.0, 0.0]]),
    "cross_entropy, excluded": (LOGITS["surprisal"][0], [-INF, 0.0], [INF], [[-1.0, 1.0]]),
    "cross_entropy, others masked": (
        *(LOGITS["surprisal"][0], [2.0, -INF, -INF]),
        *([0.0], [[0.0, 0.0, 0.0]]),
    ),
    "softmax, masked": (
        *(tapegrad.softmax, [0.0, -INF, 0.0]),
        *([0.5, 0.0, 0.5], [[0.25, 0.0, -0.25], [0.0, 0.0, 0.0], [-0.25, 0.0, 0.25]]),
    ),
    "log_softmax, masked": (
        *(tapegrad.log_softmax, [0.0, -INF]),
        *([0.0, -INF], [[0.0, 0.0], [-1.0, 1.0]]),
    ),
    "softmax of inf, PyTorch's": (tapegrad.softmax, [INF, 0.0], [NAN] * 2, [[NAN] * 2] * 2),
    "logsumexp, masked": (LOGITS["logsumexp"][0], [3.0, -INF], [3.0], [[1.0, 0.0]]),
    "a masked logit of probability 0": (
        lambda x: [tapegrad.cross_entropy(x, [1.0, 0.0])],
        *([0.0, -INF], [0.0], [[0.0, 0.0]]),
    ),
    "hinge, sure": (lambda x: [tapegrad.hinge_loss(x, [1])], [INF], [0.0], [[0.0]]),
    "hinge, wrong": (lambda x: [tapegrad.hinge_loss(x, [1])], [-INF], [INF], [[-1.0]]),
}


@pytest.mark.parametrize("name", INFINITE)
def test_at_infinities(name: str) -> None:
    f, x, value, gradient = INFINITE[name]
    for form, (got, slopes) in forms(f, x).items():
        for one, other in zip(flat(got) + flat(slopes), flat(value) + flat(gradient), strict=True):
            same = one == other or (math.isnan(one) and math.isnan(other))
            assert same, f"{form}: {got}, {slopes}"


def test_probabilities_of_masked_logits_may_be_values() -> None:
    logs, shares = [Value(0.0), Value(-INF)], [Value(1.0), Value(0.0)]
    loss = tapegrad.cross_entropy(logs, shares)
    loss.backward()
    assert loss.data == 0.0
    assert [v.grad for v in logs] == [0.0, 0.0]
    assert [v.grad for v in shares] == [0.0, INF]
