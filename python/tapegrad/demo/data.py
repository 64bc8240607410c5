"""The demo's data sets, with the network and training settings for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Problem", "Rows", "load_problem"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of inputs, and the class of each row: 1.0 or -1.0."""

    inputs: list[list[float]]
    targets: list[float]


@dataclass(frozen=True, slots=True)
class Problem:
    """Training rows and held-out rows, with the settings of network and training."""

    title: str
    features: list[str]
    train: Rows
    held_out: Rows
    hidden: tuple[int, ...]
    batch_size: int
    learning_rate: float
    penalty: float
    weight_scale: float = 1.0

    @property
    def sizes(self) -> list[int]:
        """The widths of the network's layers, inputs first."""
        return [len(self.features), *self.hidden, 1]


def load_problem(name: str, seed: int) -> Problem:
    """Return the problem "moons" or "cancer"; `seed` determines its rows and their split."""
    return {"moons": _moons, "cancer": _cancer}[name](seed)


def _moons(seed: int) -> Problem:
    """Return micrograd's demo, with the same noise, network and batches of 100 rows."""
    from sklearn.datasets import make_moons  # type: ignore[import-untyped]

    inputs, classes = make_moons(n_samples=300, noise=0.1, random_state=seed)
    train, held_out = _split(inputs, classes, 100, seed)
    return Problem(
        title="moons",
        features=["x", "y"],
        train=train,
        held_out=held_out,
        hidden=(16, 16),
        batch_size=100,
        learning_rate=0.5,
        penalty=1e-4,
    )


def _cancer(seed: int) -> Problem:
    """Return the breast cancer data: 569 tumours, malignant or benign, of 30 measurements each."""
    from sklearn.datasets import load_breast_cancer

    data: Any = load_breast_cancer()
    train, held_out = _split(data.data, data.target, 143, seed)
    return Problem(
        title="breast cancer",
        features=data.feature_names.tolist(),
        train=_standardised(train, train),
        held_out=_standardised(held_out, train),
        hidden=(16,),
        batch_size=64,
        learning_rate=0.2,
        penalty=1e-3,
        # With 30 inputs, initial weights as large as micrograd's are far from good ones.
        weight_scale=0.1,
    )


def _split(inputs: Any, classes: Any, held_out: int, seed: int) -> tuple[Rows, Rows]:
    """Split into training and held-out rows, with the classes in the same proportion."""
    from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

    parts: Any = train_test_split(
        inputs, classes * 2.0 - 1.0, test_size=held_out, random_state=seed, stratify=classes
    )
    # Python's floats: NumPy's make every operation with a Value several times slower.
    train, rest, train_targets, rest_targets = (part.tolist() for part in parts)
    return Rows(train, train_targets), Rows(rest, rest_targets)


def _standardised(rows: Rows, by: Rows) -> Rows:
    """Standardise `rows` by the means and standard deviations of the rows `by`."""
    import numpy as np

    known = np.array(by.inputs)
    scaled = (np.array(rows.inputs) - known.mean(axis=0)) / known.std(axis=0)
    return Rows(scaled.tolist(), rows.targets)
