"""Trials of a program's class against Value: the same operations on the same numbers."""

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

# The numbers and pairs to try: ordinary ones, kinks, and large and tiny ones that reveal clamps.
_NUMBERS = [0.5, -0.5, 1.0, -1.0, 1.7, -2.3, 3.0, -4.0, 12.0, -12.0, 40.0, -40.0, 100.0, -100.0]
_NUMBERS += [20.0, -20.0, 250.0, -250.0, 0.0, 1e-3, -1e-3, 1e-6, 1e-9, -1e-9, 1e-12, 1e6, -1e6]
_PAIRS = [(2.0, 3.0), (-1.5, 0.5), (0.5, -1.0), (3.0, 0.5), (0.0, 2.0), (2.0, 0.0), (0.0, 0.0)]
_PAIRS += [(-2.0, 3.0), (7.0, 7.0), (1e-9, 1e9), (1e6, -1e6), (100.0, 0.01), (1.0, 1e-12)]
_PAIRS += [(1e-20, 3e-20), (1e-200, 1e-3)]
# Neutral operands, for which an operation may return its other operand unchanged.
_PAIRS += [(2.0, 0), (0, 2.0), (3.0, 1.0), (3.0, 1), (1, 3.0), (2.0, -1)]
_BINARY = {f"__{r}{x}__" for r in ("", "r") for x in ("add", "sub", "mul", "truediv", "pow")}
_UNARY = {"__neg__", "__pos__", "__abs__"}
BEGIN = 0.25  # a gradient left by an earlier sweep


def _operations() -> dict[str, int]:
    """Return the number of operands of each operation of Value, by method name."""
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
    """The interface to a kind of node in a trial: the program's own or tapegrad's."""

    make: Callable[[float], Any]
    kind: type
    get: Callable[[Any, str], Any]
    set_grad: Callable[[Any, float], None]
    pull: Callable[[Any], None]


def _set_grad(node: Any, grad: float) -> None:
    node.grad = grad


OURS = Engine(Value, Value, getattr, _set_grad, lambda node: node.backward())


def engine_of(shape: Shape) -> Engine:
    """Return the interface to the program's own kind of node."""
    return Engine(
        shape.cls,
        shape.cls,
        shape.get,
        lambda node, grad: shape.set(node, "grad", grad),
        shape.pull,
    )


@dataclass
class Trial:
    """The result of a trial: the class's nodes, and the classification of its methods."""

    source: ClassSource
    shape: Shape
    scope: Scope
    same: set[str] = field(default_factory=set)  # equivalent to the engine's, so replaced
    own: dict[str, str] = field(default_factory=dict)  # kept from the program, and why
    lifted: set[str] = field(default_factory=set)  # those of `own` that run on copied operands
    tested: set[str] = field(default_factory=set)  # methods that can be compared
    upstream: bool = False
    begin: float = BEGIN
    caught: Collection[str] = ()  # the names of exceptions that the program catches


@dataclass(frozen=True)
class Case:
    """Operands to try a method with: nodes, but the second may be a number or the first node."""

    numbers: tuple[float, ...]
    second: str = "node"  # or number, same


def cases_of(name: str, function: ast.FunctionDef) -> Iterable[Case]:
    """Yield operands to try a method with."""
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
    """Return how a method differs on nodes of `other`, or "" if it does not.

    `looks` are the attributes of nodes that the program reads, by meaning: op, children.
    """
    theirs = engine_of(trial.shape)
    compared = 0
    for case in cases_of(name, trial.source.methods()[name]):
        where = " and ".join(f"{number:g}" for number in case.numbers)
        # Large and small incoming gradients reveal clipping and thresholds, and a gradient left
        # by an earlier sweep reveals whether the new one is added.
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
                continue  # the engine need not fail where the program's operation does
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
    """Return which operand a method returns, its value and its derivatives.

    Returns the exception if it raises one, and None if it returns no node.
    """
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
                return None  # it modifies its operands
            engine.set_grad(leaf, begin)
        engine.pull(result * engine.make(upstream) if trial.upstream else result)
        return (*outcome, *(float(engine.get(leaf, "grad")) for leaf in leaves))
    except Exception:
        return None


def _agree(expected: Outcome, found: Outcome, scale: float, begin: float) -> bool:
    """True if values and gradients, which are times `scale`, agree up to rounding."""
    if not same_value(expected[1], found[1], bounded=len(expected) == 3):
        return False
    pairs = zip(expected[2:], found[2:], strict=True)
    if begin:
        # The earlier gradient hides small differences.
        return all(abs(a - b) <= 1e-13 + 1e-10 * abs(b) or close(a, b) for a, b in pairs)
    return all(same_slope(a / scale, b / scale) for a, b in pairs)


def _other_structure(trial: Trial, name: str, looks: Collection[str]) -> str:
    """Return how a method's node differs in what the program reads of it, or "" if it does not."""
    shape = trial.shape
    a, x = [shape.cls(2.0), shape.cls(3.0)], [Value(2.0), Value(3.0)]
    count = OPERATIONS.get(name, 1)
    # A power may accept only numbers.
    for theirs_second, ours_second in (([a[1]], [x[1]]), ([3.0], [3.0])):
        with contextlib.suppress(Exception):
            theirs = getattr(a[0], name)(*theirs_second[: count - 1])
            ours = getattr(x[0], name)(*ours_second[: count - 1])
            break
    else:
        return "makes other nodes"
    if "op" in looks and shape.get(theirs, "op") != ours._op:
        return "makes nodes of another operation, which the program reads"
    if "children" in looks:
        positions = {id(node): index for pair in (a, x) for index, node in enumerate(pair)}
        found = [positions.get(id(child), -1) for child in shape.get(theirs, "children")]
        expected = [positions.get(id(child), -1) for child in ours._children]
        if shape.container not in (list, tuple):
            found, expected = sorted({*found}), sorted({*expected})
        if found != expected:
            return "makes nodes of other operands, which the program reads"
    return ""
