"""The examples in docstrings give what they show."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest

import tapegrad
from tapegrad import _core, nn, optim, transforms
from tapegrad.optim import lr_scheduler

PACKAGES = (nn, optim, lr_scheduler, transforms)
FUNCTIONS = [f"tapegrad.{name}" for name in ("arrays", "modes", "predicates")]
MODULES = [*FUNCTIONS, *(package.__name__ for package in PACKAGES)] + [
    module.name
    for package in PACKAGES
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    if not module.ispkg
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    if name == "tapegrad.arrays":
        pytest.importorskip("numpy")
    if name == "tapegrad.transforms.jacobians":
        pytest.importorskip("scipy")
    names = {each: getattr(tapegrad, each) for each in tapegrad.__all__}
    results = doctest.testmod(importlib.import_module(name), extraglobs=names)
    assert results.failed == 0


def compiled() -> Iterator[tuple[str, str]]:
    """The docstrings with examples of what is written in C++."""
    for name, found in inspect.getmembers(_core):
        text = inspect.getdoc(found) or ""
        if ">>>" in text and not inspect.isclass(found):
            yield name, text
    yield "Value", inspect.getdoc(_core.Value) or ""


@pytest.mark.parametrize(("name", "text"), [*compiled()])
def test_the_examples_of_what_is_compiled_run(name: str, text: str) -> None:
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_there_are_examples_to_run() -> None:
    assert {"clip_grad_norm_", "clip_grad_value_", "Value"} <= {name for name, _ in compiled()}
    assert {"tapegrad.optim.adam", "tapegrad.nn.module", "tapegrad.optim.lr_scheduler.decay"} <= {
        *MODULES
    }
