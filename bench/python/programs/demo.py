"""micrograd's demo: a network of 2-16-16-1 neurons, a hinge loss on 100 points, a penalty."""

from __future__ import annotations

import random
from collections.abc import Sequence
from operator import mul
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from bench.python.peers.base import Functions, Program

__all__ = ["Network", "build", "data", "loss", "start"]

Data: TypeAlias = tuple[list[tuple[float, float]], list[int]]

WIDTHS = (16, 16, 1)


def start() -> list[float]:
    """The first parameters, neuron by neuron: its weights, then its bias."""
    source = random.Random(1337)
    parameters: list[float] = []
    for inputs, neurons in zip((2, *WIDTHS), WIDTHS):
        for _ in range(neurons):
            parameters += [source.uniform(-1, 1) for _ in range(inputs)]
            parameters.append(0.0)
    return parameters


def data(count: int = 100) -> Data:
    """Points in the plane, and on which side of a parabola they lie."""
    source = random.Random(7)
    points = [(source.uniform(-1, 2), source.uniform(-1, 1)) for _ in range(count)]
    return points, [1 if x * x + y > 0.5 else -1 for x, y in points]


class Network:
    """A multi-layer perceptron over any numbers, its sums written as micrograd's nn has them."""

    def __init__(self, numbers: Sequence[Any], functions: Functions) -> None:
        self.relu = functions.relu
        rest = iter(numbers)
        self.layers = []
        for inputs, neurons in zip((2, *WIDTHS), WIDTHS):
            self.layers.append(
                [([next(rest) for _ in range(inputs)], next(rest)) for _ in range(neurons)]
            )

    def neuron(self, weights: list[Any], bias: Any, x: list[Any]) -> Any:
        return sum((wi * xi for wi, xi in zip(weights, x)), bias)

    def __call__(self, x: list[Any]) -> Any:
        relu, neuron = self.relu, self.neuron
        assert relu is not None
        *hidden, last = self.layers
        for layer in hidden:
            x = [relu(neuron(weights, bias, x)) for weights, bias in layer]
        weights, bias = last[0]
        return neuron(weights, bias, x)


class MappedNetwork(Network):
    """The same with sums as tapegrad's nn has them."""

    def neuron(self, weights: list[Any], bias: Any, x: list[Any]) -> Any:
        return sum(map(mul, weights, x), bias)


def library_network(nn: Any, numbers: Sequence[Any]) -> Any:
    """The peer's own nn.MLP, with these parameters."""
    model = nn.MLP(2, list(WIDTHS))
    rest = iter(numbers)
    for layer in model.layers:
        for neuron in layer.neurons:
            neuron.w = [next(rest) for _ in neuron.w]
            neuron.b = next(rest)
    return model


def build(numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
    """The loss of all points: the peer's own nn where it has one, unless the variant says not.

    Variants: "summed" and "mapped" choose this module's networks.
    """
    model: Any
    if "mapped" in variant.split():
        model = MappedNetwork(numbers, functions)
    elif functions.nn is None or "summed" in variant.split():
        model = Network(numbers, functions)
    else:
        model = library_network(functions.nn, numbers)
    return loss(model, numbers, functions, data())


def loss(model: Any, numbers: Sequence[Any], functions: Functions, data: Data) -> Program:
    """The hinge loss of points with targets, and the penalty on the model's numbers."""
    points, targets = data
    number, relu = functions.number, functions.relu
    assert relu is not None

    def program() -> Any:
        inputs = [list(map(number, point)) for point in points]
        scores = list(map(model, inputs))
        losses = [relu(1 + -target * score) for target, score in zip(targets, scores)]
        data_loss = sum(losses) * (1.0 / len(losses))
        return data_loss + 1e-4 * sum((p * p for p in numbers))

    return program
