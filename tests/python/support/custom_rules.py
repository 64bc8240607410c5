"""Functions with rules of their own that several tests use."""

from __future__ import annotations

from typing import Any

import tapegrad
from tapegrad import (
    custom_vjp,
    sin,
)


def traced_now() -> int:
    """How many operations this thread's recording has; 0 where none is open."""
    recording = tapegrad._core.Recording.current()
    return 0 if recording is None else len(recording)


def clipped_gradient() -> Any:
    @custom_vjp
    def clipped(x: Any, bound: Any) -> Any:
        """x, with its gradient clipped."""
        return x

    clipped.defvjp(lambda x, bound: (x, bound), lambda bound, g: (max(-bound, min(bound, g)), None))
    return clipped


def doubled_sine() -> Any:
    """Its rule says twice the truth, so that it can be told from it."""

    @custom_vjp
    def f(x: Any) -> Any:
        return sin(x)

    f.defvjp(lambda x: (sin(x), x), lambda x, g: (2.0 * g * tapegrad.cos(x),))
    return f
