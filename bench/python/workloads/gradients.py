"""Value and gradient of a small function: leaves, graph and sweep made and dropped in each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.python.peers import Functions, Peer
from bench.python.workloads.base import Answer, Task, Workload, calibrated, seconds

__all__ = ["Gradients"]


@dataclass(frozen=True, kw_only=True)
class Gradients(Workload):
    """Calls at `x` of what `function` makes; `count` in a run, or as many as 10 ms hold."""

    function: Callable[[Functions], Any]
    x: Sequence[float]
    count: int | None = None

    compiled: ClassVar[bool] = True

    def prepare(self, peer: Peer, variant: str) -> Task:
        return _Calls(peer, self.function(peer.functions), self.x, self.count)


class _Calls(Task):
    def __init__(
        self, peer: Peer, f: Callable[..., Any], x: Sequence[float], count: int | None
    ) -> None:
        self.phase = "forward" if peer.floor else "all"
        self.gradient, self.f, self.x = peer.gradient, f, x
        self.count = calibrated(self.run, 0.01) if count is None else count

    def run(self, count: int) -> None:
        gradient, f, x = self.gradient, self.f, self.x
        for _ in range(count):
            gradient(f, x)

    def answer(self) -> Answer:
        return Answer(*self.gradient(self.f, self.x))

    def sample(self) -> dict[str, float]:
        return {self.phase: seconds(lambda: self.run(self.count)) / self.count}
