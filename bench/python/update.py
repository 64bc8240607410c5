"""Updates of microgpt's 4,192 parameters, by a loop in Python and in one call: a table in Markdown.

    python bench/python/update.py [--repeat 60]

Each figure is the best of many runs in microseconds, the contestants taking turns.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad import Value, get_data, optim, set_data

COUNT = 4192
Row = tuple[str, Callable[[], Any], Callable[[], Any], str]


def adam_in_python(params: list[Value]) -> Callable[[], None]:
    """The loop of microgpt."""
    m, v = [0.0] * len(params), [0.0] * len(params)
    rate, beta1, beta2, eps, step = 0.01, 0.85, 0.99, 1e-8, 0

    def run() -> None:
        nonlocal step
        step += 1
        for i, p in enumerate(params):
            m[i] = beta1 * m[i] + (1 - beta1) * p.grad
            v[i] = beta2 * v[i] + (1 - beta2) * p.grad**2
            m_hat = m[i] / (1 - beta1**step)
            v_hat = v[i] / (1 - beta2**step)
            p.data -= rate * m_hat / (v_hat**0.5 + eps)

    return run


def rows(params: list[Value]) -> list[Row]:
    """What is done, in Python and in one call, and how that is written."""
    adam = optim.Adam(params, lr=0.01, betas=(0.85, 0.99))
    sgd = optim.SGD(params, lr=0.01)
    numbers = get_data(params)

    def descend() -> None:
        for p in params:
            p.data -= 0.01 * p.grad

    def clear() -> None:
        for p in params:
            p.grad = 0.0

    def write() -> None:
        for p, number in zip(params, numbers.tolist(), strict=True):
            p.data = number

    return [
        ("Adam, as microgpt writes it", adam_in_python(params), adam.step, "optim.Adam"),
        ("plain descent", descend, sgd.step, "optim.SGD"),
        (
            "data to an array",
            lambda: np.array([p.data for p in params]),
            lambda: get_data(params),
            "get_data",
        ),
        ("data from an array", write, lambda: set_data(params, numbers), "set_data"),
        ("gradients to 0", clear, adam.zero_grad, "zero_grad"),
    ]


def seconds(run: Callable[[], Any]) -> float:
    """How long it takes once."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def table(repeat: int) -> str:
    """The best times, as Markdown."""
    params = [Value(random.gauss(0, 0.1)) for _ in range(COUNT)]
    for p in params:
        p.grad = random.gauss(0, 1)
    lines = ["| | a loop in Python, µs | one call, µs |", "|---|---|---|"]
    for what, loop, call, name in rows(params):
        pairs = [(seconds(loop), seconds(call)) for _ in range(repeat)]
        slow, fast = (min(times) * 1e6 for times in zip(*pairs, strict=True))
        lines.append(f"| {what} | {slow:,.0f} | {fast:,.1f} (`{name}`) |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=60, help="runs of each")
    print(table(parser.parse_args().repeat))
