"""The replacement of a program's own class by tapegrad's Value."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Mapping
from types import (
    BuiltinMethodType,
    CellType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
)
from typing import Any

from tapegrad._core import Value
from tapegrad.compat._notes import say
from tapegrad.compat.replace_class.class_copy import UnfitError, copy_class, trying
from tapegrad.compat.replace_class.facade import make_facade
from tapegrad.compat.replace_class.recognise import examine
from tapegrad.compat.replace_class.shape import Shape
from tapegrad.compat.replace_class.source import ClassSource
from tapegrad.compat.replace_class.sweeps import sweeps_alike
from tapegrad.compat.replace_class.trial import OURS, Trial, differs, engine_of
from tapegrad.compat.replace_class.uses import Uses

_ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"]
_OPERATORS = {f"__{side}{name}__" for side in ("", "r", "i") for name in _ARITHMETIC} | {
    "__abs__",
    "__neg__",
    "__pos__",
}
# Attributes that Python sets, and methods with which tapegrad's Value is copied and pickled.
_MACHINERY = {
    "__annotate__",
    "__annotate_func__",
    "__getnewargs__",
    "__getnewargs_ex__",
    "__getstate__",
    "__reduce__",
    "__reduce_ex__",
    "__replace__",
    "__setstate__",
}
_ABSENT = object()

# For each replaced class, the former attributes of Value that were overwritten for it.
_replaced: dict[str, dict[str, Any]] = {}


def adopt(cls: Any, source: ClassSource, outer: Mapping[str, Any], uses: Uses) -> Any:
    """Return the class to use for `cls`: Value with the additional attributes of `cls`, or `cls`.

    A note on stderr says which, and why.
    """
    if not isinstance(cls, type):
        say(f"{cls!r} is no class after its decorators: left unchanged")
        return cls
    try:
        return _adopt(cls, source, outer, uses)
    except UnfitError as reason:
        why = str(reason)
    except Exception as error:
        # An unforeseen kind of class: the program goes on with it.
        why = f"it could not be compared: {type(error).__name__}: {error}"
    say(f"class {cls.__name__} of {cls.__module__} is kept: {why}")
    return cls


def _adopt(cls: type, source: ClassSource, outer: Mapping[str, Any], uses: Uses) -> Any:
    key = f"{cls.__module__}.{cls.__name__}"
    attributes = _attributes_of_program(cls)
    if issubclass(cls, Value):
        _check_derived(attributes)
        trial = None
    else:
        _restore(_replaced.pop(key, {}))
        trial = examine(source, outer, uses)
    replacement: Any = Value
    if trial is None:
        own = {name: value for name, value in attributes.items() if not _has(name)}
    else:
        aliases = _aliases(trial.shape, uses)
        replacement = make_facade(cls, trial.shape, uses)
        _verify(trial, replacement, aliases, outer)
        own = _own_attributes(attributes, trial) | aliases
    _check_others(key, own)
    _point_super_at_value(cls)
    _replaced[key] = _set(own) | _replaced.get(key, {})
    _tell(cls, attributes, own, trial)
    return replacement


def _check_others(key: str, own: Mapping[str, Any]) -> None:
    """Raise UnfitError if the attributes `own` conflict with those of classes replaced before."""
    others = {name: before for name, before in _replaced.items() if name != key}
    for other, before in others.items():
        changed = sorted(name for name, was in before.items() if was is not _ABSENT)
        changed += sorted(name for name in own if name in before or _has(name))
        changed += sorted(name for name in [*before, *own] if name.startswith("__"))
        if changed:
            raise UnfitError(
                f"{other} was replaced before it, and the two classes differ in {changed[0]}"
            )


def _own_attributes(attributes: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """Return the attributes of the program's class to set on Value."""
    own = {
        name: value
        for name, value in attributes.items()
        if name in trial.own or not (_has(name) or name in trial.same)
    }
    return own | {name: _lift(trial.shape, name) for name in trial.lifted}


def _tell(cls: type, attributes: dict[str, Any], own: dict[str, Any], trial: Trial | None) -> None:
    kept = attributes.keys() - own.keys()
    differing = {name: reason for name, reason in trial.own.items() if reason} if trial else {}
    added = own.keys() - differing.keys() - ({*_aliases_told(trial)} if trial else set())
    message = (
        f"class {cls.__name__} of {cls.__module__} is now tapegrad's Value; "
        f"kept tapegrad's own: {_listed(kept)}; added from {cls.__name__}: {_listed(added)}"
    )
    if differing:
        reasons = ", ".join(f"{name} ({reason})" for name, reason in sorted(differing.items()))
        message += f"; kept {cls.__name__}'s own: {reasons}"
    say(message)


def _aliases_told(trial: Trial) -> Collection[str]:
    return {*trial.shape.attributes.values(), *trial.shape.constants}


def _set(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Set attributes of Value, and return those it had before."""
    before = {name: vars(Value).get(name, _ABSENT) for name in attributes}
    for name, attribute in attributes.items():
        setattr(Value, name, attribute)
    return before


def _restore(before: Mapping[str, Any]) -> None:
    """Restore the attributes that `_set` returned."""
    for name, attribute in before.items():
        if attribute is not _ABSENT:
            setattr(Value, name, attribute)
        elif name in vars(Value):
            delattr(Value, name)


def _check_derived(attributes: Mapping[str, Any]) -> None:
    """Raise UnfitError if a class derived from Value overrides any of its attributes."""
    changed = sorted(name for name in attributes if _has(name))
    if changed:
        raise UnfitError(
            f"it is derived from tapegrad's Value and has its own {', '.join(changed)}"
        )


def _attributes_of_program(cls: type) -> dict[str, Any]:
    """Return the attributes of a class and its bases, without those of the standard library."""
    attributes: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        library = base.__module__.partition(".")[0] in sys.stdlib_module_names
        if base is cls or not (library or base in Value.__mro__):
            attributes.update(vars(base))
    return {name: value for name, value in attributes.items() if not _is_machinery(name, value)}


def _has(name: str) -> bool:
    # Not hasattr, which finds attributes of the metaclass such as __call__.
    return any(name in vars(base) for base in Value.__mro__)


def _is_machinery(name: str, attribute: Any) -> bool:
    if isinstance(attribute, GetSetDescriptorType | MemberDescriptorType):
        return True
    special = name.startswith("__") and name.endswith("__")
    return special and (
        name in _MACHINERY or not callable(getattr(attribute, "__func__", attribute))
    )


def _point_super_at_value(cls: type) -> None:
    """Make `super()` and `__class__` in the methods of the replaced class refer to Value."""
    for attribute in vars(cls).values():
        accessor = getattr(attribute, "fget", attribute)
        function = getattr(accessor, "__func__", accessor)
        if isinstance(function, FunctionType) and "__class__" in function.__code__.co_freevars:
            position = function.__code__.co_freevars.index("__class__")
            cells: tuple[CellType, ...] = function.__closure__ or ()
            cells[position].cell_contents = Value


def _listed(names: Collection[str]) -> str:
    """Return a text of the names in order, with all operators as one.

    >>> _listed({"__add__", "__rmul__", "relu", "__eq__"})
    'operators, __eq__, relu'
    """
    others = sorted(name for name in names if name not in _OPERATORS)
    operators = ["operators"] if len(others) < len(names) else []
    return ", ".join(operators + others) or "nothing"


def _aliases(shape: Shape, uses: Uses) -> dict[str, Any]:
    """Return the attributes that make the parts of a Value accessible under the program's names.

    Raises UnfitError if that is not possible.
    """
    names = shape.attributes
    read = sorted(shape.unknown & (uses.loaded | uses.stored))
    if read:
        raise UnfitError(
            f"the program reads the {read[0]} of a node, which tapegrad's Value does not have"
        )
    assigned = {names[meaning] for meaning in ("children", "op", "local") if meaning in names}
    assigned &= uses.stored | uses.changed
    if assigned:
        raise UnfitError(f"the program assigns the {sorted(assigned)[0]} of a node")
    found: dict[str, Any] = {}
    for meaning, name in names.items():
        alias = _alias(shape, meaning, name)
        if alias is not None:
            found[name] = alias
    for name, value in shape.constants.items():
        if (name, value) in {("label", ""), ("_op", "")}:
            continue
        if _has(name):
            raise UnfitError(f"its nodes have a {name}, which is a method of tapegrad's Value")
        found[name] = value
    clashes = [name for name in found if name in shape.attributes.values() and _is_method(name)]
    if clashes:
        raise UnfitError(f"its nodes have a {clashes[0]}, which is a method of tapegrad's Value")
    return found


def _is_method(name: str) -> bool:
    return callable(vars(Value).get(name)) and name != "_backward"


_get_operation: Callable[[Any], str] = vars(Value)["_op"].__get__
_get_label: Callable[[Any], str] = vars(Value)["label"].__get__
_set_label: Callable[[Any, Any], None] = vars(Value)["label"].__set__


_get_backward: Callable[[Any], Any] = vars(Value)["_backward"].__get__
_set_backward: Callable[[Any, Any], None] = vars(Value)["_backward"].__set__


def _no_step() -> None:
    pass


def _get_step(node: Any) -> Any:
    """Return the step of a node of a class whose leaves have None."""
    step = _get_backward(node)
    is_default = isinstance(step, BuiltinMethodType) and step.__self__ is node
    return None if step is _no_step or (is_default and not _get_children(node)) else step


def _set_step_or_none(node: Any, step: Any) -> None:
    _set_backward(node, _no_step if step is None else step)


def _alias(shape: Shape, meaning: str, name: str) -> property | None:
    """Return a property with the program's name and form of a part of a node.

    Returns None if Value's own attribute has that name and form.
    """
    default = shape.defaults.get(meaning)
    if meaning == "step" and meaning in shape.defaults:
        return property(_get_step, _set_step_or_none)
    if meaning in ("data", "grad", "step"):
        own = {"data": "data", "grad": "grad", "step": "_backward"}[meaning]
        if name == own:
            return None
        return property(
            lambda node: getattr(node, own), lambda node, value: setattr(node, own, value)
        )
    if meaning == "children":
        if (name, shape.container) in {("_prev", set), ("_children", tuple)}:
            return None
        container = shape.container
        return property(lambda node: container(_get_children(node)) or default)
    if meaning == "local":
        kind: Any = list if isinstance(default, list) else tuple
        if name == "_local_grads" and kind is tuple:
            return None
        return property(lambda node: kind(_get_local_grads(node)))
    if meaning == "op":
        if name == "_op" and default == "":
            return None
        return property(lambda node: _get_operation(node) or default)
    if name == "label" and default == "":
        return None
    return property(
        lambda node: _get_label(node) or default, lambda node, value: _set_label(node, value or "")
    )


_get_children: Callable[[Any], tuple[Any, ...]] = vars(Value)["_children"].__get__
_get_local_grads: Callable[[Any], tuple[float, ...]] = vars(Value)["_local_grads"].__get__


def _lift(shape: Shape, name: str) -> Callable[..., Any]:
    """Wrap an operation of the program so that it works on Values.

    The operation runs on copies of its operands that are instances of the program's class. The
    result is a Value whose local gradients are those that the program's sweep leaves at the copies.
    """
    original = getattr(shape.cls, name)

    @functools.wraps(original)
    def operation(*args: Any, **keywords: Any) -> Any:
        copies: dict[Any, Any] = {}

        def copied(operand: Any) -> Any:
            if not isinstance(operand, Value):
                return operand
            if id(operand) not in copies:
                copies[id(operand)] = (operand, shape.cls(operand.data))
            return copies[id(operand)][1]

        result = original(*map(copied, args), **{key: copied(x) for key, x in keywords.items()})
        for operand, leaf in copies.values():
            if result is leaf:
                return operand
        if not isinstance(result, shape.cls):
            return result
        shape.pull(result)
        slopes = tuple(float(shape.get(leaf, "grad")) for _, leaf in copies.values())
        operands = tuple(operand for operand, _ in copies.values())
        text = shape.get(result, "op") if "op" in shape.attributes else name
        data = shape.get(result, "data")
        return Value(data, operands, local_grads=slopes, _op=str(text or name))

    return operation


def _verify(
    trial: Trial, replacement: Any, aliases: Mapping[str, Any], outer: Mapping[str, Any]
) -> None:
    """Check that the program's own methods give the same numbers on Value.

    A method that does not is lifted with `_lift`. Raises UnfitError if that fails too.
    """
    own = [name for name in trial.own if name in trial.tested]
    if not own:
        return
    cls, scope = copy_class(trial.source, outer)
    scope[trial.source.name] = replacement
    attributes = {**_own_attributes(_attributes_of_program(cls), trial), **aliases}
    if "backward" not in trial.tested:
        attributes.pop("backward", None)  # it may have side effects
    before = _set(attributes)
    try:
        with trying(trial.source):
            for name in own:
                if name == "backward":
                    _verify_sweep(trial)
                elif differs(trial, OURS, name) not in ("", "raises"):
                    _lift_and_verify(trial, name)
    finally:
        _restore(before)


def _verify_sweep(trial: Trial) -> None:
    if not sweeps_alike(trial, engine_of(trial.shape), OURS):
        raise UnfitError("its backward() leaves other gradients on tapegrad's nodes")


def _lift_and_verify(trial: Trial, name: str) -> None:
    setattr(Value, name, _lift(trial.shape, name))
    trial.lifted.add(name)
    reason = differs(trial, OURS, name)
    if reason:
        raise UnfitError(f"its {name} {reason} when it works on tapegrad's nodes")
