"""Graphs of one shape: recorded, swept and dropped, in seconds an operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar

from bench.python.peers import Build, Peer
from bench.python.workloads.base import Answer, Task, Workload

__all__ = ["Graph", "Memory", "resident"]


@dataclass(frozen=True, kw_only=True)
class Graph(Workload):
    """A graph of `size` operations made by `build` from numbers that start at `start`."""

    build: Build
    start: Sequence[float]

    def prepare(self, peer: Peer, variant: str) -> Task:
        return _Graphs(peer, self.build, self.start, self.size, variant)


class _Graphs(Task):
    def __init__(
        self, peer: Peer, build: Build, start: Sequence[float], size: int, variant: str
    ) -> None:
        self.floor, self.pure, self.size = peer.floor, peer.pure, size
        self.session = peer.session(build, start, variant)

    def answer(self) -> Answer:
        recorded = self.session.forward()
        self.session.backward(recorded)
        return Answer(self.session.value(recorded), self.session.gradients())

    def sample(self) -> dict[str, float]:
        session, size = self.session, self.size
        start = perf_counter()
        recorded = session.forward()
        forward = perf_counter()
        session.backward(recorded)
        backward = perf_counter()
        del recorded
        end = perf_counter()
        if self.floor:
            return {"record": (forward - start) / size}
        phases = {
            "all": (end - start) / size,
            "record": (forward - start) / size,
            "sweep": (backward - forward) / size,
        }
        if not self.pure:  # whose graphs are cycles, and the collector's
            phases["drop"] = (end - backward) / size
        return phases


@dataclass(frozen=True, kw_only=True)
class Memory(Graph):
    """Growth of the resident set by such a graph, in a new process, in bytes an operation."""

    unit: ClassVar[str] = "B"
    collected: ClassVar[bool] = False
    fresh: ClassVar[bool] = True
    floors: ClassVar[bool] = False

    def prepare(self, peer: Peer, variant: str) -> Task:
        return _Growth(peer, self.build, self.start, self.size, variant)


class _Growth(Task):
    def __init__(
        self, peer: Peer, build: Build, start: Sequence[float], size: int, variant: str
    ) -> None:
        self.size = size
        self.session = peer.session(build, start, variant)

    def answer(self) -> None:
        return None

    def sample(self) -> dict[str, float]:
        before = resident()
        recorded = self.session.forward()
        after = resident()
        del recorded
        return {"recorded": (after - before) / self.size}


def resident() -> int:
    """The bytes of memory that this process has in use; OSError where the system has no /proc."""
    import os

    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
