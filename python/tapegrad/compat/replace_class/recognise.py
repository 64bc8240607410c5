"""Comparison of a program's own class with Value, to find the methods that are equivalent."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from tapegrad._core import Value
from tapegrad.compat.replace_class.class_copy import Scope, UnfitError, copy_class, trying
from tapegrad.compat.replace_class.constructor import has_constructor, read_shape
from tapegrad.compat.replace_class.expectations import (
    check_constructor,
    check_uses,
    takes_numbers_as_self,
    tells_types_apart,
    treats_no_numbers,
)
from tapegrad.compat.replace_class.purity import Surroundings
from tapegrad.compat.replace_class.shape import Shape
from tapegrad.compat.replace_class.source import (
    ClassSource,
    makes_nodes,
    names_its_class,
    operations_in,
    returns_of,
)
from tapegrad.compat.replace_class.sweeps import sweeps_alike
from tapegrad.compat.replace_class.trial import (
    BEGIN,
    OPERATIONS,
    OURS,
    Trial,
    differs,
    engine_of,
)
from tapegrad.compat.replace_class.uses import Uses

_PREDICATES = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}


def examine(source: ClassSource, outer: Mapping[str, Any], uses: Uses) -> Trial | None:
    """Compare a class with Value by trials; return None if it has no constructor of its own.

    Raises UnfitError, with the reason, if Value cannot replace it.
    """
    cls, scope = copy_class(source, outer)
    if not has_constructor(source, cls):
        return None
    with trying(source):
        return _examine(source, cls, scope, uses)


def _examine(source: ClassSource, cls: type, scope: Scope, uses: Uses) -> Trial:
    methods = source.methods()
    held = _attributes_set_by(methods.get("__init__")) | source.fields()
    data = {
        name
        for base in cls.__mro__[:-1]
        for name, value in vars(base).items()
        if not (name.startswith("__") or callable(value) or hasattr(value, "__get__"))
    } - set(getattr(cls, "__dataclass_fields__", ()))
    loads = held | {name for base in cls.__mro__ for name in vars(base)}
    around = Surroundings(source, scope, data, loads, held)
    impure = _impure(source, around)
    backward = methods.get("backward")
    sweeps = backward is not None and _needs_nothing(backward) and "backward" not in impure
    shape = read_shape(cls, around, sweeps, methods.keys() & OPERATIONS.keys() - impure.keys())
    trial = Trial(source, shape, scope, caught=uses.caught)
    check_uses(shape, {*loads, *shape.attributes.values(), *shape.unknown}, uses)
    check_constructor(shape, uses)
    trial.own.update(_not_plain(trial, data))
    if not shape.is_tried:
        if methods.keys() & (OPERATIONS.keys() | {"backward"}):
            raise UnfitError("none of its operations could be tried")
        return trial
    served = set(shape.attributes.values())
    # Operations may set attributes of a node that only the program's sweep reads.
    stores = (served | shape.unknown) - {shape.attributes["data"]}
    # The engine has no operation that computes a label from other labels.
    read = (loads - held) | (served - {shape.attributes.get("label", "")})
    strict = Surroundings(source, scope, data, read, stores)
    impure = _impure(source, strict)
    _compare_operations(trial, impure, uses)
    # The program's sweep may read all attributes that its operations set.
    sweeping = replace(strict, loads={*strict.loads, *shape.unknown})
    _compare_sweep(trial, _impure(source, sweeping).get("backward", ""))
    _compare_others(trial, impure, uses)
    return trial


def _impure(source: ClassSource, around: Surroundings) -> dict[str, str]:
    """Return the methods with side effects or dependencies besides their operands, and why."""
    methods = source.methods()
    reasons = {name: around.why_not_pure(function) for name, function in methods.items()}
    found = {name: reason for name, reason in reasons.items() if reason}
    return found | _made_of(source, set(found), around.stores)


def _made_of(source: ClassSource, own: set[str], inner: Collection[str]) -> dict[str, str]:
    """Return the methods that use one of the methods `own`, directly or not, and which."""
    methods, found, pending = source.methods(), dict[str, str](), True
    while pending:
        pending = False
        for name in sorted(methods.keys() - own - found.keys() - {"__init__"}):
            composed = not makes_nodes(methods[name], source.name, inner)
            used = sorted(operations_in(methods[name], composed) & (own | found.keys()))
            if used:
                found[name] = f"is made of its own {used[0]}"
                pending = True
    return found


def _not_plain(trial: Trial, data: Collection[str]) -> dict[str, str]:
    """Return attributes named as one of Value's that are no functions of the class, and why.

    Raises UnfitError if Value cannot have such an attribute.
    """
    cls, methods = trial.shape.cls, trial.source.methods()
    fields = getattr(cls, "__dataclass_fields__", {}).keys()
    found: dict[str, str] = {}
    for base in cls.__mro__[:-1]:
        if base.__module__ != cls.__module__:
            if base.__module__.partition(".")[0] in sys.stdlib_module_names:
                continue
            raise UnfitError(f"its base {base.__name__} is defined elsewhere")
        for name, value in vars(base).items():
            if name not in vars(Value) or name in _MADE_BY_PYTHON or name in fields:
                continue
            if name in _HELD and (name in methods or name in data):
                raise UnfitError(f"it defines {name} itself")
            if name not in methods and name not in _HELD and (callable(value) or name in data):
                found[name] = "is no function written there"
    return found


_HELD = {"data", "grad", "label", "_prev", "_children", "_op", "_backward", "_local_grads"}
_MADE_BY_PYTHON = {"__init__", "__module__", "__doc__", "__dict__", "__new__", "__hash__"}
_MADE_BY_PYTHON |= {"__getstate__", "__setstate__", "__repr__", "__delattr__", "__setattr__"}


def _attributes_set_by(function: ast.FunctionDef | None) -> set[str]:
    return {
        node.attr
        for node in ast.walk(function or ast.Pass())
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }


def _needs_nothing(backward: ast.FunctionDef) -> bool:
    return len(backward.args.args) - len(backward.args.defaults) == 1


def _compare_operations(trial: Trial, impure: Mapping[str, str], uses: Uses) -> None:
    shape, methods = trial.shape, trial.source.methods()
    looks = _looks(trial, uses)
    trial.begin = 0.0 if "__add__" in impure else _begin(shape)
    # Multiplication first: multiplying the results of others tests their use of the gradient.
    names = sorted(methods.keys() & OPERATIONS.keys(), key=lambda name: (name != "__mul__", name))
    for name in names:
        if name in impure:
            trial.own[name] = impure[name]
            continue
        trial.tested.add(name)
        reason = (
            _has_other_parameters(name, methods[name], uses)
            or _treats_operands(trial, name, methods[name], uses)
            or differs(trial, OURS, name, looks)
        )
        if not reason:
            trial.same.add(name)
        elif reason != "raises":
            trial.own[name] = reason
        else:
            trial.own[name] = "could not be tried"
            trial.tested.discard(name)
        trial.upstream = "__mul__" in trial.same
    others = trial.own.keys() & OPERATIONS.keys()
    for name, reason in _made_of(trial.source, others, _inner_names(shape)).items():
        if name in trial.same:
            trial.own[name] = reason
            trial.same.remove(name)
    if not trial.same:
        reasons = "; ".join(f"{name} {reason}" for name, reason in trial.own.items())
        raise UnfitError(f"none of its operations is the engine's: {reasons}")


def _begin(shape: Shape) -> float:
    """Return an initial gradient for trials: BEGIN, or 0 if the program's sweep clears it."""
    try:
        a = shape.cls(1.5)
        result = a + shape.cls(2.0)
        shape.set(a, "grad", BEGIN)
        shape.pull(result)
        return BEGIN if shape.get(a, "grad") != 1.0 else 0.0
    except Exception:
        return 0.0


def _looks(trial: Trial, uses: Uses) -> set[str]:
    """Return which attributes of nodes the program reads, by meaning: op, children."""
    names, looks = trial.shape.attributes, set[str]()
    if names.get("op") in uses.compared:
        looks |= {"op", "children"}
    backward = trial.source.methods().get("backward")
    gives_nodes = any(not isinstance(x, ast.Name) or x.id != "self" for x in returns_of(backward))
    if gives_nodes or names.get("children") in uses.walked:
        looks.add("children")
    return looks & names.keys()


def _has_other_parameters(name: str, function: ast.FunctionDef, uses: Uses) -> str:
    arguments = function.args
    count = len(arguments.posonlyargs) + len(arguments.args)
    others = arguments.vararg or arguments.kwarg or arguments.kwonlyargs
    expected = OPERATIONS[name]
    named = count > 1 and (arguments.defaults or name in uses.keywords)
    return "has parameters of its own" if others or count != expected or named else ""


def _treats_operands(trial: Trial, name: str, function: ast.FunctionDef, uses: Uses) -> str:
    cls = trial.shape.cls
    # An operator's method counts only if the program calls it by name.
    by_name = not name.startswith("__") or name in uses.loaded
    if by_name and takes_numbers_as_self(cls, name, OPERATIONS[name]):
        return "works on numbers as well"
    if OPERATIONS[name] != 2:
        return ""
    return tells_types_apart(function, trial.source.name) or treats_no_numbers(
        cls, name, uses.caught
    )


def _compare_sweep(trial: Trial, impurity: str) -> None:
    shape, backward = trial.shape, trial.source.methods().get("backward")
    if backward is None:
        return
    if len(backward.args.args) > 1 or backward.args.kwonlyargs or backward.args.vararg:
        reason = "has parameters of its own"
    else:
        reason = impurity
    if not reason:
        trial.tested.add("backward")
        reason = "returns something" if returns_of(backward) else ""
    if not reason and not sweeps_alike(trial, engine_of(shape), OURS):
        reason = "leaves other gradients"
    if not reason:
        trial.same.add("backward")
    elif shape.has_steps() or "local" in shape.attributes:
        trial.own["backward"] = reason
    else:
        raise UnfitError(
            f"its backward() {reason}, and its nodes do not say how to propagate a gradient"
        )


def _compare_others(trial: Trial, impure: Mapping[str, str], uses: Uses) -> None:
    """Classify the methods that are no operations of the engine.

    The program's own methods stay; those that make nodes may have to be lifted.
    """
    shape, methods = trial.shape, trial.source.methods()
    for name, function in methods.items():
        if name in trial.same or name in trial.own or name in ("__init__", "__post_init__"):
            continue
        pure = name not in impure
        if pure and _is_alike(shape, name):
            trial.same.add(name)
        else:
            trial.own[name] = "" if name not in vars(Value) else "is its own"
            if pure and not function.decorator_list and not _is_special(name):
                trial.tested.add(name)
    inner = _inner_names(shape)
    for name in trial.own:
        if name not in methods:
            is_operation = name in OPERATIONS or not name.startswith("__")
            if is_operation and callable(getattr(shape.cls, name)) and not shape.is_native():
                raise UnfitError(f"its {name} {trial.own[name]}")
            continue
        function = methods[name]
        if name == "backward" or not makes_nodes(function, trial.source.name, inner):
            continue
        if shape.is_native() and not names_its_class(function):
            continue
        reason = impure.get(name, "")
        if function.decorator_list:
            reason = "is called on the class"
        if not reason:
            trial.lifted.add(name)
        elif not shape.is_native():
            raise UnfitError(
                f"its {name} {reason}, and makes nodes that only its own backward() can "
                "differentiate"
            )
    if uses.makes_nodes and not shape.is_native():
        raise UnfitError(
            "the program makes nodes outside it that only its own backward() can differentiate"
        )


def _inner_names(shape: Shape) -> set[str]:
    """Return the attributes that an operation sets on its result."""
    return {shape.attributes.get(meaning, "") for meaning in ("children", "op", "local", "step")}


def _is_alike(shape: Shape, name: str) -> bool:
    if name in _PREDICATES:
        return not _other_truth(shape, name)
    if name == "__hash__":
        # Both alive: the second could take the first's address, and with it a hash by identity.
        a, b = shape.cls(1.0), shape.cls(1.0)
        return hash(a) != hash(b)
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
    for number in (2.5, -0.125, 1e-7):
        theirs, ours = shape.cls(number), Value(number)
        for meaning, value in (("data", number), ("grad", 1.5), ("label", "zz")):
            if meaning in shape.attributes:
                shape.set(theirs, meaning, value)
                setattr(ours, meaning, value)
            if getattr(theirs, name)() != getattr(ours, name)():
                return True
    return False
