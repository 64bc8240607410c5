"""What the tests of layers and losses share: nested numbers as Values, and calls to compare."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tapegrad
from support import make_layers_reference
from tapegrad import Value

STORED = json.loads(make_layers_reference.REFERENCE_FILE.read_text())
ITERABLES: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "generator": lambda xs: (x for x in xs),
    "iterator": iter,
    "dictionary": lambda xs: dict(enumerate(xs)).values(),
    "array": lambda xs: np.array(xs, dtype=object),
    "subclass": lambda xs: type("Numbers", (list,), {})(xs),
}


@dataclass(frozen=True)
class Case:
    """A call and what PyTorch makes of it."""

    layer: str
    given: dict[str, Any]
    others: dict[str, Any]
    value: Any
    grads: dict[str, Any]

    def __str__(self) -> str:
        shapes = ",".join(f"{key}{len(flat(numbers))}" for key, numbers in self.given.items())
        return f"{self.layer}-{shapes}"


CASES = [Case(**case) for case in STORED["cases"]]


def mapped(function: Callable[[Any], Any], nested: Any) -> Any:
    """The function of each element of nested lists."""
    if isinstance(nested, list):
        return [mapped(function, element) for element in nested]
    return function(nested)


def flat(nested: Any) -> list[Any]:
    """The elements of nested lists in order."""
    if not isinstance(nested, list):
        return [nested]
    return [element for inner in nested for element in flat(inner)]


def data(nested: Any) -> Any:
    """The numbers of Values in nested lists."""
    return mapped(lambda v: v.data if isinstance(v, Value) else v, nested)


def weighted(result: Any) -> Any:
    """The sum of all elements, each weighted by its place from 1."""
    return sum(k * element for k, element in enumerate(flat(result), 1))


def called(layer: str, given: dict[str, Any], others: dict[str, Any]) -> Any:
    """The layer of these arguments."""
    return getattr(tapegrad, layer)(**given, **others)


def is_near(one: float, other: float, tolerance: float = 1e-12, scale: float = 1.0) -> bool:
    """Whether they are the same to rounding, or both NaN."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance * 1e-2 * scale)


def assert_near(one: Any, other: Any, scale: float = 1.0, tolerance: float = 1e-12) -> None:
    """All elements of both agree."""
    ones, others = flat(one), flat(other)
    assert len(ones) == len(others)
    for k, (a, b) in enumerate(zip(ones, others, strict=True)):
        assert is_near(a, b, tolerance, scale), f"element {k}: {a!r} and {b!r}"
