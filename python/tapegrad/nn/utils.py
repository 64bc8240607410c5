"""Gradient clipping, under the names that PyTorch has in `torch.nn.utils`.

The same functions are in `tapegrad.optim`.
"""

from __future__ import annotations

from tapegrad._core import clip_grad_norm_, clip_grad_value_

__all__ = ["clip_grad_norm_", "clip_grad_value_"]
