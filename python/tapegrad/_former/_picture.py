"""Names that are now in `tapegrad.draw.model`."""

from __future__ import annotations

from tapegrad.draw.model import Picture, Shape

__all__ = ["Picture", "Shape"]
