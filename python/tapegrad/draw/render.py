"""Rendering of pictures without Graphviz: as SVG, and with matplotlib as PNG and PDF."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from io import BytesIO
from itertools import accumulate
from typing import Any
from unicodedata import combining, east_asian_width

from tapegrad.draw.layout import HEAD, Point, layered
from tapegrad.draw.model import Picture, Shape

__all__ = ["PAINTED_FORMATS", "painted"]

PAINTED_FORMATS = ("svg", "png", "pdf")

_FONT_SIZE = 12.0
_NOTE_SIZE = 10.0
_ADVANCE = 0.602  # width of a character in font sizes, in nearly every monospaced font
_CELL_HEIGHT = 26.0
_CELL_PADDING = 8.0
_NARROWEST_OVAL = 38.0
_MARGIN = 12.0
_NARROWEST_NOTE = 420.0

_INK, _LINE, _ARROW, _FADED = "#000000", "#333333", "#555555", "#777777"
_PAPER, _TINT = "#ffffff", "#eef2fb"

_PIXELS_PER_INCH = 144
_MOST_PIXELS = 3e7
_LONGEST_SIDE = 65_000  # in pixels; matplotlib's limit is 2**16
_LONGEST_PAGE = 14_400  # in points; the limit of PDF readers


def painted(picture: Picture, format: str, hint: str = "") -> bytes:
    """Render a picture in one of the PAINTED_FORMATS; `hint` is a text below its note.

    Raises ImportError for PNG and PDF without matplotlib.
    """
    scene = _scene(picture, hint)
    return _svg(scene).encode() if format == "svg" else _by_matplotlib(scene, format)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A shape with its centre and size, the centres of its cells, and the lines between them."""

    shape: Shape
    centre: Point
    size: Point
    cells: list[Point]
    dividers: list[tuple[Point, Point]]


@dataclass(frozen=True, slots=True)
class _Scene:
    """Everything to render, in points from the upper left corner."""

    size: Point
    strokes: list[tuple[Point, ...]]
    heads: list[tuple[Point, ...]]
    shapes: list[_Placed]
    notes: list[tuple[Point, str]]


def _scene(picture: Picture, hint: str) -> _Scene:
    down = picture.rankdir == "TB"
    sizes = [_size(shape, down) for shape in picture.shapes]
    layout = layered([(h, w) if down else (w, h) for w, h in sizes], picture.arrows)

    def at(along: float, across: float) -> Point:
        x, y = (across, along) if down else (along, across)
        return x + _MARGIN, y + _MARGIN

    width, height = at(*layout.size)
    notes: list[tuple[Point, str]] = []
    if picture.note or hint:
        height += 0.5 * _NOTE_SIZE
    columns = int(max(width, _NARROWEST_NOTE) / (_ADVANCE * _NOTE_SIZE))
    for note in (picture.note, hint):
        for line in textwrap.wrap(note, columns):
            height += 1.5 * _NOTE_SIZE
            notes.append(((_MARGIN, height), line))
            width = max(width, _MARGIN + _advance(line, _NOTE_SIZE))
    return _Scene(
        (width + _MARGIN, height + _MARGIN),
        [tuple(at(*point) for point in stroke) for stroke in layout.strokes],
        [
            (at(along, across), at(along - HEAD, across - 3.5), at(along - HEAD, across + 3.5))
            for along, across in layout.heads
        ],
        [
            _placed(shape, at(*centre), size, down)
            for shape, centre, size in zip(picture.shapes, layout.centres, sizes, strict=True)
        ],
        notes,
    )


def _size(shape: Shape, stacked: bool) -> Point:
    """Return the width and height of a shape, its cells side by side or `stacked`."""
    widths = _cell_widths(shape)
    if shape.oval:
        return max(1.1 * widths[0], _NARROWEST_OVAL), _CELL_HEIGHT
    if stacked:
        return max(widths), _CELL_HEIGHT * len(widths)
    return sum(widths), _CELL_HEIGHT


def _cell_widths(shape: Shape) -> list[float]:
    return [_advance(cell, _FONT_SIZE) + 2 * _CELL_PADDING for cell in shape.cells]


def _advance(text: str, font_size: float) -> float:
    columns = sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
    return _ADVANCE * font_size * columns


def _placed(shape: Shape, centre: Point, size: Point, stacked: bool) -> _Placed:
    (x, y), (width, height) = centre, size
    left, top = x - width / 2, y - height / 2
    if shape.oval:
        return _Placed(shape, centre, size, [centre], [])
    if stacked:
        edges = [top + _CELL_HEIGHT * i for i in range(len(shape.cells))]
        middles = [(x, edge + _CELL_HEIGHT / 2) for edge in edges]
        dividers = [((left, edge), (left + width, edge)) for edge in edges[1:]]
    else:
        widths = _cell_widths(shape)
        edges = list(accumulate(widths[:-1], initial=left))
        middles = [(edge + w / 2, y) for edge, w in zip(edges, widths, strict=True)]
        dividers = [((edge, top), (edge, top + height)) for edge in edges[1:]]
    return _Placed(shape, centre, size, middles, dividers)


def _svg(scene: _Scene) -> str:
    width, height = scene.size
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
            f' viewBox="0 0 {width:.1f} {height:.1f}">',
            f'<rect width="100%" height="100%" fill="{_PAPER}"/>',
            f'<path d="{_svg_path(scene.strokes)}" fill="none" stroke="{_ARROW}"/>',
            f'<path d="{_svg_path(scene.heads, close="Z")}" fill="{_ARROW}"/>',
            f'<g fill="{_PAPER}" stroke="{_LINE}">',
            *(_svg_outline(placed) for placed in scene.shapes),
            "</g>",
            f'<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" fill="{_INK}">',
            f'<g font-size="{_FONT_SIZE:g}" text-anchor="middle">',
            *(
                f'<text x="{x:.1f}" y="{y + 0.35 * _FONT_SIZE:.1f}">{escape(text)}</text>'
                for (x, y), text in _texts(scene)
            ),
            "</g>",
            f'<g font-size="{_NOTE_SIZE:g}" fill="{_FADED}">',
            *(
                f'<text x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
                for (x, y), text in scene.notes
            ),
            "</g></g></svg>",
        ]
    )


def _svg_path(strokes: Iterable[tuple[Point, ...]], close: str = "") -> str:
    return "".join(
        "M{:.1f},{:.1f}".format(*first)
        + ("C" if len(rest) == 3 else "L")
        + " ".join(f"{x:.1f},{y:.1f}" for x, y in rest)
        + close
        for first, *rest in strokes
    )


def _svg_outline(placed: _Placed) -> str:
    (x, y), (width, height), shape = placed.centre, placed.size, placed.shape
    dash = ' stroke-dasharray="4 3"' if shape.dashed else ""
    if shape.oval:
        return (
            f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{width / 2:.1f}" ry="{height / 2:.1f}"'
            f' fill="{_TINT}"{dash}/>'
        )
    fill = f' fill="{escape(shape.fill)}"' if shape.fill else ""
    box = (
        f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}"'
        f' width="{width:.1f}" height="{height:.1f}"{fill}{dash}/>'
    )
    return box + (f'<path d="{_svg_path(placed.dividers)}"/>' if placed.dividers else "")


def _texts(scene: _Scene) -> Iterator[tuple[Point, str]]:
    for placed in scene.shapes:
        yield from zip(placed.cells, placed.shape.cells, strict=True)


def _by_matplotlib(scene: _Scene, format: str) -> bytes:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise ImportError(
            f"to write {format.upper()}, tapegrad needs Graphviz's dot program, pygraphviz or "
            'matplotlib: pip install "tapegrad[draw]"'
        ) from missing
    width, height = scene.size
    scale = min(1.0, _LONGEST_PAGE / max(scene.size)) if format == "pdf" else 1.0
    resolution = min(
        _PIXELS_PER_INCH,
        72 * _LONGEST_SIDE / (scale * max(scene.size)),
        72 * (_MOST_PIXELS / (scale * width * scale * height)) ** 0.5,
    )
    file = BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the user's style, such as usetex, is meant for plots
        figure = Figure(figsize=(scale * width / 72, scale * height / 72))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set(xlim=(0.0, width), ylim=(height, 0.0))
        for patch in _patches(scene, scale):
            axes.add_artist(patch)
        font: dict[str, Any] = {"family": "DejaVu Sans Mono", "parse_math": False}
        for (x, y), text in _texts(scene):
            axes.text(
                x, y, text, ha="center", va="center_baseline", size=_FONT_SIZE * scale, **font
            )
        for (x, y), text in scene.notes:
            axes.text(x, y, text, color=_FADED, size=_NOTE_SIZE * scale, **font)
        figure.savefig(file, format=format, dpi=resolution)
    return file.getvalue()


def _patches(scene: _Scene, scale: float) -> Iterator[Any]:
    """Yield matplotlib patches for everything but the texts, from back to front."""
    from matplotlib.colors import is_color_like
    from matplotlib.patches import Ellipse, PathPatch, Rectangle

    yield PathPatch(_matplotlib_path(scene.strokes), fill=False, ec=_ARROW, lw=scale)
    yield PathPatch(_matplotlib_path(scene.heads), fc=_ARROW, lw=0)
    for placed in scene.shapes:
        (x, y), (width, height), shape = placed.centre, placed.size, placed.shape
        line: dict[str, Any] = {"ec": _LINE, "lw": scale, "ls": "--" if shape.dashed else "-"}
        if shape.oval:
            yield Ellipse((x, y), width, height, fc=_TINT, **line)
            continue
        fill = shape.fill if shape.fill and is_color_like(shape.fill) else _PAPER
        yield Rectangle((x - width / 2, y - height / 2), width, height, fc=fill, **line)
        if placed.dividers:
            yield PathPatch(_matplotlib_path(placed.dividers), fill=False, ec=_LINE, lw=scale)


def _matplotlib_path(strokes: Iterable[tuple[Point, ...]]) -> Any:
    from matplotlib.path import Path

    points: list[Point] = []
    codes: list[int] = []
    for stroke in strokes:
        points += stroke
        onward = Path.CURVE4 if len(stroke) == 4 else Path.LINETO
        codes += [int(Path.MOVETO), *[int(onward)] * (len(stroke) - 1)]
    return Path(points or [(0.0, 0.0)], codes or [int(Path.MOVETO)])
