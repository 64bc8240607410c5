"""Comparison of the sweep of a program's class with the engine's, on small graphs."""

from __future__ import annotations

from typing import Any

from tapegrad.compat.replace_class.agreement import all_close
from tapegrad.compat.replace_class.trial import OPERATIONS, Engine, Outcome, Trial


def sweeps_alike(trial: Trial, theirs: Engine, ours: Engine) -> bool:
    """True if both sweeps leave the same gradients at every node, also after several calls."""
    if "__add__" in trial.same and "__mul__" in trial.same:
        add, multiply = "__add__", "__mul__"
    else:
        binary = sorted(name for name in trial.same if OPERATIONS.get(name) == 2)
        if not binary:
            return False
        add = multiply = binary[0]
    for build in _GRAPHS:
        try:
            outcomes = [build(engine, add, multiply) for engine in (theirs, ours)]
        except Exception:
            return False
        if not all_close(*outcomes):
            return False
    return True


def _grads(engine: Engine, nodes: list[Any]) -> Outcome:
    return tuple(float(engine.get(node, part)) for node in nodes for part in ("data", "grad"))


def _shared(engine: Engine, add: str, multiply: str) -> Outcome:
    a, b, c = engine.make(1.5), engine.make(-2.0), engine.make(0.5)
    d = getattr(a, multiply)(b)
    e = getattr(d, add)(getattr(d, multiply)(c))
    f = getattr(e, multiply)(e)
    g = getattr(f, add)(a)
    nodes = [a, b, c, d, e, f, g]
    engine.pull(g)
    first = _grads(engine, nodes)
    engine.pull(g)
    second = _grads(engine, nodes)
    engine.pull(e)
    return first + second + _grads(engine, nodes)


def _two_roots(engine: Engine, add: str, multiply: str) -> Outcome:
    a, b, unrelated = engine.make(3.0), engine.make(4.0), engine.make(5.0)
    for node in (a, unrelated):
        engine.set_grad(node, 7.0)
    d = getattr(a, multiply)(b)
    roots = [getattr(d, add)(a), getattr(d, multiply)(b)]
    for root in roots:
        engine.pull(root)
    return _grads(engine, [a, b, unrelated, d, *roots])


def _chain(engine: Engine, add: str, multiply: str) -> Outcome:
    a, b = engine.make(0.9), engine.make(0.1)
    nodes = [a]
    for _ in range(40):
        nodes.append(getattr(getattr(nodes[-1], multiply)(a), add)(b))
    engine.pull(nodes[-1])
    return _grads(engine, [*nodes, b])


def _large(engine: Engine, add: str, multiply: str) -> Outcome:
    a, b, c = engine.make(1e-7), engine.make(1e8), engine.make(-1e6)
    d = getattr(getattr(a, multiply)(b), multiply)(c)
    e = getattr(d, add)(getattr(d, multiply)(d))
    engine.pull(e)
    return _grads(engine, [a, b, c, d, e])


def _leaf(engine: Engine, add: str, multiply: str) -> Outcome:
    a = engine.make(2.0)
    engine.set_grad(a, 5.0)
    engine.pull(a)
    return _grads(engine, [a])


def _small(engine: Engine, add: str, multiply: str) -> Outcome:
    a, b, c = engine.make(1e-9), engine.make(1e-9), engine.make(3e-11)
    d = getattr(getattr(a, multiply)(b), multiply)(c)
    e = getattr(getattr(d, multiply)(a), add)(d)
    engine.pull(e)
    return _grads(engine, [a, b, c, d, e])


_GRAPHS = [_shared, _two_roots, _chain, _large, _small, _leaf]
