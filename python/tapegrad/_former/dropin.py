"""Names that are now in `tapegrad.compat.micrograd`."""

from __future__ import annotations

from tapegrad.compat.micrograd import install_as_micrograd

__all__ = ["install_as_micrograd"]
