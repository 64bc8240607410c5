"""Conversion of a picture to a `graphviz.Digraph`.

This module imports the optional package graphviz, so it is imported only on use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import graphviz  # type: ignore[import-untyped]

from tapegrad.draw.model import Picture, Shape
from tapegrad.draw.render import PAINTED_FORMATS, painted

__all__ = ["Digraph", "digraph"]

_HOW_TO_GET_GRAPHVIZ = (
    "To have Graphviz lay this out, install its dot program (apt install graphviz, "
    "brew install graphviz, conda install graphviz), or pip install pygraphviz, which carries it."
)


class Digraph(graphviz.Digraph):  # type: ignore[misc]
    """A `graphviz.Digraph` that can be shown and saved without the `dot` program.

    Without `dot`, pygraphviz renders it if installed. Otherwise tapegrad renders SVG, PNG or PDF,
    with a note on how to install Graphviz. That rendering shows the graph as `draw_dot` made it,
    without nodes and edges added later.
    """

    picture: Picture | None = None

    def copy(self) -> Any:
        """Return an independent copy."""
        twin = super().copy()
        twin.picture = self.picture
        return twin

    def pipe(self, *args: Any, **options: Any) -> Any:
        """Return the rendering as bytes, or as str with `encoding`: `graphviz.Digraph.pipe`."""
        try:
            return super().pipe(*args, **options)
        except graphviz.ExecutableNotFound:
            given = _given(graphviz.Digraph.pipe, self, args, options)
            file = self._without_dot(given.get("format") or self.format)
            if file is None:
                raise
            encoding = given.get("encoding")
            return file.decode(encoding) if encoding else file

    def render(self, *args: Any, **options: Any) -> str:
        """Save source and rendering, and return the rendering's path: `graphviz.Digraph.render`."""
        try:
            return str(super().render(*args, **options))
        except graphviz.ExecutableNotFound:
            given = _given(graphviz.Digraph.render, self, args, options)
            path, format = self._outfile(given)
            file = self._without_dot(format)
            if file is None:
                raise
        path.write_bytes(file)
        if given.get("cleanup"):
            os.remove(self.filepath)
        if given.get("view") or given.get("quiet_view"):
            graphviz.view(str(path))
        return str(path)

    def by_graphviz(self, format: str) -> bytes | None:
        """Render with the dot program or pygraphviz; return None if neither is installed."""
        try:
            return bytes(super().pipe(format))
        except graphviz.ExecutableNotFound:
            return self._by_pygraphviz(format)

    def _without_dot(self, format: str) -> bytes | None:
        file = self._by_pygraphviz(format)
        if file is None and self.picture is not None and format.lower() in PAINTED_FORMATS:
            return painted(self.picture, format.lower(), _HOW_TO_GET_GRAPHVIZ)
        return file

    def _by_pygraphviz(self, format: str) -> bytes | None:
        try:
            pygraphviz: Any = import_module("pygraphviz")
        except ImportError:
            return None
        try:
            return bytes(
                pygraphviz.AGraph(string=self.source).draw(format=format, prog=self.engine)
            )
        except (OSError, ValueError):  # such as a pygraphviz built without Graphviz's programs
            return None

    def _outfile(self, given: dict[str, Any]) -> tuple[Path, str]:
        """Return the path and format of the rendering that `render` writes."""
        if given.get("outfile") is None:
            format = given.get("format") or self.format
            return Path(f"{self.filepath}.{format}"), format
        path = Path(given["outfile"])
        if given.get("directory") is None:
            path = Path(os.fsdecode(self.directory), path)
        return path, given.get("format") or path.suffix[1:]


def _given(
    method: Callable[..., Any], self: Digraph, args: tuple[Any, ...], options: dict[str, Any]
) -> dict[str, Any]:
    return signature(method).bind(self, *args, **options).arguments


def digraph(picture: Picture, format: str) -> Digraph:
    """Convert a picture to a Digraph. Raises ValueError for a format unknown to Graphviz."""
    graph = Digraph(format=format, graph_attr={"rankdir": picture.rankdir})
    graph.picture = picture
    if picture.note:
        graph.attr(label=picture.note, labelloc="b", labeljust="l")
    for shape in picture.shapes:
        graph.node(_identifier(shape), **_attributes(shape))
    for tail, head in picture.arrows:
        graph.edge(_identifier(picture.shapes[tail]), _identifier(picture.shapes[head]))
    return graph


def _identifier(shape: Shape) -> str:
    """Return the name without characters special to `graphviz.Digraph.edge` or to DOT strings."""
    return re.sub(r'[:\\"]', "_", shape.name)


def _attributes(shape: Shape) -> dict[str, str]:
    styles = ["filled"] * (shape.fill is not None) + ["dashed"] * shape.dashed
    attributes = {"fillcolor": shape.fill} if shape.fill is not None else {}
    if styles:
        attributes["style"] = ",".join(styles)
    cells = [cell.replace("&", "&amp;") for cell in shape.cells]
    if shape.oval:
        return {"label": graphviz.escape(cells[0]), **attributes}
    label = " | ".join(re.sub(r"([\\{}|<>])", r"\\\1", cell) for cell in cells)
    return {"label": f"{{ {label} }}", "shape": "record", **attributes}
