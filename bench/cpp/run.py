"""The C++ benchmarks in one command: configured, built, run in turns, drawn.

    python -m bench cpp [--native] [-DCoDiPack_DIR=... -DXAD_DIR=... ...]

Measures the core beside a hand-written adjoint, and beside each peer that CMake finds: what the
-D options may say is at the head of bench/cpp/CMakeLists.txt. Every figure comes from a process of
its own; the contestants take turns, so that a drift of the machine's clock hits all alike, and the
best of all rounds counts. Needs CMake, a C++20 compiler and Google Benchmark (Debian's
libbenchmark-dev), and for the report rich and matplotlib.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.cpp.report import TITLES, publish
from bench.cpp.results import SCALING, Report, Row, check_agreement, merge

REPOSITORY = Path(__file__).resolve().parents[2]
Runs = dict[tuple[str, str], list[dict[str, Any]]]


def output(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def build(folder: Path, definitions: Sequence[str]) -> None:
    """Configures and builds all contestants that CMake finds."""
    subprocess.run(
        ["cmake", "--preset", "bench", "-B", folder, *definitions], cwd=REPOSITORY, check=True
    )
    subprocess.run(["cmake", "--build", folder], cwd=REPOSITORY, check=True)


def contestants(folder: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """The programs by contestant: tapegrad's, the limit, then the peers by name."""
    programs = {
        path.name.removeprefix("bench_"): path
        for path in sorted((folder / "bench" / "cpp").glob("bench_*"))
        if path.is_file() and path.suffix in ("", ".exe")
    }
    order = sorted(
        programs, key=lambda name: (not name.startswith("tapegrad"), name != "by_hand", name)
    )
    unknown = set(wanted) - set(order)
    if unknown:
        raise SystemExit(f"no such contestant here: {', '.join(sorted(unknown))}")
    return {name: programs[name] for name in order if not wanted or name in wanted}


def benchmarks(program: Path) -> list[str]:
    listed = output(program, "--benchmark_list_tests", "--benchmark_filter=all")
    return [line.removesuffix("/manual_time") for line in listed.splitlines()]


def run(program: Path, name: str, min_time: float) -> dict[str, Any]:
    """The whole JSON of one benchmark, run in a new process and an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                program,
                f"--benchmark_filter=^{name}/manual_time$",
                f"--benchmark_min_time={min_time}",
                "--benchmark_format=json",
            ],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
    result: dict[str, Any] = json.loads(done.stdout)
    [entry] = result["benchmarks"]
    if "error_message" in entry:
        raise SystemExit(f"{program.name} {name}: {entry['error_message']}")
    return result


class Turns:
    """Runs benchmarks, the contestants taking turns; keeps what each process wrote."""

    def __init__(self, programs: dict[str, Path], min_time: float) -> None:
        self.programs = programs
        self.min_time = min_time
        self.contexts: dict[str, dict[str, Any]] = {}
        self.known = {name: frozenset(benchmarks(program)) for name, program in programs.items()}

    def __call__(self, names: Iterable[str], rounds: int) -> list[Row]:
        runs: Runs = {}
        gone: set[str] = set()
        names = list(names)
        for turn in range(rounds):
            for name in names:
                print(f"round {turn + 1} of {rounds}: {name}", file=sys.stderr)
                for contestant, program in self.programs.items():
                    if contestant in gone or name not in self.known[contestant]:
                        continue
                    try:
                        result = run(program, name, self.min_time)
                    except subprocess.CalledProcessError as error:
                        # Out of memory, say: without this row, and without the larger ones.
                        print(f"{contestant} {name}: {error}\n{error.stderr}", file=sys.stderr)
                        gone.add(contestant)
                        continue
                    self.contexts[contestant] = result["context"]
                    entry = result["benchmarks"][0]
                    runs.setdefault((contestant, name), []).append(entry)
        return [merge(*key, entries) for key, entries in runs.items()]


def commit() -> str:
    """The commit measured, and whether the folder held more than it."""
    changed = output("git", "status", "--porcelain", "--", "cpp", "bench/cpp", "CMakeLists.txt")
    return output("git", "rev-parse", "--short=12", "HEAD") + (", changed" if changed else "")


def processor() -> str:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return name


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench cpp",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--native", action="store_true", help="compile for this processor")
    parser.add_argument("-D", dest="definitions", action="append", default=[], help="for CMake")
    parser.add_argument("--build", type=Path, default=REPOSITORY / "build" / "bench")
    parser.add_argument("--no-build", action="store_true", help="measure what was built before")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--min-time", type=float, default=0.1, help="seconds of each round")
    parser.add_argument("--only", default="", help="workloads whose name has this")
    parser.add_argument("--contestants", nargs="+", default=[], help="these alone")
    parser.add_argument(
        "--top", type=float, default=1e8, help="operations of the largest graph; 0 for no scaling"
    )
    parser.add_argument("--scaling-rounds", type=int, default=3)
    parser.add_argument(
        "--out", type=Path, help="folder of the JSON, table and plots; without it only a table"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Build and measure as these options say and return the exit status."""
    options = arguments(argv)
    folder = options.build.resolve()
    if not options.no_build:
        native = [f"-DTAPEGRAD_BENCH_NATIVE={'ON' if options.native else 'OFF'}"]
        build(folder, native + [f"-D{definition}" for definition in options.definitions])
    programs = contestants(folder, options.contestants)
    first = next(iter(programs))
    names = [name for name in benchmarks(programs[first]) if options.only in name]
    plain = [name for name in TITLES if name in names]
    scaling = [
        name
        for name in names
        if name.startswith(SCALING) and int(name.rpartition("/")[2]) <= options.top
    ]
    turns = Turns(programs, options.min_time)
    rows = turns(plain, options.rounds)
    scaling_rows = [
        row
        for name in sorted({name.rpartition("/")[0] for name in scaling})
        for row in turns([n for n in scaling if n.startswith(name + "/")], options.scaling_rounds)
    ]
    for row in scaling_rows:
        row.workload = row.workload.split("/")[1]
    check_agreement(rows + scaling_rows)
    context = turns.contexts[first]
    report = Report(
        commit=commit(),
        date=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        machine=f"{context['num_cpus']} x {processor()}",
        system=platform.platform(),
        caches={
            f"L{cache['level']}": cache["size"]
            for cache in context["caches"]
            if cache["type"] != "Instruction"
        },
        compiler=context["compiler"],
        flags=context["flags"],
        rounds=options.rounds,
        versions={name: c["version"] for name, c in turns.contexts.items()},
        rows=rows,
        scaling=scaling_rows,
    )
    publish(report, options.out)
    return 0
