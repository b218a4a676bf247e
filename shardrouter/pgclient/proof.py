"""SCRAM-SHA-256, the client's side: proves a password, and has the server prove that it knows it.

After RFC 5802 and RFC 7677; `shardrouter.pgwire.scram` is the other side. Pure: the nonce comes
in. Channel binding is not used: it says `n`, that it has none.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import Final

from shardrouter.pgwire.scram import MECHANISM, prepare

__all__ = ["MECHANISM", "Proof", "ProofError"]

ITERATIONS_MAX: Final = 1 << 22
"""A server that asks for more wants to keep us busy."""


class ProofError(Exception):
    """What the server says is not SCRAM, or it does not know the password itself."""


class Proof:
    """One login: `first`, then `final` of what the server says, then `check` of its last word."""

    def __init__(self, password: str, nonce: bytes) -> None:
        self._password = prepare(password)
        self._nonce = b64encode(nonce).decode()
        self._signature = b""

    @property
    def _bare(self) -> str:
        return f"n=,r={self._nonce}"  # the name is in the startup packet

    def first(self) -> bytes:
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """Raises ProofError."""
        parts = challenge.decode("ascii", "replace").split(",")
        attributes = {part[:1]: part[2:] for part in parts}
        nonce = attributes.get("r", "")
        try:
            salt = b64decode(attributes["s"], validate=True)
            iterations = int(attributes["i"])
        except (KeyError, ValueError) as exc:
            raise ProofError("the server's challenge is not SCRAM-SHA-256.") from exc
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise ProofError("the server answers another client's nonce.")
        if not 0 < iterations <= ITERATIONS_MAX:
            raise ProofError(f"the server asks for {iterations} iterations.")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, iterations)
        said = f"{self._bare},".encode() + challenge + f",c=biws,r={nonce}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self._signature = hmac.digest(server_key, said, "sha256")
        return f"c=biws,r={nonce},p={b64encode(proof).decode()}".encode()

    def check(self, last: bytes) -> None:
        """Raises ProofError if the server does not know the password."""
        expected = b"v=" + b64encode(self._signature)
        if not self._signature or not hmac.compare_digest(last, expected):
            raise ProofError("the server does not know the password: it is not the one you mean.")
