"""The suite: which programs, how large, and who takes part beside the peers."""

from __future__ import annotations

from tapegrad.bench.programs import small
from tapegrad.bench.workloads.base import Contestant, Workload
from tapegrad.bench.workloads.gradients import Gradients
from tapegrad.bench.workloads.graphs import Graph, Memory
from tapegrad.bench.workloads.operators import Operators
from tapegrad.bench.workloads.processes import Growth, Import
from tapegrad.bench.workloads.training import Training

__all__ = ["CHAINS", "MEMORIES", "QUICK", "QUICK_PEERS", "SIZES", "WORKLOADS", "find"]

OPTIM = Contestant("tapegrad, optim", "tapegrad", "optim", module="tapegrad.optim")
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)

OPERATORS = Operators(name="operators", title="one operator, made and dropped", per="operation")
DEMO = Training(
    name="demo",
    title="micrograd's demo, a training step",
    per="step",
    size=66_000,
    needs=("relu",),
    program="demo",
    rule="sgd",
    variants=(
        OPTIM,
        Contestant("tapegrad, micrograd's sums", "tapegrad", "summed"),
        Contestant("floats, tapegrad.nn's sums", "floats", "mapped"),
    ),
)
MICROGPT = Training(
    name="microgpt",
    title="microgpt, a training step on one name",
    per="step",
    size=70_000,
    needs=("relu", "exp", "log"),
    program="microgpt",
    rule="adam",
    variants=(
        OPTIM,
        Contestant(
            "tapegrad, layers and optim",
            "tapegrad",
            "layers optim",
            module="tapegrad.bench.programs.microgpt_layers",
        ),
    ),
)
RNN = Training(
    name="rnn",
    title="a min-char RNN, a training step on 22 letters",
    per="step",
    size=45_000,
    needs=("tanh", "exp", "log"),
    program="rnn",
    rule="adagrad",
    variants=(OPTIM,),
)
TINY = Gradients(
    name="tiny",
    title="ten thousand tiny graphs, relu(a * b + c), made, swept and dropped",
    per="graph",
    size=30_000,
    needs=("relu",),
    function=small.neuron,
    x=small.NEURON,
    count=10_000,
)
GREEKS = Gradients(
    name="greeks",
    title="price and five Greeks of one option (Black-Scholes)",
    per="option",
    size=35,
    needs=("exp", "log", "erf"),
    function=small.black_scholes,
    x=small.CALL,
)
FAN_OUT = Graph(
    name="fan-out",
    title="one number used 10^6 times",
    per="operation",
    size=2 * 10**6,
    build=small.fan_out(10**6),
    start=(1.5,),
)
GROWTH = Growth(
    name="growth",
    title="growth of memory over 10^5 training steps",
    per="run",
    steps=10**5,
    only=("tapegrad",),
)
IMPORT = Import(name="import", title="import in a new process", per="import")


def chain(operations: int) -> Graph:
    """A chain, recorded, swept and dropped."""
    return Graph(
        name=f"chain {power(operations)}",
        title=f"a chain of {power(operations)} operations, x = x * a + b",
        per="operation",
        size=operations,
        build=small.chain(operations),
        start=small.CHAIN,
    )


def memory(operations: int) -> Memory:
    """The memory of such a chain."""
    return Memory(
        name=f"memory {power(operations)}",
        title=f"memory of a chain of {power(operations)} operations",
        per="operation",
        size=operations,
        build=small.chain(operations),
        start=small.CHAIN,
    )


def power(number: int) -> str:
    """10^5 for 100000."""
    return f"10^{len(str(number)) - 1}"


CHAINS = {size: chain(size) for size in SIZES}
MEMORIES = {size: memory(size) for size in SIZES}
WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        OPERATORS,
        DEMO,
        MICROGPT,
        RNN,
        TINY,
        GREEKS,
        FAN_OUT,
        *CHAINS.values(),
        *MEMORIES.values(),
        GROWTH,
        IMPORT,
    )
}
# What a minute holds: programs, and peers that take milliseconds for a step of them.
QUICK = ("operators", "demo", "microgpt", "tiny", "greeks", "import")
QUICK_PEERS = ("tapegrad", "floats", "micrograd", "microgpt's class", "torch", "xad")


def find(workload: str, contestant: str) -> tuple[Workload, Contestant]:
    """Both by their names; KeyError where there are none."""
    found = WORKLOADS[workload]
    return found, {c.name: c for c in found.contestants()}[contestant]
