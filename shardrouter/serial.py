"""The sequences behind serial and identity columns, and CREATE SEQUENCE."""

from __future__ import annotations

from typing import Final

from shardrouter import types
from shardrouter.constraint_names import choose
from shardrouter.definitions import ColumnDefinition, SequenceOptions
from shardrouter.errors import StatementError
from shardrouter.namespaces import NewNames
from shardrouter.tables import SqlSequence

__all__ = ["SERIALS", "column_sequence", "make_sequence"]

SERIALS: Final = {
    "serial": "integer",
    "serial4": "integer",
    "bigserial": "bigint",
    "serial8": "bigint",
    "smallserial": "smallint",
    "serial2": "smallint",
}
"""Type of the column that each makes."""


def column_sequence(
    definition: ColumnDefinition, kind: types.Type, table: tuple[str, str], names: NewNames
) -> SqlSequence:
    """The sequence that a serial or identity column of the table of this name and relname draws
    from."""
    if not types.is_integer(kind):
        raise StatementError(
            "identity column type must be smallint, integer, or bigint",
            sqlstate="22023",
            position=definition.type.position,
        )
    column = definition.name.text
    name = choose(table[1], column, "seq", names.taken)
    return make_sequence(name, definition.sequence, kind, names, (table[0], column))


def make_sequence(
    name: str,
    options: SequenceOptions,
    kind: types.Type,
    names: NewNames,
    owner: tuple[str, str] | None = None,
) -> SqlSequence:
    """A sequence with PostgreSQL's defaults. Raises 22023 for bounds that do not fit."""
    if options.type is not None:
        kind, _ = types.resolve(options.type.name, options.type.modifiers, options.type.position)
        if not types.is_integer(kind):
            raise _invalid("sequence type must be smallint, integer, or bigint")
    step = 1 if options.increment is None else options.increment
    if step == 0:
        raise _invalid("INCREMENT must not be zero")
    low, high = (1, kind.high) if step > 0 else (kind.low, -1)
    minimum = low if options.minimum is None else options.minimum
    maximum = high if options.maximum is None else options.maximum
    for value, word in ((maximum, "MAXVALUE"), (minimum, "MINVALUE")):
        if not kind.low <= value <= kind.high:
            raise _invalid(f"{word} ({value}) is out of range for sequence data type {kind.name}")
    if minimum >= maximum:
        raise _invalid(f"MINVALUE ({minimum}) must be less than MAXVALUE ({maximum})")
    start = (minimum if step > 0 else maximum) if options.start is None else options.start
    if start < minimum:
        raise _invalid(f"START value ({start}) cannot be less than MINVALUE ({minimum})")
    if start > maximum:
        raise _invalid(f"START value ({start}) cannot be greater than MAXVALUE ({maximum})")
    stored, called = names.store(name)
    return SqlSequence(
        stored,
        0,
        kind.name,
        start,
        step,
        minimum,
        maximum,
        options.cycle,
        owner,
        names.schema,
        called,
    )


def _invalid(message: str) -> StatementError:
    return StatementError(message, sqlstate="22023")
