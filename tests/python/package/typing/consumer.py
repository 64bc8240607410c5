"""A program as a user would write it, for type checkers: nothing here may be an error.

`assert_type` fails where a checker infers another type. The program also runs.
"""

from __future__ import annotations

import copy
import math
import pickle
import random
import sys
from fractions import Fraction

import numpy as np
import numpy.typing as npt

import tapegrad
from tapegrad import Value, dot, exp, graph, maximum, nn, optim, tanh

if sys.version_info >= (3, 11):
    from typing import assert_type
else:
    from typing_extensions import assert_type


def neuron(weights: list[Value], inputs: list[float], bias: Value) -> Value:
    """The lecture's neuron."""
    return tanh(dot(weights, inputs) + bias)


def softened(x: Value | float) -> Value | float:
    """Code for Values and plain numbers alike."""
    return tapegrad.softplus(x) / (1 + exp(-x))


class Parameter(Value):
    """A Value with more to it."""

    def __init__(self, data: float) -> None:
        super().__init__(data)
        self.momentum = 0.0


def make_values() -> None:
    """Every dialect's spelling."""
    a = Value(2)
    b = Value(np.float32(-3.0), label="b")
    micrograd = Value(a.data * b.data, (a, b), "*")
    microgpt = Value(a.data * b.data, (a, b), (b.data, a.data))
    named = Value(Fraction(1, 3), children=[a, b], local_grads=[1, 0.5])
    assert_type(micrograd._prev, set[Value])
    assert_type(microgpt._children, tuple[Value, ...])
    assert_type(microgpt._local_grads, tuple[float, ...])
    assert_type(named._op, str)


def define_operation(x: Value) -> Value:
    """A new operation with a backward function of its own."""
    out = Value(math.cosh(x.data), (x,), "my cosh")

    def backward() -> None:
        x.grad += math.sinh(x.data) * out.grad

    out._backward = backward
    out._backward()
    return out


def calculate() -> None:
    """Operators, methods and functions, with numbers on either side."""
    a, b = Value(2.0), Value(-3.0)
    assert_type(a + b, Value)
    assert_type(1 - a, Value)
    assert_type(a * 2.5, Value)
    assert_type(Fraction(1, 2) / a, Value)
    assert_type(a**2, Value)
    assert_type(2**a, Value)
    assert_type(-a, Value)
    assert_type(abs(b), Value)
    assert_type(np.float64(2.0) * a, Value)
    assert_type(a * np.int64(2), Value)
    assert_type(a < b, bool)
    assert_type(a >= 0, bool)
    assert_type(max(a, b), Value)
    assert_type(sorted([a, b]), list[Value])
    assert_type(a.exp().arcsinh().hypot(b).clip(-1, b), Value)
    assert_type(a.leaky_relu(), Value)
    assert_type(exp(a), Value)
    assert_type(exp(2), float)
    assert_type(exp(np.float32(2)), float)
    assert_type(maximum(1.0, a), Value)
    assert_type(maximum(1.0, 2), float)
    assert_type(tapegrad.arctan2(a, 2), Value)
    assert_type(tapegrad.clip(0, -1, a), Value)
    assert_type(tapegrad.sum([a, b]), Value)
    assert_type(tapegrad.sum(x * x for x in (1.0, 2.0)), float)
    tapegrad.sum([a, 1.0]).backward()
    dot([a, 1.0], [1.0, b]).backward()
    assert_type(dot([a, b], [1.0, 2.0]), Value)
    assert_type(dot([1, 2], [3, 4]), float)
    assert_type(sum([a, b], Value(0)), Value)
    assert_type(softened(a), Value | float)
    array = np.array([a, b])
    (array * a + np.ones(2) * b - a * np.ones(2))[0].backward()


def train() -> float:
    """Gradient descent by hand."""
    random.seed(1)
    weights = [Parameter(random.uniform(-1, 1)) for _ in range(3)]
    bias = Value(0.0)
    loss = Value(0.0)
    for _ in range(20):
        out = neuron([*weights], [1.0, 2.0, -1.0], bias)
        loss = (out - 0.5) ** 2
        loss.zero_grad()
        loss.backward()
        for parameter in (*weights, bias):
            parameter.data -= 0.1 * parameter.grad
            parameter.grad = 0
        weights[0].momentum *= 0.9
    assert_type(loss.data, float)
    return loss.data


def optimize() -> float:
    """Gradient descent by an optimizer, on a network of parts; many Values at once."""
    model = nn.Sequential(nn.Embedding(3, 2), nn.Layer(2, 4), nn.LeakyReLU(), nn.Layer(4, 1))
    layers: list[Value] = [p for _, p in model.named_parameters()]
    optimizer = optim.SGD([{"params": layers[:6], "lr": 0.2}, {"params": layers[6:]}], momentum=0.9)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=10)

    def closure() -> Value:
        optimizer.zero_grad()
        loss: Value = (model(1) - 1.0) ** 2
        loss.backward()
        assert_type(optim.clip_grad_norm_(model.parameters(), 1.0), float)
        return loss

    for _ in range(20):
        optimizer.step(closure)
        scheduler.step()
    optim.AdamW(model.named_parameters(), betas=(0.8, 0.9)).load_state_dict(
        optim.AdamW(layers).state_dict()
    )
    model.load_state_dict(model.state_dict(), strict=False)
    weights = [layers[:2], layers[2:4]]
    data = tapegrad.get_data(weights)
    assert_type(data, npt.NDArray[np.float64])
    tapegrad.set_data(weights, data - 0.1 * tapegrad.get_grad(weights, out=np.zeros((2, 2))))
    tapegrad.set_grad(layers, 0)
    assert_type(nn.Tanh()(layers[0]), Value)
    assert_type(scheduler.get_last_lr(), list[float])
    return closure().data


def use_layers() -> None:
    """Lists of Values from Values, of floats from numbers; a mixture can be used as Values."""
    w, x = [[Value(1.0), Value(2.0)]], [Value(3.0), Value(4.0)]
    assert_type(tapegrad.linear(w, x), list[Value])
    assert_type(tapegrad.linear(w, [1.0, 2], b=[0.5]), list[Value])
    assert_type(tapegrad.matvec([[1, 2.0]], [3.0, 4]), list[float])
    assert_type(tapegrad.softmax(x), list[Value])
    assert_type(tapegrad.rmsnorm(x, eps=0.1), list[Value])
    assert_type(tapegrad.layernorm([1.0, 2.0]), list[float])
    tapegrad.layernorm([x[0], 1.0], weight=x)[0].backward()
    assert_type(tapegrad.mse_loss(x, [1.0, 2.0]), Value)
    assert_type(tapegrad.hinge_loss(x, [1, -1], reduction="none"), list[Value])
    assert_type(tapegrad.cross_entropy(x, 1), Value)
    assert_type(tapegrad.cross_entropy([x, x], [0, 1]), Value)
    assert_type(tapegrad.cross_entropy([[1.0, 2.0]], [0], reduction="none"), list[float])


def use_the_rest() -> None:
    """Networks, graphs, copies, the anomaly check."""
    model = nn.MLP(2, [4, 1])
    model.zero_grad()
    assert_type(model.parameters(), list[Value])
    out: Value = model([1.0, -2.0])
    with tapegrad.detect_anomaly():
        out.backward(seed=2.0)
    order = graph.topological_sort(out)
    assert_type(order, list[Value])
    assert_type(copy.copy(out), Value)
    assert_type(copy.deepcopy(out), Value)
    again = pickle.loads(pickle.dumps(out))
    print(f"{out:.3f}", again, out.label, tapegrad.__version__)
    tapegrad.install_as_micrograd()


if __name__ == "__main__":
    make_values()
    calculate()
    define_operation(Value(0.5)).backward()
    print(train(), optimize())
    use_layers()
    use_the_rest()
