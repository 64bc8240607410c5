"""A layered layout of a directed acyclic graph, in plain Python, after Sugiyama.

`ranking` assigns vertices to ranks and orders each rank. This module computes the coordinates of
vertices and the strokes of edges. Edges bend only between ranks, where there are no boxes; within a
rank an edge is a straight wire with a place of its own.

Coordinates are (along, across): along the edges, from rank to rank, and across them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tapegrad.draw.ranking import Edge, Ranked, ranked

__all__ = ["HEAD", "Layout", "Point", "layered"]

HEAD = 8.0  # the length of an arrowhead
_GAP_WITHIN_RANK = 14.0
_GAP_BESIDE_WIRE = 9.0
_GAP_BETWEEN_RANKS = 34.0
_WIDEST_GAP_BETWEEN_RANKS = 170.0
_RELAXATIONS = 20
_STRAIGHTNESS = 8.0
_INERTIA = 1e-3

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """The coordinates of a drawing, as (along, across) from the corner of the picture.

    A stroke of two points is a straight line, one of four points a Bezier curve. `heads` are the
    tips of arrowheads, which all point along.
    """

    size: Point
    centres: list[Point]
    strokes: list[tuple[Point, ...]]
    heads: list[Point]


def layered(sizes: Sequence[Point], edges: Sequence[Edge]) -> Layout:
    """Lay out vertices of the given (along, across) sizes, with edges between their indices.

    The graph must be acyclic. The layout is deterministic.
    """
    graph = ranked(len(sizes), edges)
    sizes = [*sizes, *[(0.0, 0.0)] * (len(graph.before) - graph.real)]
    return _routed(graph, sizes, _across(graph, sizes))


def _across(graph: Ranked, sizes: Sequence[Point]) -> list[float]:
    """Compute the coordinates across: near those of neighbours, then with edges straightened."""
    rows = [(rank, _offsets(graph, rank, sizes)) for rank in graph.ranks]
    place = [0.0] * len(graph.before)
    for rank, offsets in rows:
        for v, offset in zip(rank, offsets, strict=True):
            place[v] = offset - offsets[-1] / 2
    ties = _ties(graph)
    for sweep in range(_RELAXATIONS):
        for rank, offsets in rows if sweep % 2 else reversed(rows):
            _relax(rank, offsets, ties, place)
    lines = sorted(_lines(graph), key=len, reverse=True)
    room = _Room(rows, place)
    for line in lines * 2:
        _straighten(line, room)
    return place


def _offsets(graph: Ranked, rank: list[int], sizes: Sequence[Point]) -> list[float]:
    """Return the least distance of each vertex of a rank from the first."""
    offsets = [0.0]
    for u, v in pairwise(rank):
        gap = _GAP_WITHIN_RANK if max(u, v) < graph.real else _GAP_BESIDE_WIRE
        offsets.append(offsets[-1] + (sizes[u][1] + sizes[v][1]) / 2 + gap)
    return offsets


def _wants_straight(graph: Ranked, tail: int, head: int) -> bool:
    return head >= graph.real or graph.is_only_way(tail, head)


def _ties(graph: Ranked) -> list[list[tuple[int, float]]]:
    """Return each vertex's neighbours, with the weight of a straight edge to them."""
    ties: list[list[tuple[int, float]]] = [[] for _ in graph.before]
    for u, heads in enumerate(graph.after):
        for v in heads:
            weight = _STRAIGHTNESS if _wants_straight(graph, u, v) else 1.0
            ties[u].append((v, weight))
            ties[v].append((u, weight))
    return ties


def _relax(
    rank: list[int], offsets: list[float], ties: list[list[tuple[int, float]]], place: list[float]
) -> None:
    """Place a rank so that the sum of its edges' squared climbs is least, in order and with gaps.

    With the offsets of the gaps subtracted, this is isotonic regression, solved by pooling adjacent
    violators.
    """
    pools: list[tuple[float, float, int]] = []
    for v, offset in zip(rank, offsets, strict=True):
        weight = sum([w for _, w in ties[v]]) + _INERTIA
        pull = sum([place[u] * w for u, w in ties[v]]) + place[v] * _INERTIA
        want = pull / weight - offset
        count = 1
        while pools and pools[-1][0] >= want:
            other, other_weight, other_count = pools.pop()
            want = (want * weight + other * other_weight) / (weight + other_weight)
            weight += other_weight
            count += other_count
        pools.append((want, weight, count))
    shifts = (want for want, _, count in pools for _ in range(count))
    for v, offset, shift in zip(rank, offsets, shifts, strict=True):
        place[v] = offset + shift


def _lines(graph: Ranked) -> list[list[int]]:
    """Return the paths made of edges that should be straight."""
    onward = {u: v for u, vs in enumerate(graph.after) for v in vs if _wants_straight(graph, u, v)}
    lines = []
    for first in sorted(onward.keys() - onward.values()):
        line = [first]
        while line[-1] in onward:
            line.append(onward[line[-1]])
        lines.append(line)
    return lines


class _Room:
    """The range across in which each vertex can move between its neighbours in the rank."""

    def __init__(self, rows: list[tuple[list[int], list[float]]], place: list[float]) -> None:
        self.place = place
        self._above: dict[int, tuple[int, float]] = {}
        self._below: dict[int, tuple[int, float]] = {}
        for rank, offsets in rows:
            for (u, upper), (v, lower) in pairwise(zip(rank, offsets, strict=True)):
                self._above[v] = (u, lower - upper)
                self._below[u] = (v, lower - upper)

    def around(self, vertex: int) -> tuple[float, float]:
        least, most = -math.inf, math.inf
        if vertex in self._above:
            above, gap = self._above[vertex]
            least = self.place[above] + gap
        if vertex in self._below:
            below, gap = self._below[vertex]
            most = self.place[below] - gap
        return least, most


def _straighten(line: list[int], room: _Room) -> None:
    """Put a line on one level or, if there is no room, long pieces of it on one level each."""
    piece: list[int] = []
    low, high = -math.inf, math.inf
    for vertex in line:
        least, most = room.around(vertex)
        if piece and max(low, least) > min(high, most):
            _level(piece, low, high, room.place)
            piece, low, high = [], -math.inf, math.inf
        piece.append(vertex)
        low, high = max(low, least), min(high, most)
    _level(piece, low, high, room.place)


def _level(piece: list[int], low: float, high: float, place: list[float]) -> None:
    mean = sum([place[v] for v in piece]) / len(piece)
    for v in piece:
        place[v] = min(max(mean, low), high)


def _routed(graph: Ranked, sizes: Sequence[Point], across: Sequence[float]) -> Layout:
    """Place the ranks along, farther apart if their edges climb more, and route the edges."""
    top = min((y - size[1] / 2 for y, size in zip(across, sizes, strict=True)), default=0.0)
    level = [y - top for y in across]
    bottom = max((y + size[1] / 2 for y, size in zip(level, sizes, strict=True)), default=0.0)
    centres = [(0.0, 0.0)] * len(sizes)
    strokes: list[tuple[Point, ...]] = []
    heads: list[Point] = []
    begin = end = 0.0
    for rank in graph.ranks:
        end = begin + max(sizes[v][0] for v in rank)
        bends = [(level[v], level[u]) for v in rank for u in graph.after[v]]
        climb = max((abs(z - y) for y, z in bends), default=0.0)
        following = end + min(_GAP_BETWEEN_RANKS + 0.12 * climb, _WIDEST_GAP_BETWEEN_RANKS)
        bend = (end + following - HEAD) / 2
        strokes += [((end, y), (bend, y), (bend, z), (following - HEAD, z)) for y, z in bends]
        for v in rank:
            centres[v] = ((begin + end) / 2, level[v])
            strokes += _within_rank(graph, v, sizes[v][0], begin, end, level[v])
            if v < graph.real and graph.before[v]:
                heads.append(((begin + end - sizes[v][0]) / 2, level[v]))
        begin = following
    return Layout((end, bottom), centres[: graph.real], strokes, heads)


def _within_rank(
    graph: Ranked, vertex: int, width: float, begin: float, end: float, y: float
) -> list[tuple[Point, Point]]:
    """Return the straight strokes from the gap before a rank to a vertex and to the gap after."""
    if vertex >= graph.real:
        return [((begin - HEAD, y), (end, y))]
    near, far = (begin + end - width) / 2, (begin + end + width) / 2
    strokes = []
    if graph.before[vertex] and near > begin:
        strokes.append(((begin - HEAD, y), (near - HEAD, y)))
    if graph.after[vertex] and far < end:
        strokes.append(((far, y), (end, y)))
    return strokes
