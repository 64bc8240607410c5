"""The terminal's tables."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from bench.python.report.comparisons import comparisons
from bench.python.report.wording import (
    absences,
    amount,
    digits,
    spread,
    versions,
    where,
)
from bench.python.results import Outcome, Results

__all__ = ["show"]


def show(console: Console, results: Results) -> None:
    """Print all figures."""
    for outcome in results.workloads.values():
        console.print(workload_table(outcome))
        for absence in absences(outcome):
            say(console, f"  absent: {absence}")
    rows = list(comparisons(results))
    if rows:
        table = Table(box=box.SIMPLE_HEAD, title="ratios", title_style="bold")
        table.add_column("", overflow="fold")
        for heading in ("best over best", "quartiles"):
            table.add_column(heading, justify="right", no_wrap=True)
        for title, figure in rows:
            table.add_row(title, digits(figure.best), spread(figure))
        console.print(table)
    say(console, where(results))
    say(console, f"peers: {versions(results) or 'none installed'}")


def workload_table(outcome: Outcome) -> Table:
    """A row for each phase and contestant."""
    table = Table(
        box=box.SIMPLE_HEAD, title=f"{outcome.title}, each {outcome.per}", title_style="bold"
    )
    table.add_column("", no_wrap=True)
    for heading in ("best", "median", "x tapegrad", "quartiles"):
        table.add_column(heading, justify="right", no_wrap=True)
    for phase in outcome.phases():
        table.add_section()
        table.add_row(phase, style="bold")
        for contestant in outcome.samples:
            if outcome.has(contestant, phase):
                name, best, median, _, *ratio = cells(outcome, contestant, phase)
                table.add_row(name, best, median, *ratio)
    return table


def cells(outcome: Outcome, name: str, phase: str) -> list[str]:
    """The cells of a contestant's row: name, figures, ratio to tapegrad."""
    figure, unit = outcome.figure(name, phase), outcome.unit
    row = [
        name,
        amount(figure.best, unit),
        amount(figure.median, unit),
        f"{amount(figure.low, unit)} to {amount(figure.high, unit)}",
    ]
    if name != "tapegrad" and outcome.comparable(name, phase):
        ratio = outcome.ratio(name, phase)
        row += [digits(ratio.best), spread(ratio)]
    return row


def say(console: Console, text: str) -> None:
    """Print text as it is."""
    console.print(text, markup=False, highlight=False, emoji=False)
