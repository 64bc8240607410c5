"""Computing without recording what is computed."""

from __future__ import annotations

from tapegrad._modes import Mode


class no_grad(Mode):  # noqa: N801  # a context manager used like a function, as PyTorch's
    """While it lasts, results depend on nothing: a `Value` has no operands, a slope is 0.

    Nests, and decorates functions. For this thread.

    >>> from tapegrad import Value, no_grad
    >>> w = Value(1.0)
    >>> with no_grad():
    ...     v = w * 2.0
    >>> v, v._prev
    (Value(data=2.0), set())
    """

    _name = "no_grad"
