"""How a connection begins: both sides prove that they know the cluster's secret."""

from __future__ import annotations

from nodes.protocol.base import Message

__all__ = ["Hello", "Challenge", "Files", "Proof", "Welcome", "Refused"]


class Hello(Message, frozen=True, tag="hello"):
    """First message of whoever dials. Its first four fields are the same in every version of
    the protocol, so that another one is told which is spoken here."""

    protocol: int
    cluster_id: str
    kind: str  # "peer" or "client"
    name: str  # the node's or the router's name, for logs
    nonce: bytes = b""


class Challenge(Message, frozen=True, tag="challenge"):
    """The node's answer: who it is, and the proof that it knows the secret."""

    node: str
    nonce: bytes
    met: int  # the latest start of the dialing node that this one has met; 0: none
    proof: bytes = b""


class Files(Message, frozen=True):
    """Whose files a node has (docs/membership.md)."""

    data_id: str  # random, made with the files
    starts: int  # how often they were opened
    start_id: bytes  # random, of this start
    met_start_id: bytes = b""  # of the start that `Challenge.met` names; empty: there was none


class Proof(Message, frozen=True, tag="proof"):
    """The dialer's answer to the challenge. A client has no files."""

    files: Files | None = None
    revision: int = 0  # of its cluster.toml
    proof: bytes = b""


class Welcome(Message, frozen=True, tag="welcome"):
    """The node accepts the connection."""

    node: str
    revision: int = 0  # of its cluster.toml


class Refused(Message, frozen=True, tag="refused"):
    """The node does not accept the connection and closes it; `reason` is a full sentence."""

    reason: str
