"""Functions of numbers: recorded as programs, and called again and again with their gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from bench.python.peers import Build, Peer, Replay
from bench.python.workloads.base import Answer, Task, Workload, calibrated, seconds

__all__ = ["Records", "Replays"]


@dataclass(frozen=True, kw_only=True)
class Records(Workload):
    """A new program of a function of `size` operations, and of its value and gradient."""

    build: Build
    start: Sequence[float]

    compiled: ClassVar[bool] = True
    floors: ClassVar[bool] = False

    def prepare(self, peer: Peer, variant: str) -> Task:
        return _Records(peer, self.build, self.start, self.size)


class _Records(Task):
    def __init__(self, peer: Peer, build: Build, start: Sequence[float], size: int) -> None:
        self.peer, self.build, self.start, self.size = peer, build, start, size

    def answer(self) -> Answer:
        replay = self.peer.replay(self.build, self.start, "")
        return Answer(*replay.read(replay.run(*replay.arguments)))

    def sample(self) -> dict[str, float]:
        program = partial(self.peer.program, self.build, self.start)
        phases = {"f": False, "f and its gradient": True}
        return {
            phase: seconds(partial(program, gradient)) / self.size
            for phase, gradient in phases.items()
        }


@dataclass(frozen=True, kw_only=True)
class Replays(Workload):
    """Calls of value and gradient made ready, as many as 10 ms hold."""

    build: Build
    # What it is called with, in a variant.
    arguments: Callable[[str], Sequence[Any]]

    compiled: ClassVar[bool] = True
    floors: ClassVar[bool] = False

    def prepare(self, peer: Peer, variant: str) -> Task:
        # What is counted by the call is not divided by its operations.
        size = self.size if self.per == "operation" else 1
        return _Replays(peer.replay(self.build, self.arguments(variant), variant), size)


class _Replays(Task):
    def __init__(self, replay: Replay, size: int) -> None:
        self.replay = replay
        self.count = calibrated(self.run, 0.01)
        self.calls = self.count * size

    def run(self, count: int) -> None:
        run, arguments = self.replay.run, self.replay.arguments
        for _ in range(count):
            run(*arguments)

    def answer(self) -> Answer:
        return Answer(*self.replay.read(self.replay.run(*self.replay.arguments)))

    def sample(self) -> dict[str, float]:
        return {"all": seconds(lambda: self.run(self.count)) / self.calls}
