"""The page docs/benchmarks/python.md, and the short table in the README."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.python.report.comparisons import comparisons
from bench.python.report.table import cells
from bench.python.report.wording import (
    COLUMNS,
    COMPILED_COLUMNS,
    COMPILED_HEADLINES,
    HEADLINES,
    absences,
    amount,
    digits,
    spread,
    versions,
    where,
)
from bench.python.results import Outcome, Results

__all__ = ["BEGIN", "END", "page", "put_into", "short_table"]

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

METHOD = """\
Each contestant runs in processes of its own. For each workload these take turns, round by round, so
that a drift of the machine's clock hits all alike; a turn is many runs back to back, as a training
loop runs. "best" is the fastest of all samples. "x tapegrad" is best over best, and its quartiles
are those of the ratio within a round. Every contestant's result and gradients agreed with
tapegrad's to 1e-9 before it was timed.

- "floats" runs the same program forward on plain floats: what the interpreter alone costs.
- "gc off" has Python's garbage collector run before each run, outside the clock, and not during it.
  "gc on" is Python's default, as for all that say nothing. The pure classes' graphs are cycles, so
  that their end is the collector's work: outside the clock with gc off, here and there with gc on.
  tapegrad's steps count the graph's end. Of the rows under "Ratios", those to microgpt's class with
  gc off leave it out on both sides, but for those that name it.
- torch is eager, in float64 tensors without dimensions, on one thread; it trains with torch.optim.
- autograd's numbers are NumPy's. xad starts its tape anew for each recording.
- casadi builds expression, gradient and function anew in each step, softmax without its shift.
- "jax, eager" dispatches each operation.
- "casadi, built once" and "jax, jit" are no eager programs: they run what was compiled before, with
  the control flow of that time.
- "tapegrad, functions" takes the gradient of a plain function, by `value_and_grad` or `vjp`;
  "tapegrad, compiled" is `compile` of that. Where compiled functions or gradients inside gradients
  are the subject, they are called "tapegrad", and "tapegrad, Values" is the same program on Values
  that live from call to call.
- A compiled function of many numbers is called with a NumPy array (microgpt's loss with nine, or
  with lists), and gives arrays back. casadi's numbers are put into its buffers and taken out again;
  "casadi, in place" is the evaluation alone: its inputs are there already, its results stay there.
- Recording is what comes before the second call: for jax, tracing alone, without XLA; for casadi,
  building expression, gradient and function.
"""


def page(results: Results) -> str:
    """The whole page."""
    return "\n".join(_page(results))


def _page(results: Results) -> Iterator[str]:
    yield "# Python benchmark\n"
    yield "Made by `python -m bench python`; do not edit.\n"
    plan = results.plan
    yield (
        f"{where(results)}. Peers: {versions(results)}. {plan['processes']} processes each, "
        f"{plan['rounds']} rounds of {plan['turn']:g} s a process.\n"
    )
    yield METHOD
    rows = [(title, digits(f.best), spread(f)) for title, f in comparisons(results)]
    if rows:
        yield "## Ratios\n"
        yield from grid(["", "best over best", "quartiles"], rows)
    for outcome in results.workloads.values():
        yield f"## {outcome.title}\n"
        yield f"Each {outcome.per}.\n"
        headings = ["", "", "best", "median", "quartiles", "x tapegrad", "quartiles"]
        yield from grid(headings, _rows(outcome))
        absent = list(absences(outcome))
        if absent:
            yield f"Absent: {'; '.join(absent)}.\n"


def _rows(outcome: Outcome) -> Iterator[Sequence[str]]:
    for phase in outcome.phases():
        title = f"**{phase}**"
        for name in outcome.samples:
            if outcome.has(name, phase):
                row = cells(outcome, name, phase)
                yield [title, *row, *[""] * (6 - len(row))]
                title = ""


def grid(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table, all columns after the first to the right."""
    yield f"| {' | '.join(headings)} |"
    yield f"|---|{'---:|' * (len(headings) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def short_table(results: Results) -> str:
    """The headlines: tapegrad's figure, and how many times that the peers take."""
    lines = list(_headlines(results, "", HEADLINES, COLUMNS))
    if any(results.has(w, "tapegrad", phase) for _, w, phase in COMPILED_HEADLINES):
        lines += _headlines(results, "compiled functions", COMPILED_HEADLINES, COMPILED_COLUMNS)
    note = (
        "The peers' columns say how many times tapegrad's figure theirs is; an empty cell was not "
        "measured. micrograd and microgpt's class (our own writing of it) run with Python's "
        f"garbage collector off. {where(results)}; {versions(results)}."
    )
    return "\n".join([*lines, note])


def _headlines(
    results: Results,
    corner: str,
    headlines: Sequence[tuple[str, str, str]],
    columns: Sequence[tuple[str, str]],
) -> Iterator[str]:
    shown = [
        (title, contestant)
        for title, contestant in columns
        if any(results.has(w, contestant, phase) for _, w, phase in headlines)
    ]
    rows = []
    for title, workload, phase in headlines:
        if results.has(workload, "tapegrad", phase):
            outcome = results.workloads[workload]
            best = amount(outcome.figure("tapegrad", phase).best, outcome.unit)
            rows.append([title, best, *[_times(outcome, c, phase) for _, c in shown]])
    return grid([corner, "tapegrad", *(title for title, _ in shown)], rows)


def _times(outcome: Outcome, contestant: str, phase: str) -> str:
    if contestant not in outcome.samples:
        # What the garbage collector has no part in has one contestant of each peer.
        contestant = contestant.removesuffix(", gc off")
    if not outcome.comparable(contestant, phase):
        return ""
    return digits(outcome.ratio(contestant, phase).best)


def put_into(path: Path, table: str) -> None:
    """Replace what is between the markers in a file.

    Raises ValueError where the markers are missing.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no {BEGIN} followed by {END}")
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
