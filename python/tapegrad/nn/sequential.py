"""A sequence of modules as one module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from tapegrad._core import Value
from tapegrad.nn.module import Module, Named
from tapegrad.nn.network import MLP, Layer, Neuron

__all__ = ["Sequential"]

Part: TypeAlias = Module | Callable[[Any], Any]


class Sequential(Module):
    """A sequence of modules or functions, each called with the output of the one before.

    Names of parameters begin with the index of their module: "0.neurons.1.w". Raises TypeError for
    an object that is not callable.

    >>> from tapegrad.nn import Layer, Tanh
    >>> model = Sequential(Layer(2, 4, nonlin=False), Tanh(), Layer(4, 1, nonlin=False))
    >>> len(model.parameters()), type(model([1.0, -1.0]))
    (17, <class 'tapegrad.Value'>)
    """

    def __init__(self, *modules: Part) -> None:
        self._parts: list[Any] = []
        for module in modules:
            self.append(module)

    def append(self, module: Part) -> Sequential:
        """Add a module or function at the end, and return this Sequential."""
        if not callable(module):
            kind = type(module).__name__
            raise TypeError(f"modules[{len(self)}] must be a Module or a function, not '{kind}'")
        self._parts.append(module)
        return self

    def __call__(self, x: Any) -> Any:
        """Return the output of the last module."""
        for part in self._parts:
            # A layer of one neuron returns a Value, but the next layer takes a list.
            wants_list = isinstance(part, (Neuron, Layer, MLP))
            x = part([x] if wants_list and isinstance(x, Value) else x)
        return x

    def parameters(self) -> list[Value]:
        """Return the distinct parameters of the modules, in order."""
        modules = [part for part in self._parts if isinstance(part, Module)]
        return list({id(p): p for module in modules for p in module.parameters()}.values())

    def _named_children(self) -> Named:
        return [(str(k), part) for k, part in enumerate(self._parts)]

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts)

    def __getitem__(self, place: int | slice) -> Any:
        """Return the module at an index, or a Sequential of the modules in a slice."""
        if isinstance(place, slice):
            return Sequential(*self._parts[place])
        return self._parts[place]

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self._parts))})"
