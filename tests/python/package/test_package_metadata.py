"""The package's metadata, and the README as a package index shows it."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

import pytest

from support.paths import REPOSITORY as ROOT

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read pyproject.toml")

LINK = re.compile(r"\]\(([^)\s]*)\)")


@pytest.fixture(scope="module")
def configuration() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def description(configuration: Any) -> str:
    """The README with the substitutions that the build makes."""
    hook = configuration["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = "".join((ROOT / part["path"]).read_text() for part in hook["fragments"])
    for change in hook["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    return text


def is_absolute(target: str) -> bool:
    return target.startswith(("https://", "#"))


def test_links_of_the_readme_name_files_of_this_repository() -> None:
    relative = [x for x in LINK.findall((ROOT / "README.md").read_text()) if not is_absolute(x)]
    assert len(relative) > 8
    missing = [target for target in relative if not (ROOT / target.partition("#")[0]).is_file()]
    assert missing == []


def test_links_of_the_long_description_are_absolute(configuration: Any, description: str) -> None:
    links = LINK.findall(description)
    assert [target for target in links if not is_absolute(target)] == []
    assert not re.search(r"(?:src|href)=[\"'](?!https:)", description)
    assert re.findall(r"^\[[^]]+\]: (?!https:)", description, re.MULTILINE) == []
    home = configuration["project"]["urls"]["Homepage"]
    assert f"]({home}docs/neuron.svg)" in description
    assert "](https://github.com/karpathy/micrograd)" in description


def test_urls_begin_with_one_address(configuration: Any) -> None:
    urls = configuration["project"]["urls"]
    assert {"Homepage", "Documentation", "Changelog"} <= urls.keys()
    for url in urls.values():
        assert url.startswith(urls["Homepage"])
        path = url.removeprefix(urls["Homepage"])
        assert (ROOT / path).exists()


def test_the_licence_is_an_expression_and_no_classifier(configuration: Any) -> None:
    project = configuration["project"]
    assert project["license"] == "MIT"
    assert all((ROOT / name).is_file() for name in project["license-files"])
    assert not [name for name in project["classifiers"] if name.startswith("License ::")]


def test_the_classifiers_name_the_pythons_that_wheels_are_built_for(configuration: Any) -> None:
    prefix = "Programming Language :: Python :: 3."
    found = [name for name in configuration["project"]["classifiers"] if name.startswith(prefix)]
    named = {"cp3" + name.removeprefix(prefix) + "-*" for name in found}
    assert named == set(configuration["tool"]["cibuildwheel"]["build"].split())


def test_the_installed_package_has_this_metadata(configuration: Any, description: str) -> None:
    try:
        installed = metadata.metadata("tapegrad")
    except metadata.PackageNotFoundError:
        pytest.skip("this is a checkout that is not installed")
    text = str(installed.get_payload() or installed["Description"])
    assert LINK.findall(text) == LINK.findall(description)
    assert installed["License-Expression"] == "MIT"
    assert set(installed.get_all("Classifier") or []) == set(
        configuration["project"]["classifiers"]
    )
    assert len(installed.get_all("Project-URL") or []) == len(configuration["project"]["urls"])
