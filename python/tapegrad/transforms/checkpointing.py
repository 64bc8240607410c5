"""Gradient checkpointing: `checkpoint`."""

from __future__ import annotations

from typing import Any

from tapegrad import _core
from tapegrad.transforms._functions import Function, name_of, need_function
from tapegrad.transforms._tracing import Numbers
from tapegrad.transforms._wrapped import Transformed

__all__ = ["checkpoint"]


def checkpoint(f: Function) -> Function:
    """Return `f` with its intermediate values recomputed for a derivative instead of stored.

    This trades time for memory. Inside a transform, the recording of `f` is dropped when `f`
    returns; the sweep calls `f` again to record it anew. `f` must then return the same result.
    Inside a compiled function, `checkpoint` has no effect, since a program stores all its numbers.

    Raises TypeError if `f` is not callable. The sweep raises RuntimeError if `f` returns another
    structure when called again.

    >>> grad(lambda x: checkpoint(lambda y: y * y)(x) * x)(2.0)
    12.0
    """
    need_function(f, "checkpoint()")
    return Checkpointed(f)


class Checkpointed(Transformed):
    """A function that a sweep computes again instead of reading its recording."""

    __slots__ = ()

    def _remaking(self) -> tuple[str, dict[str, Any]]:
        return "checkpoint", {}

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        f = self.__wrapped__
        recording = _core.Recording.current()
        if recording is None or recording.guarding:
            return f(*args, **keywords)
        name = f"checkpoint(): the result of {name_of(f)}"
        level, begin = recording.begin_passing(), len(recording)
        try:
            numbers, outputs = _core.flatten(f(*args, **keywords), name)
            operands = recording.captured(begin, numbers)
            forward = not recording.needs_backward(operands, numbers)
            values = [_core.primal(number) for number in numbers]
            del numbers
        finally:
            recording.end_passing(level)

        def again() -> tuple[_core.Recording, int, Numbers]:
            current = _core.Recording.current()
            assert current is not None
            begin = len(current)
            numbers, structure = _core.flatten(f(*args, **keywords), name)
            if structure != outputs:
                raise RuntimeError(
                    f"checkpoint(): {name_of(f)} returned another structure when it ran again"
                )
            return current, begin, numbers

        def pull(cotangents: Numbers, present: list[bool], record: bool) -> Numbers:
            current, begin, numbers = again()
            return current.reverse(operands, numbers, cotangents, record, begin, present)

        def push(tangents: Numbers, present: list[bool], record: bool) -> Numbers:
            current, begin, numbers = again()
            [slopes] = current.forward(operands, [tangents], numbers, record, begin, present)
            return slopes

        if not operands:
            return outputs.unflatten(values)
        return outputs.unflatten(recording.rule(operands, values, pull, push, forward))
