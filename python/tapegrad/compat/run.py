"""`python -m tapegrad run`: run a program for micrograd, or with its own Value class, on tapegrad.

`python -m tapegrad run [options] script.py|notebook.ipynb|-m module [args...]`

A process that the program starts by multiprocessing's spawn or forkserver does not use tapegrad.
"""

from __future__ import annotations

import argparse
import builtins
import os
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from tapegrad._pipe import ends_with_its_reader
from tapegrad.compat import notebook
from tapegrad.compat._notes import say
from tapegrad.compat.replace_class.importing import (
    install_micrograd_finder,
    install_neighbour_finder,
)
from tapegrad.compat.replace_class.program import remember
from tapegrad.compat.replace_class.rewriting import compile_source, is_met

# Modules whose frames are removed from the program's tracebacks.
_OWN_MODULES = {"tapegrad.compat.run", "tapegrad.compat.notebook"} | {
    f"tapegrad.compat.replace_class.{name}"
    for name in ("adopt", "facade", "importing", "rewriting", "trial")
}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments up to the script."""
    parser = argparse.ArgumentParser(
        prog="python -m tapegrad run",
        description="Run a script, a notebook or a module as Python would, with tapegrad in the "
        "place of micrograd. If the program has a package micrograd of its own, not an installed "
        "one, only the class Value in it is replaced.",
        usage="%(prog)s [-h] [--replace-class NAME] [--root DIR] "
        "(script.py | notebook.ipynb | -m module) [args ...]",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--replace-class",
        metavar="NAME",
        action="append",
        default=[],
        help="also replace a class of this name by tapegrad's Value, if the program defines one "
        "at the top level of the script or of a module beside it; may be repeated",
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        action="append",
        default=[],
        help="a folder with modules of the program besides the script's own folder, such as src, "
        "or . for a script in tests/; may be repeated",
    )
    parser.add_argument(
        "-m",
        dest="module",
        metavar="module",
        help="run a module or a package, found in the current folder, as python -m does",
    )
    parser.add_argument(
        "script", nargs="?", help="the program; all arguments after it are passed to it"
    )
    return parser


def split_arguments(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the arguments after the program's name or `-m module`.

    argparse.REMAINDER would drop a `--` among the program's arguments.

    >>> split_arguments(["--replace-class", "Value", "train.py", "-h", "--", "x"])
    (['--replace-class', 'Value', 'train.py'], ['-h', '--', 'x'])
    >>> split_arguments(["--root", "src", "-m", "package.train", "-m", "x"])
    (['--root', 'src', '-m', 'package.train'], ['-m', 'x'])
    """
    position = 0
    while position < len(argv) and argv[position].startswith("-"):
        if argv[position].startswith("-m"):
            position += 1 if argv[position] == "-m" else 0
            break
        position += 2 if argv[position] in ("--replace-class", "--root") else 1
    return list(argv[: position + 1]), list(argv[position + 1 :])


class ProgramError(Exception):
    """Raised for a program that cannot be run; `status` is Python's exit status for it."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Script:
    """A program that was read from a file; `cells` is None for a script."""

    path: str
    source: bytes
    cells: list[str] | None

    @property
    def folder(self) -> str:
        """The folder of the program's own modules."""
        return os.path.dirname(os.path.realpath(self.path))


def read_program(script: str) -> Script:
    """Read a script, a notebook, or the `__main__.py` of a folder; raises ProgramError."""
    path = os.path.abspath(script)
    if os.path.isdir(path):
        path = os.path.join(path, "__main__.py")
        if not os.path.exists(path):
            raise ProgramError(f"can't find '__main__' module in {script!r}", 1)
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        reason = f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        raise ProgramError(reason, 2) from None
    if not path.lower().endswith(".ipynb"):
        return Script(path, source, None)
    try:
        return Script(path, source, notebook.read_cells(source.decode()))
    except ValueError as error:
        raise ProgramError(f"can't run {path!r} as a notebook: {error}", 2) from None


def main(argv: Sequence[str]) -> int:
    """Run the program that the arguments name, and return the exit status.

    The status is 0 if the program ran to its end, and Python's own for a program that it cannot
    run. Exceptions of the program, including SystemExit, propagate.
    """
    own, arguments = split_arguments(argv)
    parser = make_parser()
    with ends_with_its_reader():
        options = parser.parse_args(own)
        if (options.module is None) == (options.script is None):
            parser.error("give one of a script, a notebook or -m module")
        for root in options.root:
            if not os.path.isdir(root):
                parser.error(f"--root {root}: no such folder")
    names: list[str] = options.replace_class
    try:
        if options.module is None:
            program: Script | None = read_program(options.script)
            folder = program.folder if program is not None else ""
        else:
            program, folder = None, os.getcwd()
        folders = [folder, *(os.path.realpath(root) for root in options.root)]
        _prepare(folders, names, program)
        sys.argv[:] = [options.script or "-m", *arguments]
        # `python -m` has put a folder first, which is replaced; `python -P` has not.
        if getattr(sys.flags, "safe_path", False):
            sys.path[:0] = folders[1:]
        else:
            sys.path[:1] = folders
        if program is None:
            _execute(lambda: _run_module(options.module), names)
        else:
            _execute(lambda: _run_program(program, names), names, program.cells is not None)
    except ProgramError as problem:
        say(str(problem))
        return problem.status
    return 0


def _prepare(folders: Sequence[str], names: Collection[str], program: Script | None) -> None:
    """Install the import hooks for micrograd and for the classes to replace."""
    texts: dict[str, str | bytes] = {}
    if program is not None and program.cells is None:
        texts[program.path] = program.source
    elif program is not None and program.cells is not None:
        cells = enumerate(map(notebook.python_of, program.cells), start=1)
        texts.update({f"{program.path}, cell {number}": cell for number, cell in cells})
    remember(texts, folders)
    install_micrograd_finder(names)
    if names:
        install_neighbour_finder(folders, names)


def _execute(run: Callable[[], None], names: Collection[str], is_notebook: bool = False) -> None:
    try:
        run()
    except (SystemExit, ProgramError):
        raise
    except BaseException as error:
        _show_program_only(error, is_notebook)
        raise
    finally:
        for name in names:
            if not is_met(name):
                say(f"--replace-class {name}: the program defines no such class at its top level")


def _run_program(program: Script, names: Collection[str]) -> None:
    if program.cells is None:
        loader = SourceFileLoader("__main__", program.path)
        namespace = _make_main(__file__=program.path, __cached__=None, __loader__=loader)
        exec(compile_source(program.source, program.path, names), namespace)
    else:
        # As in a kernel, a notebook has no __file__ and runs in its own folder.
        os.chdir(os.path.dirname(program.path))
        notebook.run_cells(program.path, program.cells, _make_main(), names)


def _run_module(name: str) -> None:
    """Run a module by its name; raises ProgramError if there is no such module to run."""
    spec = _find_module(name)
    if spec is not None and spec.submodule_search_locations is not None:
        if name == "__main__" or name.endswith(".__main__"):
            raise ProgramError(f"cannot use the package {name} as __main__ module", 1)
        main = _find_module(f"{name}.__main__")
        if main is None:
            raise ProgramError(
                f"No module named {name}.__main__; {name!r} is a package and cannot be directly "
                "executed",
                1,
            )
        spec = main
    if spec is None:
        raise ProgramError(f"No module named {name}", 1)
    loader: Any = spec.loader
    code = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise ProgramError(f"No code object available for {name}", 1)
    sys.argv[0] = str(spec.origin)
    namespace = _make_main(
        __file__=spec.origin,
        __cached__=spec.cached,
        __loader__=loader,
        __package__=spec.parent,
        __spec__=spec,
    )
    exec(code, namespace)


def _find_module(name: str) -> ModuleSpec | None:
    """Return the spec of a module, importing the packages it is in; their errors propagate."""
    package, _, _ = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        raise ProgramError(f"{name!r} is no module name (a script needs no -m)", 1)
    if package:
        parent = _find_module(package)
        if parent is None:
            raise ProgramError(f"No module named {package}", 1)
        if parent.submodule_search_locations is None:
            raise ProgramError(f"No module named {name}; {package!r} is not a package", 1)
        import_module(package)
    return find_spec(name)


def _make_main(**attributes: Any) -> dict[str, Any]:
    """Create a new `__main__` module and return its namespace."""
    module = ModuleType("__main__")
    namespace = vars(module)
    namespace.update(__builtins__=builtins, **attributes)
    sys.modules["__main__"] = module
    return namespace


def _show_program_only(error: BaseException, is_notebook: bool) -> None:
    """Reduce the traceback that Python will show for `error` to the program's frames."""
    for linked in _chain(error):
        linked.__traceback__ = _program_frames(linked.__traceback__)
    frames = error.__traceback__
    show = sys.excepthook
    if is_notebook and show is sys.__excepthook__:
        # Before Python 3.13, the built-in hook does not look for source lines in linecache.
        show = traceback.print_exception

    def excepthook(
        kind: type[BaseException], value: BaseException, trace: TracebackType | None
    ) -> None:
        if value is error:
            # Re-raising has added the frames that lead to the program.
            value.__traceback__ = trace = frames
        show(kind, value, trace)

    sys.excepthook = excepthook


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception and all its causes and contexts."""
    found: dict[int, BaseException] = {}
    pending: list[BaseException | None] = [error]
    while pending:
        linked = pending.pop()
        if linked is not None and id(linked) not in found:
            found[id(linked)] = linked
            pending += [linked.__cause__, linked.__context__]
    return list(found.values())


def _program_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames of the modules that run the program."""
    entries: list[TracebackType] = []
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") in _OWN_MODULES:
            # The import system hides its own frames only if no other loader is between them.
            while entries and _is_import_system(entries[-1]):
                entries.pop()
        else:
            entries.append(trace)
        trace = trace.tb_next
    for entry, following in zip(entries, [*entries[1:], None], strict=False):
        entry.tb_next = following
    return entries[0] if entries else None


def _is_import_system(entry: TracebackType) -> bool:
    return entry.tb_frame.f_code.co_filename.startswith("<frozen importlib.")
