"""The demo's terminal output: progress, and a table of results."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

import tapegrad
from tapegrad.demo.comparison import Comparison
from tapegrad.demo.data import Problem
from tapegrad.demo.training import Step, clock

__all__ = ["Line", "Result", "progress_line", "say", "show_notes", "show_pictures", "show_table"]


@dataclass(frozen=True, slots=True)
class Result:
    """The results for one data set; the comparisons are None if none were made."""

    problem: Problem
    history: Sequence[Step]
    train_accuracy: float
    held_out_accuracy: float
    collector_on: Comparison | None = None
    collector_off: Comparison | None = None


class Line(Protocol):
    """A line of progress."""

    def advance(self, status: str = "") -> None:
        """Note that a step is done, and show `status`."""


@contextmanager
def progress_line(console: Console, title: str, total: int) -> Iterator[Line]:
    """Show progress as a bar in a terminal, otherwise as a line of text every tenth of the way."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield _PlainLine(console, title, total)
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeElapsedColumn(),
    )
    # The bar is drawn between steps: a drawing thread would distort the times measured.
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task(title, total=total, status="")
        progress.refresh()
        yield _Bar(progress, task)
        progress.refresh()


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._drawn = time.monotonic()

    def advance(self, status: str = "") -> None:
        self._progress.update(self._task, advance=1, status=status)
        if time.monotonic() - self._drawn > 0.05:
            self._progress.refresh()
            self._drawn = time.monotonic()


class _PlainLine:
    def __init__(self, console: Console, title: str, total: int) -> None:
        self._console = console
        self._title = " ".join(title.split())
        self._total = total
        self._done = 0

    def advance(self, status: str = "") -> None:
        self._done += 1
        # A tenth of the way since the last line, or at the end.
        if self._done * 10 // self._total > (self._done - 1) * 10 // self._total:
            line = f"{self._title}: step {self._done}/{self._total}"
            say(self._console, f"{line}, {status}" if status else line)


def say(console: Console, text: str) -> None:
    """Print text literally, without markup, breaking lines between words."""
    console.print(text, markup=False, highlight=False, emoji=False)


def show_table(console: Console, results: Sequence[Result]) -> None:
    """Print the results as a table with a column for each data set."""
    table = Table(box=box.SIMPLE_HEAD, title=f"tapegrad {tapegrad.__version__}", title_style="bold")
    table.add_column("", no_wrap=True)
    for result in results:
        table.add_column(result.problem.title, justify="right")
    for name, style, *cells in _table_rows(results):
        table.add_row(name, *cells, style=style)
    console.print(table)


def _table_rows(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    """Yield the name, style and cells of each row."""

    def row(name: str, cells: Iterator[str], style: str = "") -> tuple[str, ...]:
        return name, style, *cells

    problems = [result.problem for result in results]
    yield row("network", ("-".join(map(str, p.sizes)) for p in problems))
    yield row(
        "rows: trained on, held out",
        (f"{len(p.train.targets)}, {len(p.held_out.targets)}" for p in problems),
    )
    yield row("training steps, rows in each", (_steps_and_rows(r) for r in results))
    losses = [(r.history[0].loss, r.history[-1].loss) for r in results]
    yield row("loss at first and last step", (f"{a:.4f}, {b:.4f}" for a, b in losses))
    yield row("accuracy on rows trained on", (f"{r.train_accuracy:.1%}" for r in results))
    yield row(
        "accuracy on held-out rows", (f"{r.held_out_accuracy:.1%}" for r in results), "bold green"
    )
    yield row("nodes per step", (f"{_nodes(r) / len(r.history):,.0f}" for r in results))
    yield row("time per step", (_duration(_seconds(r) / len(r.history)) for r in results))
    yield row("nodes per second", (f"{_nodes(r) / _seconds(r):,.0f}" for r in results), "bold")
    for name, compared in (
        ("collector on", [r.collector_on for r in results]),
        ("collector off", [r.collector_off for r in results]),
    ):
        found = [c for c in compared if c is not None]
        if found:
            faster = (f"{c.times_faster:.1f} times" for c in found)
            yield row(f"faster than pure Python, {name}", faster, "bold green")


def _steps_and_rows(result: Result) -> str:
    return f"{len(result.history)}, {result.problem.batch_size}"


def _nodes(result: Result) -> int:
    return sum(step.nodes for step in result.history)


def _seconds(result: Result) -> float:
    return sum(step.seconds for step in result.history)


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.2f} ms"


def show_notes(console: Console, steps: int, comparisons: Sequence[Comparison]) -> None:
    """Print explanations of the table."""
    kind = "processor time" if clock is time.thread_time else "time"
    say(
        console,
        "A node is a number that the engine recorded in a step: an input, or the result of an "
        "operation. Parameters and plain numbers are not counted. "
        f"Times are {kind} of whole steps: forward, backward, update.",
    )
    if comparisons:
        worst = max(comparison.difference for comparison in comparisons)
        say(
            console,
            "Pure Python is the same loop on tapegrad.demo.pure.Value, from the same parameters: "
            f"{steps} step{'s' * (steps > 1)} alternating with the engine's, with Python's garbage "
            f"collector on and off for both. Losses agree to {worst:.1e} (relative).",
        )


def show_pictures(console: Console, paths: Sequence[Path]) -> None:
    """Print the paths of the pictures."""
    say(console, "Pictures:")
    for path in paths:
        console.print(f"  {path}", markup=False, highlight=False, emoji=False, soft_wrap=True)
