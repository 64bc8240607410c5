"""The base class of the functions that transforms return, and their construction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tapegrad.transforms._argnums import Argnums, Chosen, chosen
from tapegrad.transforms._functions import Function, need_function
from tapegrad.transforms._wrapped import Bound, Transformed
from tapegrad.transforms.compiled import Compiled, derived, replays, split_method

__all__ = ["Derivative", "derivative_of"]


class Derivative(Transformed):
    """A function that a transform made of another, with the same arguments."""

    __slots__ = ("chosen", "has_aux")

    def __init__(self, f: Function, chosen: Chosen, has_aux: bool) -> None:
        Transformed.__init__(self, f)
        self.chosen = chosen
        self.has_aux = has_aux

    @property
    def _floating(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.chosen.positions

    def _remaking(self) -> tuple[str, dict[str, Any]]:
        return self.chosen.transform, {"argnums": self.chosen.argnums, "has_aux": self.has_aux}


_Kind = TypeVar("_Kind", bound=Derivative)


def derivative_of(
    kind: Callable[..., _Kind],
    transform: str,
    f: Function,
    argnums: Argnums,
    has_aux: bool,
    *options: Any,
    compiled: type[Compiled] = Compiled,
) -> Function:
    """Return the function that a transform makes of `f`, a `kind(f, chosen, has_aux, *options)`.

    For a compiled `f` it is a compiled function, and the same object each time.
    """
    if type(f) is Bound:
        function, instance = split_method(f)
        if instance:
            chosen_ones = chosen(argnums, transform)
            shifted = tuple(k + 1 if k >= 0 else k for k in chosen_ones.positions)
            made = derivative_of(
                kind,
                transform,
                function,
                shifted[0] if chosen_ones.one else shifted,
                has_aux,
                *options,
                compiled=compiled,
            )
            return Bound(made, *instance)
    if not replays(f):
        need_function(f)
        return kind(f, chosen(argnums, transform), has_aux, *options)
    if type(argnums) is int:
        found: Compiled | None = f._derived.get((kind, argnums, has_aux, *options))
        if found is not None:
            return found
    chosen_ones = chosen(argnums, transform)
    return derived(
        f,
        (kind, chosen_ones.argnums, has_aux, *options),
        lambda g: kind(g, chosen_ones, has_aux, *options),
        kind=compiled,
    )
