"""The graph behind a node: what it was computed from, in micrograd's terms.

A node is a `tapegrad.Value`, or any object that names its operands by `_prev` (micrograd and its
descendants) or by `_children` (microgpt).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

__all__ = ["HasChildren", "HasPrev", "Node", "operands", "topological_sort", "trace"]


class HasPrev(Protocol):
    """A node that names its operands as micrograd's does."""

    @property
    def _prev(self) -> Iterable[Any]: ...


class HasChildren(Protocol):
    """A node that names its operands as microgpt's does."""

    @property
    def _children(self) -> Iterable[Any]: ...


Node = HasPrev | HasChildren
N = TypeVar("N", bound=Node)


def trace(root: N) -> tuple[set[N], set[tuple[N, N]]]:
    """The nodes that `root` was computed from, itself included, and their (operand, user) pairs.

    Two sets, as micrograd's `trace` gives: the nodes must be hashable, and those that a class
    calls equal become one. Raises as `topological_sort` does.

    >>> product = a * b
    >>> nodes, edges = trace(product)
    >>> edges == {(a, product), (b, product)}
    True
    """
    order = topological_sort(root)
    return set(order), {(operand, node) for node in order for operand in operands(node)}


def topological_sort(root: N) -> list[N]:
    """The nodes that `root` was computed from, each once, operands before users, `root` last.

    The order is that of micrograd's recursion, operand by operand, without its recursion limit.
    Nodes are told apart by identity. Raises TypeError for what is no node, ValueError for a graph
    with a cycle.

    >>> topological_sort(a * b)
    [Value(data=2.0), Value(data=3.0), Value(data=6.0)]
    """
    order: list[N] = []
    entered: set[int] = set()
    left: set[int] = set()
    ahead: list[Any] = [root]
    while ahead:
        node = ahead.pop()
        if node is _LEAVE:
            node = ahead.pop()
            left.add(id(node))
            order.append(node)
        elif id(node) not in entered:
            entered.add(id(node))
            ahead += (node, _LEAVE, *reversed(operands(node)))
        elif id(node) not in left:
            raise ValueError(
                f"the graph has a cycle: a {type(node).__name__} is among its own operands"
            )
    return order


def operands(node: N) -> list[N]:
    """The distinct operands of `node`, in order as far as the node keeps one.

    `_prev` says which they are, or `_children` where there is no `_prev`. Where `_prev` is a set,
    a `_children` with the same objects gives the order. Raises TypeError for what is no node.

    >>> operands(a * b)
    [Value(data=2.0), Value(data=3.0)]
    """
    prev = getattr(node, "_prev", _ABSENT)
    children = getattr(node, "_children", _ABSENT)
    named: Any = children if prev is _ABSENT else prev
    if named is None:  # how some classes write a leaf
        return []
    if not hasattr(named, "__iter__"):
        raise TypeError(
            "a node is a tapegrad.Value, or any object that names its operands by _prev or "
            f"_children; got {_name_of(node)}"
        )
    distinct = _by_identity(named)
    unordered = len(distinct) > 1 and isinstance(named, (set, frozenset))
    if unordered and isinstance(children, (tuple, list)):
        ordered = _by_identity(children)
        if ordered.keys() == distinct.keys():
            distinct = ordered
    return list(distinct.values())


def _by_identity(nodes: Iterable[N]) -> dict[int, N]:
    return {id(node): node for node in nodes}


_ABSENT = object()
_LEAVE = object()


def _name_of(node: object) -> str:
    """What a message calls it: a class passed for its instance is a likely slip."""
    return f"the class {node.__name__}" if isinstance(node, type) else type(node).__name__
