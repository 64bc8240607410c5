"""Layers as single calls: PyTorch's results, nodes like any other, errors that say why."""

from __future__ import annotations

import copy
import doctest
import math
import operator
import pickle
import textwrap
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad
from support import make_layers_reference
from support.contract import nodes, nodes_now, output_of
from support.layer_calls import (
    CASES,
    ITERABLES,
    Case,
    assert_near,
    called,
    data,
    flat,
    mapped,
    weighted,
)
from tapegrad import Value, layernorm, linear, log_softmax, logsumexp, matvec, rmsnorm, softmax

LAYERS: dict[str, Callable[[list[Any]], Any]] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "rmsnorm": rmsnorm,
    "layernorm": layernorm,
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
every_case = pytest.mark.parametrize("case", CASES, ids=str)
numbers = st.floats(-5.0, 5.0)
rows = st.lists(numbers, min_size=1, max_size=8)
seriously = settings(max_examples=60)


def leaves(count: int, start: float = 0.5) -> list[Value]:
    return [Value(start + 0.75 * k) for k in range(count)]


def matrix(height: int, width: int) -> list[list[Value]]:
    return [[Value(0.1 * (i + 1) * (k - 1.5)) for k in range(width)] for i in range(height)]


@every_case
def test_values_and_derivatives_are_pytorchs(case: Case) -> None:
    arguments = mapped(Value, list(case.given.values()))
    given = dict(zip(case.given, arguments, strict=True))
    result = called(case.layer, given, case.others)
    assert_near(data(result), case.value)
    weighted(result).backward()
    for key, wanted in case.grads.items():
        slopes = mapped(lambda v: v.grad, given[key])
        scale = max((abs(x) for x in flat(case.value) if math.isfinite(x)), default=1.0)
        assert_near(slopes, wanted, scale=max(1.0, scale))


@every_case
def test_plain_numbers_give_the_floats_that_values_give(case: Case) -> None:
    before = nodes_now()
    plain = called(case.layer, case.given, case.others)
    assert all(type(x) is float for x in flat(plain))
    assert nodes_now() == before
    assert_near(plain, data(called(case.layer, mapped_dict(case.given), case.others)))


def mapped_dict(given: dict[str, Any]) -> dict[str, Any]:
    return {key: mapped(Value, nested) for key, nested in given.items()}


@every_case
def test_one_value_among_numbers_makes_every_element_a_value(case: Case) -> None:
    for key in case.given:
        given = {k: mapped(Value, v) if k == key else v for k, v in case.given.items()}
        result = called(case.layer, given, case.others)
        assert all(type(x) is Value for x in flat(result))
        assert_near(data(result), case.value)
        weighted(result).backward()
        scale = max((abs(x) for x in flat(case.value) if math.isfinite(x)), default=1.0)
        assert_near(mapped(lambda v: v.grad, given[key]), case.grads[key], max(1.0, scale))


@pytest.mark.torch
def test_pytorch_still_gives_the_stored_results() -> None:
    pytest.importorskip("torch")
    assert len(make_layers_reference.cases()) == len(CASES)
    for made, case in zip(make_layers_reference.cases(), CASES, strict=True):
        value, grads = make_layers_reference.torch_result(made)
        assert (repr(value), repr(grads)) == (repr(case.value), repr(case.grads))


@seriously
@given(x=rows, height=st.integers(0, 5), data_=st.data())
def test_linear_is_micrograds_loop_to_the_last_bit(
    x: list[float], height: int, data_: st.DataObject
) -> None:
    row = st.lists(numbers, min_size=len(x), max_size=len(x))
    w = data_.draw(st.lists(row, min_size=height, max_size=height))
    b = data_.draw(st.lists(numbers, min_size=height, max_size=height))
    begun = [
        reduce(operator.add, map(operator.mul, r, x), start) for r, start in zip(w, b, strict=True)
    ]
    assert linear(w, x, b) == begun
    assert data(linear(mapped(Value, w), mapped(Value, x), mapped(Value, b))) == begun
    plain = [reduce(operator.add, map(operator.mul, r, x)) for r in w]
    assert matvec(w, x) == linear(w, x) == plain


@seriously
@given(xs=rows)
def test_softmax_is_a_distribution_and_log_softmax_its_logarithm(xs: list[float]) -> None:
    shares = softmax(xs)
    assert math.isclose(sum(shares), 1.0, rel_tol=1e-14)
    assert_near(list(map(math.log, shares)), log_softmax(xs), scale=10.0)
    assert_near(logsumexp(xs), math.log(sum(map(math.exp, xs))), scale=100.0)


@seriously
@given(xs=rows, shift=st.integers(-1000, 1000))
def test_softmax_does_not_depend_on_what_all_logits_have_in_common(
    xs: list[float], shift: int
) -> None:
    exact = [round(x * 1024) / 1024 for x in xs]  # so that the shift rounds nothing
    assert softmax([x + shift for x in exact]) == softmax(exact)
    assert log_softmax([x + shift for x in exact]) == log_softmax(exact)


@seriously
@given(xs=rows)
def test_normalized_rows_have_the_moments_that_they_are_named_after(xs: list[float]) -> None:
    squares = sum(x * x for x in xs) / len(xs)
    assert_near(rmsnorm(xs), [x / math.sqrt(squares + 1e-5) for x in xs])
    centred = layernorm(xs, eps=1e-300) if max(xs) - min(xs) > 1e-3 else [0.0]
    assert abs(sum(centred)) < 1e-9 * len(xs)


@seriously
@given(xs=rows, at=st.integers(0, 7), which=st.sampled_from(sorted(LAYERS)))
def test_derivatives_are_those_of_differences(xs: list[float], at: int, which: str) -> None:
    at %= len(xs)
    layer = LAYERS[which]
    if which.endswith("norm"):
        xs = [x + (1.0 + k) ** 2 for k, x in enumerate(xs)]  # away from where all is alike
    values = [Value(x) for x in xs]
    weighted(layer(values)).backward()

    def moved(step: float) -> float:
        return float(weighted(layer([x + step * (k == at) for k, x in enumerate(xs)])))

    step = 1e-5
    difference = (moved(step) - moved(-step)) / (2 * step)
    if which == "layernorm" and len(xs) < 3:
        return  # of one or two elements it is a sign, but for eps
    assert math.isclose(values[at].grad, difference, rel_tol=1e-5, abs_tol=1e-5)


@pytest.mark.parametrize("kind", ITERABLES.values(), ids=ITERABLES.keys())
def test_any_iterable_of_iterables_will_do(kind: Callable[[list[Any]], Any]) -> None:
    w, x, b = matrix(3, 2), leaves(2), [1.0, Value(2.0), 3]
    wanted = data(linear(w, x, b))
    assert data(linear(w, kind(x), kind(b))) == wanted
    assert data(linear((kind(row) for row in w), x, b)) == wanted
    assert data(softmax(kind(x))) == data(softmax(x))
    assert data(layernorm(kind(x), kind(x), kind(x))) == data(layernorm(x, x, x))


def test_numbers_of_every_kind_may_be_mixed() -> None:
    x = [Value(1.0), 2, 3.0, True, np.float64(4.0), np.int32(5), np.array(6.0)]
    assert data(matvec([[1.0] * 7], x)) == [22.0]
    assert type(softmax([True, 2])[0]) is float


def test_each_row_is_one_node_that_can_be_looked_at() -> None:
    w, x, b = matrix(2, 3), leaves(3), leaves(2)
    before = nodes()
    y = linear(w, x, b)
    assert nodes_now() == before + 2
    assert y[1]._op == "dot"
    assert y[1]._children == (*w[1], *x, b[1])
    assert y[1]._local_grads == (*data(x), *data(w[1]), 1.0)
    assert y[0]._prev == {*w[0], *x, b[0]}
    assert linear(w, x)[0]._children == (*w[0], *x)
    y[0].grad = 2.0
    y[0]._backward()
    assert [v.grad for v in w[0]] == [2 * v.data for v in x]


@every_layer
def test_elements_have_operations_of_the_table_all_the_way_down(layer: Any) -> None:
    known = {one["symbol"] for one in tapegrad._core.operations()} | {"**-0.5"}
    xs = leaves(3)
    seen: set[Value] = set()
    waiting = list(layer(xs))
    while waiting:
        node = waiting.pop()
        if node in seen or node._op == "":
            continue
        seen.add(node)
        assert node._op in known
        waiting += node._children
    assert len(seen) < 30


def test_constants_of_a_layer_are_shown_once_somebody_looks() -> None:
    w = matrix(2, 2)
    y = matvec(w, [5.0, 7.0])
    sum(y).backward()
    assert [c.data for c in y[0]._children] == [*data(w[0]), 5.0, 7.0]
    assert [c.grad for c in y[0]._children[2:]] == data(w[0])
    assert [v.grad for v in w[0]] == [5.0, 7.0]
    y[0].zero_grad()
    y[0].backward()
    assert [v.grad for v in w[0]] == [5.0, 7.0]


def test_later_assignments_to_data_change_no_derivative() -> None:
    w, x = matrix(2, 2), leaves(2)
    wanted, y = data(x), matvec(w, x)
    x[0].data = 100.0
    w[0][0].data = 100.0
    y[0].backward()
    assert [v.grad for v in w[0]] == wanted


def test_one_node_may_be_everywhere() -> None:
    v = Value(3.0)
    y = linear([[v, v], [v, v]], [v, v], [v, v])
    y[0].backward()
    assert y[0].data == 21.0
    assert v.grad == 13.0
    p = Value(1.0)
    weighted(softmax([p, p])).backward()
    assert p.grad == 0.0


@every_layer
def test_no_elements_give_none(layer: Any) -> None:
    assert layer([]) == []


def test_empty_matrices_and_sums() -> None:
    assert linear([], []) == []
    assert linear([], [1.0, 2.0]) == []
    assert linear([[], []], []) == [0.0, 0.0]
    b = Value(2.0)
    y = linear([[], []], [], [b, 1.0])
    assert data(y) == [2.0, 1.0]
    y[0].backward()
    assert b.grad == 1.0
    assert logsumexp([]) == -math.inf
    with pytest.raises(ValueError, match=r"surprisal\(\): xs is empty"):
        tapegrad.surprisal([])


def test_masked_logits_get_no_gradient() -> None:
    xs = [Value(1.0), Value(-math.inf), Value(1.0)]
    weighted(softmax(xs)).backward()
    assert xs[1].grad == 0.0
    assert [x.grad for x in xs] == [-0.5, 0.0, 0.5]


untyped: Any = tapegrad  # mistakes are what is tested here
ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "ragged": (
        lambda: untyped.linear([[1, 2], [1, 2, 3]], [1, 2]),
        ValueError,
        r"linear\(\): w\[1\] has 3 elements and x has 2",
    ),
    "x too long": (
        lambda: untyped.matvec([[1, 2]], [1, 2, 3]),
        ValueError,
        r"matvec\(\): w\[0\] has 2 elements and x has 3",
    ),
    "b too short": (
        lambda: untyped.linear([[1], [2]], [1], [1]),
        ValueError,
        r"linear\(\): b has 1 elements and w has 2",
    ),
    "no matrix": (
        lambda: untyped.linear([1.0, 2.0], [1.0]),
        TypeError,
        r"linear\(\): w\[0\] must be an iterable of Values and numbers, not 'float'",
    ),
    "a Value for a matrix": (
        lambda: untyped.linear(Value(1.0), [1.0]),
        TypeError,
        r"linear\(\): w must be an iterable of rows, not 'Value'",
    ),
    "an element of w": (
        lambda: untyped.linear([[1, 2], [3, "4"]], [1, 2]),
        TypeError,
        r"linear\(\): w\[1\]\[1\] must be a Value or a real number, not 'str'",
    ),
    "an element of x": (
        lambda: untyped.linear([[1, 2]], [1, None]),
        TypeError,
        r"linear\(\): x\[1\] must be a Value or a real number, not 'NoneType'",
    ),
    "an element of b": (
        lambda: untyped.linear([[1, 2]], [1, 2], [1j]),
        TypeError,
        r"linear\(\): b\[0\] must be a Value or a real number, not 'complex'",
    ),
    "xs": (
        lambda: untyped.softmax(1.0),
        TypeError,
        r"softmax\(\): xs must be an iterable of Values and numbers, not 'float'",
    ),
    "rows of logits": (
        lambda: untyped.log_softmax([[1.0, 2.0]]),
        TypeError,
        r"log_softmax\(\): xs\[0\] must be a Value or a real number, not 'list'",
    ),
    "weight": (
        lambda: untyped.rmsnorm([1, 2], [1]),
        ValueError,
        r"rmsnorm\(\): weight has 1 elements and xs has 2",
    ),
    "bias": (
        lambda: untyped.layernorm([1, 2], bias=[1, 2, 3]),
        ValueError,
        r"layernorm\(\): bias has 3 elements and xs has 2",
    ),
    "eps": (
        lambda: untyped.rmsnorm([1, 2], eps=Value(1.0)),
        TypeError,
        r"rmsnorm\(\): eps must be a real number, not 'Value'",
    ),
    "no arguments": (
        lambda: untyped.softmax(),
        TypeError,
        r"softmax\(\) missing required argument 'xs'",
    ),
    "an unknown keyword": (
        lambda: untyped.linear([[1]], [1], bias=[1]),
        TypeError,
        r"linear\(\) got an unexpected keyword argument 'bias'",
    ),
    "a number too large": (lambda: untyped.softmax([10**400]), OverflowError, "too large"),
}


@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_came_and_what_was_wanted(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    before = nodes()
    with pytest.raises(error, match=message):
        call()
    assert nodes() == before


def raising_after(*first: Any) -> Iterator[Any]:
    yield from first
    raise LookupError("no more")


def test_an_iterable_that_breaks_off_leaves_nothing_behind() -> None:
    before = nodes()
    for call in (
        lambda: softmax(raising_after(Value(1.0))),
        lambda: linear(raising_after([Value(1.0)]), [Value(1.0)]),
        lambda: linear([[Value(1.0)], raising_after(Value(1.0))], [Value(1.0)]),
        lambda: linear([[Value(1.0)]], [Value(1.0)], raising_after(Value(1.0))),
    ):
        with pytest.raises(LookupError, match="no more"):
            call()
    assert nodes() == before


def test_steps_of_layers_keep_memory_as_it_was() -> None:
    w, x = matrix(20, 20), leaves(20)

    def step() -> None:
        hidden = layernorm(matvec(w, rmsnorm(x)), x, x)
        tapegrad.cross_entropy(linear(w, softmax(hidden), x), 3).backward()

    step()
    before, bytes_before = nodes(), tapegrad._core.arena()["bytes"]
    for _ in range(300):
        step()
    assert nodes() == before
    assert tapegrad._core.arena()["bytes"] == bytes_before


@every_layer
def test_elements_are_copied_and_pickled_as_any_value(layer: Any) -> None:
    xs = leaves(4)
    total = weighted(layer(linear([xs, xs, [1.0, 2.0, 3.0, 4.0]], xs, [xs[0], 1.0, 2.0])))
    total.backward()
    wanted = [x.grad for x in xs]
    for twin, parts in (
        copy.deepcopy((total, xs)),
        pickle.loads(pickle.dumps((total, xs))),
    ):
        assert twin.data == total.data
        twin.zero_grad()
        twin.backward()
        assert_near([x.grad for x in parts], wanted)
    assert_near(weighted([copy.copy(y) for y in layer(xs)]).data, weighted(layer(xs)).data)


def test_results_of_subclasses_are_plain_values() -> None:
    class Special(Value):
        pass

    xs = [Special(1.0), Special(2.0)]
    assert {type(y) for y in softmax(xs) + matvec([xs], xs)} == {Value}
    assert matvec([xs], [1.0, 2.0])[0]._prev >= set(xs)


def test_anomalies_on_the_way_are_found_and_named() -> None:
    inf = Value(math.inf, label="too much")
    with tapegrad.detect_anomaly():
        with pytest.raises(
            FloatingPointError, match=r"sub of inf \(label 'too much'\), inf gave nan"
        ):
            softmax([inf, 0.0])
        with pytest.raises(FloatingPointError, match=r"dot of .* gave inf"):
            matvec([[Value(1e200), 1.0]], [1e200, 1.0])
        with pytest.raises(FloatingPointError, match=r"pow_const of x?.*0.0.* gave inf"):
            rmsnorm([Value(0.0)], eps=0)
        assert data(softmax([Value(0.0), 0.0])) == [0.5, 0.5]


def test_drawings_show_layers() -> None:
    pytest.importorskip("graphviz")
    from tapegrad.draw import draw_dot

    w, x = leaves(2), leaves(2, start=10.0)
    source = draw_dot(linear([w], x, [1.0])[0]).source
    assert source.count("->") == 6
    assert all(f"data {v.data:.4f}" in source for v in (*w, *x))


@pytest.mark.parametrize("name", sorted({case.layer for case in CASES} - {"logsumexp"}))
def test_the_example_in_the_docstring_runs(name: str) -> None:
    function = getattr(tapegrad, name)
    test = doctest.DocTestParser().get_doctest(function.__doc__, {}, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_backward_functions_of_elements_are_honoured() -> None:
    xs = leaves(3)
    y = matvec([xs, xs, xs], [1.0, 1.0, 1.0])
    calls = []
    y[1]._backward = lambda: calls.append(y[1].grad)
    tapegrad.sum(y).backward()
    assert calls == [1.0]
    assert [x.grad for x in xs] == [2.0, 2.0, 2.0]


HOSTILE: dict[str, str] = {
    "conversions that drop the operands": """
        class Evil:
            def __float__(self):
                for held in (w, x, b): held.clear()
                gc.collect(); [Value(9.0) * k for k in range(1000)]
                return 2.0
        w, x, b, e = [], [], [], Evil()
        def fill():
            row = [Value(1.0), Value(2.0), 3]
            w[:] = [row, [Value(1.0), e, Value(3.0)], list(row), [e, Value(1.0), Value(2.0)]]
            x[:] = [Value(1.0), 2, Value(3.0)]; b[:] = [Value(1.0), 2, Value(3.0), 4]
        calls = [
            lambda: tapegrad.linear(w, x, b),
            lambda: tapegrad.linear(w, x + [e], b), lambda: tapegrad.linear(w, x, b + [e]),
            lambda: tapegrad.matvec(w, x), lambda: tapegrad.softmax(w[1]),
            lambda: tapegrad.layernorm(x, b, w[3], eps=e), lambda: tapegrad.mse_loss(w[1], x),
            lambda: tapegrad.cross_entropy(w, [0, 1, 2, 0]),
            lambda: tapegrad.cross_entropy(w[1], 0), lambda: tapegrad.cross_entropy(w, w),
        ]
        for call in calls:
            fill()
            try: result = call()
            except ValueError: continue
            total = tapegrad.sum(result if isinstance(result, list) else [result])
            if isinstance(total, Value): total.backward()
        """,
    "a row that drops the matrix": """
        class Row:
            def __iter__(self):
                w.clear(); gc.collect(); [Value(9.0) * k for k in range(1000)]
                return iter([Value(1.0), Value(2.0)])
        w = [[Value(1.0), Value(2.0)], Row(), [Value(3.0), Value(4.0)]]
        try: tapegrad.linear(w, [1.0, 2.0])
        except ValueError as error: assert "w changed while it was read" in str(error)
        else: raise SystemExit("no error")
        """,
    "layers within layers": """
        class Number:
            def __float__(self):
                return tapegrad.softmax(tapegrad.matvec([[1.0, Value(2.0)]] * 2, [1, 2]))[0].data
        for _ in range(100):
            y = tapegrad.linear([[Value(1.0), Number()], [Number(), 2.0]], [Number(), Value(2.0)])
            tapegrad.sum(y).backward()
        """,
    "an attribute set in a conversion is followed by the collector": """
        import weakref
        class Number:
            def __float__(self):
                v.owner = [v]
                return 1.0
        class Canary: pass
        before = tapegrad._core.arena()["nodes"]
        for _ in range(5):
            v = Value(1.0)
            y = tapegrad.linear([[v, Number()]], [1.0, 2.0])[0]
            v.owner.append(y); v.canary = Canary(); canary = weakref.ref(v.canary)
            del v, y; gc.collect()
            assert canary() is None
        assert tapegrad._core.arena()["nodes"] == before
        """,
    "cycles through what the rows of a layer share": """
        import weakref
        class Canary: pass
        before = tapegrad._core.arena()["nodes"]
        def cycle(early, kept, squared):
            v = Value(1.0); v.canary = Canary() if early else None
            x = [v, Value(2.0)]
            w = [[Value(k)] * 2 for k in range(5)]
            y = tapegrad.rmsnorm(x) if squared else tapegrad.linear(w, x)
            v.canary = Canary(); v.canary.owner = [y[0], y[-1]]
            return weakref.ref(v.canary), y[1] if kept else None
        for early in (False, True):
            for squared in (False, True):
                canary, y = cycle(early, True, squared)
                gc.collect()
                assert canary() is not None and canary().owner[0]._prev
                y.backward(); del y; gc.collect()
                assert canary() is None, (early, squared)
                canary, y = cycle(early, False, squared)
                gc.collect()
                assert canary() is None, (early, squared)
        assert tapegrad._core.arena()["nodes"] == before
        """,
    "collections while a result is made": """
        seen = []
        def look(phase, info):
            seen.append([len(o) for o in gc.get_objects() if type(o) is list and len(o) == 61])
            for o in gc.get_objects():
                if type(o) is list and len(o) == 61: repr(o)
        gc.callbacks.append(look); gc.set_threshold(7)
        w = [[Value(k)] for k in range(61)]
        kept = [tapegrad.matvec(w, [2.0]) for _ in range(50)]
        assert seen
        """,
}


@pytest.mark.parametrize("program", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_programs_do_no_harm(program: str) -> None:
    head = "import gc\nimport tapegrad\nfrom tapegrad import Value\n"
    output_of(head + textwrap.dedent(program))


def test_a_full_arena_is_a_memory_error_and_leaks_nothing() -> None:
    output_of(
        """
        import gc, tapegrad
        from tapegrad import Value
        w = [[Value(1.0) for _ in range(3)] for _ in range(100)]
        kept = []
        try:
            while True: kept += tapegrad.layernorm(tapegrad.matvec(w, [1.0, 2.0, 3.0]))
        except MemoryError as error: assert "arena is full" in str(error), error
        kept.clear(); gc.collect()
        assert tapegrad._core.arena()["nodes"] == 300, tapegrad._core.arena()
        """,
        TAPEGRAD_MAX_NODES="20000",
    )
