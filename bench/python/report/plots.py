"""Plots, as SVG and PNG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from bench.python.report.wording import HEADLINES, sizes
from bench.python.results import Outcome, Results
from bench.python.suite import power

__all__ = ["draw"]

# Okabe and Ito's colours, which stay apart for colour-blind eyes, and a marker each.
STYLES = {
    "tapegrad": ("#000000", "o"),
    "floats": ("#999999", "|"),
    "micrograd, gc off": ("#D55E00", "s"),
    "microgpt's class, gc off": ("#E69F00", "D"),
    "torch": ("#CC79A7", "^"),
    "autograd": ("#0072B2", "v"),
    "xad": ("#009E73", "P"),
    "casadi": ("#56B4E9", "X"),
    "jax, eager": ("#8C6D1F", "*"),
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what there are figures for, and return the files written."""
    # The same file of the same figures: no date, no random names.
    settings: Any = {"svg.hashsalt": "tapegrad", "font.size": 9, "axes.axisbelow": True}
    with mpl.rc_context(settings):
        canvases = {"ratios": ratios(results), "scaling": scaling(results)}
    written = []
    for name, canvas in canvases.items():
        if canvas is not None:
            for kind in ("svg", "png"):
                path = folder / f"python-{name}.{kind}"
                with mpl.rc_context(settings):
                    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
                    canvas.savefig(path, dpi=150, metadata=metadata)
                written.append(path)
    return written


def contestant_in(outcome: Outcome, name: str, phase: str) -> str | None:
    """The contestant of this name, or of its peer where the collector has no part."""
    for found in (name, name.removesuffix(", gc off")):
        if outcome.has(found, phase):
            return found
    return None


def ratios(results: Results) -> Canvas | None:
    """The headlines: how many times tapegrad's figure each peer's is, on a log scale."""
    rows = [
        (title.replace("`", ""), results.workloads[workload], phase)
        for title, workload, phase in HEADLINES
        if results.has(workload, "tapegrad", phase)
    ]
    if not rows:
        return None
    canvas = Canvas(figsize=(9, 1.4 + 0.36 * len(rows)), layout="constrained")
    axes = canvas.add_subplot()
    for name, (colour, marker) in STYLES.items():
        points = []
        for height, (_, outcome, phase) in enumerate(rows):
            found = contestant_in(outcome, name, phase)
            if found is not None and outcome.comparable(found, phase):
                points.append((outcome.ratio(found, phase).best, height))
        if points:
            label = name.removesuffix(", gc off")
            axes.scatter(
                *unzipped(points), color=colour, marker=marker, s=42, label=label, zorder=3
            )
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [title for title, _, _ in rows])
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(True, axis="x", which="major", color="#dddddd")
    axes.grid(True, axis="y", color="#eeeeee")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}")
    axes.set_xlabel("times tapegrad's time (or memory); the pure-Python classes with gc off")
    canvas.legend(loc="outside upper center", ncols=5, frameon=False)
    return canvas


def scaling(results: Results) -> Canvas | None:
    """Time and memory of an operation against the length of a chain."""
    times, memories = sizes(results, "chain"), sizes(results, "memory")
    if not times and not memories:
        return None
    canvas = Canvas(figsize=(9, 4), layout="constrained")
    left, right = canvas.subplots(1, 2)

    def best(kind: str, phase: str) -> Callable[[str, int], float | None]:
        def at(name: str, size: int) -> float | None:
            outcome = results.workloads[f"{kind} {power(size)}"]
            found = contestant_in(outcome, name, phase)
            return None if found is None else outcome.figure(found, phase).best

        return at

    curves(left, times, best("chain", "all"), 1e9)
    for phase, line in (("record", "--"), ("sweep", ":"), ("drop", "-.")):
        at = best("chain", phase)
        points = [(size, y * 1e9) for size in times if (y := at("tapegrad", size)) is not None]
        if points:
            left.plot(
                *unzipped(points), line, color="black", linewidth=1, label=f"tapegrad: {phase}"
            )
    curves(right, memories, best("memory", "recorded"), 1.0)
    left.set_ylabel("record, sweep and drop, ns an operation")
    right.set_ylabel("resident memory, bytes an operation")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("operations of the chain x = x * a + b")
        axes.grid(True, which="major", color="#dddddd")
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}" if y >= 1 else f"{y:g}")
    handles, labels = left.get_legend_handles_labels()
    if handles:
        canvas.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    return canvas


def curves(
    axes: Any, places: Sequence[int], at: Callable[[str, int], float | None], scale: float
) -> None:
    """A line for each contestant that has figures, those of nothing left out."""
    for name, (colour, marker) in STYLES.items():
        found: Iterable[tuple[int, float | None]] = ((size, at(name, size)) for size in places)
        points = [(size, y * scale) for size, y in found if y is not None and y > 0]
        if points:
            look = {"color": colour, "marker": marker, "label": name.removesuffix(", gc off")}
            axes.plot(*unzipped(points), markersize=5, linewidth=1.5, **look)


def unzipped(points: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The points' places and heights."""
    pairs = list(points)
    return [x for x, _ in pairs], [y for _, y in pairs]
