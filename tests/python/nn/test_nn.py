"""tapegrad.nn is micrograd.nn: same parameters, same random numbers, same losses."""

from __future__ import annotations

import copy
import math
import pickle
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from numpy.polynomial import Polynomial

import tapegrad
from support.pure_micrograd import PureNetwork
from tapegrad import Value
from tapegrad.nn import MLP, Layer, Module, Neuron


def spiral(rows: int) -> list[tuple[list[float], int]]:
    """Points of two interleaved arms, labelled -1 and 1."""
    arms = []
    for i in range(rows):
        angle, sign = 0.4 * i, 1 - 2 * (i % 2)
        point = [sign * 0.1 * i * math.cos(angle), sign * 0.1 * i * math.sin(angle)]
        arms.append((point, sign))
    return arms


def max_margin_losses(model: Any, rows: list[tuple[list[float], int]], steps: int) -> list[float]:
    """Micrograd's demo: hinge loss with regularisation, descent with a falling rate."""
    losses = []
    for k in range(steps):
        hinge = [(1 + -label * model(point)).relu() for point, label in rows]
        loss = sum(hinge) * (1.0 / len(hinge)) + 1e-4 * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= (1.0 - 0.9 * k / steps) * p.grad
        losses.append(loss.data)
    return losses


def squared_losses(model: Any, rows: list[tuple[list[float], int]], steps: int) -> list[float]:
    """The lecture: a sum of squared errors and a fixed rate."""
    losses = []
    for _ in range(steps):
        loss = sum((model(point) - label) ** 2 for point, label in rows)
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.01 * p.grad
        losses.append(loss.data)
    return losses


@pytest.mark.parametrize(
    ("nonlin", "train"), [("relu", max_margin_losses), ("tanh", squared_losses)]
)
def test_training_agrees_with_pure_python_step_by_step(
    nonlin: str, train: Callable[..., list[float]]
) -> None:
    random.seed(1337)
    expected = train(PureNetwork(2, [8, 8, 1], nonlin), spiral(20), 40)
    random.seed(1337)
    found = train(MLP(2, [8, 8, 1], nonlin=nonlin), spiral(20), 40)
    assert found == pytest.approx(expected, rel=1e-9)
    assert expected[-1] < expected[0]


def test_weights_are_drawn_neuron_by_neuron_and_biases_are_zero() -> None:
    random.seed(5)
    drawn = [random.uniform(-1, 1) for _ in range(2 * 3 + 3 * 1)]
    random.seed(5)
    model = MLP(2, [3, 1])
    assert [w.data for layer in model.layers for n in layer.neurons for w in n.w] == drawn
    assert [n.b.data for layer in model.layers for n in layer.neurons] == [0.0] * 4


def test_parameters_are_weights_then_bias_layer_by_layer() -> None:
    model = MLP(2, [2, 1])
    (first, second), (last,) = (layer.neurons for layer in model.layers)
    expected = [*first.w, first.b, *second.w, second.b, *last.w, last.b]
    assert all(found is p for found, p in zip(model.parameters(), expected, strict=True))


def test_a_module_of_ones_own_has_its_parameters_zeroed() -> None:
    class Shift(Module):
        def __init__(self) -> None:
            self.by = Value(1.0)

        def parameters(self) -> list[Value]:
            return [self.by]

    shift = Shift()
    (shift.by * 3).backward()
    assert shift.by.grad == 3.0
    shift.zero_grad()
    assert shift.by.grad == 0.0
    assert Module().parameters() == []


def test_a_neuron_adds_its_products_to_the_bias_in_order() -> None:
    neuron = Neuron(3, nonlin=False)
    neuron.w = [Value(1.0), Value(1e16), Value(1.0)]
    neuron.b = Value(1.0)
    assert neuron([1.0, 1.0, -1e16]).data == ((1.0 + 1.0) + 1e16) - 1e16


@pytest.mark.parametrize(
    ("nonlin", "output", "shown"),
    [
        (True, 0.0, "ReLUNeuron(1)"),
        (1, 0.0, "ReLUNeuron(1)"),
        ("relu", 0.0, "ReLUNeuron(1)"),
        ("tanh", math.tanh(-2.0), "TanHNeuron(1)"),
        (False, -2.0, "LinearNeuron(1)"),
        (0, -2.0, "LinearNeuron(1)"),
        (None, -2.0, "LinearNeuron(1)"),
        ("linear", -2.0, "LinearNeuron(1)"),
        (Value.exp, math.exp(-2.0), "expNeuron(1)"),
        (lambda v: v * v, 4.0, "<lambda>Neuron(1)"),
    ],
)
def test_nonlin_chooses_what_a_neuron_does_and_shows(
    nonlin: Any, output: float, shown: str
) -> None:
    neuron = Neuron(1, nonlin=nonlin)
    neuron.w[0].data = 2.0
    assert neuron([-1.0]).data == pytest.approx(output)
    assert repr(neuron) == shown
    assert neuron.nonlin is nonlin


def test_nonlin_may_be_a_numpy_truth() -> None:
    numpy = pytest.importorskip("numpy")
    assert repr(Neuron(1, nonlin=numpy.float64(1) > 2)) == "LinearNeuron(1)"


def test_nonlin_may_change_later() -> None:
    neuron = Neuron(1)
    neuron.nonlin = "tanh"
    assert repr(neuron) == "TanHNeuron(1)"
    neuron.nonlin = False
    assert repr(neuron) == "LinearNeuron(1)"


def test_an_unknown_nonlin_is_named() -> None:
    with pytest.raises(ValueError, match=r"'gleu'.*'relu', 'tanh', 'linear'"):
        Neuron(2, nonlin="gleu")
    with pytest.raises(TypeError, match="not list"):
        Layer(2, 2, nonlin=[1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not float"):
        MLP(2, [2, 1], nonlin=0.5)  # type: ignore[arg-type]


def test_hidden_layers_take_the_choice_and_the_last_stays_linear() -> None:
    assert repr(MLP(2, [2, 1, 1], nonlin="tanh")) == (
        "MLP of [Layer of [TanHNeuron(2), TanHNeuron(2)], "
        "Layer of [TanHNeuron(2)], Layer of [LinearNeuron(1)]]"
    )
    assert repr(MLP(1, [1, 1])) == "MLP of [Layer of [ReLUNeuron(1)], Layer of [LinearNeuron(1)]]"


def test_one_output_is_a_value_and_several_are_a_list() -> None:
    assert isinstance(Layer(2, 1)([1.0, 2.0]), Value)
    assert [type(v) for v in MLP(2, [4, 3])([1.0, 2.0])] == [Value] * 3


def test_a_hidden_layer_may_have_one_neuron() -> None:
    assert isinstance(MLP(2, [1, 1])([1.0, 2.0]), Value)


def test_inputs_may_be_numbers_values_or_an_iterator() -> None:
    neuron = Neuron(2)
    neuron.w = [Value(2.0), Value(3.0)]
    assert neuron([1.0, 1.0]).data == 5.0
    assert neuron((Value(1.0), Value(1.0))).data == 5.0
    assert neuron(iter([1, 1])).data == 5.0
    assert isinstance(MLP(2, [2, 1])(iter([1, 1])), Value)


def test_the_wrong_number_of_inputs_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"ReLUNeuron\(2\) takes 2 inputs, not 3"):
        Neuron(2)([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="takes 2 inputs, not 1"):
        MLP(2, [4, 1])([1.0])


@pytest.mark.parametrize("nonlin", [True, "tanh", Value.exp])
def test_a_network_can_be_copied_and_pickled(nonlin: Any) -> None:
    model = MLP(2, [3, 1], nonlin=nonlin)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin([0.5, -1.0]).data == model([0.5, -1.0]).data
        assert twin.parameters()[0] is not model.parameters()[0]


def test_the_package_offers_nn() -> None:
    assert tapegrad.nn.MLP is MLP


def test_a_layer_is_its_neurons_one_by_one() -> None:
    random.seed(3)
    inputs = [Value(0.5), -1.25, Value(2.0)]
    for nonlin in (True, False, "tanh", lambda v: v.exp()):
        layer = Layer(3, 4, nonlin=nonlin)
        outputs = layer(inputs)
        alone = [neuron(inputs) for neuron in layer.neurons]
        assert [o.data for o in outputs] == [a.data for a in alone]
        sum(o * k for k, o in enumerate(outputs, 1)).backward()
        together = [p.grad for p in layer.parameters()]
        layer.zero_grad()
        sum(a * k for k, a in enumerate(alone, 1)).backward()
        assert together == pytest.approx([p.grad for p in layer.parameters()], rel=1e-14)


def test_a_layer_asks_neurons_that_differ_each_by_itself() -> None:
    class Doubled(Neuron):
        def __call__(self, x: Any) -> Value:
            return super().__call__(x) * 2.0

    layer = Layer(1, 3, nonlin=False)
    layer.neurons[1] = Doubled(1, nonlin=False)
    layer.neurons[2].nonlin = "tanh"
    for neuron in layer.neurons:
        neuron.w, neuron.b = [Value(3.0)], Value(1.0)
    assert [o.data for o in layer([2.0])] == [7.0, 14.0, math.tanh(7.0)]


def test_a_layer_of_a_program_s_own_numbers_asks_its_neurons() -> None:
    layer = Layer(1, 2, nonlin=False)
    for neuron in layer.neurons:
        neuron.w, neuron.b = [Fraction(1, 3)], Fraction(2)  # type: ignore[list-item, assignment]
    assert layer([Polynomial([0, 3])]) == [Polynomial([2, 1])] * 2


def test_a_layer_says_what_is_wrong_as_a_neuron_does() -> None:
    layer = Layer(1, 2)
    with pytest.raises(ValueError, match=r"ReLUNeuron\(1\) takes 1 inputs, not 2"):
        layer([1.0, 2.0])
    with pytest.raises(TypeError, match="Value"):
        layer(["x"])
