"""User-defined derivative rules: `custom_vjp` and `custom_jvp`."""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
from collections.abc import Iterable, Sequence
from typing import Any, cast

from tapegrad import _core
from tapegrad.transforms._functions import Function, name_of, need_function
from tapegrad.transforms._pickling import named, remade
from tapegrad.transforms._tracing import Numbers
from tapegrad.transforms._wrapped import Transformed

__all__ = ["custom_jvp", "custom_vjp"]


class _Custom(Transformed):
    """A function with a user-defined rule; it passes arguments at `nondiff_argnums` unchanged."""

    __slots__ = ("_nondiff", "_parameters")

    def __init__(self, f: Function, nondiff_argnums: int | Sequence[int] = ()) -> None:
        need_function(f, f"{type(self).__name__}()")
        super().__init__(f)
        each = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else nondiff_argnums
        self._nondiff = tuple(operator.index(k) for k in each)
        self._parameters: inspect.Signature | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {name_of(self)}>"

    def _by_parts(self) -> tuple[Any, ...]:
        transform, options = self._remaking()
        rule = {name: named(rule) for name, rule in self._rules().items()}
        return remade, (transform, named(self.__wrapped__), options), (None, rule)

    def _remaking(self) -> tuple[str, dict[str, Any]]:
        return type(self).__name__, {"nondiff_argnums": self._nondiff}

    def _rules(self) -> dict[str, Any]:
        """Return the attributes that hold the rule, for pickles; empty if no rule is set."""
        raise NotImplementedError

    def _positional(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, ...]:
        """Return all arguments by position, with defaults, since rules take no keywords."""
        name = name_of(self.__wrapped__)
        if self._parameters is None:
            try:
                self._parameters = inspect.signature(self.__wrapped__)
            except (TypeError, ValueError):  # a function without a signature
                if keywords:
                    raise TypeError(
                        f"{name}() has a {type(self).__name__} and no signature: pass its "
                        f"arguments by position"
                    ) from None
                return args
        try:
            bound = self._parameters.bind(*args, **keywords)
        except TypeError as error:
            raise TypeError(f"{name}() {error}") from None
        if bound.kwargs:
            raise TypeError(
                f"{name}() has a {type(self).__name__}, which knows no keyword-only arguments: "
                f"{', '.join(bound.kwargs)}"
            )
        bound.apply_defaults()
        return bound.args

    def _fixed(self, count: int) -> set[int]:
        """Return the non-differentiable positions among `count` arguments, from 0 up."""
        for k in self._nondiff:
            if not -count <= k < count:
                raise TypeError(
                    f"{type(self).__name__}: nondiff_argnums has {k}, but {name_of(self)} has "
                    f"{count} argument{'s' if count != 1 else ''}"
                )
        return {k % count for k in self._nondiff}

    def _split(self, args: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
        """Split the arguments into the non-differentiable and the differentiable ones."""
        fixed = self._fixed(len(args))
        return (
            [args[k] for k in sorted(fixed)],
            [args[k] for k in range(len(args)) if k not in fixed],
        )

    def _joined(self, fixed: Sequence[Any], others: Sequence[Any]) -> list[Any]:
        count = len(fixed) + len(others)
        positions = self._fixed(count)
        fixed_ones, other_ones = iter(fixed), iter(others)
        return [next(fixed_ones if k in positions else other_ones) for k in range(count)]

    def _with_copies(
        self,
        recording: _core.Recording,
        fixed: list[Any],
        operands: Numbers,
        inputs: _core.TreeDef,
    ) -> tuple[Any, ...]:
        """The arguments with numbers of their own, as the function may also close over those."""
        return tuple(self._joined(fixed, inputs.unflatten(recording.copies(operands))))

    def _refuse_traces(self, fixed: list[Any], recording: _core.Recording) -> None:
        """Raise TypeError if a non-differentiable argument is traced.

        Its derivative would silently be 0. While a compiled function is recorded, all its numbers
        are traced, so only those that a transform differentiates with respect to count.
        """
        if not fixed:
            return
        numbers, _ = _core.flatten(fixed, "arguments", True)
        loses = recording.is_differentiated if recording.guarding else _core.is_traced
        if any(map(loses, numbers)):
            raise TypeError(
                f"{type(self).__name__}: an argument of {name_of(self)} at nondiff_argnums is a "
                f"traced number, and its derivative would be lost: pass float(stop_gradient(x)), "
                f"or remove its position from nondiff_argnums"
            )

    def _refuse_closure(
        self, recording: _core.Recording, outside: int, begin: int, values: Numbers
    ) -> None:
        """Raise TypeError if the function closes over a number that is differentiated.

        The rule has no cotangent or tangent for such a number.
        """
        if recording.closes_over(outside, begin, values):
            raise TypeError(
                f"{type(self).__name__}: {name_of(self.__wrapped__)} uses a number that is "
                f"differentiated and is no argument of it, and its rule would lose the derivative: "
                f"pass the number as an argument, or apply stop_gradient() to it"
            )

    def _operands(self, arguments: list[Any]) -> tuple[Numbers, _core.TreeDef]:
        return _core.flatten(
            tuple(arguments), f"the arguments of {name_of(self.__wrapped__)}", True
        )


class custom_vjp(_Custom):  # noqa: N801  # a decorator, as JAX's
    """A decorator for a function with a user-defined reverse-mode rule, as `jax.custom_vjp`.

    `defvjp(fwd, bwd)` sets the rule. `fwd` takes the arguments and returns a pair of the result
    and residuals. `bwd` takes the residuals and the cotangent of the result, and returns a tuple
    of a cotangent for each argument (None for zeros). `bwd` gets the arguments at
    `nondiff_argnums` first. The rule gets keyword arguments and defaults by position, as in JAX.

    Forward mode raises TypeError; use `custom_jvp` for it. Forward over reverse (`hessian`)
    differentiates `fwd` and `bwd` themselves. If only a first derivative is taken, both may convert
    numbers to floats, and so may call functions that accept floats only. A traced number at
    `nondiff_argnums` raises TypeError.

    >>> @custom_vjp
    ... def clipped(x, bound):
    ...     return x
    >>> clipped.defvjp(
    ...     lambda x, bound: (x, bound),
    ...     lambda bound, g: (max(-bound, min(bound, g)), None),
    ... )
    >>> grad(lambda x: 100.0 * clipped(x, 1.0))(2.0)
    1.0
    """

    __slots__ = ()

    _fwd = _bwd = cast("Function | None", None)

    def defvjp(self, fwd: Function, bwd: Function) -> None:
        """Set the rule: `fwd` and `bwd`, as the class describes them."""
        need_function(fwd, "custom_vjp: fwd")
        need_function(bwd, "custom_vjp: bwd")
        self._fwd, self._bwd = fwd, bwd

    def _rules(self) -> dict[str, Any]:
        return {"_fwd": self._fwd, "_bwd": self._bwd} if self._fwd is not None else {}

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        name = name_of(self.__wrapped__)
        recording = _core.Recording.current()
        if recording is None:
            return self.__wrapped__(*args, **keywords)
        if self._fwd is None or self._bwd is None:
            raise AttributeError(
                f"custom_vjp: {name} has no rule; set one with {name}.defvjp(fwd, bwd)"
            )
        args = self._positional(args, keywords)
        fixed, arguments = self._split(args)
        self._refuse_traces(fixed, recording)
        operands, inputs = self._operands(arguments)
        if not any(map(_core.is_traced, operands)):
            return self.__wrapped__(*args)
        outside = len(recording)
        args = self._with_copies(recording, fixed, operands, inputs)
        # The rule gives the first derivative, so `fwd` may convert numbers to floats.
        begin = len(recording)
        recording.begin_rule(True)
        try:
            answer = self._fwd(*args)
        finally:
            recording.end_rule()
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise TypeError(
                f"custom_vjp: the fwd of {name} must return a pair (result, residuals), "
                f"not {_kind_of(answer)}"
            )
        result, residuals = answer
        values, outputs = _core.flatten(result, f"custom_vjp: the result of {name}")
        self._refuse_closure(recording, outside, begin, values)
        bwd = self._bwd

        def pull(cotangents: Numbers, present: list[bool], record: bool) -> Numbers:
            given = bwd(*fixed, residuals, outputs.unflatten(cotangents))
            if not isinstance(given, tuple | list) or len(given) != len(arguments):
                raise TypeError(
                    f"custom_vjp: the bwd of {name} must return a tuple of {len(arguments)}, one "
                    f"cotangent for each argument, not {_kind_of(given)}"
                )
            return _cotangents(given, arguments, name)

        def push(tangents: Numbers, present: list[bool], record: bool) -> Numbers:
            raise TypeError(
                f"forward mode cannot differentiate {name}, which has a custom_vjp, a rule for "
                f"reverse mode only: use custom_jvp"
            )

        return outputs.unflatten(recording.rule(operands, values, pull, push, False))


class custom_jvp(_Custom):  # noqa: N801  # a decorator, as JAX's
    """A decorator for a function with a user-defined forward-mode rule, as `jax.custom_jvp`.

    `defjvp(rule)` sets the rule: `rule(primals, tangents)` takes two tuples and returns the result
    and its tangent. The tangent must be linear in `tangents`, since reverse mode transposes the
    rule. `defjvps` sets the rule from one function for each argument, called as
    `(tangent, result, *primals)`, or None for an argument that contributes nothing. For an argument
    that does not vary, `rule` gets tangents of 0, and the function given to `defjvps` is not
    called. The rule gets the arguments at `nondiff_argnums` first. The decorated function itself is
    never differentiated, so it may convert numbers to floats and call functions that accept floats
    only.

    >>> @custom_jvp
    ... def log1pexp(x):
    ...     return log(1.0 + exp(x))
    >>> log1pexp.defjvps(lambda t, y, x: t * (1.0 - 1.0 / (1.0 + exp(x))))
    >>> grad(log1pexp)(100.0)
    1.0
    """

    __slots__ = ()

    _rule = None  # type: Function | None
    # The functions that defjvps set, one for each argument; they replace _rule.
    _each = None  # type: tuple[Function | None, ...] | None

    def defjvp(self, rule: Function) -> Function:
        """Set the rule and return it, so that `defjvp` can be used as a decorator."""
        need_function(rule, "custom_jvp: a rule")
        self._rule, self._each = rule, None
        return rule

    def defjvps(self, *rules: Function | None) -> None:
        """Set the rule from one function for each argument, or None."""
        for rule in rules:
            if rule is not None:
                need_function(rule, "custom_jvp: a rule")
        self._rule, self._each = None, rules

    def _rules(self) -> dict[str, Any]:
        if self._each is not None:
            return {"_each": self._each}
        return {"_rule": self._rule} if self._rule is not None else {}

    def _of_each(self, fixed: list[Any], primals: Any, tangents: Any, vary: list[bool]) -> Any:
        """Apply the rule that `defjvps` set; an argument that does not vary adds nothing."""
        rules = self._each or ()
        if len(rules) != len(primals):
            raise TypeError(
                f"custom_jvp: {name_of(self.__wrapped__)} has {len(primals)} arguments, and "
                f"defjvps was given {len(rules)} functions"
            )
        result = self(*self._joined(fixed, primals))
        if all(each is None for each in rules):
            raise TypeError(f"custom_jvp: all rules of {name_of(self.__wrapped__)} are None")
        parts = [
            each(tangent, result, *primals)
            for each, tangent, varies in zip(rules, tangents, vary, strict=True)
            if each is not None and varies
        ]
        if not parts:
            numbers, structure = _core.flatten(result, "a result")
            return result, structure.unflatten([0.0] * len(numbers))
        return result, functools.reduce(_added, parts)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        name = name_of(self.__wrapped__)
        recording = _core.Recording.current()
        if recording is None:
            return self.__wrapped__(*args, **keywords)
        rule = self._rule
        if rule is None and self._each is None:
            raise AttributeError(
                f"custom_jvp: {name} has no rule; set one with {name}.defjvp(rule)"
            )
        args = self._positional(args, keywords)
        fixed, arguments = self._split(args)
        self._refuse_traces(fixed, recording)
        operands, inputs = self._operands(arguments)
        if not any(map(_core.is_traced, operands)):
            return self.__wrapped__(*args)
        outside = len(recording)
        args = self._with_copies(recording, fixed, operands, inputs)
        # The rule gives derivatives of every order.
        begin = len(recording)
        recording.begin_rule(False)
        try:
            result = self.__wrapped__(*args)
        finally:
            recording.end_rule()
        values, outputs = _core.flatten(result, f"custom_jvp: the result of {name}")
        self._refuse_closure(recording, outside, begin, values)

        def push(tangents: Numbers, present: list[bool], record: bool) -> Numbers:
            primals, directions = tuple(arguments), inputs.unflatten(tangents)
            if rule is None:
                vary = _any_of_each(arguments, present)
                answer = self._of_each(fixed, primals, directions, vary)
            else:
                answer = rule(*fixed, primals, directions)
            if not isinstance(answer, tuple) or len(answer) != 2:
                raise TypeError(
                    f"custom_jvp: the rule of {name} must return a pair (result, tangent), "
                    f"not {_kind_of(answer)}"
                )
            _, given = _core.flatten(answer[0], f"custom_jvp: the rule's result of {name}")
            if given != outputs:
                raise TypeError(
                    f"custom_jvp: the result that the rule of {name} returns must have the "
                    f"structure of its result"
                )
            slopes, structure = _core.flatten(answer[1], f"custom_jvp: the tangent of {name}")
            if structure != outputs:
                raise TypeError(
                    f"custom_jvp: the tangent of {name} must have the structure of its result"
                )
            return slopes

        def pull(cotangents: Numbers, present: list[bool], record: bool) -> Numbers:
            current = _core.Recording.current()
            assert current is not None
            tangents = current.inputs([0.0] * len(operands), 1)
            try:
                slopes = push(tangents, [True] * len(tangents), record)
            finally:
                current.close_transforms(1)
            return current.reverse(tangents, slopes, cotangents, record, 0, present)

        return outputs.unflatten(recording.rule(operands, values, pull, push))


def _cotangents(given: Iterable[Any], arguments: list[Any], name: str) -> Numbers:
    """Return the numbers of the arguments' cotangents in one list, with zeros for None."""
    all_numbers: Numbers = []
    for k, (cotangent, argument) in enumerate(zip(given, arguments, strict=True)):
        wanted, structure = _core.flatten(argument, f"argument {k}", True)
        if cotangent is None:
            all_numbers += [0.0] * len(wanted)
            continue
        numbers, found = _core.flatten(cotangent, f"custom_vjp: cotangent {k} of {name}", True)
        if not found.nests_as(structure):
            raise TypeError(
                f"custom_vjp: cotangent {k} of {name} must have the structure of argument {k}"
            )
        all_numbers += numbers
    return all_numbers


def _any_of_each(arguments: list[Any], present: list[bool]) -> list[bool]:
    """Return for each argument True if any of its numbers is present."""
    there = iter(present)
    counts = [len(_core.flatten(argument, "an argument", True)[0]) for argument in arguments]
    return [any(list(itertools.islice(there, count))) for count in counts]


def _added(x: Any, y: Any) -> Any:
    """Return the sum of two pytrees of the same structure."""
    ours, structure = _core.flatten(x, "a tangent")
    theirs, other = _core.flatten(y, "a tangent")
    if structure != other:
        raise TypeError("custom_jvp: the functions given to defjvps must return one structure")
    return structure.unflatten([a + b for a, b in zip(ours, theirs, strict=True)])


def _kind_of(answer: object) -> str:
    if isinstance(answer, tuple | list):
        return f"a {type(answer).__name__} of {len(answer)}"
    return "None" if answer is None else f"a {type(answer).__name__}"
