"""The drop-in figures in one run: operators against float, training steps against pure Python.

    python bench/python/drop_in.py [--repeat 15] [--json out.json]

Each figure is the best of many repetitions, the contestants taking turns, so that a drift of the
machine's clock hits all alike. Pure Python is measured with its garbage collector off and on.
Needs micrograd from PyPI for its rows; rows of a peer that is not installed are left out.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import microgpt_dialect as gpt

import tapegrad
import tapegrad.nn
from tapegrad import Value

Contest = dict[str, Callable[[], Any]]


def best_of(contest: Contest, repeat: int, turn: float = 0.0) -> dict[str, float]:
    """Seconds of the fastest run of each contestant; they take turns of at least `turn` seconds.

    A turn of many runs is how a training loop runs: with its own memory in the caches.
    """
    best = dict.fromkeys(contest, float("inf"))
    for _ in range(repeat):
        for name, run in contest.items():
            gc.collect()
            end = time.perf_counter() + turn
            while True:
                best[name] = min(best[name], timed(run, collector=not name.endswith("gc off")))
                if time.perf_counter() >= end:
                    break
    return best


def timed(run: Callable[[], Any], collector: bool) -> float:
    """Seconds of one run; without the collector, the garbage is collected before it."""
    if collector:
        start = time.perf_counter()
        kept = run()  # what it returns is dropped after the clock has stopped
        seconds = time.perf_counter() - start
        del kept
        return seconds
    gc.collect()
    gc.disable()
    try:
        return timed(run, collector=True)
    finally:
        gc.enable()


def operator_costs(repeat: int, loops: int = 100_000) -> dict[str, float]:
    """Nanoseconds an operation, the empty loop taken off."""
    rounds = range(loops)
    x, y = 1.5, 2.5
    a, b = Value(1.5), Value(2.5)

    def empty() -> None:
        for _ in rounds:
            pass

    def float_add() -> None:
        for _ in rounds:
            x + y

    def add() -> None:
        for _ in rounds:
            a + b

    def add_number() -> None:
        for _ in rounds:
            a + 1.5

    def data() -> None:
        for _ in rounds:
            a.data

    def make() -> None:
        for _ in rounds:
            Value(x)

    def relu() -> None:
        for _ in rounds:
            a.relu()

    contest: Contest = {
        "empty": empty,
        "float + float": float_add,
        "a + b": add,
        "a + 1.5": add_number,
        ".data": data,
        "Value(x)": make,
        ".relu()": relu,
    }
    best = best_of(contest, repeat)
    idle = best.pop("empty")
    return {name: (seconds - idle) / loops * 1e9 for name, seconds in best.items()}


def demo_step(value: Any, nn: Any) -> Callable[[], float]:
    """One training step of micrograd's demo: forward, backward, update."""
    random.seed(1337)
    points = [(random.uniform(-1, 2), random.uniform(-1, 1)) for _ in range(100)]
    targets = [1 if x * x + y > 0.5 else -1 for x, y in points]
    model = nn.MLP(2, [16, 16, 1])

    def step() -> float:
        inputs = [list(map(value, point)) for point in points]
        scores = list(map(model, inputs))
        losses = [(1 + -target * score).relu() for target, score in zip(targets, scores)]
        data_loss = sum(losses) * (1.0 / len(losses))
        total = data_loss + 1e-4 * sum((p * p for p in model.parameters()))
        model.zero_grad()
        total.backward()
        for p in model.parameters():
            p.data -= 0.1 * p.grad
        return float(total.data)

    return step


def microgpt_step(value: Any) -> Callable[[], Any]:
    """Forward and backward of one document through microgpt's default model."""
    random.seed(42)
    model = gpt.Transformer(value, 27)
    document = gpt.encode("isabella", "abcdefghijklmnopqrstuvwxyz")

    def step() -> Any:
        loss = model.loss(document)
        loss.backward()
        return loss

    return step


def demo_times(repeat: int) -> dict[str, float]:
    contest: Contest = {"tapegrad": demo_step(Value, tapegrad.nn)}
    if importlib.util.find_spec("micrograd") is not None:
        import micrograd.engine
        import micrograd.nn

        pure = demo_step(micrograd.engine.Value, micrograd.nn)
        contest |= {"micrograd, gc off": pure, "micrograd, gc on": pure}
    return best_of(contest, repeat, turn=0.2)


def microgpt_times(repeat: int, drop: bool) -> dict[str, float]:
    """With `drop`, the graph's own end is counted too."""

    def contestant(value: Any) -> Callable[[], Any]:
        step = microgpt_step(value)
        return (lambda: step().data) if drop else step

    pure = contestant(gpt.PureValue)
    contest: Contest = {
        "tapegrad": contestant(Value),
        "pure, gc off": pure,
        "pure, gc on": pure,
    }
    return best_of(contest, repeat, turn=0.2)


def sweep_costs(repeat: int) -> dict[str, float]:
    """Nanoseconds a node of backward() on chains x = x * a + b."""
    costs = {}
    for nodes, repeats in ((10**5, repeat), (10**7, 3)):
        a, b = Value(0.99999999), Value(1e-9)
        x = Value(1.0)
        for _ in range(nodes // 2):
            x = x * a + b
        costs[f"{nodes:.0e} nodes"] = best_of({"": x.backward}, repeats)[""] / nodes * 1e9
    return costs


def bytes_a_node(nodes: int = 10**6) -> float:
    """Growth of the resident set by a chain of so many nodes, in bytes a node, in a new process."""
    code = f"""
import resource, os
from tapegrad import Value
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
x, a = Value(1.0), Value(0.999999)
before = rss()
for _ in range({nodes}):
    x = x * a
print((rss() - before) / {nodes})
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(child.stdout)


def growth_while_training(steps: int = 10**5) -> float:
    """Growth of the resident set from the 100th step on, in MiB, in a new process."""
    code = f"""
import os, random
from tapegrad import Value, nn
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
random.seed(0)
model = nn.MLP(2, [4, 1])
points = [((0.0, 1.0), 1.0), ((1.0, 1.0), -1.0)]
for step in range({steps}):
    loss = sum((model([Value(a) for a in x]) - y) ** 2 for x, y in points)
    model.zero_grad()
    loss.backward()
    for p in model.parameters():
        p.data -= 0.01 * p.grad
    if step == 100:
        before = rss()
print((rss() - before) / 2**20)
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(child.stdout)


def import_milliseconds(repeat: int) -> float:
    """`import tapegrad` beyond Python's own start."""

    def starting(code: str) -> Callable[[], Any]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    best = best_of({"bare": starting("pass"), "import": starting("import tapegrad")}, repeat)
    return (best["import"] - best["bare"]) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    operators = operator_costs(options.repeat * 4)
    report: dict[str, Any] = {
        "ns an operation": operators,
        "times float + float": {k: v / operators["float + float"] for k, v in operators.items()},
        "demo step, s": demo_times(options.repeat),
        "microgpt forward and backward, s": microgpt_times(options.repeat, drop=False),
        "microgpt forward, backward and drop, s": microgpt_times(options.repeat, drop=True),
        "sweep, ns a node": sweep_costs(options.repeat),
        "bytes a node": bytes_a_node(),
        "growth over 10^5 steps, MiB": growth_while_training(),
        "import, ms": import_milliseconds(options.repeat * 2),
    }
    for name in [name for name in report if name.endswith(", s")]:
        times = report[name]
        report[name.removesuffix(", s") + ", times faster"] = {
            peer: seconds / times["tapegrad"]
            for peer, seconds in times.items()
            if peer != "tapegrad"
        }
    for title, figures in report.items():
        print(title)
        for name, figure in figures.items() if isinstance(figures, dict) else [("", figures)]:
            print(f"  {name:22} {figure:.4g}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
