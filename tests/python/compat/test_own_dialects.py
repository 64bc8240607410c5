"""Engines in every combination of dialects: what they call things and how they keep derivatives."""

from __future__ import annotations

import contextlib
import io
import itertools
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.engines import assert_same_output
from support.running import run, write

NAMES = [
    ("data", "grad", "_children", "_op"),
    ("data", "grad", "_prev", "_op"),
    ("value", "grad", "parents", "op"),
    ("val", "derivative", "_inputs", "operation"),
]


@dataclass(frozen=True)
class Dialect:
    """The choices that an engine's author has."""

    names: tuple[str, str, str, str]
    keeps: str  # closures, slopes, dispatch or edges
    container: str  # set, tuple or list
    takes: str  # positional, label first, keyword, none or starred
    no_operation: str  # '' or None
    slots: bool
    extra: str  # another attribute of every node

    def __str__(self) -> str:
        parts = [self.names[2], self.keeps, self.container, self.takes, self.no_operation]
        return "-".join([*parts, "slots" * self.slots, self.extra.partition(" ")[0]])

    def has_children(self) -> bool:
        return self.keeps != "edges"


def engine(d: Dialect) -> str:
    """A class in this dialect: sums, products, sin, and a bump that no engine has."""
    data, grad, children, op = d.names
    attributes = [data, grad, op, "label"]
    head = {
        "positional": f"data, {children}=(), {op}={d.no_operation}, KEPT label=''",
        "label first": f"data, label='', {children}=(), {op}={d.no_operation}, KEPT",
        "keyword": f"data, *, {children}=(), {op}={d.no_operation}, KEPT label=''",
        "none": "data, label=''",
        "starred": f"data, *{children}, {op}={d.no_operation}, KEPT label=''",
    }[d.takes]
    kept = {"slopes": "slopes=(),", "edges": "edges=(),"}.get(d.keeps, "")
    head = head.replace("KEPT", kept)
    if not d.has_children():
        head = head.replace(f"*{children}", "*").replace(f"{children}=(), ", "")
    body = [f"self.{data} = data", f"self.{grad} = 0.0"]
    given = "" if d.takes == "none" else op
    body += [f"self.{op} = {given or d.no_operation}", "self.label = label"]
    if d.has_children():
        attributes.append(children)
        body.append(f"self.{children} = {d.container}({'' if d.takes == 'none' else children})")
    if d.keeps in ("slopes", "edges"):
        attributes.append(d.keeps)
        body.append(f"self.{d.keeps} = {'()' if d.takes == 'none' else d.keeps}")
    if d.keeps == "closures":
        attributes.append("step")
        body.append("self.step = lambda: None")
    if d.extra:
        attributes.append(d.extra.partition(" ")[0])
        body.append(f"self.{d.extra}")
    slots = f"    __slots__ = {tuple(attributes)}\n" if d.slots else ""
    lines = "\n        ".join(body)
    text = (
        f"import math\n\nclass Number:\n{slots}    def __init__(self, {head}):\n        {lines}\n"
    )
    lift = "other = other if isinstance(other, Number) else Number(other)"
    for name, formula, operands, sign, slopes in [
        ("__add__", f"self.{data} + other.{data}", ["self", "other"], "add", ["1.0", "1.0"]),
        (
            "__mul__",
            f"self.{data} * other.{data}",
            ["self", "other"],
            "mul",
            [f"other.{data}", f"self.{data}"],
        ),
        ("sin", f"math.sin(self.{data})", ["self"], "sin", [f"math.cos(self.{data})"]),
        (
            "bump",
            f"1.0 / (1.0 + self.{data} ** 2)",
            ["self"],
            "bump",
            [f"-2.0 * self.{data} / (1.0 + self.{data} ** 2) ** 2"],
        ),
    ]:
        binary = len(operands) == 2
        text += f"    def {name}({', '.join(operands)}):\n"
        if binary:
            text += f"        {lift}\n"
        text += make_node(d, formula, operands, sign, slopes)
    text += "    def __sub__(self, other):\n        return self + other * -1.0\n"
    text += "    __radd__, __rmul__ = __add__, __mul__\n"
    return text + sweep(d)


def make_node(d: Dialect, formula: str, operands: list[str], sign: str, slopes: list[str]) -> str:
    """The statements that make the node of an operation."""
    _, grad, children, op = d.names
    group = f"({', '.join(operands)},)"
    edges = f"({', '.join(f'({o}, {s})' for o, s in zip(operands, slopes, strict=True))},)"
    given = {"slopes": f"({', '.join(slopes)},)", "edges": edges}.get(d.keeps)
    if d.takes == "none":
        lines = [f"out = Number({formula})", f"out.{op} = {sign!r}"]
        if d.has_children():
            lines.append(f"out.{children} = {d.container}({group})")
        if given:
            lines.append(f"out.{d.keeps} = {given}")
    else:
        arguments = [formula]
        if d.has_children():
            arguments += operands if d.takes == "starred" else [f"{children}={group}"]
        arguments.append(f"{op}={sign!r}")
        if given:
            arguments.append(f"{d.keeps}={given}")
        lines = [f"out = Number({', '.join(arguments)})"]
    if d.keeps == "closures":
        lines.append("def step():")
        lines += [
            f"    {o}.{grad} += {s} * out.{grad}" for o, s in zip(operands, slopes, strict=True)
        ]
        lines.append("out.step = step")
    return "".join(f"        {line}\n" for line in [*lines, "return out"])


def sweep(d: Dialect) -> str:
    """Its backward()."""
    data, grad, children, op = d.names
    operands = f"v.{children}" if d.has_children() else "(o for o, _ in v.edges)"
    one = f"v.{children}[0]"
    step = {
        "closures": "v.step()",
        "slopes": f"for o, s in zip(v.{children}, v.slopes): o.{grad} += s * v.{grad}",
        "edges": f"for o, s in v.edges: o.{grad} += s * v.{grad}",
        "dispatch": f"""if v.{op} == 'add':
                for o in v.{children}: o.{grad} += v.{grad}
            elif v.{op} == 'mul':
                a, b = v.{children}
                a.{grad} += b.{data} * v.{grad}
                b.{grad} += a.{data} * v.{grad}
            elif v.{op} == 'sin':
                {one}.{grad} += math.cos({one}.{data}) * v.{grad}
            elif v.{op} == 'bump':
                x = {one}.{data}
                {one}.{grad} += -2.0 * x / (1.0 + x * x) ** 2 * v.{grad}""",
    }[d.keeps]
    return f"""    def backward(self):
        order, seen = [], set()
        def visit(v):
            if id(v) not in seen:
                seen.add(id(v))
                for o in {operands}:
                    visit(o)
                order.append(v)
        visit(self)
        self.{grad} = 1.0
        for v in reversed(order):
            {step}
"""


def training(d: Dialect) -> str:
    data, grad, children, op = d.names
    looks = f"len(list(error.{children})), list(w[0].{children}) == []" if d.has_children() else "0"
    extra = d.extra.partition(" ")[0]
    return f"""
w = [Number(0.3, label='slope'), Number(-0.2), Number(0.7, label='scale')]
for step in range(6):
    loss = Number(0.0)
    for x, y in [(0.5, 1.0), (-1.0, 0.25), (2.0, -0.5)]:
        h = w[0] * x + w[1]
        error = w[2] * h.bump() + h.sin() - y
        loss = loss + error * error
    for p in w:
        p.{grad} = 0.0
    loss.backward()
    for p in w:
        p.{data} -= 0.1 * p.{grad}
    print(step, loss.{data}, *(p.{grad} for p in w), {looks})
print(w[0].label, repr(w[1].label), w[0].{op}, {f"loss.{extra}" if extra else None})
"""


def choose() -> list[Dialect]:
    """Dialects in which every pair of choices occurs."""
    every = [
        Dialect(*choices)
        for choices in itertools.product(
            NAMES,
            ["closures", "slopes", "dispatch", "edges"],
            ["set", "tuple", "list"],
            ["positional", "label first", "keyword", "none", "starred"],
            ["''", "None"],
            [False, True],
            ["", "momentum = 0", "requires_grad = True"],
        )
        # A set forgets which operand was the first, and squares have one.
        if not (choices[2] == "set" and choices[1] in ("slopes", "dispatch"))
    ]
    random.Random(5).shuffle(every)
    seen: set[tuple[object, ...]] = set()
    chosen = []
    for dialect in every:
        values = list(enumerate(vars(dialect).values()))
        pairs = set(itertools.combinations(values, 2))
        if pairs - seen:
            chosen.append(dialect)
            seen |= pairs
    return chosen


@pytest.mark.parametrize("dialect", choose(), ids=str)
def test_an_engine_in_any_dialect_is_replaced_and_gives_its_numbers(
    tmp_path: Path, dialect: Dialect
) -> None:
    program = engine(dialect) + training(dialect)
    path = write(tmp_path, "program.py", program)
    expected = io.StringIO()
    with contextlib.redirect_stdout(expected):
        exec(compile(program, str(path), "exec"), {"__name__": "__main__"})
    found = run(tmp_path, "--replace-class", "Number", "program.py")
    assert found.returncode == 0, found.stderr
    assert "class Number of __main__ is now tapegrad's Value" in found.stderr
    assert "kept tapegrad's own: operators" in found.stderr
    assert_same_output(found.stdout, expected.getvalue())
