"""Checks of what a program expects of its class and its nodes that Value does not provide."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection
from typing import Any

from tapegrad._core import Value
from tapegrad.compat.replace_class.class_copy import UnfitError
from tapegrad.compat.replace_class.shape import Shape
from tapegrad.compat.replace_class.source import last_name
from tapegrad.compat.replace_class.uses import Uses

_NUMBERS = {"int", "float", "complex", "bool", "Number", "Real", "Integral", "Rational"}
_NUMBERS |= {"number", "floating", "integer", "float64", "float32", "int64", "int32", "generic"}
# Arguments that are not numbers, for trials of operations and of the constructor.
NO_NUMBERS: list[Any] = ["x", None, [1.0], (), {}, object()]


def check_uses(shape: Shape, held: Collection[str], uses: Uses) -> None:
    """Raise UnfitError if the program uses its nodes in a way that Values do not support.

    `held` are the names of the attributes and methods of its nodes.
    """
    if uses.asks:
        raise UnfitError(f"the program lists the attributes of its nodes: {uses.asks}")
    asked = set(uses.asked)
    if "AttributeError" in uses.caught:
        asked |= uses.called
        if uses.gets:
            raise UnfitError(f"the program tests for any attribute of its nodes: {uses.gets}")
    more = sorted(name for name in asked if hasattr(Value, name) and name not in held)
    own = {name for base in shape.cls.__mro__[:-1] for name in vars(base)}
    more += sorted(name for name in uses.tried if name in vars(Value) and name not in own)
    if more:
        raise UnfitError(
            f"the program tests whether its nodes have {more[0]}, which only tapegrad's have"
        )
    if "AttributeError" in uses.caught and shape.cls.__dictoffset__ == 0:
        others = sorted(uses.stored - {*held} - {"__dict__"})
        if others:
            raise UnfitError(f"its nodes have no {others[0]}, and the program finds that out")
    for meaning in ("data", "grad", "step"):
        name = shape.attributes.get(meaning, "")
        given = uses.no_numbers.get(name)
        if given is not None and (meaning != "step" or not given.startswith("lambda")):
            raise UnfitError(f"the program sets the {name} of a node to {given}")
    label = shape.attributes.get("label", "")
    if label in uses.no_texts:
        raise UnfitError(f"the program sets the {label} of a node to {uses.no_texts[label]}")
    if uses.data:
        raise UnfitError(f"the program makes nodes of {uses.data[0]}, which is no number")
    if "torch" not in uses.modules:
        _check_parts(shape, uses)


def _check_parts(shape: Shape, uses: Uses) -> None:
    for meaning in ("data", "grad"):
        name = shape.attributes.get(meaning, "")
        parts = sorted(part for part in uses.parts.get(name, ()) if not hasattr(float, part))
        if parts:
            part = parts[0] if parts[0] == "[]" else f".{parts[0]}"
            raise UnfitError(f"the program takes {name}{part} of a node, which no float has")


def check_constructor(shape: Shape, uses: Uses) -> None:
    """Raise UnfitError if the program catches an error that only its own constructor raises."""
    for given in NO_NUMBERS:
        reason = other_error(
            _error_of(lambda given=given: shape.cls(given)), TypeError(), uses.caught
        )
        if reason:
            raise UnfitError(f"its constructor {reason} for {given!r}")


def _error_of(call: Any) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def other_error(theirs: Exception | None, ours: Exception | None, caught: Collection[str]) -> str:
    """Return which error of `theirs` the program catches that `ours` is not, or "" for none."""
    if theirs is None:
        return ""
    for name in sorted(caught):
        kind = getattr(builtins, name, None)
        kinds = [x for x in type(theirs).__mro__ if x is kind or x.__name__ == name]
        if kinds and (ours is None or not isinstance(ours, kinds[0])):
            return f"raises {type(theirs).__name__}, which the program catches,"
    return ""


def treats_no_numbers(cls: type, name: str, caught: Collection[str]) -> str:
    """Return how an operation treats an operand that is not a number, or "" if it fails."""
    for given in NO_NUMBERS:
        method = getattr(cls(2.0), name)
        try:
            result = method(given)
        except Exception as error:
            reason = other_error(error, TypeError(), caught)
            if reason:
                return f"{reason} for {given!r}".replace(", for", " for")
            continue
        if result is not NotImplemented:
            return f"takes {given!r}"
    return ""


def tells_types_apart(function: ast.FunctionDef, class_name: str) -> str:
    """Return which operands an operation distinguishes beyond nodes and numbers, or "" for none."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        called = last_name(node.func)
        if called == "isinstance" and len(node.args) == 2:
            kinds = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
            others = [kind for kind in kinds if last_name(kind) not in _NUMBERS | {class_name}]
            others = [kind for kind in others if last_name(kind) not in ("__class__", "type")]
            if others:
                return f"treats {ast.unparse(others[0])} in its own way"
        elif called == "len":
            return "asks for a length"
    return ""


def takes_numbers_as_self(cls: Any, name: str, operands: int) -> bool:
    """True if a method can be called on the class with a number in place of a node."""
    try:
        result = getattr(cls, name)(0.5, *[cls(0.25)] * (operands - 1))
    except Exception:
        return False
    return isinstance(result, cls)
