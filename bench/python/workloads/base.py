"""What a workload is: contestants, and a task that a worker process can check and time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from time import perf_counter
from typing import ClassVar

from bench.python.peers import OWN, PEERS, Functions, Peer

__all__ = [
    "Answer",
    "Contestant",
    "Task",
    "Workload",
    "calibrated",
    "missing",
    "refusal",
    "seconds",
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a contestant computes; no gradients where it only runs forward."""

    value: float
    gradients: list[float]


class Task(ABC):
    """A workload made ready for one contestant."""

    @abstractmethod
    def answer(self) -> Answer | None:
        """The result to compare with tapegrad's, None where there is nothing to compare."""

    @abstractmethod
    def sample(self) -> dict[str, float]:
        """What one run costs, by phase."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A peer, in a variant of its own, with Python's garbage collector on or off."""

    name: str
    peer: str
    variant: str = ""
    collector: bool = True
    # A module without which it does not take part.
    module: str | None = None


TAPEGRAD = Contestant("tapegrad", "tapegrad")


@dataclass(frozen=True, kw_only=True)
class Workload(ABC):
    """Something to time. `size` is the number of operations of one run, `per` what is counted."""

    name: str
    title: str
    per: str
    size: int = 1
    needs: tuple[str, ...] = ()
    # Whom the others are compared to: what tapegrad does here.
    tapegrad: Contestant = TAPEGRAD
    variants: tuple[Contestant, ...] = field(default=())
    # Peers that take part, where not all do.
    only: tuple[str, ...] = ()

    unit: ClassVar[str] = "s"
    # Whether each sample is taken in a process of its own.
    fresh: ClassVar[bool] = False
    # Whether there is something to do for peers that compile a program once, and for floats.
    compiled: ClassVar[bool] = False
    floors: ClassVar[bool] = True
    # Whether Python's garbage collector has a part in what is measured.
    collected: ClassVar[bool] = True

    def contestants(self) -> Iterator[Contestant]:
        """Who may take part: tapegrad and its variants, then the peers."""
        yield self.tapegrad
        yield from self.variants
        for name, peer in PEERS.items():
            if name in OWN or (self.only and name not in self.only):
                continue
            if (peer.floor and not self.floors) or (not peer.eager and not self.compiled):
                continue
            if peer.pure and self.collected:
                yield Contestant(f"{name}, gc off", name, collector=False)
                yield Contestant(f"{name}, gc on", name)
            else:
                yield Contestant(name, name)

    def refuse(self, peer: type[Peer]) -> str | None:
        """Why a peer that is installed cannot take part, None where it can."""
        if self.size > peer.largest:
            return f"{self.size:,} operations a run are more than it does in a few seconds"
        return None

    @abstractmethod
    def prepare(self, peer: Peer, variant: str) -> Task:
        """The task of a contestant, in its worker process."""


def missing(needs: Iterable[str], functions: Functions) -> list[str]:
    """Those of the functions that a peer has not."""
    return [name for name in needs if getattr(functions, name) is None]


def seconds(run: Callable[[], object]) -> float:
    """The time of one run; what it returns is dropped after the clock has stopped."""
    start = perf_counter()
    kept = run()
    stop = perf_counter()
    del kept
    return stop - start


def calibrated(run: Callable[[int], object], least: float, most: int = 10**6) -> int:
    """How many rounds make `run(rounds)` last `least` seconds."""
    run(1)  # the first is slow, and may compile
    rounds = 1
    while rounds < most:
        spent = seconds(partial(run, rounds))
        if spent >= least:
            break
        rounds = min(most, 1 + int(rounds * min(10.0, 1.2 * least / spent)))
    return rounds


def refusal(workload: Workload, contestant: Contestant) -> str | None:
    """Why a contestant is absent, as far as can be told without starting it."""
    peer = PEERS[contestant.peer]
    if not peer.installed():
        return "not installed"
    if contestant.module is not None and find_spec(contestant.module) is None:
        return f"tapegrad has no {contestant.module.removeprefix('tapegrad.')}"
    return workload.refuse(peer)
