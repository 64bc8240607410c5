"""The demo's main function: train, draw, compare and report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tapegrad import Value
from tapegrad.demo import pictures
from tapegrad.demo.comparison import TOLERANCE, Comparison, compare
from tapegrad.demo.data import Problem, load_problem
from tapegrad.demo.report import (
    Result,
    progress_line,
    say,
    show_notes,
    show_pictures,
    show_table,
)
from tapegrad.demo.training import Step, accuracy_on, make_network, train
from tapegrad.nn import MLP

__all__ = ["run"]

# The width of the longest title, so that all bars align.
_TITLE_WIDTH = len("breast cancer")
_PURE_TITLE_WIDTH = _TITLE_WIDTH + len(" in pure Python, collector off")


def run(
    names: Iterable[str], steps: int, pure_steps: int, seed: int, out: Path, written: list[Path]
) -> int:
    """Run the demo, and return the exit status: 1 if engine and pure Python disagree, else 0.

    The paths of pictures are appended to `written` as they are saved.
    """
    console = Console()
    problems = [load_problem(name, seed) for name in names]
    networks = [make_network(problem, seed) for problem in problems]
    results = [
        _trained(console, problem, network, steps, seed)
        for problem, network in zip(problems, networks, strict=True)
    ]
    _draw(results, networks, out, written)
    if pure_steps:
        results = [_compared(console, result, pure_steps, seed) for result in results]

    show_table(console, results)
    both = [(result.collector_on, result.collector_off) for result in results]
    comparisons = [c for pair in both for c in pair if c is not None]
    show_notes(console, pure_steps, comparisons)
    show_pictures(console, written)
    worst = max((comparison.difference for comparison in comparisons), default=0.0)
    if not worst <= TOLERANCE:
        say(console, f"The losses should agree to {TOLERANCE}: this is a bug of tapegrad.")
        return 1
    return 0


def _trained(console: Console, problem: Problem, network: MLP, steps: int, seed: int) -> Result:
    history: list[Step] = []
    with progress_line(console, f"{problem.title:{_TITLE_WIDTH}}", steps) as line:
        for step in train(network, Value, problem, steps, seed):
            history.append(step)
            line.advance(f"loss {step.loss:.4f}, accuracy {step.accuracy:.1%}")
    return Result(
        problem=problem,
        history=history,
        train_accuracy=accuracy_on(problem.train, network),
        held_out_accuracy=accuracy_on(problem.held_out, network),
    )


def _draw(
    results: Sequence[Result], networks: Sequence[MLP], out: Path, written: list[Path]
) -> None:
    histories = {result.problem.title: result.history for result in results}
    written.append(pictures.draw_curves(out / "loss.png", histories))
    for result, network in zip(results, networks, strict=True):
        if len(result.problem.features) == 2:
            accuracy = result.held_out_accuracy
            path = out / "boundary.png"
            written.append(pictures.draw_boundary(path, result.problem, network, accuracy))
    written.append(pictures.draw_neuron(out / "neuron.svg", results[0].problem, networks[0]))


def _compared(console: Console, result: Result, steps: int, seed: int) -> Result:
    def against_pure(collector: bool) -> Comparison:
        state = "on" if collector else "off"
        title = f"{result.problem.title} in pure Python, collector {state}"
        with progress_line(console, f"{title:{_PURE_TITLE_WIDTH}}", steps) as line:
            return compare(
                result.problem, steps, seed, collector=collector, after_step=line.advance
            )

    return replace(result, collector_on=against_pure(True), collector_off=against_pure(False))
