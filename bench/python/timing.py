"""Contestants in processes of their own, which take turns.

A machine's clock drifts by half from minute to minute. What is compared is therefore timed in
turn, round by round: a drift hits all alike, and the ratio within a round is free of it.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.python.workloads.base import Answer, Contestant, Workload, refusal

__all__ = ["Contest", "Plan", "WorkerError", "difference", "disagreements", "hold"]

TOLERANCE = 1e-9
REPOSITORY = Path(__file__).parents[2]
# One thread each, and JAX on the processor.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "PYTHONHASHSEED": "0",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure.

    Each contestant of a workload gets `processes` processes one after the other, each of them
    `rounds` turns of `turn` seconds. A slow one has no more turns after `budget` seconds in a
    process. Where each sample needs a new process, there are `fresh` of them.
    """

    processes: int = 2
    rounds: int = 5
    turn: float = 0.2
    budget: float = 2.5
    fresh: int = 3


@dataclass(slots=True)
class Contest:
    """What came of a workload: samples[contestant][phase] is a list of the samples of each round.

    A round in which a contestant had no turn is an empty list.
    """

    samples: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


class WorkerError(Exception):
    """A worker could not do its work; the message says why."""


class Worker:
    """The other end of a worker process."""

    def __init__(self, workload: Workload, contestant: Contestant) -> None:
        path = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.python.worker", workload.name, contestant.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(path)},
        )

    def read(self) -> dict[str, Any]:
        """The next answer, waited for; WorkerError where the worker fails or ends."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"its process ended with status {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def turn(self, duration: float) -> dict[str, list[float]]:
        """The samples of a turn, by phase."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # read() tells how it ended
            self.process.stdin.write(f"{duration}\n")
            self.process.stdin.flush()
        samples: dict[str, list[float]] = self.read()["samples"]
        return samples

    def close(self) -> None:
        """Have it end, and wait for that."""
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def hold(
    workload: Workload,
    contestants: Sequence[Contestant],
    plan: Plan,
    advance: Callable[[str], None] = lambda _: None,
) -> Contest:
    """Time the contestants in turn; `advance` is called with what is done before each round."""
    contest = Contest()
    taking_part = []
    for contestant in contestants:
        reason = refusal(workload, contestant)
        if reason is None:
            taking_part.append(contestant)
        else:
            contest.absent[contestant.name] = reason
    processes = plan.fresh if workload.fresh else plan.processes
    rounds = 1 if workload.fresh else plan.rounds
    for process in range(processes):
        with started(workload, taking_part, contest) as workers:
            spent = dict.fromkeys(workers, 0.0)
            for turn in range(rounds):
                advance(f"{workload.name}, round {process * rounds + turn + 1}")
                # The first of a round is another one each time.
                names = list(workers)
                shift = (process * rounds + turn) % max(1, len(names))
                for name in names[shift:] + names[:shift]:
                    samples: dict[str, list[float]] = {}
                    if spent[name] < plan.budget:
                        begin = perf_counter()
                        try:
                            samples = workers[name].turn(0.0 if workload.fresh else plan.turn)
                        except WorkerError as failure:
                            drop(contest, name, str(failure))
                            del workers[name]
                            continue
                        spent[name] += perf_counter() - begin
                    keep(contest, name, process * rounds + turn, samples)
        taking_part = [c for c in taking_part if c.name not in contest.absent]
    return contest


@contextmanager
def started(
    workload: Workload, contestants: Sequence[Contestant], contest: Contest
) -> Iterator[dict[str, Worker]]:
    """The workers that are ready and agree with tapegrad, by the contestants' names.

    The others become absent in `contest`, with the reason.
    """
    with ExitStack() as stack:
        workers = {}
        for contestant in contestants:
            worker = Worker(workload, contestant)
            stack.callback(worker.close)
            workers[contestant.name] = worker
        answers: dict[str, Answer | None] = {}
        for name, worker in workers.items():
            try:
                told = worker.read()["answer"]
                answers[name] = Answer(**told) if told is not None else None
            except WorkerError as failure:
                drop(contest, name, str(failure))
        for name, error in disagreements(answers):
            drop(contest, name, f"its result differs from tapegrad's by {error:.1e}")
            contest.wrong.append(name)
        yield {name: workers[name] for name in answers if name not in contest.absent}


def drop(contest: Contest, name: str, reason: str) -> None:
    """Make a contestant absent, with all that it has shown."""
    contest.absent[name] = reason
    contest.samples.pop(name, None)


def keep(contest: Contest, name: str, number: int, samples: dict[str, list[float]]) -> None:
    """Add the samples of a round, and empty rounds where the contestant had none before."""
    phases = contest.samples.setdefault(name, {})
    for phase in dict.fromkeys([*phases, *samples]):
        rounds = phases.setdefault(phase, [])
        rounds.extend([] for _ in range(number - len(rounds)))
        rounds.append([float(f"{value:.4g}") for value in samples.get(phase, [])])


def disagreements(answers: Mapping[str, Answer | None]) -> Iterator[tuple[str, float]]:
    """Who computes something else than tapegrad, and by how much."""
    reference = answers.get("tapegrad")
    for name, answer in answers.items():
        if answer is not None:
            error = math.inf if reference is None else difference(answer, reference)
            if not error <= TOLERANCE:
                yield name, error


def difference(answer: Answer, reference: Answer) -> float:
    """The largest relative difference of value and gradients.

    A gradient far smaller than the largest one is compared to a millionth of that: where large
    numbers cancel, the order of additions decides about the rest.
    """
    largest = max(map(abs, reference.gradients), default=0.0)
    pairs = [(answer.value, reference.value, 0.0)]
    if answer.gradients:
        pairs += [
            (mine, theirs, 1e-6 * largest)
            for mine, theirs in zip(answer.gradients, reference.gradients, strict=True)
        ]
    return max(relative(mine, theirs, least) for mine, theirs, least in pairs)


def relative(mine: float, theirs: float, least: float) -> float:
    """The difference relative to the larger number, or to `least` where both are smaller."""
    if mine == theirs:
        return 0.0
    error = abs(mine - theirs) / max(abs(mine), abs(theirs), least)
    return error if math.isfinite(error) else math.inf
