"""Random programs with branches and loops agree eager, compiled and by complex steps.

A program is a list of statements over a list of variables. One interpreter runs it on numbers of
any kind: traced, floats, and complex ones for the complex-step derivative (Squire & Trapp, SIAM
Review 40, 1998), for which comparisons use the real part.

TAPEGRAD_PROGRAMS sets how many programs there are. The full run takes about a minute:

    TAPEGRAD_PROGRAMS=10000 python -m pytest tests/python/transforms/test_random_programs.py
"""

from __future__ import annotations

import cmath
import math
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tapegrad
from tapegrad import compile, grad, jacfwd, jvp, value_and_grad

PROGRAMS = int(os.environ.get("TAPEGRAD_PROGRAMS", "300"))
INPUTS = 3
STEP = 1e-30
FAR = 1e-7  # from where a function jumps or bends, for differences to mean anything
CAP = 12  # steps of a loop

Statement = tuple[Any, ...]


class Near(Exception):  # noqa: N818  # no error: the program is not smooth here
    """A comparison was decided by less than FAR."""


def real(x: Any) -> Any:
    return x.real if isinstance(x, complex) else x


def decided(x: Any, limit: float, checked: bool) -> None:
    """Refuses a point so near to a limit that a rounding may decide."""
    if checked and not abs(float(real(x)) - limit) > FAR:
        raise Near


UNARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sin": (tapegrad.sin, cmath.sin),
    "cos": (tapegrad.cos, cmath.cos),
    "exp": (lambda x: tapegrad.exp(-x * x), lambda x: cmath.exp(-x * x)),
    "tanh": (tapegrad.tanh, cmath.tanh),
    "atan": (tapegrad.atan, cmath.atan),
    "log": (lambda x: tapegrad.log(1.5 + x * x), lambda x: cmath.log(1.5 + x * x)),
    "sqrt": (lambda x: tapegrad.sqrt(1.0 + x * x), lambda x: cmath.sqrt(1.0 + x * x)),
    "sigmoid": (tapegrad.sigmoid, lambda x: 1.0 / (1.0 + cmath.exp(-x))),
}


class Machine:
    """Runs programs; `checked` on floats, where it refuses points near to a jump or a bend."""

    def __init__(self, xs: Any, *, checked: bool = False) -> None:
        self.variables = list(xs)
        self.checked = checked

    def __getitem__(self, place: int) -> Any:
        return self.variables[place % len(self.variables)]

    def less(self, x: Any, y: Any) -> bool:
        decided(real(x) - real(y), 0.0, self.checked)
        return bool(real(x) < real(y))

    def whole(self, x: Any, kind: Callable[[Any], int], offset: float) -> int:
        x = real(x)
        if self.checked:
            shifted = float(x) + offset
            decided(shifted, float(round(shifted)), True)
        return kind(x)

    def run(self, program: list[Statement]) -> None:
        for statement in program:
            getattr(self, statement[0])(*statement[1:])

    def push(self, x: Any) -> None:
        self.variables.append(x)

    # Statements.
    def arithmetic(self, sign: str, i: int, j: int) -> None:
        x, y = self[i], self[j]
        self.push(
            {
                "+": lambda: x + y,
                "-": lambda: x - y,
                "*": lambda: x * y * 0.5,
                "/": lambda: x / (2.0 + y * y),
            }[sign]()
        )

    def number(self, sign: str, i: int, c: float) -> None:
        x = self[i]
        self.push(
            {"+": lambda: x + c, "*": lambda: c * x, "-": lambda: c - x, "/": lambda: x / c}[sign]()
        )

    def power(self, i: int, exponent: int) -> None:
        self.push(tanh(self[i]) ** exponent)

    def unary(self, name: str, i: int) -> None:
        x = self[i]
        self.push(UNARY[name][isinstance(x, complex)](x))

    def extreme(self, kind: str, i: int, j: int) -> None:
        x, y = self[i], self[j]
        if x is y:
            self.push(x)
        elif kind == "max":
            self.push(y if self.less(x, y) else x)
        elif isinstance(x, complex) or isinstance(y, complex) or self.checked:
            self.push(x if self.less(x, y) else y)
        else:
            self.push(min(x, y))

    def middle(self, i: int, j: int, k: int) -> None:
        three = [self[i], self[j], self[k]]
        for m in range(3):
            for n in range(m):
                if three[m] is not three[n]:
                    self.less(three[m], three[n])
        self.push(sorted(three, key=real)[1])

    def absolute(self, i: int) -> None:
        self.push(-self[i] if self.less(self[i], 0.0) else self[i])

    def modulo(self, i: int, c: float) -> None:
        x = self[i]
        if self.checked:
            self.whole(x / c, math.floor, 0.0)
        self.push(x - c * math.floor(real(x) / c) if isinstance(x, complex) else x % c)

    def choice(self, i: int, kind: str) -> None:
        """An element of the list by a number computed."""
        kinds: dict[str, tuple[Callable[[Any], int], float]] = {
            "int": (int, 0.0),
            "floor": (math.floor, 0.0),
            "ceil": (math.ceil, 0.0),
            "round": (round, 0.5),
        }
        self.push(self[self.whole(3.0 * self[i], *kinds[kind])])

    def branch(self, i: int, j: int, then: list[Statement], other: list[Statement]) -> None:
        before = len(self.variables)
        self.run(then if self.less(self[i], self[j]) else other)
        # Both ways leave one result.
        del self.variables[before:-1]

    def loop(self, i: int, j: int, body: list[Statement]) -> None:
        """While a number that shrinks and is disturbed is above another."""
        x, bound, steps = self[i], self[j], 0
        while self.less(bound, x) and steps < CAP:
            before = len(self.variables)
            self.push(x)
            self.run(body)
            x = 0.5 * x - 0.3 + 0.2 * tanh(self.variables[-1])
            del self.variables[before:]
            steps += 1
        self.push(x)

    def repeat(self, i: int, body: list[Statement]) -> None:
        """As often as a number says."""
        for _ in range(abs(self.whole(self[i], int, 0.0)) % 4):
            before = len(self.variables)
            self.run(body)
            del self.variables[before:-1]


def tanh(x: Any) -> Any:
    return UNARY["tanh"][isinstance(x, complex)](x)


places = st.integers(0, 40)
constants = st.sampled_from([0.3, -0.7, 1.5, 2.0, -1.0, 1.0])
simple = st.one_of(
    st.tuples(st.just("arithmetic"), st.sampled_from("+-*/"), places, places),
    st.tuples(st.just("number"), st.sampled_from("+-*/"), places, constants),
    st.tuples(st.just("power"), places, st.sampled_from([0, 1, 2, 3, 4])),
    st.tuples(st.just("unary"), st.sampled_from(sorted(UNARY)), places),
    st.tuples(st.just("extreme"), st.sampled_from(["max", "min"]), places, places),
    st.tuples(st.just("middle"), places, places, places),
    st.tuples(st.just("absolute"), places),
    st.tuples(st.just("modulo"), places, st.sampled_from([0.3, 1.5, 2.0])),
    st.tuples(st.just("choice"), places, st.sampled_from(["int", "floor", "ceil", "round"])),
)
blocks = st.lists(simple, min_size=1, max_size=3)
nested = st.one_of(
    st.tuples(st.just("branch"), places, places, blocks, blocks),
    st.tuples(st.just("loop"), places, places, blocks),
    st.tuples(st.just("repeat"), places, blocks),
)
programs = st.lists(st.one_of(simple, simple, nested), min_size=1, max_size=8)
points = st.lists(
    st.floats(-2.0, 2.0).map(lambda x: round(x, 3) + 0.0123), min_size=INPUTS, max_size=INPUTS
)


def function_of(program: list[Statement]) -> Callable[[Any], Any]:
    def f(xs: Any) -> Any:
        machine = Machine(xs)
        machine.run(program)
        return machine.variables[-1] + 0.1 * machine.variables[-2]

    return f


def is_decided(program: list[Statement], point: list[float]) -> bool:
    try:
        Machine(point, checked=True).run(program)
    except Near:
        return False
    return True


def complex_steps(f: Callable[[Any], Any], point: list[float]) -> list[float]:
    slopes = []
    for k in range(len(point)):
        moved: list[complex] = [complex(x) for x in point]
        moved[k] += 1j * STEP
        slopes.append((f(moved) + 0j).imag / STEP)
    return slopes


def assert_all_agree(program: list[Statement], at: list[list[float]]) -> None:
    f = function_of(program)
    compiled, compiled_slopes = compile(f), compile(value_and_grad(f))
    eager = value_and_grad(f)
    for point in at:
        value, slopes = eager(point)
        # Bit for bit: the same operations in the same order.
        assert compiled(point) == value
        replayed, replayed_slopes = compiled_slopes(point)
        assert replayed == value
        assert replayed_slopes == pytest.approx(slopes, rel=1e-12, abs=1e-13)
        assert grad(compiled)(point) == pytest.approx(slopes, rel=1e-12, abs=1e-13)
        assert jacfwd(f)(point) == pytest.approx(slopes, rel=1e-9, abs=1e-11)
        if is_decided(program, point):
            assert value == pytest.approx(f(point), rel=1e-9, abs=1e-11)
            assert slopes == pytest.approx(complex_steps(f, point), rel=1e-9, abs=1e-10)


@pytest.mark.filterwarnings("ignore:the compiled function:RuntimeWarning")
@settings(
    max_examples=PROGRAMS,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(program=programs, at=st.lists(points, min_size=2, max_size=5))
def test_eager_compiled_and_complex_steps_agree(
    program: list[Statement], at: list[list[float]]
) -> None:
    """Each input may take another branch than those before it; at the end all come again."""
    assert_all_agree(program, [*at, *at])


@pytest.mark.filterwarnings("ignore:the compiled function:RuntimeWarning")
@settings(max_examples=max(PROGRAMS // 10, 30))
@given(program=programs, at=st.lists(points, min_size=2, max_size=3), t=points)
def test_second_derivatives_agree(
    program: list[Statement], at: list[list[float]], t: list[float]
) -> None:
    f = function_of(program)
    along = compile(lambda x, t: jvp(grad(f), (x,), (t,))[1])
    for point in at:
        product = jvp(grad(f), (point,), (t,))[1]
        other = grad(lambda x: jvp(f, (x,), (t,))[1])(point)
        assert along(point, t) == pytest.approx(product, rel=1e-9, abs=1e-11)
        assert other == pytest.approx(product, rel=1e-9, abs=1e-11)
