"""What whole processes show: the time of an import, memory over a hundred thousand steps."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.python.peers import PEERS, Peer
from bench.python.workloads.base import Answer, Task, Workload
from bench.python.workloads.graphs import resident
from tapegrad import Value, nn

__all__ = ["Growth", "Import"]


@dataclass(frozen=True, kw_only=True)
class Import(Workload):
    """The import of the module that a program names, in a new process, Python's start taken off."""

    collected: ClassVar[bool] = False
    floors: ClassVar[bool] = False

    def refuse(self, peer: type[Peer]) -> str | None:
        if peer.package is None and peer is not PEERS["tapegrad"]:
            return "nothing to import"
        return super().refuse(peer)

    def prepare(self, peer: Peer, variant: str) -> Task:
        return _Imports(peer.imported or peer.package or "tapegrad")


class _Imports(Task):
    def __init__(self, module: str) -> None:
        timed = f"start = perf_counter(); import {module}; print(perf_counter() - start)"
        self.command = [sys.executable, "-c", f"from time import perf_counter; {timed}"]

    def answer(self) -> Answer | None:
        return None

    def sample(self) -> dict[str, float]:
        told = subprocess.run(self.command, capture_output=True, text=True, check=True).stdout
        return {"import": float(told.split()[-1])}


@dataclass(frozen=True, kw_only=True)
class Growth(Workload):
    """How much the resident set grows while a small network trains, from the 100th step on."""

    steps: int

    unit: ClassVar[str] = "B"
    fresh: ClassVar[bool] = True

    def prepare(self, peer: Peer, variant: str) -> Task:
        return _Training(self.steps)


class _Training(Task):
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def answer(self) -> Answer | None:
        return None

    def sample(self) -> dict[str, float]:
        random.seed(0)
        model = nn.MLP(2, [4, 1])
        points = [((0.0, 1.0), 1.0), ((1.0, 1.0), -1.0)]
        before = 0
        for step in range(self.steps):
            loss: Any = sum((model([Value(a) for a in x]) - y) ** 2 for x, y in points)
            model.zero_grad()
            loss.backward()
            for p in model.parameters():
                p.data -= 0.01 * p.grad
            if step == 100:
                before = resident()
        return {"growth": float(resident() - before)}
