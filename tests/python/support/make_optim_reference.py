"""Write what PyTorch's optimizers, schedules and clipping do to data/torch_optim.json.

Run it with the torch named in SOURCE installed, from tests/python:

    python -m support.make_optim_reference
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.make_torch_reference import SOURCE
from support.paths import DATA
from support.training import everything, of_torch

MADE_BY = "tests/python/support/make_optim_reference.py"
REFERENCE_FILE = DATA / "torch_optim.json"


def _lines(results: Any) -> str:
    """JSON with a row of numbers on each line."""
    if isinstance(results, dict):
        entries = [f"{json.dumps(key)}: {_lines(value)}" for key, value in results.items()]
        return "{\n" + ",\n".join(entries) + "\n}"
    if results and isinstance(results[0], list):
        return "[\n" + ",\n".join(map(_lines, results)) + "\n]"
    return json.dumps(results)


def write_reference(path: Path) -> None:
    """Run every program with torch and write the JSON."""
    import torch

    running = "torch " + torch.__version__.partition("+")[0]
    if running != SOURCE:
        raise SystemExit(f"needs {SOURCE}, found {running}")
    path.write_text(_lines({"source": SOURCE, "made_by": MADE_BY, **everything(of_torch())}) + "\n")


if __name__ == "__main__":
    write_reference(REFERENCE_FILE)
