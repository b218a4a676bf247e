"""The sequences behind serial and identity columns, and CREATE SEQUENCE."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from shardrouter import types
from shardrouter.catalog import Catalog
from shardrouter.constraint_names import choose
from shardrouter.definition_parts import ColumnDefinition, SequenceOptions
from shardrouter.errors import StatementError
from shardrouter.namespaces import NewNames, table_named
from shardrouter.tables import SqlSequence

__all__ = ["SERIALS", "column_sequence", "altered_sequence", "make_sequence", "owned_sequence"]

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
    kind = _kind(options, kind)
    step = 1 if options.increment is None else options.increment
    low, high = (1, kind.high) if step > 0 else (kind.low, -1)
    minimum = low if options.minimum is None else options.minimum
    maximum = high if options.maximum is None else options.maximum
    start = (minimum if step > 0 else maximum) if options.start is None else options.start
    _check_bounds(kind, step, minimum, maximum, start)
    stored, called = names.store(name)
    return SqlSequence(
        stored,
        0,
        kind.name,
        start,
        step,
        minimum,
        maximum,
        bool(options.cycle),
        owner,
        names.schema,
        called,
    )


def _kind(options: SequenceOptions, kind: types.Type) -> types.Type:
    if options.type is not None:
        kind, _ = types.resolve(options.type.name, options.type.modifiers, options.type.position)
        if not types.is_integer(kind):
            raise _invalid("sequence type must be smallint, integer, or bigint")
    return kind


def _check_bounds(kind: types.Type, step: int, minimum: int, maximum: int, start: int) -> None:
    if step == 0:
        raise _invalid("INCREMENT must not be zero")
    for value, word in ((maximum, "MAXVALUE"), (minimum, "MINVALUE")):
        if not kind.low <= value <= kind.high:
            raise _invalid(f"{word} ({value}) is out of range for sequence data type {kind.name}")
    if minimum >= maximum:
        raise _invalid(f"MINVALUE ({minimum}) must be less than MAXVALUE ({maximum})")
    if start < minimum:
        raise _invalid(f"START value ({start}) cannot be less than MINVALUE ({minimum})")
    if start > maximum:
        raise _invalid(f"START value ({start}) cannot be greater than MAXVALUE ({maximum})")


def altered_sequence(
    sequence: SqlSequence, options: SequenceOptions, wanted: types.Type | None = None
) -> tuple[SqlSequence, int | None]:
    """The sequence as ALTER makes it, and the number it restarts with. A bound that was that of its
    type is that of the new type. Raises 22023."""
    before = types.of_column(sequence.type)
    kind = _kind(options, wanted or before)
    step = sequence.increment if options.increment is None else options.increment
    low, high = (1, kind.high) if step > 0 else (kind.low, -1)
    minimum, maximum = sequence.minimum, sequence.maximum
    if options.open_minimum or (kind is not before and minimum == before.low):
        minimum = low
    if options.open_maximum or (kind is not before and maximum == before.high):
        maximum = high
    minimum = minimum if options.minimum is None else options.minimum
    maximum = maximum if options.maximum is None else options.maximum
    start = sequence.start if options.start is None else options.start
    _check_bounds(kind, step, minimum, maximum, start)
    restarted = start if options.restart == "start" else options.restart
    assert restarted is None or isinstance(restarted, int)
    if restarted is not None and restarted < minimum:
        raise _invalid(f"RESTART value ({restarted}) cannot be less than MINVALUE ({minimum})")
    if restarted is not None and restarted > maximum:
        raise _invalid(f"RESTART value ({restarted}) cannot be greater than MAXVALUE ({maximum})")
    after = replace(
        sequence,
        type=kind.name,
        start=start,
        increment=step,
        minimum=minimum,
        maximum=maximum,
        cycle=sequence.cycle if options.cycle is None else options.cycle,
    )
    return after, restarted


def owned_sequence(
    catalog: Catalog, sequence: SqlSequence, options: SequenceOptions
) -> SqlSequence:
    """With the owner that OWNED BY names."""
    if options.owner is None:
        return sequence
    if options.owner == "none":
        return replace(sequence, owner=None)
    name, column = options.owner
    table = table_named(catalog, name)
    if table.column(column.text) is None:
        raise StatementError(
            f'column "{column.text}" of relation "{table.relname}" does not exist',
            sqlstate="42703",
        )
    if table.schema != sequence.schema:
        raise StatementError(
            "sequence must be in same schema as table it is linked to", sqlstate="55000"
        )
    return replace(sequence, owner=(table.name, column.text))


def _invalid(message: str) -> StatementError:
    return StatementError(message, sqlstate="22023")
