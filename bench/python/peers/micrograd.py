"""micrograd, from PyPI."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from bench.python.peers.base import Functions, NodePeer, largest_data

__all__ = ["Micrograd"]


class Micrograd(NodePeer):
    """Karpathy's micrograd with its own `nn`."""

    name = "micrograd"
    package = "micrograd"
    imported = "micrograd.engine"
    pure = True
    largest = 300_000
    spellings: ClassVar = {"a.tanh()": None}

    def __init__(self) -> None:
        value = import_module("micrograd.engine").Value
        self.make = value
        self.functions = Functions(
            largest=largest_data, number=value, relu=value.relu, nn=import_module("micrograd.nn")
        )
