"""The public headers: what they define, what they refuse, and the systems they compile for."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.paths import REPOSITORY
from tapegrad import __version__

INCLUDE = REPOSITORY / "cpp" / "include"
CORE = INCLUDE / "tapegrad"
# By their paths below tapegrad/, internal ones among them. eigen.hpp needs Eigen.
HEADERS = sorted(
    path.relative_to(CORE).as_posix() for path in CORE.rglob("*.hpp") if path.name != "eigen.hpp"
)
NAMES = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
COMPILER = next((name for name in NAMES if name and shutil.which(name)), None)
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
SYSTEMS = {
    "macOS, Intel": "x86_64-macos",
    "macOS, ARM": "aarch64-macos",
    "Windows": "x86_64-windows-gnu",
    "Linux, musl": "x86_64-linux-musl",
    "Linux, ARM": "aarch64-linux-gnu",
}

with_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler on the path")
with_zig = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed"
)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A program that includes every header, and uses both number types."""
    path = tmp_path / "all.cpp"
    includes = "".join(f"#include <tapegrad/{name}>\n" for name in HEADERS)
    path.write_text(
        f"{includes}"
        "template <class T> T f(T x, T y) {\n"
        "  return fmod(lgamma(x), y) + tanh(x * y) - hypot(x, y, 2.0) + fma(x, y, 1.0);\n"
        "}\n"
        "int main() {\n"
        "  tapegrad::Value a = 2.0, b = 3.0;\n"
        "  const tapegrad::Value c = f(a, b);\n"
        "  c.backward();\n"
        "  tapegrad::CompactTape tape;\n"
        "  const tapegrad::Active x = tape.input(2.0), y = f(x, x);\n"
        "  tape.backward(y);\n"
        "  return tape.adjoint(x) > 0.0 || a.grad() > 0.0;\n"
        "}\n"
    )
    return path


def macros(preprocessed: str) -> Iterator[tuple[str, str]]:
    """The header and the name of each macro that stays defined by tapegrad's own headers."""
    header = ""
    kept: dict[str, str] = {}
    for line in preprocessed.splitlines():
        if found := re.match(r'# \d+ "([^"]*)"', line):
            path = Path(found[1])
            header = path.relative_to(CORE).as_posix() if path.is_relative_to(CORE) else ""
        elif header and (found := re.match(r"#define (\w+)", line)):
            kept[found[1]] = header
        elif found := re.match(r"#undef (\w+)", line):
            kept.pop(found[1], None)
    for name, where in kept.items():
        yield where, name


@with_compiler
def test_no_header_defines_a_macro_without_our_prefix(source: Path) -> None:
    assert COMPILER is not None
    done = run(COMPILER, "-std=c++20", "-E", "-dD", f"-I{INCLUDE}", str(source))
    assert done.returncode == 0, done.stderr
    found = list(macros(done.stdout))
    assert ("version.hpp", "TAPEGRAD_VERSION") in found
    assert [pair for pair in found if not pair[1].startswith("TAPEGRAD_")] == []


@with_zig
def test_on_windows_no_macro_of_the_system_comes_with_the_headers(source: Path) -> None:
    done = run(
        *(sys.executable, "-m", "ziglang", "c++", "-target", "x86_64-windows-gnu", "-std=c++20"),
        *("-E", "-dM", f"-I{INCLUDE}", str(source)),
    )
    assert done.returncode == 0, done.stderr
    names = set(re.findall(r"#define (\w+)", done.stdout))
    assert "TAPEGRAD_VERSION" in names
    assert not names & {"NOMINMAX", "WIN32_LEAN_AND_MEAN", "_WINDOWS_", "min", "max", "GetObject"}


@with_zig
def test_windows_h_may_be_included_before_and_after(source: Path) -> None:
    # With its own macros min and max, which NOMINMAX would leave out.
    windows = "#include <windows.h>\n"
    for text in (windows + source.read_text(), source.read_text() + windows):
        source.write_text(text)
        assert_compiles(source, "x86_64-windows-gnu")


@with_compiler
def test_macros_of_the_names_min_and_max_do_no_harm(source: Path) -> None:
    """As of windows.h, here after the standard library's headers, which would mind too."""
    assert COMPILER is not None
    texts = [(CORE / name).read_text() for name in HEADERS]
    portable = re.compile(r"^#include <([a-z_]+)>$", re.MULTILINE)
    standard = sorted({name for text in texts for name in portable.findall(text)})
    least = "#define min(a, b) ((a) < (b) ? (a) : (b))\n"
    macros = least + "#define max(a, b) ((a) > (b) ? (a) : (b))\n"
    source.write_text(
        "".join(f"#include <{name}>\n" for name in standard) + macros + source.read_text()
    )
    done = run(COMPILER, "-std=c++20", "-fsyntax-only", f"-I{INCLUDE}", str(source))
    assert done.returncode == 0, done.stderr


@with_compiler
def test_an_older_language_is_refused_in_a_sentence(source: Path) -> None:
    assert COMPILER is not None
    # The others include one of these first.
    own = [name for name in HEADERS if '#include "' not in (CORE / name).read_text()]
    assert own == ["detail/base/platform.hpp", "version.hpp"]
    for name in (*own[:1], "detail/ops/math.hpp", "coloring.hpp", "program.hpp", "value.hpp"):
        source.write_text(f"#include <tapegrad/{name}>\n")
        done = run(COMPILER, "-std=c++17", "-E", f"-I{INCLUDE}", str(source))
        assert done.returncode != 0, name
        assert "tapegrad needs C++20: compile with -std=c++20" in done.stderr


@with_compiler
def test_the_numbers_of_the_version_are_its_text(source: Path) -> None:
    assert COMPILER is not None
    source.write_text(
        "#include <tapegrad/version.hpp>\nTAPEGRAD_VERSION TAPEGRAD_VERSION_MAJOR "
        "TAPEGRAD_VERSION_MINOR TAPEGRAD_VERSION_PATCH = TAPEGRAD_VERSION_NUMBER\n"
    )
    done = run(COMPILER, "-std=c++20", "-E", "-P", f"-I{INCLUDE}", str(source))
    major, minor, patch = __version__.split(".")
    text = done.stdout.strip()
    assert text.startswith(f'"{__version__}" {major} {minor} {patch} = ')
    number = eval(text.partition("=")[2])
    assert number == int(major) * 10000 + int(minor) * 100 + int(patch)


def zig(source: Path, target: str) -> subprocess.CompletedProcess[str]:
    return run(
        *(sys.executable, "-m", "ziglang", "c++", "-target", target, "-std=c++20", *WARNINGS),
        # With -fsyntax-only, Zig would build its standard library for the system first.
        *("-c", "-o", str(source.with_suffix(".o")), f"-I{INCLUDE}", str(source)),
    )


def assert_compiles(source: Path, target: str) -> None:
    done = zig(source, target)
    assert done.returncode == 0, done.stderr


@with_zig
@pytest.mark.parametrize("target", SYSTEMS.values(), ids=SYSTEMS.keys())
def test_the_headers_compile_without_a_warning(source: Path, target: str) -> None:
    assert_compiles(source, target)


@with_zig
@pytest.mark.parametrize("target", ["x86-linux-musl", "x86-windows-gnu"])
def test_a_system_of_32_bits_is_refused_in_a_sentence(source: Path, target: str) -> None:
    done = zig(source, target)
    assert done.returncode != 0
    assert "tapegrad needs a 64-bit system" in done.stderr
