"""Write PyTorch's values and derivatives at kinks and edges to data/torch_edges.json.

Run it with the torch named in SOURCE installed, from tests/python:

    python -m support.make_torch_reference
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.paths import DATA

SOURCE = "torch 2.13.0"
MADE_BY = "tests/python/support/make_torch_reference.py"
REFERENCE_FILE = DATA / "torch_edges.json"
LEAKY_RELU_SLOPE = 0.01
SOFTPLUS_THRESHOLD = 20.0  # above it torch returns x itself and the derivative 1

INF = math.inf
NAN = math.nan
TINIEST = 5e-324

Case = tuple[str, tuple[float, ...]]

SPECIAL = (0.0, -0.0, 1.0, -1.0, INF, -INF, NAN)
UNARY_POINTS = (
    *SPECIAL,
    *(0.5, -0.5, 2.0, -2.0),
    *(1e3, -1e3, 710.0, -710.0, 1e308, -1e308),
    *(TINIEST, -TINIEST, 1e-300, -1e-300),
)
# The unary operations, each with its points beside UNARY_POINTS. Not exp2 of 1024, whose derivative
# is finite, while PyTorch's is infinite with the value.
UNARY_EXTRAS: dict[str, tuple[float, ...]] = {
    "neg": (),
    "abs": (),
    "exp": (709.0, -745.0, -746.0),
    "exp2": (1023.0, -1074.0, -1076.0),
    "expm1": (709.0,),
    "log": (),
    "log1p": (1e-20, -1e-20),
    "log2": (8.0,),
    "log10": (1000.0,),
    "sqrt": (4.0,),
    "square": (),
    "reciprocal": (),
    "sin": (),
    "cos": (),
    "tan": (),
    "asin": (),
    "acos": (),
    "atan": (),
    "sinh": (709.0, -709.0),
    "cosh": (709.0, -709.0),
    "tanh": (),
    "asinh": (),
    "acosh": (),
    "atanh": (),
    "sigmoid": (-745.0, -746.0),
    "softplus": (SOFTPLUS_THRESHOLD, -745.0, -746.0),
    "relu": (),
    "leaky_relu": (),
    "gelu": (),
    "silu": (-745.0, -746.0),
    "erf": (-6.0, 6.0, 27.0),
    "erfc": (-6.0, 6.0, 27.0, 28.0),
    "lgamma": (-0.25, -1.5, -2.5, -3.0, 3.0, 10.0),
}
# atan2 is smooth at (1e-300, 1e-300), where torch's x*x + y*y underflows.
BINARY_EXTRAS: dict[str, tuple[tuple[float, float], ...]] = {
    "add": ((1e308, 1e308), (1e308, -1e308), (TINIEST, -TINIEST)),
    "sub": ((1e308, 1e308), (1e308, -1e308), (TINIEST, TINIEST)),
    "mul": ((1e308, 10.0), (1e-300, 1e-300), (1e308, 1e-300), (TINIEST, 0.5)),
    "div": ((1e308, 0.1), (1e-300, 1e308), (1.0, TINIEST), (1.0, 1e308), (1e308, 1e308)),
    "atan2": ((1e308, 1e308), (TINIEST, 1.0), (1.0, TINIEST), (3.0, -4.0)),
    "hypot": ((3.0, -4.0), (1e308, 1.0), (1e308, 1e308), (1e-300, 1e-300), (TINIEST, TINIEST)),
    "maximum": ((2.0, 2.0), (2.0, 3.0), (-2.0, -3.0), (1e308, 1e308), (TINIEST, 0.0)),
    "minimum": ((2.0, 2.0), (2.0, 3.0), (-2.0, -3.0), (1e308, 1e308), (TINIEST, 0.0)),
}
POW_BASES = (*SPECIAL, 0.5, -0.5, 2.0, -2.0)
POW_EXPONENTS = (*SPECIAL, 0.5, -0.5, 1.5, -1.5, 2.0, -2.0, 3.0, -3.0, 4.0)
# Not of (2.0, 1024.0), whose derivative by y is finite, while PyTorch's is infinite with the power.
POW_EXTRAS = (
    *((1e308, 2.0), (-1e308, 3.0), (1e308, 0.5), (1e308, -2.0), (1e308, 1.0)),
    *((1e-300, 2.0), (1e-300, -1.0), (1e-300, -2.0), (1e-300, 0.5)),
    *((TINIEST, 0.5), (TINIEST, 1.0), (TINIEST, 2.0), (TINIEST, -1.0)),
    *((2.0, 1023.0), (2.0, -1074.0), (2.0, -1076.0)),
    *((0.0, TINIEST), (0.0, -TINIEST), (0.0, 1e308), (0.0, -1e308)),
)
CLIP_BOUNDS = (
    *((-1.0, 1.0), (0.0, 1.0), (0.0, 0.0), (-INF, INF), (-INF, 1.0)),
    *((1.0, -1.0), (NAN, 1.0), (-1.0, NAN)),
)
CLIP_POINTS = (*SPECIAL, 0.5, -0.5, 2.0, -2.0)
SUMS: tuple[tuple[float, ...], ...] = (
    *((0.0,), (-0.0,), (-0.0, -0.0), (1.0, 2.0, 3.0), (1e308, 1e308), (TINIEST, TINIEST)),
    *((INF, 1.0), (INF, -INF), (NAN, 1.0), (-INF, NAN, INF)),
)
# The first half of the arguments is one vector, the second half the other.
DOTS: tuple[tuple[float, ...], ...] = (
    *((0.0, 0.0), (-0.0, 1.0), (1.0, 2.0, 3.0, 4.0), (0.0, 1.0, INF, 1.0), (INF, INF, 1.0, -1.0)),
    *((1.0, NAN, 0.0, 0.0), (1e308, 1.0, 10.0, 0.0), (1e-300, 0.0, 1e-300, 0.0)),
)
DISTANCES: tuple[tuple[float, ...], ...] = (
    *((0.0, 0.0), (1.0, 2.0, 3.0, 5.0), (INF, 1.0), (INF, INF), (INF, -INF), (NAN, 1.0)),
    *((1e200, -1e200), (1e-200, -1e-200)),
)
# Not of (1e308, 1e308), where PyTorch's shares are 1 each.
EXPONENTIAL_SUMS: tuple[tuple[float, ...], ...] = (
    *((0.0,), (-0.0,), (1.0, 2.0, 3.0), (800.0, 800.0), (-800.0, -801.0)),
    *((INF, 1.0), (0.0, -INF), (-INF, -INF), (NAN, 1.0), (1.0, NAN)),
)
# The first is the target's logit. Not of an infinite one: the limit is 0, and PyTorch gives nan.
SURPRISALS: tuple[tuple[float, ...], ...] = (
    *((0.0,), (1.0, 2.0, 3.0), (800.0, 0.0), (0.0, 800.0), (-800.0, -801.0), (1e308, 1e308)),
    *((0.0, -INF), (-INF, -INF), (NAN, 1.0), (1.0, NAN)),
)


def edge_cases() -> list[Case]:
    """Give every operation with the arguments to evaluate it at."""
    return [
        *_unary_cases(),
        *_binary_cases(),
        *(("sum", args) for args in SUMS),
        *(("dot", args) for args in DOTS),
        *(("squared_distance", args) for args in DISTANCES),
        *(("logsumexp", args) for args in EXPONENTIAL_SUMS),
        *(("surprisal", args) for args in SURPRISALS),
    ]


def torch_reference(op: str, args: tuple[float, ...]) -> tuple[float, list[float]]:
    """Give torch's value of an operation and its derivative by each differentiable argument."""
    import torch

    function, differentiable = _torch_operations()[op]
    count = len(args) if differentiable is None else differentiable
    inputs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in args[:count]]
    value = function(*inputs, *args[count:])
    grads = torch.autograd.grad(value, inputs)
    return value.item(), [grad.item() for grad in grads]


def _unary_cases() -> Iterator[Case]:
    for op, extras in UNARY_EXTRAS.items():
        for x in (*UNARY_POINTS, *extras):
            if _torch_defines(op, x):
                yield op, (x,)


def _torch_defines(op: str, x: float) -> bool:
    """Tell whether torch computes the function itself at x, alike on every machine."""
    if op == "softplus":
        return not x > SOFTPLUS_THRESHOLD
    if op == "log1p":
        return abs(x) != TINIEST  # torch's AVX code flushes it to zero, its plain code does not
    return True


def _binary_cases() -> Iterator[Case]:
    for op, extras in BINARY_EXTRAS.items():
        for pair in (*itertools.product(SPECIAL, repeat=2), *extras):
            yield op, pair
    for op in ("pow", "pow_const"):
        for pair in (*itertools.product(POW_BASES, POW_EXPONENTS), *POW_EXTRAS):
            yield op, pair
    for (lo, hi), x in itertools.product(CLIP_BOUNDS, CLIP_POINTS):
        yield "clip", (x, lo, hi)


@functools.cache
def _torch_operations() -> dict[str, tuple[Callable[..., Any], int | None]]:
    """Map tapegrad's names to torch's functions and how many arguments they differentiate.

    None stands for all of them; the remaining arguments are passed as plain numbers.
    """
    import torch
    from torch.nn import functional

    def torch_sum(*xs: Any) -> Any:
        return torch.stack(xs).sum()

    def torch_dot(*xs: Any) -> Any:
        half = len(xs) // 2
        return torch.dot(torch.stack(xs[:half]), torch.stack(xs[half:]))

    def torch_squared_distance(*xs: Any) -> Any:
        half = len(xs) // 2
        return (torch.stack(xs[:half]) - torch.stack(xs[half:])).square().sum()

    def torch_logsumexp(*xs: Any) -> Any:
        return torch.logsumexp(torch.stack(xs), 0)

    def torch_surprisal(*xs: Any) -> Any:
        return functional.cross_entropy(torch.stack(xs), torch.tensor(0))

    own_names: dict[str, tuple[Callable[..., Any], int | None]] = {
        "pow_const": (torch.pow, 1),
        "clip": (torch.clamp, 1),
        "sum": (torch_sum, None),
        "dot": (torch_dot, None),
        "squared_distance": (torch_squared_distance, None),
        "logsumexp": (torch_logsumexp, None),
        "surprisal": (torch_surprisal, None),
        "softplus": (functools.partial(functional.softplus, threshold=SOFTPLUS_THRESHOLD), None),
        "leaky_relu": (
            functools.partial(functional.leaky_relu, negative_slope=LEAKY_RELU_SLOPE),
            None,
        ),
        "gelu": (functools.partial(functional.gelu, approximate="none"), None),
        "silu": (functional.silu, None),
    }
    ops = dict.fromkeys(op for op, _ in edge_cases())
    return {op: own_names.get(op) or (getattr(torch, op), None) for op in ops}


def _reference_lines() -> Iterator[str]:
    for op, args in edge_cases():
        value, grads = torch_reference(op, args)
        yield json.dumps({"op": op, "args": args, "value": value, "grads": grads})


def write_reference(path: Path) -> None:
    """Evaluate every edge case and write the JSON, a case on each line."""
    import torch

    running = "torch " + torch.__version__.partition("+")[0]
    if running != SOURCE:
        raise SystemExit(f"needs {SOURCE}, found {running}")
    header = f'"source": {json.dumps(SOURCE)},\n"made_by": {json.dumps(MADE_BY)},\n'
    cases = ",\n".join(_reference_lines())
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{{\n{header}"cases": [\n{cases}\n]\n}}\n')


if __name__ == "__main__":
    write_reference(REFERENCE_FILE)
