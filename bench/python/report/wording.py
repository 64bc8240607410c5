"""How figures are written, and which of them the short tables show."""

from __future__ import annotations

from collections.abc import Iterator

from bench.python.results import Figure, Outcome, Results
from bench.python.suite import SIZES, power

__all__ = [
    "COLUMNS",
    "COMPILED_COLUMNS",
    "COMPILED_HEADLINES",
    "HEADLINES",
    "absences",
    "amount",
    "digits",
    "spread",
    "versions",
    "where",
]

# Rows of the short table: what it says, the workload, the phase.
HEADLINES = (
    ("`a + b`", "operators", "a + b"),
    ("`a * 2.0`", "operators", "a * 2.0"),
    ("`a.tanh()`", "operators", "a.tanh()"),
    ("`sum` of 1000, an addition", "operators", "sum of 1000"),
    ("chain of 10^5, an operation", "chain 10^5", "all"),
    ("chain of 10^6, an operation", "chain 10^6", "all"),
    ("micrograd's demo, a step", "demo", "step"),
    ("microgpt, a step", "microgpt", "step"),
    ("min-char RNN, a step", "rnn", "step"),
    ("tiny graph, made, swept, dropped", "tiny", "all"),
    ("Black-Scholes, price and Greeks", "greeks", "all"),
    ("10^6 uses of one number, an operation", "fan-out", "all"),
    ("memory, an operation", "memory 10^5", "recorded"),
    ("import", "import", "import"),
)
# The same of compiled functions.
COMPILED_HEADLINES = (
    ("five numbers, value and gradient, a call", "call", "all"),
    ("chain of 10^5, value and gradient, an operation", "replay chain 10^5", "all"),
    ("MLP with relu, the same", "replay relu mlp", "all"),
    ("MLP with tanh, the same", "replay tanh mlp", "all"),
    ("Black-Scholes, the same", "replay options", "all"),
    ("MLP with relu recorded anew, an operation", "record relu mlp", "f"),
    ("microgpt's loss and gradient", "microgpt loss", "all"),
)
# Columns of the short table: the heading and the contestant; of the pure ones the faster way.
COLUMNS = (
    ("micrograd", "micrograd, gc off"),
    ("microgpt's class", "microgpt's class, gc off"),
    ("torch", "torch"),
    ("autograd", "autograd"),
    ("xad", "xad"),
    ("casadi", "casadi"),
    ("jax", "jax, eager"),
)
COMPILED_COLUMNS = (
    ("tapegrad's Values", "tapegrad, Values"),
    ("casadi", "casadi, built once"),
    ("casadi, in place", "casadi, in place"),
    ("jax, jit", "jax, jit"),
)


def digits(number: float) -> str:
    """Three digits, or all before the point."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    # Rounded up, 99.97 is "100.".
    return f"{number:#.3g}".removesuffix(".") if abs(number) >= 0.01 else f"{number:.1g}"


def amount(value: float, unit: str) -> str:
    """A time or a number of bytes, in the unit that suits it."""
    steps = {
        "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
        "B": ((2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
    }[unit]
    for size, name in steps:
        if abs(value) >= size:
            return f"{digits(value / size)} {name}"
    size, name = steps[-1]
    return f"{digits(value / size) if value else 0} {name}"


def spread(figure: Figure) -> str:
    """The quartiles of a ratio."""
    return f"{digits(figure.low)} to {digits(figure.high)}"


def versions(results: Results) -> str:
    """The peers with their versions."""
    return ", ".join(f"{name} {v}" for name, v in results.circumstances["versions"].items())


def where(results: Results) -> str:
    """Commit, date and machine."""
    facts = results.circumstances
    machine = facts["machine"]
    caches = "".join(f", {level} {size}" for level, size in machine["caches"].items())
    source = f"commit {facts['commit']}" if facts["commit"] else "no commit known"
    return (
        f"tapegrad {facts['tapegrad']}, {source}, {facts['date']}, {facts['python']}, "
        f"{facts['compiler']}, on {machine['processor']}, {machine['cores']} cores{caches}"
    )


def absences(outcome: Outcome) -> Iterator[str]:
    """Who is absent, and why."""
    for reason in dict.fromkeys(outcome.absent.values()):
        names = [name for name, told in outcome.absent.items() if told == reason]
        yield f"{'; '.join(names)} ({reason})"


def sizes(results: Results, kind: str) -> list[int]:
    """The sizes of the chains of this kind ("chain" or "memory") that were run."""
    return [size for size in SIZES if f"{kind} {power(size)}" in results.workloads]
