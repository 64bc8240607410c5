"""Computing without recording what is computed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from tapegrad import _core

F = TypeVar("F", bound=Callable[..., Any])


class no_grad:  # noqa: N801  # a context manager used like a function, as PyTorch's
    """While it lasts, results depend on nothing: a `Value` has no operands, a slope is 0.

    Nests, and decorates functions. For all threads.

    >>> from tapegrad import Value, no_grad
    >>> w = Value(1.0)
    >>> with no_grad():
    ...     v = w * 2.0
    >>> v, v._prev
    (Value(data=2.0), set())
    """

    def __enter__(self) -> None:
        self._before = _core.set_no_grad(True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _core.set_no_grad(self._before)

    def __call__(self, f: F) -> F:
        @functools.wraps(f)
        def without(*args: Any, **keywords: Any) -> Any:
            with no_grad():
                return f(*args, **keywords)

        return without  # type: ignore[return-value]
