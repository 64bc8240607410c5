"""examples/microgpt trains, stops, goes on and writes; what it cannot use it names."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rich")

from bench.python.peers.base import Functions, largest_data
from bench.python.programs.microgpt import PureValue, Transformer
from microgpt import checkpoint as checkpoints
from microgpt.__main__ import main
from microgpt.checkpoint import Checkpoint, CheckpointError
from microgpt.data import Alphabet, Corpus, DataError, load_documents, make_corpus
from microgpt.options import OptionError, Options
from microgpt.training import Training, model_of

DOCUMENTS = [a + b + c for a in "kmt" for b in "aeiou" for c in ("na", "lo", "ri", "s")]
TINY: dict[str, Any] = {"layers": 2, "width": 4, "heads": 2, "context": 5, "steps": 12}
TINY_ARGUMENTS = [f"--{name}={number}" for name, number in TINY.items()]
PURE = Functions(
    largest=largest_data,
    number=PureValue,
    relu=PureValue.relu,
    exp=PureValue.exp,
    log=PureValue.log,
)


def corpus(seed: int = 42) -> Corpus:
    return make_corpus(DOCUMENTS, seed)


def losses_of(training: Training, until: int) -> list[float]:
    """The losses of the steps up to this one."""
    return [training.step() for _ in range(until - training.done)]


def held_out(training: Training) -> float:
    losses = list(training.held_out_losses())
    return sum(losses) / len(losses)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a text file; the output is 100 columns of plain text."""
    (tmp_path / "words.txt").write_text("\n".join(DOCUMENTS), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Ctrl-C comes in the fifth step of a training; the losses of all steps done."""
    losses: list[float] = []
    step = Training.step

    def pressed(training: Training) -> float:
        if len(losses) == 4:
            signal.raise_signal(signal.SIGINT)
        losses.append(step(training))
        return losses[-1]

    monkeypatch.setattr(Training, "step", pressed)
    before = signal.getsignal(signal.SIGINT)
    yield losses
    assert signal.getsignal(signal.SIGINT) is before


def train(*arguments: str) -> int:
    return main(["--data", "words.txt", "--sample", "2", *TINY_ARGUMENTS, *arguments])


# The model and its training.


def test_the_model_is_microgpts() -> None:
    options = Options(context=16)
    model = options.model(27, random.Random(3))
    numbers = [PureValue(p.data) for p in model.parameters()]
    pure = Transformer(numbers, PURE, 27)
    tokens = Alphabet("abcdefghijklmnopqrstuvwxyz").encode("abracadabra")
    loss, expected = model.loss(tokens), pure.loss(tokens)
    loss.backward()
    expected.backward()
    assert loss.data == pytest.approx(expected.data, rel=1e-12)
    grads = [p.grad for p in model.parameters()]
    assert grads == pytest.approx([p.grad for p in numbers], rel=1e-9, abs=1e-14)
    assert sum(grad != 0 for grad in grads) > 3000


def test_a_document_longer_than_the_context_is_read_up_to_it() -> None:
    model = Options(**TINY).model(4, random.Random(0))
    assert model.loss([3, 0, 1, 2, 0, 1, 3]).data == model.loss([3, 0, 1, 2, 0, 1, 2, 2, 3]).data
    assert model.loss([3, 0, 1, 2, 0, 1, 3]).data != model.loss([3, 0, 1, 2, 0, 2, 3]).data


def test_training_lowers_the_loss_of_documents_it_has_not_seen() -> None:
    training = Training(Options(width=8, heads=2, context=5, steps=300), corpus())
    before = held_out(training)
    losses_of(training, 300)
    assert held_out(training) < 0.6 * before
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 / 300)


def test_the_seed_decides_everything() -> None:
    def run(seed: int) -> list[float]:
        return losses_of(Training(Options(**TINY, seed=seed), corpus(seed)), 5)

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize("stop", [0, 1, 7])
def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    path = tmp_path / "checkpoint.json"
    whole, first, second = (Training(Options(**TINY), corpus()) for _ in range(3))
    expected = losses_of(whole, 12)
    losses = losses_of(first, stop)
    checkpoints.write(path, first.checkpoint())
    second.restore(checkpoints.read(path), path)
    assert losses + losses_of(second, 12) == expected
    assert second.checkpoint() == whole.checkpoint()


def test_a_loss_that_is_no_number_ends_the_training_before_it_harms() -> None:
    training = Training(Options(**TINY), corpus())
    training.model.head.weight[0][0].data = float("nan")
    before = repr(training.model.state_dict())
    with pytest.raises(ArithmeticError, match="the loss became nan in step 1: try a smaller rate"):
        training.step()
    assert repr(training.model.state_dict()) == before
    assert training.done == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "layers must be a whole number of at least 1, not 0"),
        ({"width": 2.5}, "width must be a whole number of at least 1, not 2.5"),
        ({"heads": 3}, "heads must divide width, and 3 does not 16"),
        ({"rate": float("nan")}, "rate must be a finite number above 0, not nan"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
    ],
)
def test_options_that_make_no_model_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Options(**options)


# Samples.


def test_samples_repeat_and_are_of_the_alphabet_and_no_longer_than_the_context() -> None:
    training = Training(Options(**TINY), corpus())
    alphabet = training.corpus.alphabet

    def texts(seed: int) -> list[str]:
        source = random.Random(seed)
        tokens = [training.model.sample(alphabet.boundary, 1.0, source) for _ in range(30)]
        return list(map(alphabet.decode, tokens))

    found = texts(5)
    assert found == texts(5)
    assert found != texts(6)
    assert set("".join(found)) <= set(alphabet.letters)
    assert max(map(len, found)) == 5
    assert min(map(len, found)) < 5


def test_samples_have_the_models_probabilities() -> None:
    model = Options(**TINY).model(3, random.Random(1))
    for p in model.head.weight[1]:
        p.data = 2.0
    logits = [v.data for v in model.logits(2, 0, model.start())]
    source = random.Random(8)
    for temperature in (0.5, 1.0, 2.0):
        firsts = Counter((model.sample(2, temperature, source) or [2])[0] for _ in range(1000))
        weights = [2.718281828 ** (logit / temperature) for logit in logits]
        expected = [weight / sum(weights) for weight in weights]
        assert [firsts[k] / 1000 for k in range(3)] == pytest.approx(expected, abs=0.06)


def test_a_temperature_near_zero_takes_the_likeliest() -> None:
    model = Options(**TINY).model(6, random.Random(1))
    samples = {tuple(model.sample(5, 1e-300, random.Random(k))) for k in range(20)}
    assert len(samples) == 1


# Data.


def test_documents_are_the_files_lines_each_once(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffzoë\r\n\n  ann \nzoë\nann lee".encode())
    documents = load_documents(str(path))
    assert documents == ["zoë", "ann", "ann lee"]
    assert make_corpus(documents, 0).alphabet == Alphabet(" aelnozë")


def test_a_tenth_is_held_out_by_the_seed() -> None:
    found = corpus(1)
    assert (len(found.train), len(found.held_out)) == (54, 6)
    assert sorted([*found.train, *found.held_out]) == sorted(DOCUMENTS)
    assert found == corpus(1)
    assert found.digest == corpus(1).digest != corpus(2).digest
    assert len(make_corpus(["a", "b"], 0).held_out) == 1
    assert len(make_corpus(list(map(str, range(20_000))), 0).held_out) == 1000


def test_without_a_file_the_documents_are_first_names_of_the_census() -> None:
    pytest.importorskip("names")
    documents = load_documents(None)
    assert {"mary", "james"} <= set(documents)
    assert len(documents) == len(set(documents)) > 5000
    assert all(re.fullmatch("[a-z]+", name) for name in documents)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "names", None)
    with pytest.raises(DataError, match="pip install names, or give --data FILE"):
        load_documents(None)


def test_a_package_names_without_lists_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "names", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"lacks its lists: .*dist\.female\.first"):
        load_documents(None)
    del sys.modules["names"]


# Checkpoints.


def test_a_checkpoint_that_fails_to_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.json"
    training = Training(Options(**TINY), corpus())
    checkpoints.write(path, training.checkpoint())
    old = path.read_bytes()
    training.step()

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            checkpoints.write(path, training.checkpoint())
    training.model.parameters()[0].data = float("inf")
    with pytest.raises(CheckpointError, match="numbers that are not finite"):
        checkpoints.write(path, training.checkpoint())
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def shorter(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "tokens.weight": state["tokens.weight"][:-1]}


@pytest.mark.parametrize(
    "change",
    [
        {"format": "something else"},
        {"alphabet": "ba"},
        {"step": -1},
        {"options": {"width": 0}},
        {"options": {"depth": 1}},
        {"options": None},
        {"data": 3},
        {"model": {}},
        {"model": None},
        {"model": shorter},
        {"optimizer": {}},
        {"random": [3, [1, 2], None]},
        {"random": None},
        {"more": 1},
    ],
    ids=str,
)
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "checkpoint.json"
    checkpoints.write(path, Training(Options(**TINY), corpus()).checkpoint())
    content = json.loads(path.read_text())
    for name, new in change.items():
        content[name] = new(content[name]) if callable(new) else new
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"checkpoint\.json (is no|was trained on)"):
        Training(Options(**TINY), corpus()).restore(checkpoints.read(path), path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "words", '{"step": NaN}', "[" * 100_000])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r"file\.json is no checkpoint of this program"):
        checkpoints.read(path)


def test_a_checkpoint_alone_writes_what_its_training_did(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    training = Training(Options(**TINY), corpus())
    losses_of(training, 5)
    checkpoints.write(path, training.checkpoint())
    model, alphabet = model_of(checkpoints.read(path), path)
    assert alphabet == training.corpus.alphabet
    assert model.state_dict() == training.model.state_dict()


# The command.


def test_the_command_trains_saves_and_writes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("documents: 54 to learn from, 6 held out.")
    assert re.fullmatch(r"training 12/12, loss \d\.\d{3}, [\d,]+/s", lines[10])
    assert re.match(r"Loss on held-out documents \d\.\d{4}; of guessing evenly among", lines[-3])
    assert checkpoints.read(folder / "microgpt.json").step == 12
    written = lines[-2:]
    assert main(["--load", "microgpt.json", "--sample", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == written
    assert main(["--load", "microgpt.json", "--sample", "2", "--seed", "7"]) == 0
    assert capsys.readouterr().out.splitlines() != written


def test_ctrl_c_leaves_a_checkpoint_that_goes_on_as_if_nothing_had_been(
    interrupted: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--save", "a b.json") == 130
    assert "python -m microgpt --resume 'a b.json'" in capsys.readouterr().out
    assert len(interrupted) == 5
    assert main(["--resume", "a b.json"]) == 0
    losses = interrupted.copy()
    whole = Training(Options(**TINY), corpus(), "words.txt")
    assert losses == losses_of(whole, 12)
    checkpoints.write(Path("whole.json"), whole.checkpoint())
    assert Path("a b.json").read_bytes() == Path("whole.json").read_bytes()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C does what it does in a terminal; in the background of a shell it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_twice_ends_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(training: Training) -> float:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not interrupted")

    monkeypatch.setattr(Training, "step", pressed)
    assert train() == 130
    assert capsys.readouterr().err == "\ninterrupted\n"
    assert not (folder / "microgpt.json").exists()


def test_checkpoints_are_written_on_the_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    write = checkpoints.write

    def noted(path: Path, checkpoint: Checkpoint) -> None:
        steps.append(checkpoint.step)
        write(path, checkpoint)

    monkeypatch.setattr(checkpoints, "write", noted)
    assert train("--every", "5") == 0
    assert steps == [5, 10, 12]


def test_more_steps_go_on_from_a_finished_checkpoint(folder: Path) -> None:
    assert train() == 0
    assert main(["--resume", "microgpt.json", "--steps", "15", "--save", "more.json"]) == 0
    assert checkpoints.read(folder / "more.json").step == 15
    assert checkpoints.read(folder / "microgpt.json").step == 12


def test_other_documents_in_the_same_characters_are_remarked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "other.txt").write_text("\n".join(sorted(DOCUMENTS, reverse=True)[:-1]))
    assert train() == 0
    assert capsys.readouterr().err == ""
    assert main(["--resume", "microgpt.json", "--steps", "13", "--data", "other.txt"]) == 0
    assert capsys.readouterr().err.startswith("note: these are not the documents that microgpt")


def test_long_documents_are_remarked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "long.txt").write_text("abcdef\nabcde\nab\n")
    assert train("--data", "long.txt", "--steps", "1") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Of 1 of them only the first 5 characters are read." in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "missing.txt"], "No such file or directory: 'missing.txt'"),
        (["--data", "empty.txt"], "empty.txt has 0 different lines: two are needed"),
        (["--data", "binary.txt"], "binary.txt is no text in UTF-8"),
        (["--resume", "missing.json"], "No such file or directory: 'missing.json'"),
        (["--load", "words.txt"], "words.txt is no checkpoint of this program"),
        (
            ["--resume", "microgpt.json", "--steps", "20", "--data", "other.txt"],
            "microgpt.json was trained on other characters than the data has: only the "
            "checkpoint has 'u', only the data 'xé'",
        ),
        (["--data", "words.txt", "--rate", "1e300"], "try a smaller rate"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_used_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert train() == 0
    saved = (folder / "microgpt.json").read_bytes()
    (folder / "empty.txt").write_text(" \n\n")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (folder / "other.txt").write_text("\n".join(DOCUMENTS).replace("u", "é") + "x")
    capsys.readouterr()
    assert main(arguments) == 1
    assert re.match("python -m microgpt: error: .*" + re.escape(message), capsys.readouterr().err)
    assert (folder / "microgpt.json").read_bytes() == saved


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "argument --steps: '0' is not a whole number of at least 1"),
        (["--rate", "nan"], "argument --rate: 'nan' is not a finite number above 0"),
        (["--temperature", "0"], "argument --temperature: '0' is not a finite number above 0"),
        (["--heads", "5"], "heads must divide width, and 5 does not 16"),
        (["--save", "nowhere/x.json"], "argument --save: nowhere/x.json is no place for a file"),
        (["--load", "a.json", "--steps", "3"], "--steps: not allowed with argument --load"),
        (["--load", "a.json", "--resume", "a.json"], "not allowed with argument --load"),
        (["--resume", "a.json", "--width", "8"], "--width: a.json was made with 4, not 8"),
        (["--resume", "a.json", "--seed", "8"], "--seed: a.json was made with 42, not 8"),
        (["--resume", "a.json"], "a.json has done 12 steps: --steps for more, or --load to write"),
    ],
    ids=" ".join,
)
def test_options_that_do_not_fit_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    training = Training(Options(**TINY), corpus(), "words.txt")
    losses_of(training, 12)
    checkpoints.write(folder / "a.json", training.checkpoint())
    with pytest.raises(SystemExit) as found:
        main(arguments)
    assert found.value.code == 2
    assert message in capsys.readouterr().err


def test_a_terminal_shows_a_bar(folder: Path) -> None:
    pty = pytest.importorskip("pty")
    reader, writer = pty.openpty()
    examples = str(Path(checkpoints.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [examples, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "microgpt", "--data", "words.txt", *TINY_ARGUMENTS]
    with subprocess.Popen(command, env=environment, stdout=writer, stderr=writer) as process:
        os.close(writer)
        screen = b"".join(iter(lambda: read_terminal(reader), b"")).decode()
    os.close(reader)
    assert process.returncode == 0, screen
    assert "\x1b[" in screen
    bare = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)
    assert re.search(r"training ━+ 100% 12/12 loss \d\.\d{3}, [\d,]+/s 0:00:00", bare), bare
    assert re.search(r"held out ━+ 100% 6/6 loss", bare), bare


def read_terminal(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except OSError:  # how Linux says that the other side has closed
        return b""
