"""`python -m tapegrad info` says how the engine was built, what it holds and what it can use."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import tapegrad
from support.running import python
from tapegrad import _core, info

WITHOUT_PACKAGES = """
import runpy, sys
for name in ("graphviz", "matplotlib", "numpy", "rich", "sklearn"):
    sys.modules[name] = None
sys.argv = ["tapegrad", "info", *sys.argv[1:]]
runpy.run_module("tapegrad", run_name="__main__")
"""


def as_json(folder: Path, **environment: str) -> Any:
    found = python(folder, "-m", "tapegrad", "info", "--json", env=os.environ | environment)
    assert (found.returncode, found.stderr) == (0, "")
    return json.loads(found.stdout)


def test_the_text_names_version_compiler_flags_python_and_arena(tmp_path: Path) -> None:
    found = python(tmp_path, "-m", "tapegrad", "info")
    assert (found.returncode, found.stderr) == (0, "")
    build, arena = _core.build(), _core.arena()
    assert found.stdout.startswith(f"tapegrad {tapegrad.__version__}\n")
    for fact in (
        build["compiler"],
        build["flags"],
        f"{platform.python_implementation()} {platform.python_version()}\n",
        f"operations    {len(_core.operations())}\n",
        "0 alive, room for ",
        f" so far, at most {arena['limit']:,}\n",
        f"{arena['bytes_per_node']} for a node, and {arena['bytes_per_handle']} for a Value",
        "TAPEGRAD_MAX_NODES",
    ):
        assert str(fact) in found.stdout


def test_json_holds_the_same_facts_for_machines(tmp_path: Path) -> None:
    facts = as_json(tmp_path)
    build = dict(_core.build())
    assert facts["version"] == build.pop("version") == tapegrad.__version__
    assert facts["build"] == build
    assert facts["operations"] == len(_core.operations())
    assert facts["arena"]["bytes_per_node"] == _core.arena()["bytes_per_node"]
    assert facts["python"]["executable"] == sys.executable
    assert Path(facts["python"]["package"]) == Path(info.__file__).parent


def test_the_nodes_alive_are_those_of_this_moment() -> None:
    before = info.gather()["arena"]["nodes"]
    a = tapegrad.Value(1.0)
    y = a * 2
    assert info.gather()["arena"]["nodes"] == before + 2
    del a, y
    assert info.gather()["arena"]["nodes"] == before


def test_the_limit_and_the_variable_that_lowers_it_are_shown(tmp_path: Path) -> None:
    arena = as_json(tmp_path, TAPEGRAD_MAX_NODES="5000")["arena"]
    assert (arena["limit"], arena["max_nodes_variable"]) == (5000, "5000")
    lowered = os.environ | {"TAPEGRAD_MAX_NODES": "5000"}
    text = python(tmp_path, "-m", "tapegrad", "info", env=lowered).stdout
    assert "at most 5,000\n" in text
    assert "TAPEGRAD_MAX_NODES=5000 in the environment lowered it\n" in text
    ignored = os.environ | {"TAPEGRAD_MAX_NODES": "99999999999999"}
    text = python(tmp_path, "-m", "tapegrad", "info", env=ignored).stdout
    assert "TAPEGRAD_MAX_NODES=99999999999999 in the environment has no effect\n" in text


def test_it_works_in_a_base_installation_and_tells_what_is_missing(tmp_path: Path) -> None:
    nothing = os.environ | {"PATH": str(tmp_path)}
    found = python(tmp_path, "-c", WITHOUT_PACKAGES, env=nothing)
    assert (found.returncode, found.stderr) == (0, "")
    missing = [line.split()[0] for line in found.stdout.splitlines() if "not found" in line]
    assert missing == ["graphviz", "matplotlib", "numpy", "rich", "scikit-learn", "dot"]
    facts = json.loads(python(tmp_path, "-c", WITHOUT_PACKAGES, "--json", env=nothing).stdout)
    assert set(facts["packages"].values()) == {None}
    assert facts["dot"] is None


def test_installed_packages_are_shown_with_their_versions(tmp_path: Path) -> None:
    import numpy

    assert as_json(tmp_path)["packages"]["numpy"] == numpy.__version__


def test_an_unknown_option_is_an_error_with_status_2(tmp_path: Path) -> None:
    found = python(tmp_path, "-m", "tapegrad", "info", "--xml")
    assert found.returncode == 2
    assert "unrecognized arguments: --xml" in found.stderr
