"""Who takes part: one module a peer."""

from __future__ import annotations

from importlib import metadata

from bench.python.peers.autograd import Autograd
from bench.python.peers.base import (
    OPERATORS,
    Build,
    Functions,
    Parameter,
    Peer,
    Replay,
    Session,
)
from bench.python.peers.casadi import Casadi, CasadiOnce
from bench.python.peers.floats import Floats
from bench.python.peers.jax import JaxEager, JaxJit
from bench.python.peers.microgpt import Microgpt
from bench.python.peers.micrograd import Micrograd
from bench.python.peers.tapegrad import Tapegrad
from bench.python.peers.torch import Torch
from bench.python.peers.transforms import Compiled, Transforms
from bench.python.peers.xad import Xad

__all__ = [
    "OPERATORS",
    "OWN",
    "PEERS",
    "Build",
    "Functions",
    "Parameter",
    "Peer",
    "Replay",
    "Session",
    "versions",
]

PEERS: dict[str, type[Peer]] = {
    peer.name: peer
    for peer in (
        Tapegrad,
        Transforms,
        Compiled,
        Floats,
        Micrograd,
        Microgpt,
        Torch,
        Autograd,
        Xad,
        Casadi,
        JaxEager,
        CasadiOnce,
        JaxJit,
    )
}
# tapegrad's own ways, which take part where a workload names them.
OWN = (Tapegrad.name, Transforms.name, Compiled.name)


def versions() -> dict[str, str]:
    """The versions of the installed packages of the peers."""
    packages = {peer.package for peer in PEERS.values() if peer.package and peer.installed()}
    return {package: metadata.version(package) for package in sorted(packages)}
