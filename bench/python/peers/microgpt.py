"""microgpt's class, in our own writing."""

from __future__ import annotations

from bench.python.peers.base import Functions, NodePeer, largest_data
from bench.python.programs.microgpt import PureValue

__all__ = ["Microgpt"]


class Microgpt(NodePeer):
    """A pure-Python class that keeps local gradients in its nodes."""

    name = "microgpt's class"
    pure = True
    largest = 300_000

    def __init__(self) -> None:
        self.make = PureValue
        self.functions = Functions(
            largest=largest_data,
            number=PureValue,
            relu=PureValue.relu,
            tanh=PureValue.tanh,
            exp=PureValue.exp,
            log=PureValue.log,
            erf=PureValue.erf,
        )
