"""Results of a run: what is stored as JSON, and the figures that come of it."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import tapegrad
from bench.python.peers import versions
from bench.python.timing import Contest, Plan
from bench.python.workloads.base import Workload
from tapegrad import _core

__all__ = ["Figure", "Outcome", "Results", "circumstances", "load", "make", "outcome", "save"]

Rounds = list[list[float]]


@dataclass(frozen=True, slots=True)
class Figure:
    """The best of all samples (or ratios of the best), and the quartiles."""

    best: float
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A workload's samples by contestant and phase, and why others are absent."""

    name: str
    title: str
    per: str
    unit: str
    size: int
    samples: Mapping[str, Mapping[str, Rounds]]
    absent: Mapping[str, str]

    def has(self, contestant: str, phase: str) -> bool:
        """Whether there are samples of it."""
        return any(self.samples.get(contestant, {}).get(phase, []))

    def comparable(self, contestant: str, phase: str) -> bool:
        """Whether there is a ratio to tapegrad's: its memory, say, may not have grown at all."""
        both = self.has(contestant, phase) and self.has("tapegrad", phase)
        return both and min(map(min, filter(None, self.samples["tapegrad"][phase]))) > 0

    def phases(self) -> list[str]:
        """The phases that any contestant has, in order of their first appearance."""
        return list(dict.fromkeys(phase for each in self.samples.values() for phase in each))

    def figure(self, contestant: str, phase: str) -> Figure:
        """What the contestant's samples say."""
        rounds = self.samples[contestant][phase]
        samples = [sample for each in rounds for sample in each]
        return Figure(min(samples), *quartiles(samples))

    def ratio(
        self, contestant: str, phase: str, to: str = "tapegrad", to_phase: str | None = None
    ) -> Figure:
        """The best over the other's best, and the quartiles of that ratio within a round.

        Within a round both ran on the same clock; rounds that one of them missed do not count.
        """
        mine, theirs = self.samples[contestant][phase], self.samples[to][to_phase or phase]
        pairs = [(min(a), min(b)) for a, b in zip(mine, theirs, strict=False) if a and b]
        best = self.figure(contestant, phase).best / self.figure(to, to_phase or phase).best
        return Figure(best, *quartiles([a / b for a, b in pairs] or [best]))


@dataclass(frozen=True, slots=True)
class Results:
    """All that is stored of a run."""

    circumstances: Mapping[str, Any]
    plan: Mapping[str, Any]
    workloads: Mapping[str, Outcome] = field(default_factory=dict)

    def has(self, workload: str, contestant: str, phase: str) -> bool:
        """Whether the workload was run and has samples of it."""
        return workload in self.workloads and self.workloads[workload].has(contestant, phase)


def quartiles(samples: Iterable[float]) -> tuple[float, float, float]:
    """The quartiles; of a single sample, three times that."""
    ordered = sorted(samples)
    if len(ordered) == 1:
        ordered *= 2
    low, median, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return low, median, high


def outcome(workload: Workload, contest: Contest) -> Outcome:
    """What came of a workload, contestants in the workload's order."""
    order = [c.name for c in workload.contestants() if c.name in contest.samples]
    return Outcome(
        name=workload.name,
        title=workload.title,
        per=workload.per,
        unit=workload.unit,
        size=workload.size,
        samples={name: contest.samples[name] for name in order},
        absent=dict(sorted(contest.absent.items())),
    )


def circumstances() -> dict[str, Any]:
    """When, where and of what: date, commit, machine, CPython, compiler, versions of peers."""
    build = dict(_core.build())
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "tapegrad": tapegrad.__version__,
        "commit": commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": f"{build['compiler']} {build['flags']}".strip(),
        "machine": machine(),
        "versions": versions(),
    }


def machine() -> dict[str, Any]:
    """Processor, cores, caches and system, as far as Linux tells."""
    processor = platform.processor() or platform.machine()
    lines = read(Path("/proc/cpuinfo")).splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    caches = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, level = read(folder / "type"), read(folder / "level")
        if kind != "Instruction":
            caches[f"L{level}"] = read(folder / "size")
    found = {
        "processor": names[0] if names else processor,
        "cores": os.cpu_count(),
        "caches": caches,
        "system": platform.platform(),
    }
    return found


def read(path: Path) -> str:
    """The text of a file of the system, empty where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def commit() -> str | None:
    """The commit of the sources in use, or of this benchmark; "+" for changes, None without git."""
    for folder in (Path(tapegrad.__file__).parent, Path(__file__).parent):
        try:
            top = git(folder, "rev-parse", "--show-toplevel")
            if not Path(top, "python/tapegrad").is_dir():
                continue
            head = git(folder, "rev-parse", "--short=12", "HEAD")
            changed = git(folder, "status", "--porcelain", "--untracked-files=no")
        except (OSError, subprocess.CalledProcessError):
            continue
        return head + "+" * bool(changed)
    return None


def git(folder: Path, *arguments: str) -> str:
    """What git prints."""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def make(plan: Plan, outcomes: Iterable[Outcome], facts: Mapping[str, Any]) -> Results:
    """The results of a run under this plan."""
    return Results(facts, asdict(plan), {each.name: each for each in outcomes})


def save(results: Results, path: Path) -> None:
    """Write the results, one line for the samples of a contestant's phase."""
    path.write_text("".join(json_lines(results)))


def json_lines(results: Results) -> Iterator[str]:
    """The lines of the file."""
    head = {"circumstances": results.circumstances, "plan": results.plan}
    yield json.dumps(head, indent=1)[:-2] + ',\n "workloads": [\n'
    workloads = list(results.workloads.values())
    for each in workloads:
        facts = asdict(each)
        samples = facts.pop("samples")
        yield "  " + json.dumps(facts)[:-1] + ', "samples": {\n'
        entries = []
        for name, phases in samples.items():
            rows = [
                f"    {json.dumps(phase)}: {json.dumps(rounds, separators=(',', ':'))}"
                for phase, rounds in phases.items()
            ]
            entries.append(f"   {json.dumps(name)}: {{\n" + ",\n".join(rows) + "}")
        yield ",\n".join(entries) + "}}" + ("," if each is not workloads[-1] else "") + "\n"
    yield " ]\n}\n"


def load(path: Path) -> Results:
    """Read what `save` wrote.

    Raises OSError where it cannot be read, ValueError where it is something else.
    """
    try:
        stored = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    try:
        outcomes = [Outcome(**each) for each in stored["workloads"]]
        return Results(
            stored["circumstances"], stored["plan"], {each.name: each for each in outcomes}
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no results of this benchmark: {error!r}") from error
