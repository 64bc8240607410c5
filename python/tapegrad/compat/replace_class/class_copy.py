"""Copies of a program's class, which can be tried without side effects on the program."""

from __future__ import annotations

import ast
import contextlib
import random
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from tapegrad.compat.replace_class.source import ClassSource, why_not_repeated, without_annotations

_MOST_LINES = 1_000_000


class UnfitError(Exception):
    """Raised, with the reason, if a class cannot be replaced."""


class Scope(dict[str, Any]):
    """The globals of a copied class: its own names, and behind them the program's globals."""

    def __init__(self, outer: Mapping[str, Any]) -> None:
        super().__init__(__name__=outer.get("__name__", "__main__"))
        self._outer = outer

    def __missing__(self, name: str) -> Any:
        return self._outer[name]


def copy_class(source: ClassSource, outer: Mapping[str, Any]) -> tuple[type, Scope]:
    """Run the class statement and the module's functions again, in a scope of their own.

    Returns the copy and its scope. Raises UnfitError if that is not possible.
    """
    reason = why_not_repeated(source)
    if reason:
        raise UnfitError(reason)
    scope = Scope(outer)
    # Names in a class body are looked up without the dict's __missing__.
    scope.update({name: value for name, value in outer.items() if name != "__builtins__"})
    borrowed = set(scope) - {"__name__"}
    needed = {node.id for node in ast.walk(source.module) if isinstance(node, ast.Name)}
    parts: list[ast.stmt] = [
        statement
        for statement in source.module.body
        if isinstance(statement, ast.Import | ast.ImportFrom)
        and any((alias.asname or alias.name) in needed - borrowed for alias in statement.names)
    ]
    parts += [function for name, function in source.functions().items() if name in needed]
    definitions = [*source.bases(), source.node]
    made = {part.name for part in [*parts, *definitions] if hasattr(part, "name")}
    for part in parts:
        # A definition that needs the class before it exists is left to the program.
        with contextlib.suppress(Exception):
            _run([part], source, scope)
    try:
        _run(definitions, source, scope)
    except Exception as error:
        raise UnfitError(f"it could not be tried: {type(error).__name__}: {error}") from None
    for name in borrowed - made:
        del scope[name]
    cls = scope[source.name]
    if not isinstance(cls, type):
        raise UnfitError("it is no class after its decorators")
    return cls, scope


def _run(statements: Iterable[ast.stmt], source: ClassSource, scope: Scope) -> None:
    futures = [
        statement
        for statement in source.module.body
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
    ]
    body = [*futures, *(without_annotations(statement) for statement in statements)]
    tree = ast.Module(body=body, type_ignores=[])
    exec(compile(tree, source.filename, "exec", dont_inherit=True), scope)


class _EndlessError(BaseException):
    """Raised in a method of the program that runs for too many lines."""


@contextmanager
def _limited(source: ClassSource) -> Iterator[None]:
    """Limit the number of lines that run in the block, if the class or its module has loops."""
    functions = [*source.methods().values(), *source.functions().values()]
    if not any(isinstance(node, ast.While) for f in functions for node in ast.walk(f)):
        yield
        return
    lines = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        if lines > _MOST_LINES:
            raise _EndlessError
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        yield
    except _EndlessError:
        raise UnfitError("a loop of its own had no end when it was tried") from None
    finally:
        sys.settrace(before)


@contextmanager
def trying(source: ClassSource) -> Iterator[None]:
    """Allow methods of a program to be tried: a block that leaves random states as they were.

    Raises UnfitError for a loop without end. Warnings are ignored.
    """
    state = random.getstate()
    numpy: Any = sys.modules.get("numpy.random")
    numpy_state = numpy.get_state() if numpy is not None else None
    try:
        with _limited(source), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(state)
        if numpy is not None:
            numpy.set_state(numpy_state)
