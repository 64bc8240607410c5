"""The base class of modules, and the names and saving of their parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from tapegrad import _core
from tapegrad._core import Value

__all__ = ["IncompatibleKeys", "Module"]

# A Value, or Values in lists and tuples of any depth.
Array: TypeAlias = Any
Named: TypeAlias = Iterable[tuple[str, Any]]


class IncompatibleKeys(NamedTuple):
    """The names that load_state_dict(strict=False) ignored."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """The base class of neurons, layers and networks: an object with parameters.

    A subclass defines parameters(). A parameter's name is derived from the attribute that holds
    it: a Value, a Module, or lists, tuples and dicts of these.

    >>> Module().parameters()
    []
    """

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero."""
        for p in self.parameters():
            p.grad = 0.0

    def parameters(self) -> list[Value]:
        """Return the Values to train, always in the same order."""
        return []

    def named_parameters(self) -> list[tuple[str, Value]]:
        """Return pairs of a dotted name and a parameter, in the order of attributes.

        Each parameter occurs once. Raises RuntimeError for a parameter that no attribute holds.

        >>> from tapegrad.nn import MLP
        >>> [name for name, _ in MLP(1, [1]).named_parameters()]
        ['layers.0.neurons.0.w.0', 'layers.0.neurons.0.b']
        """
        wanted = set(map(id, self.parameters()))
        found: dict[int, tuple[str, Value]] = {}
        for name, array in self._named_arrays():
            for place, p in _values_in(array):
                if id(p) in wanted:
                    found.setdefault(id(p), (name + place, p))
        return list(found.values())

    def state_dict(self) -> dict[str, Any]:
        """Return the data of all parameters by dotted name, as floats and lists of floats.

        A list of Values is one entry. JSON can represent the result. Raises RuntimeError for a
        parameter that no attribute holds.

        >>> from tapegrad.nn import Neuron
        >>> neuron = Neuron(2)
        >>> neuron.w = [Value(0.5), Value(-1.5)]
        >>> neuron.state_dict()
        {'w': [0.5, -1.5], 'b': 0.0}
        """
        return {name: _numbers(array) for name, array in self._named_arrays()}

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Set the parameters to the numbers of a state that state_dict() returned.

        Arrays may take the place of lists. Raises RuntimeError for a list of another length and, if
        `strict`, for missing or unexpected names; otherwise such names are ignored and returned. No
        parameter has changed after an error.
        """
        arrays = dict(self._named_arrays())
        missing = [name for name in arrays if name not in state_dict]
        unexpected = [name for name in state_dict if name not in arrays]
        if strict and (missing or unexpected):
            kind = type(self).__name__
            raise RuntimeError(
                f"state_dict does not fit {kind}: missing {missing}, unexpected {unexpected}"
            )
        pairs = [
            pair
            for name, array in arrays.items()
            if name in state_dict
            for pair in _paired(name, array, state_dict[name])
        ]
        _core.write_data([p for p, _ in pairs], [number for _, number in pairs])
        return IncompatibleKeys(missing, unexpected)

    def _named_children(self) -> Named:
        """Return pairs of a name and an object in which to look for parameters."""
        return vars(self).items()

    def _named_arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield the dotted name and the array of each array of Values with parameters in it."""
        wanted = set(map(id, self.parameters()))
        missing = set(wanted)
        for name, array in _arrays_in("", self, ()):
            values = [id(p) for _, p in _values_in(array)]
            if wanted.isdisjoint(values):
                continue
            missing.difference_update(values)
            yield name, array
        if missing:
            raise RuntimeError(
                f"{len(missing)} of the {len(wanted)} parameters of {type(self).__name__} are in "
                "none of its attributes, and so have no name"
            )


def _arrays_in(name: str, found: object, above: tuple[object, ...]) -> Iterator[tuple[str, Array]]:
    """Yield the arrays of Values inside `found`; `above` are the objects that contain it."""
    if _is_array(found):
        yield name, found
        return
    if any(found is one for one in above):  # a module that knows its parent
        return
    for key, child in _children_of(found):
        yield from _arrays_in(f"{name}.{key}" if name else key, child, (*above, found))


def _children_of(found: object) -> Named:
    if isinstance(found, Module):
        return found._named_children()
    if isinstance(found, dict):
        return [(str(key), child) for key, child in found.items()]
    if isinstance(found, (list, tuple)):
        return [(str(k), child) for k, child in enumerate(found)]
    return ()


def _is_array(found: object, depth: int = 0) -> bool:
    if isinstance(found, (list, tuple)) and depth < 32:  # a list may hold itself
        return len(found) > 0 and all(_is_array(item, depth + 1) for item in found)
    return isinstance(found, Value)


def _values_in(array: Array) -> Iterator[tuple[str, Value]]:
    if isinstance(array, Value):
        yield "", array
        return
    for k, item in enumerate(array):
        for place, value in _values_in(item):
            yield f".{k}{place}", value


def _numbers(array: Array) -> Any:
    return array.data if isinstance(array, Value) else [_numbers(item) for item in array]


def _paired(name: str, array: Array, saved: Any) -> Iterator[tuple[Value, Any]]:
    """Yield each Value of an array with its saved number."""
    if hasattr(saved, "tolist"):  # a NumPy array or a PyTorch tensor
        saved = saved.tolist()
    if isinstance(array, Value):
        yield array, saved
        return
    if not isinstance(saved, (list, tuple)) or len(saved) != len(array):
        given = f"{len(saved)}" if isinstance(saved, (list, tuple)) else f"'{type(saved).__name__}'"
        raise RuntimeError(f"state_dict[{name!r}] must be a list of {len(array)}, not {given}")
    for k, (item, number) in enumerate(zip(array, saved, strict=True)):
        yield from _paired(f"{name}.{k}", item, number)
