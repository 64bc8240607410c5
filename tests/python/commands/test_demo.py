"""`python -m tapegrad demo` trains, compares, draws and reports."""

from __future__ import annotations

import argparse
import gc
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib import image

from support.running import python
from tapegrad import Value, _core, demo
from tapegrad.demo import pure, session
from tapegrad.demo.comparison import TOLERANCE, compare, in_pure_python
from tapegrad.demo.data import Problem, load_problem
from tapegrad.demo.training import accuracy_on, make_network, scores_of, train

FEW = ("--steps", "3", "--pure-steps", "1")
NO_PURE = ("--steps", "2", "--pure-steps", "0")
# What would make the output other than plain, or pictures other than usual.
_TAKEN_OUT = {"COLUMNS", "FORCE_COLOR", "MPLBACKEND", "NO_COLOR", "TTY_COMPATIBLE"}
PLAIN = {name: value for name, value in os.environ.items() if name not in _TAKEN_OUT}


def run_demo(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return python(folder, "-m", "tapegrad", "demo", *options, env=PLAIN | environment)


def row(output: str, name: str) -> list[str]:
    """The cells of a row of the table that is printed at the end."""
    lines = [line.strip() for line in output.splitlines() if line.strip().startswith(name)]
    assert len(lines) == 1, output
    return re.split(r"\s{2,}", lines[0].removeprefix(name).strip())


def paths(output: str) -> list[str]:
    return [line.strip() for line in output.split("Pictures:\n")[1].splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the output of a short run on both data sets."""
    folder = tmp_path_factory.mktemp("demo")
    found = run_demo(folder, *FEW)
    assert (found.returncode, found.stderr) == (0, "")
    return folder, found.stdout


def test_pictures_of_losses_boundary_and_neuron_are_written(finished: tuple[Path, str]) -> None:
    folder, output = finished
    names = ["loss.png", "boundary.png", "neuron.svg"]
    assert paths(output) == [f"tapegrad-demo/{name}" for name in names]
    assert sorted(p.name for p in (folder / "tapegrad-demo").iterdir()) == sorted(names)
    for name in names[:2]:
        pixels = image.imread(folder / "tapegrad-demo" / name)
        assert min(pixels.shape[:2]) > 400
        assert pixels.std() > 0.05
    drawing = ElementTree.parse(folder / "tapegrad-demo" / "neuron.svg").getroot()
    assert drawing.tag.endswith("svg")
    text = " ".join(drawing.itertext())
    assert all(label in text for label in ("weight of x", "weight of y", "bias", "output", "ReLU"))


def test_the_table_has_accuracy_speed_and_the_comparison(finished: tuple[Path, str]) -> None:
    _, output = finished
    for accuracy in row(output, "accuracy on held-out rows"):
        assert 0.0 < float(accuracy.rstrip("%")) <= 100.0
    speeds = [int(cell.replace(",", "")) for cell in row(output, "nodes per second")]
    assert len(speeds) == 2
    assert min(speeds) > 0
    for state in ("on", "off"):
        faster = row(output, f"faster than pure Python, collector {state}")
        assert all(float(cell.removesuffix(" times")) > 0 for cell in faster)
    difference = re.search(r"Losses\s+agree\s+to\s+(\S+)\s+\(relative\)", output)
    assert difference
    assert float(difference[1]) <= TOLERANCE


def test_piped_output_is_plain_text_with_lines_of_progress(finished: tuple[Path, str]) -> None:
    _, output = finished
    assert "\x1b" not in output
    assert "\r" not in output
    assert re.search(r"^moons: step 3/3, loss \d+\.\d{4}, accuracy \d+\.\d%$", output, re.M)
    assert "breast cancer in pure Python, collector off: step 1/1\n" in output


def test_a_terminal_shows_bars_and_colours(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    reader, writer = pty.openpty()
    command = [sys.executable, "-m", "tapegrad", "demo", *NO_PURE]
    environment = PLAIN | {"TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=writer, stderr=writer
    ) as process:
        os.close(writer)
        chunks: list[bytes] = []
        while chunk := read_terminal(reader):
            chunks.append(chunk)
    os.close(reader)
    screen = b"".join(chunks).decode()
    assert process.returncode == 0, screen
    assert "\x1b[" in screen
    bare = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)
    assert re.search(r"moons +\S+ 2/2 loss \d\.\d{4}, accuracy \d+\.\d% 0:00:\d\d", bare), bare
    assert "accuracy on held-out rows" in bare


def read_terminal(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except OSError:  # how Linux says that the other side has closed
        return b""


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (
        run_demo(tmp_path, *NO_PURE, "--data", "moons", "--seed", seed).stdout
        for seed in ("7", "7", "8")
    )
    for name in ("loss at first and last step", "accuracy on held-out rows", "nodes per step"):
        assert row(first, name) == row(again, name)
    assert row(first, "loss at first") != row(other, "loss at first")


def test_one_data_set_gives_the_numbers_that_it_gives_beside_the_other(
    tmp_path: Path, finished: tuple[Path, str]
) -> None:
    _, both = finished
    alone = run_demo(tmp_path, "--steps", "3", "--pure-steps", "0", "--data", "cancer").stdout
    for figure in ("loss at first and last step", "accuracy on held-out rows"):
        assert row(alone, figure) == row(both, figure)[1:]


def test_without_pure_steps_nothing_is_compared(tmp_path: Path) -> None:
    found = run_demo(tmp_path, *NO_PURE, "--data", "moons", "--out", "deep/er")
    assert found.returncode == 0
    assert "pure Python" not in found.stdout
    assert paths(found.stdout)[0] == "deep/er/loss.png"


def test_the_neuron_of_many_inputs_is_drawn_with_its_largest(tmp_path: Path) -> None:
    found = run_demo(tmp_path, *NO_PURE, "--data", "cancer", PATH=str(tmp_path))
    assert paths(found.stdout) == ["tapegrad-demo/loss.png", "tapegrad-demo/neuron.svg"]
    drawing = ElementTree.parse(tmp_path / "tapegrad-demo" / "neuron.svg").getroot()
    text = " ".join(drawing.itertext())
    assert "bias and 27 other inputs" in text
    assert len(re.findall("weight of", text)) == 3


@pytest.mark.parametrize(("name", "accuracy"), [("moons", 0.97), ("cancer", 0.95)])
def test_training_as_long_as_by_default_separates_held_out_rows(name: str, accuracy: float) -> None:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    defaults = parser.parse_args([])
    for seed in (defaults.seed, 1):
        problem = load_problem(name, seed)
        network = make_network(problem, seed)
        losses = [s.loss for s in train(network, Value, problem, defaults.steps, seed)]
        assert losses[-1] < losses[0] / 5
        assert accuracy_on(problem.held_out, network) > accuracy


@pytest.mark.parametrize("name", ["moons", "cancer"])
def test_the_nodes_of_a_step_are_its_inputs_and_operations(name: str) -> None:
    problem = load_problem(name, 3)
    network = make_network(problem, 3)
    (step,) = train(network, Value, problem, 1, 3)
    inputs, *widths = problem.sizes
    # A layer's sums are a node each; a neuron by itself has products and sums.
    sums = sum(b if b > 1 else 2 * a for a, b in zip(problem.sizes, widths, strict=False))
    rectified = sum(widths[:-1])
    hinge = 3  # times the target, plus one, relu; the sum is counted with the row
    of_a_row = inputs + sums + rectified + hinge + 1
    penalty = 2 * len(network.parameters()) + 1
    assert step.nodes == problem.batch_size * of_a_row + 1 + penalty + 1
    assert _core.arena()["nodes"] - len(network.parameters()) < step.nodes


def test_held_out_rows_are_not_trained_on() -> None:
    for name, columns in (("moons", 2), ("cancer", 30)):
        problem = load_problem(name, 0)
        known = {tuple(inputs) for inputs in problem.train.inputs}
        held_out = {tuple(inputs) for inputs in problem.held_out.inputs}
        assert not known & held_out
        assert {len(inputs) for inputs in known | held_out} == {columns}
        assert set(problem.train.targets) == set(problem.held_out.targets) == {-1.0, 1.0}


@pytest.fixture
def small() -> Problem:
    """The moons with few rows in a step, for quick steps in pure Python."""
    from dataclasses import replace

    return replace(load_problem("moons", 5), batch_size=10)


def test_the_engine_and_pure_python_train_alike_step_by_step(small: Problem) -> None:
    ours, theirs = make_network(small, 5), in_pure_python(make_network(small, 5))
    mine = [step.loss for step in train(ours, Value, small, 8, 5)]
    other = [step.loss for step in train(theirs, pure.Value, small, 8, 5)]
    assert mine == pytest.approx(other, rel=TOLERANCE)
    assert isinstance(theirs.parameters()[0], pure.Value)
    rows = small.held_out.inputs
    assert scores_of(ours, rows) == pytest.approx(scores_of(theirs, rows), rel=TOLERANCE)


@pytest.mark.parametrize("collector", [True, False])
def test_a_comparison_switches_the_collector_and_puts_it_back(
    small: Problem, collector: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[bool] = []

    def backward(self: pure.Value) -> None:
        states.append(gc.isenabled())
        run_backward(self)

    run_backward = pure.Value.backward
    monkeypatch.setattr(pure.Value, "backward", backward)
    done: list[int] = []
    found = compare(small, 2, 5, collector=collector, after_step=lambda: done.append(1))
    assert states == [collector, collector]
    assert len(done) == 2
    assert gc.isenabled()
    assert found.difference <= TOLERANCE
    assert found.times_faster == found.pure_seconds / found.engine_seconds


def test_losses_that_disagree_are_reported_as_a_bug_with_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def off(self: pure.Value) -> pure.Value:
        return relu(self) * (1 + 1e-6)

    relu = pure.Value.relu
    monkeypatch.setattr(pure.Value, "relu", off)
    assert session.run(["moons"], 1, 1, 0, tmp_path, []) == 1
    assert "this is a bug of tapegrad" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "argument --steps: '0' is not a whole number of at least 1"),
        (["--steps", "few"], "argument --steps: 'few' is not a whole number of at least 1"),
        (["--pure-steps", "-1"], "argument --pure-steps: '-1' is not a whole number of at least 0"),
        (["--seed", "4294967296"], "is not a whole number from 0 to 4294967295"),
        (["--data", "iris"], "argument --data: invalid choice: 'iris'"),
        (["--out", "file"], "argument --out: 'file' is a file, not a folder"),
        (["--out", "file/deeper"], "argument --out: file/deeper: "),
        (["extra"], "unrecognized arguments: extra"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_are_errors_with_status_2(
    tmp_path: Path, options: list[str], message: str
) -> None:
    (tmp_path / "file").write_text("")
    found = run_demo(tmp_path, *options)
    assert (found.returncode, found.stdout) == (2, "")
    assert message in found.stderr.splitlines()[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


WITHOUT_PACKAGES = """
import runpy, sys
sys.modules["sklearn"] = sys.modules["rich"] = None
sys.argv = ["tapegrad", "demo", *sys.argv[1:]]
runpy.run_module("tapegrad", run_name="__main__")
"""


def test_missing_packages_are_named_in_one_sentence_with_status_1(tmp_path: Path) -> None:
    found = python(tmp_path, "-c", WITHOUT_PACKAGES)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        "python -m tapegrad demo: error: it needs rich, scikit-learn: "
        'pip install "tapegrad[demo]"\n'
    )
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_extra_package(tmp_path: Path) -> None:
    found = python(tmp_path, "-c", WITHOUT_PACKAGES, "--help")
    assert found.returncode == 0
    assert "--pure-steps" in found.stdout


INTERRUPTIBLE = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["tapegrad", "demo", *sys.argv[1:]]
runpy.run_module("tapegrad", run_name="__main__")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize(
    ("begun", "written"),
    [
        ("moons: step ", "nothing"),
        (
            "moons in pure Python, collector on: step ",
            "tapegrad-demo/loss.png, tapegrad-demo/boundary.png, tapegrad-demo/neuron.svg",
        ),
    ],
    ids=["while it trains", "while it compares"],
)
def test_an_interrupt_ends_with_130_and_tells_what_was_written(
    tmp_path: Path, begun: str, written: str
) -> None:
    steps = "2000" if written == "nothing" else "10"
    options = ["--data", "moons", "--steps", steps, "--pure-steps", "20"]
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *options],
        cwd=tmp_path,
        env=PLAIN | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        interrupt_after(process, begun)
        _, told = process.communicate()
    assert process.returncode == 130
    assert told == f"\ninterrupted; written so far: {written}\n"


def interrupt_after(process: subprocess.Popen[str], begun: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if line.startswith(begun):
            break
    process.send_signal(signal.SIGINT)


def test_pictures_that_cannot_be_written_are_one_sentence_with_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> Path:
        raise OSError(28, "No space left on device", "loss.png")

    monkeypatch.setattr("tapegrad.demo.pictures.draw_curves", full)
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    options = ["--data", "moons", "--steps", "1", "--out", str(tmp_path)]
    assert demo.main(parser.parse_args(options)) == 1
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "python -m tapegrad demo: error: [Errno 28] No space left on device: 'loss.png'"
    ]


def test_pictures_need_no_pyplot_and_no_screen(finished: tuple[Path, str], tmp_path: Path) -> None:
    code = "import sys, tapegrad.demo.session; assert 'matplotlib.pyplot' not in sys.modules"
    found = python(tmp_path, "-c", code)
    assert (found.returncode, found.stderr) == (0, "")


def test_the_package_imports_nothing_heavy_until_it_runs(tmp_path: Path) -> None:
    code = (
        "import sys, tapegrad.demo, tapegrad.info, tapegrad.demo.pure\n"
        "print([m for m in ('numpy', 'sklearn', 'rich', 'matplotlib') if m in sys.modules])"
    )
    assert python(tmp_path, "-c", code).stdout == "[]\n"
