"""The ratios that the engine is judged by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.python.results import Figure, Results

__all__ = ["Comparison", "comparisons"]

GPT_OFF, GPT_ON = "microgpt's class, gc off", "microgpt's class, gc on"
OPTIM, LAYERS = "tapegrad, optim", "tapegrad, layers and optim"
VALUES = "tapegrad, Values"
SUMMED, MAPPED = "tapegrad, micrograd's sums", "floats, tapegrad.nn's sums"
BOTH, DROPPED = "forward + backward", "forward + backward + drop"
# With the collector off, the end of the class's graph lies outside the clock: the phases without
# "drop" leave out that of tapegrad's, too.
UPDATED = "forward + backward + update"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A contestant's phase over another's, of one workload."""

    title: str
    workload: str
    who: tuple[str, str]
    over: tuple[str, str]


COMPARISONS = (
    Comparison(
        "`a + b` over float + float", "operators", ("tapegrad", "a + b"), ("floats", "a + b")
    ),
    Comparison(
        "demo: the step over its forward pass on floats, sums as in tapegrad.nn",
        "demo",
        ("tapegrad", "step"),
        (MAPPED, "forward"),
    ),
    Comparison(
        "demo: the step over its forward pass on floats, sums as in micrograd.nn",
        "demo",
        (SUMMED, "step"),
        ("floats", "forward"),
    ),
    Comparison(
        "demo: the step with tapegrad.nn over micrograd.nn's forward pass on floats",
        "demo",
        ("tapegrad", "step"),
        ("floats", "forward"),
    ),
    Comparison(
        "demo: micrograd's step over tapegrad's, gc off",
        "demo",
        ("micrograd, gc off", "step"),
        ("tapegrad", "step"),
    ),
    Comparison(
        "demo: micrograd's step over tapegrad's, gc on",
        "demo",
        ("micrograd, gc on", "step"),
        ("tapegrad", "step"),
    ),
    Comparison(
        "microgpt: forward and backward over the forward pass on floats",
        "microgpt",
        ("tapegrad", BOTH),
        ("floats", "forward"),
    ),
    Comparison(
        "microgpt: its class's forward and backward over tapegrad's, gc off",
        "microgpt",
        (GPT_OFF, BOTH),
        ("tapegrad", BOTH),
    ),
    Comparison(
        "microgpt: its class's forward and backward over tapegrad's, gc on",
        "microgpt",
        (GPT_ON, BOTH),
        ("tapegrad", BOTH),
    ),
    Comparison(
        "microgpt: its class's forward and backward over tapegrad's with the graph's end, gc off",
        "microgpt",
        (GPT_OFF, DROPPED),
        ("tapegrad", DROPPED),
    ),
    Comparison(
        "microgpt: its class's step over tapegrad's with Adam in Python, gc on",
        "microgpt",
        (GPT_ON, "step"),
        ("tapegrad", "step"),
    ),
    *(
        Comparison(
            f"microgpt: its class's step over tapegrad's with {what}, {end}, gc off",
            "microgpt",
            (GPT_OFF, phase),
            (who, phase),
        )
        for end, phase in (("without its graph's end", UPDATED), ("with its graph's end", "step"))
        for what, who in (
            ("Adam in Python", "tapegrad"),
            ("tapegrad.optim.Adam", OPTIM),
            ("single-call layers and optim", LAYERS),
        )
    ),
    Comparison(
        "microgpt's loss and gradient: on Values over compiled",
        "microgpt loss",
        (VALUES, "all"),
        ("tapegrad", "all"),
    ),
    Comparison(
        "microgpt's loss and gradient: on Values with single-call layers over compiled",
        "microgpt loss",
        (f"{VALUES} and layers", "all"),
        ("tapegrad", "all"),
    ),
    Comparison(
        "a compiled function of five numbers: casadi's call over tapegrad's",
        "call",
        ("casadi, built once", "all"),
        ("tapegrad", "all"),
    ),
    *(
        Comparison(
            f"replay of value and gradient, {name}: casadi in place over tapegrad",
            f"replay {name}",
            ("casadi, in place", "all"),
            ("tapegrad", "all"),
        )
        for name in ("chain 10^5", "relu mlp", "tanh mlp", "options")
    ),
    *(
        Comparison(
            f"recording anew, {name}: casadi over tapegrad",
            f"record {name}",
            ("casadi, built once", "f and its gradient"),
            ("tapegrad", "f and its gradient"),
        )
        for name in ("chain 10^5", "relu mlp")
    ),
    Comparison(
        "gradients inside one that is differentiated: autograd over tapegrad",
        "nested 50",
        ("autograd", "all"),
        ("tapegrad", "all"),
    ),
)


def comparisons(results: Results) -> Iterator[tuple[str, Figure]]:
    """Title and ratio of those whose contestants both took part."""
    for each in COMPARISONS:
        if results.has(each.workload, *each.who) and results.has(each.workload, *each.over):
            outcome = results.workloads[each.workload]
            yield each.title, outcome.ratio(*each.who, *each.over)
