"""The greeting: how two processes prove to each other that they are of one cluster.

    dialer                                      node
    Hello(who, nonce)                 ->
                                      <-        Challenge(node, nonce, PROOF)
    Proof(whose files, PROOF)         ->
                                      <-        Welcome, or Refused(reason)

A proof is an HMAC-SHA256 under the cluster's secret, of everything that was said up to it: so
no part can be changed, left out or taken from another connection (each has two fresh nonces),
and neither side's proof can be sent back as its own, for each begins with another label. A
cluster without a secret (on loopback only) proves the same under the empty one: there is no
message that asks for less, so nobody can be talked down to it.

This module is pure: frames and random nonces come in, what to send comes out. What the two
sides then think of each other (does the node know that peer? are its files the ones it met?)
is decided by their owners, after the proofs. What is sent after the greeting is neither
encrypted nor signed (docs/deploy.md).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from nodes.protocol import (
    PROTOCOL_VERSION,
    Challenge,
    Files,
    Hello,
    Proof,
    ProtocolError,
    Refused,
    Welcome,
)

__all__ = ["NONCE_BYTES", "SECRET_BYTES", "Answering", "Arrival", "Dialing"]

NONCE_BYTES: Final = 32
"""Fresh for every connection: a proof that was heard once fits no other."""

SECRET_BYTES: Final = 32

WORD_CHARACTERS_MAX: Final = 128
"""Of a name or a cluster's id: they are repeated in sentences and logs."""

_NODE: Final = "shardrouter greeting: the node"
_DIALER: Final = "shardrouter greeting: the dialer"
"""What each side's proof begins with."""

_hellos = msgspec.msgpack.Decoder(Hello)
_proofs = msgspec.msgpack.Decoder(Proof)
_answers = msgspec.msgpack.Decoder(Challenge | Welcome | Refused)


@dataclass(frozen=True)
class Arrival:
    """A dialer that has proved to be of this cluster."""

    kind: str  # "peer" or "client"
    name: str
    files: Files | None
    revision: int


class Answering:
    """The node's side of one connection.

    frame in -> receive -> Challenge: send it
                           Arrival: judge it, then send Welcome or Refused
                           Refused: log it, send it, close

    `met` says which start of a node was met last (0: none). Raises ProtocolError.
    """

    def __init__(
        self,
        *,
        node: str,
        cluster_id: str,
        secret: bytes,
        nonce: bytes,
        met: Callable[[str], int] = lambda _node: 0,
    ) -> None:
        assert len(nonce) == NONCE_BYTES
        self._node = node
        self._cluster_id = cluster_id
        self._secret = secret
        self._nonce = nonce
        self._met = met
        self._hello: Hello | None = None
        self._challenge: Challenge | None = None

    @property
    def awaits_proof(self) -> bool:
        return self._challenge is not None

    def receive(self, frame: bytes | memoryview) -> Challenge | Arrival | Refused:
        try:
            if self._hello is None or self._challenge is None:
                return self._greet(_hellos.decode(frame))
            return self._check(_proofs.decode(frame), self._hello, self._challenge)
        except msgspec.DecodeError as exc:
            raise ProtocolError(str(exc)) from exc

    def _greet(self, hello: Hello) -> Challenge | Refused:
        if not (_is_word(hello.name) and _is_word(hello.cluster_id)):
            raise ProtocolError("no name is like that")
        if hello.protocol != PROTOCOL_VERSION:
            return Refused(
                f"node {self._node} speaks version {PROTOCOL_VERSION} of the node protocol, "
                f"{hello.name} speaks {hello.protocol}; use the same release for both."
            )
        if hello.cluster_id != self._cluster_id:
            return Refused(
                f"node {self._node} belongs to cluster {self._cluster_id}, not to "
                f"{hello.cluster_id}; use the cluster.toml of this cluster."
            )
        if hello.kind not in ("client", "peer"):
            return Refused(f"{hello.kind[:WORD_CHARACTERS_MAX]!r} is neither client nor peer.")
        if len(hello.nonce) != NONCE_BYTES:
            raise ProtocolError("a greeting without a nonce")
        met = self._met(hello.name) if hello.kind == "peer" else 0
        bare = Challenge(self._node, self._nonce, met)
        self._hello = hello
        self._challenge = Challenge(
            *(bare.node, bare.nonce, bare.met), proof=_mac(self._secret, _NODE, hello, bare)
        )
        return self._challenge

    def _check(self, proof: Proof, hello: Hello, challenge: Challenge) -> Arrival | Refused:
        bare = Proof(proof.files, proof.revision)
        expected = _mac(self._secret, _DIALER, hello, challenge, bare)
        if not hmac.compare_digest(proof.proof, expected):
            return Refused(_no_secret(hello.name))
        if (proof.files is None) != (hello.kind == "client"):
            raise ProtocolError("a peer names its files, a client has none")
        return Arrival(hello.kind, hello.name, proof.files, proof.revision)


Answer: TypeAlias = Proof | Welcome | Refused


class Dialing:
    """The side of whoever dials, for one connection.

    send `hello`; frame in -> receive -> Proof: send it
                                         Welcome: the connection is made
                                         Refused: close; the reason is a sentence

    `node` is who should be there, None if any node of the cluster will do. `files` tells a
    node's files, with the start that the other side has met before (0: none); a client has
    none. Raises ProtocolError.
    """

    def __init__(
        self,
        *,
        kind: str,
        name: str,
        cluster_id: str,
        secret: bytes,
        nonce: bytes,
        node: str | None = None,
        files: Callable[[int], Files] | None = None,
        revision: int = 0,
    ) -> None:
        assert len(nonce) == NONCE_BYTES
        self.hello = Hello(PROTOCOL_VERSION, cluster_id, kind, name, nonce)
        self.is_proven = False
        """Whether the other side has proved that it knows the secret."""
        self._secret = secret
        self._node = node
        self._files = files
        self._revision = revision

    def receive(self, frame: bytes | memoryview) -> Answer:
        try:
            answer = _answers.decode(frame)
        except msgspec.DecodeError as exc:
            raise ProtocolError(str(exc)) from exc
        match answer:
            case Challenge() if not self.is_proven:
                return self._prove(answer)
            case Welcome() if self.is_proven:
                return answer
            case Refused():  # perhaps from somebody who is nobody: it goes into logs
                return Refused("".join(c if c.isprintable() else "?" for c in answer.reason))
        raise ProtocolError(f"a {type(answer).__name__} out of turn")

    def _prove(self, challenge: Challenge) -> Proof | Refused:
        bare = Challenge(challenge.node, challenge.nonce, challenge.met)
        expected = _mac(self._secret, _NODE, self.hello, bare)
        if not hmac.compare_digest(challenge.proof, expected):
            return Refused(_no_secret("the node there"))
        if self._node is not None and challenge.node != self._node:
            return Refused(
                f"the node there is {challenge.node}, not {self._node}; correct the addresses in "
                "cluster.toml."
            )
        self.is_proven = True
        files = None if self._files is None else self._files(challenge.met)
        proof = Proof(files, self._revision)
        return Proof(
            files, self._revision, _mac(self._secret, _DIALER, self.hello, challenge, proof)
        )


def _mac(secret: bytes, label: str, *said: msgspec.Struct) -> bytes:
    return hmac.digest(secret, msgspec.msgpack.encode((label, *said)), "sha256")


def _no_secret(who: str) -> str:
    return (
        f"{who} does not know the secret of this cluster; put the same cluster.secret beside "
        "cluster.toml on every host."
    )


def _is_word(text: str) -> bool:
    return 0 < len(text) <= WORD_CHARACTERS_MAX and text.isprintable()
