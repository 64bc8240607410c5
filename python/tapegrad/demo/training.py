"""The training loop, which runs on the engine's Values and on those of `tapegrad.demo.pure`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tapegrad import _core
from tapegrad.demo.data import Problem, Rows
from tapegrad.nn import MLP

__all__ = ["Step", "accuracy_on", "clock", "make_network", "scores_of", "train"]

# Processor time if its resolution is fine enough, since other processes do not affect it.
_FINE = time.get_clock_info("thread_time").resolution < 1e-6
clock = time.thread_time if _FINE else time.perf_counter


@dataclass(frozen=True, slots=True)
class Step:
    """The results of one training step: loss and accuracy on its batch, nodes recorded, time."""

    loss: float
    accuracy: float
    nodes: int
    seconds: float


def make_network(problem: Problem, seed: int) -> MLP:
    """Make the problem's network, with initial weights determined by `seed`."""
    random.seed(seed)
    inputs, *widths = problem.sizes
    network = MLP(inputs, widths)
    for p in network.parameters():
        p.data *= problem.weight_scale
    return network


def train(
    network: MLP, number: Callable[[float], Any], problem: Problem, steps: int, seed: int
) -> Iterator[Step]:
    """Yield the steps of training `network`; `number` converts the inputs to its kind of Value."""
    source = random.Random(seed)
    for k in range(steps):
        batch = _sample(problem.train, problem.batch_size, source)
        rate = problem.learning_rate * (1.0 - 0.9 * k / steps)
        begin = clock()
        loss, accuracy, nodes = _update(network, number, batch, problem.penalty, rate)
        yield Step(loss, accuracy, nodes, clock() - begin)


def _sample(rows: Rows, count: int, source: random.Random) -> Rows:
    chosen = source.sample(range(len(rows.inputs)), count)
    return Rows([rows.inputs[i] for i in chosen], [rows.targets[i] for i in chosen])


def _update(
    network: MLP, number: Callable[[float], Any], rows: Rows, penalty: float, rate: float
) -> tuple[float, float, int]:
    """Do one step of gradient descent. Returning frees the graph, so the time includes that."""
    before = _core.arena()["nodes"]
    loss, accuracy = _loss(network, number, rows, penalty)
    nodes = _core.arena()["nodes"] - before
    network.zero_grad()
    loss.backward()
    for p in network.parameters():
        p.data -= rate * p.grad
    return float(loss.data), accuracy, nodes


def _loss(
    network: MLP, number: Callable[[float], Any], rows: Rows, penalty: float
) -> tuple[Any, float]:
    """Return micrograd's loss, the hinge loss with an L2 penalty, and the accuracy."""
    scores = [network([number(x) for x in row]) for row in rows.inputs]
    pairs = list(zip(rows.targets, scores, strict=True))
    hinge = sum((1 + -target * score).relu() for target, score in pairs) * (1.0 / len(pairs))
    squares: Any = sum(p * p for p in network.parameters())
    return hinge + penalty * squares, _share_right((t, score.data) for t, score in pairs)


def scores_of(network: MLP, inputs: list[list[float]]) -> list[float]:
    """Return the network's outputs, row by row."""
    return [network(row).data for row in inputs]


def accuracy_on(rows: Rows, network: MLP) -> float:
    """Return the fraction of rows that the network classifies correctly."""
    return _share_right(zip(rows.targets, scores_of(network, rows.inputs), strict=True))


def _share_right(pairs: Iterable[tuple[float, float]]) -> float:
    right = [(target > 0) == (score > 0) for target, score in pairs]
    return sum(right) / len(right)
