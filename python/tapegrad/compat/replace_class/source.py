"""Static analysis of a program's class: the names that its methods read, call and assign."""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Iterable
from dataclasses import dataclass

Function = ast.FunctionDef | ast.Lambda

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
            if last_name(decorator) not in _CLASS_DECORATORS:
                return f"it is decorated by {ast.unparse(decorator)}"
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef):
                for decorator in statement.decorator_list:
                    if last_name(decorator) not in _METHOD_DECORATORS:
                        return f"its {statement.name} is decorated by {ast.unparse(decorator)}"
            elif not isinstance(statement, ast.Assign | ast.AnnAssign | ast.Pass) and not (
                isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            ):
                return f"its body runs statements (line {statement.lineno})"
    return ""


def last_name(expression: ast.expr) -> str:
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


def returns_of(function: ast.FunctionDef | None) -> list[ast.expr]:
    """Return the expressions that a function returns or yields, except None."""
    found: list[ast.expr] = []
    pending: list[ast.AST] = [*(function.body if function else ())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom):
            is_none = isinstance(node.value, ast.Constant) and node.value.value is None
            if isinstance(node, ast.Yield) or not (node.value is None or is_none):
                found.append(node.value or ast.Constant(None))
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            pending += ast.iter_child_nodes(node)
    return found


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


def makes_nodes(function: ast.AST, class_name: str, stores: Collection[str]) -> bool:
    """True if a function constructs a node with operands itself, not only by other operations.

    Such a function calls the class with more than a number, or assigns one of the attributes
    `stores`.
    """
    return any(
        isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in stores
        if not isinstance(node, ast.Call)
        else is_class(node.func, class_name) and gives_operands(node)
        for node in ast.walk(function)
    )


OPERATORS: dict[type[ast.AST], str] = {
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
            name = OPERATORS.get(type(node.op))
            if name and (is_made_of_others or direct):
                found |= {f"__{name}__", f"__r{name}__"}
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Call):
            found.add({"abs": "__abs__", "sum": "__add__"}.get(last_name(node.func), ""))
    return found


def gives_operands(call: ast.Call) -> bool:
    given = [*call.args[1:], *(keyword.value for keyword in call.keywords if keyword.arg != "data")]
    return any(not isinstance(value, ast.Constant) for value in given)


def names_its_class(function: ast.FunctionDef) -> bool:
    """True if a method reads the class of an object."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr == "__class__")
        or (isinstance(node, ast.Call) and last_name(node.func) == "type")
        for node in ast.walk(function)
    )


def is_class(called: ast.expr, class_name: str) -> bool:
    if isinstance(called, ast.Name):
        return called.id in (class_name, "cls", "__class__")
    if isinstance(called, ast.Attribute):
        return called.attr == "__class__"
    return isinstance(called, ast.Call) and last_name(called.func) == "type"
