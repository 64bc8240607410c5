"""Functions of SciPy as `foreign_functions` has those of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import (  # type: ignore[import-untyped]
    fft,
    integrate,
    interpolate,
    linalg,
    ndimage,
    optimize,
    signal,
    sparse,
    special,
    stats,
)

from support.foreign_functions import matrix

Function = Callable[[Any], Any]
KNOTS = np.array([0.0, 1.0, 2.0])


def summed(function: Function) -> Function:
    return lambda x: function(x).sum()


SCIPY: dict[str, Function] = {
    "cholesky": lambda x: linalg.cholesky(matrix(x))[0, 0],
    "solve": lambda x: linalg.solve(matrix(x), [1.0, 2.0])[0],
    "inv": lambda x: linalg.inv(matrix(x))[0, 0],
    "det": lambda x: linalg.det(matrix(x)),
    "expm": lambda x: linalg.expm(matrix(x) / 5.0)[0, 0],
    "logm": lambda x: linalg.logm(matrix(x))[0, 0],
    "sqrtm": lambda x: linalg.sqrtm(matrix(x))[0, 0],
    "lu": lambda x: linalg.lu(matrix(x))[2][1, 1],
    "qr": lambda x: abs(linalg.qr(matrix(x))[1][0, 0]),
    "svdvals": lambda x: linalg.svdvals(matrix(x))[0],
    "eigh": lambda x: linalg.eigh(matrix(x))[0][0],
    "toeplitz": lambda x: linalg.toeplitz(x).sum(),
    "solve_triangular": lambda x: linalg.solve_triangular([[2.0, 1.0], [0.0, 3.0]], x[:2])[0],
    "norm": lambda x: linalg.norm(x),
    "quad to": lambda x: integrate.quad(lambda t: t * t, 0.0, x[0])[0],
    "quad of": lambda x: integrate.quad(lambda t: t * x[0], 0.0, 1.0)[0],
    "quad args": lambda x: integrate.quad(lambda t, a: t * a, 0.0, 1.0, args=(x[0],))[0],
    "quad_vec": lambda x: integrate.quad_vec(lambda t: t * x[0], 0.0, 1.0)[0],
    "dblquad": lambda x: integrate.dblquad(lambda s, t: s * t * x[0], 0.0, 1.0, 0.0, 1.0)[0],
    "fixed_quad": lambda x: integrate.fixed_quad(lambda t: t * x[0], 0.0, 1.0)[0],
    "simpson": lambda x: integrate.simpson(x**2, x=KNOTS),
    "trapezoid": lambda x: integrate.trapezoid(x**2, KNOTS),
    "cumulative_trapezoid": lambda x: integrate.cumulative_trapezoid(x**2, KNOTS)[-1],
    "solve_ivp": lambda x: integrate.solve_ivp(lambda t, y: -y, (0.0, 1.0), [x[0]]).y[0, -1],
    "solve_ivp rate": lambda x: integrate.solve_ivp(
        lambda t, y: -x[0] * y, (0.0, 1.0), [1.0], rtol=1e-9
    ).y[0, -1],
    "solve_ivp until": lambda x: integrate.solve_ivp(
        lambda t, y: -y, (0.0, x[0]), [1.0], rtol=1e-9
    ).y[0, -1],
    "odeint": lambda x: integrate.odeint(lambda y, t: -y, [x[0]], [0.0, 1.0])[-1, 0],
    "odeint rate": lambda x: integrate.odeint(lambda y, t: -x[0] * y, [1.0], [0.0, 1.0])[-1, 0],
    "CubicSpline": lambda x: interpolate.CubicSpline(KNOTS, x)(0.4)[()],
    "CubicSpline at": lambda x: interpolate.CubicSpline(KNOTS, KNOTS**3)(x[0])[()],
    "CubicSpline knots": lambda x: interpolate.CubicSpline(x, KNOTS)(1.5)[()],
    "PchipInterpolator": lambda x: interpolate.PchipInterpolator(KNOTS, x)(0.4)[()],
    "Akima": lambda x: interpolate.Akima1DInterpolator(KNOTS, x)(0.4)[()],
    "interp1d": lambda x: interpolate.interp1d(KNOTS, x)(0.4)[()],
    "BSpline": lambda x: interpolate.BSpline([0, 1, 2, 3, 4, 5], x, 2)(2.1)[()],
    "make_interp_spline": lambda x: interpolate.make_interp_spline(KNOTS, x, 2)(0.4)[()],
    "splrep": lambda x: interpolate.splev(0.4, interpolate.splrep(KNOTS, x, k=2))[()],
    "Barycentric": lambda x: interpolate.BarycentricInterpolator(KNOTS, x)(0.4)[()],
    "griddata": lambda x: interpolate.griddata(
        [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], x, [[0.2, 0.3]]
    )[0],
    "Rbf": lambda x: interpolate.RBFInterpolator(KNOTS[:, None], x)([[0.4]])[0],
    "minimize": lambda x: optimize.minimize(lambda y: ((y - x[0]) ** 2).sum(), [0.0]).x[0],
    "minimize_scalar": lambda x: optimize.minimize_scalar(lambda y: (y - x[0]) ** 2).x,
    "minimize from": lambda x: optimize.minimize(lambda y: ((y - 1.0) ** 2).sum(), x).fun + x[0],
    "brentq": lambda x: optimize.brentq(lambda y: y * y - x[0], 0.0, 9.0),
    "newton": lambda x: optimize.newton(lambda y: y * y - x[0], 1.0),
    "root": lambda x: optimize.root(lambda y: y * y - x[0], [1.0]).x[0],
    "fsolve": lambda x: optimize.fsolve(lambda y: y * y - x[0], [1.0])[0],
    "least_squares": lambda x: optimize.least_squares(lambda y: y - x[0], [0.0]).x[0],
    "curve_fit": lambda x: optimize.curve_fit(lambda t, a: a * t, KNOTS, x)[0][0],
    "linprog": lambda x: optimize.linprog([-1.0], bounds=[(0.0, x[0])]).x[0],
    "nnls": lambda x: optimize.nnls(np.eye(3), x)[0][0],
    **{
        f"special.{name}": summed(getattr(special, name))
        for name in (
            "gamma",
            "gammaln",
            "erf",
            "erfc",
            "erfinv",
            "expit",
            "logit",
            "digamma",
            "j0",
            "i0",
            "ellipk",
            "zeta",
        )
    },
    "special.logsumexp": lambda x: special.logsumexp(x),
    "special.softmax": lambda x: special.softmax(x)[0],
    "special.beta": lambda x: special.beta(x[0], x[1]),
    "special.xlogy": lambda x: special.xlogy(x[0], x[1]),
    "norm.pdf": lambda x: stats.norm.pdf(x[0]),
    "norm.logpdf": lambda x: stats.norm.logpdf(x).sum(),
    "norm.cdf": lambda x: stats.norm.cdf(1.0, loc=x[0], scale=x[1]),
    "gamma.logpdf": lambda x: stats.gamma.logpdf(1.0, x[0]),
    "multivariate_normal": lambda x: stats.multivariate_normal(x[:2]).logpdf([0.0, 0.0]),
    "zscore": lambda x: stats.zscore(x)[0],
    "pearsonr": lambda x: stats.pearsonr(x, [1.0, 2.0, 5.0])[0],
    "linregress": lambda x: stats.linregress([0.0, 1.0, 2.0], x)[0],
    "gmean": lambda x: stats.gmean(x),
    "fft": lambda x: abs(fft.fft(x)[1]),
    "dct": lambda x: fft.dct(x)[1],
    "convolve": lambda x: (signal.convolve(x, [1.0, 2.0]) ** 2).sum(),
    "fftconvolve": lambda x: (signal.fftconvolve(x, [1.0, 2.0]) ** 2).sum(),
    "lfilter": lambda x: signal.lfilter([1.0], [1.0, 0.5], x)[-1],
    "savgol_filter": lambda x: signal.savgol_filter(x, 3, 1)[1],
    "gaussian_filter": lambda x: ndimage.gaussian_filter1d(x, 1.0)[1],
    "map_coordinates": lambda x: ndimage.map_coordinates(x, [[0.4]], order=1)[0],
    "csr product": lambda x: (sparse.csr_array(np.eye(3)) @ x).sum(),
    "csr of": lambda x: sparse.csr_array(matrix(x)).sum(),
    "diags": lambda x: sparse.diags_array([x], offsets=[0]).sum(),
}
