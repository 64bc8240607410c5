"""Find the classes in a program's sources that tapegrad's Value is to replace."""

from __future__ import annotations

import ast
import contextlib
import copy
import os
import sys
from collections.abc import Callable, Collection, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tapegrad._notes import say
from tapegrad._source import ClassSource, Uses, modules_beside
from tapegrad.dropin import stand_in_for

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
        from tapegrad import _adopt

        source = _sources[number]
        return _adopt.adopt(cls, source, outer, _uses_around(source))

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


class _NeighbourLoader(SourceFileLoader):
    """Loads a module with its classes replaced."""

    def __init__(self, fullname: str, path: str, names: Collection[str]) -> None:
        super().__init__(fullname, path)
        self._names = names

    def get_code(self, fullname: str) -> CodeType:
        """The module's code, from its source: cached bytecode has the original class."""
        path = self.get_filename(fullname)
        return compile_source(self.get_data(path), path, self._names)


class _OwnMicrogradLoader(_NeighbourLoader):
    """Loads a program's own package micrograd, or tapegrad's in its place where that fails."""

    def exec_module(self, module: ModuleType) -> None:
        try:
            super().exec_module(module)
        except Exception as error:
            say(
                f"the program's own micrograd fails ({type(error).__name__}: {error}); "
                "micrograd is tapegrad's"
            )
            stand_in_for(module)


class NeighbourFinder:
    """Finds modules where Python would, and replaces classes in those of some folders."""

    def __init__(
        self, folders: Sequence[str], names: Collection[str], own_micrograd: bool = False
    ) -> None:
        self._folders = [Path(folder).resolve() for folder in folders]
        self._names = names
        self._own_micrograd = own_micrograd

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module in the folders, None for any other."""
        is_micrograd = self._own_micrograd and fullname.partition(".")[0] == "micrograd"
        names = {*self._names, "Value"} if is_micrograd else self._names
        if not names:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or type(spec.loader) is not SourceFileLoader:
            return None
        if not self._is_neighbour(fullname, spec.origin):
            return None
        loader = _OwnMicrogradLoader if is_micrograd and "." not in fullname else _NeighbourLoader
        spec.loader = loader(fullname, spec.origin, names)
        return spec

    def _is_neighbour(self, fullname: str, origin: str) -> bool:
        # The first name decides: a virtual environment in the folder is not the program's.
        top = fullname.partition(".")[0]
        file = Path(os.path.realpath(origin))
        return any(
            file == folder / f"{top}.py" or folder / top in file.parents for folder in self._folders
        )


def find_own_micrograd(folders: Sequence[str]) -> str:
    """Where a program has a module or package of this name beside it; "" where it has none."""
    # A folder without __init__.py comes after an installed package, as it does for Python.
    spec = PathFinder.find_spec("micrograd", [*folders, *sys.path[1:]])
    if spec is None:
        return ""
    if spec.origin is None:
        # It may hold anything.
        found = [x for x in spec.submodule_search_locations or [] if any(Path(x).glob("*.py"))]
    elif spec.submodule_search_locations is None:
        found = [spec.origin]
    else:
        found = [os.path.dirname(spec.origin)]
    return next((place for place in found if os.path.dirname(place) in folders), "")


def install_neighbour_finder(
    folders: Sequence[str], names: Collection[str], own_micrograd: bool = False
) -> None:
    """Replace classes of these names in modules that are imported from these folders."""
    finders = sys.meta_path
    place = finders.index(PathFinder) if PathFinder in finders else len(finders)
    finders.insert(place, NeighbourFinder(folders, names, own_micrograd))
