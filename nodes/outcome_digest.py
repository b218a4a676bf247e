"""Digests of what a client was told, and of the steps of a transaction.

A transaction commits only if every replica finds again what its client was told (DESIGN section
8). The router makes a digest of each answer as it received it, the replicas make one of each
answer they come to, and the two are compared: row count and rows, as values or as the bytes that
went onto the wire; of a failure its SQLSTATE and its words.

Pure, and the same on every platform: 128 bits of BLAKE2b over msgpack.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from nodes.protocol import SqlFailure, StatementResult, Step, Value

__all__ = ["RowsDigest", "chain", "digest_of"]

DIGEST_BYTES: Final = 16

_encode = msgspec.msgpack.Encoder().encode


def digest_of(outcome: StatementResult | SqlFailure | RowsDigest) -> bytes:
    """Of what one statement answered. Which ordinal failed is not part of it."""
    if isinstance(outcome, RowsDigest):
        return outcome.value
    if isinstance(outcome, SqlFailure):
        said = _encode((outcome.sqlstate, outcome.message, outcome.detail))
    else:
        said = _encode((outcome.row_count, outcome.rows, outcome.values))
    return blake2b(said, digest_size=DIGEST_BYTES).digest()


class RowsDigest:
    """Of the rows of a statement that is streamed, of which nobody keeps all: a hash that goes
    on with every row, so that it matters not how many come at a time."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=DIGEST_BYTES)

    def add(self, rows: Iterable[tuple[Value, ...]]) -> int:
        """Some rows more; returns how many bytes they are."""
        said = b"".join(map(_encode, rows))
        self._hash.update(said)
        return len(said)

    @property
    def value(self) -> bytes:
        """Of all so far."""
        return self._hash.digest()


def chain(before: bytes, step: Step) -> bytes:
    """Of all steps up to `step`; `before` is that of the steps before it, empty for none."""
    return blake2b(before + _encode(step), digest_size=DIGEST_BYTES).digest()
