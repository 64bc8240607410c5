"""A process that times one contestant, a turn at a time, when it is told to.

    python -m bench.python.worker WORKLOAD CONTESTANT

It answers on its standard output, a line of JSON for each line of its standard input: the first
answer is the result to check, the others are the samples of the turns. It ends with its input.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from statistics import fmean
from typing import Any, TextIO

from bench.python.peers import PEERS
from bench.python.suite import find
from bench.python.workloads.base import Contestant, Task, Workload, missing

__all__ = ["main", "work"]

# micrograd's backward() calls itself as deep as the graph is.
DEEPEST = 10**6
# Seconds of a sample: the file of all samples stays small.
SAMPLE = 0.002


def main(argv: list[str]) -> None:
    """Serve until the input ends."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.setrecursionlimit(DEEPEST)
    workload, contestant = find(*argv)
    serve(workload, contestant, sys.stdin, answers)


def serve(
    workload: Workload, contestant: Contestant, turns: Iterable[str], answers: TextIO
) -> None:
    """One line of JSON for each turn, a first one before them."""
    try:
        for answer in work(workload, contestant, map(float, turns)):
            print(json.dumps(answer), file=answers, flush=True)
    except Exception as error:
        told = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), file=answers, flush=True)


def work(
    workload: Workload, contestant: Contestant, turns: Iterable[float]
) -> Iterator[dict[str, Any]]:
    """The answers of a worker to turns of so many seconds."""
    peer = PEERS[contestant.peer]()
    absent = missing(workload.needs, peer.functions)
    if absent:
        yield {"error": f"has no {', '.join(absent)}"}
        return
    task = workload.prepare(peer, contestant.variant)
    answer = task.answer()
    yield {"answer": asdict(answer) if answer is not None else None}
    for duration in turns:
        yield {"samples": turn(task, duration, contestant.collector)}


def turn(task: Task, duration: float, collector: bool) -> dict[str, list[float]]:
    """The samples of runs back to back, at least one, by phase.

    A sample is one run, or where one is shorter the mean of as many as `SAMPLE` seconds hold.
    Without the collector the garbage of the run before is collected before each run.
    """
    samples: dict[str, list[float]] = {}
    runs: list[dict[str, float]] = []
    gc.collect()
    if not collector:
        gc.disable()
    try:
        begin = time.perf_counter()
        end = begin + duration
        while True:
            if not collector:
                gc.collect()
            runs.append(task.sample())
            now = time.perf_counter()
            if now >= min(end, begin + SAMPLE):
                for phase in runs[0]:
                    samples.setdefault(phase, []).append(fmean(run[phase] for run in runs))
                runs, begin = [], now
                if now >= end:
                    return samples
    finally:
        gc.enable()


if __name__ == "__main__":
    main(sys.argv[1:])
