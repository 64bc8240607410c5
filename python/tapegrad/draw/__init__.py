"""Drawings of computational graphs: micrograd's `draw_dot`, and `save_drawing`.

Graphviz lays out and renders drawings. Without it, tapegrad does so itself.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from tapegrad.draw.model import Picture, picture
from tapegrad.draw.render import PAINTED_FORMATS, painted
from tapegrad.graph import Node

if TYPE_CHECKING:
    from tapegrad.draw.graphviz import Digraph

__all__ = ["draw_dot", "save_drawing"]

_MAX_NODES = 500


def draw_dot(
    root: Node, format: str = "svg", rankdir: str = "LR", *, max_nodes: int | None = _MAX_NODES
) -> Digraph:
    r"""Return a drawing of the graph that `root` was computed from, as a `graphviz.Digraph`.

    Each node is a box with its label, data and gradient, filled with its `_vis_color` if it has
    one. Each operation is an oval. Arrows lead from operands to results.

    Parameters:
        root: a `tapegrad.Value`, or any object with `_prev` or `_children`.
        format: a format that Graphviz supports.
        rankdir: the direction of arrows, "LR" to the right or "TB" down.
        max_nodes: the largest number of nodes to draw, or None for no limit. Of a larger graph the
            nodes nearest to the root are drawn, with a note on how many are left out.

    Jupyter shows the result; `.render("graph")` writes a file and `.pipe()` returns its content.
    Without Graphviz's `dot` program these support only SVG, PNG and PDF.

    Raises TypeError for a root that is no node, ValueError for an unknown format or rankdir, and
    ImportError without the Python package graphviz.

    >>> print(draw_dot(a * b).source)
    digraph {
        graph [rankdir=LR]
        140395 [label="{ a | data 2.0000 | grad 0.0000 }" shape=record]
        ...
    """
    shown = picture(root, rankdir, max_nodes)
    try:
        from tapegrad.draw.graphviz import digraph
    except ModuleNotFoundError as missing:
        raise ImportError(
            'draw_dot() needs the Python package graphviz: pip install "tapegrad[draw]"'
        ) from missing
    return digraph(shown, format)


def save_drawing(
    root: Node,
    path: str | PathLike[str],
    rankdir: str = "LR",
    *,
    max_nodes: int | None = _MAX_NODES,
) -> Path:
    """Save a drawing of the graph of `root` as an .svg, .png or .pdf file, and return its path.

    The drawing is that of `draw_dot`. Graphviz renders it if its `dot` program or pygraphviz is
    installed. Otherwise tapegrad does, which needs matplotlib for PNG and PDF.

    Raises TypeError and ValueError as `draw_dot` does, ValueError for another suffix, and
    ImportError if nothing is installed that can write the format.

    >>> save_drawing(a * b, "product.pdf")
    PosixPath('product.pdf')
    """
    path = Path(path)
    format = path.suffix[1:].lower()
    if format not in PAINTED_FORMATS:
        raise ValueError(f"a drawing is saved as .svg, .png or .pdf, not as {path.name!r}")
    shown = picture(root, rankdir, max_nodes)
    file = _by_graphviz(shown, format)
    path.write_bytes(painted(shown, format) if file is None else file)
    return path


def _by_graphviz(shown: Picture, format: str) -> bytes | None:
    try:
        from tapegrad.draw.graphviz import digraph
    except ModuleNotFoundError:
        return None
    return digraph(shown, format).by_graphviz(format)
