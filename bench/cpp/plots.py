"""The pictures of a run: transparent, in tones that stand out from white and from black alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter

from bench.cpp.results import OWN, PHASES, Report, Row

INK = "#808080"
# Okabe and Ito's palette, which the colour-blind tell apart; those of middle lightness.
BLUE, ORANGE, GREEN = "#2a8fd0", "#d9730d", "#159a76"
PHASE_COLOURS = dict(zip(PHASES, (BLUE, ORANGE, GREEN), strict=True))
STYLE: Any = {  # rc_context wants the literal names of all its options
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "tapegrad",
    "svg.fonttype": "none",
}


def comparison(report: Report, names: Mapping[str, str], titles: Mapping[str, str]) -> Figure:
    """A panel a workload: bars of record, sweep and drop, the fastest contestant on top."""
    with matplotlib.rc_context(STYLE):
        workloads = report.workloads()
        lines = len(workloads) // 2 + 1  # the last panel says what the colours mean
        bars = max(len(report.of(workload)) for workload in workloads)
        figure = Figure(figsize=(11, lines * (0.22 * bars + 0.75)), layout="constrained")
        panels = list(figure.subplots(lines, 2, squeeze=False).flat)
        for workload, panel in zip(workloads, panels, strict=False):
            panel.set_title(titles[workload], loc="left", fontsize=9.5)
            draw_bars(panel, report.of(workload), names)
        for panel in panels[len(workloads) :]:
            panel.set_axis_off()
        label_phases(panels[len(workloads)])
        return figure


def draw_bars(panel: Axes, rows: list[Row], names: Mapping[str, str]) -> None:
    """Bars longer than the panel are cut, and say so by their number."""
    own = [row.total for row in rows if row.contestant in OWN]
    limit = 1.05 * max([2.5 * rows[len(rows) // 2].total, *own])
    for place, row in enumerate(rows):
        start = 0.0
        parts = {phase: row.figures[phase] for phase in PHASES if phase in row.figures}
        for phase, length in (parts or {"": row.total}).items():
            colour = PHASE_COLOURS.get(phase, INK)
            panel.barh(place, length, left=start, color=colour, height=0.72)
            start += length
        cut = row.total > limit
        panel.text(
            limit if cut else row.total,
            place,
            f" {'→ ' if cut else ''}{row.total:.{0 if row.total >= 100 else 2}f}",
            va="center",
            fontsize=8,
            weight="bold" if row.contestant in OWN else "normal",
        )
    panel.set_yticks(range(len(rows)), [names[row.contestant] for row in rows])
    for label, row in zip(panel.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row.contestant in OWN else "normal")
    panel.invert_yaxis()
    panel.set_xlim(0, limit)
    panel.set_xlabel("ns an operation", fontsize=8)


def label_phases(panel: Axes) -> None:
    """Says in the phases' own colours what the parts of a bar are."""
    y = 0.85
    for text, colour in [*PHASE_COLOURS.items(), ("timed as one", INK)]:
        panel.text(0.02, y, text, color=colour, weight="bold", fontsize=12)
        y -= 0.14


def scaling(report: Report, names: Mapping[str, str], titles: Mapping[str, str]) -> Figure:
    """Per workload: a Value's phases, everyone's totals, everyone's memory."""
    with matplotlib.rc_context(STYLE):
        workloads = list(dict.fromkeys(row.workload for row in report.scaling))
        figure = Figure(figsize=(11, 11), layout="constrained")
        panels = figure.subplots(3, len(workloads), squeeze=False, sharex=True, sharey="row")
        drawn: list[tuple[Axes, list[Line]]] = []
        for column, workload in enumerate(workloads):
            phases, totals, memory = panels[:, column]
            phases.set_title(titles[workload], loc="left", fontsize=10)
            own = report.series(workload, "tapegrad_value")
            drawn += [
                (phases, phase_lines(own)),
                (totals, contestant_lines(report, workload, "total", names)),
                (memory, contestant_lines(report, workload, "bytes", names)),
            ]
            draw_caches(phases, own, report.caches)
            memory.set_xlabel("operations")
        for panel, lines in drawn:
            draw_lines(panel, lines)
        for panel, lines in drawn:  # once the panels side by side have agreed on a scale
            label_lines(panel, lines)
        for panel, label in zip(
            panels[:, 0],
            (
                "tapegrad Value: ns an operation",
                "all phases: ns an operation",
                "bytes an operation",
            ),
            strict=True,
        ):
            panel.set_ylabel(label)
            panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
            panel.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
        return figure


@dataclass
class Line:
    """Rows' figure against their operations, the smallest first."""

    label: str
    colour: str
    width: float
    dash: str
    sizes: list[int]
    points: list[float]


def line(rows: list[Row], figure: str, label: str, colour: str, width: float, dash: str) -> Line:
    measured = [row for row in rows if row.figures.get(figure, 0.0) > 0.0]
    sizes = [row.operations for row in measured]
    return Line(label, colour, width, dash, sizes, [row.figures[figure] for row in measured])


def phase_lines(rows: list[Row]) -> list[Line]:
    """A Value's phases when warm, and its first recording."""
    lines = [line(rows, phase, phase, colour, 2.0, "-") for phase, colour in PHASE_COLOURS.items()]
    first = line(rows, "cold_record", "first recording", PHASE_COLOURS["record"], 2.0, ":")
    return [drawn for drawn in [*lines, first] if drawn.sizes]


def contestant_lines(
    report: Report, workload: str, figure: str, names: Mapping[str, str]
) -> list[Line]:
    """One line a contestant; tapegrad's are the thick ones."""
    lines = []
    for contestant in report.versions:
        if contestant == "codipack_forced":  # hides behind the other
            continue
        rows = report.series(workload, contestant)
        if figure == "bytes":  # below that, a page more or less is most of it
            rows = [row for row in rows if row.operations >= 100_000]
        colour = {"by_hand": GREEN}.get(contestant, BLUE if contestant in OWN else INK)
        width = 2.6 if contestant in OWN else 1.2
        lines.append(line(rows, figure, names[contestant], colour, width, "-"))
    return [drawn for drawn in lines if drawn.sizes]


def draw_lines(panel: Axes, lines: list[Line]) -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    for drawn in lines:
        panel.plot(drawn.sizes, drawn.points, drawn.dash, color=drawn.colour, lw=drawn.width)


def draw_caches(panel: Axes, rows: list[Row], caches: Mapping[str, int]) -> None:
    """Where the graph outgrows each cache."""
    bytes_a_node = [row.figures["bytes"] for row in rows if "bytes" in row.figures]
    for name, size in caches.items() if bytes_a_node else ():
        edge = size / bytes_a_node[-1]
        if rows[0].operations < edge < rows[-1].operations:
            panel.axvline(edge, color=INK, lw=0.8, ls="--")
            panel.text(edge, 0.99, f" {name}", transform=panel.get_xaxis_transform(), va="top")


def label_lines(panel: Axes, lines: list[Line]) -> None:
    """Each line's name at its end."""
    lines = sorted(lines, key=lambda drawn: drawn.points[-1])
    low, high = panel.get_ylim()
    ends = [math.log(drawn.points[-1]) for drawn in lines]
    for drawn, height in zip(lines, apart(ends, math.log(high / low) / 19), strict=True):
        panel.annotate(
            f" {drawn.label}",
            (drawn.sizes[-1], math.exp(height)),
            color=drawn.colour,
            va="center",
            fontsize=8.5,
            annotation_clip=False,
        )


def apart(heights: list[float], step: float) -> list[float]:
    """Ascending heights moved as little as gets them `step` apart: pooled where they collide.

    >>> apart([0.0, 0.0, 5.0], 1.0)
    [-0.5, 0.5, 5.0]
    """
    pools: list[list[float]] = []  # heights less the steps below them: these must only ascend
    for place, height in enumerate(heights):
        pools.append([height - place * step])
        while len(pools) > 1 and fmean(pools[-2]) > fmean(pools[-1]):
            above = pools.pop()
            pools[-1] += above
    pooled = [fmean(pool) for pool in pools for _ in pool]
    return [height + place * step for place, height in enumerate(pooled)]


def save(figure: Figure, stem: Path) -> list[Path]:
    """The SVG, and a PNG for where none is shown."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    with matplotlib.rc_context(STYLE):
        figure.savefig(paths[0], transparent=True, metadata={"Date": None})
        figure.savefig(paths[1], transparent=True, dpi=150)
    return paths
