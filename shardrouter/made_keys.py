"""Keys that a router makes up by itself, for rows that ask for one which nobody else has.

`unique_id()` is a bigint that grows with time: 41 bits of milliseconds since 2024, 12 bits of the
router's number, 10 bits that count within a millisecond. A router takes its number once, from
`meta`, and begins with the next one when it is started again; 4096 starts lie between two that have
the same. Its clock may stand still or go back: what was given out is never given out again.

Nobody else can make one, so a statement with `unique_id()` in it is finished here: a query as one
over several shards, a write as rows that were read first (`shardrouter.rows_planning`).

`uuidv7()` is PostgreSQL 18's: a UUID of version 7 (RFC 9562), of the moment of its call: 48 bits of
milliseconds since 1970, 12 bits that count within a millisecond (section 6.2, method 1), 62 bits by
chance. Those of one router grow; a count that overflows goes on in the next millisecond. Within an
expression over rows the shard makes them, of the time of the statement and from its seed; those of
one statement grow.

`gen_random_uuid()` is made here only where it decides on which shard its row is, or has to be the
same on all of them; elsewhere the shard draws it from the seed of the statement.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from nodes.functions import random_uuid, uuid_v7
from shardrouter import types
from shardrouter.kinds import Type
from shardrouter.tables import Column, Table

__all__ = [
    "RANDOM_UUID",
    "ROUTERS",
    "UNIQUE_ID",
    "UNIQUE_ID_CALL",
    "UUID_V7",
    "KeyMaker",
    "drawn_default",
    "is_made_here",
    "is_made",
    "made_as",
    "made_by",
    "type_of_drawn",
]

_MARK: Final = "\0"
"""No name of a sequence has it."""

RANDOM_UUID: Final = f"{_MARK}gen_random_uuid"
UNIQUE_ID: Final = f"{_MARK}unique_id"
UUID_V7: Final = f"{_MARK}uuidv7"
"""In a plan they stand where the names of sequences do."""

UNIQUE_ID_CALL: Final = "pg_unique_id"
"""In the text of a finish: the next `unique_id()`."""

_BY_NAME: Final = {"gen_random_uuid": RANDOM_UUID, "unique_id": UNIQUE_ID, "uuidv7": UUID_V7}

ROUTERS: Final = 1 << 12
"""Numbers of routers."""

_COUNT_BITS: Final = 10
_ROUTER_BITS: Final = 12
_V7_COUNT_BITS: Final = 12
_SINCE_MS: Final = 1_704_067_200_000
"""The beginning of 2024."""


def is_made(drawn: str) -> bool:
    """Whether it is a key that the router makes, and no number of a sequence."""
    return drawn.startswith(_MARK)


def made_by(function: str) -> str:
    """What a call of the function draws; empty if it draws nothing."""
    return _BY_NAME.get(function, "")


def made_as(drawn: str) -> str:
    """By what call it is made."""
    return drawn.removeprefix(_MARK)


def type_of_drawn(drawn: str) -> Type:
    """Of what the router makes, or of the numbers of a sequence."""
    return types.UUID if drawn in (RANDOM_UUID, UUID_V7) else types.BIGINT


def drawn_default(column: Column, table: Table) -> str:
    """What a row draws here that is given no value for the column: what a sequence gives, and what
    is drawn at random where it decides the shard, or has to be the same on all of them."""
    default = column.default
    if default is None:
        return ""
    is_random = default.sql == "pg_random_uuid()"
    return RANDOM_UUID if is_random and is_made_here(column, table) else default.sequence


def is_made_here(column: Column, table: Table) -> bool:
    """Whether the shards are sent a value of a column, and make none by themselves."""
    return column.name == table.shard_key or table.placement == "reference"


class KeyMaker:
    """`now_ms` is the machine's clock, `rng` knows nothing that others could."""

    def __init__(self, now_ms: Callable[[], int], rng: Random) -> None:
        self._now_ms = now_ms
        self._rng = rng
        self._last = 0  # milliseconds and count, as one number
        self._last_v7 = 0  # the same of UUIDs
        self.number: int | None = None
        """Of the router; without one there is no unique_id()."""

    def make(self, drawn: str) -> bytes | int:
        """Of one of the three kinds."""
        if drawn == UUID_V7:
            return self._uuid_v7()
        return random_uuid(self._rng) if drawn == RANDOM_UUID else self._unique_id()

    def _uuid_v7(self) -> bytes:
        self._last_v7 = max(self._now_ms() << _V7_COUNT_BITS, self._last_v7 + 1)
        return uuid_v7(*divmod(self._last_v7, 1 << _V7_COUNT_BITS), self._rng)

    def _unique_id(self) -> int:
        assert self.number is not None
        now = (self._now_ms() - _SINCE_MS) << _COUNT_BITS
        self._last = max(now, self._last + 1)
        ms, count = divmod(self._last, 1 << _COUNT_BITS)
        return (ms << _ROUTER_BITS | self.number % ROUTERS) << _COUNT_BITS | count
