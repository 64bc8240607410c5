"""Static analysis of purity: what a method depends on or changes besides its operands."""

from __future__ import annotations

import ast
import builtins
import types
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tapegrad.compat.replace_class.source import ClassSource, Function

# Modules whose functions depend on their arguments alone.
_PURE_MODULES = {"math", "cmath", "numbers", "numpy", "operator", "typing", "__future__"}
_PURE_BUILTINS = frozenset(
    {"NotImplemented", "abs", "all", "any", "bool", "callable", "dict", "divmod", "enumerate"}
    | {"filter", "float", "frozenset", "hasattr", "id", "int", "isinstance", "issubclass", "iter"}
    | {"len", "list", "map", "max", "min", "next", "object", "pow", "range", "repr", "reversed"}
    | {"round", "set", "slice", "sorted", "str", "sum", "super", "tuple", "type", "zip"}
)
# The methods of tuples, lists, sets, dicts and strings.
_CONTAINER_METHODS = {
    name
    for kind in (tuple, list, set, dict, str)
    for name in vars(kind)
    if not name.startswith("_")
}


@dataclass
class Surroundings:
    """The names that a method may use without depending on more than its operands."""

    source: ClassSource
    scope: Mapping[str, Any]
    class_data: Collection[str]
    loads: Collection[str]
    stores: Collection[str]
    _seen: dict[str, str] = field(default_factory=dict)

    def why_not_pure(self, function: Function) -> str:
        """Return what a function depends on or changes besides its operands, or "" for nothing."""
        reader = _Reader(self, _bound_names(function))
        body = function.body if isinstance(function.body, list) else [function.body]
        for node in [*body, *function.args.defaults, *filter(None, function.args.kw_defaults)]:
            reader.visit(node)
        return reader.reason

    def why_not_global(self, name: str) -> str:
        """Return why a global name is impure, or "" if it is not."""
        if name not in self._seen:
            self._seen[name] = ""  # ends the recursion for functions that call each other
            self._seen[name] = self._look_up(name)
        return self._seen[name]

    def _look_up(self, name: str) -> str:
        functions = self.source.functions()
        if name == self.source.name:
            return ""
        if name in functions:
            return self.why_not_pure(functions[name])
        try:
            found = self.scope[name]
        except KeyError:
            known = name in _PURE_BUILTINS or _is_exception(getattr(builtins, name, None))
            return "" if known else f"uses {name}"
        module = found.__name__ if isinstance(found, types.ModuleType) else None
        if module is None and callable(found):
            module = getattr(found, "__module__", None) or ""
        if module is not None and (
            module.partition(".")[0] in _PURE_MODULES or _is_exception(found)
        ):
            return ""
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        if is_number and self.source.is_constant(name):
            return ""
        return f"uses {name}"


def _is_exception(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, BaseException)


def _bound_names(function: Function) -> set[str]:
    """Return the names bound in a function or in functions inside it."""
    bound = set()
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.FunctionDef) and node is not function:
            bound.add(node.name)
        elif isinstance(node, ast.ExceptHandler):
            bound.add(node.name or "")
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
    return bound


class _Reader(ast.NodeVisitor):
    """Finds the first impurity in a function and describes it in `reason`."""

    def __init__(self, around: Surroundings, bound: set[str]) -> None:
        self.around = around
        self.bound = bound
        self.reason = ""

    def visit(self, node: ast.AST) -> None:
        if not self.reason:
            super().visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        # Annotations are skipped, since they do not affect the result.
        for part in [*node.body, *node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id not in self.bound:
            self.reason = self.around.why_not_global(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        around, attribute = self.around, node.attr
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if owner and owner not in self.bound and owner != around.source.name:
            self.visit(node.value)  # a module, with any attribute
        elif not isinstance(node.ctx, ast.Load):
            if attribute not in around.stores or owner == around.source.name:
                self.reason = f"assigns {ast.unparse(node)}"
            self.visit(node.value)
        elif attribute in around.class_data:
            self.reason = f"depends on {around.source.name}.{attribute}"
        elif attribute in around.loads or attribute in _CONTAINER_METHODS:
            self.visit(node.value)
        else:
            self.reason = f"reads {ast.unparse(node)}"

    def visit_Global(self, node: ast.Global) -> None:
        self.reason = f"changes the global {node.names[0]}"

    def visit_Import(self, node: ast.Import) -> None:
        if any(alias.name.partition(".")[0] not in _PURE_MODULES for alias in node.names):
            self.reason = f"imports {node.names[0].name}"

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level or (node.module or "").partition(".")[0] not in _PURE_MODULES:
            self.reason = f"imports from {node.module}"

    def visit_Await(self, node: ast.Await) -> None:
        self.reason = "is asynchronous"

    def visit_Delete(self, node: ast.Delete) -> None:
        self.reason = f"deletes {ast.unparse(node.targets[0])}"
