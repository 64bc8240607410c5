"""`python -m bench python`: the right gradients, turns in processes, tables and plots."""

from __future__ import annotations

import gc
import json
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main
from bench.python import suite, timing, worker
from bench.python.peers import PEERS, Functions, Parameter, Peer, base
from bench.python.report import markdown
from bench.python.report.comparisons import comparisons
from bench.python.report.wording import amount
from bench.python.results import Outcome, Results, circumstances, load, make, outcome
from bench.python.timing import Contest, Plan, difference, disagreements, hold
from bench.python.updates import in_python
from bench.python.workloads import operators
from bench.python.workloads.base import Answer, Contestant, Task, Workload, refusal
from bench.python.workloads.functions import Records, Replays
from bench.python.workloads.gradients import Gradients
from bench.python.workloads.graphs import Graph
from bench.python.workloads.operators import Operators
from bench.python.workloads.training import Training
from support.paths import REPOSITORY
from support.running import bench, python

STORED = REPOSITORY / "docs/benchmarks/python.json"
ONCE = Plan(processes=1, rounds=1, turn=0.0)
FAN_OUT = Graph(
    name="fan-out 999",
    title="one number used 999 times",
    per="operation",
    size=1997,
    build=suite.small.fan_out(999),
    start=(1.5,),
)
FUNCTIONS = [w for w in suite.WORKLOADS.values() if isinstance(w, (Records, Replays))]
SMALL: list[Workload] = [
    *(w for name, w in suite.WORKLOADS.items() if isinstance(w, (Training, Gradients, Operators))),
    # Of the chains the shortest: the pure classes call themselves as deep as these are long.
    *(w for w in FUNCTIONS if "chain" not in w.name or w.size == 1000),
    suite.CHAINS[1000],
    FAN_OUT,
]
NODES = ["tapegrad", "microgpt's class", "micrograd"]


@pytest.fixture(autouse=True)
def deep_recursion() -> Iterator[None]:
    """As the workers have it: the pure classes call themselves as deep as the graph is."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**5)
    yield
    sys.setrecursionlimit(limit)


def peer_called(name: str) -> Peer:
    if not PEERS[name].installed():
        pytest.skip(f"{name} is not installed")
    return PEERS[name]()


def answer_of(workload: Workload, peer: Peer, variant: str = "") -> Answer:
    if any(getattr(peer.functions, name) is None for name in workload.needs):
        pytest.skip("it has not the functions")
    answer = workload.prepare(peer, variant).answer()
    assert answer is not None
    return answer


def tapegrads(workload: Workload) -> Answer:
    """The answer that the others are compared to."""
    return answer_of(workload, PEERS[workload.tapegrad.peer](), workload.tapegrad.variant)


def by_complex_step(f: Callable[[Any], Any]) -> Callable[[float], float]:
    """The derivative of a polynomial, to rounding."""
    return lambda x: f(complex(x, 1e-30)).imag / 1e-30


def on_floats(workload: Workload) -> tuple[Callable[[Sequence[float]], float], Sequence[float]]:
    """The workload's function of its numbers in plain floats, and where it starts."""
    floats = PEERS["floats"]()
    if isinstance(workload, Gradients):
        f = workload.function(replace(floats.functions, grad=by_complex_step))
        return lambda x: f(*x), workload.x
    if isinstance(workload, Replays):
        return lambda x: workload.build(x, floats.functions, "")(), workload.arguments("")
    if isinstance(workload, Training):
        program = import_module(f"bench.python.programs.{workload.program}")
        return lambda x: program.build(x, floats.functions, "")(), program.start()
    if isinstance(workload, Operators):
        loops: Any = workload.prepare(floats, "")
        start = import_module("bench.python.workloads.operators").START
        return lambda x: loops.build(x, floats.functions, "")(), start
    assert isinstance(workload, (Graph, Records))
    return lambda x: workload.build(x, floats.functions, "")(), workload.start


@pytest.mark.parametrize("workload", SMALL, ids=lambda w: w.name)
def test_the_gradient_of_every_workload_is_that_of_its_float_program(workload: Workload) -> None:
    answer = tapegrads(workload)
    f, x = on_floats(workload)
    assert answer.value == pytest.approx(f(x), rel=1e-12)
    source = random.Random(5)
    direction = [source.uniform(-1, 1) * max(abs(number), 0.01) for number in x]
    h = 1e-5

    def at(t: float) -> float:
        return f([number + t * d for number, d in zip(x, direction, strict=True)])

    # Fourth order: 8 (f(h) - f(-h)) - (f(2h) - f(-2h)), over 12 h.
    slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    along = sum(g * d for g, d in zip(answer.gradients, direction, strict=True))
    assert along == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", NODES[1:])
@pytest.mark.parametrize("workload", SMALL, ids=lambda w: w.name)
def test_pure_python_computes_what_tapegrad_does(workload: Workload, name: str) -> None:
    mine = answer_of(workload, peer_called(name))
    assert difference(mine, tapegrads(workload)) < timing.TOLERANCE


@pytest.mark.parametrize("name", [n for n in PEERS if n not in ("floats", *NODES)])
@pytest.mark.parametrize(
    "workload",
    [suite.GREEKS, suite.CALL, suite.RECORDS[0], suite.REPLAYS[0], suite.NESTED[0]],
    ids=lambda w: w.name,
)
def test_every_other_peer_that_is_installed_computes_what_tapegrad_does(
    workload: Workload, name: str
) -> None:
    contestants = [c for c in workload.contestants() if c.peer == name and c != workload.tapegrad]
    if not contestants:
        pytest.skip(f"{name} has no part in it")
    if not PEERS[name].installed():
        pytest.skip(f"{name} is not installed")
    contest = hold(workload, [workload.tapegrad, *contestants], ONCE)
    assert contest.wrong == []
    if set(contest.absent.values()) != {"has no grad"}:
        assert contest.absent == {}
        assert list(contest.samples) == ["tapegrad", *(c.name for c in contestants)]


@pytest.mark.parametrize(
    ("workload", "contestant"),
    [(w, c) for w in suite.WORKLOADS.values() if w.size <= 10**6 for c in w.variants],
    ids=lambda each: each.name,
)
def test_the_variants_compute_the_same(workload: Workload, contestant: Contestant) -> None:
    reason = refusal(workload, contestant)
    if reason is not None:
        pytest.skip(reason)
    mine = workload.prepare(PEERS[contestant.peer](), contestant.variant)
    theirs = workload.prepare(PEERS[workload.tapegrad.peer](), workload.tapegrad.variant)
    # The second answers are of parameters that training moved.
    for _ in range(2 if isinstance(workload, Training) else 1):
        answer, reference = mine.answer(), theirs.answer()
        assert answer is not None
        assert reference is not None
        if not PEERS[contestant.peer].floor:
            assert difference(answer, reference) < timing.TOLERANCE
            continue
        assert answer.value == pytest.approx(reference.value, rel=1e-9)
        break  # floats train no parameters


def test_recording_is_timed_with_and_without_the_gradient() -> None:
    sample = suite.RECORDS[0].prepare(PEERS["tapegrad, compiled"](), "").sample()
    assert list(sample) == ["f", "f and its gradient"]
    assert min(sample.values()) > 0


class Counted:
    """A number that counts the operations that it is part of."""

    operations = 0

    def __init__(self, *_: object) -> None:
        pass

    def operation(self, *_: object) -> Counted:
        Counted.operations += 1
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = operation
    __truediv__ = __pow__ = __neg__ = operation


@pytest.mark.parametrize(
    "workload", [w for w in FUNCTIONS if w.per == "operation"], ids=lambda w: w.name
)
def test_figures_of_an_operation_are_divided_by_the_operations(
    workload: Records | Replays,
) -> None:
    one = Counted.operation
    functions = Functions(largest=max, relu=one, tanh=one, exp=one, log=one, erf=one)
    start = workload.start if isinstance(workload, Records) else workload.arguments("")
    Counted.operations = 0
    workload.build([Counted() for _ in start], functions, "")()
    assert Counted.operations == workload.size


@pytest.mark.parametrize("clock", [(3.0, 7.0, 9.0), (9.0, 7.0, 3.0)])
def test_a_disturbed_empty_loop_is_not_the_one_taken_off_an_operator(
    clock: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(clock)
    monkeypatch.setattr(operators, "seconds", lambda _: next(times))
    assert operators.excess(lambda _: None, lambda _: None, 2) == (7.0 - 3.0) / 2


def test_the_loop_of_an_operator_evaluates_it_so_often_a_round() -> None:
    seen: list[int] = []
    operators.loop("seen.append(x)", {"seen": seen, "x": 7}, 3)(range(2))
    assert seen == [7] * 6


def test_a_peer_without_programs_says_so() -> None:
    with pytest.raises(TypeError, match="microgpt's class keeps no programs"):
        PEERS["microgpt's class"]().program(suite.small.chain(2), suite.small.CHAIN, gradient=False)


@pytest.mark.parametrize("rule", ["sgd", "adam", "adagrad"])
def test_updates_go_down_the_slope_and_clear_gradients_before_the_next(rule: str) -> None:
    parameters = [Parameter(3.0), Parameter(-2.0)]
    update = in_python(rule, parameters)
    for _ in range(3):
        before = [p.data for p in parameters]
        update.zero()
        assert [p.grad for p in parameters] == [0.0, 0.0]
        for p in parameters:
            p.grad = 2 * p.data
        update.step()
        assert all(abs(p.data) < abs(was) for p, was in zip(parameters, before, strict=True))


@pytest.mark.parametrize("name", NODES[:2])
def test_a_training_step_trains_and_its_phases_make_it_up(name: str) -> None:
    peer = PEERS[name]()
    before = answer_of(suite.RNN, peer)
    task = suite.RNN.prepare(peer, "")
    samples = [task.sample() for _ in range(2)]
    after = task.answer()
    assert after is not None
    assert after.value < before.value
    for phases in samples:
        parts = sum(phases.get(part, 0.0) for part in ("forward", "backward", "update", "drop"))
        assert parts == pytest.approx(phases["step"], rel=1e-3)  # less a reference's drop


class Watch(Task):
    """A task that notes whether the collector was on while it ran."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    def answer(self) -> Answer | None:
        return None

    def sample(self) -> dict[str, float]:
        self.seen.append(gc.isenabled())
        return {"all": 1.0}


@pytest.mark.parametrize("collector", [True, False])
def test_the_collector_is_off_during_the_turns_that_want_it_off(collector: bool) -> None:
    task = Watch()
    assert worker.turn(task, 0.0, collector) == {"all": [1.0]}
    assert task.seen == [collector]
    assert gc.isenabled()


def test_a_worker_tells_its_answer_then_the_samples_of_each_turn() -> None:
    answers = worker.work(suite.TINY, Contestant("tapegrad", "tapegrad"), [0.0, 0.0])
    assert next(answers) == {"answer": {"value": 4.0, "gradients": [-3.0, 2.0, 1.0]}}
    turns = list(answers)
    assert [list(turn["samples"]) for turn in turns] == [["all"], ["all"]]
    assert all(sample > 0 for turn in turns for sample in turn["samples"]["all"])


def test_a_contestant_whose_process_fails_is_absent_with_the_reason() -> None:
    nobody = Contestant("nobody", "tapegrad")  # no worker finds it by its name
    contest = hold(suite.TINY, [Contestant("tapegrad", "tapegrad"), nobody], ONCE)
    assert contest.absent == {"nobody": "its process ended with status 1"}
    assert list(contest.samples) == ["tapegrad"]


def test_a_peer_that_is_not_installed_has_no_row_and_no_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = find_spec
    monkeypatch.setattr(
        base, "find_spec", lambda name: None if name == "micrograd" else found(name)
    )
    contestants = [c for c in suite.TINY.contestants() if c.peer in ("tapegrad", "micrograd")]
    contest = hold(suite.TINY, contestants, ONCE)
    assert contest.absent == dict.fromkeys(
        ("micrograd, gc off", "micrograd, gc on"), "not installed"
    )
    results = make(ONCE, [outcome(suite.TINY, contest)], circumstances())
    rows = [line for line in markdown.page(results).splitlines() if line.startswith("|")]
    assert any("tapegrad" in row for row in rows)
    assert not any("micrograd" in row for row in rows)
    assert markdown.short_table(results).splitlines()[0] == "|  | tapegrad |"


def test_a_contestant_whose_module_or_function_is_missing_is_absent() -> None:
    layers = Contestant("layers", "tapegrad", module="tapegrad.no_such_module")
    assert refusal(suite.MICROGPT, layers) == "tapegrad has no no_such_module"
    needy = replace(suite.TINY, needs=("relu", "nn"))
    told = list(worker.work(needy, Contestant("floats", "floats"), [0.0]))
    assert told == [{"error": "has no nn"}]


RIGHT = Answer(2.0, [1.0, -3.0])


@pytest.mark.parametrize(
    ("answer", "agrees"),
    [
        (RIGHT, True),
        (Answer(2.0 * (1 + 1e-12), [1.0, -3.0]), True),
        (Answer(2.0, []), True),
        (Answer(2.0 * (1 + 1e-8), [1.0, -3.0]), False),
        (Answer(2.0, [1.0 + 1e-8, -3.0]), False),
        (Answer(2.0, [1.0, math.nan]), False),
        (Answer(math.inf, [1.0, -3.0]), False),
    ],
)
def test_results_that_differ_by_more_than_rounding_are_wrong(answer: Answer, agrees: bool) -> None:
    wrong = dict(disagreements({"tapegrad": RIGHT, "peer": answer, "import": None}))
    assert list(wrong) == ([] if agrees else ["peer"])


def test_a_round_that_a_contestant_missed_does_not_shift_the_others() -> None:
    contest = Contest()
    timing.keep(contest, "slow", 0, {"all": [8.0, 6.0]})
    timing.keep(contest, "slow", 1, {})
    timing.keep(contest, "slow", 2, {"all": [9.0]})
    assert contest.samples == {"slow": {"all": [[8.0, 6.0], [], [9.0]]}}


def test_ratios_are_best_over_best_with_the_quartiles_within_rounds() -> None:
    samples = {
        "tapegrad": {"all": [[1.0, 2.0], [2.0, 4.0], [1.0]]},
        "peer": {"all": [[10.0], [30.0, 40.0], []]},
    }
    found = Outcome("w", "w", "run", "s", 1, samples, {})
    ratio = found.ratio("peer", "all")
    assert ratio.best == 10.0
    assert (ratio.low, ratio.median, ratio.high) == (11.25, 12.5, 13.75)  # of 10 and 15


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.5e-8, "s", "15.0 ns"),
        (2.346e-3, "s", "2.35 ms"),
        (12.0, "s", "12.0 s"),
        (99.97e-9, "s", "100 ns"),
        (56.0, "B", "56.0 B"),
        (3 * 2**20, "B", "3.00 MiB"),
        (0.0, "B", "0 B"),
    ],
)
def test_amounts_are_written_in_the_unit_that_suits(value: float, unit: str, text: str) -> None:
    assert amount(value, unit) == text


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the output of a run with the least settings."""
    folder = tmp_path_factory.mktemp("bench")
    workloads = ["operators", "chain 10^3", "memory 10^4"]
    least = ["--processes", "1", "--rounds", "2", "--turn", "0"]
    peers = ["--peers", "floats", "microgpt's class"]
    found = bench(folder, "python", *least, *peers, "--workloads", *workloads)
    assert (found.returncode, found.stderr) == (0, "")
    return folder / "tapegrad-bench", found.stdout


def test_a_run_writes_results_page_and_plots(finished: tuple[Path, str]) -> None:
    folder, output = finished
    names = {"python.json", "python.md"}
    names |= {f"python-{plot}.{kind}" for plot in ("ratios", "scaling") for kind in ("svg", "png")}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "python-ratios.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "python-scaling.svg").read_text()
    assert "chain of 10^3 operations" in output


def test_the_results_hold_every_sample_and_their_circumstances(finished: tuple[Path, str]) -> None:
    stored = json.loads((finished[0] / "python.json").read_text())
    facts = stored["circumstances"]
    assert facts["python"].endswith(".".join(map(str, sys.version_info[:3])))
    assert {"date", "commit", "machine", "versions", "compiler"} <= facts.keys()
    assert stored["plan"]["rounds"] == 2
    chain = next(each for each in stored["workloads"] if each["name"] == "chain 10^3")
    assert list(chain["samples"]) == [
        "tapegrad",
        "tapegrad, functions",
        "floats",
        "microgpt's class, gc off",
        "microgpt's class, gc on",
    ]
    assert [len(rounds) for rounds in chain["samples"]["tapegrad"].values()] == [2] * 4


def test_stored_results_make_the_same_files_without_measuring(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = finished
    readme, again = tmp_path / "README.md", tmp_path / "again"
    readme.write_text(f"before\n{markdown.BEGIN}\nold\n{markdown.END}\nafter\n")
    stored = str(folder / "python.json")
    options = ["--from", stored, "--out", str(again), "--readme", str(readme)]
    assert main(["python", *options]) == 0
    assert {path.name for path in again.iterdir()} == {path.name for path in folder.iterdir()}
    for path in again.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()
    table = markdown.short_table(load(folder / "python.json"))
    assert readme.read_text() == f"before\n{markdown.BEGIN}\n{table}\n{markdown.END}\nafter\n"


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (["--workloads", "demos"], 2, "there is no workload 'demos': did you mean 'demo'?"),
        (["--peers", "trch"], 2, "there is no peer 'trch': did you mean 'torch'?"),
        (["--rounds", "0"], 2, "'0' is not a whole number of at least 1"),
        (["--turn", "nan"], 2, "'nan' is not a number of seconds"),
        (["--from", "nothing.json"], 1, "nothing.json"),
        (["--from", "other.json"], 2, "other.json holds no results of this benchmark"),
        (["--from", "text"], 2, "text is no JSON"),
    ],
)
def test_bad_options_are_told(tmp_path: Path, options: list[str], status: int, told: str) -> None:
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "text").write_text("no JSON")
    found = bench(tmp_path, "python", *options)
    assert found.returncode == status
    assert told in found.stderr
    assert "Traceback" not in found.stderr


def test_a_file_without_markers_is_left_as_it_is(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("no markers")
    with pytest.raises(ValueError, match="bench:begin"):
        markdown.put_into(readme, "table")
    assert readme.read_text() == "no markers"


def test_the_tables_in_readme_and_docs_are_those_of_the_stored_results() -> None:
    results = load(STORED)
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = readme.partition(f"{markdown.BEGIN}\n")[2].partition(f"\n{markdown.END}")[0]
    assert table == markdown.short_table(results)
    page = (STORED.parent / "python.md").read_text(encoding="utf-8")
    assert page == markdown.page(results)


def test_the_stored_results_are_of_the_full_suite_and_know_their_commit() -> None:
    results: Results = load(STORED)
    assert list(results.workloads) == list(suite.WORKLOADS)
    assert results.circumstances["commit"]
    assert list(comparisons(results))


def test_help_names_every_option_and_list_every_name(tmp_path: Path) -> None:
    shown = bench(tmp_path, "python", "--list")
    assert all(name in shown.stdout for name in [*suite.WORKLOADS, *PEERS])
    told = bench(tmp_path, "python", "--help").stdout
    assert all(f"--{name}" in told for name in ("full", "workloads", "peers", "from", "readme"))


def test_the_command_knows_both_suites(tmp_path: Path) -> None:
    told = bench(tmp_path, "--help").stdout
    assert "\n  python  " in told
    assert "\n  cpp " in told
    for arguments in ([], ["fortran"]):
        found = bench(tmp_path, *arguments)
        assert found.returncode == 2
        assert found.stderr.startswith("usage: python -m bench [-h] (python | cpp) ...")
    told = bench(tmp_path, "cpp", "--help").stdout
    assert all(f"--{name}" in told for name in ("native", "only", "contestants", "top", "out"))


def test_the_package_tells_where_its_benchmark_went(tmp_path: Path) -> None:
    found = python(tmp_path, "-m", "tapegrad", "bench", "--full")
    assert found.returncode == 2
    assert "python -m bench python" in found.stderr
    assert "Traceback" not in found.stderr
