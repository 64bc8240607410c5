"""Programs with an engine of their own, in `own_engines`, parts of them, and what they print."""

from __future__ import annotations

import math
import re
from pathlib import Path

FOLDER = Path(__file__).with_name("own_engines")
CLOSURES = (FOLDER / "lecture.py").read_text().partition("class Neuron")[0]
DISPATCHING = (FOLDER / "dispatch.py").read_text().partition("weights = ")[0]

TRAINING = """
w, b = Value(0.3), Value(-0.2)
for step in range(5):
    loss = Value(0.0)
    for x, y in [(0.5, 1.0), (-1.0, 0.25), (2.0, -0.5)]:
        error = (w * x + b).tanh() - y
        loss = loss + error * error
    w.grad = b.grad = 0.0
    loss.backward()
    for p in (w, b):
        p.data -= 0.1 * p.grad
    print(step, loss.data, w.grad, b.grad)
"""
METHOD = "    def backward(self"
FINISH = "y.backward()\nprint(y.data, w.grad, b.grad)"


def closure(name: str, parameters: str, value: str, slope: str, before: str = "pass") -> str:
    """An operation in the lecture's way."""
    return f"""    def {name}(self{parameters}):
        {before}
        out = Value({value}, (self,), "{name}")

        def _backward():
            self.grad += ({slope}) * out.grad

        out._backward = _backward
        return out

"""


def numbers(text: str) -> list[float]:
    """The numbers in a program's output."""
    return [float(word) for word in re.findall(r"-?\b\d+(?:\.\d+)?(?:e[-+]?\d+)?|nan|inf", text)]


def words(text: str) -> str:
    """The output without its numbers."""
    return re.sub(r"-?\b\d+(?:\.\d+)?(?:e[-+]?\d+)?", "#", text)


def assert_same_output(found: str, expected: str) -> None:
    assert words(found) == words(expected)
    for a, b in zip(numbers(found), numbers(expected), strict=True):
        assert math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12), (a, b)
    assert all(map(math.isfinite, numbers(found)))
