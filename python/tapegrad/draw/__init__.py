"""Pictures of a graph: `draw_dot`, as micrograd's, and `save_drawing`.

Graphviz draws them. Where it is missing tapegrad lays them out and paints them itself.
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
    r"""The graph that `root` was computed from, as a `graphviz.Digraph`.

    A box for each node (`label | data | grad`, as far as it has them), an oval for each operation,
    and arrows from operands to results: to the right, or with `rankdir="TB"` down. A node's
    `_vis_color` fills its box. Draws a `tapegrad.Value`, or any object with `_prev` or `_children`.
    Of more than `max_nodes` nodes the nearest to the root are drawn, and a note says how many were
    left out; None sets no limit.

    Jupyter shows the result; `.render("graph")` and `.pipe()` give files of the `format`, which is
    any that Graphviz knows. Without Graphviz's `dot` program they still give SVG, PNG and PDF.

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
    """Save what `draw_dot` draws to an .svg, .png or .pdf file, and return its path.

    By Graphviz if its `dot` program or pygraphviz is there, otherwise in tapegrad's own layout,
    which needs nothing for SVG, and matplotlib for PNG and PDF.

    Raises TypeError and ValueError as `draw_dot` does, ValueError for another suffix, and
    ImportError where nothing is installed that can write the format.

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
