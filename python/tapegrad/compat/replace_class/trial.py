"""Trials of a program's class against Value: the same operations on the same numbers."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tapegrad import _core
from tapegrad._core import Value
from tapegrad.compat.replace_class.class_copy import Scope
from tapegrad.compat.replace_class.constructor import Shape
from tapegrad.compat.replace_class.source import ClassSource

# The numbers and pairs to try: ordinary ones, kinks, and large and tiny ones that reveal clamps.
_NUMBERS = [0.5, -0.5, 1.0, -1.0, 1.7, -2.3, 3.0, -4.0, 12.0, -12.0, 40.0, -40.0, 100.0, -100.0]
_NUMBERS += [0.0, 1e-3, -1e-3, 1e-6, 1e-9, -1e-9, 1e-12, 1e6, -1e6]
_PAIRS = [(2.0, 3.0), (-1.5, 0.5), (0.5, -1.0), (3.0, 0.5), (0.0, 2.0), (2.0, 0.0), (0.0, 0.0)]
_PAIRS += [(-2.0, 3.0), (7.0, 7.0), (1e-9, 1e9), (1e6, -1e6), (100.0, 0.01), (1.0, 1e-12)]
_BINARY = {f"__{r}{x}__" for r in ("", "r") for x in ("add", "sub", "mul", "truediv", "pow")}
_UNARY = {"__neg__", "__pos__", "__abs__"}
_UPSTREAM = (3.0, -1e7)
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


def cases_of(name: str, function: ast.FunctionDef) -> Iterable[tuple[tuple[float, ...], bool]]:
    """Yield operands to try a method with, and whether the second is a plain number."""
    arguments = function.args
    count = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    if count == 1:
        for number in _NUMBERS:
            yield (number,), False
    elif count == 2:
        for pair in _PAIRS:
            yield pair, False
            yield pair, True
        if "pow" in name:
            for base in (2.0, -2.0, 0.5, 0.0):
                for exponent in (2, 3, -1, 0.5, 1, 0, -2):
                    yield (base, exponent), True


def differs(trial: Trial, other: Engine, name: str, structural: bool = False) -> str:
    """Return how a method differs on nodes of `other`, or "" if it does not."""
    theirs = engine_of(trial.shape)
    compared = 0
    for index, (numbers, plain) in enumerate(cases_of(name, trial.source.methods()[name])):
        # The incoming gradient alternates between small and large, to reveal clipping.
        upstream = _UPSTREAM[index % 2]
        expected = _outcome(trial, theirs, name, numbers, plain, upstream)
        if expected is None or any(map(math.isnan, expected)):
            continue  # the engine need not fail where the program's operation does
        compared += 1
        found = _outcome(trial, other, name, numbers, plain, upstream)
        if found is None or not _agree(expected, found, upstream):
            where = " and ".join(f"{number:g}" for number in numbers)
            return f"gives other numbers at {where}"
    if compared and structural:
        return _other_structure(trial, name)
    return "" if compared else "raises"


def _outcome(
    trial: Trial,
    engine: Engine,
    name: str,
    numbers: tuple[float, ...],
    plain: bool,
    upstream: float,
) -> Outcome | None:
    """Return the value and derivatives of a method, or None if it raises or returns no node."""
    try:
        leaves = [engine.make(number) for number in numbers[: 1 if plain else None]]
        operands = [*leaves[1:], *(numbers[1:] if plain else ())]
        result = getattr(leaves[0], name)(*operands)
        if not isinstance(result, engine.kind):
            return None
        value = engine.get(result, "data")
        for leaf in leaves:
            engine.set_grad(leaf, trial.begin)
        engine.pull(result * engine.make(upstream) if trial.upstream else result)
        return (float(value), *(float(engine.get(leaf, "grad")) for leaf in leaves))
    except Exception:
        return None


def _agree(expected: Outcome, found: Outcome, scale: float = 1.0) -> bool:
    """True if numbers agree up to rounding; all but the first are gradients times `scale`."""
    absolute = [1e-13, *[1e-13 * max(1.0, abs(scale))] * (len(expected) - 1)]
    return all(
        a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= tolerance + 1e-10 * abs(a)
        for a, b, tolerance in zip(expected, found, absolute, strict=True)
    )


def _other_structure(trial: Trial, name: str) -> str:
    """Return how a method's node differs in operation or operands, or "" if it does not."""
    shape = trial.shape
    binary = OPERATIONS.get(name, 1) == 2
    a, x = [shape.cls(2.0), shape.cls(3.0)], [Value(2.0), Value(3.0)]
    try:
        theirs = getattr(a[0], name)(*a[1 : 1 + binary])
        ours = getattr(x[0], name)(*x[1 : 1 + binary])
    except Exception:
        return "makes other nodes"
    same = shape.get(theirs, "op") == ours._op
    if "children" in shape.attributes:
        found = list(shape.get(theirs, "children"))
        expected = [a[x.index(child)] if child in x else None for child in ours._children]
        ordered = shape.container in (list, tuple)
        same &= found == expected if ordered else set(found) == set(expected)
    return "" if same else "makes nodes of another operation, which the program reads"


def sweeps_alike(trial: Trial, theirs: Engine, ours: Engine) -> bool:
    """True if both sweeps leave the same gradients at every node, also after several calls."""
    if "__add__" in trial.same and "__mul__" in trial.same:
        add, multiply = "__add__", "__mul__"
    else:
        binary = sorted(name for name in trial.same if OPERATIONS.get(name) == 2)
        if not binary:
            return False
        add = multiply = binary[0]
    for build in _GRAPHS:
        outcomes = []
        for engine in (theirs, ours):
            try:
                outcomes.append(build(engine, add, multiply))
            except Exception:
                outcomes.append((math.nan,))
        if len(outcomes[0]) != len(outcomes[1]) or not _agree(outcomes[0], outcomes[1]):
            return False
    return True


def _grads(engine: Engine, nodes: list[Any]) -> Outcome:
    return tuple(float(engine.get(node, part)) for node in nodes for part in ("data", "grad"))


def _shared(engine: Engine, add: str, multiply: str) -> Outcome:
    a, b, c = engine.make(1.5), engine.make(-2.0), engine.make(0.5)
    d = getattr(a, multiply)(b)
    e = getattr(d, add)(getattr(d, multiply)(c))
    f = getattr(e, multiply)(e)
    g = getattr(f, add)(a)
    nodes = [a, b, c, d, e, f, g]
    engine.pull(g)
    first = _grads(engine, nodes)
    engine.pull(g)
    second = _grads(engine, nodes)
    engine.pull(e)
    return first + second + _grads(engine, nodes)


def _two_roots(engine: Engine, add: str, multiply: str) -> Outcome:
    a, b, unrelated = engine.make(3.0), engine.make(4.0), engine.make(5.0)
    for node in (a, unrelated):
        engine.set_grad(node, 7.0)
    d = getattr(a, multiply)(b)
    roots = [getattr(d, add)(a), getattr(d, multiply)(b)]
    for root in roots:
        engine.pull(root)
    return _grads(engine, [a, b, unrelated, d, *roots])


def _chain(engine: Engine, add: str, multiply: str) -> Outcome:
    a, b = engine.make(0.9), engine.make(0.1)
    nodes = [a]
    for _ in range(40):
        nodes.append(getattr(getattr(nodes[-1], multiply)(a), add)(b))
    engine.pull(nodes[-1])
    return _grads(engine, [*nodes, b])


def _large(engine: Engine, add: str, multiply: str) -> Outcome:
    a, b, c = engine.make(1e-7), engine.make(1e8), engine.make(-1e6)
    d = getattr(getattr(a, multiply)(b), multiply)(c)
    e = getattr(d, add)(getattr(d, multiply)(d))
    engine.pull(e)
    return _grads(engine, [a, b, c, d, e])


def _leaf(engine: Engine, add: str, multiply: str) -> Outcome:
    a = engine.make(2.0)
    engine.set_grad(a, 5.0)
    engine.pull(a)
    return _grads(engine, [a])


_GRAPHS = [_shared, _two_roots, _chain, _large, _leaf]
