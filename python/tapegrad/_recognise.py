"""Which operations of a program's own class are the engine's: found by trying both."""

from __future__ import annotations

import ast
import math
import random
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from tapegrad import _core
from tapegrad._constructor import Scope, Shape, UnfitError, copy_class, has_constructor, read_shape
from tapegrad._core import Value
from tapegrad._source import (
    ClassSource,
    Surroundings,
    Uses,
    makes_nodes,
    names_its_class,
    operations_in,
)

_NUMBERS: tuple[float, ...] = (
    0.5,
    -0.5,
    1.0,
    -1.0,
    1.7,
    -2.3,
    3.0,
    -4.0,
    12.0,
    -12.0,
    40.0,
    -40.0,
    100.0,
    -100.0,
)
_NUMBERS += (0.0, 1e-3, -1e-3, 1e-6, 1e-9, -1e-9, 1e-12, 1e6, -1e6)
_PAIRS: tuple[tuple[float, float], ...] = (
    (2.0, 3.0),
    (-1.5, 0.5),
    (0.5, -1.0),
    (3.0, 0.5),
    (0.0, 2.0),
    (2.0, 0.0),
    (0.0, 0.0),
)
_PAIRS += ((-2.0, 3.0), (7.0, 7.0), (1e-9, 1e9), (1e6, -1e6), (100.0, 0.01), (1.0, 1e-12))
_BINARY = {f"__{r}{x}__" for r in ("", "r") for x in ("add", "sub", "mul", "truediv", "pow")}
_UNARY = {"__neg__", "__pos__", "__abs__"}
_PREDICATES = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}
_MOST_LINES = 1_000_000
_BEGIN = 0.25  # a gradient that was there before


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
    begin: float = _BEGIN


def examine(source: ClassSource, outer: Mapping[str, Any], uses: Uses) -> Trial | None:
    """Try a class and compare it with Value; None where it has no constructor of its own.

    Raises UnfitError, with the reason, where Value cannot take its place.
    """
    cls, scope = copy_class(source, outer)
    if not has_constructor(source, cls):
        return None
    with trying(source):
        return _examine(source, cls, scope, uses)


class _EndlessError(BaseException):
    """A method of the program goes on and on with numbers that it was not written for."""


@contextmanager
def _limited(source: ClassSource) -> Iterator[None]:
    """Count the lines that run where the class has loops that may have no end."""
    functions = [*source.methods().values(), *source.functions().values()]
    if not any(isinstance(node, ast.While) for f in functions for node in ast.walk(f)):
        yield
        return
    lines = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        if lines > _MOST_LINES:
            raise _EndlessError
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        yield
    except _EndlessError:
        raise UnfitError("a loop of its own had no end when it was tried") from None
    finally:
        sys.settrace(before)


@contextmanager
def trying(source: ClassSource) -> Iterator[None]:
    """Run methods of a program without an effect on it: raises UnfitError for a loop without end.

    Numbers that it will draw at random stay what they would have been.
    """
    state = random.getstate()
    numpy: Any = sys.modules.get("numpy.random")
    numpy_state = numpy.get_state() if numpy is not None else None
    try:
        with _limited(source), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(state)
        if numpy is not None:
            numpy.set_state(numpy_state)


def _examine(source: ClassSource, cls: type, scope: Scope, uses: Uses) -> Trial:
    methods = source.methods()
    held = _attributes_set_by(methods.get("__init__")) | set(getattr(cls, "__annotations__", ()))
    data = {
        name
        for base in cls.__mro__[:-1]
        for name, value in vars(base).items()
        if not (name.startswith("__") or callable(value) or hasattr(value, "__get__"))
    } - set(getattr(cls, "__dataclass_fields__", ()))
    loads = held | {name for base in cls.__mro__ for name in vars(base)}
    around = Surroundings(source, scope, data, loads, held)
    backward = methods.get("backward")
    sweeps = backward is not None and _can_be_tried(backward, around)
    shape = read_shape(cls, around, sweeps)
    trial = Trial(source, shape, scope)
    if not shape.is_tried:
        return trial
    served = set(shape.attributes.values())
    # Operations may leave at a node what only the program's sweep reads.
    stores = (served | shape.unknown) - {shape.attributes["data"]}
    strict = Surroundings(source, scope, data, (loads - held) | served, stores)
    _compare_operations(trial, strict, uses)
    # Its own sweep may read all that its operations leave at a node.
    _compare_sweep(trial, replace(strict, loads={*strict.loads, *shape.unknown}))
    _compare_others(trial, strict, uses)
    return trial


def _attributes_set_by(function: ast.FunctionDef | None) -> set[str]:
    return {
        node.attr
        for node in ast.walk(function or ast.Pass())
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }


def _can_be_tried(backward: ast.FunctionDef, around: Surroundings) -> bool:
    required = len(backward.args.args) - len(backward.args.defaults)
    return required == 1 and not around.why_not_pure(backward)


def _compare_operations(trial: Trial, strict: Surroundings, uses: Uses) -> None:
    shape, methods = trial.shape, trial.source.methods()
    structural = shape.attributes.get("op") in uses.compared
    trial.begin = _begin(shape)
    # Multiplication first: with it the others are seen to use the gradient that comes to them.
    names = sorted(methods.keys() & OPERATIONS.keys(), key=lambda name: (name != "__mul__", name))
    for name in names:
        reason = strict.why_not_pure(methods[name])
        if reason:
            trial.own[name] = reason
            continue
        trial.tested.add(name)
        reason = _has_other_parameters(name, methods[name]) or differs(
            trial, OURS, name, structural
        )
        if not reason:
            trial.same.add(name)
        elif reason != "raises":
            trial.own[name] = reason
        else:
            trial.own[name] = "could not be tried"
            trial.tested.discard(name)
        trial.upstream = "__mul__" in trial.same
    _keep_what_is_made_of_its_own(trial)
    if not trial.same:
        reasons = "; ".join(f"{name} {reason}" for name, reason in trial.own.items())
        raise UnfitError(f"none of its operations is the engine's: {reasons}")


def _keep_what_is_made_of_its_own(trial: Trial) -> None:
    """An operation stays the program's where it is made of one that does."""
    methods, inner = trial.source.methods(), _inner_names(trial.shape)
    pending = True
    while pending:
        pending = False
        for name in sorted(trial.same):
            composed = not makes_nodes(methods[name], trial.source.name, inner)
            used = sorted(operations_in(methods[name], composed) & trial.own.keys())
            if used:
                trial.own[name] = f"is made of its own {used[0]}"
                trial.same.remove(name)
                pending = True


def _begin(shape: Shape) -> float:
    """A gradient from before, where the sweep does not clear it."""
    try:
        a = shape.cls(1.5)
        result = a + shape.cls(2.0)
        shape.set(a, "grad", _BEGIN)
        shape.pull(result)
        return _BEGIN if shape.get(a, "grad") != 1.0 else 0.0
    except Exception:
        return 0.0


def _has_other_parameters(name: str, function: ast.FunctionDef) -> str:
    arguments = function.args
    count = len(arguments.posonlyargs) + len(arguments.args)
    others = arguments.vararg or arguments.kwarg or arguments.kwonlyargs
    expected = OPERATIONS[name]
    return "has parameters of its own" if others or count != expected else ""


def cases_of(name: str, function: ast.FunctionDef) -> Iterable[tuple[tuple[float, ...], bool]]:
    """Operands to try a method with, and whether the second is a plain number."""
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
    """Where a method gives other numbers on nodes of `other`; "" where it does not."""
    theirs = engine_of(trial.shape)
    compared = 0
    for numbers, plain in cases_of(name, trial.source.methods()[name]):
        expected = _outcome(trial, theirs, name, numbers, plain)
        if expected is None or any(map(math.isnan, expected)):
            continue  # it fails there, which the engine need not
        compared += 1
        found = _outcome(trial, other, name, numbers, plain)
        if found is None or not _agree(expected, found):
            where = " and ".join(f"{number:g}" for number in numbers)
            return f"gives other numbers at {where}"
    if compared and structural:
        return _other_structure(trial, name)
    return "" if compared else "raises"


def _outcome(
    trial: Trial, engine: Engine, name: str, numbers: tuple[float, ...], plain: bool
) -> Outcome | None:
    """Value and derivatives of a method, None where it raises or gives no node."""
    try:
        leaves = [engine.make(number) for number in numbers[: 1 if plain else None]]
        operands = [*leaves[1:], *(numbers[1:] if plain else ())]
        result = getattr(leaves[0], name)(*operands)
        if not isinstance(result, engine.kind):
            return None
        value = engine.get(result, "data")
        for leaf in leaves:
            engine.set_grad(leaf, trial.begin)
        engine.pull(result * engine.make(3.0) if trial.upstream else result)
        return (float(value), *(float(engine.get(leaf, "grad")) for leaf in leaves))
    except Exception:
        return None


def _agree(expected: Outcome, found: Outcome) -> bool:
    return all(
        a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= 1e-13 + 1e-10 * abs(a)
        for a, b in zip(expected, found, strict=True)
    )


def _other_structure(trial: Trial, name: str) -> str:
    """Whether a node has another operation or other operands, which the program looks at."""
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
    return "" if same else "makes nodes of another operation, at which the program looks"


def _compare_sweep(trial: Trial, strict: Surroundings) -> None:
    shape, backward = trial.shape, trial.source.methods().get("backward")
    if backward is None:
        return
    if len(backward.args.args) > 1 or backward.args.kwonlyargs or backward.args.vararg:
        reason = "has parameters of its own"
    else:
        reason = strict.why_not_pure(backward)
    if not reason:
        trial.tested.add("backward")
    if not reason and not sweeps_alike(trial, engine_of(shape), OURS):
        reason = "leaves other gradients"
    if not reason:
        trial.same.add("backward")
    elif shape.has_steps() or "local" in shape.attributes:
        trial.own["backward"] = reason
    else:
        raise UnfitError(f"its backward() {reason}, and decides by itself how to go through a node")


def sweeps_alike(trial: Trial, theirs: Engine, ours: Engine) -> bool:
    """Whether both sweeps leave the same gradients, at every node and after several calls."""
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
        if len(outcomes[0]) != len(outcomes[1]) or not _agree(*outcomes):
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


def _compare_others(trial: Trial, strict: Surroundings, uses: Uses) -> None:
    """Methods that are no operations of the engine: the program's stay, if need be as they are."""
    shape, methods = trial.shape, trial.source.methods()
    for name, function in methods.items():
        if name in trial.same or name in trial.own or name in ("__init__", "__post_init__"):
            continue
        pure = not strict.why_not_pure(function)
        if pure and _is_alike(shape, name):
            trial.same.add(name)
        else:
            trial.own[name] = "" if name not in vars(Value) else "is its own"
            if pure and not function.decorator_list and not _is_special(name):
                trial.tested.add(name)
    inner = _inner_names(shape)
    for name in trial.own:
        function = methods[name]
        if name == "backward" or not makes_nodes(function, trial.source.name, inner):
            continue
        if shape.is_native() and not names_its_class(function):
            continue
        reason = strict.why_not_pure(function)
        if function.decorator_list:
            reason = "is called on the class"
        if not reason:
            trial.lifted.add(name)
        elif not shape.is_native():
            raise UnfitError(
                f"its {name} {reason}, and makes nodes that only its own sweep can go through"
            )
    if uses.makes_nodes and not shape.is_native():
        raise UnfitError(
            "the program makes nodes outside it that only its own sweep can go through"
        )


def _inner_names(shape: Shape) -> set[str]:
    """The attributes that an operation sets at a node that it makes."""
    return {shape.attributes.get(meaning, "") for meaning in ("children", "op", "local", "step")}


def _is_alike(shape: Shape, name: str) -> bool:
    if name in _PREDICATES:
        return not _other_truth(shape, name)
    if name == "__hash__":
        return bool(hash(shape.cls(1.0)) != hash(shape.cls(1.0)))
    return name in ("__repr__", "__str__") and not _other_text(shape, name)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in OPERATIONS


def _other_truth(shape: Shape, name: str) -> bool:
    for numbers in [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0), (0.0, -0.0), (-1.0, 1.0)]:
        for plain in (False, True):
            a, b = (shape.cls(number) for number in numbers)
            x, y = Value(numbers[0]), Value(numbers[1])
            try:
                expected = getattr(a, name)(numbers[1] if plain else b)
            except Exception:
                continue
            if expected is not NotImplemented and expected != getattr(x, name)(
                numbers[1] if plain else y
            ):
                return True
    return False


def _other_text(shape: Shape, name: str) -> bool:
    return any(
        getattr(shape.cls(number), name)() != getattr(Value(number), name)()
        for number in (2.5, -0.125, 1e-7)
    )
