"""Who takes part: one module a peer."""

from __future__ import annotations

from importlib import metadata

from tapegrad.bench.peers.autograd import Autograd
from tapegrad.bench.peers.base import (
    OPERATORS,
    Build,
    Functions,
    Parameter,
    Peer,
    Replay,
    Session,
)
from tapegrad.bench.peers.casadi import Casadi, CasadiOnce
from tapegrad.bench.peers.floats import Floats
from tapegrad.bench.peers.jax import JaxEager, JaxJit
from tapegrad.bench.peers.microgpt import Microgpt
from tapegrad.bench.peers.micrograd import Micrograd
from tapegrad.bench.peers.tapegrad import Tapegrad
from tapegrad.bench.peers.torch import Torch
from tapegrad.bench.peers.transforms import Compiled, Transforms
from tapegrad.bench.peers.xad import Xad

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
