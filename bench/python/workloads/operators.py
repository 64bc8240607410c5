"""What one operator costs: made and dropped at once, the empty loop taken off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bench.python.peers import OPERATORS, Functions, Peer
from bench.python.peers.base import Program
from bench.python.workloads.base import Answer, Task, Workload, calibrated, seconds

__all__ = ["Operators"]

Loop: TypeAlias = Callable[[Iterable[int]], None]

SUM, TERMS = "sum of 1000", 1000
# So often a round has the operator: little is left of the empty loop to be wrong about.
REPEATS = 10
X = 1.5
# a, b, and what is summed.
START = [1.5, 2.5, *([0.25] * TERMS)]


@dataclass(frozen=True, kw_only=True)
class Operators(Workload):
    """Each operator of the dialect, in a loop of about so many seconds."""

    turn: float = 0.005

    def prepare(self, peer: Peer, variant: str) -> Task:
        return _Loops(peer, variant, self.turn)


class _Loops(Task):
    """The loops run where the numbers are recorded: inside a forward pass."""

    def __init__(self, peer: Peer, variant: str, turn: float) -> None:
        self.turn = turn
        self.spellings = {
            name: peer.spellings.get(name, spelling) for name, spelling in OPERATORS.items()
        }
        self.names = peer.names()
        self.rounds: dict[str, int] = {}
        self.timing = False
        self.times: dict[str, float] = {}
        self.session = peer.session(self.build, START, variant)

    def build(self, numbers: Sequence[Any], functions: Functions, variant: str) -> Program:
        a, b, *xs = numbers

        def program() -> Any:
            if self.timing:
                self.times = self.time({**self.names, "a": a, "b": b, "xs": xs, "x": X})
                return a + b
            return (a + b) * (a + 1.5) * (2.0 * a) + a**2 * 2.0 + sum(xs)

        return program

    def time(self, names: dict[str, Any]) -> dict[str, float]:
        """Seconds an operation, by operator."""
        loops = {
            name: loop(spelling, names, 1 if name == SUM else REPEATS)
            for name, spelling in self.spellings.items()
            if spelling is not None
        }
        for name in loops.keys() - self.rounds.keys():
            run = loops[name]
            self.rounds[name] = calibrated(lambda count, run=run: run(range(count)), self.turn)  # type: ignore[misc]
        idle = loop("pass", names, 1)
        return {
            name: excess(run, idle, self.rounds[name]) / (TERMS if name == SUM else REPEATS)
            for name, run in loops.items()
        }

    def answer(self) -> Answer:
        recorded = self.session.forward()
        self.session.backward(recorded)
        return Answer(self.session.value(recorded), self.session.gradients())

    def sample(self) -> dict[str, float]:
        self.timing = True
        try:
            self.session.forward()
        finally:
            self.timing = False
        return self.times


def excess(run: Loop, idle: Loop, count: int) -> float:
    """Seconds a round of `run` beyond the empty loop.

    That is the faster of one before and one after: the best of many differences would be the one
    whose empty loop was disturbed.
    """
    rounds = range(count)
    before = seconds(lambda: idle(rounds))
    spent = seconds(lambda: run(rounds))
    after = seconds(lambda: idle(rounds))
    return (spent - min(before, after)) / count


def loop(spelling: str, names: dict[str, Any], repeats: int) -> Loop:
    """A function that evaluates the expression so often a round, its names being local."""
    parameters = ", ".join(f"{name}={name}" for name in names)
    body = f"        {spelling}\n" * repeats
    source = f"def run(rounds, {parameters}):\n    for _ in rounds:\n{body}"
    scope = dict(names)
    exec(source, scope)
    run: Loop = scope["run"]
    return run
