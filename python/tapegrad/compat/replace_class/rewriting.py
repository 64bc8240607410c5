"""Rewriting of a program's source so that classes in it are replaced by tapegrad's Value."""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable, Collection
from types import CodeType
from typing import Any

from tapegrad.compat.replace_class.source import ClassSource

# The names of classes met in sources, and the class definitions.
_met: set[str] = set()
_sources: list[ClassSource] = []


def is_met(name: str) -> bool:
    """True if a source compiled so far defines a class of this name at module level."""
    return name in _met


def adopt(number: int) -> Callable[[Any], Any]:
    """Return the class decorator that `parse_source` adds outside all others.

    `number` is the index of the class definition among those met so far.
    """
    outer = sys._getframe(1).f_globals

    def decorate(cls: Any) -> Any:
        # Imported here, so that a program without such classes does not pay for it.
        from tapegrad.compat.replace_class.adopt import adopt as replace
        from tapegrad.compat.replace_class.program import uses_around

        source = _sources[number]
        return replace(cls, source, outer, uses_around(source))

    return decorate


class _AdoptClasses(ast.NodeTransformer):
    """Decorates the classes of the given names at module level with `adopt`."""

    def __init__(self, names: Collection[str], module: ast.Module, filename: str) -> None:
        self.names = names
        self.module = module
        self.filename = filename

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        if node.name in self.names:
            _met.add(node.name)
            _sources.append(ClassSource(copy.deepcopy(node), self.module, self.filename))
            node.decorator_list.insert(0, _adopt_expression(node, len(_sources) - 1))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        return node


def _adopt_expression(node: ast.ClassDef, number: int) -> ast.expr:
    # An import expression, so that no name is added to the program's namespace.
    source = f"__import__({__name__!r}, fromlist=['adopt']).adopt({number})"
    expression = ast.parse(source, mode="eval").body
    place = node.decorator_list[0] if node.decorator_list else node
    for part in ast.walk(expression):
        ast.copy_location(part, place)
    return expression


def parse_source(
    source: str | bytes, filename: str, names: Collection[str], flags: int = 0
) -> ast.Module:
    """Parse a program and rewrite it so that classes of these names are replaced.

    Raises SyntaxError as `compile` does.
    """
    # Not ast.parse, whose frame would show in the traceback of a SyntaxError.
    tree = compile(source, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    if names:
        _AdoptClasses(names, tree, filename).visit(tree)
    return tree


def compile_source(source: str | bytes, filename: str, names: Collection[str]) -> CodeType:
    """Compile a program, rewritten so that classes of these names are replaced.

    Raises SyntaxError as `compile` does.
    """
    tree = parse_source(source, filename, names)
    code: CodeType = compile(tree, filename, "exec", dont_inherit=True)
    return code
