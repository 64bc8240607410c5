"""Sequential, Embedding and activations; and the names and states of parameters."""

from __future__ import annotations

import copy
import json
import math
import pickle
import random
from typing import Any

import numpy as np
import pytest

import tapegrad
from tapegrad import Value, nn, optim
from tapegrad.nn.module import IncompatibleKeys

# Activations.

ACTIVATIONS: list[tuple[nn.Module, Any, str]] = [
    (nn.ReLU(), tapegrad.relu, "ReLU()"),
    (nn.Tanh(), tapegrad.tanh, "Tanh()"),
    (nn.Sigmoid(), tapegrad.sigmoid, "Sigmoid()"),
    (nn.GELU(), tapegrad.gelu, "GELU()"),
    (nn.SiLU(), tapegrad.silu, "SiLU()"),
    (nn.LeakyReLU(), tapegrad.leaky_relu, "LeakyReLU(negative_slope=0.01)"),
    (
        nn.LeakyReLU(0.5),
        lambda x: tapegrad.leaky_relu(x, 0.5),
        "LeakyReLU(negative_slope=0.5)",
    ),
    (nn.Softplus(), tapegrad.softplus, "Softplus(beta=1.0)"),
    (nn.Softplus(2.0), lambda x: tapegrad.softplus(x * 2.0) / 2.0, "Softplus(beta=2.0)"),
]


@pytest.mark.parametrize(("module", "function", "shown"), ACTIVATIONS, ids=lambda x: str(x))
def test_an_activation_is_its_function_of_a_value_or_each_of_many(
    module: Any, function: Any, shown: str
) -> None:
    for x in (-1.5, 0.5):
        assert module(Value(x)).data == function(Value(x)).data
    row = [Value(-1.5), Value(0.5)]
    expected = [function(v).data for v in row]
    for given in (row, tuple(row), iter(row), np.array(row)):
        found = module(given)
        assert [v.data for v in found] == expected
        assert type(found) is list
    assert [[v.data for v in inner] for inner in module([row, row])] == [expected, expected]
    assert repr(module) == shown
    assert module.parameters() == []
    assert module.state_dict() == {}


def test_an_activation_passes_gradients_and_plain_numbers() -> None:
    x = Value(0.5)
    nn.Tanh()(x).backward()
    assert x.grad == pytest.approx(1 - math.tanh(0.5) ** 2)
    assert nn.ReLU()([-1.0, Value(2.0)])[0] == 0.0


# Embedding.


def test_an_embedding_gives_a_row_of_its_table() -> None:
    embedding = nn.Embedding(3, 2)
    assert all(a is b for a, b in zip(embedding(1), embedding.weight[1], strict=True))
    sum(embedding(2), Value(0.0)).backward()
    assert [[p.grad for p in row] for row in embedding.weight] == [[0, 0], [0, 0], [1, 1]]
    embedding(np.int64(0)).clear()
    assert len(embedding(0)) == 2
    assert len(embedding.parameters()) == 6
    assert repr(embedding) == "Embedding(3, 2)"


def test_an_embedding_is_drawn_row_by_row() -> None:
    random.seed(3)
    drawn = [random.gauss(0.0, 1.0) for _ in range(6)]
    random.seed(3)
    assert [p.data for p in nn.Embedding(3, 2).parameters()] == drawn


@pytest.mark.parametrize(("index", "error"), [(3, IndexError), (-1, IndexError), (1.0, TypeError)])
def test_an_embedding_refuses_what_is_no_row(index: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        nn.Embedding(3, 2)(index)


def test_an_embedding_has_no_negative_size() -> None:
    with pytest.raises(ValueError, match="embedding_dim must be 0 or more, not -1"):
        nn.Embedding(1, -1)


# Sequential.


def test_sequential_calls_one_after_the_other() -> None:
    first, last = nn.Layer(2, 3, nonlin=False), nn.Layer(3, 1, nonlin=False)
    model = nn.Sequential(first, nn.Tanh(), last, tapegrad.sigmoid)
    expected = last([v.tanh() for v in first([1.0, -1.0])]).sigmoid()
    assert model([1.0, -1.0]).data == expected.data
    assert model.parameters() == [*first.parameters(), *last.parameters()]


def test_a_layer_after_a_layer_of_one_neuron_gets_its_value() -> None:
    model = nn.Sequential(nn.Neuron(2), nn.Tanh(), nn.Layer(1, 3), nn.MLP(3, [1]), nn.Layer(1, 2))
    assert len(model([1.0, 2.0])) == 2


def test_sequential_is_a_sequence() -> None:
    parts = [nn.Layer(1, 1), nn.ReLU(), nn.Layer(1, 1)]
    model = nn.Sequential(*parts[:2]).append(parts[2])
    assert len(model) == 3
    assert [*model] == parts
    assert model[-1] is parts[2]
    assert isinstance(model[:2], nn.Sequential)
    assert [*model[:2]] == parts[:2]
    assert repr(model[1:2]) == "Sequential(ReLU())"
    assert nn.Sequential()(5) == 5
    with pytest.raises(IndexError):
        model[3]
    with pytest.raises(TypeError, match=r"modules\[1\] must be a Module or a function, not 'int'"):
        nn.Sequential(nn.ReLU(), 3)  # type: ignore[arg-type]


def test_a_module_used_twice_has_its_parameters_once() -> None:
    layer = nn.Layer(2, 2)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    assert model.parameters() == layer.parameters()
    assert len(model.named_parameters()) == 6
    assert [*model.state_dict()][::4] == ["0.neurons.0.w", "2.neurons.0.w"]


def test_sequential_trains_copies_and_pickles() -> None:
    random.seed(2)
    model = nn.Sequential(
        nn.Embedding(4, 3), nn.Layer(3, 4, nonlin=False), nn.SiLU(), nn.Layer(4, 1)
    )
    optimizer = optim.Adam(model.parameters(), lr=0.05)

    def loss() -> Any:
        return sum((model(k) - k) ** 2 for k in range(4))

    first = loss().data
    for _ in range(100):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().data < 0.1 * first
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin(1).data == model(1).data


# Names and states.


class Attention(nn.Module):
    """A module of one's own, with attributes of all kinds."""

    def __init__(self) -> None:
        self.scale = Value(2.0)
        self.size = 3
        self.weight = ([Value(1.0), Value(2.0)], [Value(3.0)])
        self.heads: dict[str, Any] = {"left": nn.Neuron(1), "right": [Value(4.0), None, Value(5.0)]}
        self.empty: list[Value] = []
        self.cache = Value(7.0) * 2
        self.parent = self

    def parameters(self) -> list[Value]:
        left, right = self.heads["left"], self.heads["right"]
        rows: Any = [p for row in self.weight for p in row]
        return [self.scale, *rows, *left.parameters(), right[0], right[2]]


def test_parameters_have_the_dotted_names_of_their_attributes() -> None:
    model = nn.MLP(2, [2, 1])
    named = model.named_parameters()
    assert [name for name, _ in named][:4] == [
        "layers.0.neurons.0.w.0",
        "layers.0.neurons.0.w.1",
        "layers.0.neurons.0.b",
        "layers.0.neurons.1.w.0",
    ]
    assert [p for _, p in named] == model.parameters()


def test_names_go_through_lists_tuples_dicts_and_modules() -> None:
    module = Attention()
    names = [name for name, _ in module.named_parameters()]
    assert names[:4] == ["scale", "weight.0.0", "weight.0.1", "weight.1.0"]
    assert names[4:] == ["heads.left.w.0", "heads.left.b", "heads.right.0", "heads.right.2"]
    left = module.heads["left"]
    assert module.state_dict() == {
        "scale": 2.0,
        "weight": [[1.0, 2.0], [3.0]],
        "heads.left.w": [left.w[0].data],
        "heads.left.b": 0.0,
        "heads.right.0": 4.0,
        "heads.right.2": 5.0,
    }


MODELS = [
    lambda: nn.MLP(2, [3, 1]),
    lambda: nn.Sequential(nn.Embedding(2, 2), nn.Tanh(), nn.Layer(2, 1)),
    Attention,
]


@pytest.mark.parametrize("make", MODELS)
def test_a_state_dict_through_json_makes_the_twin_equal(make: Any) -> None:
    model, twin = make(), make()
    for k, p in enumerate(model.parameters()):
        p.data = k / 7
    saved = json.loads(json.dumps(model.state_dict()))
    values = twin.parameters()
    assert twin.load_state_dict(saved) == IncompatibleKeys([], [])
    assert [p.data for p in values] == [p.data for p in model.parameters()]
    assert twin.state_dict() == saved


def test_the_state_of_a_micrograd_network_is_a_list_for_each_neuron() -> None:
    model = nn.MLP(2, [2, 1])
    assert [(name, np.shape(x)) for name, x in model.state_dict().items()] == [
        ("layers.0.neurons.0.w", (2,)),
        ("layers.0.neurons.0.b", ()),
        ("layers.0.neurons.1.w", (2,)),
        ("layers.0.neurons.1.b", ()),
        ("layers.1.neurons.0.w", (2,)),
        ("layers.1.neurons.0.b", ()),
    ]


def test_arrays_and_their_scalars_load_as_lists_do() -> None:
    neuron = nn.Neuron(2)
    neuron.load_state_dict({"w": np.array([1.0, 2.0]), "b": np.float32(3.0)})
    assert [p.data for p in neuron.parameters()] == [1.0, 2.0, 3.0]


def test_a_state_that_does_not_fit_is_refused_by_name_or_passed_over() -> None:
    neuron = nn.Neuron(2)
    neuron.w = [Value(1.0), Value(2.0)]
    saved = {"w": [3.0, 4.0], "bias": 1.0}
    message = r"does not fit Neuron: missing \['b'\], unexpected \['bias'\]"
    with pytest.raises(RuntimeError, match=message):
        neuron.load_state_dict(saved)
    assert neuron.w[0].data == 1.0
    found = neuron.load_state_dict(saved, strict=False)
    assert (found.missing_keys, found.unexpected_keys) == (["b"], ["bias"])
    assert [p.data for p in neuron.parameters()] == [3.0, 4.0, 0.0]


@pytest.mark.parametrize(
    ("w", "error", "message"),
    [
        ([1.0], RuntimeError, r"state_dict\['w'\] must be a list of 2, not 1"),
        (1.0, RuntimeError, r"state_dict\['w'\] must be a list of 2, not 'float'"),
        ([1.0, [2.0]], TypeError, "must be a real number, not 'list'"),
        ([1.0, None], TypeError, "must be a real number, not 'NoneType'"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_state_of_another_shape_changes_nothing(
    w: Any, error: type[Exception], message: str, strict: bool
) -> None:
    neuron = nn.Neuron(2)
    before = neuron.state_dict()
    with pytest.raises(error, match=message):
        neuron.load_state_dict({"b": 5.0, "w": w}, strict=strict)
    assert neuron.state_dict() == before


def test_a_parameter_in_no_attribute_is_not_lost_without_a_word() -> None:
    class Hidden(nn.Module):
        def parameters(self) -> list[Value]:
            return [hidden]

    hidden = Value(1.0)
    for ask in (Hidden().state_dict, Hidden().named_parameters):
        with pytest.raises(RuntimeError, match="1 of the 1 parameters of Hidden are in none"):
            ask()


def test_what_is_no_parameter_has_no_name() -> None:
    class Frozen(nn.Neuron):
        def parameters(self) -> list[Value]:
            return [self.w[1]]

    neuron = Frozen(3)
    assert neuron.named_parameters() == [("w.1", neuron.w[1])]
    assert [*neuron.state_dict()] == ["w"]


def test_a_list_in_itself_does_no_harm() -> None:
    neuron: Any = nn.Neuron(1)
    neuron.odd = [1]
    neuron.odd.append(neuron.odd)
    neuron.endless = []
    neuron.endless.append(neuron.endless)
    assert [*neuron.state_dict()] == ["w", "b"]


def test_gradients_are_clipped_where_pytorch_has_it() -> None:
    assert nn.utils.clip_grad_norm_ is optim.clip_grad_norm_
    assert nn.utils.clip_grad_value_ is optim.clip_grad_value_
