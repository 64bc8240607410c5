"""tapegrad.draw: what a drawing shows, for Values and for anyone's nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.drawings import (
    MicrogptNode,
    Node,
    chain,
    edges,
    every_product,
    hide_graphviz,
    labels,
    needs_dot,
    notebook_svg,
    statements,
    svg_elements,
    texts,
    value_product,
)
from tapegrad import Value
from tapegrad.draw import draw_dot, save_drawing

graphviz = pytest.importorskip("graphviz")


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    hide_graphviz(monkeypatch, tmp_path_factory.mktemp("empty"))


class TestWhatIsDrawn:
    @every_product
    def test_a_node_is_a_record_of_label_data_and_grad(
        self, product: Callable[[], tuple[Any, Any, Any]]
    ) -> None:
        a, b, c = product()
        c.label, c.grad = "c", 1.0
        boxes = statements(draw_dot(c))
        assert boxes[str(id(a))] == {
            "label": "{ a | data 2.0000 | grad 0.0000 }",
            "shape": "record",
        }
        assert boxes[str(id(b))]["label"] == "{ b | data -3.0000 | grad 0.0000 }"
        assert boxes[str(id(c))]["label"] == "{ c | data -6.0000 | grad 1.0000 }"

    @every_product
    def test_a_node_without_label_is_a_record_of_data_and_grad_as_micrograds(
        self, product: Callable[[], tuple[Any, Any, Any]]
    ) -> None:
        _, _, c = product()
        assert statements(draw_dot(c))[str(id(c))]["label"] == "{ data -6.0000 | grad 0.0000 }"

    @every_product
    def test_an_operation_is_an_oval_between_operands_and_result(
        self, product: Callable[[], tuple[Any, Any, Any]]
    ) -> None:
        a, b, c = product()
        drawing = draw_dot(c)
        oval = f"{id(c)}*"
        assert statements(drawing)[oval] == {"label": "*"}
        assert edges(drawing) == {(str(id(a)), oval), (str(id(b)), oval), (oval, str(id(c)))}

    @pytest.mark.parametrize("square", [lambda a: a * a, lambda a: Node(a, a, _op="*")])
    def test_an_operand_used_twice_by_an_operation_has_one_edge_to_it(
        self, square: Callable[[Any], Any]
    ) -> None:
        a = Value(3.0)
        result = square(a)
        source = draw_dot(result).source
        assert source.count(f"{id(a)} ->") == 1
        assert source.count("->") == 2

    def test_a_shared_node_is_drawn_once(self) -> None:
        a = Value(3.0)
        b = a + 1.0
        drawing = draw_dot(b * b.tanh())
        assert len(statements(drawing)) == 5 + 3
        assert drawing.source.count(f"\t{id(b)} [") == 1

    def test_a_node_without_operation_hangs_on_its_operands_directly(self) -> None:
        a, b = MicrogptNode(2.0), MicrogptNode(3.0)
        c = MicrogptNode(6.0, (a, b, a))
        drawing = draw_dot(c)
        assert edges(drawing) == {(str(id(a)), str(id(c))), (str(id(b)), str(id(c)))}
        assert statements(drawing)[str(id(c))]["label"] == "{ data 6.0000 | grad 0.0000 }"

    def test_what_a_node_does_not_have_is_left_out(self) -> None:
        bare = Node()
        del bare.grad
        assert labels(draw_dot(bare)) == {"{ data 1.0000 }"}
        del bare.data
        assert labels(draw_dot(bare)) == {"{ Node }"}

    @pytest.mark.parametrize(
        ("number", "text"),
        [
            (0, "0.0000"),
            (-2.5, "-2.5000"),
            (123456.789, "123456.7890"),
            (1e300, "1.0000e+300"),
            (-1e9, "-1.0000e+09"),
            (float("nan"), "nan"),
            (float("-inf"), "-inf"),
            (True, "1.0000"),
            (1 + 2j, "(1+2j)"),
            ([1.0], "[1.0]"),
        ],
    )
    def test_numbers_have_four_decimals(self, number: Any, text: str) -> None:
        drawing = draw_dot(Node(data=number, grad=None))
        assert labels(drawing) == {f"{{ data {text} }}"}

    def test_vis_color_fills_the_box(self) -> None:
        a: Any = Value(2.0)
        c = a * 3.0
        a._vis_color = "lightgreen"
        boxes = statements(draw_dot(c))
        assert boxes[str(id(a))]["fillcolor"] == "lightgreen"
        assert boxes[str(id(a))]["style"] == "filled"
        assert "style" not in boxes[str(id(c))]

    def test_the_picture_is_of_the_moment(self, no_dot: None) -> None:
        _, _, c = value_product()
        drawing = draw_dot(c)
        c.backward()
        assert "data -6.0000 | grad 0.0000" in drawing.source
        assert "grad 1.0000" not in texts(notebook_svg(drawing))

    def test_nodes_are_told_apart_by_identity(self) -> None:
        class Alike(Node):
            __hash__ = None  # type: ignore[assignment]

            def __eq__(self, other: object) -> bool:
                return True

        assert len(statements(draw_dot(Alike(Alike(), Alike())))) == 3

    @pytest.mark.parametrize("rankdir", ["LR", "TB"])
    def test_rankdir_is_the_graphs(self, rankdir: str) -> None:
        assert f"rankdir={rankdir}" in draw_dot(Value(1.0), rankdir=rankdir).source

    def test_the_result_is_a_graphviz_digraph(self) -> None:
        drawing = draw_dot(Value(1.0), "png")
        assert isinstance(drawing, graphviz.Digraph)
        assert drawing.format == "png"
        assert drawing.filename == graphviz.Digraph().filename


awkward = pytest.mark.parametrize(
    "text",
    [
        "{x|y}",
        "a<b>c",
        "back\\slash",
        "end\\",
        r"\n\l\N",
        'say "x"',
        "&lt; & &amp;",
        "<i>x</i>",
        "<x>",
        "größe π",
        "$x_1$",
        "a:b:n",
        "%s",
    ],
)


class TestAwkwardText:
    @awkward
    @needs_dot
    def test_comes_out_of_dot_as_it_went_in(self, text: str) -> None:
        node = Node(Node(label="x"), label=text, _op=text)
        svg = draw_dot(node).pipe(encoding="utf-8")
        assert texts(svg).count(text) == 2
        assert len(svg_elements(svg, "ellipse")) == 1
        assert len([e for e in svg_elements(svg, "g") if e.get("class") == "edge"]) == 2

    @awkward
    def test_comes_out_of_our_own_painting_as_it_went_in(self, text: str, no_dot: None) -> None:
        node = Node(Node(label="x"), label=text, _op=text)
        assert texts(notebook_svg(draw_dot(node))).count(text) == 2

    @awkward
    @pytest.mark.parametrize("format", ["png", "pdf"])
    def test_is_painted_by_matplotlib(self, text: str, format: str, no_dot: None) -> None:
        pytest.importorskip("matplotlib")
        assert draw_dot(Node(label=text)).pipe(format)

    def test_is_made_one_line_that_xml_and_dot_can_carry(self, no_dot: None) -> None:
        drawing = draw_dot(Node(label="two\n lines\t\x00\x1b\ud800end"))
        assert "two lines \N{REPLACEMENT CHARACTER}" in drawing.source
        assert "two lines " + 3 * "\N{REPLACEMENT CHARACTER}" + "end" in texts(
            notebook_svg(drawing)
        )

    def test_labels_and_operations_need_not_be_strings(self) -> None:
        assert labels(draw_dot(Node(Node(), label=3, _op=7))) >= {
            "{ 3 | data 1.0000 | grad 0.0000 }",
            "7",
        }

    def test_colours_cannot_break_out_of_their_attribute(self, no_dot: None) -> None:
        svg = notebook_svg(draw_dot(Node(_vis_color='red"/><script>')))
        (box,) = (e for e in svg_elements(svg, "rect") if e.get("height") != "100%")
        assert box.get("fill") == 'red"/><script>'


class TestGraphsTooLargeToRead:
    def test_are_cut_to_the_nodes_nearest_to_the_root_with_a_note_of_how_many(self) -> None:
        root = chain(2000)
        drawing = draw_dot(root)
        assert len(statements(drawing)) == 500 + 500
        assert "500 of 2,000 nodes are drawn" in drawing.source
        assert "1,500 are left out" in drawing.source
        assert str(id(root)) in statements(drawing)
        assert "first" not in drawing.source

    def test_have_a_dashed_line_where_they_are_cut(self) -> None:
        a, b, c = Node(), Node(), Node()
        product = Node(b, c, _op="*")
        total = Node(a, product, _op="+")
        root = Node(total, _op="tanh")
        drawn = statements(draw_dot(root, max_nodes=4))
        assert set(drawn) == {
            str(id(root)),
            f"{id(root)}tanh",
            str(id(total)),
            f"{id(total)}+",
            str(id(a)),
            str(id(product)),
            f"{id(product)}*",
        }
        dashed = {name for name, attributes in drawn.items() if attributes.get("style") == "dashed"}
        assert dashed == {f"{id(product)}*"}

    def test_have_a_dashed_box_where_there_is_no_operation(self) -> None:
        root = MicrogptNode(1.0, (MicrogptNode(2.0),))
        assert statements(draw_dot(root, max_nodes=1))[str(id(root))]["style"] == "dashed"

    def test_are_noted_in_our_own_painting_too(self, no_dot: None) -> None:
        assert any(
            "5 of 20 nodes" in t for t in texts(notebook_svg(draw_dot(chain(20), max_nodes=5)))
        )

    @pytest.mark.parametrize("max_nodes", [None, 600, 601])
    def test_are_drawn_whole_when_asked_for(self, max_nodes: int | None) -> None:
        drawing = draw_dot(chain(600), max_nodes=max_nodes)
        assert "left out" not in drawing.source
        assert len(statements(drawing)) == 600 + 599

    def test_may_be_a_hundred_thousand_nodes_deep(self) -> None:
        value = Value(1.0)
        for _ in range(100_000):
            value = value.tanh()
        assert "500 of 100,001 nodes" in draw_dot(value).source


class TestBadInput:
    @pytest.mark.parametrize("draw", [draw_dot, lambda root: save_drawing(root, "x.svg")])
    @pytest.mark.parametrize(
        ("root", "name"),
        [(3, "int"), (None, "NoneType"), ([1], "list"), (Value, "the class Value")],
    )
    def test_a_root_that_is_no_node_is_a_type_error_with_its_name(
        self, draw: Callable[[Any], Any], root: Any, name: str
    ) -> None:
        with pytest.raises(TypeError, match=rf"tapegrad\.Value, or .* _children; got {name}$"):
            draw(root)

    @pytest.mark.parametrize("rankdir", ["RL", "lr", "", None, 1])
    def test_a_rankdir_other_than_lr_or_tb_is_a_value_error(self, rankdir: Any) -> None:
        with pytest.raises(ValueError, match=rf"rankdir must be 'LR' or 'TB', not {rankdir!r}"):
            draw_dot(Value(1.0), rankdir=rankdir)

    def test_a_format_that_graphviz_does_not_know_is_a_value_error(self) -> None:
        with pytest.raises(ValueError, match="unknown format: 'gif3'"):
            draw_dot(Value(1.0), format="gif3")

    @pytest.mark.parametrize("max_nodes", [0, -1])
    def test_a_limit_below_one_is_a_value_error(self, max_nodes: int) -> None:
        with pytest.raises(ValueError, match="max_nodes must be at least 1, or None for no limit"):
            draw_dot(Value(1.0), max_nodes=max_nodes)

    @pytest.mark.parametrize("name", ["graph.gif", "graph", "graph.dot", ".svg"])
    def test_a_suffix_other_than_svg_png_or_pdf_is_a_value_error(self, name: str) -> None:
        with pytest.raises(ValueError, match=rf"as \.svg, \.png or \.pdf, not as '{name}'"):
            save_drawing(Value(1.0), name)

    def test_a_graph_with_a_cycle_is_a_value_error(self) -> None:
        node = Node()
        node._prev = (Node(node),)
        with pytest.raises(ValueError, match="cycle"):
            draw_dot(node)
