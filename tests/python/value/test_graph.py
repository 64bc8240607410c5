"""tapegrad.graph: what a node was computed from, for Values and for anyone's nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapegrad import Value
from tapegrad.graph import operands, topological_sort, trace


class MicrogradNode:
    """Knows its operands as a set, as micrograd's Value does."""

    def __init__(self, *operands: Any) -> None:
        self._prev = set(operands)


class OrderedNode:
    """Knows its operands as a tuple, as EurekaLabs' Value does."""

    def __init__(self, *operands: Any) -> None:
        self._prev = operands


class MicrogptNode:
    """Knows its operands by another name, repeats and all, as microgpt's Value does."""

    __slots__ = ("_children",)

    def __init__(self, *operands: Any) -> None:
        self._children = operands


class AlikeNode(OrderedNode):
    """Claims to equal everything, and cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


def value_node(*operands: Value) -> Value:
    return Value(0.0, operands)


MakeNode = Callable[..., Any]

every_node_kind = pytest.mark.parametrize(
    "make", [MicrogradNode, OrderedNode, MicrogptNode, AlikeNode, value_node]
)
every_hashable_kind = pytest.mark.parametrize(
    "make", [MicrogradNode, OrderedNode, MicrogptNode, value_node]
)
every_ordered_kind = pytest.mark.parametrize(
    "make", [OrderedNode, MicrogptNode, AlikeNode, value_node]
)


def identities(nodes: Iterable[object]) -> list[int]:
    return [id(node) for node in nodes]


def chain(make: MakeNode, length: int) -> Any:
    node = make()
    for _ in range(length):
        node = make(node)
    return node


def drop_iteratively(node: Any) -> None:
    """Take a chain of Python objects apart: freeing it link within link can exhaust the stack."""
    while node._prev:
        (operand,) = node._prev
        node._prev = ()
        node = operand


@every_node_kind
def test_topological_sort_puts_operands_before_users_and_the_root_last(make: MakeNode) -> None:
    a, b = make(), make()
    c = make(a, b)
    d = make(c, a)
    order = identities(topological_sort(d))
    assert sorted(order) == sorted(identities([a, b, c, d]))
    assert order.index(id(c)) > max(order.index(id(a)), order.index(id(b)))
    assert order[-1] == id(d)


@every_ordered_kind
def test_topological_sort_takes_operands_in_their_order(make: MakeNode) -> None:
    a, b, c = make(), make(), make()
    product = make(b, a)
    root = make(product, c, b)
    assert identities(topological_sort(root)) == identities([b, a, product, c, root])


@every_node_kind
def test_topological_sort_of_a_leaf_is_the_leaf(make: MakeNode) -> None:
    leaf = make()
    assert identities(topological_sort(leaf)) == [id(leaf)]


@every_node_kind
def test_topological_sort_meets_a_shared_node_once(make: MakeNode) -> None:
    node = make()
    for _ in range(100):  # 2**100 paths
        node = make(make(node), make(node))
    assert len(topological_sort(node)) == 301


@pytest.mark.parametrize("make", [OrderedNode, value_node])
def test_topological_sort_reaches_the_end_of_a_chain_of_a_million(make: MakeNode) -> None:
    root = chain(make, 1_000_000)
    order = topological_sort(root)
    assert len(order) == 1_000_001
    assert order[-1] is root
    assert all(operands(user)[0] is operand for operand, user in pairwise(order[-1000:]))
    del order
    if make is OrderedNode:
        drop_iteratively(root)


@st.composite
def random_graphs(draw: st.DrawFn) -> list[OrderedNode]:
    """Nodes in a random acyclic graph, in order of creation."""
    nodes: list[OrderedNode] = []
    for i in range(draw(st.integers(1, 30))):
        chosen = draw(st.lists(st.integers(0, i - 1), max_size=3)) if i else []
        nodes.append(OrderedNode(*(nodes[j] for j in chosen)))
    return nodes


def recursive_sort(root: OrderedNode) -> list[OrderedNode]:
    """Micrograd's own way, for graphs that are not deep."""
    order: list[OrderedNode] = []

    def visit(node: OrderedNode) -> None:
        if node not in order:
            for operand in node._prev:
                visit(operand)
            order.append(node)

    visit(root)
    return order


@given(random_graphs())
def test_topological_sort_gives_the_order_of_the_recursive_definition(
    nodes: list[OrderedNode],
) -> None:
    assert topological_sort(nodes[-1]) == recursive_sort(nodes[-1])


def test_topological_sort_refuses_a_cycle() -> None:
    first = OrderedNode()
    second = OrderedNode(OrderedNode(first), OrderedNode())
    first._prev = (second,)
    with pytest.raises(ValueError, match="cycle: a OrderedNode is among its own operands"):
        topological_sort(second)


def test_topological_sort_refuses_a_node_that_is_its_own_operand() -> None:
    node = OrderedNode()
    node._prev = (node,)
    with pytest.raises(ValueError, match="cycle"):
        topological_sort(node)


@every_hashable_kind
def test_trace_gives_a_set_of_nodes_and_a_set_of_operand_user_pairs(make: MakeNode) -> None:
    a, b = make(), make()
    c = make(a, b)
    d = make(c, a)
    assert trace(d) == ({a, b, c, d}, {(a, c), (b, c), (c, d), (a, d)})


@every_hashable_kind
def test_trace_gives_one_edge_for_a_node_used_twice_by_the_same_user(make: MakeNode) -> None:
    a = make()
    square = make(a, a)
    assert trace(square) == ({a, square}, {(a, square)})


def test_trace_of_a_value_finds_the_values_of_its_expression() -> None:
    a, b, c = Value(2.0, label="a"), Value(-3.0, label="b"), Value(10.0, label="c")
    product = a * b
    total = product + c
    nodes, edges = trace(total)
    assert nodes == {a, b, c, product, total}
    assert edges == {(a, product), (b, product), (product, total), (c, total)}


def test_trace_finds_the_number_in_an_expression_as_a_node_of_its_own() -> None:
    a = Value(2.0)
    nodes, edges = trace(a + 1.5)
    assert sorted(node.data for node in nodes) == [1.5, 2.0, 3.5]
    assert len(edges) == 2


@every_ordered_kind
def test_operands_are_distinct_and_in_order(make: MakeNode) -> None:
    a, b = make(), make()
    assert identities(operands(make(b, a, b))) == identities([b, a])


def test_prev_decides_which_objects_are_the_operands() -> None:
    a, b = OrderedNode(), OrderedNode()
    node: Any = OrderedNode(a)
    node._children = (b,)
    assert operands(node) == [a]


def test_children_decide_the_order_of_a_set() -> None:
    leaves = [OrderedNode() for _ in range(20)]
    node: Any = OrderedNode()
    node._prev = set(leaves)
    node._children = tuple(reversed(leaves))
    assert operands(node) == leaves[::-1]


class IteratedNode:
    """Gives its operands by a property that can be gone through once."""

    def __init__(self, *operands: IteratedNode) -> None:
        self._operands = operands

    @property
    def _prev(self) -> Iterator[IteratedNode]:
        return iter(self._operands)


def test_operands_may_be_any_iterable() -> None:
    leaf = IteratedNode()
    root = IteratedNode(leaf)
    assert topological_sort(root) == [leaf, root]


def test_none_for_operands_means_a_leaf() -> None:
    leaf: Any = OrderedNode()
    leaf._prev = None
    assert topological_sort(OrderedNode(leaf))[0] is leaf


@pytest.mark.parametrize("function", [trace, topological_sort, operands])
@pytest.mark.parametrize(
    ("not_a_node", "name"),
    [(3, "int"), (None, "NoneType"), ("x", "str"), ([], "list"), (Value, "the class Value")],
)
def test_what_is_no_node_is_named_in_a_type_error(
    function: Callable[[Any], Any], not_a_node: Any, name: str
) -> None:
    with pytest.raises(TypeError, match=rf"tapegrad\.Value, or .*_prev or _children; got {name}$"):
        function(not_a_node)


def test_an_operand_that_is_no_node_is_named_in_a_type_error() -> None:
    with pytest.raises(TypeError, match="got float"):
        topological_sort(OrderedNode(OrderedNode(), 2.0))
