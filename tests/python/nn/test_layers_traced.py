"""Layers and losses inside transforms: of traced numbers they are what they are of Values."""

from __future__ import annotations

import math
import random
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tapegrad
from support.contract import output_of
from support.layer_calls import (
    CASES,
    ITERABLES,
    Case,
    assert_near,
    called,
    data,
    flat,
    is_near,
    mapped,
    weighted,
)
from tapegrad import (
    Value,
    compile,
    cross_entropy,
    grad,
    hinge_loss,
    jacfwd,
    jacrev,
    jvp,
    linear,
    log_softmax,
    mse_loss,
    softmax,
    stop_gradient,
    value_and_grad,
)

LAYER_CASES = [case for case in CASES if case.layer != "logsumexp"]


def is_ordinary(case: Case) -> bool:
    """Whether nothing is masked, saturated or a kink."""
    numbers = flat(next(iter(case.given.values())))
    return all(1e-2 < abs(x) < 10.0 and abs(x) != 1.0 for x in numbers)


def shape(case: Case) -> tuple[Any, ...]:
    """What is the same of calls that differ in numbers and sizes alone."""
    nested = [isinstance(nested[0], list) for nested in case.given.values()]
    return (case.layer, *case.given, *nested, case.others.get("reduction"))


# The largest ordinary case of each kind of call.
ORDINARY = list(
    {
        shape(case): case
        for case in sorted(LAYER_CASES, key=lambda c: len(flat(list(c.given.values()))))
        if is_ordinary(case)
    }.values()
)
every_case = pytest.mark.parametrize("case", LAYER_CASES, ids=str)
every_call = pytest.mark.parametrize("case", ORDINARY, ids=str)


def of_numbers(case: Case) -> Callable[..., Any]:
    """The weighted results as a function of what the case differentiates by."""
    keys = list(case.given)
    return lambda *given: weighted(
        called(case.layer, dict(zip(keys, given, strict=True)), case.others)
    )


def of_values(case: Case, given: list[Any]) -> tuple[float, list[Any]]:
    """The value and the gradient that Values have."""
    values = mapped(Value, given)
    total = of_numbers(case)(*values)
    total.backward()
    return total.data, mapped(lambda v: v.grad, values)


def differentiated(case: Case) -> Callable[..., Any]:
    """The value and the gradient by all arguments."""
    return value_and_grad(of_numbers(case), tuple(range(len(case.given))))


def elsewhere(given: list[Any], seed: int = 0) -> list[Any]:
    """Other numbers in the same places: the largest element is another one."""
    draw = random.Random(seed)
    return [
        mapped(lambda x: draw.choice([-1, 1]) * x + draw.gauss(0.0, 1.0), nested)
        for nested in given
    ]


def test_the_cases_are_of_every_layer_and_loss() -> None:
    names = {
        *("linear", "matvec", "softmax", "log_softmax", "rmsnorm", "layernorm"),
        *("mse_loss", "hinge_loss", "binary_cross_entropy_with_logits", "cross_entropy"),
    }
    assert {case.layer for case in LAYER_CASES} == {case.layer for case in ORDINARY} == names


@every_case
def test_values_and_gradients_are_those_of_values(case: Case) -> None:
    given = list(case.given.values())
    value, slopes = differentiated(case)(*given)
    wanted, wanted_slopes = of_values(case, given)
    scale = max((abs(x) for x in flat(case.value) if math.isfinite(x)), default=1.0)
    assert_near(value, wanted, max(1.0, scale), tolerance=1e-13)
    assert_near(mapped(float, list(slopes)), wanted_slopes, max(1.0, scale), tolerance=1e-13)


@every_call
def test_second_derivatives_are_differences_of_gradients(case: Case) -> None:
    given = list(case.given.values())
    draw = random.Random(3)
    direction = mapped(lambda _: draw.gauss(0.0, 1.0), given)
    step = 1e-5

    def slopes(steps: float) -> list[float]:
        moved = [x + steps * d for x, d in zip(flat(given), flat(direction), strict=True)]
        numbers = iter(moved)
        return flat(list(differentiated(case)(*mapped(lambda _: next(numbers), given))[1]))

    gradient = grad(of_numbers(case), tuple(range(len(given))))
    product = flat(list(jvp(gradient, tuple(given), tuple(direction))[1]))
    differences = [
        (above - below) / (2 * step)
        for above, below in zip(slopes(step), slopes(-step), strict=True)
    ]
    scale = max(map(abs, product))
    for one, other in zip(product, differences, strict=True):
        assert math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-7 * (1.0 + scale))


@every_call
def test_compiled_on_one_input_they_are_right_on_others(case: Case) -> None:
    given = list(case.given.values())
    compiled = compile(differentiated(case))
    for seed in range(-1, 5):
        numbers = given if seed < 0 else elsewhere(given, seed)
        value, slopes = compiled(*numbers)
        wanted, wanted_slopes = of_values(case, numbers)
        assert_near(value, wanted, 100.0, tolerance=1e-13)
        assert_near(list(slopes), wanted_slopes, 100.0, tolerance=1e-13)
    assert len(compiled.programs) == 1


@pytest.mark.parametrize("layer", [softmax, log_softmax, lambda xs: [cross_entropy(xs, 1)]])
@pytest.mark.parametrize(
    "large", [[1000.0, 1000.0, 999.0], [-1000.0, -1e4, 0.0], [1e300, 0.0, -1e300]]
)
def test_compiled_on_small_logits_they_do_not_overflow_on_large_ones(
    layer: Any, large: list[float]
) -> None:
    compiled, slopes = compile(layer), compile(jacrev(layer))
    assert_near(compiled([0.1, 0.2, 0.3]), layer([0.1, 0.2, 0.3]))
    slopes([0.1, 0.2, 0.3])
    assert_near(compiled(large), layer(large))
    assert len(compiled.programs) == len(slopes.programs) == 1
    for row, k in zip(slopes(large), range(3), strict=False):
        values = [Value(x) for x in large]
        layer(values)[k].backward()
        assert_near(row, [v.grad for v in values])


def test_forward_and_backward_give_the_jacobian_of_softmax() -> None:
    xs = [0.5, -1.0, 2.0]
    p = softmax(xs)
    wanted = [[p[i] * ((i == j) - p[j]) for j in range(3)] for i in range(3)]
    for jacobian in (jacrev(softmax), jacfwd(softmax), compile(jacrev(softmax))):
        assert_near(jacobian(xs), wanted, scale=100.0)


@pytest.mark.parametrize("kind", ITERABLES.values(), ids=ITERABLES.keys())
def test_any_iterable_of_iterables_will_do(kind: Callable[[list[Any]], Any]) -> None:
    xs = [0.5, -1.0, 2.0]
    calls: tuple[tuple[Any, Any], ...] = (
        (lambda x: softmax(kind(x)), softmax),
        (lambda x: linear(kind([kind(x), x]), kind(x)), lambda x: linear([x, x], x)),
        (lambda x: linear((kind(x) for _ in "ab"), x), lambda x: linear([x, x], x)),
        (
            lambda x: [cross_entropy(kind([kind(x), kind(x)]), kind([0, 2]))],
            lambda x: [cross_entropy([x, x], [0, 2])],
        ),
    )
    for call, wanted in calls:
        assert_near(jacrev(call)(xs), jacrev(wanted)(xs))


def test_rows_of_values_and_of_plain_numbers_stay_what_they_are() -> None:
    kinds: list[type] = []

    def f(x: Any) -> Any:
        values, plain = softmax([Value(1.0), 2.0]), softmax(iter([1.0, 2.0]))
        kinds.extend(map(type, values + plain))
        assert data(values) == plain
        return x * values[0].data

    assert_near(grad(f)(3.0), softmax([1.0, 2.0])[0])
    assert kinds == [Value, Value, float, float]


def test_one_traced_number_makes_every_element_traced() -> None:
    def f(x: Any) -> Any:
        constant = linear([[x], [2.0]], [3.0])[1]
        assert type(constant) is type(x)
        return constant.exp() * x

    assert_near(grad(f)(0.5), math.exp(6.0))
    assert_near(compile(grad(f))(0.5), math.exp(6.0))


def test_one_argument_may_be_traced_and_the_others_plain() -> None:
    assert grad(lambda b: linear([[1.0, 2.0]], [3.0, 4.0], [b])[0])(5.0) == 1.0
    assert grad(lambda t: mse_loss([1.0, 2.0], [t, 2.0]))(3.0) == 2.0
    assert_near(
        jacrev(lambda p: [cross_entropy([1.0, 2.0], p)])([0.25, 0.75]),
        [[-y for y in log_softmax([1.0, 2.0])]],
    )


def test_of_nothing_the_results_are_those_of_plain_numbers() -> None:
    assert compile(lambda x: linear([], [x]) + softmax([]) + [x])(2.0) == [2.0]
    assert math.isnan(compile(lambda x: x * mse_loss([], []))(1.0))


def test_a_class_may_be_traced_and_is_a_guard() -> None:
    xs = [0.5, -1.0, 2.0]
    compiled = compile(grad(cross_entropy))
    for target in (0, 2, 0, 1):
        assert_near(compiled(xs, target), grad(lambda x, t=target: cross_entropy(x, t))(xs))
    assert len(compiled.programs) == 3
    assert_near(compile(cross_entropy)([xs, xs], [1, 2]), cross_entropy([xs, xs], [1, 2]))


def test_signs_of_a_hinge_may_be_traced_and_are_one_program() -> None:
    compiled = compile(hinge_loss)
    for signs in ([1.0, -1.0], [-1.0, -1.0], [1.0, 1.0]):
        assert compiled([0.5, 0.25], signs) == hinge_loss([0.5, 0.25], signs)
    assert len(compiled.programs) == 1
    with pytest.raises(ValueError, match=r"hinge_loss\(\): targets\[1\] must be 1 or -1, not 0.5"):
        compiled([0.5, 0.25], [1.0, 0.5])


untyped: Any = tapegrad  # mistakes are what is tested here
ERRORS: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "ragged": (
        lambda x: untyped.linear([[1, x], [1, 2, 3]], [1, 2]),
        ValueError,
        r"linear\(\): w\[1\] has 3 elements and x has 2",
    ),
    "b too short": (
        lambda x: untyped.linear([[1], [x]], [1], [1]),
        ValueError,
        r"linear\(\): b has 1 elements and w has 2",
    ),
    "no matrix": (
        lambda x: untyped.linear([x, 2.0], [1.0]),
        TypeError,
        r"linear\(\): w\[0\] must be an iterable of Values and numbers, not '.*Traced'",
    ),
    "a number for a matrix": (
        lambda x: untyped.matvec(x, [1.0]),
        TypeError,
        r"matvec\(\): w must be an iterable of rows, not '.*Traced'",
    ),
    "an element of w": (
        lambda x: untyped.linear([[1, 2], [x, "4"]], [1, 2]),
        TypeError,
        r"linear\(\): w\[1\]\[1\] must be a Value or a real number, not 'str'",
    ),
    "an element of b": (
        lambda x: untyped.linear([[1, x]], [1, 2], [1j]),
        TypeError,
        r"linear\(\): b\[0\] must be a Value or a real number, not 'complex'",
    ),
    "a row in a row": (
        lambda x: untyped.softmax([x, iter([1.0])]),
        TypeError,
        r"softmax\(\): xs\[1\] must be a Value or a real number, not 'list_iterator'",
    ),
    "xs": (
        lambda x: untyped.softmax(x),
        TypeError,
        r"softmax\(\): xs must be an iterable of Values and numbers, not '.*Traced'",
    ),
    "bias": (
        lambda x: untyped.layernorm([x, 2], bias=[1, 2, 3]),
        ValueError,
        r"layernorm\(\): bias has 3 elements and xs has 2",
    ),
    "eps": (
        lambda x: untyped.rmsnorm([1, 2], eps=x),
        TypeError,
        r"rmsnorm\(\): eps must be a real number, not '.*Traced'",
    ),
    "a Value beside it": (
        lambda x: untyped.linear([[x]], [Value(1.0)]),
        TypeError,
        r"linear\(\): a Value and a traced number cannot be arguments of one operation",
    ),
    "Values for targets": (
        lambda x: untyped.mse_loss([x], [Value(1.0)]),
        TypeError,
        r"mse_loss\(\): a Value and a traced number cannot be arguments of one operation",
    ),
    "reduction": (
        lambda x: untyped.mse_loss([x], [1.0], "average"),
        ValueError,
        r"mse_loss\(\): reduction must be 'mean', 'sum' or 'none', not 'average'",
    ),
    "no sign": (
        lambda x: untyped.hinge_loss([1.0, 2.0], [1, x]),
        ValueError,
        r"hinge_loss\(\): targets\[1\] must be 1 or -1, not 0.5",
    ),
    "class too high": (
        lambda x: untyped.cross_entropy([[x, 2.0], [1.0, 2.0]], [0, 5]),
        IndexError,
        r"cross_entropy\(\): target\[1\] is 5, out of range for 2 classes",
    ),
    "a traced class too high": (
        lambda x: untyped.cross_entropy([1.0, 2.0], x * 4.0),
        IndexError,
        r"cross_entropy\(\): target is 2, out of range for 2 classes",
    ),
    "a class that is not whole": (
        lambda x: untyped.cross_entropy([1.0, 2.0], x),
        TypeError,
        r"a traced number of value 0.5 is no index: it is not whole",
    ),
    "probabilities": (
        lambda x: untyped.cross_entropy([x, 2.0], [1.0]),
        ValueError,
        r"cross_entropy\(\): target has 1 elements and logits has 2",
    ),
    "a logit in a batch": (
        lambda x: untyped.cross_entropy([[1.0, 2.0], [x, "2"]], [0, 0]),
        TypeError,
        r"cross_entropy\(\): logits\[1\]\[1\] must be a Value or a real number, not 'str'",
    ),
    "a number too large": (lambda x: untyped.softmax([x, 10**400]), OverflowError, "too large"),
}


@pytest.mark.parametrize("transform", [grad, compile])
@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_came_and_what_was_wanted(
    call: Callable[[Any], Any], error: type[Exception], message: str, transform: Any
) -> None:
    with pytest.raises(error, match=message):
        transform(call)(0.5)
    assert grad(lambda x: softmax([x, 0.0])[0])(0.0) == 0.25  # and all goes on


def raising_after(*first: Any) -> Iterator[Any]:
    yield from first
    raise LookupError("no more")


@pytest.mark.parametrize(
    "call",
    [
        lambda x: softmax(raising_after(x)),
        lambda x: linear(raising_after([x]), [x]),
        lambda x: linear([[x], raising_after(x)], [x]),
        lambda x: cross_entropy([[x]], raising_after(0)),
    ],
)
def test_an_iterable_that_breaks_off_is_no_result(call: Any) -> None:
    with pytest.raises(LookupError, match="no more"):
        grad(call)(1.0)


def test_a_number_whose_trace_has_ended_is_refused() -> None:
    kept: list[Any] = []

    def keeping(x: Any) -> Any:
        kept.append(x)
        return x

    grad(keeping)(1.0)
    for call in (
        lambda: softmax(kept),
        lambda: cross_entropy([1.0, 2.0], kept[0]),
        lambda: grad(lambda x: softmax([x, *kept])[0])(1.0),
    ):
        with pytest.raises(RuntimeError, match="after its trace has ended"):
            call()


def test_without_gradients_they_are_constants() -> None:
    def f(x: Any) -> Any:
        with tapegrad.no_grad():
            p = softmax([x, 1.0])
        return p[0] * x

    wanted = grad(lambda x: stop_gradient(softmax([x, 1.0])[0]) * x)(2.0)
    assert is_near(grad(f)(2.0), wanted)
    assert is_near(compile(grad(f))(2.0), wanted)


def test_anomalies_on_the_way_are_found_and_named() -> None:
    with tapegrad.detect_anomaly():
        with pytest.raises(
            FloatingPointError, match=r"sub of inf, inf gave nan, at .*test_layers_traced.py:\d+"
        ):
            grad(lambda x: softmax([x, 0.0])[1])(math.inf)
        with pytest.raises(FloatingPointError, match=r"mul of 1e.200, 1e.200 gave inf"):
            grad(lambda x: linear([[x, 1.0]], [1e200, 1.0])[0])(1e200)
        assert grad(lambda x: softmax([x, 0.0])[0])(0.0) == 0.25
        assert grad(lambda x: softmax([x, 0.0, -math.inf])[0])(0.0) == 0.25


HOSTILE: dict[str, str] = {
    "conversions that drop the operands": """
        class Evil:
            def __float__(self):
                for held in (w, xs): held.clear()
                gc.collect()
                return 2.0
        w, xs = [], []
        calls = [
            lambda: tapegrad.linear(w, xs), lambda: tapegrad.linear(w, xs, xs),
            lambda: tapegrad.softmax(xs), lambda: tapegrad.layernorm(xs, w[0], xs),
            lambda: tapegrad.mse_loss(xs, xs), lambda: tapegrad.cross_entropy(w, [0, 1]),
            lambda: tapegrad.cross_entropy(xs, 0), lambda: tapegrad.cross_entropy(w, w),
        ]
        def f(x):
            for call in calls:
                xs[:] = [x, Evil()]
                w[:] = [[x, x * 2.0], [Evil(), x]]
                try: call()
                except (ValueError, TypeError): pass
            return x
        for transform in (tapegrad.grad, tapegrad.compile):
            transform(f)(1.0)
        """,
    "transforms and layers within layers": """
        class Number:
            def __float__(self):
                tapegrad.grad(lambda y: tapegrad.softmax([y, Plain()])[0])(1.0)
                return 1.5
        class Plain:
            def __float__(self):
                return tapegrad.softmax([1.0, tapegrad.Value(2.0)])[0].data
        def f(x):
            return tapegrad.linear([[x, Number()], [x, Number()]], [Number(), 2.0])[1]
        for _ in range(100):
            assert tapegrad.grad(f)(3.0) == 1.5, tapegrad.grad(f)(3.0)
        """,
    "collections while a result is made": """
        def look(phase, info):
            for o in gc.get_objects():
                if type(o) in (list, tuple) and len(o) == 61: repr(o)
        gc.callbacks.append(look); gc.set_threshold(7)
        def f(x):
            kept = [tapegrad.matvec(([x] for _ in range(61)), [2.0]) for _ in range(20)]
            return kept[0][0]
        assert tapegrad.grad(f)(1.0) == 2.0
        """,
}


@pytest.mark.parametrize("program", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_programs_do_no_harm(program: str) -> None:
    output_of("import gc\nimport tapegrad\n" + textwrap.dedent(program))
