"""The computational graph of a node: its operands, nodes in topological order, and edges.

A node is a `tapegrad.Value`, or any object that lists its operands in `_prev` (as micrograd's
does) or in `_children` (as microgpt's does).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

__all__ = ["HasChildren", "HasPrev", "Node", "operands", "topological_sort", "trace"]


class HasPrev(Protocol):
    """A node with its operands in `_prev`, as in micrograd."""

    @property
    def _prev(self) -> Iterable[Any]: ...


class HasChildren(Protocol):
    """A node with its operands in `_children`, as in microgpt."""

    @property
    def _children(self) -> Iterable[Any]: ...


Node = HasPrev | HasChildren
N = TypeVar("N", bound=Node)


def trace(root: N) -> tuple[set[N], set[tuple[N, N]]]:
    """Return the nodes that `root` was computed from, with `root`, and the edges between them.

    The results are two sets, as of micrograd's `trace`: nodes, and (operand, user) pairs. The
    nodes must be hashable, and nodes that compare equal become one. Errors are those of
    `topological_sort`.

    >>> product = a * b
    >>> nodes, edges = trace(product)
    >>> edges == {(a, product), (b, product)}
    True
    """
    order = topological_sort(root)
    return set(order), {(operand, node) for node in order for operand in operands(node)}


def topological_sort(root: N) -> list[N]:
    """Return the nodes that `root` was computed from, operands before their users, `root` last.

    Each node occurs once; nodes are distinguished by identity. The order is that of micrograd's
    depth-first recursion, but without a recursion limit. Raises TypeError for an object that is no
    node, and ValueError for a graph with a cycle.

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
    """Return the distinct operands of `node`, in order if the node keeps one.

    The operands are those in `_prev`, or in `_children` if there is no `_prev`. If `_prev` is a
    set, a `_children` with the same objects gives the order. Raises TypeError for an object that
    is no node.

    >>> operands(a * b)
    [Value(data=2.0), Value(data=3.0)]
    """
    prev = getattr(node, "_prev", _ABSENT)
    children = getattr(node, "_children", _ABSENT)
    named: Any = children if prev is _ABSENT else prev
    if named is None:  # a leaf, in some classes
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
    """Return the type's name for a message. A class passed instead of an instance is called so."""
    return f"the class {node.__name__}" if isinstance(node, type) else type(node).__name__
