"""micrograd's networks: Neuron, Layer and MLP."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import mul
from typing import Any, TypeAlias

from tapegrad._core import Value, linear
from tapegrad.nn.module import Module

__all__ = ["MLP", "Layer", "Neuron"]

Nonlin: TypeAlias = bool | str | Callable[[Value], Value] | None


# These call methods rather than Value.relu and Value.tanh, since other types of numbers have them.
def _relu(x: Value) -> Value:
    return x.relu()


def _tanh(x: Value) -> Value:
    return x.tanh()


_ACTIVATIONS: dict[str, tuple[str, Callable[[Value], Value] | None]] = {
    "relu": ("ReLU", _relu),
    "tanh": ("TanH", _tanh),
    "linear": ("Linear", None),
}


def _activation(nonlin: Nonlin) -> tuple[str, Callable[[Value], Value] | None]:
    """Return the name in reprs and the function of a `nonlin`; None stands for the identity."""
    if isinstance(nonlin, str):
        if nonlin not in _ACTIVATIONS:
            known = ", ".join(map(repr, _ACTIVATIONS))
            raise ValueError(
                f"nonlin is {nonlin!r}: it must be one of {known}, True, False or a callable"
            )
        return _ACTIVATIONS[nonlin]
    if callable(nonlin):
        return getattr(nonlin, "__name__", type(nonlin).__name__), nonlin
    # Equality, not type: comparisons of NumPy numbers give np.True_.
    if nonlin is None or (isinstance(nonlin, Hashable) and nonlin in (True, False)):
        return _ACTIVATIONS["relu" if nonlin else "linear"]
    kind = type(nonlin).__name__
    raise TypeError(f"nonlin must be True, False, None, a name or a callable, not {kind}")


class Neuron(Module):
    """A neuron: a non-linearity of the weighted sum of `nin` inputs plus a bias.

    The weights are drawn from `random.uniform(-1, 1)`, and the bias is 0. `nonlin` is True or
    "relu", "tanh", or a callable from Value to Value. A linear neuron has False, None or "linear".

    Raises ValueError for an unknown name, and TypeError for any other object that is not callable.

    >>> Neuron(2)
    ReLUNeuron(2)
    >>> Neuron(3, nonlin="tanh")
    TanHNeuron(3)
    """

    def __init__(self, nin: int, nonlin: Nonlin = True) -> None:
        self.nonlin = nonlin
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0)

    @property
    def nonlin(self) -> Nonlin:
        """The non-linearity as given to the constructor; it may be assigned."""
        return self._nonlin

    @nonlin.setter
    def nonlin(self, nonlin: Nonlin) -> None:
        self._name, self._activate = _activation(nonlin)
        self._nonlin = nonlin

    def __call__(self, x: Iterable[Any]) -> Value:
        """Return the neuron's output for the inputs `x`.

        Raises ValueError unless there are as many inputs as weights.

        >>> neuron = Neuron(2, nonlin=False)
        >>> neuron.w = [Value(2.0), Value(3.0)]
        >>> neuron([1.0, 10.0])
        Value(data=32.0)
        """
        weights = self.w
        inputs: Any = x
        try:
            count = len(inputs)
        except TypeError:
            inputs = list(x)
            count = len(inputs)
        if count != len(weights):
            raise ValueError(f"{self!r} takes {len(weights)} inputs, not {count}")
        total: Value = sum(map(mul, weights, inputs), self.b)
        activate = self._activate
        if activate is _relu:  # the usual case, with one Python call less
            return total.relu()
        return total if activate is None else activate(total)

    def parameters(self) -> list[Value]:
        """Return the weights, then the bias."""
        return [*self.w, self.b]

    def __repr__(self) -> str:
        return f"{self._name}Neuron({len(self.w)})"


class Layer(Module):
    """A layer of `nout` neurons with the same `nin` inputs; keywords are passed to each Neuron.

    >>> Layer(2, 2, nonlin=False)
    Layer of [LinearNeuron(2), LinearNeuron(2)]
    """

    def __init__(self, nin: int, nout: int, **kwargs: Nonlin) -> None:
        self.neurons = [Neuron(nin, **kwargs) for _ in range(nout)]

    def __call__(self, x: Iterable[Any]) -> Any:
        """Return a list of the neurons' outputs, or the output itself if there is one neuron."""
        inputs: Any = x if hasattr(x, "__len__") else list(x)
        outputs = self._at_once(inputs)
        if outputs is None:
            outputs = [neuron(inputs) for neuron in self.neurons]
        return outputs[0] if len(outputs) == 1 else outputs

    def _at_once(self, inputs: Any) -> list[Any] | None:
        """Return the outputs by one call of `linear`, or None if that does not apply.

        It applies if all neurons are plain Neurons of one activation and `linear` takes the inputs.
        """
        neurons = self.neurons
        if len(neurons) < 2 or len(inputs) != len(neurons[0].w):
            return None
        activate = neurons[0]._activate
        for neuron in neurons:
            if type(neuron) is not Neuron or neuron._activate is not activate:
                return None
        try:
            totals = linear([n.w for n in neurons], inputs, [n.b for n in neurons])
        except (TypeError, ValueError):  # the neurons handle it, or raise a better message
            return None
        if activate is _relu:  # the usual case, with one Python call less
            return [total.relu() for total in totals]
        return totals if activate is None else list(map(activate, totals))

    def parameters(self) -> list[Value]:
        """Return the parameters of the neurons, neuron by neuron."""
        return [p for neuron in self.neurons for p in neuron.parameters()]

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(repr, self.neurons))}]"


class MLP(Module):
    """A multi-layer perceptron with `nin` inputs and layers of `nouts` neurons, the last linear.

    `nonlin` is the non-linearity of the hidden layers, as in Neuron.

    >>> MLP(2, [2, 1], nonlin="tanh")
    MLP of [Layer of [TanHNeuron(2), TanHNeuron(2)], Layer of [LinearNeuron(2)]]
    """

    def __init__(self, nin: int, nouts: Sequence[int], *, nonlin: Nonlin = True) -> None:
        sizes = [nin, *nouts]
        hidden = [nonlin] * (len(nouts) - 1)
        self.layers = [
            Layer(before, after, nonlin=choice)
            for before, after, choice in zip(sizes, nouts, [*hidden, False], strict=False)
        ]

    def __call__(self, x: Iterable[Any]) -> Any:
        """Return the outputs of the last layer: a list, or one Value if it has one neuron."""
        signal: Any = x
        for layer in self.layers:
            # A layer of one neuron returns a Value, not a list.
            signal = layer(signal if hasattr(signal, "__iter__") else [signal])
        return signal

    def parameters(self) -> list[Value]:
        """Return the parameters of the layers, layer by layer."""
        return [p for layer in self.layers for p in layer.parameters()]

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(repr, self.layers))}]"
