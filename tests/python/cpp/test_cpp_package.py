"""The C++ core installs without Python, and other CMake projects find it in three ways."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tapegrad
from support.paths import REPOSITORY as ROOT

CONSUMER = ROOT / "tests" / "cpp" / "consumer"
COMPILERS = [os.environ.get("CXX", ""), "c++", "g++", "clang++", "cl"]

pytestmark = [
    pytest.mark.skipif(shutil.which("cmake") is None, reason="there is no cmake on the path"),
    pytest.mark.skipif(
        not any(name and shutil.which(name) for name in COMPILERS),
        reason="there is no C++ compiler on the path",
    ),
]


def call(*command: str | Path) -> str:
    """What the command prints; its failure shows all of that."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def build_and_run_consumer(folder: Path, *options: str) -> str:
    """What the consumer prints, built in a new folder with these options of CMake."""
    build = folder / "consumer"
    call("cmake", "-S", CONSUMER, "-B", build, "-DCMAKE_BUILD_TYPE=Debug", *options)
    call("cmake", "--build", build, "--config", "Debug")
    programs = [
        path
        for name in ("consumer", "consumer.exe", "Debug/consumer.exe")
        if (path := build / name).is_file()
    ]
    return call(programs[0])


def expected() -> str:
    """The consumer's output: tanh and its derivative at 0, times -3 and 2."""
    return f"{tapegrad.__version__} 0 -3 2\n"


def test_the_core_installs_without_python_and_is_found(tmp_path: Path) -> None:
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    call("cmake", "-S", ROOT, "-B", build)
    call("cmake", "--install", build, "--prefix", prefix)
    cache = (build / "CMakeCache.txt").read_text()
    assert not [line for line in cache.splitlines() if line.startswith(("Python", "pybind11"))]
    installed = {path.suffix for path in prefix.rglob("*") if path.is_file()}
    assert installed == {".hpp", ".cmake"}
    assert build_and_run_consumer(tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}") == expected()


def test_an_installed_core_can_be_moved(tmp_path: Path) -> None:
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    call("cmake", "-S", ROOT, "-B", build, "-DTAPEGRAD_TESTS=OFF")
    call("cmake", "--install", build, "--prefix", prefix)
    moved = prefix.rename(tmp_path / "elsewhere")
    assert build_and_run_consumer(tmp_path, f"-DCMAKE_PREFIX_PATH={moved}") == expected()


def test_the_sources_are_found_as_a_subdirectory(tmp_path: Path) -> None:
    assert build_and_run_consumer(tmp_path, f"-DTAPEGRAD_SOURCE_DIR={ROOT}") == expected()
    # A subproject's tests are not its user's.
    assert not list((tmp_path / "consumer").rglob("test_*"))


def test_the_core_is_found_in_the_installed_python_package(tmp_path: Path) -> None:
    folder = call(sys.executable, "-m", "tapegrad", "--cmakedir").strip()
    assert build_and_run_consumer(tmp_path, f"-Dtapegrad_DIR={folder}") == expected()


def test_another_minor_version_is_refused(tmp_path: Path) -> None:
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    call("cmake", "-S", ROOT, "-B", build, "-DTAPEGRAD_TESTS=OFF")
    call("cmake", "--install", build, "--prefix", prefix)
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\n"
        "project(demanding LANGUAGES CXX)\n"
        "find_package(tapegrad 99.0 CONFIG)\n"
        "if(tapegrad_FOUND)\n"
        "  message(FATAL_ERROR found)\n"
        "endif()\n"
    )
    said = call("cmake", "-S", sources, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={prefix}")
    assert "99.0" in said
