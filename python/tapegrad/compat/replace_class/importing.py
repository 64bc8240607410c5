"""Import hooks that replace classes in a program's modules and in its own micrograd."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from tapegrad.compat._notes import say
from tapegrad.compat.micrograd import MicrogradImporter, install_behind, stand_in_for
from tapegrad.compat.replace_class.program import is_installed
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

    def __init__(self, folders: Sequence[str], names: Collection[str]) -> None:
        self._folders = [Path(folder).resolve() for folder in folders]
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module in the folders, or None for any other."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or type(spec.loader) is not SourceFileLoader:
            return None
        if not self._is_neighbour(fullname, spec.origin):
            return None
        spec.loader = _NeighbourLoader(fullname, spec.origin, self._names)
        return spec

    def _is_neighbour(self, fullname: str, origin: str) -> bool:
        # Decided by the top-level package, so as to exclude a virtual environment in the folder.
        top = fullname.partition(".")[0]
        file = Path(os.path.realpath(origin))
        return any(
            file == folder / f"{top}.py" or folder / top in file.parents for folder in self._folders
        )


class MicrogradFinder:
    """Decides whether micrograd is the program's own, when the program imports it.

    Not earlier, since a program may first add the folder of its package to sys.path.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = {*names, "Value"}
        self._is_own = False
        self._told: set[str] = set()
        self._importer = MicrogradImporter()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of micrograd, or None for any other name."""
        if fullname.partition(".")[0] != "micrograd":
            return None
        if fullname == "micrograd":
            return self._choose(target)
        if not self._is_own:
            return self._importer.find_spec(fullname, path, target)
        return self._replacing(PathFinder.find_spec(fullname, path, target))

    def _choose(self, target: ModuleType | None) -> ModuleSpec | None:
        spec = self._find(target)
        place = _place_of(spec)
        was_own, self._is_own = self._is_own, bool(place) and not is_installed(place)
        if spec is None or not self._is_own:
            if place:
                self._tell(f"micrograd is tapegrad's, not the one that is installed, {place}")
            return self._importer.find_spec("micrograd")
        self._tell(f"micrograd is the program's own, {place}")
        if not was_own:
            install_behind(say)
        return self._replacing(spec)

    def _tell(self, message: str) -> None:
        """Write a note, but once: the import system asks for a spec as often as it likes."""
        if message not in self._told:
            self._told.add(message)
            say(message)

    def _find(self, target: ModuleType | None) -> ModuleSpec | None:
        """Return the spec that Python would find."""
        for finder in [*sys.meta_path]:
            # Compared by name: after a reload of its module, a class is another object.
            if type(finder).__name__ in ("MicrogradFinder", "MicrogradImporter"):
                continue
            if not isinstance(finder, NeighbourFinder) and hasattr(finder, "find_spec"):
                spec = finder.find_spec("micrograd", None, target)
                if spec is not None:
                    return spec
        return None

    def _replacing(self, spec: ModuleSpec | None) -> ModuleSpec | None:
        """Return the spec with a loader that replaces classes, if the module has a source."""
        if spec is None or spec.origin is None or type(spec.loader) is not SourceFileLoader:
            return spec
        loader = _NeighbourLoader if "." in spec.name else _OwnMicrogradLoader
        spec.loader = loader(spec.name, spec.origin, self._names)
        return spec


def _place_of(spec: ModuleSpec | None) -> str:
    """Return the path of a module or package, or "" for a folder without modules."""
    if spec is None:
        return ""
    if spec.origin is None:
        # A namespace package, which may be any folder: it counts if it has modules.
        places = [*(spec.submodule_search_locations or [])]
        return next((x for x in places if next(Path(x).rglob("*.py"), None)), "")
    origin = os.path.abspath(spec.origin)
    return origin if spec.submodule_search_locations is None else os.path.dirname(origin)


def install_micrograd_finder(names: Collection[str]) -> None:
    """Make `import micrograd` find the program's own, or tapegrad's if it has none.

    In the program's own, classes of these names and the class Value are replaced.
    """
    sys.meta_path.insert(0, MicrogradFinder(names))


def install_neighbour_finder(folders: Sequence[str], names: Collection[str]) -> None:
    """Replace classes of these names in all modules that are imported from these folders."""
    finders = sys.meta_path
    place = finders.index(PathFinder) if PathFinder in finders else len(finders)
    finders.insert(place, NeighbourFinder(folders, names))
