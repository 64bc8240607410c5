"""Programs as they can be looked at: text, counts, drawings."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tapegrad import _core

__all__ = ["Program"]


class Program:
    """A straight line of operations, with the guards under which it is what the function does.

    `len(program)` is the number of operations of a replay, `program.bytes` what a replay touches,
    `program.counts` how many of each operation there are, and `str(program)` all of it as text.

    >>> from tapegrad import compile, sin
    >>> program = compile(lambda x, y: x * sin(y) + x).program(2.0, 3.0)
    >>> print(program)
    program <lambda>(a, b):
      c = sin b
      d = mul a c
      e = add a d
      return e
    >>> len(program), program.counts
    (3, {'sin': 1, 'mul': 1, 'add': 1})
    """

    __slots__ = ("_core", "name")

    def __init__(self, core: _core.Program, name: str) -> None:
        self._core = core
        self.name = name

    def __len__(self) -> int:
        return len(self._core)

    @property
    def bytes(self) -> int:
        return self._core.bytes

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(name for name, _, _ in self._core.instructions))

    @property
    def guards(self) -> tuple[str, ...]:
        """What must hold, each with the line that asked."""
        return tuple(
            f"{self._condition(kind, operands, outcome)}  # {source}"
            for kind, operands, outcome, source in self._core.guards
        )

    def __repr__(self) -> str:
        return (
            f"<program of {self.name}: {self._core.inputs} inputs, {len(self)} operations, "
            f"{len(self._core.outputs)} outputs, {len(self._core.guards)} guards>"
        )

    def __str__(self) -> str:
        first = len(self._core.constants)
        inputs = ", ".join(self._named(first + k) for k in range(self._core.inputs))
        lines = [f"program {self.name}({inputs}):"]
        lines += [
            f"  {self._named(result)} = {name} {' '.join(map(self._named, operands))}"
            for name, result, operands in self._core.instructions
        ]
        lines += [f"  guard {guard}" for guard in self.guards]
        lines.append(f"  return {', '.join(map(self._named, self._core.outputs))}")
        return "\n".join(lines)

    def _condition(self, kind: str, operands: tuple[int, ...], outcome: float) -> str:
        if kind in {"<", "<=", "=="}:
            text = f"{self._named(operands[0])} {kind} {self._named(operands[1])}"
            return text if outcome else f"not {text}"
        if kind == "//":
            return f"{self._named(operands[0])} // {self._named(operands[1])} == {outcome!r}"
        return f"{kind}({self._named(operands[0])}) == {outcome!r}"

    def _named(self, place: int) -> str:
        """A constant as its number; inputs and results as letters, as jaxprs have them."""
        constants: list[Any] = self._core.constants
        if place < len(constants):
            return repr(constants[place])
        letters, rest = "", place - len(constants) + 1
        while rest:
            rest, digit = divmod(rest - 1, 26)
            letters = chr(ord("a") + digit) + letters
        return letters
