"""The drop-in for micrograd: makes `import micrograd` import tapegrad's modules."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

# Importing typing would take most of the time of `import tapegrad`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = ["install_as_micrograd"]

_ORIGIN = "tapegrad"
_PACKAGES = {"micrograd": ("engine", "nn", "util"), "micrograd.util": ("draw", "graph")}
_ENGINE = "micrograd.engine"
_ALIASES = {
    "micrograd.nn": "tapegrad.nn",
    "micrograd.util.draw": "tapegrad.draw",
    "micrograd.util.graph": "tapegrad.graph",
}


class MicrogradImporter:
    """An import hook that provides the modules of micrograd, also when they are reloaded.

    `note` is called with a message for each module loaded.
    """

    def __init__(self, note: Callable[[str], None] | None = None) -> None:
        self._note = note

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of micrograd, or None for any other name."""
        if fullname in _PACKAGES or fullname in _ALIASES or fullname == _ENGINE:
            # Any: importlib.abc, for a base class, takes as long to import as typing.
            loader: Any = self
            is_package = fullname in _PACKAGES
            return ModuleSpec(fullname, loader, origin=_ORIGIN, is_package=is_package)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return None, so that the import system creates the module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module, or replace it by tapegrad's own module in `sys.modules`."""
        name = module.__name__
        if self._note is not None:
            self._note(f"{name} is tapegrad's, since the program's own micrograd has none")
        if name in _ALIASES:
            # Not in create_module: the import system would overwrite the __spec__ of tapegrad's.
            sys.modules[name] = import_module(_ALIASES[name])
        elif name == _ENGINE:
            _fill(module, Value=import_module("tapegrad").Value)
        else:
            _fill(module, __getattr__=_submodule_getter(name))


def _fill(module: ModuleType, **attributes: Any) -> None:
    vars(module).update(attributes)


def _submodule_getter(package: str) -> Any:
    def getter(name: str) -> ModuleType:
        if name in _PACKAGES[package]:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return getter


def stand_in_for(module: ModuleType) -> None:
    """Turn a module micrograd that failed to load into tapegrad's."""
    for name in [name for name in sys.modules if name.startswith("micrograd.")]:
        del sys.modules[name]
    sys.meta_path.insert(0, MicrogradImporter())
    _fill(module, __path__=[], __getattr__=_submodule_getter("micrograd"))


def install_behind(note: Callable[[str], None]) -> None:
    """Make imports find tapegrad's modules for those that a program's own micrograd lacks.

    `note` is called with a message for each module loaded.
    """
    sys.meta_path.append(MicrogradImporter(note))


def _is_ours(module: ModuleType) -> bool:
    spec: ModuleSpec | None = getattr(module, "__spec__", None)
    return spec is not None and (spec.origin == _ORIGIN or spec.name in _ALIASES.values())


def install_as_micrograd() -> None:
    """Make `import micrograd` import tapegrad's modules for the rest of the process.

    The modules are `micrograd.engine` (with Value), `micrograd.nn`, `micrograd.util.graph` and
    `micrograd.util.draw`. They hide an installed micrograd but do not change it. If micrograd was
    imported before, names taken from it stay the original's, and a RuntimeWarning says so. Calling
    the function again has no effect.

    >>> install_as_micrograd()
    >>> from micrograd.engine import Value
    >>> Value(2.0) * 3
    Value(data=6.0)
    """
    # Compared by name: after a reload of this module, its class is another object.
    others = [finder for finder in sys.meta_path if type(finder).__name__ != "MicrogradImporter"]
    sys.meta_path[:] = [MicrogradImporter(), *others]
    originals = [
        name
        for name, module in sys.modules.items()
        if (name == "micrograd" or name.startswith("micrograd.")) and not _is_ours(module)
    ]
    for name in originals:
        del sys.modules[name]
    if originals:
        # The package's function of this name calls this one, so there is a frame more.
        through_package = sys._getframe(1).f_globals.get("__name__") == "tapegrad"
        warnings.warn(
            "micrograd was imported before install_as_micrograd(): imports find tapegrad's from "
            "now on, but names taken from micrograd before stay the original's",
            RuntimeWarning,
            stacklevel=3 if through_package else 2,
        )
