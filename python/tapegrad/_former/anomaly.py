"""Names that are now in `tapegrad.modes`."""

from __future__ import annotations

from tapegrad.modes import detect_anomaly

__all__ = ["detect_anomaly"]
