"""Commands whose output nobody reads to its end stop without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import REPOSITORY

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="a system without SIGPIPE")


def without_reader(*arguments: str, buffered: bool = True) -> tuple[int, str]:
    """The status and stderr of a process that writes into a pipe whose reading end is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, *arguments],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment,
            cwd=REPOSITORY,
        )
    return done.returncode, done.stderr


@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["info"],
        ["info", "--json"],
        ["--version"],
        ["--help"],
        ["info", "--help"],
        ["demo", "--help"],
        ["run", "--help"],
        ["--includedir"],
        [],
    ],
    ids=" ".join,
)
def test_a_command_ends_by_the_signal_and_says_nothing(
    arguments: list[str], buffered: bool
) -> None:
    status, told = without_reader("-m", "tapegrad", *arguments, buffered=buffered)
    if arguments == ["--includedir"] and "no include folder" in told:
        pytest.skip("this is a checkout that is not installed")
    assert told == ""
    # argparse passes over an error while it prints, which without a buffer is this one.
    by_argparse = not buffered and arguments not in (["info"], ["info", "--json"])
    assert status == -signal.SIGPIPE or (by_argparse and status == 0)


@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
def test_the_benchmark_does_the_same(buffered: bool) -> None:
    status, told = without_reader("-m", "bench", "python", "--help", buffered=buffered)
    assert told == ""
    assert status == -signal.SIGPIPE or (not buffered and status == 0)


def test_in_a_shell_the_first_line_can_be_had() -> None:
    command = f"{sys.executable} -m tapegrad info | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("tapegrad ")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert done.returncode in (0, 128 + signal.SIGPIPE)  # head may end before or after it


def test_a_program_that_is_run_meets_the_pipe_as_under_python(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys\nfor i in range(10000):\n    print(i)\n")
    plain = without_reader(str(program))
    assert without_reader("-m", "tapegrad", "run", str(program)) == plain
    assert plain[0] == 1
    assert "BrokenPipeError" in plain[1]


def test_another_broken_pipe_stays_an_error() -> None:
    program = (
        "import os\nfrom tapegrad._pipe import ends_with_its_reader\n"
        "r, w = os.pipe()\nos.close(r)\n"
        "with ends_with_its_reader():\n    os.write(w, b'x')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr
