"""Products of Jacobians and Hessians with vectors: `vjp`, `jvp` and `hvp`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from threading import RLock
from typing import Any, overload

from tapegrad import _core
from tapegrad.transforms._argnums import chosen
from tapegrad.transforms._functions import Function, name_of, need_function, split_aux
from tapegrad.transforms._tracing import Numbers, Trace, Variables
from tapegrad.transforms._wrapped import Bound, Transformed
from tapegrad.transforms.compiled import Compiled, derived, replays, split_method
from tapegrad.transforms.gradients import Gradient, grad

__all__ = ["hvp", "jvp", "vjp"]


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return `f(*primals)` and the function that computes vector-Jacobian products there.

    That function takes a cotangent of the structure of the result and returns a tuple of a
    cotangent for each of the primals. With `has_aux`, `f` returns a pair of the result and
    auxiliary data, which `vjp` returns as a third element.

    Raises TypeError for a primal or a result that holds anything but numbers; the function raises
    TypeError for a cotangent of another structure.

    >>> y, pull = vjp(lambda x, y: (x * y, x + y), 2.0, 3.0)
    >>> y, pull((1.0, 0.0)), pull((0.0, 1.0))
    ((6.0, 5.0), (3.0, 2.0), (1.0, 1.0))
    """
    need_function(f)
    function, instance = split_method(f)
    plain = has_aux or _core.Recording.current() is not None or _core.some_mode_is_on()
    if replays(function) and not plain:
        return _vjp_of_compiled(function, instance, primals)
    with Trace() as trace:
        variables = trace.vary(primals, lambda: f"vjp(): the primals of {name_of(f)}")
        result, aux = split_aux(f(*variables.tree()), has_aux, "vjp", f)
        numbers, structure = _core.flatten(result, f"vjp(): the result of {name_of(f)}")
        value = trace.outcome(structure.unflatten(numbers))
        aux = trace.outcome(aux) if has_aux else None

    # The Python code of a custom rule runs in the recording; other threads must not sweep then.
    try:
        lock = RLock()
    except RuntimeError:  # so CPython says that there is no memory for it
        raise MemoryError from None

    def pull(cotangent: Any) -> Any:
        weights = _like(cotangent, structure, "the cotangent", "the result")
        # Plain weights need no recording: the sweep reads a trace that may have ended.
        record = _core.Recording.current() is not None and (
            trace.nested or any(map(_core.is_traced, weights))
        )
        with lock:
            adjoints = trace.recording.reverse(variables.numbers, numbers, weights, record)
        return variables.like(adjoints)

    return (value, pull, aux) if has_aux else (value, pull)


def _vjp_of_compiled(
    f: Compiled, instance: tuple[Any, ...], primals: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return what `vjp` returns, by replays: of the value now, of the product on each call."""
    args = (*instance, *primals)
    fixed = _fixed(f, len(instance), len(args))
    free = tuple(x for k, x in enumerate(args) if k not in fixed)
    # Copied now, since the program may change its lists and arrays before it calls `pull`.
    numbers, structure = _core.flatten(free, f"vjp(): the primals of {name_of(f)}")
    args = _joined(args, fixed, structure.unflatten(numbers))
    pulled = derived(f, ("vjp", fixed), lambda g: Pulled(g, fixed), _shifted(f, 1), floating=None)

    def pull(cotangent: Any) -> Any:
        # For a plain function the recording exists already, so no_grad has no effect on `pull`.
        suspended = _core.suspend_no_grad() if _core.some_mode_is_on() else 0
        try:
            slopes = iter(pulled(cotangent, *args))
        finally:
            _core.resume_no_grad(suspended)
        return tuple(None if k in fixed else next(slopes) for k in range(len(instance), len(args)))

    return f(*args), pull


def _fixed(f: Function, first: int, count: int) -> tuple[int, ...]:
    """Return the positions of constants: those below `first` (an instance) and static arguments."""
    statics = f._options[2][0] if replays(f) else ()
    return tuple(sorted({*range(first), *(k % count for k in statics if -count <= k < count)}))


def _shifted(f: Compiled, by: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the static arguments of `f`, their positions shifted by `by` arguments before them."""
    positions, names = f._options[2]
    return tuple(k + by if k >= 0 else k for k in positions), names


def _joined(args: Sequence[Any], fixed: Sequence[int], free: Sequence[Any]) -> tuple[Any, ...]:
    """Return the arguments, with those not at `fixed` positions replaced by `free`."""
    others = iter(free)
    return tuple(x if k in fixed else next(others) for k, x in enumerate(args))


class Along(Transformed):
    """The base of functions that take a cotangent, or tangents, before another's arguments."""

    __slots__ = ("fixed", "has_aux")

    def __init__(self, f: Function, fixed: tuple[int, ...], has_aux: bool = False) -> None:
        Transformed.__init__(self, f)
        self.fixed = fixed
        self.has_aux = has_aux

    def _vary(
        self, trace: Trace, transform: str, primals: tuple[Any, ...]
    ) -> tuple[Variables, tuple[Any, ...]]:
        free = tuple(x for k, x in enumerate(primals) if k not in self.fixed)
        variables = trace.vary(
            free, lambda: f"{transform}(): the primals of {name_of(self.__wrapped__)}"
        )
        return variables, _joined(primals, self.fixed, variables.tree())


class Pulled(Along):
    """A function that returns the arguments' cotangents for a cotangent of the result."""

    __slots__ = ()

    def __call__(self, cotangent: Any, *primals: Any) -> Any:
        f = self.__wrapped__
        with Trace() as trace:
            variables, varied = self._vary(trace, "vjp", primals)
            result = f(*varied)
            trace.end()
            numbers, structure = _core.flatten(result, f"vjp(): the result of {name_of(f)}")
            weights = _like(cotangent, structure, "the cotangent", "the result")
            adjoints = trace.recording.reverse(variables.numbers, numbers, weights, trace.nested)
            return variables.like(adjoints)


class Pushed(Along):
    """A function that returns the result and its tangent for tangents of the arguments."""

    __slots__ = ()

    def __call__(self, tangents: Any, *primals: Any) -> Any:
        f, has_aux = self.__wrapped__, self.has_aux
        with Trace() as trace:
            variables, varied = self._vary(trace, "jvp", primals)
            direction = _like(tangents, variables.structure, "tangents", "primals")
            result, aux = split_aux(f(*varied), has_aux, "jvp", f)
            trace.end()
            numbers, structure = _core.flatten(result, f"jvp(): the result of {name_of(f)}")
            [tangent] = trace.recording.forward(
                variables.numbers, [direction], numbers, trace.nested
            )
            value = trace.outcome(structure.unflatten(numbers))
            slope = structure.unflatten(tangent)
            return (value, slope, trace.outcome(aux)) if has_aux else (value, slope)


def jvp(
    f: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """Return `f(*primals)` and its Jacobian-vector product with `tangents`.

    `primals` and `tangents` are sequences of one entry for each argument, a tangent having the
    structure of its primal. With `has_aux`, `f` returns a pair of the result and auxiliary data,
    which `jvp` returns as a third element.

    Raises TypeError for tangents of another structure than the primals, and for a primal or a
    result that holds anything but numbers.

    >>> jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 10.0))
    (6.0, 23.0)
    """
    primals, tangents = _tuple_of(primals, "primals"), _tuple_of(tangents, "tangents")
    known: Any = f
    if type(f) is Compiled and (kept := known._derived.get(("jvp", has_aux))) is not None:
        both: tuple[Any, ...] = kept(tangents, *primals)
        return both
    need_function(f)
    function, instance = split_method(f)
    if not replays(function):
        both = Pushed(f, (), has_aux)(tangents, *primals)
        return both
    args = (*instance, *primals)
    fixed = _fixed(function, len(instance), len(args))
    if fixed:
        tangents = _free_tangents(tangents, fixed, len(instance), len(args))
    # Without static arguments, one function serves any number of arguments.
    any_number = not instance and not function._options[2][0]
    both = derived(
        function,
        ("jvp", has_aux) if any_number else ("jvp", has_aux, fixed),
        lambda g: Pushed(g, fixed, has_aux),
        _shifted(function, 1),
        floating=None,
    )(tangents, *args)
    return both


def _free_tangents(
    tangents: tuple[Any, ...], fixed: tuple[int, ...], first: int, count: int
) -> tuple[Any, ...]:
    """Return the tangents without those of static arguments, which must be None."""
    if len(tangents) != count - first:
        return tangents  # the caller raises for their number
    for k in fixed:
        if k >= first and tangents[k - first] is not None:
            raise TypeError(
                f"jvp(): argument {k - first} is static: its tangent must be None, not "
                f"'{type(tangents[k - first]).__name__}'"
            )
    return tuple(t for k, t in enumerate(tangents, first) if k not in fixed)


@overload
def hvp(f: Function, primals: None = None, tangents: None = None) -> Function: ...


@overload
def hvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> Any: ...


def hvp(
    f: Function, primals: Sequence[Any] | None = None, tangents: Sequence[Any] | None = None
) -> Any:
    """Return the product of the Hessian of `f` with a vector, without forming the Hessian.

    `hvp(f, primals, tangents)` returns the product at `primals` with `tangents`, one entry for each
    argument, for the gradient with respect to the first argument. `hvp(f)` returns the function
    `(x, p, *args)` of the first argument, a vector of its structure, and the other arguments, which
    is what SciPy's `hessp` takes. The product is computed forward over reverse and costs a few
    evaluations of `f`, whatever the number of inputs.

    Raises TypeError if only one of `primals` and `tangents` is given; other errors are those of
    `jvp` and `grad`.

    >>> hvp(lambda x: x[0] ** 2 * x[1], ([2.0, 3.0],), ([1.0, 0.0],))
    [6.0, 4.0]
    >>> hvp(lambda x: x[0] ** 2 * x[1])([2.0, 3.0], [1.0, 0.0])
    [6.0, 4.0]
    """
    if primals is not None and tangents is not None:
        return jvp(grad(f), primals, tangents)[1]
    if primals is not None or tangents is not None:
        missing = "primals" if primals is None else "tangents"
        raise TypeError(f"hvp(): {missing} is missing: give both primals and tangents, or neither")
    need_function(f)
    function, instance = split_method(f)
    if not replays(function):
        return HessianProduct(f)
    at = len(instance)
    positions, names = function._options[2]
    made = derived(
        function,
        ("hvp", at),
        lambda g: HessianProduct(g, at),
        (tuple(k + 1 if k > at else k for k in positions), names),
        floating=(at, at + 1),
    )
    return Bound(made, *instance) if instance else made


class HessianProduct(Transformed):
    """The function `(x, p, *args)` that `hvp(f)` returns; `at` is the position of `x`."""

    __slots__ = ("at",)

    def __init__(self, f: Function, at: int = 0) -> None:
        Transformed.__init__(self, f)
        self.at = at

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        f, at = self.__wrapped__, self.at
        if len(args) < at + 2:
            raise TypeError(
                f"hvp(): the product for {name_of(f)} takes a point and a direction, and then the "
                f"other arguments of {name_of(f)}; {len(args)} were given"
            )
        before, x, p, rest = args[:at], args[at], args[at + 1], args[at + 2 :]
        slopes = Gradient(f, chosen(at, "hvp"), False)
        return jvp(lambda y: slopes(*before, y, *rest, **keywords), (x,), (p,))[1]

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.__wrapped__)
        parameters = list(signature.parameters.values())
        direction = inspect.Parameter("p", inspect.Parameter.POSITIONAL_ONLY)
        before = [each.replace(kind=direction.kind) for each in parameters[: self.at + 1]]
        return signature.replace(parameters=[*before, direction, *parameters[self.at + 1 :]])

    def _remaking(self) -> tuple[str, dict[str, Any]]:
        return "hvp", {"at": self.at} if self.at else {}


def _like(tree: object, wanted: _core.TreeDef, what: str, other: str) -> Numbers:
    """Return the numbers of a pytree; raises TypeError unless its structure is `wanted`."""
    numbers, structure = _core.flatten(tree, what)
    if structure != wanted:
        raise TypeError(f"{what} must have the structure and shapes of {other}")
    return numbers


def _tuple_of(arguments: Sequence[Any], name: str) -> tuple[Any, ...]:
    if type(arguments) is tuple:
        return arguments
    if not isinstance(arguments, tuple | list):
        raise TypeError(
            f"{name} must be a tuple or list with one entry for each argument, "
            f"not {type(arguments).__name__}"
        )
    return tuple(arguments)
