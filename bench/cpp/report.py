"""Tables and plots of what `python -m bench cpp` measured.

    python -m bench.cpp.report --out docs/benchmarks first.json [second.json ...]

prints and draws stored runs of one build as one run, with the best of each figure.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.cpp import plots
from bench.cpp.results import OWN, PHASES, Report, Row, combine

LIMIT = "by_hand"
NAMES = {
    "tapegrad": "tapegrad CompactTape",
    "tapegrad_value": "tapegrad Value",
    "tapegrad_program": "tapegrad Program, replayed",
    "by_hand": "by hand",
    "codipack": "CoDiPack",
    "codipack_forced": "CoDiPack, forced inlines",
    "adept": "Adept",
    "xad": "XAD",
    "cppad": "CppAD",
    "cppad_optimized": "CppAD, optimised, replayed",
    "adolc": "ADOL-C",
    "stan": "Stan Math",
}
TITLES = {
    "chain_fused": "chain, x = x * a + b in one statement",
    "chain_split": "chain, in two statements",
    "mlp_relu": "MLP 2-16-16-1 on 100 points, relu",
    "mlp_tanh": "MLP 2-16-16-1 on 100 points, tanh",
    "matrix_vector": "matrix-vector 256 x 256, sum of squares",
    "black_scholes": "Black-Scholes, 10,000 options on one tape",
    "one_option": "Black-Scholes, one option at a time",
}
SCALING_TITLES = {
    "chain_fused": "chain of growing length",
    "mlp_relu": "MLP 2-16-16-1, relu, on more and more points",
}
COLUMNS = (
    "",
    "record",
    "sweep",
    "drop",
    "record + sweep",
    "total",
    "times CompactTape",
    "times by hand",
    "spread",
    "first recording",
    "bytes",
)


def figure(number: float | None, digits: int = 2) -> str:
    """Three digits or so; nothing where nothing was measured."""
    if number is None:
        return ""
    return f"{number:.{0 if abs(number) >= 100 else digits}f}"


def cells(row: Row, beside: Iterable[float | None] = ()) -> list[str]:
    """The columns after the name; `beside` are totals to divide the row's by."""
    cold = row.cold
    return [
        *(figure(row.figures.get(phase)) for phase in PHASES),
        figure(row.record_and_sweep),
        figure(row.total),
        *(figure(row.total / other) if other else "" for other in beside),
        f"{100 * row.spread:.0f} %",
        "" if cold is None else f"{cold:+.1f}",
        figure(row.figures.get("bytes"), 1),
    ]


def sections(report: Report) -> Iterator[tuple[str, list[list[str]]]]:
    """Each workload's title and lines, the fastest contestant first."""
    for workload in report.workloads():
        rows = report.of(workload)
        totals = {row.contestant: row.total for row in rows}
        beside = [totals.get(name) for name in ("tapegrad", LIMIT)]
        title = TITLES[workload]
        if rows[0].items > 1:
            operations = rows[0].operations // rows[0].items
            title += f" ({operations} operations each)"
        yield title, [[NAMES[row.contestant], *cells(row, beside)] for row in rows]


def provenance(report: Report) -> str:
    return (
        f"Commit {report.commit}, {report.date}; {report.machine}; {report.system}; "
        f"{report.compiler}, `{report.flags}`. The best of {report.rounds} rounds."
    )


def print_table(report: Report) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    for title, lines in sections(report):
        table = Table(title=title, title_justify="left", title_style="bold")
        for name in COLUMNS:
            table.add_column(name, justify="left" if name == "" else "right", no_wrap=name == "")
        for line in lines:
            style = {NAMES[LIMIT]: "dim"} | {NAMES[name]: "bold" for name in OWN}
            table.add_row(*line, style=style.get(line[0]))
        console.print(table)
    console.print(provenance(report).replace("`", ""))


def markdown(report: Report) -> str:
    versions = ", ".join(
        f"{NAMES[name]} {version}"
        for name, version in report.versions.items()
        if name not in (*OWN, LIMIT, "codipack_forced", "cppad_optimized")
    )
    parts = [
        "# The C++ core beside its peers",
        "",
        "Written by `python -m bench cpp`; not to be edited.",
        "",
        provenance(report) + (f" Peers: {versions}." if versions else ""),
        "",
        "Nanoseconds an elementary operation. *tapegrad CompactTape* is in `compact_tape.hpp`,",
        "*tapegrad Value* the nodes that Python shows. *By hand* is the adjoint as one would write",
        "it for this one function: the limit. *Spread* is how far the median round lay above the",
        "best. *First recording* is what an operation costs above that in a new process, whose",
        "memory nothing has touched but the program's own vector of inputs. *Bytes* are those by",
        "which that process grew for an operation, with inputs and their vectors among them.",
        "*Replayed* contestants record before what is timed: what stands under sweep is one",
        "evaluation of value and gradient. All gradients agree to nine digits.",
        "A peer that was not found is absent.",
        "",
        "![Record, sweep and drop of each contestant](cpp.svg)",
    ]
    for title, lines in sections(report):
        parts += ["", f"## {title}", ""]
        parts.append("| " + " | ".join(COLUMNS) + " |")
        parts.append("|---|" + "---:|" * (len(COLUMNS) - 1))
        parts += ["| " + " | ".join(line) + " |" for line in lines]
    if report.scaling:
        parts += ["", "## Scaling", "", "![Time and memory against size](cpp-scaling.svg)"]
        for workload in dict.fromkeys(row.workload for row in report.scaling):
            for own in OWN:
                if not report.series(workload, own):
                    continue
                parts += ["", f"{NAMES[own]}, {SCALING_TITLES[workload]}:", ""]
                parts.append("| operations | record | sweep | drop | first recording | bytes |")
                parts.append("|" + "---:|" * 6)
                for row in report.series(workload, own):
                    record, sweep, drop, *_, first, size = cells(row)
                    line = [f"{row.operations:,}", record, sweep, drop, first, size]
                    parts.append("| " + " | ".join(line) + " |")
    return "\n".join(parts) + "\n"


def publish(report: Report, folder: Path | None) -> None:
    """Prints the table; with a folder, leaves the JSON, the table and the plots there."""
    print_table(report)
    if folder is None:
        return
    report.save(folder / "cpp.json")
    (folder / "cpp.md").write_text(markdown(report))
    written = plots.save(plots.comparison(report, NAMES, TITLES), folder / "cpp")
    if report.scaling:
        written += plots.save(plots.scaling(report, NAMES, SCALING_TITLES), folder / "cpp-scaling")
    print("written:", *["cpp.json", "cpp.md", *(path.name for path in written)], "in", folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="run.json")
    parser.add_argument("--out", type=Path, help="folder of the JSON, table and plots")
    parser.add_argument("--markdown", action="store_true", help="print that table alone")
    options = parser.parse_args()
    report = combine([Report.load(path) for path in options.runs])
    if options.markdown:
        print(markdown(report), end="")
    else:
        publish(report, options.out)


if __name__ == "__main__":
    main()
