"""Write PyTorch's results of layers and losses to data/torch_layers.json.

Run it with the torch named in SOURCE installed, from tests/python:

    python -m support.make_layers_reference
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from support.paths import DATA

SOURCE = "torch 2.13.0"
MADE_BY = "tests/python/support/make_layers_reference.py"
REFERENCE_FILE = DATA / "torch_layers.json"

INF = math.inf
NAN = math.nan

# The function's name, its arguments that are differentiated by, and its other arguments.
Case = tuple[str, dict[str, Any], dict[str, Any]]


def vectors() -> Iterator[list[float]]:
    """Rows of numbers: ordinary ones, then ones that overflow where the formula is naive."""
    draw = random.Random(1)
    for length in (1, 2, 5, 27):
        yield [draw.gauss(0.0, 2.0) for _ in range(length)]
    yield from ([1000.0, 1000.0, 999.0], [-1000.0, -1001.0], [1e4, -1e4, 0.0], [30.0, -10.0])


def masked() -> Iterator[list[float]]:
    """Logits with infinities and NaN."""
    yield from ([1.0, -INF, 2.0], [-INF, 0.0], [INF, 0.0], [-INF, -INF], [NAN, 1.0], [1.0, NAN])


def matrix(rows: int, columns: int, seed: int) -> list[list[float]]:
    """A matrix of ordinary numbers."""
    draw = random.Random(seed)
    return [[draw.gauss(0.0, 1.0) for _ in range(columns)] for _ in range(rows)]


def layer_cases() -> Iterator[Case]:
    """Matrices, softmax and its kin, normalization."""
    for rows, columns in ((1, 1), (3, 2), (2, 5), (4, 16)):
        w = matrix(rows, columns, seed=rows)
        (x, b) = matrix(1, columns, seed=7)[0], matrix(1, rows, seed=8)[0]
        yield "linear", {"w": w, "x": x}, {}
        yield "linear", {"w": w, "x": x, "b": b}, {}
        yield "matvec", {"w": w, "x": x}, {}
    for xs in (*vectors(), *masked()):
        yield "softmax", {"xs": xs}, {}
        yield "log_softmax", {"xs": xs}, {}
        yield "logsumexp", {"xs": xs}, {}
    for xs in (*matrix(3, 4, seed=9), [2.0], [0.0, 0.0], [1e-3, -1e-3], [1e150, -1.0, 2.0]):
        (weight, bias) = matrix(2, len(xs), seed=10)
        for eps in (1e-5, 0.25):
            yield "rmsnorm", {"xs": xs}, {"eps": eps}
            yield "rmsnorm", {"xs": xs, "weight": weight}, {"eps": eps}
            yield "layernorm", {"xs": xs}, {"eps": eps}
            yield "layernorm", {"xs": xs, "weight": weight}, {"eps": eps}
            yield "layernorm", {"xs": xs, "weight": weight, "bias": bias}, {"eps": eps}


def loss_cases() -> Iterator[Case]:
    """Each loss with each reduction."""
    logits, targets = matrix(2, 6, seed=11)
    shares = [0.0, 1.0, 0.25, 0.5, 1.0, 0.0]
    extremes = [1000.0, -1000.0, 40.0, -40.0, 0.0, 745.0]
    rows = [*matrix(2, 4, seed=12), [1000.0, 0.0, -1000.0, 999.0]]
    probabilities = [[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.5]]
    for reduction in ("mean", "sum", "none"):
        how = {"reduction": reduction}
        yield "mse_loss", {"predictions": logits, "targets": targets}, how
        yield "hinge_loss", {"scores": logits}, {"targets": [1, -1, -1, 1, 1, -1], **how}
        yield "hinge_loss", {"scores": [1.0, -1.0, 0.0]}, {"targets": [1, -1, 1], **how}
        name = "binary_cross_entropy_with_logits"
        yield name, {"logits": logits, "targets": shares}, how
        yield name, {"logits": extremes, "targets": shares}, how
        yield "cross_entropy", {"logits": rows}, {"target": [0, 3, 1], **how}
        yield "cross_entropy", {"logits": rows, "target": probabilities}, how
        yield "cross_entropy", {"logits": rows[0], "target": probabilities[0]}, how
    for xs in (*vectors(), [1.0, -INF, 2.0], [NAN, 1.0], [1.0, NAN]):
        yield "cross_entropy", {"logits": xs}, {"target": 0}
        yield "cross_entropy", {"logits": xs}, {"target": len(xs) - 1}


def cases() -> list[Case]:
    """All of them, in the order of the file."""
    return [*layer_cases(), *loss_cases()]


def functions() -> dict[str, Callable[..., Any]]:
    """PyTorch's functions under our names; it has no hinge_loss of this kind."""
    import torch
    from torch.nn import functional

    def reduced(terms: Any, reduction: str) -> Any:
        return {"mean": terms.mean, "sum": terms.sum, "none": lambda: terms}[reduction]()

    return {
        "linear": lambda w, x, b=None: functional.linear(x, w, b),
        "matvec": lambda w, x: torch.mv(w, x),
        "softmax": lambda xs: functional.softmax(xs, 0),
        "log_softmax": lambda xs: functional.log_softmax(xs, 0),
        "logsumexp": lambda xs: torch.logsumexp(xs, 0),
        "rmsnorm": lambda xs, weight=None, eps=1e-5: functional.rms_norm(xs, xs.shape, weight, eps),
        "layernorm": lambda xs, weight=None, bias=None, eps=1e-5: functional.layer_norm(
            xs, xs.shape, weight, bias, eps
        ),
        "mse_loss": lambda predictions, targets, reduction: functional.mse_loss(
            predictions, targets, reduction=reduction
        ),
        "hinge_loss": lambda scores, targets, reduction: reduced(
            functional.relu(1 - torch.tensor(targets) * scores), reduction
        ),
        "binary_cross_entropy_with_logits": lambda logits, targets, reduction: (
            functional.binary_cross_entropy_with_logits(logits, targets, reduction=reduction)
        ),
        "cross_entropy": lambda logits, target, reduction="mean": functional.cross_entropy(
            logits, torch.as_tensor(target), reduction=reduction
        ),
    }


def torch_result(case: Case) -> tuple[Any, dict[str, Any]]:
    """The value, and the derivatives of its elements' sum, each weighted by its place from 1."""
    import torch

    name, given, others = case
    tensors = {
        key: torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
        for key, numbers in given.items()
    }
    value = functions()[name](**tensors, **others)
    weights = torch.arange(1, value.numel() + 1, dtype=torch.float64)
    (value.flatten() * weights).sum().backward()
    return value.tolist(), {key: tensor.grad.tolist() for key, tensor in tensors.items()}


def main() -> None:
    import torch

    if f"torch {torch.__version__.split('+')[0]}" != SOURCE:
        raise SystemExit(f"this is torch {torch.__version__}, not {SOURCE}: set SOURCE")
    lines = []
    for case in cases():
        value, grads = torch_result(case)
        name, given, others = case
        entry = {"layer": name, "given": given, "others": others, "value": value, "grads": grads}
        lines.append(json.dumps(entry))
    head = json.dumps({"source": SOURCE, "made_by": MADE_BY})[:-1]
    REFERENCE_FILE.write_text(head + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
