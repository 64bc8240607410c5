"""Names that are now in `tapegrad.modes`."""

from __future__ import annotations

from tapegrad.modes import no_grad

__all__ = ["no_grad"]
