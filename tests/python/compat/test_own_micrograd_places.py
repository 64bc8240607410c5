"""A program's own micrograd is found wherever the program says that it is, when it imports it."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest

from support.engines import CLOSURES as ENGINE
from support.running import python, run, write

LEAKY = """
def leaky(x):
    return x if x.data > 0 else x * 0.25
"""
USE = """
from micrograd.engine import Value, leaky
x = Value(-3.0)
y = leaky(x * 2.0)
y.backward()
print(y.data, x.grad)
"""
# Runs in tests/, beside src/ with the package; HERE is the folder above both.
PLACES = {
    "inserted": "import sys, os\nsys.path.insert(0, os.path.join(HERE, 'src'))",
    "appended": "import sys, os\nsys.path.append(os.path.join(HERE, 'src'))",
    "relative": "import sys\nsys.path.insert(0, 'src')",
    "a current folder": (
        "import sys, os\nos.chdir(os.path.join(HERE, 'src'))\nsys.path.insert(0, '')"
    ),
    "a site folder": "import site, os\nsite.addsitedir(os.path.join(HERE, 'src'))",
    "in another module": "import paths",
    "a finder as of an editable installation": """
import sys, os
from importlib.util import spec_from_file_location
class Finder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname == 'micrograd':
            place = os.path.join(HERE, 'src', 'micrograd')
            return spec_from_file_location(
                fullname, os.path.join(place, '__init__.py'), submodule_search_locations=[place])
sys.meta_path.append(Finder)
""",
}


def write_src(folder: Path) -> None:
    write(folder, "src/micrograd/__init__.py", "")
    write(folder, "src/micrograd/engine.py", ENGINE + LEAKY)
    write(folder, "tests/paths.py", PLACES["inserted"].replace("HERE", repr(str(folder))))


def assert_own(folder: Path, own: str, *arguments: str, **environment: str) -> str:
    env = {**os.environ, **environment}
    expected = python(folder, *arguments, env=env)
    assert (expected.stdout, expected.returncode) == ("-1.5 0.5\n", 0), expected.stderr
    found = run(folder, *arguments, env=env)
    assert (found.stdout, found.returncode) == (expected.stdout, 0), found.stderr
    assert f"micrograd is the program's own, {folder / own}\n" in found.stderr
    return found.stderr


@pytest.mark.parametrize("place", PLACES)
def test_a_package_is_found_where_the_program_says(tmp_path: Path, place: str) -> None:
    write_src(tmp_path)
    begin = PLACES[place].replace("HERE", repr(str(tmp_path)))
    write(tmp_path, "tests/check.py", f"{begin}\n{USE}")
    told = assert_own(tmp_path, "src/micrograd", "tests/check.py")
    assert "class Value of micrograd.engine is now tapegrad's Value" in told
    assert told.count("\n") == 2


@pytest.mark.parametrize("separate", [False, True], ids=["alone", "with others"])
def test_a_package_is_found_on_pythonpath(tmp_path: Path, separate: bool) -> None:
    write_src(tmp_path)
    write(tmp_path, "tests/check.py", USE)
    places = [str(tmp_path / "empty")] * separate + [str(tmp_path / "src")]
    path = os.pathsep.join([*places, *filter(None, sys.path)])
    assert_own(tmp_path, "src/micrograd", "tests/check.py", PYTHONPATH=path)


def test_a_package_in_an_archive_is_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("micrograd/__init__.py", "")
        archive.writestr("micrograd/engine.py", ENGINE + LEAKY)
    begin = f"import sys\nsys.path.insert(0, {str(tmp_path / 'all.zip')!r})"
    write(tmp_path, "check.py", f"{begin}\n{USE}")
    assert_own(tmp_path, "all.zip/micrograd", "check.py")


def test_a_folder_of_packages_without_init_is_found(tmp_path: Path) -> None:
    write(tmp_path, "src/micrograd/deep/engine.py", ENGINE + LEAKY)
    begin = f"import sys\nsys.path.insert(0, {str(tmp_path / 'src')!r})"
    use = USE.replace("micrograd.engine", "micrograd.deep.engine")
    write(tmp_path, "check.py", f"{begin}\n{use}")
    assert_own(tmp_path, "src/micrograd", "check.py")


def test_an_installed_package_is_not_taken_and_that_is_told(tmp_path: Path) -> None:
    write(tmp_path, "site-packages/micrograd/__init__.py", "")
    write(tmp_path, "site-packages/micrograd/engine.py", ENGINE + LEAKY)
    program = "from micrograd.engine import Value; print(Value.__module__.partition('.')[0])"
    begin = f"import sys\nsys.path.insert(0, {str(tmp_path / 'site-packages')!r})"
    write(tmp_path, "check.py", f"{begin}\n{program}")
    found = run(tmp_path, "check.py")
    assert found.stdout == "tapegrad\n"
    place = tmp_path / "site-packages" / "micrograd"
    assert found.stderr == (
        f"tapegrad run: micrograd is tapegrad's, not the one that is installed, {place}\n"
    )


@pytest.mark.parametrize("name", ["micrograd", "micrograd.check"])
def test_a_package_that_runs_by_its_name_is_told_of_once(tmp_path: Path, name: str) -> None:
    write_src(tmp_path)
    for module in ("__main__", "check"):
        write(tmp_path, f"src/micrograd/{module}.py", USE)
    expected = python(tmp_path / "src", "-m", name)
    assert expected.returncode == 0, expected.stderr
    found = run(tmp_path / "src", "-m", name)
    assert (found.stdout, found.returncode) == (expected.stdout, 0), found.stderr
    assert found.stderr.count("micrograd is the program's own") == 1


def test_a_package_that_is_not_imported_is_not_told_of(tmp_path: Path) -> None:
    write(tmp_path, "micrograd/__init__.py", "raise SystemExit(3)")
    write(tmp_path, "check.py", "print('nothing')")
    found = run(tmp_path, "check.py")
    assert (found.stdout, found.stderr, found.returncode) == ("nothing\n", "", 0)


def test_uses_in_every_module_of_the_program_count(tmp_path: Path) -> None:
    write_src(tmp_path)
    write(tmp_path, "src/tools.py", "def kinds(x):\n    return [x._op, *map(kinds, x._prev)]\n")
    write(tmp_path, "tests/inner.py", "import tools\n")
    begin = PLACES["inserted"].replace("HERE", repr(str(tmp_path)))
    program = f"{begin}\nimport inner\nfrom tools import kinds\n{USE}\nprint(kinds(x - 1.0 - x))"
    write(tmp_path, "tests/check.py", program)
    expected, found = python(tmp_path, "tests/check.py"), run(tmp_path, "tests/check.py")
    assert expected.returncode == found.returncode == 0
    assert sorted(found.stdout) == sorted(expected.stdout)
    write(tmp_path, "src/app/__init__.py", "")
    write(tmp_path, "src/app/engine.py", ENGINE)
    main = "from .engine import Value\nx = Value(2.0)\nprint((x - 1.0)._op == '+')"
    write(tmp_path, "src/app/__main__.py", main)
    module = run(tmp_path / "src", "--replace-class", "Value", "-m", "app")
    assert module.stdout == "True\n", module.stderr
