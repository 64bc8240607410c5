"""A facade of tapegrad's Value with the signature of the program's constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tapegrad._core import Value
from tapegrad.compat.replace_class.class_copy import UnfitError
from tapegrad.compat.replace_class.shape import Shape
from tapegrad.compat.replace_class.uses import Uses

_CHILDREN = ("_children", "children", "_prev")
_EMPTY = inspect.Parameter.empty


def make_facade(cls: type, shape: Shape, uses: Uses) -> Any:
    """Return Value if its constructor accepts the arguments of that of `cls`, else a facade.

    A facade is a class that constructs Values. Values are its instances, and attributes set on it
    are set on Value.
    """
    if _is_like_value(shape):
        return Value
    if uses.compares_types:
        raise UnfitError("the program compares types, and its constructor is not like tapegrad's")
    return _make_class(cls, shape)


def _is_like_value(shape: Shape) -> bool:
    names = {"data": ("data",), "children": _CHILDREN, "op": ("_op",)}
    names |= {"local": ("local_grads",), "label": ("label",)}
    roles = [parameter.role for parameter in shape.parameters]
    third = "local" if "local" in roles else "op"
    if roles != ["data", "children", third, "label"][: len(roles)] or shape.takes_nodes:
        return False
    if shape.converts:
        return False
    return all(
        parameter.name in names[parameter.role]
        and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        and (parameter.default is _EMPTY if parameter.role == "data" else not parameter.default)
        for parameter in shape.parameters
    )


class _Facade(type):
    """The metaclass of a facade. A class derived from a facade is an ordinary class."""

    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        make = vars(cls).get("_make")
        return type.__call__(cls, *args, **keywords) if make is None else make(*args, **keywords)

    def __instancecheck__(cls, instance: Any) -> bool:
        if _stands_for_value(cls):
            return isinstance(instance, Value)
        return type.__instancecheck__(cls, instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        if _stands_for_value(cls):
            return issubclass(subclass, Value)
        return type.__subclasscheck__(cls, subclass)

    def __setattr__(cls, name: str, value: Any) -> None:
        if _stands_for_value(cls):
            setattr(Value, name, value)
        else:
            type.__setattr__(cls, name, value)

    def __delattr__(cls, name: str) -> None:
        if _stands_for_value(cls):
            delattr(Value, name)
        else:
            type.__delattr__(cls, name)


def _stands_for_value(cls: type) -> bool:
    return "_make" in vars(cls)


def _make_class(cls: type, shape: Shape) -> Any:
    make, fill = _constructors(shape)
    namespace = {
        "__slots__": (),
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__init__": fill,
        "_make": make,
    }
    return _Facade(cls.__name__, (Value,), namespace)


def _constructors(shape: Shape) -> tuple[Any, Callable[..., None]]:
    """Return a function that constructs a Value, and an __init__ for derived classes.

    Both have the parameters of the program's constructor, with its defaults.
    """
    names: dict[str, Any] = {"Value": Value, "unsupported": _unsupported}
    written: list[str] = []
    kinds = inspect.Parameter
    starred = False
    for number, parameter in enumerate(shape.parameters):
        text = parameter.name
        if parameter.kind is kinds.VAR_POSITIONAL:
            text, starred = f"*{text}", True
        elif parameter.kind is kinds.VAR_KEYWORD:
            raise UnfitError(f"its constructor takes any keyword (**{text})")
        elif parameter.kind is kinds.KEYWORD_ONLY and not starred:
            written.append("*")
            starred = True
        if parameter.default is not _EMPTY:
            names[f"_default{number}"] = parameter.default
            text += f"=_default{number}"
        written.append(text)
        following = shape.parameters[number + 1 : number + 2]
        if parameter.kind is kinds.POSITIONAL_ONLY and not (
            following and following[0].kind is kinds.POSITIONAL_ONLY
        ):
            written.append("/")
    parameters = ", ".join(written)
    before, arguments, after = _body(shape)
    make = [f"def make({parameters}):", *before, f"    node = Value({arguments})", *after]
    fill = [f"def __init__(node, {parameters}):", *before, f"    Value.__init__(node, {arguments})"]
    exec("\n".join([*make, "    return node", *fill, *after]), names)
    return staticmethod(names["make"]), names["__init__"]


def _body(shape: Shape) -> tuple[list[str], str, list[str]]:
    """Return statements before the call of Value, its arguments, and statements after it."""
    before: list[str] = []
    after: list[str] = []
    arguments: list[str] = []
    for number, parameter in enumerate(shape.parameters):
        name, role = parameter.name, parameter.role
        if role == "data":
            arguments.append(name)
            if shape.converts:
                before.append(f"    {name} = float({name}) if isinstance({name}, str) else {name}")
            if shape.takes_nodes:
                before.append(f"    {name} = {name}.data if isinstance({name}, Value) else {name}")
        elif role == "children":
            arguments.append(f"_children=tuple({name} or ())")
        elif role == "op":
            arguments.append(f"_op={name} or ''")
        elif role == "local":
            before.append(f"    local = {{'local_grads': tuple({name})}} if {name} else {{}}")
            arguments.append("**local")
        elif role == "label":
            arguments.append(f"label={name} or ''")
        else:
            default = f"_default{number}" if parameter.default is not _EMPTY else "None"
            before_or_after = before if role == "unknown" else after
            effect = {
                "step": f"node._backward = {name}",
                "extra": f"node.{parameter.attribute} = {name}",
                "unknown": f"unsupported({name!r})",
            }[role]
            before_or_after.append(f"    if {name} is not {default} and {name} != {default}:")
            before_or_after.append(f"        {effect}")
    return before, ", ".join(arguments), after


def _unsupported(name: str) -> None:
    raise TypeError(f"Value() got {name}, which only the program's own class knows how to use")
