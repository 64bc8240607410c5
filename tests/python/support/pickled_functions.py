"""Functions that tests pickle, and run in other processes."""

from __future__ import annotations

from typing import Any

from tapegrad import (
    checkpoint,
    compile,
    custom_jvp,
    custom_vjp,
    exp,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    sin,
    value_and_grad,
)


def plain(x: Any, n: Any = 2.0) -> Any:
    return sin(x) * x**n


@compile
def decorated(x: Any) -> Any:
    return exp(x) * x


@compile(static_argnums=1, max_programs=3, max_bytes=10**6)
def with_options(x: Any, n: Any) -> Any:
    for _ in range(n):
        x = sin(x)
    return x


@grad
def slope(x: Any) -> Any:
    return x**3


@compile
@grad
def both(x: Any) -> Any:
    return x**4


@checkpoint
def recomputed(x: Any) -> Any:
    return sin(sin(x))


@custom_vjp
def ruled(x: Any, k: Any = 3.0) -> Any:
    return k * x


def ruled_fwd(x: Any, k: Any) -> Any:
    return k * x, k


def ruled_bwd(k: Any, g: Any) -> Any:
    return 10.0 * k * g, 0.0


ruled.defvjp(ruled_fwd, ruled_bwd)


@custom_jvp
def pushed(x: Any) -> Any:
    return x * x


def pushed_slope(t: Any, y: Any, x: Any) -> Any:
    return 20.0 * t * x


pushed.defjvps(pushed_slope)


def base(x: Any) -> Any:
    return x * x


anonymous_vjp = custom_vjp(base)
anonymous_vjp.defvjp(lambda x: (x * x, x), lambda x, g: (x * g,))


class Model:
    def __init__(self, w: float) -> None:
        self.w = w

    @compile
    def energy(self, x: Any) -> Any:
        return self.w * x * x

    @grad
    def slope(self: Any) -> Any:
        return self * self

    curvature = hessian(energy, argnums=1)


def named_vjp() -> Any:
    """A rule whose module has it under no name."""
    f = custom_vjp(base, nondiff_argnums=())
    f.defvjp(ruled_fwd_of_base, ruled_bwd_of_base)
    return f


def ruled_fwd_of_base(x: Any) -> Any:
    return x * x, x


def ruled_bwd_of_base(x: Any, g: Any) -> Any:
    return (7.0 * x * g,)


def named_jvp(each: bool) -> Any:
    f = custom_jvp(base)
    if each:
        f.defjvps(pushed_slope)
    else:
        f.defjvp(pushed_rule)
    return f


def pushed_rule(primals: Any, tangents: Any) -> Any:
    return primals[0] ** 2, 5.0 * tangents[0]


# Each with the arguments that it is called with.
FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "decorated": (decorated, (1.5,)),
    "with options": (with_options, (1.5, 3)),
    "slope": (slope, (1.5,)),
    "both": (both, (1.5,)),
    "recomputed": (recomputed, (1.5,)),
    "ruled": (ruled, (1.5,)),
    "pushed": (pushed, (1.5,)),
    "Model.energy": (Model.energy, (Model(2.0), 1.5)),
    "Model.slope": (Model.slope, (1.5,)),
    "a bound method": (Model(2.0).energy, (1.5,)),
    "a bound method under another name": (Model(2.0).curvature, (1.5,)),
    "compile": (compile(plain), (1.5,)),
    "compile with options": (compile(plain, static_argnames="n", max_programs=2), (1.5, 3)),
    "grad": (grad(plain), (1.5,)),
    "grad by both": (grad(plain, (0, 1)), (1.5, 2.0)),
    "value_and_grad": (value_and_grad(plain, argnums=1), (1.5, 2.0)),
    "jacobian": (jacobian(plain), (1.5,)),
    "jacrev": (jacrev(plain), (1.5,)),
    "jacfwd": (jacfwd(plain), (1.5,)),
    "hessian": (hessian(plain), (1.5,)),
    "hvp": (hvp(plain), (1.5, 1.0)),
    "checkpoint": (checkpoint(plain), (1.5,)),
    "grad of grad": (grad(grad(plain)), (1.5,)),
    "grad of compile": (grad(compile(plain)), (1.5,)),
    "compile of grad": (compile(grad(plain)), (1.5,)),
    "grad of decorated": (grad(decorated), (1.5,)),
    "hessian of decorated": (hessian(decorated), (1.5,)),
    "hvp of decorated": (hvp(decorated), (1.5, 1.0)),
    "grad of options": (grad(with_options), (1.5, 3)),
    "grad of grad of both": (grad(both), (1.5,)),
    "grad of slope": (grad(slope), (1.5,)),
    "grad of ruled": (grad(ruled), (1.5,)),
    "grad of pushed": (grad(pushed), (1.5,)),
    "grad of recomputed": (grad(recomputed), (1.5,)),
    "grad of a method": (grad(Model(2.0).energy), (1.5,)),
    "hessian of a method": (hessian(Model(2.0).energy), (1.5,)),
    "a rule by parts": (grad(named_vjp()), (1.5,)),
    "a forward rule": (grad(named_jvp(False)), (1.5,)),
    "a forward rule for each": (grad(named_jvp(True)), (1.5,)),
}


def called(f: Any, args: tuple[Any, ...]) -> Any:
    """For other processes."""
    return f(*args)


def called_with(f: Any, x: float) -> Any:
    return f(x)
