"""Per-thread modes, usable as context managers and as decorators: `no_grad`, `detect_anomaly`."""

from __future__ import annotations

import os
import types

from tapegrad import _core

# This module is imported with the package, so it avoids typing and other slow imports.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
    from types import TracebackType
    from typing import Any, ClassVar, TypeVar

    _F = TypeVar("_F", bound=Callable[..., Any])

__all__ = ["Mode", "detect_anomaly", "no_grad"]

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_core.forget_other_threads)


class Mode:
    """The base class of `no_grad` and `detect_anomaly`: a context manager and a decorator.

    Each thread counts the blocks it has entered, so blocks may nest and overlap in any order. A
    block that is left in another thread than the one that entered it, as in a generator, ends in
    the thread that entered it.
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

    def __call__(self, f: _F) -> _F:
        """Return `f` wrapped so that the mode is on while it runs.

        The mode is off while a generator or coroutine is suspended.
        """
        import functools
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


class no_grad(Mode):  # noqa: N801  # a context manager used like a function, as PyTorch's
    """A context manager, and a decorator, that turns recording off in this thread.

    Results of operations are constants: a `Value` without operands, and in a transform a number
    whose derivative is 0. Blocks may nest.

    >>> from tapegrad import Value, no_grad
    >>> w = Value(1.0)
    >>> with no_grad():
    ...     v = w * 2.0
    >>> v, v._prev
    (Value(data=2.0), set())
    """

    _name = "no_grad"


class detect_anomaly(Mode):  # noqa: N801  # a context manager used like a function, as PyTorch's
    """A context manager, and a decorator, that raises for new NaNs and infinities in this thread.

    A value or derivative raises if it is NaN but was not computed from a NaN, or infinite but
    computed from finite numbers alone. Leaves may be NaN or infinite. The check covers `Value`,
    transforms in forward and reverse mode, and compiled functions, which run uncompiled inside the
    block. An intermediate derivative counts only if the final derivative is not finite. Outside
    the block, numbers follow IEEE 754 and nothing raises. Blocks may nest.

    Raises:
        FloatingPointError: names the operation, the labels and the values; for a derivative also
            the line of the program that made the value, if it ran inside the block.

    >>> import tapegrad
    >>> x = tapegrad.Value(0.0, label="x")
    >>> with tapegrad.detect_anomaly():
    ...     x.log()
    Traceback (most recent call last):
    FloatingPointError: log of 0.0 (label 'x') gave -inf
    """

    _name = "detect_anomaly"


def _resumed(
    mode: type[Mode], inner: Generator[Any, Any, Any] | Coroutine[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """Delegate to `inner`, as `yield from` does, with the mode on whenever `inner` runs."""
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
