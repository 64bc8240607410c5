"""What the benchmark programs wrote, merged: the best of each figure over interleaved rounds."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

OWN = ("tapegrad", "tapegrad_value", "tapegrad_program")  # a CompactTape, Values, a Program
PHASES = ("record", "sweep", "drop")
SCALING = "scaling/"


@dataclass
class Row:
    """One contestant on one workload; times in nanoseconds an operation.

    `figures` has the best round of `record`, `sweep`, `drop`, `total` and of their `cold_` kind,
    and the median of `bytes`; a figure that was not measured is absent. `spread` is how far the
    median round's total lay above the best one's, as a fraction.
    """

    contestant: str
    workload: str
    operations: int
    items: int
    figures: dict[str, float]
    spread: float
    value: float
    checksum: float

    @property
    def total(self) -> float:
        return self.figures["total"]

    @property
    def record_and_sweep(self) -> float | None:
        """What most libraries' own benchmarks state; None where phases were not timed apart."""
        if "record" not in self.figures:
            return None
        return self.figures["record"] + self.figures["sweep"]

    @property
    def cold(self) -> float | None:
        """What an operation's first recording takes above a warm one."""
        if "cold_record" not in self.figures:
            return None
        return self.figures["cold_record"] - self.figures["record"]


@dataclass
class Report:
    """All rows of one run, and what they were measured on."""

    commit: str
    date: str
    machine: str
    system: str
    caches: dict[str, int]
    compiler: str
    flags: str
    rounds: int
    versions: dict[str, str]
    rows: list[Row]
    scaling: list[Row] = field(default_factory=list)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Report:
        stored = json.loads(path.read_text())
        for name in ("rows", "scaling"):
            stored[name] = [Row(**row) for row in stored[name]]
        return cls(**stored)

    def workloads(self) -> list[str]:
        return list(dict.fromkeys(row.workload for row in self.rows))

    def of(self, workload: str) -> list[Row]:
        """The workload's rows, the fastest first."""
        return sorted((r for r in self.rows if r.workload == workload), key=lambda r: r.total)

    def series(self, workload: str, contestant: str) -> list[Row]:
        """The scaling rows of a contestant, the smallest first."""
        found = [r for r in self.scaling if r.workload == workload and r.contestant == contestant]
        return sorted(found, key=lambda r: r.operations)


def merge(contestant: str, workload: str, rounds: list[dict[str, Any]]) -> Row:
    """One row of the rounds' counters, as Google Benchmark wrote them.

    >>> entry = {"bytes": 56.0, "operations": 1e6, "items": 1.0, "value": 1.0, "checksum": 2.0}
    >>> row = merge("tapegrad", "chain_fused", [entry | {"total": t} for t in (4.0, 6.0, 5.0)])
    >>> row.total, row.spread, row.figures["bytes"], row.cold
    (4.0, 0.25, 56.0, None)
    """

    def over_rounds(name: str) -> list[float]:
        return [entry[name] for entry in rounds if name in entry]

    names = ["total", *PHASES, "cold_total", *(f"cold_{phase}" for phase in PHASES)]
    figures = {name: min(over_rounds(name)) for name in names if over_rounds(name)}
    if over_rounds("bytes"):
        figures["bytes"] = statistics.median(over_rounds("bytes"))
    totals = over_rounds("total")
    return Row(
        contestant=contestant,
        workload=workload,
        operations=round(rounds[0]["operations"]),
        items=round(rounds[0]["items"]),
        figures=figures,
        spread=statistics.median(totals) / min(totals) - 1.0,
        value=rounds[0]["value"],
        checksum=rounds[0]["checksum"],
    )


def combine(reports: Sequence[Report]) -> Report:
    """Runs of one build on one machine as one: each row the best of all.

    Raises ValueError where what was measured differs.
    """
    first, *others = reports
    for other in others:
        for name in ("commit", "machine", "compiler", "flags"):
            if getattr(other, name) != getattr(first, name):
                raise ValueError(
                    f"different {name}: {getattr(first, name)!r} and {getattr(other, name)!r}"
                )
    rows = best_rows(row for report in reports for row in report.rows)
    scaling = best_rows(row for report in reports for row in report.scaling)
    check_agreement(rows + scaling)
    return replace(
        first,
        date=max(report.date for report in reports),
        rounds=sum(report.rounds for report in reports if report.rows),
        versions={name: v for report in reports for name, v in report.versions.items()},
        rows=rows,
        scaling=scaling,
    )


def best_rows(rows: Iterable[Row]) -> list[Row]:
    """One row for each contestant, workload and size, with the best of each figure.

    >>> def row(total):
    ...     return Row("tapegrad", "chain", 10, 1, {"total": total}, 0.1, 1.0, 2.0)
    >>> [best] = best_rows([row(3.0), row(2.5)])
    >>> best.total
    2.5
    """
    best: dict[tuple[str, str, int], Row] = {}
    for row in rows:
        key = (row.contestant, row.workload, row.operations)
        known = best.setdefault(key, row)
        names = known.figures.keys() | row.figures.keys()
        figures = {
            name: min(r.figures[name] for r in (known, row) if name in r.figures)
            for name in sorted(names)
        }
        best[key] = replace(known, figures=figures, spread=max(known.spread, row.spread))
    return list(best.values())


def check_agreement(rows: list[Row]) -> None:
    """Raises ValueError unless all contestants of a workload computed the same gradient.

    >>> def row(contestant, checksum):
    ...     return Row(contestant, "chain", 10, 1, {"total": 1.0}, 0.0, 1.0, checksum)
    >>> check_agreement([row("tapegrad", 2.0), row("by_hand", 2.0 + 1e-12)])
    >>> check_agreement([row("tapegrad", 2.0), row("by_hand", 2.5)])
    Traceback (most recent call last):
    ValueError: chain: by_hand computed 2.5, tapegrad 2.0
    """
    first: dict[tuple[str, int], Row] = {}
    for row in rows:
        other = first.setdefault((row.workload, row.operations), row)
        tolerance = max(1e-9, row.operations * sys.float_info.epsilon)  # as measure.hpp's
        for mine, others in ((row.value, other.value), (row.checksum, other.checksum)):
            if not abs(mine - others) <= tolerance * max(1.0, abs(others)):
                raise ValueError(
                    f"{row.workload}: {row.contestant} computed {mine!r}, "
                    f"{other.contestant} {others!r}"
                )
