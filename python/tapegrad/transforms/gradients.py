"""Gradients of functions: `grad`, `value_and_grad` and `stop_gradient`."""

from __future__ import annotations

from typing import Any

from tapegrad import _core
from tapegrad.transforms._argnums import Argnums
from tapegrad.transforms._derivative import Derivative, derivative_of
from tapegrad.transforms._functions import Function, scalar
from tapegrad.transforms._tracing import Trace

__all__ = ["grad", "stop_gradient", "value_and_grad"]


def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Return a function that returns the value of `f` and its gradient.

    Parameters:
        f: a function that returns one number, or with `has_aux` a pair of a number and auxiliary
            data.
        argnums: the position, or a sequence of positions, of the arguments to differentiate with
            respect to. They are pytrees of numbers, in which ints count as floats. The gradient
            has the structure and shapes of the argument; for a sequence it is a tuple of these.
        has_aux: if true, the function returns `((value, aux), gradient)`.

    The function passes keyword arguments on to `f` as constants. It raises TypeError if `f` returns
    anything but a number, if a chosen argument holds anything but numbers, and if the call does not
    have the positions in `argnums`.

    >>> value_and_grad(lambda x, y: x * y**2, argnums=(0, 1))(2.0, 3.0)
    (18.0, (9.0, 12.0))
    """
    return derivative_of(ValueAndGradient, "value_and_grad", f, argnums, has_aux)


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Return a function that returns the gradient of `f`, or `(gradient, aux)` with `has_aux`.

    Parameters and errors are those of `value_and_grad`.

    >>> grad(grad(lambda x: x**3))(2.0)
    12.0
    >>> grad(lambda p: p["w"] * p["x"][1])({"w": 2.0, "x": [1.0, 4.0]})
    {'w': 4.0, 'x': [0.0, 2.0]}
    """
    return derivative_of(Gradient, "grad", f, argnums, has_aux)


class Gradient(Derivative):
    """The function that `grad` returns."""

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
    """The function that `value_and_grad` returns."""

    __slots__ = ()

    _with_value = True


def stop_gradient(x: Any) -> Any:
    """Return `x`, a pytree of numbers, as constants: derivatives with respect to `x` are 0.

    The result may be converted to a float even where `x` may not. For a `Value` it is a new leaf
    with the same data.

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
