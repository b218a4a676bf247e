"""CREATE TABLE and DROP TABLE: what a table is to the catalog and what it is to SQLite.

The SQLite table is STRICT and WITHOUT ROWID: a value is of its column's type or refused, and
SQLite never chooses a key of its own. What a SQLite integer allows and the PostgreSQL type
does not is refused by a CHECK named `shardrouter_range_<type>_<column>`, which nodes
translate into PostgreSQL's 22003.

Constraints that span shards are refused: uniqueness can be kept where it includes the shard
key, because all rows of equal shard key are on one shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NoReturn

from shardrouter import syntax, types
from shardrouter.catalog import Column, Default, Placement, Table
from shardrouter.errors import NotSupported, StatementError
from shardrouter.planned import CreateTable, DropTable
from shardrouter.translate import Parameters, Scope, Typed, literal, quote

__all__ = ["create_table", "drop_table"]

NAME_BYTES_MAX: Final = 63
"""PostgreSQL cuts longer names; two names that differ beyond it would be one."""

COLUMNS_MAX: Final = 1600
"""PostgreSQL's limit."""

_SYSTEM_COLUMNS: Final = frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"})
_OPTIONS: Final = (
    "There is WITH (shard_key = 'column'), WITH (reference = true) and WITH (home = true)."
)
_WAYS_OUT: Final = (
    "Include the shard key in it, choose another shard key with "
    "WITH (shard_key = 'column'), or leave the constraint out."
)


def drop_table(node: syntax.DropTableStatement) -> DropTable:
    return DropTable(tuple(table.name for table in node.tables), node.if_exists)


def create_table(node: syntax.CreateTableStatement) -> CreateTable:
    """Checks everything that needs no catalog; whether the name is free is checked when the
    change is made."""
    _check_name(syntax.Name(node.table.name, node.table.position), "table")
    definitions = {definition.name.text: definition for definition in node.columns}
    _check_columns(node)
    primary, uniques = _keys(node)
    for key in (primary, *uniques):
        _check_key(key, definitions)
    primary_key = tuple(name.text for name in primary)
    placement, shard_key = _placement(node, definitions, primary_key)
    for key in (primary, *uniques):
        if placement == "sharded" and shard_key not in {name.text for name in key}:
            what = "PRIMARY KEY" if key is primary else "UNIQUE"
            listed = ", ".join(name.text for name in key)
            raise NotSupported(
                f'{what} ({listed}) does not include the shard key "{shard_key}"',
                position=key[0].position,
                hint=_WAYS_OUT,
            )
    columns = tuple(_column(d, d.name.text in primary_key) for d in node.columns)
    unique = tuple(tuple(name.text for name in key) for key in uniques)
    table = Table(node.table.name, 0, columns, primary_key, shard_key, unique, placement)
    return CreateTable(table, _sqlite(table), node.if_not_exists)


def _check_name(name: syntax.Name, what: str) -> None:
    if len(name.text.encode()) > NAME_BYTES_MAX:
        raise StatementError(
            f'identifier "{name.text}" is longer than {NAME_BYTES_MAX} bytes',
            sqlstate="42622",
            position=name.position,
        )
    if what == "table" and (name.text.startswith("_") or name.text.lower().startswith("sqlite_")):
        raise StatementError(
            f'unacceptable table name "{name.text}"',
            sqlstate="42939",
            position=name.position,
            hint="Names that begin with _ or sqlite_ belong to the system.",
        )


def _check_columns(node: syntax.CreateTableStatement) -> None:
    seen: dict[str, str] = {}
    if not node.columns:
        raise NotSupported("a table without columns is not supported", position=node.table.position)
    if len(node.columns) > COLUMNS_MAX:
        raise StatementError(f"tables can have at most {COLUMNS_MAX} columns", sqlstate="54011")
    for definition in node.columns:
        name = definition.name
        _check_name(name, "column")
        if name.text in _SYSTEM_COLUMNS:
            raise StatementError(
                f'column name "{name.text}" conflicts with a system column name',
                sqlstate="42701",
                position=name.position,
            )
        other = seen.setdefault(name.text.lower(), name.text)
        if other == name.text and definition is not _first(node.columns, name.text):
            raise StatementError(
                f'column "{name.text}" specified more than once',
                sqlstate="42701",
                position=name.position,
            )
        if other != name.text:
            raise NotSupported(
                f'columns "{other}" and "{name.text}" differ only by case',
                position=name.position,
                hint="Give them names that differ in letters.",
            )


def _first(columns: Sequence[syntax.ColumnDefinition], name: str) -> syntax.ColumnDefinition:
    return next(column for column in columns if column.name.text == name)


_Key = tuple[syntax.Name, ...]


def _keys(node: syntax.CreateTableStatement) -> tuple[_Key, list[_Key]]:
    """The primary key and the UNIQUE constraints."""
    primaries: list[_Key] = [(column.name,) for column in node.columns if column.primary_key]
    primaries += [key.columns for key in node.keys if key.primary]
    if len(primaries) > 1:
        raise StatementError(
            f'multiple primary keys for table "{node.table.name}" are not allowed',
            sqlstate="42P16",
            position=primaries[1][0].position,
        )
    uniques: list[_Key] = [(column.name,) for column in node.columns if column.unique]
    uniques += [key.columns for key in node.keys if not key.primary]
    return primaries[0] if primaries else (), uniques


def _check_key(key: _Key, definitions: dict[str, syntax.ColumnDefinition]) -> None:
    seen: set[str] = set()
    for name in key:
        if name.text not in definitions:
            raise StatementError(
                f'column "{name.text}" named in key does not exist',
                sqlstate="42703",
                position=name.position,
            )
        if name.text in seen:
            raise StatementError(
                f'column "{name.text}" appears twice in a key constraint',
                sqlstate="42701",
                position=name.position,
            )
        seen.add(name.text)


def _placement(
    node: syntax.CreateTableStatement,
    definitions: dict[str, syntax.ColumnDefinition],
    primary_key: tuple[str, ...],
) -> tuple[Placement, str]:
    """Where the rows are, and the shard key of a sharded table.

    Without a word a table is sharded by the first column of its primary key; one that has none
    is a home table.
    """
    options: dict[str, str] = {}
    for name, value in node.options:
        if name == "fillfactor":
            continue  # how full pages are: nothing that can be seen
        if name not in ("shard_key", "reference", "home"):
            raise NotSupported(f'the table option "{name}" is not supported', hint=_OPTIONS)
        if name in options:
            raise StatementError(f'parameter "{name}" specified more than once', sqlstate="42601")
        options[name] = value
    flags: tuple[Placement, ...] = ("reference", "home")
    said = [flag for flag in flags if flag in options and _is_true(flag, options[flag])]
    if len(said) + ("shard_key" in options) > 1:
        raise StatementError(
            "a table has one of shard_key, reference and home", sqlstate="22023", hint=_OPTIONS
        )
    if said:
        return said[0], ""
    if "shard_key" not in options and not primary_key:
        return "home", ""
    if not primary_key:
        raise NotSupported(
            f'table "{node.table.name}" has a shard key and no primary key',
            position=node.table.position,
            hint="Declare a PRIMARY KEY that includes the shard key, or make it a home table: "
            "WITH (home = true).",
        )
    return "sharded", _shard_key(options.get("shard_key", primary_key[0]), definitions)


def _is_true(name: str, value: str) -> bool:
    if value.lower() in ("true", "on", "yes", "1"):
        return True
    if value.lower() in ("false", "off", "no", "0"):
        return False
    raise StatementError(
        f'invalid value for boolean option "{name}": {value}', sqlstate="22023", hint=_OPTIONS
    )


def _shard_key(shard_key: str, definitions: dict[str, syntax.ColumnDefinition]) -> str:
    if shard_key not in definitions:
        raise StatementError(
            f'column "{shard_key}" named as shard key does not exist', sqlstate="42703"
        )
    kind, _ = _type(definitions[shard_key])
    if kind not in types.SHARD_KEY_TYPES:
        raise NotSupported(
            f"a column of type {kind.name} cannot be the shard key",
            position=definitions[shard_key].type.position,
            hint="A shard key is smallint, integer, bigint, text, varchar or boolean.",
        )
    return shard_key


def _type(definition: syntax.ColumnDefinition) -> tuple[types.Type, int]:
    name = definition.type
    if name.name in ("serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"):
        raise NotSupported(
            f'type "{name.name}" is not supported',
            position=name.position,
            hint="Supply the value with every INSERT; a counter would be one place for all shards.",
        )
    return types.resolve(name.name, name.modifiers, name.position)


def _column(definition: syntax.ColumnDefinition, in_key: bool) -> Column:
    kind, modifier = _type(definition)
    not_null = definition.not_null or in_key
    column = Column(definition.name.text, kind.name, not_null, modifier=modifier)
    if definition.default is None:
        return column
    scope = Scope(Parameters(()))
    if scope.is_open(definition.default) and isinstance(
        definition.default, syntax.ParameterReference
    ):
        _refuse_default(definition)
    typed: Typed = scope.assign(definition.default, column)
    if typed.constant is None:
        _refuse_default(definition)
    value = typed.constant.value
    return replace(column, default=Default(literal(value), value=value))


def _refuse_default(definition: syntax.ColumnDefinition) -> NoReturn:
    raise NotSupported(
        "a default that is not a constant is not supported",
        position=definition.name.position,
        hint="Supply the value with the INSERT.",
    )


ROW_ID: Final = "ctid"
"""The hidden key of a table without a primary key. PostgreSQL has a system column of that name, so
no table has a column of its own that is called so."""


def _sqlite(table: Table) -> str:
    columns, primary_key = table.columns, table.primary_key
    parts = []
    for column in columns:
        kind = types.of_column(column.type)
        text = f"{quote(column.name)} {kind.column}"
        if column.not_null:
            text += " NOT NULL"
        if column.default is not None:
            default = column.default
            text += f" DEFAULT {default.sql if default.is_constant else f'({default.sql})'}"
        parts.append(text)
    if not primary_key:
        parts.append(f"{quote(ROW_ID)} INTEGER NOT NULL DEFAULT (pg_row_id())")
        primary_key = (ROW_ID,)
    for column in columns:
        kind = types.of_column(column.type)
        if kind in (types.SMALLINT, types.INTEGER):
            test = f"{quote(column.name)} BETWEEN {kind.low} AND {kind.high}"
        elif kind is types.BOOLEAN:
            test = f"{quote(column.name)} IN (0, 1)"
        else:
            continue
        name = quote(f"shardrouter_range_{kind.name}_{column.name}")
        parts.append(f"CONSTRAINT {name} CHECK ({test})")
    for words, key in (("PRIMARY KEY", primary_key), *(("UNIQUE", key) for key in table.unique)):
        parts.append(f"{words} ({', '.join(map(quote, key))})")
    return f"CREATE TABLE {quote(table.name)} ({', '.join(parts)}) STRICT, WITHOUT ROWID"
