"""`grad` and `value_and_grad`, and `stop_gradient`."""

from __future__ import annotations

from typing import Any

from tapegrad import _core
from tapegrad.transforms._argnums import Argnums
from tapegrad.transforms._derivative import Derivative, derivative_of
from tapegrad.transforms._functions import Function, scalar
from tapegrad.transforms._tracing import Trace

__all__ = ["grad", "stop_gradient", "value_and_grad"]


def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns what `f` returns, and its gradient.

    `f` returns one number, or with `has_aux` a pair of it and anything else. `argnums` chooses the
    arguments to differentiate by; the gradient has the structure and shapes of that argument, or is
    a tuple of such for a sequence of positions. Ints count as floats. Keyword arguments are passed
    on.

    Raises TypeError for an `f` that returns anything but a number, for an argument that holds
    anything else, and for positions that the call does not have.

    >>> value_and_grad(lambda x, y: x * y**2, argnums=(0, 1))(2.0, 3.0)
    (18.0, (9.0, 12.0))
    """
    return derivative_of(ValueAndGradient, "value_and_grad", f, argnums, has_aux)


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradient of `f`, or with `has_aux` a pair of it and the rest.

    Arguments, structure and errors are `value_and_grad`'s.

    >>> grad(grad(lambda x: x**3))(2.0)
    12.0
    >>> grad(lambda p: p["w"] * p["x"][1])({"w": 2.0, "x": [1.0, 4.0]})
    {'w': 4.0, 'x': [0.0, 2.0]}
    """
    return derivative_of(Gradient, "grad", f, argnums, has_aux)


class Gradient(Derivative):
    """A function that returns the gradient of another."""

    __slots__ = ()

    _with_value = False

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        f, chosen, has_aux = self.__wrapped__, self.chosen, self.has_aux
        with Trace() as trace:
            variables, result, aux = chosen.apply(trace, f, args, keywords, has_aux)
            value = scalar(result, chosen.transform, f)
            adjoints = trace.recording.reverse(variables.numbers, [value], [1.0], trace.nested)
            slopes = variables.like(adjoints)
            if has_aux:
                aux = trace.outcome(aux)
            if not self._with_value:
                return (slopes, aux) if has_aux else slopes
            value = value if trace.nested else _core.primal(value)
            return ((value, aux) if has_aux else value), slopes


class ValueAndGradient(Gradient):
    """The same with the value before it."""

    __slots__ = ()

    _with_value = True


def stop_gradient(x: Any) -> Any:
    """`x`, a tree of numbers, as a constant: nothing is differentiated through it.

    So it may be converted to a float where `x` itself may not. Of a `Value`, a new one without
    operands.

    >>> grad(lambda x: x * stop_gradient(x))(3.0)
    3.0
    >>> grad(lambda x: x * float(stop_gradient(x)))(3.0)
    3.0
    """
    if isinstance(x, _core.Value):
        return _core.Value(x.data)
    numbers, structure = _core.flatten(x, "stop_gradient(): x", True)
    recording = _core.Recording.current()
    return structure.unflatten(numbers if recording is None else recording.stopped(numbers))
