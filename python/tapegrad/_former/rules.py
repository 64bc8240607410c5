"""Names that are now in `tapegrad.transforms.checkpointing` and `tapegrad.transforms.custom`."""

from __future__ import annotations

from tapegrad.transforms.checkpointing import checkpoint
from tapegrad.transforms.custom import custom_jvp, custom_vjp

__all__ = ["checkpoint", "custom_jvp", "custom_vjp"]
