"""What is checked before a change lands: `nox` runs all of it, `nox -s tests` one session.

The sessions dev, release, sanitize and bench are the CMake presets of these names.
"""

from __future__ import annotations

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
