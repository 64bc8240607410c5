"""Raising where a NaN or an infinity is made, for finding its cause."""

from __future__ import annotations

from tapegrad._modes import Mode


class detect_anomaly(Mode):  # noqa: N801  # a context manager used like a function, as PyTorch's
    """While it lasts, a value or derivative that becomes NaN or infinite raises.

    Without it, numbers follow IEEE and nothing raises. The check concerns numbers that operations
    make of others, not data that is NaN or infinite from the start: NaN raises unless it comes of
    NaN, an infinity unless it comes of either. It covers values and derivatives of every mode: of
    `Value`, of transforms, and of compiled functions, which run as plain ones meanwhile. What a
    derivative passes on its way counts if the result is not finite.

    Nests, and decorates functions. For this thread.

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
