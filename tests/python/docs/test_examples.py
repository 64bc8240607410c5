"""The notebooks in examples/ run from top to bottom, and print what is stored in them."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from support.paths import REPOSITORY
from support.running import run

nbformat: Any = pytest.importorskip("nbformat")
nbclient: Any = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

# Jupyter's own packages warn of each other and of sockets that they leave to the collector.
pytestmark = pytest.mark.filterwarnings("ignore")

EXAMPLES = REPOSITORY / "examples"
AS_MICROGRAD = "import tapegrad; tapegrad.install_as_micrograd()"


def read(name: str) -> Any:
    return nbformat.read(EXAMPLES / name, as_version=4)


def execute(notebook: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, first: str = "") -> Any:
    """The notebook after its cells, below one more, ran in a kernel of this interpreter."""
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "this Python", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    check = f"import sys; assert sys.executable == {sys.executable!r}\n{first}"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(check))
    client = nbclient.NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    del notebook.cells[0]
    return notebook


def printed(notebook: Any) -> list[str]:
    """The text that the cells print and show, with the addresses of objects left out."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [re.sub(r"0x[0-9a-f]+", "0x", "".join(map(text_of, cell.outputs))) for cell in cells]


def text_of(output: Any) -> str:
    return str(output["text"] if "text" in output else output["data"]["text/plain"])


def pictures(notebook: Any, kind: str) -> list[str]:
    """The pictures of this MIME type that the cells show."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output["data"][kind] for output in outputs if kind in output.get("data", {})]


def test_every_notebook_is_valid_and_stored_with_its_outputs() -> None:
    names = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))
    assert names == ["seed_notebook.ipynb", "seed_pure_python.ipynb"]
    for name in names:
        notebook = read(name)
        nbformat.validate(notebook)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]


def test_the_readme_names_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text()
    # Not checkpoints that programs have left.
    names = [path.name for path in EXAMPLES.iterdir() if path.is_dir() or path.suffix == ".ipynb"]
    names = [name for name in names if not name.startswith((".", "__"))]
    assert "microgpt" in names
    assert all(f"[`{name}`]({name})" in text for name in names)


def test_the_seed_notebook_runs_and_prints_what_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = execute(read("seed_notebook.ipynb"), tmp_path, monkeypatch)
    assert printed(found) == printed(read("seed_notebook.ipynb"))
    assert len(pictures(found, "image/png")) == 2
    assert len(pictures(found, "image/svg+xml")) == 3
    graph = html.unescape(pictures(found, "image/svg+xml")[-1])
    assert all(f"grad {grad:.4f}" in graph for grad in (6, -4, -2, 4, 1))


def test_the_seed_notebooks_numerical_check_moves_a_leaf_and_finds_the_gradients() -> None:
    text = "\n".join(printed(read("seed_notebook.ipynb")))
    check = re.findall(r"dL/d(\w): by hand +(\S+), numerically (\S+)", text)
    assert [name for name, _, _ in check] == ["a", "b", "c", "f"]
    assert [float(found) for _, _, found in check] == [float(value) for _, value, _ in check]
    assert [float(value) for _, value, _ in check] == [6.0, -4.0, -2.0, 4.0]


def test_the_pure_python_notebook_runs_in_jupyter_on_tapegrads_micrograd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = read("seed_pure_python.ipynb")
    found = execute(notebook, tmp_path, monkeypatch, first=AS_MICROGRAD)
    assert printed(found) == printed(read("seed_pure_python.ipynb"))
    assert len(pictures(found, "image/svg+xml")) == 2


@pytest.mark.parametrize(
    "options", [(), ("--replace-class", "Value")], ids=["its own class", "the engine's class"]
)
def test_the_pure_python_notebook_runs_unchanged_in_a_terminal(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    found = run(tmp_path, *options, str(EXAMPLES / "seed_pure_python.ipynb"))
    assert found.returncode == 0, found.stderr
    assert ("is now tapegrad's Value" in found.stderr) == bool(options)
    lines = "\n".join(filter(None, map(str.strip, printed(read("seed_pure_python.ipynb")))))
    shown = re.sub(r"<(\S+) object at 0x[0-9a-f]+>", r"<\1 at 0x>", found.stdout.strip())
    assert shown == lines
