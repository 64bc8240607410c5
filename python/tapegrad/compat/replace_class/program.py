"""The sources of the program around a class: the script, its imports and loaded modules."""

from __future__ import annotations

import ast
import contextlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

import tapegrad
from tapegrad.compat.replace_class.source import ClassSource
from tapegrad.compat.replace_class.uses import Uses

_MOST_MODULES = 300
_LARGEST_MODULE = 500_000

# The sources given to run, the folders of the program's modules, and the parsed modules.
_given: dict[str, str | bytes] = {}
_folders: list[str] = []
_parsed: dict[str, ast.Module | None] = {}


def remember(texts: dict[str, str | bytes], folders: Sequence[str]) -> None:
    """Record the sources of a program by file name, and the folders of its modules."""
    _given.update(texts)
    _folders.extend(folders)


def is_installed(path: str) -> bool:
    """True if a file belongs to an installed package."""
    return bool({"site-packages", "dist-packages"} & {*Path(path).parts})


def uses_around(source: ClassSource) -> Uses:
    """Return the uses of a class's nodes in all modules of the program that can be found."""
    uses = Uses(source.name)
    for module in [source.module, *_modules()]:
        uses.add(module)
    return uses


def _modules() -> Iterable[ast.Module]:
    """Return the program's modules, found through the sys.path of the moment."""
    found: dict[str, ast.Module] = {}
    pending: list[tuple[str, str | bytes | None]] = list(_given.items())
    pending += [(path, None) for path in _files_of_loaded_modules()]
    while pending and len(found) < _MOST_MODULES:
        name, text = pending.pop()
        module = None if name in found else _parse(name, text)
        if module is not None:
            found[name] = module
            folder = os.path.dirname(os.path.realpath(name))
            for place in dict.fromkeys([folder, *_folders, *_own_places()]):
                pending += [
                    (os.path.realpath(path), None) for path in modules_beside(module, place)
                ]
    return found.values()


def _parse(name: str, text: str | bytes | None) -> ast.Module | None:
    if name not in _parsed:
        _parsed[name] = None
        with contextlib.suppress(OSError, SyntaxError, ValueError):
            if text is None and os.path.getsize(name) < _LARGEST_MODULE:
                text = Path(name).read_bytes()
            if text is not None:
                _parsed[name] = ast.parse(text, name)
    return _parsed[name]


def _own_places() -> list[str]:
    """Return the folders of sys.path in which a program may have modules."""
    library = os.path.realpath(sysconfig.get_path("stdlib"))
    places = [os.path.realpath(place) for place in sys.path]
    return [
        place
        for place in places
        if os.path.isdir(place) and not is_installed(place) and not _is_in(place, library)
    ]


def _files_of_loaded_modules() -> list[str]:
    places = [*_folders, *_own_places()]
    package = os.path.dirname(os.path.realpath(tapegrad.__file__))
    files = []
    for module in [*sys.modules.values()]:
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(".py"):
            path = os.path.realpath(file)
            own = is_installed(path) or _is_in(path, package)
            if not own and any(_is_in(path, place) for place in places):
                files.append(path)
    return files


def _is_in(path: str, folder: str) -> bool:
    return os.path.join(path, "").startswith(os.path.join(folder, ""))


def modules_beside(module: ast.Module, folder: str) -> Iterable[Path]:
    """Yield the files in a folder that a module imports, for a package all its files."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names} if node.level else set()
            names.add((node.module or "").partition(".")[0])
    for name in sorted(names - {"", "tapegrad"}):
        file = Path(folder) / f"{name}.py"
        if file.is_file():
            yield file
        if (Path(folder) / name).is_dir():
            yield from sorted((Path(folder) / name).rglob("*.py"))
