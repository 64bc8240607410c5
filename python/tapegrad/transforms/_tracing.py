"""What transforms have in common: a recording that is open, and variables in it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from tapegrad import _core

_close = _core.close_recording
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
            _close(self.recording)
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
