"""Put tapegrad's Value in the place of a class that a program defines for itself."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Collection, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import (
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any

from tapegrad._core import Value

# Names of classes met in sources, and of what Value got from them: a class may be defined again
# (notebooks do), and its newer methods then count.
_met: set[str] = set()
_adopted: set[str] = set()

_ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"]
_OPERATORS = {f"__{side}{name}__" for side in ("", "r", "i") for name in _ARITHMETIC} | {
    "__abs__",
    "__neg__",
    "__pos__",
}
# Python's own bookkeeping, and how tapegrad's Value copies itself.
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


def say(message: str) -> None:
    """Write a note about the run to stderr, where it is not taken for the program's output."""
    print(f"tapegrad run: {message}", file=sys.stderr)


def is_met(name: str) -> bool:
    """Whether a source compiled so far defines a class of this name at module level."""
    return name in _met


def adopt(cls: Any) -> Any:
    """Give Value the methods of `cls` that it lacks, and return it to be used instead.

    This is a class decorator, outside all others, that `compile_source` puts there.
    """
    if not isinstance(cls, type):
        say(f"{cls!r} is no class once it is decorated: left as it is")
        return cls
    own = _attributes_of_program(cls)
    added = {name: own[name] for name in own if name in _adopted or not _has(name)}
    _point_super_at_value(cls)
    for name, attribute in added.items():
        setattr(Value, name, attribute)
    _adopted.update(added)
    say(
        f"class {cls.__name__} of {cls.__module__} is now tapegrad's Value; "
        f"kept tapegrad's own: {_listed(own.keys() - added.keys())}; "
        f"added from {cls.__name__}: {_listed(added)}"
    )
    return Value


def _attributes_of_program(cls: type) -> dict[str, Any]:
    """The attributes of a class and its bases, without those of Python and its library."""
    attributes: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        library = base.__module__.partition(".")[0] in sys.stdlib_module_names
        if base is cls or not (library or base in Value.__mro__):
            attributes.update(vars(base))
    return {name: value for name, value in attributes.items() if not _is_machinery(name, value)}


def _has(name: str) -> bool:
    # Not hasattr: every type has a __call__, its instances need not.
    return any(name in vars(base) for base in Value.__mro__)


def _is_machinery(name: str, attribute: Any) -> bool:
    if isinstance(attribute, GetSetDescriptorType | MemberDescriptorType):
        return True
    special = name.startswith("__") and name.endswith("__")
    return special and (
        name in _MACHINERY or not callable(getattr(attribute, "__func__", attribute))
    )


def _point_super_at_value(cls: type) -> None:
    """Let `super()` and `__class__` in the methods of the replaced class mean Value."""
    for attribute in vars(cls).values():
        accessor = getattr(attribute, "fget", attribute)
        function = getattr(accessor, "__func__", accessor)
        if isinstance(function, FunctionType) and "__class__" in function.__code__.co_freevars:
            position = function.__code__.co_freevars.index("__class__")
            cells: tuple[CellType, ...] = function.__closure__ or ()
            cells[position].cell_contents = Value


def _listed(names: Collection[str]) -> str:
    """The names in order, the operators as one.

    >>> _listed({"__add__", "__rmul__", "relu", "__eq__"})
    'operators, __eq__, relu'
    """
    others = sorted(name for name in names if name not in _OPERATORS)
    operators = ["operators"] if len(others) < len(names) else []
    return ", ".join(operators + others) or "nothing"


class _AdoptClasses(ast.NodeTransformer):
    """Decorates the classes of the given names, at module level only, with `adopt`."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = names

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        if node.name in self.names:
            _met.add(node.name)
            node.decorator_list.insert(0, _adopt_expression(node))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        return node


def _adopt_expression(node: ast.ClassDef) -> ast.expr:
    # An import, not a name: the program's namespace stays its own.
    source = f"__import__({__name__!r}, fromlist=['adopt']).adopt"
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
        _AdoptClasses(names).visit(tree)
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


class NeighbourFinder:
    """Finds modules where Python would, and replaces classes in those of one folder."""

    def __init__(self, folder: str, names: Collection[str]) -> None:
        self._folder = Path(folder).resolve()
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module in the folder, None for any other."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or type(spec.loader) is not SourceFileLoader:
            return None
        if not self._is_neighbour(fullname, spec.origin):
            return None
        spec.loader = _NeighbourLoader(fullname, spec.origin, self._names)
        return spec

    def _is_neighbour(self, fullname: str, origin: str) -> bool:
        # The first name decides: a virtual environment in the folder is not the program's.
        top = fullname.partition(".")[0]
        home = [self._folder / f"{top}.py", self._folder / top]
        file = Path(os.path.realpath(origin))
        return file == home[0] or home[1] in file.parents


def install_neighbour_finder(folder: str, names: Collection[str]) -> None:
    """Replace classes of these names in modules that are imported from this folder."""
    finders = sys.meta_path
    place = finders.index(PathFinder) if PathFinder in finders else len(finders)
    finders.insert(place, NeighbourFinder(folder, names))
