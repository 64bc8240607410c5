"""Timing of the training loop on the engine and in pure Python."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tapegrad import Value
from tapegrad.demo import pure
from tapegrad.demo.data import Problem
from tapegrad.demo.training import Step, make_network, train
from tapegrad.nn import MLP

__all__ = ["TOLERANCE", "Comparison", "compare", "in_pure_python"]

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Comparison:
    """The times of the same steps on the engine and in pure Python.

    `difference` is the largest relative difference of the losses.
    """

    engine_seconds: float
    pure_seconds: float
    difference: float

    @property
    def times_faster(self) -> float:
        """The time in pure Python divided by the time on the engine."""
        return self.pure_seconds / self.engine_seconds


def compare(
    problem: Problem,
    steps: int,
    seed: int,
    *,
    collector: bool,
    after_step: Callable[[], None] = lambda: None,
) -> Comparison:
    """Train on the engine and in pure Python, alternating steps, from the same weights and batches.

    `collector` switches Python's garbage collector on or off during steps.
    """
    ours = train(make_network(problem, seed), Value, problem, steps, seed)
    network = in_pure_python(make_network(problem, seed))
    theirs = train(network, pure.Value, problem, steps, seed)
    pairs: list[tuple[Step, Step]] = []
    for _ in range(steps):
        pairs.append((_next(ours, collector), _next(theirs, collector)))
        after_step()
    return Comparison(
        engine_seconds=sum(mine.seconds for mine, _ in pairs),
        pure_seconds=sum(other.seconds for _, other in pairs),
        difference=max(abs(mine.loss - other.loss) / abs(other.loss) for mine, other in pairs),
    )


def in_pure_python(network: MLP) -> MLP:
    """Replace the parameters of a network by pure-Python Values of the same data."""
    for layer in network.layers:
        for neuron in layer.neurons:
            unit: Any = neuron  # nn is typed for the engine's Values, but works with others
            unit.w = [pure.Value(w.data) for w in neuron.w]
            unit.b = pure.Value(neuron.b.data)
    return network


def _next(training: Iterator[Step], collector: bool) -> Step:
    """Do the next step, after collecting the garbage of the one before."""
    gc.collect()
    with _collector(collector):
        return next(training)


@contextmanager
def _collector(on: bool) -> Iterator[None]:
    was_on = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        yield
    finally:
        (gc.enable if was_on else gc.disable)()
