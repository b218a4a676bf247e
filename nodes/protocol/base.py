"""What all messages of the node protocol are made of, and the limits that both sides keep."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = [
    "PROTOCOL_VERSION",
    "FRAME_BYTES_MAX",
    "GREETING_BYTES_MAX",
    "ENTRY_BYTES_MAX",
    "ANSWER_BYTES_MAX",
    "STORED_ANSWER_BYTES_MAX",
    "STAGE_CHUNK_BYTES",
    "OPEN_SEQS_MAX",
    "TRANSACTION_STEPS_MAX",
    "Message",
    "ProtocolError",
]

PROTOCOL_VERSION: Final = 9
"""Raised whenever a message changes meaning; both ends must speak the same one."""

FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
"""Largest payload of one frame: an answer at its limit, with room for its envelope."""

GREETING_BYTES_MAX: Final = 4096
"""Largest payload of one frame before both sides know each other."""

ENTRY_BYTES_MAX: Final = 1024 * 1024
"""Largest Raft entry (DESIGN section 6). Larger writes answer SQLSTATE 54000."""

ANSWER_BYTES_MAX: Final = 7 * 1024 * 1024
"""Largest set of rows one shard answers at once. Larger ones answer SQLSTATE 54000."""

STORED_ANSWER_BYTES_MAX: Final = 4 * 1024
"""Answers of writes up to this size are kept for a repeat of the command; larger ones are
remembered as committed, without the answer (`AnswerNotKept`)."""

STAGE_CHUNK_BYTES: Final = 512 * 1024
"""Of a stage, in one entry: with its envelope well below the limit of an entry."""

OPEN_SEQS_MAX: Final = 1024
"""Most commands of one session above its watermark; bounds the memory of deduplication."""

TRANSACTION_STEPS_MAX: Final = 100_000
"""Most steps of one transaction; more answer SQLSTATE 54000."""


class ProtocolError(Exception):
    """The bytes received are not this protocol; the connection must be closed."""


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Base of all messages: immutable, encoded as a msgpack array, compared by value."""
