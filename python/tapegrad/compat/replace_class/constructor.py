"""Analysis of a program's own class: the attributes of its nodes, and its constructor.

The analysis is dynamic: it makes a few nodes of a copy of the class and inspects them.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tapegrad.compat.replace_class.class_copy import UnfitError
from tapegrad.compat.replace_class.purity import Surroundings
from tapegrad.compat.replace_class.shape import Parameter, Shape, state_of
from tapegrad.compat.replace_class.source import ClassSource, is_stub, looks_at_operands

_CHILDREN = {"_children", "children", "_prev", "prev", "_parents", "parents", "inputs", "operands"}
_OPERATIONS = {"_op", "op", "_operation", "operation"}
_LOCAL_GRADS = {"local_grads", "_local_grads"}
_LABELS = {"label", "_label", "name", "_name"}
_PLAIN = (type(None), bool, int, float, str)

# Special methods that change how Python constructs objects or accesses their attributes.
_TAKEN_OVER = ["__new__", "__getattribute__", "__getattr__", "__setattr__", "__delattr__"]
_TAKEN_OVER += ["__del__", "__init_subclass__", "__class_getitem__"]


def read_shape(cls: type, around: Surroundings, sweeps: bool, names: Collection[str]) -> Shape:
    """Analyse a copied class; raises UnfitError if its nodes cannot be Values.

    `sweeps` is True if its backward() has no other effect and may be called. `names` are the
    operations that may be tried.
    """
    for name in _TAKEN_OVER:
        if any(name in vars(base) for base in cls.__mro__[:-1] if _is_programs(base, cls)):
            raise UnfitError(f"it defines {name}")
    _check_constructor(around)
    shape = Shape(cls, sweeps=sweeps)
    leaf = _make(cls, 2.5)
    before, other = state_of(leaf), state_of(_make(cls, -3.25))
    _read_leaf(shape, before, other)
    made = _make_by_operation(cls, names) if _constructor_of(cls) is not object.__init__ else None
    if made is None:
        _read_parameters_by_name(shape)
        return shape
    shape.is_tried = True
    _read_parameters(shape, made)
    _read_result(shape, before, made)
    shape.takes_nodes = _takes(shape, shape.cls(2.5))
    shape.converts = _takes(shape, "2.5")
    return shape


def _is_programs(base: type, cls: type) -> bool:
    return base.__module__ == cls.__module__


def _check_constructor(around: Surroundings) -> None:
    methods = around.source.methods()
    for name in ("__init__", "__post_init__"):
        if name in methods:
            reason = around.why_not_pure(methods[name]) or looks_at_operands(methods[name])
            if reason:
                raise UnfitError(f"its {name} {reason}")


def _make(cls: type, *arguments: Any, **keywords: Any) -> Any:
    try:
        return cls(*arguments, **keywords)
    except Exception as error:
        raise UnfitError(f"its constructor did not accept a number: {error}") from None


def _read_leaf(shape: Shape, state: dict[str, Any], other: dict[str, Any]) -> None:
    """Find the meanings of the attributes of a leaf."""
    numbers = [name for name, value in state.items() if _is_number(value) and value == 2.5]
    numbers = [name for name in numbers if other.get(name) == -3.25]
    if not numbers:
        raise UnfitError("its nodes do not keep the number that they are made of")
    if len(numbers) > 1:
        raise UnfitError(f"its nodes keep their number more than once, as {' and '.join(numbers)}")
    shape.attributes["data"] = numbers[0]
    for value in (0.0, -0.0, 1e-300, 3e300, 7.0, 0.1):
        held = shape.get(_make(shape.cls, value), "data")
        if held != value:
            raise UnfitError(f"its constructor changes the number {value!r}")
        if type(held) not in (int, float):
            raise UnfitError(f"its constructor makes a {type(held).__name__} of its number")
    for name, value in state.items():
        if name == numbers[0]:
            continue
        if callable(value):
            shape.attributes.setdefault("step", name)
        elif isinstance(value, _PLAIN) or (isinstance(value, tuple) and not value):
            if not _is_same(value, other.get(name)):
                raise UnfitError(f"its {name} differs from node to node")
            shape.constants[name] = value
        elif isinstance(value, set | list | frozenset) and not value:
            shape.unknown.add(name)
        else:
            raise UnfitError(f"its constructor gives every node a {name} of its own")


def _is_same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass
class _Made:
    """A node made by an operation, its operands, and the arguments given to the constructor."""

    node: Any
    operands: tuple[Any, ...]
    given: dict[str, Any]
    parameters: list[inspect.Parameter]


def _make_by_operation(cls: type, names: Collection[str]) -> _Made | None:
    """Make a node by the first operation that works; return None if none does."""
    constructor = _constructor_of(cls)
    signature = inspect.signature(constructor)
    calls: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def watching(self: Any, *args: Any, **keywords: Any) -> None:
        calls[id(self)] = (args, keywords)
        constructor(self, *args, **keywords)

    own = "__init__" in vars(cls)
    type.__setattr__(cls, "__init__", watching)
    try:
        for name in [*(name for name in _BINARY if name in names), *sorted(names)]:
            operands = (cls(1.25), cls(0.75))[: 2 if name in _BINARY else 1]
            try:
                node = getattr(operands[0], name)(*operands[1:])
            except Exception:
                continue
            if isinstance(node, cls) and id(node) in calls and node is not operands[0]:
                args, keywords = calls[id(node)]
                given = dict(signature.bind(node, *args, **keywords).arguments)
                return _Made(node, operands, given, list(signature.parameters.values())[1:])
        return None
    finally:
        if own:
            type.__setattr__(cls, "__init__", constructor)
        else:
            delattr(cls, "__init__")


_BINARY = ("__add__", "__mul__", "__sub__", "__truediv__")


def _constructor_of(cls: Any) -> Any:
    return cls.__init__


def _read_parameters(shape: Shape, made: _Made) -> None:
    roles: dict[str, str] = {}
    for parameter in made.parameters:
        name = parameter.name
        if not roles:
            roles[name] = "data"
            if parameter.default is not inspect.Parameter.empty and not _is_number(
                parameter.default
            ):
                raise UnfitError(f"its nodes are made of {parameter.default!r} by default")
        elif name not in made.given or _is_same(made.given[name], parameter.default):
            roles[name] = "label" if name in _LABELS else ""
        else:
            roles[name] = _role_of(made.given[name], made.operands)
    if list(roles.values()).count("children") > 1 or list(roles.values()).count("op") > 1:
        raise UnfitError("its operations pass their operands to the constructor twice")
    for parameter in made.parameters:
        shape.parameters.append(
            Parameter(parameter.name, parameter.kind, parameter.default, roles[parameter.name])
        )
    for found in shape.parameters:
        if not found.role:
            _read_extra(shape, found)


def _role_of(value: Any, operands: tuple[Any, ...]) -> str:
    """Return the role of an argument that an operation on `operands` gave the constructor."""
    if isinstance(value, tuple | list | set | frozenset):
        if {id(part) for part in value} == {id(operand) for operand in operands}:
            return "children"
        is_sequence = isinstance(value, tuple | list) and len(value) == len(operands)
        if is_sequence and all(map(_is_number, value)):
            return "local"
        return "unknown"
    if isinstance(value, str):
        return "op"
    return "step" if callable(value) else "unknown"


def _read_extra(shape: Shape, parameter: Parameter) -> None:
    """Find the attribute set by a parameter that operations leave at its default."""
    by_name = {**dict.fromkeys(_CHILDREN, "children"), **dict.fromkeys(_OPERATIONS, "op")}
    parameter.role = by_name.get(parameter.name, "")
    if parameter.role and parameter.role not in {
        p.role for p in shape.parameters if p is not parameter
    }:
        return
    default = parameter.default
    if default is inspect.Parameter.empty or parameter.kind in (
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    ):
        raise UnfitError(
            f"its operations do not show what the constructor's {parameter.name} is for"
        )
    probe = not default if isinstance(default, bool) else "zz" if isinstance(default, str) else 0.75
    before = state_of(_make(shape.cls, 2.5))
    try:
        after = state_of(shape.cls(2.5, **{parameter.name: probe}))
    except Exception:
        raise UnfitError(
            f"it is not clear what the constructor's {parameter.name} is for"
        ) from None
    changed = [name for name in after if not _is_like(after[name], before.get(name))]
    if len(changed) != 1 or not _is_same(after[changed[0]], probe):
        raise UnfitError(f"it is not clear what the constructor's {parameter.name} is for")
    parameter.role, parameter.attribute = "extra", changed[0]


def _is_like(a: Any, b: Any) -> bool:
    return _is_same(a, b) or (callable(a) and callable(b))


def _read_parameters_by_name(shape: Shape) -> None:
    """Find the roles of parameters by their names, for a class without arithmetic."""
    tables = [(_CHILDREN, "children"), (_OPERATIONS, "op"), (_LOCAL_GRADS, "local")]
    tables.append((_LABELS, "label"))
    constructor = _constructor_of(shape.cls)
    for parameter in list(inspect.signature(constructor).parameters.values())[1:]:
        role = next((role for names, role in tables if parameter.name in names), "")
        found = Parameter(parameter.name, parameter.kind, parameter.default, role)
        if not shape.parameters:
            found.role = "data"
        elif not role:
            _read_extra(shape, found)
        shape.parameters.append(found)
    for names, role in [*tables, ({"grad"}, "grad")]:
        held = names & (shape.constants.keys() | shape.unknown)
        for name in held:
            value = shape.constants.pop(name, None)
            shape.unknown.discard(name)
            shape.attributes[role], shape.defaults[role] = name, value


def _read_result(shape: Shape, leaf: dict[str, Any], made: _Made) -> None:
    """Find the meanings of the attributes of an operation's result."""
    state = state_of(made.node)
    for name in [*state]:
        value = state[name]
        if name == shape.attributes["data"]:
            continue
        role = _role_of(value, made.operands)
        if role in ("children", "op", "local") and not _is_same(value, leaf.get(name)):
            if role in shape.attributes:
                raise UnfitError(
                    f"its nodes keep the same object in {shape.attributes[role]} and {name}"
                )
            shape.attributes[role] = name
            shape.defaults[role] = leaf.get(name)
            shape.constants.pop(name, None)
            shape.unknown.discard(name)
            if role == "children":
                shape.container = type(value)
        elif callable(value):
            _read_step(shape, name, value)
            if name in shape.constants:
                shape.defaults["step"] = shape.constants.pop(name)
        elif name in shape.constants and not _is_same(value, shape.constants[name]):
            del shape.constants[name]
            shape.unknown.add(name)
        elif name not in shape.constants:
            shape.unknown.add(name)
    for found in shape.parameters:
        if found.role == "label":
            _read_label(shape, found)
    _read_grad(shape, made.node, made.operands[0])


def _read_step(shape: Shape, name: str, step: Any) -> None:
    try:
        inspect.signature(step).bind()
    except (TypeError, ValueError):
        shape.attributes.pop("step", None)
        shape.unknown.add(name)
        return
    shape.attributes["step"] = name


def _read_label(shape: Shape, parameter: Parameter) -> None:
    state = state_of(_make(shape.cls, 2.5, **{parameter.name: "zz"}))
    held = [name for name in shape.constants if state[name] == "zz"]
    if len(held) != 1:
        raise UnfitError(f"it is not clear what the constructor's {parameter.name} is for")
    shape.attributes["label"] = held[0]
    shape.defaults["label"] = shape.constants.pop(held[0])


def _read_grad(shape: Shape, result: Any, a: Any) -> None:
    """Find the attribute in which a sweep leaves derivatives."""
    before = state_of(a)
    candidates = [name for name, value in shape.constants.items() if _is_number(value)]
    if len(candidates) > 1 and "grad" in candidates:
        candidates.sort(key=lambda name: name != "grad")
    says = "children" in shape.attributes and {"step", "local"} & shape.attributes.keys()
    if not shape.sweeps and not says:
        lacks = "backward() that could be tried" if hasattr(result, "backward") else "backward()"
        raise UnfitError(f"it has no {lacks}, and its nodes do not say how to propagate a gradient")
    for name in candidates:
        shape.attributes["grad"] = name
        try:
            shape.pull(result)
        except Exception as error:
            raise UnfitError(
                f"its sweep failed on a sum: {type(error).__name__}: {error}"
            ) from None
        after = state_of(a)
        if after[name] != before[name]:
            if before[name] != 0:
                raise UnfitError(f"its {name} is not 0 at first")
            shape.defaults["grad"] = shape.constants.pop(name)
            return
    raise UnfitError("its operations leave no derivative that could be compared")


def _takes(shape: Shape, given: Any) -> bool:
    """True if the constructor converts what is given to the number 2.5."""
    try:
        number = shape.get(shape.cls(given), "data")
        return _is_number(number) and bool(number == 2.5)
    except Exception:
        return False


def has_constructor(source: ClassSource, cls: type) -> bool:
    """True if the program's class has a constructor with a body."""
    constructor = source.methods().get("__init__")
    if constructor is not None:
        return not is_stub(constructor)
    return _constructor_of(cls) is not object.__init__
