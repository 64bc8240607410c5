"""Nodes to draw, readers of what was drawn, and ways to hide what draws."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tapegrad import Value

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="the dot program is missing")

HINT = "To have Graphviz lay this out, install its dot program"


class Node:
    """A pure-Python node as a user may write one: every attribute but the operands is optional."""

    data: Any
    grad: Any

    def __init__(self, *operands: Any, **attributes: Any) -> None:
        self._prev = operands
        self.__dict__.update({"data": 1.0, "grad": 0.0, **attributes})


class MicrogptNode:
    """As microgpt's: no `_op`, no label, operands by another name."""

    __slots__ = ("_children", "data", "grad")

    def __init__(self, data: float, children: tuple[MicrogptNode, ...] = ()) -> None:
        self.data = data
        self.grad = 0
        self._children = children


def value_product() -> tuple[Value, Value, Value]:
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    return a, b, a * b


def node_product() -> tuple[Node, Node, Node]:
    a, b = Node(data=2.0, label="a"), Node(data=-3.0, label="b")
    return a, b, Node(a, b, data=-6.0, _op="*")


every_product = pytest.mark.parametrize("product", [value_product, node_product])


def chain(length: int) -> Node:
    node = Node(label="first")
    for _ in range(length - 1):
        node = Node(node, _op="+")
    return node


def statements(drawing: Any) -> dict[str, dict[str, str]]:
    """The attributes of each box and oval in the DOT source, unquoted, by name."""
    found = {}
    for line in drawing.source.splitlines():
        if match := re.fullmatch(r'\t("?)(\d+.*?)\1 \[(.*)\]', line):
            attributes = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', match[3])
            found[match[2]] = {name: value.strip('"') for name, value in attributes}
    return found


def edges(drawing: Any) -> set[tuple[str, str]]:
    lines = (line.strip() for line in drawing.source.splitlines())
    pairs = (line.split(" -> ") for line in lines if " -> " in line)
    return {(tail.strip('"'), head.strip('"')) for tail, head in pairs}


def labels(drawing: Any) -> set[str]:
    return {attributes["label"] for attributes in statements(drawing).values()}


def texts(svg: str | bytes) -> list[str]:
    return [element.text or "" for element in svg_elements(svg, "text")]


def svg_elements(svg: str | bytes, tag: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(svg).findall(f".//{{http://www.w3.org/2000/svg}}{tag}")


def notebook_svg(drawing: Any) -> str:
    """The SVG that a notebook gets."""
    (svg,) = drawing._repr_mimebundle_().values()
    return str(svg)


def hide_graphviz(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    """Leave the Python package graphviz, but nothing that it could call, nor pygraphviz."""
    monkeypatch.setenv("PATH", str(empty_folder))
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


def hide_graphviz_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    monkeypatch.delitem(sys.modules, "tapegrad.draw.graphviz", raising=False)
