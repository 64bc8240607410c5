"""Names that are now in `tapegrad.transforms.gradient_check`."""

from __future__ import annotations

from tapegrad.transforms.gradient_check import GradcheckError, gradcheck

__all__ = ["GradcheckError", "gradcheck"]
