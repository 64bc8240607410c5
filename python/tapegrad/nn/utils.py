"""Gradient clipping where PyTorch has it; `tapegrad.optim` offers the same functions."""

from __future__ import annotations

from tapegrad._core import clip_grad_norm_, clip_grad_value_

__all__ = ["clip_grad_norm_", "clip_grad_value_"]
