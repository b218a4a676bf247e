"""What a stage holds, on both sides: items into chunks here, chunks into items at a replica.

The items of one stage are rows, each the parameters of one run of a statement, or statements, or
steps of a transaction. The content is a sequence of frames, each an array of items. Chunks are cut
from it without regard to frames, so that an item may be larger than an entry of the log, and what
one side holds at a time is a frame and a chunk, never the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Final, TypeVar

import msgspec
import xxhash

from nodes.frames import FrameDecoder, encode_frame
from nodes.protocol import (
    FRAME_BYTES_MAX,
    STAGE_CHUNK_BYTES,
    ProtocolError,
    Ran,
    SessionId,
    Staged,
    Statement,
    Step,
    Value,
    Write,
)

__all__ = [
    "ITEM_BYTES_MAX",
    "StageError",
    "StageWriter",
    "apply_s",
    "check_content",
    "prepare_ms",
    "rows_of",
    "staged_bytes",
    "stages_of",
    "statements_of",
    "steps_of",
]

Item = Sequence[Value] | Statement | Step

T = TypeVar("T")

ITEM_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of an item that is a frame by itself: a replica holds it whole when it applies it."""

_decode_rows: Final = msgspec.msgpack.Decoder(list[tuple[Value, ...]]).decode
_decode_statements: Final = msgspec.msgpack.Decoder(list[Statement]).decode
_decode_steps: Final = msgspec.msgpack.Decoder(list[Step]).decode


APPLIED_BYTES_PER_S: Final = 2 * 1024 * 1024
APPLIED_ROWS_PER_S: Final = 10_000
"""How fast replicas apply a stage, at the least: the time that a write which names one has."""


def apply_s(size: int, rows: int) -> float:
    """How long replicas may take to apply so much, in seconds."""
    return size / APPLIED_BYTES_PER_S + rows / APPLIED_ROWS_PER_S


def stages_of(write: Write) -> list[Staged]:
    """The stages that it and its statements name."""
    statements = list(write.statements)
    stages: list[Staged | None] = [write.staged]
    transaction = write.transaction
    if transaction is not None:
        statements += [step.statement for step in transaction.steps if isinstance(step, Ran)]
        stages += [transaction.staged, *transaction.stages]
    stages += [statement.staged for statement in statements]
    return [staged for staged in stages if staged is not None]


def staged_bytes(write: Write) -> int:
    """Of all stages that it names, each counted once."""
    sizes = {(each.session, each.stage): each.size for each in stages_of(write)}
    return sum(sizes.values())


def prepare_ms(write: Write) -> int:
    """How long a leader may take to prepare it for what it names, in milliseconds: it tries it, and
    applies it."""
    named = {(each.session, each.stage): each for each in stages_of(write)}
    return round(2000 * sum(apply_s(each.size, each.rows) for each in named.values()))


class StageError(Exception):
    """A stage is not what was named. It has happened to it, or to its session, that it was
    forgotten (57P05); anything else is damage (XX001)."""

    def __init__(self, message: str, sqlstate: str = "XX001") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message


class StageWriter:
    """Items in, chunks out, and in the end what to call the whole.

    chunks = writer.add(items)      any number of times
    chunks = writer.finish()        the rest
    staged = writer.staged(session, number)

    There may be more afterwards, and then another name for all of it. A frame has at most
    `frame_bytes_max`.
    """

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._encode = msgspec.msgpack.Encoder().encode
        self._hash = xxhash.xxh3_128()
        self._pieces: list[bytes] = []  # of the chunk that is not full
        self._held = 0
        self._chunks = 0
        self.rows = 0
        self.size = 0  # bytes of the chunks that were given out

    def add(self, items: Sequence[Item]) -> list[bytes]:
        """A frame of items; the chunks that it fills. Raises ProtocolError if it is too large for
        a frame: then nothing of it was added."""
        frame = encode_frame(self._encode(items), self._frame_bytes_max)
        self._hash.update(frame)
        self.rows += len(items)
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
        raise StageError("what was sent ahead of the write is no longer kept", "57P05")
    if (count, size) != (staged.chunks, staged.size):
        raise StageError(
            f"what was sent ahead of the write is {count} chunks of {size} bytes, "
            f"not {staged.chunks} of {staged.size}"
        )
    if digest.digest() != staged.digest:
        raise StageError("what was sent ahead of the write has another hash")


def rows_of(chunks: Iterable[bytes]) -> Generator[list[tuple[Value, ...]], None, None]:
    """The frames of a stage of rows, decoded one by one. Raises StageError for what no writer
    made, as do the others."""
    return _items_of(chunks, _decode_rows)


def statements_of(chunks: Iterable[bytes]) -> Generator[list[Statement], None, None]:
    """Those of a stage of statements."""
    return _items_of(chunks, _decode_statements)


def steps_of(chunks: Iterable[bytes]) -> Generator[list[Step], None, None]:
    """Those of a stage of steps of a transaction."""
    return _items_of(chunks, _decode_steps)


def _items_of(
    chunks: Iterable[bytes], decode: Callable[[memoryview], list[T]]
) -> Generator[list[T], None, None]:
    frames = FrameDecoder(ITEM_BYTES_MAX)
    ended = True
    try:
        for chunk in chunks:
            for frame in frames.feed(chunk):
                yield decode(frame)
            ended = frames.is_empty
    except (ProtocolError, msgspec.DecodeError) as exc:
        raise StageError(f"what was sent ahead of the write cannot be read: {exc}") from exc
    if not ended:
        raise StageError("what was sent ahead of the write ends in the middle")
