"""SCRAM-SHA-256, the server's side: verifiers, and the exchange that proves a password.

Pure: nonces, salts and certificates come in. The server never has the password and never sees
it; from a stolen verifier nobody can log in. After RFC 5802 and RFC 7677, with channel binding
`tls-server-end-point` of RFC 5929, and PostgreSQL's `auth-scram.c` where they leave a choice.

    exchange = Exchange(verifier, nonce, binding=hash of our certificate inside TLS, else None)
    ask for one of exchange.mechanisms
    say exchange.first(mechanism, what the client answered)
    say exchange.final(what the client answered)        # it knows the password; so do we

A user that does not exist has to look like one with another password: `mock_verifier` makes
it a salt that stays the same, and the exchange goes on to its end, where no proof is right.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import stringprep
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

__all__ = [
    "ITERATIONS",
    "MECHANISM",
    "MECHANISM_PLUS",
    "NONCE_BYTES",
    "SALT_BYTES",
    "Exchange",
    "SaslError",
    "Verifier",
    "make_verifier",
    "mock_verifier",
    "parse_verifier",
    "prepare",
]

MECHANISM: Final = "SCRAM-SHA-256"
MECHANISM_PLUS: Final = "SCRAM-SHA-256-PLUS"
"""With channel binding: the proof is worth nothing on another TLS connection."""

ITERATIONS: Final = 4096
"""As PostgreSQL; every client does them once for each connection."""

SALT_BYTES: Final = 16
NONCE_BYTES: Final = 18

_KEY_BYTES: Final = hashlib.sha256().digest_size
_ITERATIONS_MAX: Final = 1 << 20


class SaslError(Exception):
    """The client's part of the exchange is not SCRAM, or its proof is wrong."""

    def __init__(self, sqlstate: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail


@dataclass(frozen=True, repr=False)
class Verifier:
    """What the server keeps of a password."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __str__(self) -> str:
        """As in PostgreSQL's pg_authid."""
        salt, stored, server = map(_base64, (self.salt, self.stored_key, self.server_key))
        return f"{MECHANISM}${self.iterations}:{salt}${stored}:{server}"


def parse_verifier(text: str) -> Verifier | None:
    """The verifier that `text` is; None if it is none (then it is a password)."""
    match text.split("$"):
        case [mechanism, hashing, keys] if mechanism == MECHANISM:
            iterations, _, salt = hashing.partition(":")
            stored, _, server = keys.partition(":")
        case _:
            return None
    try:
        found = [b64decode(part, validate=True) for part in (salt, stored, server)]
    except (binascii.Error, ValueError):
        return None
    if not (iterations.isascii() and iterations.isdigit() and len(iterations) < 8 and found[0]):
        return None
    if [len(found[1]), len(found[2])] != [_KEY_BYTES] * 2:
        return None
    count = int(iterations)
    return Verifier(count, *found) if 0 < count <= _ITERATIONS_MAX else None


def make_verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> Verifier:
    salted = hashlib.pbkdf2_hmac("sha256", prepare(password), salt, iterations)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    return Verifier(iterations, salt, stored, _hmac(salted, b"Server Key"))


def mock_verifier(user: str, secret: bytes) -> Verifier:
    """Of a user that does not exist: always the same, and no password is right."""
    salt, stored, server = (
        _hmac(secret, what + user.encode()) for what in (b"salt of ", b"stored of ", b"server of ")
    )
    return Verifier(ITERATIONS, salt[:SALT_BYTES], stored, server)


class Exchange:
    """One client's proof."""

    def __init__(self, verifier: Verifier, nonce: bytes, *, binding: bytes | None = None) -> None:
        self._verifier = verifier
        self._nonce = b64encode(nonce)
        self._binding = binding
        self._header = b""  # of the client's first message: what it says of channel binding
        self._said = b""  # what the proof is about, so far
        self._plus = False

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The best first."""
        return (MECHANISM,) if self._binding is None else (MECHANISM_PLUS, MECHANISM)

    def first(self, mechanism: str, data: bytes | None) -> bytes:
        """Our answer to `n,,n=user,r=nonce`. Raises SaslError."""
        if mechanism not in self.mechanisms:
            raise _malformed("Client selected an invalid SASL authentication mechanism.")
        self._plus = mechanism == MECHANISM_PLUS
        if not data:
            raise _malformed("The message is empty.")
        flag, found, rest = data.partition(b",")
        authorization, more, bare = rest.partition(b",")
        if not found or not more:
            raise _malformed("The message has no header.")
        self._check_flag(flag)
        if authorization:
            raise SaslError("0A000", "client uses authorization identity, but it is not supported")
        self._header = data[: len(data) - len(bare)]
        attributes = bare.split(b",")
        if attributes[0].startswith(b"m="):
            raise SaslError("0A000", "client requires an unsupported SCRAM extension")
        # The name in it is ignored, as PostgreSQL does: the startup packet has said it.
        if len(attributes) < 2 or not attributes[0].startswith(b"n="):
            raise _malformed("The message has no user name.")
        nonce = _attribute(attributes[1], b"r")
        if not nonce or any(not 0x21 <= byte <= 0x7E for byte in nonce):
            raise _malformed("The nonce is not printable.")
        self._nonce = nonce + self._nonce
        salt = b64encode(self._verifier.salt)
        answer = b"r=%b,s=%b,i=%d" % (self._nonce, salt, self._verifier.iterations)
        self._said = bare + b"," + answer
        return answer

    def _check_flag(self, flag: bytes) -> None:
        """What the client says of channel binding: n, it has none; y, it has, but believes that
        we have none, which somebody between us may have made it believe; p, it uses it."""
        if self._plus:
            if flag != b"p=tls-server-end-point":
                raise _malformed("The channel binding is not tls-server-end-point.")
        elif flag == b"y":
            if self._binding is not None:
                raise SaslError(
                    "28000",
                    "SCRAM channel binding negotiation error",
                    "The client supports SCRAM channel binding but thinks the server does not. "
                    "However, this server does support channel binding.",
                )
        elif flag != b"n":
            raise _malformed("Unexpected channel-binding flag.")

    def final(self, data: bytes) -> bytes:
        """Our answer to `c=...,r=...,p=proof`. Raises SaslError; 28P01: the proof is wrong."""
        without_proof, found, proof_text = data.rpartition(b",p=")
        if not found:
            raise _malformed("The message has no proof.")
        attributes = without_proof.split(b",")
        binding = _decoded(_attribute(attributes[0], b"c"))
        expected = self._header + (self._binding or b"" if self._plus else b"")
        if not hmac.compare_digest(binding, expected):
            raise SaslError("28000", "SCRAM channel binding check failed")
        if len(attributes) < 2 or _attribute(attributes[1], b"r") != self._nonce:
            raise _malformed("The nonce is another.")
        proof = _decoded(proof_text)
        if len(proof) != _KEY_BYTES:
            raise _malformed("The proof has a wrong length.")
        said = self._said + b"," + without_proof
        signature = _hmac(self._verifier.stored_key, said)
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        if not hmac.compare_digest(hashlib.sha256(client_key).digest(), self._verifier.stored_key):
            raise SaslError("28P01", "password authentication failed")
        return b"v=" + b64encode(_hmac(self._verifier.server_key, said))


def _attribute(part: bytes, name: bytes) -> bytes:
    if not part.startswith(name + b"="):
        raise _malformed(f"Attribute {name.decode()!r} is missing.")
    return part[2:]


def _decoded(text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error as exc:
        raise _malformed("A value is not base64.") from exc


def _malformed(detail: str) -> SaslError:
    return SaslError("08P01", "malformed SCRAM message", detail)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


# ------------------------------------------------------------------------------ SASLprep


_PROHIBITED: Final = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,  # unassigned code points
)


def prepare(password: str) -> bytes:
    """SASLprep (RFC 4013), so that a password typed on another keyboard is the same. One that
    may not be prepared is taken as it is, as PostgreSQL and every client of it do."""
    if password.isascii() and password.isprintable():
        return password.encode()
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if not prepared or any(prohibited(c) for c in prepared for prohibited in _PROHIBITED):
        return password.encode()
    if any(map(stringprep.in_table_d1, prepared)) and (
        any(map(stringprep.in_table_d2, prepared))
        or not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1]))
    ):
        return password.encode()
    return prepared.encode()
