"""Static analysis of how a program uses the nodes of its class."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from tapegrad.compat.replace_class.source import OPERATORS, gives_operands, last_name

# Methods that modify a container, and functions that modify their first argument.
_CHANGING = {"add", "append", "appendleft", "clear", "difference_update", "discard", "extend"}
_CHANGING |= {"insert", "intersection_update", "pop", "popleft", "remove", "reverse", "setdefault"}
_CHANGING |= {"sort", "symmetric_difference_update", "update"}
_CHANGING_GIVEN = {"heapify", "heappop", "heappush", "shuffle"}

# Functions and keywords that only display the text of an operation.
_SHOWING = {"debug", "edge", "format", "info", "node", "print", "write"}
_SHOWN_AS = {"label", "name", "text", "title", "tooltip", "xlabel"}
_DRAWING = {"Digraph", "Graph", "networkx", "pydot", "pygraphviz"}

_ASKING = {"dir", "getmembers", "getmembers_static", "getsource", "signature"}
_ITS_DICT = {"__dict__", "__slots__", "__dataclass_fields__", "__annotations__"}
_AS_DICT = {"vars", "asdict", "astuple"}
_ARRAYS = {"array", "asarray", "arange", "linspace", "ones", "zeros", "full", "eye", "empty"}
_ARRAYS |= {"ones_like", "zeros_like", "full_like", "randn", "standard_normal"}
_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.ListComp, ast.SetComp, ast.DictComp)
_OTHER_NUMBERS = {"Decimal", "Fraction", "complex", "complex128", "mpc", "mpf"}
_Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Uses:
    """How the program around a class uses the attributes of its nodes."""

    class_name: str
    loaded: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)  # or modified in place
    changed: set[str] = field(default_factory=set)  # the same, in methods of the class
    compared: set[str] = field(default_factory=set)  # read, not only to display it
    walked: set[str] = field(default_factory=set)  # read in modules that draw nothing
    compares_types: bool = False
    makes_nodes: bool = False
    keywords: set[str] = field(default_factory=set)  # methods called with keywords, or not called
    parts: dict[str, set[str]] = field(default_factory=dict)  # attributes of attributes
    asked: set[str] = field(default_factory=set)  # names whose presence is tested
    called: set[str] = field(default_factory=set)  # attributes of objects other than modules
    asks: str = ""  # an expression that lists attributes
    tried: set[str] = field(default_factory=set)  # operators where a TypeError is caught
    gets: str = ""  # an expression that reads an attribute of any name
    caught: set[str] = field(default_factory=set)  # names of exceptions
    no_numbers: dict[str, str] = field(default_factory=dict)  # non-numbers assigned to attributes
    no_texts: dict[str, str] = field(default_factory=dict)  # the same of non-strings
    data: list[str] = field(default_factory=list)  # non-numbers passed to the class
    modules: set[str] = field(default_factory=set)  # imported

    def add(self, module: ast.Module) -> None:
        """Add the uses in a module outside the class, and in methods that construct no nodes."""
        _Finder(self, module).visit(module)


class _Finder(ast.NodeVisitor):
    def __init__(self, uses: Uses, module: ast.Module) -> None:
        self.uses = uses
        self.parents: list[ast.AST] = []
        self.names: dict[str, str] = {}  # of attributes, in the current function
        self.imported = set(_imported_names(module))
        self.draws = any(last_name_of(node) in _DRAWING for node in ast.walk(module))
        self.parsed = set(_assigned(module, lambda value: last_name(value).startswith("parse_")))
        self.no_numbers = set(_always(module, lambda x: _makes_array(x) or _is_no_number(x)))
        self.class_names = {uses.class_name, *_other_names(module, uses.class_name)}
        uses.modules |= self.imported

    def visit(self, node: ast.AST) -> None:
        self.parents.append(node)
        super().visit(node)
        self.parents.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if node.name != self.uses.class_name:
            self.generic_visit(node)
            return
        inside = Uses(self.uses.class_name)
        finder = _Finder(inside, ast.Module([node], []))
        finder.imported, finder.draws = self.imported, self.draws
        finder.parents.append(node)
        for method in _methods_on_nodes(node):
            finder.visit(method)
        self.uses.changed |= inside.stored
        for name in ("compared", "walked", "asked", "tried", "called", "caught"):
            getattr(self.uses, name).update(getattr(inside, name))
        self.uses.no_numbers.update(inside.no_numbers)
        self.uses.asks = self.uses.asks or inside.asks
        self.uses.gets = self.uses.gets or inside.gets

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_scope(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_scope(node)

    def _visit_scope(self, node: _Definition) -> None:
        outer, self.names = self.names, dict(self.names)
        self.generic_visit(node)
        self.names = outer

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._assign(target, node.value)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._assign(node.target, node.value)
        self.generic_visit(node)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
            for one, its in zip(target.elts, value.elts, strict=False):
                self._assign(one, its)
        elif isinstance(target, ast.Name) and isinstance(value, ast.Attribute):
            self.names[target.id] = value.attr
        elif isinstance(target, ast.Attribute) and not self._is_of_another(target.value):
            self._give(target.attr, value)

    def _give(self, attribute: str, value: ast.expr) -> None:
        is_class = isinstance(value, ast.Call) and last_name(value.func) in self.class_names
        if isinstance(value, ast.Constant) and not isinstance(value.value, str):
            self.uses.no_texts[attribute] = ast.unparse(value)
        if is_class or _is_no_number(value) or _makes_array(value):
            self.uses.no_numbers[attribute] = ast.unparse(value)

    def _is_of_another(self, owner: ast.expr) -> bool:
        """True if an object is `self` in an unrelated class."""
        classes = [node for node in self.parents if isinstance(node, ast.ClassDef)]
        if not (isinstance(owner, ast.Name) and owner.id in ("self", "cls") and classes):
            return False
        bases = {last_name(base) for base in classes[-1].bases}
        return not self.class_names & {classes[-1].name, *bases}

    def visit_Attribute(self, node: ast.Attribute) -> None:
        uses, name = self.uses, node.attr
        if not isinstance(node.ctx, ast.Load):
            uses.stored.add(name)
            if isinstance(node.ctx, ast.Del):
                uses.no_numbers[name] = "nothing (del)"
        else:
            self._load(node)
        if name in _ITS_DICT and not self._is_of_another(node.value):
            uses.asks = uses.asks or ast.unparse(node)
        self.generic_visit(node)

    def _load(self, node: ast.Attribute) -> None:
        uses, name, parent = self.uses, node.attr, self.parents[-2]
        uses.loaded.add(name)
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if owner not in self.imported:
            uses.called.add(name)
        if not self._is_shown():
            uses.compared.add(name)
        if not self.draws:
            uses.walked.add(name)
        if not isinstance(parent, ast.Call) or parent.func is not node or parent.keywords:
            uses.keywords.add(name)
        if isinstance(parent, ast.Attribute):
            uses.parts.setdefault(name, set()).add(parent.attr)
        elif isinstance(parent, ast.Subscript) and parent.value is node:
            uses.parts.setdefault(name, set()).add("[]")
            if not isinstance(parent.ctx, ast.Load):
                uses.stored.add(name)

    def _is_shown(self) -> bool:
        """True if the current expression is only displayed or tested for emptiness."""
        path = self.parents[::-1]
        for child, parent in pairwise(path):
            if isinstance(parent, ast.BoolOp | ast.IfExp):
                if isinstance(parent, ast.IfExp) and parent.test is child:
                    return True
                continue
            if isinstance(parent, ast.Call):
                if last_name(parent.func) in ("str", "repr"):
                    continue
                return last_name(parent.func) in {*_SHOWING, "bool"} and parent.func is not child
            if isinstance(parent, ast.Compare):
                sides = [parent.left, *parent.comparators]
                return any(isinstance(side, ast.Constant) and not side.value for side in sides)
            if isinstance(parent, ast.BinOp):
                return isinstance(parent.op, ast.Add | ast.Mod)
            if isinstance(parent, ast.UnaryOp):
                return isinstance(parent.op, ast.Not)
            if isinstance(parent, ast.If | ast.While | ast.Assert):
                return parent.test is child
            if isinstance(parent, ast.keyword):
                return parent.arg in _SHOWN_AS
            return isinstance(parent, ast.FormattedValue | ast.comprehension | ast.Expr)
        return False

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        if not any(isinstance(side, ast.Constant) and not side.value for side in sides):
            self.uses.compares_types |= any(
                (isinstance(side, ast.Call) and last_name(side.func) == "type")
                or (isinstance(side, ast.Attribute) and side.attr == "__class__")
                for side in sides
            )
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        uses, name = self.uses, last_name(node.func)
        if name in self.class_names:
            uses.makes_nodes |= gives_operands(node)
            self._make(node)
        elif name in ("hasattr", "getattr", "setattr", "delattr") and len(node.args) > 1:
            self._ask(name, node)
        elif name in _ASKING and node.args and not self._is_of_another(node.args[0]):
            is_class = any(isinstance(x, ast.Name) and x.id in self.class_names for x in node.args)
            if name in ("dir", "getmembers", "getmembers_static") or is_class:
                uses.asks = uses.asks or ast.unparse(node)
        elif name in _AS_DICT and node.args and not self._is_settings(node.args[0]):
            uses.asks = uses.asks or ast.unparse(node)
        if name in ("attrgetter", "methodcaller"):
            texts = [given.value for given in node.args if isinstance(given, ast.Constant)]
            for part in ".".join(map(str, texts)).split("."):
                self._read(part)
        if name in ("suppress", "raises", "assertRaises", "assertRaisesRegex"):
            uses.caught.update(filter(None, map(last_name, node.args)))
        if name in _CHANGING and isinstance(node.func, ast.Attribute):
            self._change(node.func.value)
        elif name in _CHANGING_GIVEN and node.args:
            self._change(node.args[0])
        self.generic_visit(node)

    def _make(self, node: ast.Call) -> None:
        given = node.args[0] if node.args else None
        is_named = isinstance(given, ast.Name) and given.id in self.no_numbers
        if given is not None and (is_named or _is_no_number(given) or _makes_array(given)):
            self.uses.data.append(ast.unparse(given))

    def _is_settings(self, node: ast.expr) -> bool:
        """True if an object holds parsed options, or is of an unrelated class."""
        is_parsed = isinstance(node, ast.Name) and node.id in self.parsed
        return is_parsed or last_name(node).startswith("parse_") or self._is_of_another(node)

    def _ask(self, function: str, node: ast.Call) -> None:
        uses, asked = self.uses, node.args[1]
        is_module = isinstance(node.args[0], ast.Name) and node.args[0].id in self.imported
        if is_module or self._is_settings(node.args[0]):
            return
        if not (isinstance(asked, ast.Constant) and isinstance(asked.value, str)):
            if function == "hasattr" or (function == "getattr" and len(node.args) > 2):
                uses.asks = uses.asks or ast.unparse(node)
            elif function == "getattr":
                uses.gets = uses.gets or ast.unparse(node)
            return
        name = asked.value
        if function in ("setattr", "delattr"):
            uses.stored.add(name)
            if len(node.args) > 2:
                self._give(name, node.args[2])
            return
        if function == "hasattr" or (len(node.args) > 2 and not _is_empty_label(name, node)):
            uses.asked.add(name)
        if function == "getattr":
            self._read(name)

    def _read(self, name: str) -> None:
        """Note an attribute that is read by a function, for any purpose."""
        uses = self.uses
        for found in (uses.loaded, uses.compared, uses.walked, uses.called, uses.keywords):
            found.add(name)

    def _change(self, container: ast.expr) -> None:
        if isinstance(container, ast.Attribute):
            self.uses.stored.add(container.attr)
        elif isinstance(container, ast.Name) and container.id in self.names:
            self.uses.stored.add(self.names[container.id])

    def visit_Try(self, node: ast.Try) -> None:
        caught = {name for handler in node.handlers for name in _caught_by(handler)}
        self.uses.caught |= caught
        body = [part for statement in node.body for part in ast.walk(statement)]
        if caught & {"TypeError", "Exception", "BaseException"}:
            self.uses.tried.update(name for part in body for name in _operators_of(part))
        if caught & {"AttributeError", "Exception", "BaseException"}:
            for part in body:
                if isinstance(part, ast.Attribute):
                    owner = part.value.id if isinstance(part.value, ast.Name) else ""
                    self.uses.asked |= {part.attr} - (
                        {part.attr} if owner in self.imported else set()
                    )
        self.generic_visit(node)


def _methods_on_nodes(node: ast.ClassDef) -> Iterable[ast.FunctionDef]:
    """Yield the methods that construct no nodes, except those that backward() calls."""
    methods = {x.name: x for x in node.body if isinstance(x, ast.FunctionDef)}
    aside, pending = {"__init__", "__post_init__", "backward"}, ["backward"]
    while pending:
        function = methods.get(pending.pop())
        called = {last_name_of(part) for part in ast.walk(function)} if function else set()
        pending += called & methods.keys() - aside
        aside |= called
    for name, function in methods.items():
        makes = any(
            isinstance(part, ast.Call)
            and last_name(part.func) in (node.name, "cls", "__class__", "type")
            for part in ast.walk(function)
        )
        if name not in aside and not makes:
            yield function


def last_name_of(node: ast.AST) -> str:
    """Return the name of a name or attribute, or "" for another expression."""
    return last_name(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def _is_no_number(value: ast.expr) -> bool:
    """True if an expression is evidently not a real number."""
    if isinstance(value, ast.Constant):
        return value.value is None or isinstance(value.value, str | bytes | complex)
    if isinstance(value, ast.BinOp):
        return _is_no_number(value.left) or _is_no_number(value.right)
    if isinstance(value, ast.Call):
        return last_name(value.func) in _OTHER_NUMBERS
    return isinstance(value, (ast.Lambda, *_DISPLAYS))


def _makes_array(value: ast.expr) -> bool:
    if not isinstance(value, ast.Call):
        return isinstance(value, ast.BinOp) and (
            _makes_array(value.left) or _makes_array(value.right)
        )
    name = last_name(value.func)
    given = bool(value.args) or bool(value.keywords)
    return given and (name in _ARRAYS or any(word.arg == "size" for word in value.keywords))


def _is_empty_label(name: str, call: ast.Call) -> bool:
    default = call.args[2]
    return name == "label" and isinstance(default, ast.Constant) and default.value == ""


def _operators_of(node: ast.AST) -> Iterable[str]:
    """Yield the special methods by which an expression may be evaluated."""
    if isinstance(node, ast.BinOp | ast.UnaryOp | ast.AugAssign):
        name = OPERATORS.get(type(node.op), "")
        yield from (f"__{name}__", f"__r{name}__")
    elif isinstance(node, ast.Compare):
        yield from ("__lt__", "__le__", "__gt__", "__ge__")
    elif isinstance(node, ast.Call):
        called = last_name(node.func)
        yield from {"abs": ["__abs__"], "format": ["__format__"], "round": ["__round__"]}.get(
            called, ["__lt__", "__gt__"] if called in ("max", "min", "sorted", "sort") else []
        )
        yield from ["__radd__"] * (called == "sum")
    elif isinstance(node, ast.FormattedValue) and node.format_spec is not None:
        yield "__format__"


def _caught_by(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return {"BaseException"}
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {last_name(kind) for kind in kinds}


def _imported_names(module: ast.Module) -> Iterable[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                if isinstance(node, ast.Import) or name.islower():
                    yield name


def _other_names(module: ast.Module, class_name: str) -> Iterable[str]:
    """Yield the other names of the class in a module."""
    yield from _assigned(module, lambda value: last_name_of(value) == class_name)
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom):
            yield from (x.asname for x in node.names if x.name == class_name and x.asname)


def _assigned(module: ast.Module, fits: Callable[[ast.expr], bool]) -> Iterable[str]:
    """Yield the names assigned to expressions that fit."""
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and fits(node.value):
            for target in node.targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name):
                        yield part.id


def _always(module: ast.Module, fits: Callable[[ast.expr], bool]) -> Iterable[str]:
    """Return the names that are bound only to expressions that fit."""
    names = [node for node in ast.walk(module) if isinstance(node, ast.Name)]
    bound = [name.id for name in names if not isinstance(name.ctx, ast.Load)]
    bound += [node.arg for node in ast.walk(module) if isinstance(node, ast.arg)]
    found = list(_assigned(module, fits))
    return (name for name in found if found.count(name) == bound.count(name))
