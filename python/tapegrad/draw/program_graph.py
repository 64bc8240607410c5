"""Conversion of a program to a graph that `draw_dot` draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tapegrad import _core

__all__ = ["Drawn", "drawn"]


class Drawn:
    """A node of the drawing: an input, a constant or a result of an operation."""

    def __init__(self, label: str, operation: str = "", operands: Iterable[Drawn] = ()) -> None:
        self.label = label
        self._op = operation
        self._prev = tuple(operands)


def drawn(program: _core.Program, name: str, named: Callable[[int], str]) -> Drawn:
    """Return the root of a program's graph, whose operands are the outputs and the guards.

    `named` returns the text for a value of the program.
    """
    symbols = _core.symbols()
    first_result = len(program.constants) + program.inputs
    nodes = [Drawn(named(place)) for place in range(first_result)]
    for operation, result, operands in program.instructions:
        nodes.append(Drawn(named(result), symbols[operation], [nodes[k] for k in operands]))
    guards = [
        Drawn(f"guard: {_told(kind, outcome)}", kind, [nodes[k] for k in operands])
        for kind, operands, outcome, _ in program.guards
    ]
    return Drawn(f"program {name}", "return", [*(nodes[k] for k in program.outputs), *guards])


def _told(kind: str, outcome: float) -> str:
    return str(outcome == 1.0) if kind in {"<", "<=", "=="} else repr(outcome)
