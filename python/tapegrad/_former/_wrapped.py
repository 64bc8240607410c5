"""Names that are now in `tapegrad.transforms._pickling` and `tapegrad.transforms._wrapped`."""

from __future__ import annotations

from tapegrad.transforms._pickling import remade, unwrapped
from tapegrad.transforms._wrapped import Bound

__all__ = ["Bound", "remade", "unwrapped"]
