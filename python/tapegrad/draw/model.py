"""The content of a drawing without its layout: shapes, arrows and a note."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any
from unicodedata import category

from tapegrad.graph import Node, operands, topological_sort

__all__ = ["RANKDIRS", "Picture", "Shape", "picture"]

RANKDIRS = ("LR", "TB")


@dataclass(frozen=True, slots=True)
class Shape:
    """The box of a node, with a cell for each of its texts, or the oval of an operation."""

    name: str
    cells: tuple[str, ...]
    oval: bool = False
    dashed: bool = False
    fill: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """Shapes, operands before users, and arrows as pairs of (tail, head) indices of shapes.

    `rankdir` is the direction of arrows, "LR" or "TB".
    """

    shapes: tuple[Shape, ...]
    arrows: tuple[tuple[int, int], ...]
    rankdir: str
    note: str


def picture(root: Node, rankdir: str, max_nodes: int | None) -> Picture:
    """Return a picture of the present graph of `root`.

    Of more than `max_nodes` nodes, those nearest to the root are kept, and the note says how many
    are left out. Raises ValueError for an invalid `rankdir` or `max_nodes`, and TypeError for a
    root that is no node.
    """
    if rankdir not in RANKDIRS:
        raise ValueError(f"rankdir must be 'LR' or 'TB', not {rankdir!r}")
    if max_nodes is not None and max_nodes < 1:
        raise ValueError(f"max_nodes must be at least 1, or None for no limit, not {max_nodes!r}")
    order = topological_sort(root)
    if max_nodes is None or len(order) <= max_nodes:
        return _picture_of(order, rankdir, "")
    near = _nearest(root, max_nodes)
    return _picture_of(
        [node for node in order if id(node) in near], rankdir, _cut_note(max_nodes, len(order))
    )


def _nearest(root: Node, count: int) -> dict[int, Node]:
    """Return the first `count` nodes breadth-first from the root, by identity."""
    near = {id(root): root}
    waiting = deque([root])
    while waiting and len(near) < count:
        for operand in operands(waiting.popleft()):
            if id(operand) not in near and len(near) < count:
                near[id(operand)] = operand
                waiting.append(operand)
    return near


def _cut_note(shown: int, total: int) -> str:
    return (
        f"{shown:,} of {total:,} nodes are drawn, those nearest to the root, and {total - shown:,} "
        "are left out: a dashed line marks where (max_nodes sets the limit)"
    )


def _picture_of(order: list[Node], rankdir: str, note: str) -> Picture:
    shapes: list[Shape] = []
    arrows: list[tuple[int, int]] = []
    result: dict[int, int] = {}
    for node in order:
        name, operation = str(id(node)), _operation(node)
        computed_from = operands(node)
        drawn = [result[id(operand)] for operand in computed_from if id(operand) in result]
        dashed = len(drawn) < len(computed_from)
        if operation:
            shapes.append(Shape(name + operation, (operation,), oval=True, dashed=dashed))
            arrows.append((len(shapes) - 1, len(shapes)))
            dashed = False
        target = arrows[-1][0] if operation else len(shapes)
        arrows.extend((operand, target) for operand in drawn)
        result[id(node)] = len(shapes)
        shapes.append(Shape(name, _cells(node), dashed=dashed, fill=_fill(node)))
    return Picture(tuple(shapes), tuple(arrows), rankdir, note)


def _operation(node: Any) -> str:
    return _text(getattr(node, "_op", None))


def _cells(node: Any) -> tuple[str, ...]:
    """Return the texts of a node's label, data and gradient, as far as it has them."""
    label = _text(getattr(node, "label", None))
    known = ((name, getattr(node, name, None)) for name in ("data", "grad"))
    numbers = [f"{name} {_number(value)}" for name, value in known if value is not None]
    return tuple([label, *numbers] if label else numbers) or (type(node).__name__,)


def _fill(node: Any) -> str | None:
    colour = getattr(node, "_vis_color", None)
    return colour if isinstance(colour, str) else None


def _number(value: Any) -> str:
    """Format a number with four decimals, as micrograd does, or a large one with an exponent."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return _text(value)
    return f"{number:.4e}" if 1e9 <= abs(number) < math.inf else f"{number:.4f}"


def _text(value: object) -> str:
    """Return `value` as one line of text, without characters that XML or DOT cannot represent."""
    line = "" if value is None else " ".join(str(value).split())
    if line.isprintable():
        return line
    return "".join("\N{REPLACEMENT CHARACTER}" if category(c) in _UNWRITABLE else c for c in line)


_UNWRITABLE = {"Cc", "Cs", "Cn"}
