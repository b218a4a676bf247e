"""TLS of one connection: what arrives in, what it says out, and nothing that waits.

OpenSSL works on buffers in memory, so a connection that asks for TLS in its middle needs no other
transport: no moment exists in which bytes could arrive at the wrong one of two.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final

__all__ = ["ALPN", "Encryption", "TlsStream"]

ALPN: Final = "postgresql"
"""What a client has to ask for that begins with TLS, without an SSLRequest."""

_READ_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class Encryption:
    """How a server encrypts. `binding`: the hash of its certificate that RFC 5929 defines, to
    bind a SCRAM proof to it; None if the certificate's kind has none."""

    context: ssl.SSLContext
    binding: bytes | None


class TlsStream:
    """Made when the client begins; usable once `is_up`."""

    def __init__(self, encryption: Encryption) -> None:
        self.is_up = False  # the handshake is over
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = encryption.context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    @property
    def protocol(self) -> str | None:
        """What the client asked to speak inside (ALPN), if it asked."""
        return self._tls.selected_alpn_protocol()

    def receive(self, data: bytes) -> bytes:
        """What `data` from the socket says. Raises ssl.SSLError: it is not TLS, or was changed."""
        self._incoming.write(data)
        said: list[bytes] = []
        try:
            if not self.is_up:
                self._tls.do_handshake()
                self.is_up = True
            while piece := self._tls.read(_READ_BYTES):
                said.append(piece)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass  # no more is there, or no more will be: then its socket ends too
        return b"".join(said)

    def send(self, data: bytes) -> None:
        """`data_to_send` has it, encrypted. Before the handshake is over nobody would hear it."""
        if data and self.is_up:
            self._tls.write(data)

    def end(self) -> None:
        """Say that no more will be said, so that nobody can cut our last words unnoticed."""
        if self.is_up:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                return  # it wants to hear the same of the client, who need not say it

    def data_to_send(self) -> bytes:
        """For the socket."""
        return self._outgoing.read()
