"""Names that are now in `tapegrad.transforms.compiled` and `tapegrad.transforms.compiling`."""

from __future__ import annotations

from tapegrad.transforms.compiled import Compiled
from tapegrad.transforms.compiling import compile

__all__ = ["Compiled", "compile"]
