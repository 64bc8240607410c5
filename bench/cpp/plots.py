"""The pictures of a run: transparent, in tones that stand out from white and from black alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from results import PHASES, Report, Row

INK = "#808080"
# Okabe and Ito's palette, which the colour-blind tell apart; those of middle lightness.
BLUE, ORANGE, GREEN, PINK = "#2a8fd0", "#d9730d", "#159a76", "#c0699b"
PHASE_COLOURS = dict(zip(PHASES, (BLUE, ORANGE, GREEN), strict=True))
STYLE = {
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
        lines = (len(workloads) + 1) // 2
        bars = max(len(report.of(workload)) for workload in workloads)
        figure = Figure(figsize=(10, lines * (0.22 * bars + 0.75)), layout="constrained")
        panels = figure.subplots(lines, 2, squeeze=False).flat
        for workload, panel in zip(workloads, panels, strict=False):
            rows = report.of(workload)
            panel.set_title(titles[workload], loc="left", fontsize=9.5)
            draw_bars(panel, rows, names)
        label_phases(figure, list(panels)[len(workloads) :])
        for panel in figure.axes[len(workloads) :]:
            panel.set_axis_off()
        return figure


def draw_bars(panel: Axes, rows: list[Row], names: Mapping[str, str]) -> None:
    """Bars longer than the panel are cut, and say so by their number."""
    own = [row.total for row in rows if row.contestant == "tapegrad"]
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
            weight="bold" if row.contestant == "tapegrad" else "normal",
        )
    panel.set_yticks(range(len(rows)), [names[row.contestant] for row in rows])
    for label, row in zip(panel.get_yticklabels(), rows, strict=True):
        label.set_weight("bold" if row.contestant == "tapegrad" else "normal")
    panel.invert_yaxis()
    panel.set_xlim(0, limit)
    panel.set_xlabel("ns an operation", fontsize=8)


def label_phases(figure: Figure, free: list[Axes]) -> None:
    """Says in the phases' own colours what the parts of a bar are."""
    panel = free[0] if free else figure.axes[0]
    x, y = (0.02, 0.8) if free else (0.55, 0.4)
    for phase, colour in PHASE_COLOURS.items():
        panel.text(x, y, phase, color=colour, weight="bold", fontsize=11, transform=panel.transAxes)
        y -= 0.14
    panel.text(x, y, "both or all, timed as one", color=INK, fontsize=9, transform=panel.transAxes)


def scaling(report: Report, names: Mapping[str, str], titles: Mapping[str, str]) -> Figure:
    """Per workload: tapegrad's phases, everyone's totals, everyone's memory."""
    with matplotlib.rc_context(STYLE):
        workloads = list(dict.fromkeys(row.workload for row in report.scaling))
        figure = Figure(figsize=(11, 9), layout="constrained")
        panels = figure.subplots(3, len(workloads), squeeze=False, sharex=True)
        for column, workload in enumerate(workloads):
            phases, totals, memory = panels[:, column]
            phases.set_title(titles[workload], loc="left", fontsize=10)
            draw_phases(phases, report.series(workload, "tapegrad"), report.caches)
            draw_lines(totals, report, workload, "total", names)
            draw_lines(memory, report, workload, "bytes", names)
            memory.set_xlabel("operations")
        for panel, label in zip(
            panels[:, 0],
            ("tapegrad: ns an operation", "all phases: ns an operation", "bytes an operation"),
            strict=True,
        ):
            panel.set_ylabel(label)
        return figure


def draw_phases(panel: Axes, rows: list[Row], caches: Mapping[str, int]) -> None:
    """Warm and cold phases, and where the graph outgrows each cache."""
    sizes = [row.operations for row in rows]
    panel.set_xscale("log")
    for phase, colour in PHASE_COLOURS.items():
        for prefix, dash in (("", "-"), ("cold_", ":")):
            points = [row.figures.get(prefix + phase, float("nan")) for row in rows]
            if prefix and phase != "record":
                continue
            panel.plot(sizes, points, dash, color=colour, lw=2)
            text = f" {'first recording' if prefix else phase}"
            panel.annotate(text, (sizes[-1], points[-1]), color=colour, va="center", fontsize=8.5)
    bytes_a_node = [row.figures["bytes"] for row in rows if "bytes" in row.figures]
    panel.set_ylim(0, 4 * max(row.figures["record"] for row in rows))
    if not bytes_a_node:
        return
    for name, size in caches.items():
        edge = size / bytes_a_node[-1]
        if sizes[0] < edge < sizes[-1]:
            panel.axvline(edge, color=INK, lw=0.8, ls="--")
            panel.text(edge, 0.99, f" {name}", transform=panel.get_xaxis_transform(), va="top")


def draw_lines(
    panel: Axes, report: Report, workload: str, name: str, names: Mapping[str, str]
) -> None:
    """One line a contestant, labelled at its end; tapegrad's is the thick one."""
    panel.set_xscale("log")
    panel.set_yscale("log")
    ends: list[tuple[float, float, str, str]] = []
    for contestant in report.versions:
        rows = [r for r in report.series(workload, contestant) if r.figures.get(name, 0) > 0]
        if name == "bytes":  # below that, a page more or less is most of it
            rows = [row for row in rows if row.operations >= 100_000]
        if not rows or contestant == "codipack_forced":
            continue
        own = contestant == "tapegrad"
        colour = {"tapegrad": BLUE, "by_hand": GREEN}.get(contestant, INK)
        points = [row.figures[name] for row in rows]
        sizes = [row.operations for row in rows]
        panel.plot(sizes, points, color=colour, lw=2.4 if own else 1.2, zorder=3 if own else 2)
        ends.append((points[-1], sizes[-1], names[contestant], colour))
    spread_labels(panel, ends)


def spread_labels(panel: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Labels at the ends of lines, moved apart where they would overlap."""
    low, high = panel.get_ylim()
    step = (high / low) ** 0.062
    last = 0.0
    for y, x, text, colour in sorted(ends):
        last = max(y, last * step)
        panel.annotate(f" {text}", (x, last), color=colour, va="center", fontsize=8)


def save(figure: Figure, stem: Path) -> list[Path]:
    """The SVG, and a PNG for where none is shown."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    with matplotlib.rc_context(STYLE):
        figure.savefig(paths[0], transparent=True, metadata={"Date": None})
        figure.savefig(paths[1], transparent=True, dpi=150)
    return paths
