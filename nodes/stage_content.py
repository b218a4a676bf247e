"""What a stage holds, on both sides: rows into chunks at the router, chunks into rows at a replica.

The content is a sequence of frames, each an array of rows; a row is the parameters of one run of
a statement. Chunks are cut from it without regard to frames, so that a row may be larger than an
entry of the log, and what one side holds at a time is a frame and a chunk, never the whole.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Final

import msgspec
import xxhash

from nodes.frames import FrameDecoder, encode_frame
from nodes.protocol import (
    STAGE_CHUNK_BYTES,
    ProtocolError,
    SessionId,
    Staged,
    Value,
)

__all__ = ["StageError", "StageWriter", "apply_s", "check_content", "rows_of"]

Row = Sequence[Value]

_decode_rows: Final = msgspec.msgpack.Decoder(list[tuple[Value, ...]]).decode


APPLIED_BYTES_PER_S: Final = 2 * 1024 * 1024
APPLIED_ROWS_PER_S: Final = 10_000
"""How fast replicas apply a stage, at the least: the time that a write which names one has."""


def apply_s(size: int, rows: int) -> float:
    """How long replicas may take to apply so much, in seconds."""
    return size / APPLIED_BYTES_PER_S + rows / APPLIED_ROWS_PER_S


class StageError(Exception):
    """A stage is not what was named. It has happened to it, or to its session, that it was
    forgotten (57P05); anything else is damage (XX001)."""

    def __init__(self, message: str, sqlstate: str = "XX001") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message


class StageWriter:
    """Rows in, chunks out, and in the end what to call the whole.

    chunks = writer.add(rows)       any number of times
    chunks = writer.finish()        the rest
    staged = writer.staged(session, number)
    """

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._hash = xxhash.xxh3_128()
        self._pieces: list[bytes] = []  # of the chunk that is not full
        self._held = 0
        self._chunks = 0
        self.rows = 0
        self.size = 0  # bytes of the chunks that were given out

    def add(self, rows: Sequence[Row]) -> list[bytes]:
        """A frame of rows; the chunks that it fills. Raises ProtocolError if it is too large for
        a frame: then nothing of it was added."""
        frame = encode_frame(self._encode(rows))
        self._hash.update(frame)
        self.rows += len(rows)
        self._pieces.append(frame)
        self._held += len(frame)
        if self._held < STAGE_CHUNK_BYTES:
            return []
        held = b"".join(self._pieces)
        whole = len(held) - len(held) % STAGE_CHUNK_BYTES
        self._pieces = [held[whole:]]
        self._held = len(held) - whole
        return self._counted(
            [held[at : at + STAGE_CHUNK_BYTES] for at in range(0, whole, STAGE_CHUNK_BYTES)]
        )

    def finish(self) -> list[bytes]:
        """The last chunk, if there is anything left for one."""
        held = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        return self._counted([held] if held else [])

    def _counted(self, chunks: list[bytes]) -> list[bytes]:
        self._chunks += len(chunks)
        self.size += sum(map(len, chunks))
        return chunks

    def staged(self, session: SessionId, stage: int) -> Staged:
        """The name of all that was given out, as stage number `stage` of the session."""
        return Staged(session, stage, self._chunks, self.size, self._hash.digest(), self.rows)


def check_content(staged: Staged, chunks: Iterable[bytes]) -> None:
    """Raises StageError unless `chunks` are what `staged` says they have to be."""
    digest = xxhash.xxh3_128()
    count = size = 0
    for chunk in chunks:
        digest.update(chunk)
        count += 1
        size += len(chunk)
    if count == 0 < staged.chunks:
        raise StageError("the rows sent ahead of the write are no longer kept", "57P05")
    if (count, size) != (staged.chunks, staged.size):
        raise StageError(
            f"the rows sent ahead of the write are {count} chunks of {size} bytes, "
            f"not {staged.chunks} of {staged.size}"
        )
    if digest.digest() != staged.digest:
        raise StageError("the rows sent ahead of the write have another hash")


def rows_of(chunks: Iterable[bytes]) -> Generator[list[tuple[Value, ...]], None, None]:
    """The frames of a stage, decoded one by one. Raises StageError for what no writer made."""
    frames = FrameDecoder()
    ended = True
    try:
        for chunk in chunks:
            for frame in frames.feed(chunk):
                yield _decode_rows(frame)
            ended = frames.is_empty
    except (ProtocolError, msgspec.DecodeError) as exc:
        raise StageError(f"the rows sent ahead of the write cannot be read: {exc}") from exc
    if not ended:
        raise StageError("the rows sent ahead of the write end in the middle")
