"""The ranks of a directed acyclic graph's vertices, and the order within each rank.

This is the first half of Sugiyama's method; `layout` is the second. An edge that crosses a rank
gets a *wire* there, a dummy vertex without size that reserves room for it. All edges from one
vertex share their wires, as in an electrical net.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

__all__ = ["Edge", "Ranked", "ranked"]

_STARTS = 2
_STARTS_IF_SMALL = 8
_SMALL = 600
_SWEEPS = 24
_STALE_SWEEPS = 6

Edge = tuple[int, int]


@dataclass(slots=True)
class Ranked:
    """The vertices of each rank, in order; vertices numbered from `real` up are wires.

    `before` and `after` are the neighbours of each vertex in the rank before and after its own.
    """

    real: int
    ranks: list[list[int]]
    before: list[list[int]]
    after: list[list[int]]

    def is_only_way(self, tail: int, head: int) -> bool:
        """True if `head` is the only user of `tail`, and `tail` the only operand of `head`."""
        return len(self.after[tail]) == 1 and len(self.before[head]) == 1


def ranked(count: int, edges: Sequence[Edge]) -> Ranked:
    """Rank `count` vertices by the edges between their indices. The graph must be acyclic."""
    graph = _wired(count, edges)
    _put_in_order(graph)
    return graph


def _wired(count: int, edges: Sequence[Edge]) -> Ranked:
    rank = _rank(count, edges)
    ranks: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for vertex in range(count):
        ranks[rank[vertex]].append(vertex)
    graph = Ranked(count, ranks, [[] for _ in range(count)], [[] for _ in range(count)])
    trunk: dict[Edge, int] = {}
    for tail, head in dict.fromkeys(edges):
        last = tail
        for r in range(rank[tail] + 1, rank[head]):
            wire = trunk.get((tail, r))
            if wire is None:
                wire = trunk[tail, r] = len(graph.before)
                ranks[r].append(wire)
                graph.before.append([last])
                graph.after.append([])
                graph.after[last].append(wire)
            last = wire
        graph.after[last].append(head)
        graph.before[head].append(last)
    return graph


def _rank(count: int, edges: Sequence[Edge]) -> list[int]:
    """Rank vertices by the longest path to them, then move some next to their first user.

    A vertex moves if at most one of its operands is something other than a leaf that it alone uses.
    A chain of single edges moves as a whole.
    """
    before, after = _neighbours(count, edges)
    order = _sorted(before, after)
    rank = [0] * count
    ties = [0] * count
    for v in order:
        rank[v] = max((rank[u] + 1 for u in before[v]), default=0)
        ties[v] = sum(1 for u in before[v] if before[u] or len(after[u]) > 1)
        if ties[v] == 1 and len(before[v]) == 1 and len(after[before[v][0]]) == 1:
            ties[v] = ties[before[v][0]]
    for v in reversed(order):
        if ties[v] <= 1 and after[v]:
            rank[v] = min(rank[u] for u in after[v]) - 1
    first = min(rank, default=0)
    return [r - first for r in rank]


def _neighbours(count: int, edges: Sequence[Edge]) -> tuple[list[list[int]], list[list[int]]]:
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for tail, head in edges:
        before[head].append(tail)
        after[tail].append(head)
    return before, after


def _sorted(before: list[list[int]], after: list[list[int]]) -> list[int]:
    waiting_for = [len(tails) for tails in before]
    order = [vertex for vertex, n in enumerate(waiting_for) if n == 0]
    for vertex in order:
        for head in after[vertex]:
            waiting_for[head] -= 1
            if waiting_for[head] == 0:
                order.append(head)
    return order


def _put_in_order(graph: Ranked) -> None:
    """Order each rank for few crossings, by barycentre sweeps and swaps from several starts."""
    stressed = _stressed(graph)
    best: list[int] = []
    fewest = -1
    for start in range(_STARTS_IF_SMALL if len(graph.before) < _SMALL else _STARTS):
        place = _first_places(graph, start)
        stale = 0
        for sweep in range(_SWEEPS):
            crossings = _crossings(stressed, place)
            if fewest < 0 or crossings < fewest:
                best, fewest, stale = place[:], crossings, 0
            if stale == _STALE_SWEEPS or fewest == 0:
                break
            stale += 1
            _sweep(stressed, place, backward=sweep % 2 == 0, upset=sweep % 4 >= 2)
    for rank in graph.ranks:
        rank.sort(key=best.__getitem__)


def _stressed(graph: Ranked) -> Ranked:
    """Return a copy that counts an edge between an only operand and its only user twice.

    A crossing of such an edge is harder to read than others.
    """

    def copies(tail: int, head: int) -> int:
        return 2 if head < graph.real and graph.is_only_way(tail, head) else 1

    before = [[u for u in us for _ in range(copies(u, v))] for v, us in enumerate(graph.before)]
    after = [[v for v in vs for _ in range(copies(u, v))] for u, vs in enumerate(graph.after)]
    return Ranked(graph.real, graph.ranks, before, after)


def _first_places(graph: Ranked, start: int) -> list[int]:
    """Return initial places in the order of a depth-first walk.

    The walk begins at the last rank in even starts, and at the first rank in odd ones. From start 2
    on, neighbours are visited in random order.
    """
    ranks, near = (graph.ranks, graph.after) if start % 2 else (graph.ranks[::-1], graph.before)
    if start >= 2:
        shuffled = Random(start).sample
        near = [shuffled(vertices, len(vertices)) for vertices in near]
    rank_of = {v: r for r, rank in enumerate(ranks) for v in rank}
    met = [0] * len(ranks)
    place = [-1] * len(near)
    stack = [v for rank in reversed(ranks) for v in reversed(rank)]
    while stack:
        vertex = stack.pop()
        if place[vertex] < 0:
            place[vertex] = met[rank_of[vertex]]
            met[rank_of[vertex]] += 1
            stack.extend(reversed(near[vertex]))
    return place


def _sweep(graph: Ranked, place: list[int], *, backward: bool, upset: bool) -> None:
    near = graph.after if backward else graph.before
    for rank in reversed(graph.ranks) if backward else graph.ranks:
        _by_barycentre(rank, near, place, upset)
    _swap_neighbours(graph, place)


def _by_barycentre(rank: list[int], near: list[list[int]], place: list[int], upset: bool) -> None:
    """Sort a rank by the mean place of neighbours; a vertex without neighbours keeps its place.

    `upset` reverses vertices of equal mean, to escape local minima.
    """
    mean = {v: sum([place[u] for u in near[v]]) / len(near[v]) for v in rank if near[v]}
    rank.sort(key=place.__getitem__)
    settled = [v for v in rank if v in mean]
    moved = iter(sorted(settled[::-1] if upset else settled, key=mean.__getitem__))
    rank[:] = [next(moved) if v in mean else v for v in rank]
    for i, vertex in enumerate(rank):
        place[vertex] = i


def _crossings(graph: Ranked, place: list[int]) -> int:
    """Return the number of pairs of edges that cross, over all pairs of adjacent ranks."""
    crossings = 0
    for rank in graph.ranks:
        seen: list[int] = []
        for vertex in sorted(rank, key=place.__getitem__):
            heads = sorted([place[v] for v in graph.after[vertex]])
            for head in heads:
                crossings += len(seen) - bisect_right(seen, head)
            for head in heads:
                insort(seen, head)
    return crossings


def _swap_neighbours(graph: Ranked, place: list[int]) -> None:
    """Swap adjacent vertices wherever that reduces the crossings of their edges."""
    for rank in graph.ranks:
        sides = [
            {v: sorted([place[u] for u in near[v]]) for v in rank}
            for near in (graph.before, graph.after)
        ]
        swapped = True
        while swapped:
            swapped = False
            for i in range(len(rank) - 1):
                upper, lower = rank[i], rank[i + 1]
                gain = sum(
                    _inversions(side[upper], side[lower]) - _inversions(side[lower], side[upper])
                    for side in sides
                )
                if gain > 0:
                    rank[i], rank[i + 1] = lower, upper
                    swapped = True
        for i, vertex in enumerate(rank):
            place[vertex] = i


def _inversions(upper: list[int], lower: list[int]) -> int:
    """Count the crossings between the edges of a vertex and of one below, from sorted far ends."""
    if not upper or not lower or upper[-1] <= lower[0]:
        return 0
    return sum([bisect_left(lower, end) for end in upper])
