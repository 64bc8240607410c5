"""Write operations.md from the table of operations and from PyTorch's values at edges.

Run it with tapegrad installed, after a change to either: python docs/make_operations.py
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tapegrad
from tapegrad import _core

HERE = Path(__file__).parent
PAGE = HERE / "operations.md"
EDGES = HERE.parent / "tests" / "python" / "data" / "torch_edges.json"

INF = float("inf")
# The points of torch_edges.json that the page shows, by operation.
SHOWN: dict[str, list[tuple[float, ...]]] = {
    "relu": [(0.0,)],
    "leaky_relu": [(0.0,)],
    "abs": [(0.0,)],
    "maximum": [(2.0, 2.0)],
    "minimum": [(2.0, 2.0)],
    "clip": [(-1.0, -1.0, 1.0), (1.0, -1.0, 1.0), (2.0, -1.0, 1.0)],
    "pow": [
        *((0.0, 0.0), (2.0, 0.0), (0.0, 2.0), (0.0, 0.5), (0.0, -1.0)),
        *((-2.0, 3.0), (-2.0, 0.5)),
    ],
    "pow_const": [
        *((0.0, 0.0), (2.0, 0.0), (0.0, 2.0), (0.0, 0.5), (0.0, -1.0)),
        *((-2.0, 3.0), (-2.0, 0.5)),
    ],
    "div": [(1.0, 0.0), (0.0, 0.0)],
    "reciprocal": [(0.0,)],
    "sqrt": [(0.0,), (-1.0,)],
    "log": [(0.0,), (-1.0,)],
    "log1p": [(-1.0,)],
    "asin": [(1.0,), (2.0,)],
    "acos": [(1.0,)],
    "acosh": [(1.0,)],
    "atanh": [(1.0,)],
    "atan2": [(0.0, 0.0)],
    "hypot": [(0.0, 0.0)],
    "lgamma": [(0.0,), (-1.0,)],
    "exp": [(710.0,)],
    "tanh": [(710.0,), (-INF,)],
    "sigmoid": [(-1000.0,), (INF,)],
}

INTRODUCTION = """\
# Operations

<!-- Written by docs/make_operations.py from the table of operations: run it, do not edit. -->

Each operation is a function of `tapegrad` and a method of `Value`: `tapegrad.exp(x)` and `x.exp()`.
Some also have NumPy's name. Functions accept any mixture of Values and plain numbers. They return a
Value if any operand is one, and a float otherwise. `sum`, `dot` and the functions below them take
iterables, are not methods, and create one node for any number of operands.

Values also have a float's `real`, `imag`, `conjugate()` and `is_integer()`, and the methods
`radians`, `degrees`, `fabs` and `rint` (a constant), which NumPy calls on object arrays. `np.std`,
`np.var`, `np.round` and `np.radians` therefore work on arrays of Values and of traced numbers.
"""
KINKS = """
## Kinks and edges

Numbers are IEEE doubles, and no operation raises. Values and derivatives at kinks, edges and
infinities are PyTorch's. The table below comes from {source}; `tests/python/data/torch_edges.json`
has many more points, and the tests compare tapegrad with all of them.

Derivatives are products of these doubles, so 0 times an infinity is NaN. The contribution of an
operand that `maximum`, `minimum`, `clip`, `relu` or `leaky_relu` does not take is absent, rather
than 0 times a slope: see [Zeros and infinities](functions.md#zeros-and-infinities).
"""


def call(entry: dict[str, Any], name: str) -> str:
    """How the operation is written in Python, under one of its names."""
    if entry["constant_last"]:
        return f" {entry['symbol']} ".join(entry["parameters"])
    return name + str(inspect.signature(getattr(tapegrad, name)))


def number(x: float) -> str:
    """A number in few digits, zero without a sign."""
    return format(x + 0.0, ".6g")


def prose(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([|*_<>])", r"\\\1", text)


def row(cells: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield from ("", row(head), row("---" for _ in head), *map(row, rows))


def operation_rows() -> Iterator[list[str]]:
    """What each operation is called, and what it is."""
    for entry in _core.operations():
        alias = entry["alias"]
        yield [
            f"`{call(dict(entry), entry['name'])}`",
            f"`{alias}`" if alias else "",
            f"`{entry['symbol']}`",
            prose(entry["summary"]),
        ]


def edge_rows(cases: list[dict[str, Any]]) -> Iterator[list[str]]:
    """PyTorch's value and derivatives at the points that are shown."""
    # By text: 0.0 and -0.0 are equal.
    stored = {(case["op"], repr(case["args"])): case for case in cases}
    entries = {entry["name"]: entry for entry in _core.operations()}
    for name, points in SHOWN.items():
        parameters = entries[name]["parameters"]
        for point in points:
            case = stored[name, repr(list(point))]
            where = zip(parameters, point, strict=False)
            derivatives = zip(parameters, case["grads"], strict=False)
            yield [
                f"`{call(dict(entries[name]), name)}`",
                ", ".join(f"{parameter} = {number(x)}" for parameter, x in where),
                number(case["value"]),
                ", ".join(f"{number(d)} by {parameter}" for parameter, d in derivatives),
            ]


def page() -> str:
    """The text of operations.md."""
    edges = json.loads(EDGES.read_text())
    lines = [
        INTRODUCTION.rstrip(),
        *table(["function", "also", "symbol in drawings", "description"], operation_rows()),
        KINKS.format(source=edges["source"]).rstrip(),
        *table(["operation", "at", "value", "derivative"], edge_rows(edges["cases"])),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
