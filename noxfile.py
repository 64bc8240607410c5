"""What is checked before a change lands: `nox` runs all of it, `nox -s tests` one session.

The sessions dev, release, sanitize and bench are the CMake presets of these names;
`nox -s sanitize_python` takes three quarters of an hour and does not run by default.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests", "dev", "sanitize"]

CPP = [
    *sorted(map(str, Path("cpp").rglob("*.?pp"))),
    *sorted(map(str, Path("tests/cpp").rglob("*.?pp"))),
    *sorted(map(str, Path("bench/cpp").rglob("*.?pp"))),
]


def run_preset(session: nox.Session, name: str) -> None:
    """Configure, build and run the C++ tests; Debian's doctest-dev has what they need."""
    session.install("cmake>=3.25")
    session.run("cmake", "--workflow", "--preset", name)


@nox.session
def dev(session: nox.Session) -> None:
    """The C++ tests, in a debug build."""
    run_preset(session, "dev")


@nox.session
def release(session: nox.Session) -> None:
    """The C++ tests, as users' compilers optimise them."""
    run_preset(session, "release")


@nox.session
def sanitize(session: nox.Session) -> None:
    """The C++ tests under AddressSanitizer and UBSan."""
    run_preset(session, "sanitize")


@nox.session
def bench(session: nox.Session) -> None:
    """The C++ benchmark, once; Debian's libbenchmark-dev has what it needs."""
    run_preset(session, "bench")


@nox.session
def tests(session: nox.Session) -> None:
    """The Python tests against a package built and installed afresh; arguments go to pytest."""
    session.install("cmake>=3.25", ".[test]")
    session.run("pytest", *(session.posargs or ["-m", "not torch"]))


@nox.session
def sanitize_python(session: nox.Session) -> None:
    """The Python tests with the bindings under AddressSanitizer and UBSan; arguments go to pytest.

    Without a leak check, since CPython keeps objects to its end; without the tests of the resident
    memory, of which the sanitizers take the most; without those of the C++ headers, which use no
    bindings.
    """
    project = nox.project.load_toml("pyproject.toml")["project"]
    session.install("cmake>=3.25", "pybind11>=2.13", *project["optional-dependencies"]["test"])
    folder = str(Path(session.create_tmp()).resolve())
    # NDEBUG as in a wheel: pybind11 aborts in a debug build where an allocation fails.
    flags = "-O1 -g1 -fno-omit-frame-pointer -DNDEBUG"
    pybind11 = session.run("python", "-m", "pybind11", "--cmakedir", silent=True)
    assert isinstance(pybind11, str)
    session.run(
        *("cmake", "-S", ".", "-B", f"{folder}/build"),
        # pybind11 adds no link-time optimisation to this type, which would take minutes.
        *("-DCMAKE_BUILD_TYPE=RelWithDebInfo", f"-DCMAKE_CXX_FLAGS_RELWITHDEBINFO={flags}"),
        *("-DTAPEGRAD_SANITIZE=ON", "-DTAPEGRAD_PYTHON=ON", "-DTAPEGRAD_TESTS=OFF"),
        f"-Dpybind11_DIR={pybind11.strip()}",
        f"-DPython_EXECUTABLE={session.bin}/python",
    )
    session.run("cmake", "--build", f"{folder}/build", "--parallel", str(os.cpu_count() or 1))
    shutil.rmtree(f"{folder}/python", ignore_errors=True)
    shutil.copytree("python/tapegrad", f"{folder}/python/tapegrad")
    for built in Path(folder, "build", "cpp", "bindings").glob("_core*"):
        if built.suffix in (".so", ".pyd"):
            shutil.copy(built, f"{folder}/python/tapegrad")
    runtimes = [
        subprocess.run(
            [os.environ.get("CXX", "c++"), f"-print-file-name={name}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = {
        "PYTHONPATH": f"{folder}/python",
        "LD_PRELOAD": " ".join(runtimes),
        # Long stacks of allocations would take most of the time.
        "ASAN_OPTIONS": "malloc_context_size=2:detect_leaks=0:"
        "allocator_may_return_null=1:handle_segv=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",  # else the sanitizer sees pools and no objects
    }
    selected = ["-m", "not torch and not resident", "--ignore=tests/python/cpp"]
    session.run("pytest", *(session.posargs or selected), env=environment)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and clang-format, neither of which changes anything."""
    session.install("ruff>=0.6", "clang-format==14.0.6")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("clang-format", "--dry-run", "--Werror", *CPP)


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict on the package, and its stubs against the built module."""
    session.install("mypy>=1.18", ".[test]")
    session.run("mypy")
    allowlist = "tests/python/stubtest-allowlist.txt"
    session.run("python", "-m", "mypy.stubtest", "tapegrad", "--allowlist", allowlist)
