"""What transforms have in common: a recording that is open, variables, and results."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, SupportsIndex

from tapegrad import _core

Function = Callable[..., Any]
Numbers = list[Any]


class Trace:
    """This thread's open recording, or one that is open for as long as the trace is entered.

    `nested` says that somebody else opened it: results then stay traced numbers, since they may
    be differentiated again. `order` is how many derivatives are taken by its variables, one after
    the other: a number that depends on them is not converted to a float until `end` was called as
    often, or the trace is left.
    """

    __slots__ = ("nested", "open", "order", "recording")

    def __init__(self, order: int = 1) -> None:
        self.order = order
        self.open = 0

    def __enter__(self) -> Trace:
        recording = _core.Recording.current()
        self.nested = recording is not None
        self.recording = _core.Recording() if recording is None else recording
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.nested:
            self.recording.close()
        elif self.open:
            self.recording.close_transforms(self.open)

    def vary(self, tree: object, name: Callable[[], str]) -> Variables:
        """The tree with a variable for each number in it. `name` is what messages call it."""
        if type(tree) is float:
            numbers, structure = [tree], _NUMBER
        else:
            numbers, structure = _core.flatten(tree, name())
        variables = self.recording.inputs(numbers, self.order)
        self.open = self.order
        return Variables(variables, structure)

    def end(self) -> None:
        """Says that the function has returned: the next derivative is being taken."""
        # Where it is the last of all, derivatives are floats, and nothing is asked any more.
        if self.nested or self.order > 1:
            self.recording.close_transforms(1)
            self.open -= 1

    def outcome(self, tree: object) -> Any:
        """A result as the caller gets it: floats, or in a nested trace as it is."""
        if self.nested:
            return tree
        numbers, structure = _core.flatten(tree, "the result", True)
        return structure.unflatten([_core.primal(number) for number in numbers])


_NUMBER = _core.flatten(0.0, "a number")[1]


class Variables:
    """Variables and how they are nested."""

    __slots__ = ("numbers", "structure")

    def __init__(self, numbers: Numbers, structure: _core.Structure) -> None:
        self.numbers = numbers
        self.structure = structure

    def tree(self) -> Any:
        return self.like(self.numbers)

    def like(self, numbers: Numbers) -> Any:
        """A tree of the same structure with other numbers in it."""
        return numbers[0] if self.structure is _NUMBER else self.structure.unflatten(numbers)


class Chosen:
    """The arguments that a transform differentiates by, as `argnums` chooses them."""

    __slots__ = ("one", "positions", "transform")

    def __init__(self, argnums: int | Sequence[int], transform: str) -> None:
        self.transform = transform
        self.one = isinstance(argnums, SupportsIndex)
        each = (argnums,) if isinstance(argnums, SupportsIndex) else argnums
        try:
            self.positions = tuple(operator.index(position) for position in each)
        except TypeError:
            raise TypeError(
                f"{transform}(): argnums must be an int or a sequence of ints, not {argnums!r}"
            ) from None
        if not self.positions:
            raise ValueError(f"{transform}(): argnums is empty: nothing to differentiate by")

    @property
    def argnums(self) -> int | tuple[int, ...]:
        return self.positions[0] if self.one else self.positions

    def apply(
        self,
        trace: Trace,
        f: Function,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        has_aux: bool,
    ) -> tuple[Variables, Any, Any]:
        """Variables for the chosen arguments, and what `f` returns of them: result and aux."""
        variables, varied = self._vary(trace, args, f)
        result = f(*varied, **keywords)
        trace.end()
        return (variables, *split_aux(result, has_aux, self.transform, f))

    def _vary(
        self, trace: Trace, args: tuple[Any, ...], f: Function
    ) -> tuple[Variables, Sequence[Any]]:
        positions = self._among(args, f)

        def name() -> str:
            return f"{self.transform}(): argument {positions[0]} of {name_of(f)}"

        if self.one:
            variables = trace.vary(args[positions[0]], name)
            made = (variables.tree(),)
        else:
            variables = trace.vary(
                tuple(args[k] for k in positions),
                lambda: f"{self.transform}(): the arguments of {name_of(f)}",
            )
            made = variables.tree()
        if not variables.numbers:
            raise TypeError(f"{name()} has no number to differentiate by")
        if len(args) == 1:
            return variables, made
        varied = list(args)
        for k, argument in zip(positions, made, strict=True):
            varied[k] = argument
        return variables, varied

    def _among(self, args: tuple[Any, ...], f: Function) -> Sequence[int]:
        count = len(args)
        if self.one and 0 <= self.positions[0] < count:
            return self.positions
        for k in self.positions:
            if not -count <= k < count:
                raise TypeError(
                    f"{self.transform}(): argnums has {k}, but {name_of(f)} was called with "
                    f"{count} positional argument{'s' if count != 1 else ''}"
                )
        positions = [k % count for k in self.positions]
        if len(set(positions)) < len(positions):
            raise ValueError(
                f"{self.transform}(): argnums names an argument twice: {self.positions}"
            )
        return positions


@functools.lru_cache
def _chosen(position: int, transform: str) -> Chosen:
    return Chosen(position, transform)


def chosen(argnums: int | Sequence[int], transform: str) -> Chosen:
    """As `Chosen`, which is made once for an int."""
    return _chosen(argnums, transform) if type(argnums) is int else Chosen(argnums, transform)


def need_function(f: Any, transform: str = "a transform") -> None:
    """Raises TypeError where `f` cannot be called."""
    if not callable(f):
        raise TypeError(f"{transform} is for functions, not '{type(f).__name__}'")


def name_of(f: Function) -> str:
    """What messages call a function."""
    return getattr(f, "__name__", None) or type(f).__name__


def scalar(result: object, transform: str, f: Function) -> Any:
    """The result of a function that must be one number."""
    if _core.is_traced(result):
        return result
    numbers, structure = _core.flatten(result, f"{transform}(): the result of {name_of(f)}", True)
    marker = object()
    if structure.shapes not in ([None], [()]) or structure.rebuild([marker]) is not marker:
        raise TypeError(
            f"{transform}() is for functions that return one number; {name_of(f)} returned "
            f"{described(result, structure)}"
        )
    return numbers[0]


def described(result: object, structure: _core.Structure) -> str:
    """What a result is, for messages."""
    if result is None:
        return "None"
    shapes = structure.shapes
    if len(shapes) == 1 and shapes[0] is not None and hasattr(result, "shape"):
        return f"an array of shape {shapes[0]}"
    return f"a {type(result).__name__}"


def split_aux(result: Any, has_aux: bool, transform: str, f: Function) -> tuple[Any, Any]:
    """The result and the auxiliary data, of a function that returns a pair of these."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"{transform}(): with has_aux=True {name_of(f)} must return a pair (result, aux), "
            f"not {'None' if result is None else 'a ' + type(result).__name__}"
        )
    return result
