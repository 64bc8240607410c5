"""Names that are now in `tapegrad.arrays`."""

from __future__ import annotations

from tapegrad.arrays import get_data, get_grad, set_data, set_grad

__all__ = ["get_data", "get_grad", "set_data", "set_grad"]
