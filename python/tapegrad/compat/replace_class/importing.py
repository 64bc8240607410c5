"""Import hooks that replace classes in a program's modules and in its own micrograd."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from tapegrad.compat._notes import say
from tapegrad.compat.micrograd import stand_in_for
from tapegrad.compat.replace_class.rewriting import compile_source


class _NeighbourLoader(SourceFileLoader):
    """Loads a module with classes in it replaced."""

    def __init__(self, fullname: str, path: str, names: Collection[str]) -> None:
        super().__init__(fullname, path)
        self._names = names

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module's source, since cached bytecode has the original class."""
        path = self.get_filename(fullname)
        return compile_source(self.get_data(path), path, self._names)


class _OwnMicrogradLoader(_NeighbourLoader):
    """Loads a program's own package micrograd, or tapegrad's instead if that fails."""

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
    """Finds modules where Python would, and replaces classes in those of certain folders."""

    def __init__(
        self, folders: Sequence[str], names: Collection[str], own_micrograd: bool = False
    ) -> None:
        self._folders = [Path(folder).resolve() for folder in folders]
        self._names = names
        self._own_micrograd = own_micrograd

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module in the folders, or None for any other."""
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
        # Decided by the top-level package, so as to exclude a virtual environment in the folder.
        top = fullname.partition(".")[0]
        file = Path(os.path.realpath(origin))
        return any(
            file == folder / f"{top}.py" or folder / top in file.parents for folder in self._folders
        )


def find_own_micrograd(folders: Sequence[str]) -> str:
    """Return the path of a program's own module or package micrograd, or "" if it has none."""
    # As in Python, an installed package takes precedence over a folder without __init__.py.
    spec = PathFinder.find_spec("micrograd", [*folders, *sys.path[1:]])
    if spec is None:
        return ""
    if spec.origin is None:
        # A namespace package, which may be any folder: it counts if it has modules.
        found = [x for x in spec.submodule_search_locations or [] if any(Path(x).glob("*.py"))]
    elif spec.submodule_search_locations is None:
        found = [spec.origin]
    else:
        found = [os.path.dirname(spec.origin)]
    return next((place for place in found if os.path.dirname(place) in folders), "")


def install_neighbour_finder(
    folders: Sequence[str], names: Collection[str], own_micrograd: bool = False
) -> None:
    """Replace classes of these names in all modules that are imported from these folders."""
    finders = sys.meta_path
    place = finders.index(PathFinder) if PathFinder in finders else len(finders)
    finders.insert(place, NeighbourFinder(folders, names, own_micrograd))
