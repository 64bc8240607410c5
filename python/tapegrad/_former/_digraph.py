"""Names that are now in `tapegrad.draw.graphviz`."""

from __future__ import annotations

from tapegrad.draw.graphviz import Digraph

__all__ = ["Digraph"]
