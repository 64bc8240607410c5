"""The suite: which programs, how large, and who takes part beside the peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.python.peers import Build
from bench.python.programs import demo, functions, small
from bench.python.workloads.base import Contestant, Workload
from bench.python.workloads.functions import Records, Replays
from bench.python.workloads.gradients import Gradients
from bench.python.workloads.graphs import Graph, Memory
from bench.python.workloads.operators import Operators
from bench.python.workloads.processes import Growth, Import
from bench.python.workloads.training import Training

__all__ = ["CHAINS", "MEMORIES", "QUICK", "QUICK_PEERS", "SIZES", "WORKLOADS", "find"]

OPTIM = Contestant("tapegrad, optim", "tapegrad", "optim", module="tapegrad.optim")
# Functions of plain numbers, in the place of programs on Values.
EAGER = Contestant("tapegrad, functions", "tapegrad, functions")
COMPILED = Contestant("tapegrad, compiled", "tapegrad, compiled")
VALUES = Contestant("tapegrad, Values", "tapegrad")
IN_PLACE = Contestant("casadi, in place", "casadi, built once", "in place")
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
            module="bench.python.programs.microgpt_layers",
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
    variants=(EAGER, COMPILED),
)
GREEKS = Gradients(
    name="greeks",
    title="price and five Greeks of one option (Black-Scholes)",
    per="option",
    size=35,
    needs=("exp", "log", "erf"),
    function=small.black_scholes,
    x=small.CALL,
    variants=(EAGER, COMPILED),
)
CALL = Replays(
    name="call",
    title="a compiled function of five numbers, value and gradient",
    per="call",
    size=5,
    needs=("tanh",),
    build=functions.five,
    arguments=lambda _: functions.FIVE,
    tapegrad=replace(COMPILED, name="tapegrad"),
    variants=(EAGER, VALUES, IN_PLACE),
)
LOSS = Replays(
    name="microgpt loss",
    title="microgpt's loss on one name, compiled with its gradient",
    per="call",
    size=70_000,
    needs=("relu", "exp", "log"),
    build=functions.document,
    arguments=functions.parameters,
    tapegrad=replace(COMPILED, name="tapegrad", variant="arrays"),
    variants=(
        replace(COMPILED, name="tapegrad, of lists", variant="lists"),
        VALUES,
        replace(VALUES, name="tapegrad, Values and layers", variant="layers"),
        IN_PLACE,
    ),
    only=("jax, jit",),
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
        variants=(EAGER,),
    )


def record(
    name: str, title: str, size: int, needs: tuple[str, ...], build: Build, start: Sequence[float]
) -> Records:
    """The first call of a compiled function."""
    return Records(
        name=f"record {name}",
        title=f"recording a function anew, {title}",
        per="operation",
        size=size,
        needs=needs,
        build=build,
        start=start,
        tapegrad=replace(COMPILED, name="tapegrad"),
        only=("casadi, built once", "jax, jit"),
    )


def replay(
    name: str, title: str, size: int, needs: tuple[str, ...], build: Build, start: Sequence[float]
) -> Replays:
    """The other calls, of its value and gradient."""
    build, arguments = functions.together(build, start)
    return Replays(
        name=f"replay {name}",
        title=f"value and gradient of a compiled function, {title}",
        per="operation",
        size=size,
        needs=needs,
        build=build,
        arguments=arguments,
        tapegrad=replace(COMPILED, name="tapegrad", variant="array"),
        variants=(VALUES, IN_PLACE),
        only=("jax, jit",),
    )


def nested(steps: int) -> Gradients:
    """Gradients inside a gradient."""
    return Gradients(
        name=f"nested {steps}",
        title=f"{steps:,} gradients of ten operations inside one that is differentiated",
        per="run",
        # Ten operations, those of their gradient, and the step.
        size=27 * steps,
        needs=("grad",),
        function=functions.descent(steps),
        x=functions.POINT,
        count=1,
        tapegrad=replace(EAGER, name="tapegrad"),
        variants=(COMPILED,),
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
# What is recorded and replayed: title, operations, functions needed, program and its start.
SIZED: dict[str, tuple[str, int, tuple[str, ...], Build, Sequence[float]]] = {
    f"chain {power(size)}": (
        f"a chain of {power(size)} operations, x = x * a + b",
        size,
        (),
        small.chain(size),
        small.CHAIN,
    )
    for size in SIZES[:3]
}
SIZED |= {
    f"{unit} mlp": (
        f"an MLP's loss of 10^5 operations with {unit}",
        644 * 154 + 677,
        ("relu", "tanh"),
        functions.perceptron(154, unit),
        demo.start(),
    )
    for unit in ("relu", "tanh")
}
SIZED["options"] = (
    "Black-Scholes prices of 10^5 operations",
    26 * 3846,
    ("exp", "log", "erf"),
    *functions.book(3846),
)
RECORDS = [
    record(name, *SIZED[name]) for name in ("chain 10^3", "chain 10^4", "chain 10^5", "relu mlp")
]
REPLAYS = [
    replay(name, *SIZED[name])
    for name in ("chain 10^3", "chain 10^5", "relu mlp", "tanh mlp", "options")
]
NESTED = [nested(50), nested(30_000)]
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
        CALL,
        LOSS,
        *RECORDS,
        *REPLAYS,
        *NESTED,
        *CHAINS.values(),
        *MEMORIES.values(),
        GROWTH,
        IMPORT,
    )
}
# What a minute holds: programs, and peers that take milliseconds for a step of them.
QUICK = (
    "operators",
    "demo",
    "microgpt",
    "tiny",
    "greeks",
    "call",
    "microgpt loss",
    "record chain 10^4",
    "replay relu mlp",
    "import",
)
QUICK_PEERS = ("tapegrad", "floats", "micrograd", "microgpt's class", "torch", "xad")


def find(workload: str, contestant: str) -> tuple[Workload, Contestant]:
    """Both by their names; KeyError where there are none."""
    found = WORKLOADS[workload]
    return found, {c.name: c for c in found.contestants()}[contestant]
