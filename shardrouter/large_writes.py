"""A unit of commit of any size: as one entry of the log where it fits, else sent ahead of it.

Statements that an entry does not hold go into a stage (docs/bulk.md), invisible; the write that
names it runs them all, or none, and answers what each of them did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from nodes.protocol import ENTRY_BYTES_MAX, STAGE_CHUNK_BYTES, Done, Guard, Stale, Statement
from nodes.stage_content import ITEM_BYTES_MAX
from shardrouter.coordination import Part
from shardrouter.errors import OutcomeUnknown
from shardrouter.shards import Shards
from shardrouter.upload import Upload

__all__ = ["part_of", "write_statements"]

ROOM_BYTES: Final = 16 * 1024
"""Of an entry, for what is not statements and guards."""

QUICK_STATEMENTS_MAX: Final = 64
"""Bounded statements that are together bounded work, applied on the node's loop."""

_encode = msgspec.msgpack.Encoder().encode


async def write_statements(
    shards: Shards,
    group: str,
    statements: Sequence[Statement],
    guards: tuple[Guard, ...],
    *,
    bounded: bool,
    deadline: float,
    timeout_s: float,
) -> Done | Stale:
    """All statements or none, exactly once. Each piece that is sent ahead has `timeout_s`, and
    the write more than `deadline` for what there is to apply. Raises RouterError."""
    part, upload = await part_of(
        shards, group, statements, guards, bounded=bounded, timeout_s=timeout_s
    )
    is_needed = False
    try:
        return await shards.write(
            group,
            part.statements,
            guards,
            quick=part.quick,
            bounded=bounded,
            deadline=deadline + (upload.apply_s if upload is not None else 0.0),
            staged=part.staged,
        )
    except OutcomeUnknown:
        is_needed = True  # a copy of the write may still come
        raise
    finally:
        if upload is not None and not is_needed:
            upload.abandon()


async def part_of(
    shards: Shards,
    group: str,
    statements: Sequence[Statement],
    guards: tuple[Guard, ...],
    *,
    bounded: bool,
    timeout_s: float,
) -> tuple[Part, Upload | None]:
    """What a write of these statements carries, and what was sent ahead of it. Raises
    RouterError."""
    quick = bounded and len(statements) <= QUICK_STATEMENTS_MAX
    sizes = [len(_encode(statement)) for statement in statements]
    if sum(sizes) + len(_encode(guards)) <= ENTRY_BYTES_MAX - ROOM_BYTES:
        return Part(tuple(statements), guards, quick=quick, bounded=bounded), None
    upload = Upload(shards, group, timeout_s, item="statement", item_bytes_max=ITEM_BYTES_MAX)
    try:
        some: list[Statement] = []
        held = 0
        for statement, size in zip(statements, sizes, strict=True):
            some.append(statement)
            held += size
            if held >= STAGE_CHUNK_BYTES:
                upload.add(some)
                some, held = [], 0
                await upload.room()
        upload.add(some)
        staged = await upload.finish()
    except BaseException:
        upload.abandon()
        raise
    return Part((), guards, staged=staged, bounded=bounded), upload
