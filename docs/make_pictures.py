"""Draw the pictures of the README and the documentation: `python docs/make_pictures.py`."""

from __future__ import annotations

from pathlib import Path

from tapegrad import Value
from tapegrad.draw import save_drawing

HERE = Path(__file__).parent


def neuron() -> Value:
    """The README's example, line for line."""
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    b = Value(6.88, label="b")
    out = (x1 * w1 + x2 * w2 + b).tanh()
    out.label = "out"
    out.backward()
    return out


if __name__ == "__main__":
    save_drawing(neuron(), HERE / "neuron.svg")
