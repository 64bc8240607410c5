"""Running the cells of a notebook in a terminal, without a kernel."""

from __future__ import annotations
import __future__

import ast
import io
import json
import linecache
import os
import re
import subprocess
import sys
import time
import tokenize
import warnings
from collections.abc import Collection
from importlib import import_module
from typing import Any

from tapegrad.compat._notes import say
from tapegrad.compat.replace_class.rewriting import parse_source

_FUTURES = [getattr(__future__, name).compiler_flag for name in __future__.all_feature_names]
_FUTURE_FLAGS = sum(set(_FUTURES))
# Cell magics whose cell is Python code, which is run without the magic.
_AROUND_PYTHON = {"capture", "prun", "time", "timeit"}
_SILENT = {tokenize.COMMENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.NEWLINE, tokenize.NL}

_COMMAND = re.compile(r"^(?P<before>\s*(?:[\w.]+\s*=\s*)?)(?P<sign>[%!?])(?P<rest>[^=\n].*)$")
_QUESTION = re.compile(r"^(?P<before>\s*)(?P<rest>[\w.]+)\?{1,2}\s*$")


def read_cells(text: str) -> list[str]:
    """Return the sources of a notebook's code cells, without empty ones.

    Raises ValueError for a text that is no notebook, and for a notebook of another language.

    >>> read_cells('{"nbformat": 4, "cells": [{"cell_type": "code", "source": ["1 +", " 1"]}]}')
    ['1 + 1']
    """
    try:
        notebook = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        hint = " (older than format 4?)" if isinstance(notebook, dict) else ""
        raise ValueError(f"it has no list of cells{hint}")
    language = _language(notebook.get("metadata"))
    if language != "python":
        raise ValueError(f"its language is {language}, not Python")
    sources = [_source(cell) for cell in cells]
    return [source for source in sources if source.strip()]


def _language(metadata: Any) -> str:
    try:
        return str(metadata["language_info"]["name"]).lower()
    except (KeyError, TypeError):
        return "python"


def _source(cell: Any) -> str:
    if not isinstance(cell, dict) or "cell_type" not in cell:
        raise ValueError("malformed cell: it must be an object with a cell_type")
    if cell["cell_type"] != "code":
        return ""
    source = cell.get("source", "")
    lines = [source] if isinstance(source, str) else source
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError("it has a code cell without text")
    return "".join(lines)


class Shell:
    """The result of `get_ipython()` in a run: it runs commands, and skips magics with a note."""

    def __init__(self, namespace: dict[str, Any], is_silent: bool = False) -> None:
        self._namespace = namespace
        self._is_silent = is_silent
        self._noted: set[str] = set()

    def note_once(self, message: str) -> None:
        """Write a message to stderr, unless it was written before."""
        if message not in self._noted and not self._is_silent:
            self._noted.add(message)
            say(message)

    def run_line_magic(self, name: str, line: str, _stack_depth: int = 1) -> Any:
        """Run `%time`, or skip any other magic with a note."""
        if name == "time":
            return self._time(line)
        sign = "?" if name.startswith("pinfo") else f"%{name}"
        self.note_once(f"skipped {' '.join([sign, line]).strip()}")
        return None

    def run_cell_magic(self, name: str, line: str, cell: str) -> None:
        """Skip a cell magic that the program calls as a function."""
        self.note_once(f"skipped %%{name}")

    def system(self, command: str) -> None:
        """Run a command in the system's shell, as `!command` does."""
        sys.stdout.flush()
        subprocess.run(self._expanded(command), shell=True, check=False)

    def getoutput(self, command: str) -> list[str]:
        """Return the lines that a command writes, as `lines = !command` does."""
        done = subprocess.run(
            self._expanded(command), shell=True, check=False, stdout=subprocess.PIPE, text=True
        )
        return done.stdout.splitlines()

    def _expanded(self, command: str) -> str:
        """Expand `{expression}` and `$name` in a command if IPython is installed."""
        try:
            text = import_module("IPython.utils.text")
            return str(text.DollarFormatter().vformat(command, (), self._namespace))
        except Exception:  # as in IPython: the shell gets what cannot be expanded
            return command

    def _time(self, line: str) -> Any:
        begin = time.perf_counter()
        try:
            code = compile(line, "<%time>", "eval", dont_inherit=True)
        except SyntaxError:
            code = compile(line, "<%time>", "exec", dont_inherit=True)
        result = eval(code, self._namespace)
        print(f"Wall time: {time.perf_counter() - begin:.3g} s")
        return result


def without_magics(cell: str) -> str:
    """Return a cell with `%magic`, `!command` and `?help` replaced by calls of `get_ipython()`.

    IPython does this if it is installed. Otherwise only whole lines of these forms are replaced.

    >>> _without_magics_by_line("files = !ls")
    "files = get_ipython().getoutput('ls')"
    """
    try:
        inputtransformer2 = import_module("IPython.core.inputtransformer2")
    except ImportError:
        return _without_magics_by_line(cell)
    # IPython drops empty lines at the top, but line numbers must stay those of the notebook.
    blank = len(cell) - len(cell.lstrip("\n"))
    transformer = inputtransformer2.TransformerManager()
    try:
        return "\n" * blank + str(transformer.transform_cell(cell[blank:]))
    except SyntaxError:
        return cell


def _without_magics_by_line(cell: str) -> str:
    return "\n".join(map(_plain_line, cell.split("\n")))


def _plain_line(line: str) -> str:
    question = _QUESTION.match(line)
    if question:
        return f"{question['before']}get_ipython().run_line_magic('pinfo', {question['rest']!r})"
    command = _COMMAND.match(line)
    if not command:
        return line
    before, sign, rest = command["before"], command["sign"], command["rest"]
    if sign == "!":
        call = f"{'getoutput' if '=' in before else 'system'}({rest!r})"
    else:
        name, _, arguments = ("pinfo", "", rest) if sign == "?" else rest.partition(" ")
        call = f"run_line_magic({name!r}, {arguments!r})"
    return f"{before}get_ipython().{call}"


def _without_cell_magic(cell: str, number: int, shell: Shell) -> str:
    """Return the cell without its `%%magic` line, or "" if the magic does not run Python code."""
    first, _, body = cell.lstrip().partition("\n")
    if not first.startswith("%%"):
        return cell
    name = first[2:].split(maxsplit=1)[0] if first[2:].strip() else ""
    if name in _AROUND_PYTHON:
        shell.note_once(f"%%{name} does nothing here")
        above = cell[: len(cell) - len(body)].count("\n")
        return "\n" * above + body
    shell.note_once(f"skipped cell {number}: %%{name}")
    return ""


def python_of(cell: str) -> str:
    """Return the Python code of a cell, without its magics.

    >>> python_of("%%time\\nx = 1"), python_of("%%html\\n<b>")
    ('\\nx = 1', '')
    """
    shell = Shell({}, is_silent=True)
    source = _without_cell_magic(cell, 0, shell)
    return source if _is_python(source) else without_magics(source)


def _is_quiet(cell: str) -> bool:
    """True if a cell ends with a semicolon, which hides its value in a notebook.

    >>> _is_quiet("plot(x);  # the curve"), _is_quiet("x = 1; x")
    (True, False)
    """
    tokens = tokenize.generate_tokens(io.StringIO(cell).readline)
    texts = [token.string for token in tokens if token.type not in _SILENT]
    return bool(texts) and texts[-1] == ";"


def _display(*objects: Any) -> None:
    for shown in objects:
        print(repr(shown))


class _Figures:
    """Closes matplotlib's figures after each cell, as notebooks do, and counts them.

    It selects a backend without a display, unless MPLBACKEND is set; figures then stay open.
    """

    def __init__(self) -> None:
        self.count = 0
        self._active = "MPLBACKEND" not in os.environ
        if self._active:
            os.environ["MPLBACKEND"] = "agg"
            warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

    def close(self) -> None:
        """Close the figures that the last cell has drawn."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if self._active and pyplot is not None:
            self.count += len(pyplot.get_fignums())
            pyplot.close("all")


def run_cells(
    path: str, cells: list[str], namespace: dict[str, Any], names: Collection[str]
) -> None:
    """Run the cells in order in `namespace`, replacing classes of these names.

    The value of a cell's last expression is printed as in an interactive session.
    """
    shell = Shell(namespace)
    namespace.update(get_ipython=lambda: shell, display=_display)
    figures = _Figures()
    flags = 0
    for number, cell in enumerate(cells, start=1):
        source = _without_cell_magic(cell, number, shell)
        flags = _run_cell(f"{path}, cell {number}", source, namespace, names, flags)
        figures.close()
    if figures.count:
        say(f"figures drawn but not shown: {figures.count} (plt.savefig keeps one)")


def _run_cell(
    filename: str, cell: str, namespace: dict[str, Any], names: Collection[str], flags: int
) -> int:
    """Run one cell, and return the compiler flags of the `from __future__` imports so far."""
    source = cell if _is_python(cell) else without_magics(cell)
    _show_source(filename, source)
    tree = parse_source(source, filename, names, flags)
    last: list[ast.stmt] = []
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not _is_quiet(source):
        last = [tree.body.pop()]
    code = compile(tree, filename, "exec", flags, dont_inherit=True)
    flags |= code.co_flags & _FUTURE_FLAGS
    exec(code, namespace)
    if last:
        # The mode "single" shows the value through sys.displayhook, which also sets `_`.
        code = compile(ast.Interactive(last), filename, "single", flags, dont_inherit=True)
        exec(code, namespace)
    return flags


def _is_python(cell: str) -> bool:
    try:
        compile(cell, "<cell>", "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _show_source(filename: str, source: str) -> None:
    # Without a modification time, linecache does not look for a file of this name.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
