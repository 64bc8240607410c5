"""`python -m tapegrad info`: the build, the arena, and the optional packages found."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tapegrad import _core

__all__ = ["add_arguments", "gather", "main"]

_PURPOSES = {
    "graphviz": "drawings as graphviz.Digraph",
    "matplotlib": "drawings as PNG and PDF, the demo, the benchmark",
    "numpy": "the demo",
    "rich": "the demo, the benchmark",
    "scikit-learn": "the demo",
}
_MODULES = {"scikit-learn": "sklearn"}
_LIMIT_VARIABLE = "TAPEGRAD_MAX_NODES"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to `parser`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print the information and return the exit status."""
    facts = gather()
    print(json.dumps(facts, indent=2) if args.json else _as_text(facts))
    return 0


def gather() -> dict[str, Any]:
    """Return the information as a dict that JSON can represent.

    >>> sorted(gather())
    ['arena', 'build', 'dot', 'operations', 'packages', 'python', 'version']
    """
    build, arena = dict(_core.build()), dict(_core.arena())
    return {
        "version": build.pop("version"),
        "build": build,
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "platform": platform.platform(),
            "executable": sys.executable,
            "package": str(Path(__file__).parent),
        },
        "arena": {**arena, "max_nodes_variable": os.environ.get(_LIMIT_VARIABLE)},
        "operations": len(_core.operations()),
        "packages": {name: _installed_version(name) for name in _PURPOSES},
        "dot": shutil.which("dot"),
    }


def _installed_version(package: str) -> str | None:
    """Return the version of a package without importing it, or None if it is not installed."""
    if find_spec(_MODULES.get(package, package)) is None:
        return None
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _as_text(facts: dict[str, Any]) -> str:
    python, build, arena = facts["python"], facts["build"], facts["arena"]
    sections = {
        f"tapegrad {facts['version']}": {
            "compiler": f"{build['compiler']}, __cplusplus {build['standard']}",
            "flags": build["flags"] or "none",
            "operations": str(facts["operations"]),
            "package": python["package"],
        },
        f"{python['implementation']} {python['version']}": {
            "executable": python["executable"],
            "platform": python["platform"],
        },
        "arena": {
            "nodes": f"{arena['nodes']:,} alive, room for {arena['capacity']:,} so far, "
            f"at most {arena['limit']:,}",
            "limit": _limit_text(arena["limit"], arena["max_nodes_variable"]),
            "memory": f"{arena['bytes']:,} bytes taken; {arena['bytes_per_node']} for a node, "
            f"and {arena['bytes_per_handle']} for a Value in Python",
        },
        "optional": {
            name: f"{facts['packages'][name] or 'not found'} ({purpose})"
            for name, purpose in _PURPOSES.items()
        }
        | {"dot": f"{facts['dot'] or 'not found'} (Graphviz's program, for its own layout)"},
    }
    width = max(len(name) for section in sections.values() for name in section)
    blocks = [
        "\n".join([title, *(f"  {name:{width}}  {text}" for name, text in section.items())])
        for title, section in sections.items()
    ]
    return "\n\n".join(blocks)


def _limit_text(limit: int, variable: str | None) -> str:
    if variable is None:
        return f"as built; {_LIMIT_VARIABLE} in the environment lowers it"
    effect = "lowered it" if variable.strip() == str(limit) else "has no effect"
    return f"{_LIMIT_VARIABLE}={variable} in the environment {effect}"
