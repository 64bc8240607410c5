"""The choice of the arguments that a transform differentiates with respect to (`argnums`)."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, cast

from tapegrad.transforms._functions import Function, name_of, split_aux
from tapegrad.transforms._tracing import Trace, Variables

Argnums = int | Sequence[int]


class Chosen:
    """The positions of the arguments that a transform differentiates with respect to."""

    __slots__ = ("one", "positions", "transform")

    def __init__(self, argnums: int | Sequence[int], transform: str) -> None:
        self.transform = transform
        # isinstance(argnums, SupportsIndex) takes microseconds where it is false.
        self.one = hasattr(argnums, "__index__")
        each = cast("Sequence[int]", (argnums,) if self.one else argnums)
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
        """Call `f` with variables in place of the chosen arguments.

        Returns the variables, the result of `f`, and its auxiliary data (None without `has_aux`).
        """
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


_made: dict[tuple[int, str], Chosen] = {}


def chosen(argnums: int | Sequence[int], transform: str) -> Chosen:
    """Return `Chosen(argnums, transform)`, cached if `argnums` is a small int."""
    if type(argnums) is not int:
        return Chosen(argnums, transform)
    made = _made.get((argnums, transform))
    if made is None:
        made = Chosen(argnums, transform)
        if -16 <= argnums <= 16:
            _made[argnums, transform] = made
    return made
