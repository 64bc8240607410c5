"""Training steps: forward, backward, update and the graph's end, each timed apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from time import perf_counter
from typing import ClassVar

from bench.python.peers import Build, Peer
from bench.python.workloads.base import Answer, Task, Workload

__all__ = ["Training"]


@dataclass(frozen=True, kw_only=True)
class Training(Workload):
    """Steps of a program in `bench.python.programs`, which has `start` and `build`.

    The variant "layers" takes the program of this name with `_layers` added.
    """

    program: str
    rule: str

    compiled: ClassVar[bool] = True

    def prepare(self, peer: Peer, variant: str) -> Task:
        name = f"{self.program}_layers" if "layers" in variant.split() else self.program
        program = import_module(f"bench.python.programs.{name}")
        return _Steps(peer, program.build, program.start(), self.rule, variant)


class _Steps(Task):
    def __init__(
        self, peer: Peer, build: Build, start: list[float], rule: str, variant: str
    ) -> None:
        self.peer = peer
        self.session = peer.session(build, start, variant)
        self.update = peer.update(rule, self.session, variant)

    def answer(self) -> Answer:
        session = self.session
        recorded = session.forward()
        self.update.zero()
        session.backward(recorded)
        answer = Answer(session.value(recorded), session.gradients())
        # Some programs clear the gradients here.
        self.update.step()
        return answer

    def sample(self) -> dict[str, float]:
        session = self.session
        return self._forward(session.forward) if self.peer.floor else self._step()

    def _forward(self, forward: Callable[[], object]) -> dict[str, float]:
        start = perf_counter()
        recorded = forward()
        done = perf_counter()
        del recorded
        return {"forward": done - start}

    def _step(self) -> dict[str, float]:
        session, update = self.session, self.update
        start = perf_counter()
        recorded = session.forward()
        forward = perf_counter()
        update.zero()
        cleared = perf_counter()
        session.backward(recorded)
        backward = perf_counter()
        update.step()
        updated = perf_counter()
        del recorded
        end = perf_counter()
        phases = {
            "step": end - start,
            "forward + backward": (forward - start) + (backward - cleared),
            "forward + backward + drop": (forward - start) + (backward - cleared) + (end - updated),
            "forward + backward + update": updated - start,
            "forward": forward - start,
            "backward": backward - cleared,
            "update": (cleared - forward) + (updated - backward),
            "drop": end - updated,
        }
        if self.peer.pure:
            del phases["drop"]  # of a reference: the graph is a cycle, and the collector's
        if not self.peer.eager:
            # Its forward pass ran once, long ago.
            kept = ("step", "forward + backward", "forward + backward + update", "update")
            phases = {name: phases[name] for name in kept}
        return phases
