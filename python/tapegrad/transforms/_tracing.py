"""The open recording of a transform, and the variables in it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from tapegrad import _core

_close = _core.close_recording
Numbers = list[Any]


class Trace:
    """A context manager for one transform: this thread's open recording, or a new one.

    `nested` is True if an outer transform opened the recording; results then stay traced numbers,
    since the outer transform may differentiate them. `order` is the number of derivatives taken
    one after the other with respect to the trace's variables. A number that depends on them cannot
    be converted to a float until `end` has been called `order` times or the block has ended.
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
        """Make a variable for each number in a pytree; `name()` is its name in messages."""
        if type(tree) is float:
            numbers, structure = [tree], _NUMBER
        else:
            numbers, structure = _core.flatten(tree, name())
        variables = self.recording.inputs(numbers, self.order)
        self.open = self.order
        return Variables(variables, structure)

    def end(self) -> None:
        """Note that the function has returned and its derivative is about to be taken."""
        # The derivative of an outermost transform of order 1 is floats: nothing to guard any more.
        if self.nested or self.order > 1:
            self.recording.close_transforms(1)
            self.open -= 1

    def outcome(self, tree: object) -> Any:
        """Return a result for the caller: unchanged in a nested trace, otherwise as floats."""
        if self.nested:
            return tree
        numbers, structure = _core.flatten(tree, "the result", True)
        return structure.unflatten([_core.primal(number) for number in numbers])


_NUMBER = _core.flatten(0.0, "a number")[1]


class Variables:
    """The variables of a pytree, and its structure."""

    __slots__ = ("numbers", "structure")

    def __init__(self, numbers: Numbers, structure: _core.TreeDef) -> None:
        self.numbers = numbers
        self.structure = structure

    def tree(self) -> Any:
        return self.like(self.numbers)

    def like(self, numbers: Numbers) -> Any:
        """Return a pytree of the same structure that holds `numbers`."""
        return numbers[0] if self.structure is _NUMBER else self.structure.unflatten(numbers)
