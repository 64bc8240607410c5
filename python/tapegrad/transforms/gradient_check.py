"""Numerical checks of derivatives: `gradcheck`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tapegrad import _core
from tapegrad.transforms._functions import Function, name_of
from tapegrad.transforms._tracing import Numbers
from tapegrad.transforms.jacobians import jacfwd, jacrev

__all__ = ["GradcheckError", "gradcheck"]

_SHOWN = 10


class GradcheckError(RuntimeError):
    """Raised by `gradcheck` if a derivative differs from the difference quotient."""


class _Entry(NamedTuple):
    output: int
    input: int
    mode: str
    derivative: float
    difference: float

    @property
    def error(self) -> float:
        gap = abs(self.derivative - self.difference)
        return gap if gap == gap else float("inf")


def gradcheck(
    f: Function,
    inputs: Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    forward: bool = True,
) -> bool:
    """Compare the derivatives of `f(*inputs)` with central differences of step `eps`.

    The check covers the derivative of every returned number with respect to every input number, in
    reverse mode and, unless `forward` is false, in forward mode. An entry is right within
    `atol + rtol * abs(difference)`, as in PyTorch's gradcheck.

    Returns True if all entries are right. Otherwise raises GradcheckError with a table of the
    worst entries, or returns False with `raise_exception=False`.

    >>> from tapegrad import gradcheck, sin
    >>> gradcheck(lambda x, y: x * sin(y), (2.0, 3.0))
    True
    """
    if not isinstance(inputs, tuple | list):
        raise TypeError(f"inputs must be a tuple or list of arguments, not {type(inputs).__name__}")
    if not eps > 0.0:
        raise ValueError(f"eps must be positive, not {eps!r}")
    numbers, structure = _core.flatten(tuple(inputs), f"gradcheck(): the inputs of {name_of(f)}")

    def values(varied: Any) -> Numbers:
        return _core.flatten(f(*varied), f"gradcheck(): the result of {name_of(f)}")[0]

    def moved(k: int, step: float) -> Numbers:
        there = list(numbers)
        there[k] += step
        return [_core.primal(number) for number in values(structure.unflatten(there))]

    columns = []
    for k in range(len(numbers)):
        above, below = moved(k, eps), moved(k, -eps)
        columns.append([(a - b) / (2.0 * eps) for a, b in zip(above, below, strict=True)])

    def flat(varied: Numbers) -> Numbers:
        return values(structure.unflatten(varied))

    modes = {"reverse": jacrev(flat)(numbers)}
    if forward:
        modes["forward"] = jacfwd(flat)(numbers)
    entries = [
        _Entry(j, k, mode, row[k], columns[k][j])
        for mode, rows in modes.items()
        for j, row in enumerate(rows)
        for k in range(len(numbers))
    ]
    wrong = [e for e in entries if not e.error <= atol + rtol * abs(e.difference)]
    if wrong and raise_exception:
        raise GradcheckError(_table(name_of(f), wrong, len(entries)))
    return not wrong


def _table(name: str, wrong: list[_Entry], count: int) -> str:
    worst = sorted(wrong, key=lambda entry: entry.error, reverse=True)[:_SHOWN]
    lines = [
        f"{len(wrong)} of {count} derivatives of {name} differ from differences; the worst:",
        f"{'output':>6} {'input':>6}  {'mode':<7} {'derivative':>24} {'difference':>24}",
    ]
    lines += [
        f"{e.output:>6} {e.input:>6}  {e.mode:<7} {e.derivative:>24.16g} {e.difference:>24.16g}"
        for e in worst
    ]
    return "\n".join(lines)
