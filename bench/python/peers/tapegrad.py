"""tapegrad itself."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bench.python.peers.base import Functions, NodePeer, Session, largest_data
from bench.python.updates import RATES, Update
from tapegrad import Value, nn

__all__ = ["Tapegrad"]


class Tapegrad(NodePeer):
    """The engine, as a program for micrograd or microgpt uses it.

    The variant "optim" trains with `tapegrad.optim` in the place of a loop in Python.
    """

    name = "tapegrad"

    def __init__(self) -> None:
        self.make = Value
        self.functions = Functions(
            largest=largest_data,
            number=Value,
            relu=Value.relu,
            tanh=Value.tanh,
            exp=Value.exp,
            log=Value.log,
            erf=Value.erf,
            nn=nn,
        )

    def update(self, rule: str, session: Session, variant: str) -> Update:
        if "optim" not in variant.split():
            return super().update(rule, session, variant)
        optim = import_module("tapegrad.optim")
        p, rate = session.parameters, RATES[rule]
        optimizer: Any
        if rule == "sgd":
            optimizer = optim.SGD(p, lr=rate)
        elif rule == "adam":
            optimizer = optim.Adam(p, lr=rate, betas=(0.85, 0.99), eps=1e-8)
        else:
            optimizer = optim.Adagrad(p, lr=rate, eps=1e-10)
        return Update(optimizer.zero_grad, optimizer.step)
