"""A class of a program beside Value: the same operations on both, with the same numbers."""

from __future__ import annotations

import ast
import contextlib
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from tapegrad import _core
from tapegrad._core import Value
from tapegrad.compat.replace_class.agreement import close, same_slope, same_value
from tapegrad.compat.replace_class.class_copy import Scope
from tapegrad.compat.replace_class.expectations import other_error
from tapegrad.compat.replace_class.shape import Shape
from tapegrad.compat.replace_class.source import ClassSource

# Numbers and pairs to try: ordinary ones, kinks, large and tiny ones, where clamps would show.
_NUMBERS = [0.5, -0.5, 1.0, -1.0, 1.7, -2.3, 3.0, -4.0, 12.0, -12.0, 40.0, -40.0, 100.0, -100.0]
_NUMBERS += [20.0, -20.0, 250.0, -250.0, 0.0, 1e-3, -1e-3, 1e-6, 1e-9, -1e-9, 1e-12, 1e6, -1e6]
_PAIRS = [(2.0, 3.0), (-1.5, 0.5), (0.5, -1.0), (3.0, 0.5), (0.0, 2.0), (2.0, 0.0), (0.0, 0.0)]
_PAIRS += [(-2.0, 3.0), (7.0, 7.0), (1e-9, 1e9), (1e6, -1e6), (100.0, 0.01), (1.0, 1e-12)]
# Operands that an operation may leave out, returning the other as it is.
_PAIRS += [(2.0, 0), (0, 2.0), (3.0, 1.0), (3.0, 1), (1, 3.0), (2.0, -1)]
_BINARY = {f"__{r}{x}__" for r in ("", "r") for x in ("add", "sub", "mul", "truediv", "pow")}
_UNARY = {"__neg__", "__pos__", "__abs__"}
BEGIN = 0.25  # a gradient that was there before


def _operations() -> dict[str, int]:
    """The operands of each operation that Value has, by method name."""
    found = dict.fromkeys(_BINARY, 2) | dict.fromkeys(_UNARY, 1)
    for operation in _core.operations():
        for name in (operation["name"], operation["alias"]):
            if name is not None and name in vars(Value):
                found[name] = operation["arity"] or 0
    return found


OPERATIONS = _operations()


Outcome = tuple[float, ...]


@dataclass
class Engine:
    """A kind of node under trial: the program's own, or tapegrad's."""

    make: Callable[[float], Any]
    kind: type
    get: Callable[[Any, str], Any]
    set_grad: Callable[[Any, float], None]
    pull: Callable[[Any], None]


def _set_grad(node: Any, grad: float) -> None:
    node.grad = grad


OURS = Engine(Value, Value, getattr, _set_grad, lambda node: node.backward())


def engine_of(shape: Shape) -> Engine:
    """The program's own kind of node."""
    return Engine(
        shape.cls,
        shape.cls,
        shape.get,
        lambda node, grad: shape.set(node, "grad", grad),
        shape.pull,
    )


@dataclass
class Trial:
    """A class that was tried beside Value: its nodes, and what became of each of its methods."""

    source: ClassSource
    shape: Shape
    scope: Scope
    same: set[str] = field(default_factory=set)  # as the engine's: replaced
    own: dict[str, str] = field(default_factory=dict)  # the program's, and why
    lifted: set[str] = field(default_factory=set)  # of those, which run on copies of their operands
    tested: set[str] = field(default_factory=set)  # methods that can be compared
    upstream: bool = False
    begin: float = BEGIN
    caught: Collection[str] = ()  # names of exceptions that the program handles


@dataclass(frozen=True)
class Case:
    """Operands to try a method with: nodes, of which the second may be a number or the first."""

    numbers: tuple[float, ...]
    second: str = "node"  # or number, same


def cases_of(name: str, function: ast.FunctionDef) -> Iterable[Case]:
    """Operands to try a method with."""
    arguments = function.args
    count = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    if count == 1:
        for number in _NUMBERS:
            yield Case((number,))
    elif count == 2:
        for pair in _PAIRS:
            yield Case(pair)
            yield Case(pair, "number")
            if pair[0] == pair[1]:
                yield Case(pair, "same")
        if "pow" in name:
            for base in (2.0, -2.0, 0.5, 0.0):
                for exponent in (2, 3, -1, 0.5, 1, 0, -2):
                    yield Case((base, exponent), "number")


def differs(trial: Trial, other: Engine, name: str, looks: Collection[str] = ()) -> str:
    """Where a method gives other numbers on nodes of `other`; "" where it does not.

    `looks` says at what of a node the program looks: its op, its children.
    """
    theirs = engine_of(trial.shape)
    compared = 0
    for case in cases_of(name, trial.source.methods()[name]):
        where = " and ".join(f"{number:g}" for number in case.numbers)
        # What comes to a node is large and small in turn: a large gradient may be clipped, a
        # small one left out; with a gradient from before it is seen to be added.
        for upstream, begin in ((3.0, trial.begin), (-1e7, 0.0), (1e-20, 0.0)):
            expected = _outcome(trial, theirs, name, case, upstream, begin)
            found = None
            if isinstance(expected, Exception):
                found = _outcome(trial, other, name, case, upstream, begin)
                ours = found if isinstance(found, Exception) else None
                reason = other_error(expected, ours, trial.caught)
                if reason:
                    return f"{reason} at {where}".replace(", at", " at")
                break
            if expected is None or any(map(math.isnan, expected)):
                continue  # it fails there, which the engine need not
            compared += 1
            found = _outcome(trial, other, name, case, upstream, begin)
            scale = upstream if trial.upstream else 1.0
            if found is None or isinstance(found, Exception):
                return f"gives other numbers at {where}"
            if expected[0] != found[0]:
                return f"returns its operand at {where}"
            if not _agree(expected, found, scale, begin):
                return f"gives other numbers at {where}"
    if compared and looks:
        return _other_structure(trial, name, looks)
    return "" if compared else "raises"


def _outcome(
    trial: Trial, engine: Engine, name: str, case: Case, upstream: float, begin: float
) -> Outcome | Exception | None:
    """Which operand a method returns, its value and derivatives; None where it gives no node."""
    try:
        leaves = [engine.make(number) for number in case.numbers]
        if case.second != "node":
            del leaves[1:]
        operands = {"node": leaves[1:], "number": [*case.numbers[1:]], "same": leaves}
        for leaf in leaves:
            engine.set_grad(leaf, 0.5)
        result = getattr(leaves[0], name)(*operands[case.second])
    except Exception as error:
        return error
    if not isinstance(result, engine.kind):
        return None
    try:
        position = next((i for i, leaf in enumerate(leaves) if leaf is result), -1)
        outcome = [float(position), float(engine.get(result, "data"))]
        for leaf in leaves:
            if engine.get(leaf, "grad") != 0.5:
                return None  # it changes its operands
            engine.set_grad(leaf, begin)
        engine.pull(result * engine.make(upstream) if trial.upstream else result)
        return (*outcome, *(float(engine.get(leaf, "grad")) for leaf in leaves))
    except Exception:
        return None


def _agree(expected: Outcome, found: Outcome, scale: float, begin: float) -> bool:
    """Whether values are equal but for rounding, and gradients, which are times `scale`."""
    if not same_value(expected[1], found[1], bounded=len(expected) == 3):
        return False
    pairs = zip(expected[2:], found[2:], strict=True)
    if begin:
        # To see that it is added; it hides what is small.
        return all(abs(a - b) <= 1e-13 + 1e-10 * abs(b) or close(a, b) for a, b in pairs)
    return all(same_slope(a / scale, b / scale) for a, b in pairs)


def _other_structure(trial: Trial, name: str, looks: Collection[str]) -> str:
    """Whether a node has another operation or other operands, where the program looks at these."""
    shape = trial.shape
    a, x = [shape.cls(2.0), shape.cls(3.0)], [Value(2.0), Value(3.0)]
    count = OPERATIONS.get(name, 1)
    # Powers may take numbers only.
    for theirs_second, ours_second in (([a[1]], [x[1]]), ([3.0], [3.0])):
        with contextlib.suppress(Exception):
            theirs = getattr(a[0], name)(*theirs_second[: count - 1])
            ours = getattr(x[0], name)(*ours_second[: count - 1])
            break
    else:
        return "makes other nodes"
    if "op" in looks and shape.get(theirs, "op") != ours._op:
        return "makes nodes of another operation, at which the program looks"
    if "children" in looks:
        positions = {id(node): index for pair in (a, x) for index, node in enumerate(pair)}
        found = [positions.get(id(child), -1) for child in shape.get(theirs, "children")]
        expected = [positions.get(id(child), -1) for child in ours._children]
        if shape.container not in (list, tuple):
            found, expected = sorted({*found}), sorted({*expected})
        if found != expected:
            return "makes nodes of other operands, at which the program looks"
    return ""
