"""The layered layout: boxes apart, arrows that can be followed and run through no box."""

from __future__ import annotations

import math
import random
import sys
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapegrad.draw.layout import HEAD, Layout, Point, layered
from tapegrad.draw.ranking import ranked

Edges = list[tuple[int, int]]
Graph = tuple[list[Point], Edges]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Boxes of any size in a random acyclic graph, some edges of it given twice."""
    count = draw(st.integers(1, 25))
    side = st.floats(5.0, 200.0)
    sizes = draw(st.lists(st.tuples(side, side), min_size=count, max_size=count))
    edges = [
        (tail, head)
        for head in range(1, count)
        for tail in draw(st.lists(st.integers(0, head - 1), max_size=4))
    ]
    return sizes, edges


def points_on(stroke: tuple[Point, ...]) -> list[Point]:
    if len(stroke) == 2:
        (ax, ay), (bx, by) = stroke
        return [(ax + t / 8 * (bx - ax), ay + t / 8 * (by - ay)) for t in range(9)]
    a, b, c, d = stroke
    weights = [
        ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
        for t in (i / 16 for i in range(17))
    ]
    return [
        (
            p * a[0] + q * b[0] + r * c[0] + s * d[0],
            p * a[1] + q * b[1] + r * c[1] + s * d[1],
        )
        for p, q, r, s in weights
    ]


def heads_reached(layout: Layout, tail: Point) -> set[Point]:
    """The tips of the arrowheads met by following the strokes from a point onwards."""
    followed: set[tuple[Point, ...]] = set()
    reached: set[Point] = set()
    ahead = [tail]
    while ahead:
        point = ahead.pop()
        for stroke in layout.strokes:
            if stroke not in followed and close(stroke[0], point):
                followed.add(stroke)
                ahead.append(stroke[-1])
        reached |= {tip for tip in layout.heads if close((tip[0] - HEAD, tip[1]), point)}
    return reached


def close(a: Point, b: Point) -> bool:
    """Whether the eye takes them for one: a thousandth of a point apart at most."""
    return math.dist(a, b) < 1e-3


def near_side(centre: Point, size: Point) -> Point:
    return centre[0] - size[0] / 2, centre[1]


def far_side(centre: Point, size: Point) -> Point:
    return centre[0] + size[0] / 2, centre[1]


@given(graphs())
def test_boxes_do_not_overlap_and_lie_within_the_picture(graph: Graph) -> None:
    sizes, edges = graph
    layout = layered(sizes, edges)
    boxes = [
        (x - w / 2, x + w / 2, y - h / 2, y + h / 2)
        for (x, y), (w, h) in zip(layout.centres, sizes, strict=True)
    ]
    for a, b in combinations(boxes, 2):
        apart_along = max(a[0], b[0]) - min(a[1], b[1])
        apart_across = max(a[2], b[2]) - min(a[3], b[3])
        assert max(apart_along, apart_across) > 5.0
    for left, right, top, bottom in boxes:
        assert left >= -1e-6
        assert top >= -1e-6
        assert right <= layout.size[0] + 1e-6
        assert bottom <= layout.size[1] + 1e-6


@given(graphs())
def test_no_stroke_runs_through_a_box(graph: Graph) -> None:
    sizes, edges = graph
    layout = layered(sizes, edges)
    for stroke in layout.strokes:
        for x, y in points_on(stroke):
            for (cx, cy), (w, h) in zip(layout.centres, sizes, strict=True):
                assert abs(x - cx) > w / 2 - 1e-6 or abs(y - cy) > h / 2 - 1e-6


@given(graphs())
def test_the_strokes_from_a_box_lead_to_its_users_and_nowhere_else(graph: Graph) -> None:
    sizes, edges = graph
    layout = layered(sizes, edges)
    for box, size in enumerate(sizes):
        users = {head for tail, head in edges if tail == box}
        reached = heads_reached(layout, far_side(layout.centres[box], size))
        assert len(reached) == len(users)
        for user in users:
            side = near_side(layout.centres[user], sizes[user])
            assert any(close(side, tip) for tip in reached)


@given(graphs())
def test_arrows_point_along(graph: Graph) -> None:
    sizes, edges = graph
    layout = layered(sizes, edges)
    for tail, head in edges:
        end_of_tail = far_side(layout.centres[tail], sizes[tail])[0]
        assert end_of_tail + HEAD < near_side(layout.centres[head], sizes[head])[0]
    for stroke in layout.strokes:
        alongs = [along for along, _ in stroke]
        assert all(a <= b + 1e-6 for a, b in pairwise(alongs))


@given(graphs())
def test_equal_graphs_are_laid_out_alike(graph: Graph) -> None:
    assert layered(*graph) == layered(*graph)


def test_nothing_takes_no_room() -> None:
    assert layered([], []) == Layout((0.0, 0.0), [], [], [])


def test_a_chain_is_straight() -> None:
    layout = layered([(40.0, 20.0)] * 10, [(i, i + 1) for i in range(9)])
    assert {across for _, across in layout.centres} == {10.0}


def test_a_leaf_stands_beside_its_user() -> None:
    chain = [(i, i + 1) for i in range(5)]
    centres = layered([(40.0, 20.0)] * 7, [*chain, (6, 5)]).centres
    assert centres[6][0] == centres[4][0]


def test_an_edge_past_other_ranks_runs_straight_and_beside_them() -> None:
    chain = [(i, i + 1) for i in range(5)]
    layout = layered([(40.0, 20.0)] * 6, [*chain, (0, 5)])
    levels = {round(across, 6) for _, across in layout.centres[1:5]}
    assert len(levels) == 1
    wires = [s for s in layout.strokes if len(s) == 2 and round(s[0][1], 6) not in levels]
    assert len({round(across, 6) for wire in wires for _, across in wire}) <= 2


def test_the_operands_of_a_tree_keep_their_order_and_no_edges_cross() -> None:
    tree = [(2 * i + j, 16 + i) for i in range(8) for j in (0, 1)]
    tree += [(16 + 2 * i + j, 24 + i) for i in range(4) for j in (0, 1)]
    tree += [(24 + 2 * i + j, 28 + i) for i in range(2) for j in (0, 1)]
    tree += [(28, 30), (29, 30)]
    layout = layered([(40.0, 20.0)] * 31, tree)
    leaves = [across for _, across in layout.centres[:16]]
    assert leaves == sorted(leaves)
    assert layout.centres[30][1] == pytest.approx((leaves[0] + leaves[15]) / 2)


def crossings(count: int, edges: Edges) -> int:
    graph = ranked(count, edges)
    place = {v: i for rank in graph.ranks for i, v in enumerate(rank)}
    return sum(
        (place[a] - place[c]) * (place[b] - place[d]) < 0
        for rank in graph.ranks
        for (a, b), (c, d) in combinations([(u, v) for u in rank for v in graph.after[u]], 2)
    )


def test_edges_that_need_not_cross_do_not() -> None:
    """A ladder with its rungs shuffled: drawn well, nothing crosses."""
    rails = [[0, *random.Random(rail).sample(range(1, 12), 11)] for rail in (1, 2)]
    name = {(rail, step): 12 * rail + rails[rail][step] for rail in (0, 1) for step in range(12)}
    edges = [(name[rail, i], name[rail, i + 1]) for rail in (0, 1) for i in range(11)]
    edges += [(name[0, i], name[1, i + 1]) for i in range(11)]
    assert crossings(24, edges) == 0


def network(widths: list[int]) -> Graph:
    """The shapes of a drawn multilayer perceptron: weights, products, sums, one ReLU a neuron."""
    sizes: list[Point] = []
    edges: Edges = []

    def shape(width: float, *tails: int) -> int:
        sizes.append((width, 26.0))
        edges.extend((tail, len(sizes) - 1) for tail in tails)
        return len(sizes) - 1

    def result(*operands: int) -> int:
        return shape(180.0, shape(38.0, *operands))

    inputs = [shape(220.0) for _ in range(widths[0])]
    for width in widths[1:]:
        outputs = []
        for _ in range(width):
            total = shape(220.0)
            for x in inputs:
                total = result(total, result(shape(220.0), x))
            outputs.append(result(total))
        inputs = outputs
    return sizes, edges


def calls_per_edge(layers: list[int]) -> float:
    """How many functions the layout of a network calls, by the number of its edges."""
    sizes, edges = network(layers)
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        layered(sizes, edges)
    finally:
        sys.setprofile(None)
    return calls / len(edges)


def test_the_work_of_a_layout_grows_in_proportion_to_the_graph() -> None:
    assert calls_per_edge([3, 16, 16, 1]) < 1.5 * calls_per_edge([3, 8, 8, 1]) < 2000


def test_five_thousand_operands_of_one_operation_are_laid_out() -> None:
    layout = layered([(40.0, 20.0)] * 5001, [(i, 5000) for i in range(5000)])
    assert len(layout.strokes) == 5000
