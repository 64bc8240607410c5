"""Find the classes in a program's sources that tapegrad's Value is to replace."""

from __future__ import annotations

import ast
import contextlib
import copy
import os
import sys
from collections.abc import Callable, Collection, Sequence
from types import CodeType
from typing import Any

from tapegrad.compat.replace_class.source import ClassSource, Uses, modules_beside

_MOST_MODULES = 100
_LARGEST_MODULE = 500_000

# Names of classes met in sources, the class definitions, and the modules that were looked at.
_met: set[str] = set()
_sources: list[ClassSource] = []
_looked_at: dict[str, ast.Module] = {}


def is_met(name: str) -> bool:
    """Whether a source compiled so far defines a class of this name at module level."""
    return name in _met


def adopt(number: int) -> Callable[[Any], Any]:
    """A class decorator, outside all others, that `parse_source` puts before a class.

    The number says which class definition of those met so far it is.
    """
    outer = sys._getframe(1).f_globals

    def decorate(cls: Any) -> Any:
        # Imported here: a program whose classes stay does not wait for it.
        from tapegrad.compat.replace_class.adopt import adopt as replace

        source = _sources[number]
        return replace(cls, source, outer, _uses_around(source))

    return decorate


def look_at(text: str | bytes, filename: str, *folders: str) -> None:
    """Note what a source of the program does with nodes, for the decision about its classes.

    The same of the modules that it imports from its own folder or one of `folders`.
    """
    if filename in _looked_at or len(_looked_at) > _MOST_MODULES:
        return
    with contextlib.suppress(SyntaxError, ValueError):
        module = _looked_at[filename] = ast.parse(text, filename)
        _look_around(module, filename, folders)


def _look_around(module: ast.Module, filename: str, folders: Sequence[str]) -> None:
    own = os.path.dirname(os.path.realpath(filename))
    for folder in dict.fromkeys([own, *folders]):
        for path in modules_beside(module, folder):
            with contextlib.suppress(OSError):
                if path.stat().st_size < _LARGEST_MODULE:
                    look_at(path.read_bytes(), os.path.realpath(path), *folders)


def _uses_around(source: ClassSource) -> Uses:
    uses = Uses()
    for module in [source.module, *_looked_at.values()]:
        uses.add(module, source.name)
    return uses


class _AdoptClasses(ast.NodeTransformer):
    """Decorates the classes of the given names, at module level only, with `adopt`."""

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
    # An import, not a name: the program's namespace stays its own.
    source = f"__import__({__name__!r}, fromlist=['adopt']).adopt({number})"
    expression = ast.parse(source, mode="eval").body
    place = node.decorator_list[0] if node.decorator_list else node
    for part in ast.walk(expression):
        ast.copy_location(part, place)
    return expression


def parse_source(
    source: str | bytes, filename: str, names: Collection[str], flags: int = 0
) -> ast.Module:
    """The syntax tree of a program in which classes of these names are replaced.

    Raises SyntaxError as `compile` does.
    """
    # Not ast.parse: its frame would show in the traceback of a SyntaxError.
    tree = compile(source, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    if names:
        _AdoptClasses(names, tree, filename).visit(tree)
    return tree


def compile_source(source: str | bytes, filename: str, names: Collection[str]) -> CodeType:
    """The code of a program in which classes of these names are replaced.

    Raises SyntaxError as `compile` does.
    """
    tree = parse_source(source, filename, names)
    code: CodeType = compile(tree, filename, "exec", dont_inherit=True)
    return code
