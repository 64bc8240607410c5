"""The demo's pictures: loss curves, a decision boundary, and the graph of a neuron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tapegrad import Value
from tapegrad.demo.data import Problem, Rows
from tapegrad.demo.training import Step, scores_of
from tapegrad.draw import save_drawing
from tapegrad.nn import MLP, Neuron

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_boundary", "draw_curves", "draw_neuron"]

_WINDOW = 10
_MOST_INPUTS = 3
_COLOURS = {-1.0: "#7b3294", 1.0: "#e66101"}


def draw_curves(path: Path, histories: Mapping[str, Sequence[Step]]) -> Path:
    """Plot loss and accuracy on each step's batch, with a column of panels for each data set."""
    figure = _figure(width=5.2 * len(histories), height=5.6)
    axes = figure.subplots(2, len(histories), sharex="col", squeeze=False)
    for (upper, lower), (title, history) in zip(axes.T, histories.items(), strict=True):
        _plot(upper, [step.loss for step in history], "#1f77b4")
        _plot(lower, [100 * step.accuracy for step in history], "#2ca02c")
        upper.set(title=title, yscale="log")
        lower.set(xlabel="step", ylim=(min(50, *lower.get_ylim()), 101))
    axes[0][0].set_ylabel("loss (hinge and penalty)")
    axes[1][0].set_ylabel("accuracy, %")
    axes[0][0].legend()
    return _saved(figure, path)


def _plot(axes: Axes, values: Sequence[float], colour: str) -> None:
    """Plot each step's value and their running mean, since batches differ."""
    steps = range(1, len(values) + 1)
    marker = "o" if len(values) == 1 else ""
    axes.plot(steps, values, marker=marker, color=colour, alpha=0.35, label="of each batch")
    means = [np.mean(values[max(0, k - _WINDOW) : k]) for k in steps]
    axes.plot(steps, means, color=colour, label=f"mean of the last {_WINDOW}")
    axes.grid(alpha=0.3)


def draw_boundary(path: Path, problem: Problem, network: MLP, accuracy: float) -> Path:
    """Plot the network's score over the plane, the line where it is zero, and the rows."""
    points = np.array(problem.train.inputs + problem.held_out.inputs)
    low, high = points.min(axis=0) - 0.4, points.max(axis=0) + 0.4
    xs, ys = np.linspace(low[0], high[0], 90), np.linspace(low[1], high[1], 70)
    inputs = [[x, y] for y in ys.tolist() for x in xs.tolist()]
    scores = np.array(scores_of(network, inputs)).reshape(len(ys), len(xs))

    figure = _figure(width=7.4, height=4.6)
    axes = figure.add_subplot()
    levels = np.linspace(-4, 4, 17)
    filled = axes.contourf(xs, ys, scores, levels, cmap="PuOr_r", alpha=0.6, extend="both")
    if scores.min() < 0 < scores.max():
        axes.contour(xs, ys, scores, levels=[0.0], colors="black", linewidths=1.5)
    _scatter(axes, problem.train, "o", "trained on")
    _scatter(axes, problem.held_out, "^", "held out")
    figure.colorbar(filled, label="score", ticks=levels[::4])
    axes.set(
        title=f"{problem.title}: {accuracy:.1%} of {len(problem.held_out.targets)} "
        "held-out rows on their side",
        xlabel=problem.features[0],
        ylabel=problem.features[1],
        aspect="equal",
    )
    axes.legend(loc="upper right")
    return _saved(figure, path)


def _scatter(axes: Axes, rows: Rows, marker: str, label: str) -> None:
    xs, ys = np.array(rows.inputs).T
    colours = [_COLOURS[target] for target in rows.targets]
    axes.scatter(
        xs, ys, s=26, c=colours, marker=marker, edgecolors="white", linewidths=0.6, label=label
    )


def draw_neuron(path: Path, problem: Problem, network: MLP) -> Path:
    """Draw the graph of one neuron on one row of data, with the gradients of backward().

    It is the first neuron with a positive output for the row. Of many inputs, those with the
    largest products are drawn; the others are added to the bias.
    """
    row = problem.held_out.inputs[0]
    neurons = network.layers[0].neurons
    whole = next((neuron for neuron in neurons if neuron(row).data > 0), neurons[0])
    weights = [w.data for w in whole.w]
    products = [weight * x for weight, x in zip(weights, row, strict=True)]
    ranked = sorted(range(len(row)), key=lambda i: -abs(products[i]))
    shown, others = ranked[:_MOST_INPUTS], ranked[_MOST_INPUTS:]

    names = problem.features
    drawn = Neuron(len(shown), nonlin=whole.nonlin)
    drawn.w = [Value(weights[i], label=f"weight of {names[i]}") for i in shown]
    bias = whole.b.data + sum(products[i] for i in others)
    drawn.b = Value(bias, label=f"bias and {len(others)} other inputs" if others else "bias")
    output = drawn([Value(row[i], label=names[i]) for i in shown])
    output.label = "output"
    output.backward()
    return save_drawing(output, path)


def _figure(width: float, height: float) -> Figure:
    """Make a figure without pyplot, which would keep state and may need a display."""
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    return path
