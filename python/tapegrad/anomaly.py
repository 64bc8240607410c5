"""Raising where a NaN or an infinity is made, for finding its cause."""

from __future__ import annotations

from types import TracebackType

from tapegrad import _core


class detect_anomaly:  # noqa: N801  # a context manager used like a function, as PyTorch's
    """While it lasts, an operation or a gradient that becomes NaN or infinite raises.

    Without it, numbers follow IEEE and nothing raises. The check concerns results made by
    operations, not data that is NaN or infinite from the start. Nests; for all threads.

    Raises:
        FloatingPointError: names the operation, the labels and the values.

    >>> import tapegrad
    >>> x = tapegrad.Value(0.0, label="x")
    >>> with tapegrad.detect_anomaly():
    ...     x.log()
    Traceback (most recent call last):
    FloatingPointError: log of 0.0 (label 'x') gave -inf
    """

    def __enter__(self) -> None:
        self._before = _core.set_anomaly(True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _core.set_anomaly(self._before)
