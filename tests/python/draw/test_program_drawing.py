"""Program.draw_dot: boxes named as in the text, an oval for each operation, guards at the end."""

from __future__ import annotations

import math
from typing import Any

import pytest

from support.drawings import edges, needs_dot, statements, texts
from tapegrad import compile, grad, sigmoid, sin
from tapegrad.transforms.program import Program

graphviz = pytest.importorskip("graphviz")


def product(x: Any, y: Any) -> Any:
    return x * sin(y) + 0.1 * x


def branches(x: Any, y: Any) -> Any:
    if x < y:
        return x + math.floor(y), x
    return y, y


def shown(shape: dict[str, str]) -> str:
    """The label as it is seen."""
    return shape["label"].strip("{ }").replace("\\", "")


def named_edges(drawing: Any) -> set[tuple[str, str]]:
    """Arrows by the labels of what they join; labels must be distinct."""
    names = {name: shown(box) for name, box in statements(drawing).items()}
    assert len(set(names.values())) == len(names)
    return {(names[tail], names[head]) for tail, head in edges(drawing)}


@pytest.fixture
def program() -> Program:
    return compile(product).program(2.0, 3.0)


def test_boxes_have_the_names_of_the_text_and_ovals_the_symbols_of_the_table(
    program: Program,
) -> None:
    found = {
        (shown(box), box.get("shape", "oval")) for box in statements(program.draw_dot()).values()
    }
    boxes = {(name, "record") for name in ("a", "b", "0.1", "c", "d", "e", "f", "program product")}
    ovals = {(name, "oval") for name in ("sin", "*", "+", "return")}
    assert found == boxes | ovals
    assert all(name in str(program) for name, _ in boxes)


def test_arrows_go_from_operands_through_operations_to_results() -> None:
    drawing = compile(lambda x, y: sin(x) + y).program(2.0, 3.0).draw_dot()
    assert named_edges(drawing) == {
        ("a", "sin"),
        ("sin", "c"),
        ("c", "+"),
        ("b", "+"),
        ("+", "d"),
        ("d", "return"),
        ("return", "program <lambda>"),
    }


def test_all_outputs_and_guards_end_in_the_return() -> None:
    program = compile(branches).program(2.0, 3.5)
    arrows = named_edges(program.draw_dot())
    into = {tail for tail, head in arrows if head == "return"}
    assert into == {"c", "a", "guard: True", "guard: 3.0"}
    assert {("a", "<"), ("b", "<"), ("<", "guard: True")} <= arrows
    assert {("b", "floor"), ("floor", "guard: 3.0")} <= arrows


def test_the_operations_of_derivatives_are_drawn_too() -> None:
    program = compile(grad(sigmoid)).program(0.5)
    assert ("a", "sigmoid'") in named_edges(program.draw_dot())


def test_a_constant_program_draws_its_constant() -> None:
    drawing = compile(lambda x: 2.5).program(1.0).draw_dot()
    assert ("2.5", "return") in named_edges(drawing)


def test_of_a_long_program_what_is_nearest_to_the_result_is_drawn() -> None:
    def chain(x: Any) -> Any:
        for _ in range(1000):
            x = sin(x)
        return x

    program = compile(chain).program(1.0)
    assert "500 of 1,002 nodes are drawn" in program.draw_dot().source
    assert program.draw_dot(max_nodes=None).source.count("label=sin") == 1000


def test_format_and_direction_are_those_of_draw_dot(program: Program) -> None:
    drawing = program.draw_dot("png", "TB")
    assert drawing.format == "png"
    assert "rankdir=TB" in drawing.source
    with pytest.raises(ValueError, match="rankdir must be"):
        program.draw_dot(rankdir="up")
    with pytest.raises(ValueError, match="max_nodes must be"):
        program.draw_dot(max_nodes=0)


@needs_dot
def test_graphviz_draws_it(program: Program) -> None:
    svg = program.draw_dot().pipe(encoding="utf-8")
    assert {"a", "b", "0.1", "sin", "program product"} <= {text.strip() for text in texts(svg)}
