"""The public view of a program: its text, counts, C code and drawing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tapegrad import _core
from tapegrad.transforms._c_identifiers import c_name, checked_c_name

if TYPE_CHECKING:
    from tapegrad.draw.graphviz import Digraph

__all__ = ["Program"]


class Program:
    """A straight-line program, and the guards under which it computes what the function does.

    `len(program)` is the number of operations of a replay, `program.bytes` the memory that a replay
    touches, `program.counts` the number of operations of each kind, and `str(program)` the whole
    program as text.

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
        """The conditions under which the program is valid, each with the line that asked for it."""
        return tuple(
            f"{self._condition(kind, operands, outcome)}  # {source}"
            for kind, operands, outcome, source in self._core.guards
        )

    def to_c(self, name: str | None = None) -> str:
        """Return the program as a C99 function that needs only the C library.

        `int NAME(const double *inputs, double *outputs)` reads the numbers of the arguments in
        order and writes the numbers of the result. It returns 0, or k > 0 if guard k is broken
        (`guards[k - 1]`); it then writes nothing. The two arrays may overlap. `name` is by default
        the name of the Python function, changed as C requires.

        Compiled with `cc -std=c99 -O2` and `-lm`, the function returns what the program returns,
        bit for bit if it is linked to the same C library. Each operation is a statement, and the
        time to compile grows faster than their number: GCC takes 4 seconds for 7,000 operations and
        2 minutes for 70,000, or 3 seconds with `-O0`, which gives the same numbers.

        Raises TypeError for a name that is no string, and ValueError for one that is no valid name
        of a C function.

        >>> from tapegrad import compile, sin
        >>> print(compile(lambda x, y: x * sin(y) + x).program(2.0, 3.0).to_c("f"))
        /* <lambda>: 2 inputs, 1 output, 3 operations.
           Returns 0. */
        #include <math.h>
        <BLANKLINE>
        #if defined(__clang__) || !defined(__GNUC__)
        #pragma STDC FP_CONTRACT OFF
        #endif
        <BLANKLINE>
        int f(const double *inputs, double *outputs) {
          const double v0 = inputs[0];
          const double v1 = inputs[1];
          const double v2 = sin(v1);
          const double v3 = v0 * v2;
          const double v4 = v0 + v3;
          outputs[0] = v4;
          return 0;
        }
        <BLANKLINE>
        """
        function = c_name(self.name) if name is None else checked_c_name(name)
        title = self.name.encode(errors="replace").decode()
        return _core.c_function(self._core, function, title)

    def draw_dot(
        self, format: str = "svg", rankdir: str = "LR", *, max_nodes: int | None = 500
    ) -> Digraph:
        """Return the program as a `graphviz.Digraph`, drawn as by `tapegrad.draw.draw_dot`.

        Each input, constant and result is a box, named as in `str(program)`, and each operation is
        an oval. Outputs and guards lead to the oval `return`; the box of a guard shows its outcome.

        Parameters and errors are those of `tapegrad.draw.draw_dot`.

        >>> from tapegrad import compile
        >>> drawing = compile(lambda x: x * x + 1.0).program(3.0).draw_dot()
        >>> drawing.render("program", format="png")  # doctest: +SKIP
        'program.png'
        """
        from tapegrad.draw import draw_dot
        from tapegrad.draw.program_graph import drawn

        return draw_dot(
            drawn(self._core, self.name, self._named), format, rankdir, max_nodes=max_nodes
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
        """Return the text for a value: a constant's number, or letters as in a jaxpr."""
        constants: list[Any] = self._core.constants
        if place < len(constants):
            return repr(constants[place])
        letters, rest = "", place - len(constants) + 1
        while rest:
            rest, digit = divmod(rest - 1, 26)
            letters = chr(ord("a") + digit) + letters
        return letters
