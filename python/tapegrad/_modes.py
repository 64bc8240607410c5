"""Modes of a thread, as blocks and as decorators."""

from __future__ import annotations

import functools
import os
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from tapegrad import _core

F = TypeVar("F", bound=Callable[..., Any])

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_core.forget_other_threads)


class Mode:
    """The base of `no_grad` and `detect_anomaly`: a `with` block, and a decorator.

    A mode is counted for each thread, so that blocks may nest and overlap in any order. A block
    that is left in another thread than it was entered in, as a generator may be, ends where it
    began.
    """

    _name: ClassVar[str]

    def __init__(self) -> None:
        self._entries = _core.ModeEntries(self._name)

    def __enter__(self) -> None:
        self._entries.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entries.leave()

    def __call__(self, f: F) -> F:
        """`f` with the mode on while it runs: of a generator or coroutine, not while it waits."""
        import inspect

        mode = type(self)

        def generator(*args: Any, **keywords: Any) -> Any:
            return (yield from _resumed(mode, f(*args, **keywords)))

        async def coroutine(*args: Any, **keywords: Any) -> Any:
            return await _awaited(mode, f(*args, **keywords))

        def function(*args: Any, **keywords: Any) -> Any:
            with mode():
                return f(*args, **keywords)

        wrapped: Callable[..., Any] = function
        if inspect.isgeneratorfunction(f):
            wrapped = generator
        elif inspect.iscoroutinefunction(f):
            wrapped = coroutine
        elif inspect.isasyncgenfunction(f):
            wrapped = _iterated(mode, f)
        return functools.wraps(f)(wrapped)  # type: ignore[return-value]


def _resumed(
    mode: type[Mode], inner: Generator[Any, Any, Any] | Coroutine[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """Whatever `inner` yields and returns; the mode is on whenever `inner` runs."""
    resume: Callable[[Any], Any] = inner.send
    given: Any = None
    while True:
        try:
            with mode():
                item = resume(given)
        except StopIteration as stop:
            return stop.value
        try:
            resume, given = inner.send, (yield item)
        except GeneratorExit:
            with mode():
                inner.close()
            raise
        except BaseException as error:
            resume, given = inner.throw, error


@types.coroutine
def _awaited(mode: type[Mode], inner: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    return (yield from _resumed(mode, inner))


def _iterated(
    mode: type[Mode], f: Callable[..., AsyncGenerator[Any, Any]]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    async def iterated(*args: Any, **keywords: Any) -> AsyncGenerator[Any, Any]:
        inner = f(*args, **keywords)
        resume: Callable[[Any], Any] = inner.asend
        given: Any = None
        while True:
            try:
                item = await _awaited(mode, resume(given))
            except StopAsyncIteration:
                return
            try:
                resume, given = inner.asend, (yield item)
            except GeneratorExit:
                await _awaited(mode, inner.aclose())
                raise
            except BaseException as error:
                resume, given = inner.athrow, error

    return iterated
