"""The benchmark from beginning to end."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.python.peers import OWN, PEERS
from bench.python.report import markdown
from bench.python.report.table import say, show
from bench.python.results import Outcome, Results, circumstances, load, make, outcome, save
from bench.python.suite import QUICK, QUICK_PEERS, WORKLOADS
from bench.python.timing import Plan, hold
from bench.python.workloads.base import Workload

__all__ = ["measure", "run", "write"]

T = TypeVar("T")

PLANS = {
    "quick": Plan(processes=1, rounds=4, turn=0.15, budget=1.5),
    "full": Plan(processes=4, rounds=3, turn=0.2, budget=1.5),
}


def run(args: argparse.Namespace) -> int:
    """Measure (or load), write and show; the status is 1 where a peer's result was wrong.

    Raises LookupError for a name that is none, ValueError for a file that is something else.
    """
    console = Console()
    if args.list:
        show_names()
        return 0
    wrong: list[str] = []
    if args.stored is not None:
        results = load(args.stored)
    else:
        suite = "full" if args.full else "quick"
        names = args.workloads or (WORKLOADS if args.full else QUICK)
        peers = args.peers or (PEERS if args.full else QUICK_PEERS)
        chosen = {"processes": args.processes, "rounds": args.rounds, "turn": args.turn}
        chosen |= {"budget": args.budget, "fresh": args.processes}
        plan = replace(PLANS[suite], **{k: v for k, v in chosen.items() if v is not None})
        workloads = [pick(name, WORKLOADS, "workload") for name in names]
        for name in peers:
            pick(name, PEERS, "peer")
        results = measure(console, workloads, [*OWN, *peers], plan, wrong)
    written = write(results, args.out, args.readme)
    if args.stored is None:
        show(console, results)
    say(console, "Written: " + ", ".join(map(str, written)))
    for complaint in wrong:
        say(console, f"WRONG: {complaint}")
    return 1 if wrong else 0


def show_names() -> None:
    """Print workloads and peers, marked where a run without --full has them."""
    for title, names, quick in (
        ("workloads", WORKLOADS, QUICK),
        ("peers", PEERS, QUICK_PEERS),
    ):
        print(f"{title} (* without --full)")
        for name in names:
            absent = name in PEERS and not PEERS[name].installed()
            print(f"  {'*' if name in quick else ' '} {name}{', not installed' * absent}")


def pick(name: str, known: Mapping[str, T], kind: str) -> T:
    """What has this name; LookupError that suggests another."""
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else "see --list"
        raise LookupError(f"there is no {kind} {name!r}: {hint}")
    return known[name]


def measure(
    console: Console,
    workloads: Sequence[Workload],
    peers: Sequence[str],
    plan: Plan,
    wrong: list[str],
) -> Results:
    """Run the workloads with these peers; who computed something else is added to `wrong`."""
    outcomes: list[Outcome] = []
    facts = circumstances()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # Drawn between the turns and not by a thread: drawing stays out of the times measured.
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=len(workloads))

        def advance(status: str) -> None:
            progress.update(task, description=status, refresh=True)

        for number, workload in enumerate(workloads, 1):
            if not console.is_terminal:
                say(console, f"{number}/{len(workloads)}: {workload.title}")
            contestants = [c for c in workload.contestants() if c.peer in peers]
            contest = hold(workload, contestants, plan, advance)
            outcomes.append(outcome(workload, contest))
            wrong += [f"{workload.name}, {name}: {contest.absent[name]}" for name in contest.wrong]
            progress.update(task, advance=1, refresh=True)
    return make(plan, outcomes, facts)


def write(results: Results, folder: Path, readme: Path | None) -> list[Path]:
    """Write JSON, page, plots and the README's table; return the files."""
    from bench.python.report import plots  # matplotlib takes its time

    folder.mkdir(parents=True, exist_ok=True)
    stored, page = folder / "python.json", folder / "python.md"
    save(results, stored)
    page.write_text(markdown.page(results), encoding="utf-8")
    written = [stored, page, *plots.draw(results, folder)]
    if readme is not None:
        markdown.put_into(readme, markdown.short_table(results))
        written.append(readme)
    return written
