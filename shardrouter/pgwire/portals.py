"""What Bind, Describe and Execute mean for values: arguments in, descriptions and rows out.

Pure functions between the messages and PostgreSQL's formats; the codecs are `nodes.values`.
They know types by OID and nothing of plans or sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from nodes.protocol import Value
from nodes.values import (
    BOOL,
    DATE,
    FLOAT4,
    FLOAT8,
    INT2,
    INT4,
    INT8,
    INTERVAL,
    NAME,
    NAMED,
    NUMBERS,
    OWN_TYPES,
    TEXTS,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UNKNOWN,
    UUID,
    VOID,
    ValueFormatError,
    decode_binary,
    decode_text,
)
from shardrouter.errors import StatementError
from shardrouter.pgwire.messages import Bind, Field, NoData, RowDescription, encode

__all__ = [
    "Column",
    "binary_parameters",
    "bind_arguments",
    "cut_rows",
    "describe_rows",
    "result_formats",
]

_SIZES: Final = {
    BOOL: 1,
    INT2: 2,
    INT4: 4,
    INT8: 8,
    FLOAT4: 4,
    FLOAT8: 8,
    NAME: 64,
    UUID: 16,
    UNKNOWN: -2,
    DATE: 4,
    TIME: 8,
    TIMESTAMP: 8,
    TIMESTAMPTZ: 8,
    INTERVAL: 16,
    VOID: 4,
    **dict.fromkeys((*NUMBERS.values(), *NAMED.values()), 4),
    TEXTS["char"]: 1,
    TEXTS["aclitem"]: 12,
    TEXTS["tid"]: 6,
    TEXTS["pg_lsn"]: 8,
    TEXTS["xid8"]: 8,
}
"""Bytes, as pg_type.typlen says."""
_VARIES: Final = -1
_NO_DATA: Final = encode(NoData())


class Column(Protocol):
    """A column of a result: its name, type and modifier."""

    @property
    def name(self) -> str: ...
    @property
    def oid(self) -> int: ...
    @property
    def modifier(self) -> int: ...


def bind_arguments(bind: Bind, oids: Sequence[int]) -> tuple[Value, ...]:
    """The values of $1, $2, ...; `oids` are their types.

    Raises StatementError: 08P01 for a wrong number, and what the codecs say of a wrong value.
    """
    values = bind.values
    binary = binary_parameters(bind, len(oids))
    arguments: list[Value] = []
    for data, oid, is_binary in zip(values, oids, binary, strict=True):
        if data is None:
            arguments.append(None)
            continue
        try:
            arguments.append((decode_binary if is_binary else decode_text)(data, oid))
        except ValueFormatError as exc:
            raise StatementError(
                exc.message, sqlstate=exc.sqlstate, detail=f"Parameter ${len(arguments) + 1}."
            ) from exc
    return tuple(arguments)


def binary_parameters(bind: Bind, count: int) -> tuple[bool, ...]:
    """For each parameter of a statement with so many whether it comes in binary.

    Raises StatementError 08P01 for a wrong number."""
    values, formats = bind.values, bind.formats
    if len(values) != count:
        raise StatementError(
            f"bind message supplies {len(values)} parameters, but prepared statement "
            f'"{bind.statement}" requires {count}',
            sqlstate="08P01",
        )
    if len(formats) > 1 and len(formats) != len(values):
        raise StatementError(
            f"bind message has {len(formats)} parameter formats but {len(values)} parameters",
            sqlstate="08P01",
        )
    return _are_binary(formats, count)


def result_formats(bind: Bind, columns: int) -> tuple[bool, ...]:
    """For each column of the result whether it is wanted in binary. Raises StatementError."""
    formats = bind.result_formats
    if len(formats) > 1 and len(formats) != columns:
        raise StatementError(
            f"bind message has {len(formats)} result formats but query has {columns} columns",
            sqlstate="08P01",
        )
    return _are_binary(formats, columns)


def _are_binary(formats: tuple[int, ...], count: int) -> tuple[bool, ...]:
    """No code: all text; one: for all; else one for each."""
    if not formats:
        return (False,) * count
    for code in formats:
        if code not in (0, 1):
            raise StatementError(f"unsupported format code: {code}", sqlstate="22023")
    if len(formats) == 1:
        return (formats[0] == 1,) * count
    return tuple([code == 1 for code in formats])


def describe_rows(columns: Sequence[Column], formats: Sequence[bool]) -> bytes:
    """RowDescription, or NoData for a statement that returns no rows."""
    if not columns:
        return _NO_DATA
    fields = [
        Field(
            column.name,
            table_oid=0,
            column=0,
            oid=column.oid,
            size=_SIZES.get(column.oid, _VARIES) if column.oid < OWN_TYPES else _size(column.oid),
            modifier=column.modifier,
            format=int(binary),
        )
        for column, binary in zip(columns, formats, strict=True)
    ]
    return encode(RowDescription(tuple(fields)))


def _size(own: int) -> int:
    """Of an enumeration, or of an array of one."""
    return _VARIES if own % 2 else 4


def cut_rows(rows: bytes, start: int, limit: int) -> tuple[int, int]:
    """(end, count) of the first DataRow messages of `rows` from `start`, at most `limit`."""
    end, count = start, 0
    while count < limit and end < len(rows):
        end += 1 + int.from_bytes(rows[end + 1 : end + 5])
        count += 1
    return end, count
