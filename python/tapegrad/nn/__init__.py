"""Neural networks of scalar Values: micrograd's classes, and modules with PyTorch's names."""

from __future__ import annotations

from tapegrad.nn import utils
from tapegrad.nn.activation import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from tapegrad.nn.embedding import Embedding
from tapegrad.nn.module import Module
from tapegrad.nn.network import MLP, Layer, Neuron
from tapegrad.nn.sequential import Sequential

__all__ = [
    "GELU",
    "MLP",
    "Embedding",
    "Layer",
    "LeakyReLU",
    "Module",
    "Neuron",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "utils",
]
