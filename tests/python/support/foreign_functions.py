"""Functions of Python, NumPy and SciPy that know nothing of traced numbers, each of three numbers.

They take an array of three numbers of increasing size above 1 and return one number: on floats what
they compute, on traced numbers the same with its derivative, or a TypeError.
"""

from __future__ import annotations

import array
import cmath
import colorsys
import ctypes
import datetime
import decimal
import fractions
import functools
import itertools
import json
import math
import operator
import random
import statistics
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Function = Callable[[Any], Any]
integral: Any = getattr(np, "trapezoid", None) or getattr(np, "trapz", None)  # before NumPy 2


def of_math() -> Iterator[tuple[str, Function]]:
    """All functions of `math` that take one, two or three floats."""
    for name in dir(math):
        function = getattr(math, name)
        if not callable(function):
            continue
        for count in (1, 2, 3):
            for offset in (0.0, 1.0):  # some are of numbers up to 1
                try:
                    function(*(1.3 + 0.4 * k - offset for k in range(count)))
                except (TypeError, ValueError):
                    continue
                yield f"math.{name} of {count}", each_of(function, count, offset)
                break


def each_of(function: Function, count: int, offset: float) -> Function:
    def f(x: Any) -> Any:
        result = function(*(x[k] - offset for k in range(count)))
        if isinstance(result, tuple):  # frexp, modf
            return result[0] * 3.0 + result[1]
        return result * x[0] + x[2]

    return f


def filled(out: Any, x: Any) -> Any:
    for k in range(len(x)):
        out[k] = x[k] ** 2
    return sum(out)


def appended(out: Any, x: Any) -> Any:
    for each in x:
        out.append(each)
    return sum(out) * x[0]


def put(x: Any, write: Callable[[Any, Any], Any]) -> Any:
    out = np.zeros(3)
    write(out, x)
    return (out * x).sum()


def diagonal(x: Any) -> Any:
    out = np.zeros((3, 3))
    np.fill_diagonal(out, x)
    return out


def matrix(x: Any) -> Any:
    """A symmetric and positive one."""
    return np.array([[x[2] + 3.0, x[0]], [x[0], x[1] + 2.0]])


def of_list(function: Function) -> Function:
    return lambda x: function(list(x))


def sure(x: Any) -> Any:
    """A number of a 0-d array."""
    return x[()] if isinstance(x, np.ndarray) else x


STANDARD: dict[str, Function] = {
    "float": lambda x: x[1] * float(x[0]),
    "float method": lambda x: x[1] * x[0].__float__(),
    "complex": lambda x: complex(x[0]).real * x[1],
    "complex of two": lambda x: abs(complex(x[0], x[1])),
    "complex product": lambda x: abs(x[0] * 2j),
    "int": lambda x: int(x[2]) * x[0],
    "round": lambda x: round(x[2]) * x[0],
    "round to digits": lambda x: round(x[0], 2) * x[1],
    "floor division": lambda x: (x[2] // x[0]) * x[1],
    "divmod": lambda x: divmod(x[2], x[0])[1] * x[1],
    "remainder": lambda x: x[2] % x[0],
    "abs": lambda x: abs(x[0] - 10.0),
    "pow": lambda x: pow(x[0], x[1]),
    "% f": lambda x: float("%.3f" % x[0]) * x[1],  # noqa: UP031
    "% e": lambda x: float("%e" % x[0]) * x[1],  # noqa: UP031
    "% d": lambda x: int("%d" % x[2]) * x[1],  # noqa: UP031
    "sum": lambda x: sum(x),
    "max": lambda x: max(x) * min(x),
    "sorted": lambda x: sum(k * each for k, each in enumerate(sorted(x, key=lambda y: -y))),
    "fsum": lambda x: math.fsum(x),
    "prod": lambda x: math.prod(x),
    "dist": lambda x: math.dist([x[0], x[1]], [0.0, 1.0]),
    "hypot": lambda x: math.hypot(*x),
    "isclose": lambda x: x[0] if math.isclose(x[0], 1.0) else x[1],
    "array": lambda x: sum(array.array("d", x)),
    "array append": lambda x: appended(array.array("d"), x),
    "array item": lambda x: filled(array.array("d", [0.0] * 3), x),
    "struct": lambda x: struct.unpack("d", struct.pack("d", x[0]))[0] * x[1],
    "ctypes": lambda x: ctypes.c_double(x[0]).value * x[1],
    "ctypes array": lambda x: (ctypes.c_double * 3)(*x)[1] * x[0],
    "memoryview": lambda x: filled(memoryview(bytearray(24)).cast("d"), x),
    "decimal": lambda x: float(decimal.Decimal(x[0])) * x[1],
    "decimal from float": lambda x: float(decimal.Decimal.from_float(x[0])) * x[1],
    "fraction": lambda x: float(fractions.Fraction(x[0])) * x[1],
    "fraction product": lambda x: x[0] * fractions.Fraction(1, 3),
    "json": lambda x: json.loads(json.dumps(x[0])) * x[1],
    "timedelta": lambda x: datetime.timedelta(seconds=x[0]).total_seconds(),
    "timedelta product": lambda x: (datetime.timedelta(seconds=100) * x[0]).total_seconds(),
    "random": lambda x: random.Random(1).uniform(0.0, x[0]),
    "random gauss": lambda x: random.Random(1).gauss(x[0], x[1]),
    "random gamma": lambda x: random.Random(1).gammavariate(x[0], x[1]),
    "colorsys": lambda x: sum(colorsys.rgb_to_yiq(*x)),
    "reduce": lambda x: functools.reduce(operator.mul, x),
    "accumulate": lambda x: list(itertools.accumulate(x))[-1],
    "operator": lambda x: operator.truediv(operator.add(x[0], x[1]), operator.neg(x[2])),
    "cmath.exp": lambda x: abs(cmath.exp(x[0])),
    "cmath.sqrt": lambda x: cmath.sqrt(x[0]).real,
    "cmath.phase": lambda x: cmath.phase(x[0]) + x[0],
    "cmath.polar": lambda x: cmath.polar(x[0])[0],
    "cmath.rect": lambda x: cmath.rect(x[0], x[1]).real,
    **{
        f"statistics.{name}": of_list(getattr(statistics, name))
        for name in (
            "mean",
            "fmean",
            "geometric_mean",
            "harmonic_mean",
            "median",
            "median_low",
            "median_high",
            "median_grouped",
            "mode",
            "pstdev",
            "pvariance",
            "stdev",
            "variance",
        )
    },
    "statistics.quantiles": lambda x: statistics.quantiles(list(x))[0],
    "statistics.covariance": lambda x: statistics.covariance(list(x), [1.0, 2.0, 5.0]),
    "statistics.correlation": lambda x: statistics.correlation(list(x), [1.0, 2.0, 5.0]),
    "statistics.linear_regression": lambda x: statistics.linear_regression(
        list(x), [1.0, 2.0, 5.0]
    )[0],
    "statistics.NormalDist": lambda x: statistics.NormalDist(x[0], x[1]).cdf(2.0),
    "statistics.NormalDist at": lambda x: statistics.NormalDist(0.0, 1.0).pdf(x[0]),
}


NUMPY: dict[str, Function] = {
    "zeros": lambda x: filled(np.zeros(3), x),
    "empty": lambda x: filled(np.empty(3), x),
    "ones of float": lambda x: filled(np.ones(3, dtype=np.float32), x),
    "zeros_like": lambda x: filled(np.zeros_like(x), x),
    "zeros of objects": lambda x: filled(np.zeros(3, dtype=object), x),
    "slice": lambda x: put(x, lambda out, x: out.__setitem__(slice(None), x)),
    "mask": lambda x: put(x, lambda out, x: out.__setitem__(np.array([True, False, True]), x[:2])),
    "indices": lambda x: put(x, lambda out, x: out.__setitem__([2, 0], x[1:])),
    "fill": lambda x: put(x, lambda out, x: out.fill(x[0])),
    "put": lambda x: put(x, lambda out, x: out.put([0, 1], x[:2])),
    "np.put": lambda x: put(x, lambda out, x: np.put(out, [0, 1], x[:2])),
    "copyto": lambda x: put(x, lambda out, x: np.copyto(out, x)),
    "unsafe copyto": lambda x: put(x, lambda out, x: np.copyto(out, x, casting="unsafe")),
    "place": lambda x: put(x, lambda out, x: np.place(out, out == 0.0, x)),
    "putmask": lambda x: put(x, lambda out, x: np.putmask(out, out == 0.0, x)),
    "flat": lambda x: put(x, lambda out, x: out.flat.__setitem__(0, x[0])),
    "itemset": lambda x: put(x, lambda out, x: out.__setitem__((), x)),
    "+=": lambda x: put(x, lambda out, x: out.__iadd__(x)),
    "out=": lambda x: put(x, lambda out, x: np.multiply(x, x, out=out)),
    "unsafe out=": lambda x: put(x, lambda out, x: np.add(x, x, out=out, casting="unsafe")),
    "add.at": lambda x: put(x, lambda out, x: np.add.at(out, [0, 0, 1], x)),
    "fill_diagonal": lambda x: diagonal(x).sum(),
    "array": lambda x: np.array([x[0], x[1]]).sum(),
    "array of float": lambda x: np.array([x[0], x[1]], dtype=float).sum(),
    "asarray of float": lambda x: np.asarray(x, float).sum(),
    "asarray_chkfinite": lambda x: np.asarray_chkfinite(x, dtype=float).sum(),
    "ascontiguousarray": lambda x: np.ascontiguousarray(x, dtype=float).sum(),
    "astype": lambda x: (x.astype(float) ** 2).sum(),
    "astype complex": lambda x: abs((x.astype(complex) ** 2).sum()),
    "astype float32": lambda x: x.astype(np.float32).sum() * 1.0,
    "astype int": lambda x: x.astype(int).sum() * x[0],
    "astype str": lambda x: x.astype(str).size * x[0],
    "float64": lambda x: np.float64(x[0]) * x[1],
    "float32": lambda x: np.float32(x[0]) * x[1],
    "float64 product": lambda x: np.float64(3.0) * x[1] * np.array(2.0),
    "item": lambda x: np.array([x[0]], dtype=float).item() * x[1],
    "fromiter": lambda x: np.fromiter(x, float).sum(),
    "fromiter objects": lambda x: np.fromiter(x, object).sum(),
    "full": lambda x: (np.full(3, x[0]) * x).sum(),
    "full of float": lambda x: np.full(3, x[0], dtype=float).sum(),
    "full_like": lambda x: np.full_like(np.zeros(3), x[0]).sum(),
    "linspace": lambda x: (np.linspace(x[0], x[1], 5) ** 2).sum(),
    "geomspace": lambda x: (np.geomspace(x[0], x[1], 5) ** 2).sum(),
    "logspace": lambda x: (np.logspace(x[0], x[1], 5) ** 2).sum(),
    "arange": lambda x: (np.arange(3) * x).sum(),
    "arange to": lambda x: (np.arange(0.0, x[2], 1.0) * x[0]).sum(),
    "interp": lambda x: np.interp(x[0], [0.0, 2.0, 4.0], [0.0, 5.0, 1.0]),
    "interp values": lambda x: np.interp(0.5, [0.0, 2.0, 4.0], x),
    "gradient": lambda x: (np.gradient(x) ** 2).sum(),
    "diff": lambda x: (np.diff(x) ** 2).sum(),
    "ediff1d": lambda x: (np.ediff1d(x) ** 2).sum(),
    "cumsum": lambda x: (np.cumsum(x) * x).sum(),
    "cumprod": lambda x: np.cumprod(x).sum(),
    "trapezoid": lambda x: integral(x**2, [0.0, 1.0, 3.0]),
    "convolve": lambda x: (np.convolve(x, [1.0, 2.0]) ** 2).sum(),
    "correlate": lambda x: (np.correlate(x, [1.0, 2.0]) ** 2).sum(),
    "polyval": lambda x: np.polyval(x, 2.0) + np.polyval([1.0, 2.0], x[0]),
    "polyfit": lambda x: np.polyfit([0.0, 1.0, 2.0], x, 1)[0],
    "Polynomial": lambda x: np.polynomial.Polynomial(list(x))(0.5),
    "polynomial.polyval": lambda x: np.polynomial.polynomial.polyval(x[0], [1.0, 2.0, 3.0]),
    "chebval": lambda x: np.polynomial.chebyshev.chebval(0.3, x),
    "roots": lambda x: abs(np.roots(x)[0]),
    "mean": lambda x: np.mean(x) ** 2,
    "mean of float": lambda x: np.mean(x, dtype=float),
    "sum of float": lambda x: np.sum(x, dtype=float),
    "average": lambda x: np.average(x, weights=[1.0, 2.0, 3.0]) ** 2,
    "std": lambda x: np.std(x),
    "var": lambda x: np.var(x, ddof=1),
    "median": lambda x: np.median(x) ** 2,
    "percentile": lambda x: np.percentile(x, 30.0),
    "quantile": lambda x: np.quantile(x, 0.3),
    "ptp": lambda x: np.ptp(x),
    "cov": lambda x: np.cov(x, [1.0, 2.0, 5.0])[0, 1],
    "corrcoef": lambda x: np.corrcoef(x, [1.0, 2.0, 5.0])[0, 1],
    "histogram": lambda x: np.histogram(x, bins=[0.0, 2.0, 9.0])[0].sum() * x[0],
    "histogram weights": lambda x: np.histogram([1.0, 2.0, 3.0], bins=2, weights=x)[0][0],
    "bincount weights": lambda x: np.bincount([0, 1, 1], weights=x)[1] ** 2,
    "digitize": lambda x: np.digitize(x, [0.0, 2.0, 9.0]).sum() * x[0],
    "searchsorted": lambda x: np.searchsorted(x, 2.0) * x[0],
    "argsort": lambda x: (x[np.argsort(-x)] * [1.0, 2.0, 3.0]).sum(),
    "sort": lambda x: (np.sort(-x) * [1.0, 2.0, 3.0]).sum(),
    "unique": lambda x: (np.unique(x) * [1.0, 2.0, 3.0]).sum(),
    "where": lambda x: np.where(x > 1.5, x**2, -x).sum(),
    "select": lambda x: np.select([x > 1.5], [x**2], -x).sum(),
    "piecewise": lambda x: np.piecewise(x, [x > 1.5], [lambda y: y**2, lambda y: -y]).sum(),
    "clip": lambda x: np.clip(x, 1.5, 2.0).sum(),
    "maximum": lambda x: np.maximum(x, 1.5).sum() + np.minimum(x, 2.0).sum(),
    "fmax": lambda x: np.fmax(x, 1.5).sum(),
    "dot": lambda x: np.dot(x, x),
    "inner": lambda x: np.inner(x, [1.0, 2.0, 3.0]),
    "outer": lambda x: np.outer(x, x).sum(),
    "kron": lambda x: (np.kron(x, x) * np.arange(9)).sum(),
    "cross": lambda x: (np.cross(x, [1.0, 2.0, 3.0]) ** 2).sum(),
    "tensordot": lambda x: sure(np.tensordot(x, x, axes=1)),
    "einsum": lambda x: np.einsum("i,i->", x, x),
    "vdot": lambda x: np.vdot(x, x),
    "matmul": lambda x: (matrix(x) @ matrix(x)).sum(),
    "trace": lambda x: np.trace(matrix(x)),
    "norm": lambda x: np.linalg.norm(x),
    "det": lambda x: np.linalg.det(matrix(x)),
    "inv": lambda x: np.linalg.inv(matrix(x))[0, 0],
    "solve": lambda x: np.linalg.solve(matrix(x), [1.0, 2.0])[0],
    "solve right": lambda x: np.linalg.solve([[2.0, 1.0], [1.0, 3.0]], x[:2])[0],
    "eigvalsh": lambda x: np.linalg.eigvalsh(matrix(x))[0],
    "svd": lambda x: np.linalg.svd(matrix(x))[1][0],
    "cholesky": lambda x: np.linalg.cholesky(matrix(x))[0, 0],
    "matrix_power": lambda x: np.linalg.matrix_power(matrix(x), 3)[0, 0],
    "multi_dot": lambda x: np.linalg.multi_dot([matrix(x), matrix(x), matrix(x)])[0, 0],
    "lstsq": lambda x: np.linalg.lstsq(matrix(x), np.array([1.0, 2.0]))[0][0],
    "fft": lambda x: abs(np.fft.fft(x)[1]),
    "rfft": lambda x: abs(np.fft.rfft(x)[1]),
    "vectorize": lambda x: np.vectorize(lambda y: y * y)(x).sum(),
    "vectorize to float": lambda x: np.vectorize(lambda y: y * y, otypes=[float])(x).sum(),
    "apply_along_axis": lambda x: np.apply_along_axis(lambda y: (y * y).sum(), 0, x)[()],
    "apply_along_axis matrix": lambda x: np.apply_along_axis(np.sum, 0, matrix(x)).prod(),
    "frompyfunc": lambda x: np.frompyfunc(lambda y: y * y, 1, 1)(x).sum(),
    "fromfunction": lambda x: np.fromfunction(lambda i: x[0] * i, (3,)).sum(),
    "pad": lambda x: np.pad(x, 1, constant_values=2.0).sum(),
    "pad edge": lambda x: np.pad(x, 1, mode="edge").sum(),
    "pad mean": lambda x: np.pad(x, 1, mode="mean").sum(),
    "block": lambda x: np.block([[x, x], [x, x]]).sum(),
    "concatenate": lambda x: (np.concatenate([x, np.ones(3)]) ** 2).sum(),
    "concatenate to float": lambda x: np.concatenate([x, x], dtype=float, casting="unsafe").sum(),
    "append": lambda x: (np.append(np.ones(3), x) ** 2).sum(),
    "insert": lambda x: (np.insert(np.ones(3), 1, x[0]) * np.arange(4)).sum(),
    "insert into": lambda x: (np.insert(x, 1, 3.0) * np.arange(4)).sum(),
    "tile": lambda x: (np.tile(x, 2) * np.arange(6)).sum(),
    "roll": lambda x: (np.roll(x, 1) * x).sum(),
    "diag": lambda x: np.diag(x).sum(),
    "tri": lambda x: np.tril(np.outer(x, x)).sum(),
    "vander": lambda x: np.vander(x).sum(),
    "meshgrid": lambda x: (np.meshgrid(x, x)[0] * np.meshgrid(x, x)[1]).sum(),
    "round": lambda x: (np.round(x, 1) * x).sum(),
    "rint": lambda x: (np.rint(x) * x).sum(),
    "fix": lambda x: (np.fix(x) * x).sum(),
    "floor": lambda x: (np.floor(x) * x).sum(),
    "sign": lambda x: (np.sign(x) * x).sum(),
    "unwrap": lambda x: np.unwrap(x).sum(),
    "angle": lambda x: np.angle(x).sum() + x[0],
    "real": lambda x: (np.real(x) * np.conj(x)).sum() + np.imag(x).sum(),
    "degrees": lambda x: (np.degrees(x) * np.deg2rad(x)).sum(),
    "sinc": lambda x: np.sinc(x).sum(),
    "i0": lambda x: np.i0(x).sum(),
    "nan_to_num": lambda x: np.nan_to_num(x).sum(),
    "nansum": lambda x: np.nansum(x),
    "nanmean": lambda x: np.nanmean(x),
    "heaviside": lambda x: (np.heaviside(x, 0.5) * x).sum(),
    "allclose": lambda x: x[0] if np.allclose(x, 1.0) else x[1],
    "isnan": lambda x: x[0] if np.isnan(x).any() else x[1],
    "array_equal": lambda x: x[0] if np.array_equal(x, [1.0, 2.0, 3.0]) else x[1],
    "count_nonzero": lambda x: np.count_nonzero(x) * x[0],
    "random": lambda x: np.random.default_rng(1).normal(x[0], x[1]),
    "random scale": lambda x: np.random.default_rng(1).gamma(x[0]),
    "old random": lambda x: np.random.RandomState(1).normal(x[0], x[1]),
    "masked": lambda x: np.ma.array(x, mask=[0, 1, 0]).sum(),
    "structured": lambda x: np.array([(x[0], 1)], dtype=[("a", float), ("b", int)])["a"][0] * x[1],
    "tobytes": lambda x: np.frombuffer(np.asarray(x, float).tobytes()).sum(),
    "datetime": lambda x: float(np.timedelta64(int(x[2]), "s") / np.timedelta64(1, "s")) * x[0],
    "save": lambda x: len(np.array2string(x)) * 0.0 + x[0],
}
