"""Static analysis of a program's class: the names that its methods read, call and assign."""

from __future__ import annotations

import ast
import builtins
import copy
import types
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Function = ast.FunctionDef | ast.Lambda

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
_CLASS_DECORATORS = {"dataclass", "total_ordering", "final"}
_METHOD_DECORATORS = {"abstractmethod", "cached_property", "classmethod", "override", "overload"}
_METHOD_DECORATORS |= {"property", "setter", "staticmethod"}


@dataclass(frozen=True)
class ClassSource:
    """The syntax tree of a class definition and of its module."""

    node: ast.ClassDef
    module: ast.Module
    filename: str

    @property
    def name(self) -> str:
        return self.node.name

    def methods(self) -> dict[str, ast.FunctionDef]:
        """Return the methods of the class and of its bases in the module, by all their names."""
        found: dict[str, ast.FunctionDef] = {}
        for base in self.bases():
            found.update(_functions_of(base))
        found.update(_functions_of(self.node))
        return found

    def bases(self) -> list[ast.ClassDef]:
        """Return the bases that the module defines, the most distant first."""
        found: list[ast.ClassDef] = []
        pending = [self.node]
        while pending:
            names = {base.id for base in pending.pop().bases if isinstance(base, ast.Name)}
            for statement in self.module.body:
                if not isinstance(statement, ast.ClassDef) or statement.name not in names:
                    continue
                if statement.name != self.name and statement not in found:
                    found.insert(0, statement)
                    pending.append(statement)
        return found

    def fields(self) -> set[str]:
        """Return the names annotated in the class and these bases, as in a dataclass."""
        return {
            statement.target.id
            for node in [*self.bases(), self.node]
            for statement in node.body
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        }

    def functions(self) -> dict[str, ast.FunctionDef]:
        """Return the functions at the top level of the module."""
        return {x.name: x for x in self.module.body if isinstance(x, ast.FunctionDef)}

    def is_constant(self, name: str) -> bool:
        """True if the module assigns this name once, and no function declares it global."""
        stores = 0
        for node in ast.walk(self.module):
            if isinstance(node, ast.Global) and name in node.names:
                return False
            if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
                stores += 1
        return stores == 1


def _functions_of(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    found: dict[str, ast.FunctionDef] = {}
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign):
            before = dict(found)
            for part in ast.walk(statement):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    found.pop(part.id, None)
            for target, value in _pairs(statement):
                if isinstance(value, ast.Name) and value.id in before:
                    found[target] = before[value.id]
    return found


def _pairs(statement: ast.Assign) -> Iterable[tuple[str, ast.expr]]:
    """Yield the names assigned and their expressions, also in `a, b = x, y`."""
    for target in statement.targets:
        value = statement.value
        if isinstance(target, ast.Name):
            yield target.id, value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for name, part in zip(target.elts, value.elts, strict=False):
                if isinstance(name, ast.Name):
                    yield name.id, part


def why_not_repeated(source: ClassSource) -> str:
    """Return why the class statement cannot be run a second time, or "" if it can."""
    for node in [*source.bases(), source.node]:
        if node.keywords:
            return "it has a metaclass or arguments besides its bases"
        for decorator in node.decorator_list:
            if _last_name(decorator) not in _CLASS_DECORATORS:
                return f"it is decorated by {ast.unparse(decorator)}"
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef):
                for decorator in statement.decorator_list:
                    if _last_name(decorator) not in _METHOD_DECORATORS:
                        return f"its {statement.name} is decorated by {ast.unparse(decorator)}"
            elif not isinstance(statement, ast.Assign | ast.AnnAssign | ast.Pass) and not (
                isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            ):
                return f"its body runs statements (line {statement.lineno})"
    return ""


def _last_name(expression: ast.expr) -> str:
    if isinstance(expression, ast.Call):
        expression = expression.func
    if isinstance(expression, ast.Attribute):
        return expression.attr
    return expression.id if isinstance(expression, ast.Name) else ""


def without_annotations(statement: ast.stmt) -> ast.stmt:
    """Return a copy without annotations, which may refer to names not defined yet."""
    copied = copy.deepcopy(statement)
    for node in ast.walk(copied):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
    return copied


def is_stub(function: ast.FunctionDef) -> bool:
    """True if the body of a function is only a docstring, `...` or `pass`."""
    return all(
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in function.body
    )


def looks_at_operands(constructor: ast.FunctionDef) -> str:
    """Return which attribute of other nodes a constructor reads, or "" for none.

    The data of a node that is passed in place of a number does not count.
    """
    attributes = [node for node in ast.walk(constructor) if isinstance(node, ast.Attribute)]
    stored = {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    own = {argument.arg for argument in constructor.args.args[:2]}
    for node in attributes:
        is_own = isinstance(node.value, ast.Name) and node.value.id in own
        if isinstance(node.ctx, ast.Load) and node.attr in stored and not is_own:
            return f"looks at the {node.attr} of its operands"
    return ""


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


def modules_beside(module: ast.Module, folder: str) -> Iterable[Path]:
    """Yield the files in a folder that a module imports, for a package all its files."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names} if node.level else set()
            names.add((node.module or "").partition(".")[0])
    for name in sorted(names - {""}):
        yield Path(folder) / f"{name}.py"
        if (Path(folder) / name).is_dir():
            yield from sorted((Path(folder) / name).rglob("*.py"))


def makes_nodes(function: ast.AST, class_name: str, stores: Collection[str]) -> bool:
    """True if a function constructs a node with operands itself, not only by other operations.

    Such a function calls the class with more than a number, or assigns one of the attributes
    `stores`.
    """
    return any(
        isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in stores
        if not isinstance(node, ast.Call)
        else _is_class(node.func, class_name) and _gives_operands(node)
        for node in ast.walk(function)
    )


_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.Pow: "pow",
    ast.USub: "neg",
    ast.UAdd: "pos",
}


def operations_in(function: ast.FunctionDef, is_made_of_others: bool) -> set[str]:
    """Return the methods of nodes that a function may call, by name or by operators.

    In a function that constructs its node itself, most operators act on numbers; only those next to
    one of its operands count.
    """
    operands = {argument.arg for argument in function.args.args}
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.BinOp | ast.UnaryOp | ast.AugAssign):
            sides = [getattr(node, side, None) for side in ("left", "right", "operand", "target")]
            direct = {side.id for side in sides if isinstance(side, ast.Name)} & operands
            name = _OPERATORS.get(type(node.op))
            if name and (is_made_of_others or direct):
                found |= {f"__{name}__", f"__r{name}__"}
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Call):
            found.add({"abs": "__abs__", "sum": "__add__"}.get(_last_name(node.func), ""))
    return found


def _gives_operands(call: ast.Call) -> bool:
    given = [*call.args[1:], *(keyword.value for keyword in call.keywords if keyword.arg != "data")]
    return any(not isinstance(value, ast.Constant) for value in given)


def names_its_class(function: ast.FunctionDef) -> bool:
    """True if a method reads the class of an object."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr == "__class__")
        or (isinstance(node, ast.Call) and _last_name(node.func) == "type")
        for node in ast.walk(function)
    )


def _is_class(called: ast.expr, class_name: str) -> bool:
    if isinstance(called, ast.Name):
        return called.id in (class_name, "cls", "__class__")
    if isinstance(called, ast.Attribute):
        return called.attr == "__class__"
    return isinstance(called, ast.Call) and _last_name(called.func) == "type"


@dataclass
class Uses:
    """How the program around a class uses the attributes of its nodes."""

    loaded: set[str] = field(default_factory=set)
    compared: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    compares_types: bool = False
    makes_nodes: bool = False

    def add(self, module: ast.AST, class_name: str) -> None:
        """Add the uses in a module, except those inside the class of this name."""
        pending: list[ast.AST] = [module]
        while pending:
            node = pending.pop()
            if not (isinstance(node, ast.ClassDef) and node.name == class_name):
                self._add_node(node)
                called = node.func if isinstance(node, ast.Call) else None
                name = _last_name(called) if called is not None else ""
                if name == class_name and isinstance(node, ast.Call) and _gives_operands(node):
                    self.makes_nodes = True
                pending.extend(ast.iter_child_nodes(node))

    def _add_node(self, node: ast.AST) -> None:
        if isinstance(node, ast.Attribute):
            is_load = isinstance(node.ctx, ast.Load)
            (self.loaded if is_load else self.stored).add(node.attr)
        deciding: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            deciding = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) and not side.value for side in deciding):
                deciding = []  # a test for emptiness only
            self.compares_types |= any(
                (isinstance(side, ast.Call) and _last_name(side.func) == "type")
                or (isinstance(side, ast.Attribute) and side.attr == "__class__")
                for side in deciding
            )
        elif isinstance(node, ast.Subscript):
            deciding = [node.slice]
        elif isinstance(node, ast.Match):
            deciding = [node.subject]
        elif isinstance(node, ast.Call) and _last_name(node.func) in ("get", "startswith"):
            deciding = [node.func, *node.args]
        self.compared.update(
            part.attr
            for expression in deciding
            for part in ast.walk(expression)
            if isinstance(part, ast.Attribute)
        )
