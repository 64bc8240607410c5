"""What a program is simplified to gives the same bits."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import pytest

import tapegrad
from tapegrad import (
    compile,
    exp,
    log,
    sin,
    tanh,
    value_and_grad,
)

Function = Callable[..., Any]


def bits(x: float) -> bytes:
    """A float as it lies in memory: -0.0 is not 0.0. All NaNs are one."""
    return b"nan" if x != x else struct.pack("d", x)


SPECIAL = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 5e-324, 1e308, 0.1, -2.5]

# Each is what a careless simplifier gets wrong for some number.
IDENTITIES: dict[str, Function] = {
    "x * 0.0": lambda x, y: x * 0.0,
    "0.0 * x": lambda x, y: 0.0 * x,
    "x * -0.0": lambda x, y: x * -0.0,
    "x * 1.0": lambda x, y: x * 1.0,
    "x * -1.0": lambda x, y: x * -1.0,
    "x + 0.0": lambda x, y: x + 0.0,
    "0.0 + x": lambda x, y: 0.0 + x,
    "x + -0.0": lambda x, y: x + -0.0,
    "x - 0.0": lambda x, y: x - 0.0,
    "x - -0.0": lambda x, y: x - -0.0,
    "0.0 - x": lambda x, y: 0.0 - x,
    "-0.0 - x": lambda x, y: -0.0 - x,
    "x - x": lambda x, y: x - x,
    "x / x": lambda x, y: x / x,
    "x / 1.0": lambda x, y: x / 1.0,
    "x / -1.0": lambda x, y: x / -1.0,
    "x / 3.0": lambda x, y: x / 3.0,
    "0.0 / x": lambda x, y: 0.0 / x,
    "-(-x)": lambda x, y: -(-x),  # noqa: B002
    "-(x - y)": lambda x, y: -(x - y),
    "x + -y": lambda x, y: x + -y,
    "-x + y": lambda x, y: -x + y,
    "-x + -y": lambda x, y: -x + -y,
    "-x - y": lambda x, y: -x - y,
    "x - -y": lambda x, y: x - -y,
    "-x - -y": lambda x, y: -x - -y,
    "-x * -y": lambda x, y: -x * -y,
    "-x * y": lambda x, y: -x * y,
    "(x + y) - y": lambda x, y: (x + y) - y,
    "x * y - y * x": lambda x, y: x * y - y * x,
    "(x + y) + (y + x)": lambda x, y: (x + y) + (y + x),
    "2.0 * x + 3.0 * x": lambda x, y: 2.0 * x + 3.0 * x,
    "x + (y + 0.1)": lambda x, y: x + (y + 0.1),
    "0.1 + (0.2 + x)": lambda x, y: 0.1 + (0.2 + x),
    "x**0": lambda x, y: x**0,
    "x**-0.0": lambda x, y: x**-0.0,
    "x**1": lambda x, y: x**1,
    "x**2": lambda x, y: x**2,
    "x**3": lambda x, y: x**3,
    "x**4": lambda x, y: x**4,
    "x**-1": lambda x, y: x**-1,
    "x**-2": lambda x, y: x**-2,
    "x**0.5": lambda x, y: x**0.5,
    "x**-0.5": lambda x, y: x**-0.5,
    "1.0**x": lambda x, y: 1.0**x,
    "0.0**x": lambda x, y: 0.0**x,
    "x**y": lambda x, y: x**y,
    "abs(-x)": lambda x, y: abs(-x),
    "abs(abs(x))": lambda x, y: abs(abs(x)),
    "sqrt(x * x)": lambda x, y: tapegrad.sqrt(x * x),
    "log(exp(x))": lambda x, y: log(exp(x)),
    "maximum(x, x)": lambda x, y: tapegrad.maximum(x, x),
    "maximum(x, y)": lambda x, y: tapegrad.maximum(x, y),
    "maximum(y, x)": lambda x, y: tapegrad.maximum(y, x),
    "minimum(x, 0.0)": lambda x, y: tapegrad.minimum(x, 0.0),
    "x % 1.0": lambda x, y: x % 1.0,
    "max(x, y)": lambda x, y: max(x, y),
    "min(y, x)": lambda x, y: min(y, x),
    "sum([x, y])": lambda x, y: tapegrad.sum([x, 0.0, y, -0.0]),
    "dot": lambda x, y: tapegrad.dot([x, y, 1.0], [0.0, 1.0, x]),
    "relu(x) * 0.0": lambda x, y: tapegrad.relu(x) * 0.0,
    "constants": lambda x, y: x * (0.1 + 0.2) * (1e308 * 10.0) * 0.0,
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_simplification_is_exact(name: str) -> None:
    """Bit for bit what the function gives without it, for the derivatives too."""
    f = IDENTITIES[name]

    def eager(x: float, y: float) -> list[float]:
        """By numbers that are traced and not compiled."""
        value, slopes = value_and_grad(f, (0, 1))(x, y)
        return [value, *slopes]

    compiled = compile(lambda x, y: [f(x, y)])
    both = compile(value_and_grad(f, (0, 1)))
    for x in SPECIAL:
        for y in SPECIAL:
            value, *slopes = eager(x, y)
            assert bits(compiled(x, y)[0]) == bits(value), (x, y)
            value_again, slopes_again = both(x, y)
            assert bits(value_again) == bits(value), (x, y)
            assert list(map(bits, slopes_again)) == list(map(bits, slopes)), (x, y)


def test_constants_are_folded_and_equal_operations_merged() -> None:
    f = compile(lambda x, y: sin(x * y) + sin(y * x) + (2.0 * 3.0) * x * 1.0)
    program = f.program(1.0, 2.0)
    assert program.counts == {"mul": 2, "sin": 1, "add": 2}


def test_what_no_result_needs_is_dropped() -> None:
    def f(x: Any) -> Any:
        for _ in range(100):
            tanh(x)
            x * 0.5
        return x + 1.0

    assert compile(f).program(1.0).counts == {"add": 1}
