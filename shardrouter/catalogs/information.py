"""information_schema, as SQL has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nodes.values import precision_and_scale
from shardrouter import types
from shardrouter.catalogs import own_types
from shardrouter.catalogs.builtin import RELATIONS, Row
from shardrouter.catalogs.objects import Constraint, TableObject
from shardrouter.catalogs.texts import check_text, default_text, view_text
from shardrouter.catalogs.world import World
from shardrouter.tables import Column, Table

__all__ = ["ROWS"]

_KINDS: Final = {"p": "PRIMARY KEY", "u": "UNIQUE", "c": "CHECK", "f": "FOREIGN KEY"}


def _yes(value: bool) -> str:
    return "YES" if value else "NO"


def _tables(world: World) -> Iterator[TableObject]:
    yield from world.objects.tables.values()


def _table_type(table: TableObject) -> str:
    if table.kind != "r":
        return "VIEW"
    return "LOCAL TEMPORARY" if table.table.is_temporary else "BASE TABLE"


def tables(world: World) -> Iterator[Row]:
    for relation in RELATIONS.values():
        yield {
            "table_catalog": world.database,
            "table_schema": relation.schema,
            "table_name": relation.name,
            "table_type": "BASE TABLE" if relation.kind == "r" else "VIEW",
            "is_insertable_into": _yes(relation.kind == "r"),
            "is_typed": "NO",
        }
    for table in _tables(world):
        yield {
            "table_catalog": world.database,
            "table_schema": table.schema,
            "table_name": table.name,
            "table_type": _table_type(table),
            "is_insertable_into": _yes(table.kind == "r"),
            "is_typed": "NO",
        }


_PRECISIONS: Final = {
    types.SMALLINT: (16, 2, 0),
    types.INTEGER: (32, 2, 0),
    types.BIGINT: (64, 2, 0),
    types.REAL: (24, 2, None),
    types.DOUBLE: (53, 2, None),
}
_TIMES: Final = (types.TIME, types.TIMESTAMP, types.TIMESTAMPTZ)
_CHARACTER_BYTES_MAX: Final = 1 << 30


def _described(world: World, kind: types.Type, modifier: int) -> dict[str, str | int | None]:
    """What is said of a column's type."""
    found: dict[str, str | int | None] = {
        "data_type": "ARRAY" if kind.element is not None else kind.name,
        "udt_catalog": world.database,
        "udt_schema": "pg_catalog",
        "udt_name": kind.short,
    }
    if kind.is_own:
        found["udt_schema"] = own_types.schema_of(world, kind.oid)
        if kind.element is None:
            found["data_type"] = "USER-DEFINED"
    if kind in _PRECISIONS:
        precision, radix, scale = _PRECISIONS[kind]
        found |= {
            "numeric_precision": precision,
            "numeric_precision_radix": radix,
            "numeric_scale": scale,
        }
    elif kind is types.NUMERIC:
        found["numeric_precision_radix"] = 10
        if modifier >= 0:
            precision, scale = precision_and_scale(modifier)
            found |= {"numeric_precision": precision, "numeric_scale": scale}
    elif kind is types.TEXT or kind is types.VARCHAR or kind is types.BPCHAR:
        found["character_octet_length"] = _CHARACTER_BYTES_MAX
        if modifier >= 0:
            found["character_maximum_length"] = modifier - 4
            found["character_octet_length"] = 4 * (modifier - 4)
    elif kind in _TIMES:
        found["datetime_precision"] = 6 if modifier < 0 else modifier
    elif kind is types.INTERVAL:
        found["datetime_precision"] = 6 if modifier < 0 else modifier & 0xFFFF
    elif kind is types.DATE:
        found["datetime_precision"] = 0
    if kind is types.NAME:
        found |= {
            "collation_catalog": world.database,
            "collation_schema": "pg_catalog",
            "collation_name": "C",
        }
    return found


def _column(
    world: World, schema: str, table: str, number: int, column: Column, of: Table | None = None
) -> Row:
    sequences = world.catalog.sequences
    identity: dict[str, str | None] = {"is_identity": "NO", "identity_cycle": "NO"}
    if column.identity:
        identity = {
            "is_identity": "YES",
            "identity_generation": column.identity.upper(),
        }
        sequence = sequences.get(column.default.sequence) if column.default else None
        if sequence is not None:
            identity |= {
                "identity_start": str(sequence.start),
                "identity_increment": str(sequence.increment),
                "identity_maximum": str(sequence.maximum),
                "identity_minimum": str(sequence.minimum),
                "identity_cycle": _yes(sequence.cycle),
            }
    return {
        "table_catalog": world.database,
        "table_schema": schema,
        "table_name": table,
        "column_name": column.name,
        "ordinal_position": number,
        "column_default": None if column.identity or column.is_generated else default_text(column),
        "is_nullable": _yes(not column.not_null),
        **_described(world, types.of_column(column.type), column.modifier),
        "dtd_identifier": str(number),
        "is_self_referencing": "NO",
        "is_generated": "ALWAYS" if column.is_generated else "NEVER",
        "generation_expression": default_text(column, of) if column.is_generated else None,
        "is_updatable": "YES",
        **identity,
    }


def columns(world: World) -> Iterator[Row]:
    for relation in RELATIONS.values():
        for number, column in enumerate(relation.columns, 1):
            yield _column(world, relation.schema, relation.name, number, column)
    for table in _tables(world):
        for number, column in enumerate(table.columns, 1):
            yield _column(world, table.schema, table.name, number, column, table.table)


def _constraint(world: World, table: TableObject, constraint: Constraint) -> dict[str, str | None]:
    return {
        "constraint_catalog": world.database,
        "constraint_schema": table.schema,
        "constraint_name": constraint.name,
    }


def _of_table(world: World, table: TableObject) -> dict[str, str | None]:
    return {
        "table_catalog": world.database,
        "table_schema": table.schema,
        "table_name": table.name,
    }


def _not_null(table: TableObject, number: int) -> str:
    """PostgreSQL 15 makes up a name for what is no constraint of its own."""
    return f"{table.schema_oid}_{table.oid}_{number}_not_null"


def table_constraints(world: World) -> Iterator[Row]:
    rest = {"is_deferrable": "NO", "initially_deferred": "NO", "enforced": "YES"}
    for table in _tables(world):
        for constraint in table.constraints:
            yield {
                **_constraint(world, table, constraint),
                **_of_table(world, table),
                "constraint_type": _KINDS[constraint.kind],
                **rest,
                "is_deferrable": "YES" if constraint.deferral else "NO",
                "initially_deferred": "YES" if constraint.deferral == "deferred" else "NO",
                "nulls_distinct": "YES" if constraint.kind == "u" else None,
            }
        for number, column in enumerate(table.columns, 1):
            if column.not_null:
                yield {
                    "constraint_catalog": world.database,
                    "constraint_schema": table.schema,
                    "constraint_name": _not_null(table, number),
                    **_of_table(world, table),
                    "constraint_type": "CHECK",
                    **rest,
                }


def key_column_usage(world: World) -> Iterator[Row]:
    objects = world.objects
    for table in _tables(world):
        for constraint in table.constraints:
            if constraint.kind == "c":
                continue
            for position, key in enumerate(constraint.keys, 1):
                in_unique = None
                if constraint.kind == "f":
                    other = objects.tables[constraint.referred]
                    unique = _referred(other, constraint)
                    referred = constraint.referred_keys[position - 1]
                    in_unique = unique.keys.index(referred) + 1 if unique else position
                yield {
                    **_constraint(world, table, constraint),
                    **_of_table(world, table),
                    "column_name": table.columns[key - 1].name,
                    "ordinal_position": position,
                    "position_in_unique_constraint": in_unique,
                }


def _referred(other: TableObject, constraint: Constraint) -> Constraint | None:
    """The key that a foreign key refers to."""
    return next(
        (
            c
            for c in other.constraints
            if c.kind in ("p", "u") and sorted(c.keys) == sorted(constraint.referred_keys)
        ),
        None,
    )


def constraint_column_usage(world: World) -> Iterator[Row]:
    objects = world.objects
    for table in _tables(world):
        for constraint in table.constraints:
            where, keys = table, constraint.keys
            if constraint.kind == "f":
                where, keys = objects.tables[constraint.referred], constraint.referred_keys
            for key in keys:
                yield {
                    **_of_table(world, where),
                    "column_name": where.columns[key - 1].name,
                    **_constraint(world, table, constraint),
                }


def constraint_table_usage(world: World) -> Iterator[Row]:
    for table in _tables(world):
        for constraint in table.constraints:
            if constraint.kind == "c":
                continue
            where = table
            if constraint.kind == "f":
                where = world.objects.tables[constraint.referred]
            yield {**_of_table(world, where), **_constraint(world, table, constraint)}


def referential_constraints(world: World) -> Iterator[Row]:
    for table in _tables(world):
        for constraint in table.constraints:
            if constraint.kind != "f":
                continue
            other = world.objects.tables[constraint.referred]
            unique = _referred(other, constraint)
            yield {
                **_constraint(world, table, constraint),
                "unique_constraint_catalog": world.database if unique else None,
                "unique_constraint_schema": other.schema if unique else None,
                "unique_constraint_name": unique.name if unique else None,
                "match_option": "NONE",
                "update_rule": constraint.on_update,
                "delete_rule": constraint.on_delete,
            }


def check_constraints(world: World) -> Iterator[Row]:
    for table in _tables(world):
        for constraint in table.constraints:
            if constraint.kind == "c":
                yield {
                    **_constraint(world, table, constraint),
                    "check_clause": f"({check_text(constraint.source, table.table)})",
                }
        for number, column in enumerate(table.columns, 1):
            if column.not_null:
                yield {
                    "constraint_catalog": world.database,
                    "constraint_schema": table.schema,
                    "constraint_name": _not_null(table, number),
                    "check_clause": f"{column.name} IS NOT NULL",
                }


def schemata(world: World) -> Iterator[Row]:
    for name in world.objects.schemas:
        yield {"catalog_name": world.database, "schema_name": name, "schema_owner": world.user}


def sequences(world: World) -> Iterator[Row]:
    for oid, sequence in world.objects.sequences.items():
        relation = world.objects.relations[oid]
        if world.objects.is_identity(sequence):
            continue
        kind = types.of_column(sequence.type)
        yield {
            "sequence_catalog": world.database,
            "sequence_schema": relation.schema,
            "sequence_name": relation.name,
            "data_type": kind.name,
            "numeric_precision": _PRECISIONS[kind][0],
            "numeric_precision_radix": 2,
            "numeric_scale": 0,
            "start_value": str(sequence.start),
            "minimum_value": str(sequence.minimum),
            "maximum_value": str(sequence.maximum),
            "increment": str(sequence.increment),
            "cycle_option": _yes(sequence.cycle),
        }


def information_schema_catalog_name(world: World) -> Iterator[Row]:
    yield {"catalog_name": world.database}


def views(world: World) -> Iterator[Row]:
    for table in _tables(world):
        if table.table.view is not None:
            yield {
                **_of_table(world, table),
                "view_definition": view_text(table.table.view),
                "check_option": "NONE",
                "is_updatable": "NO",
                "is_insertable_into": "NO",
                "is_trigger_updatable": "NO",
                "is_trigger_deletable": "NO",
                "is_trigger_insertable_into": "NO",
            }


ROWS: Final = {
    f"information_schema.{function.__name__}": function
    for function in (
        *(tables, columns, table_constraints, key_column_usage, constraint_column_usage),
        *(constraint_table_usage, referential_constraints, check_constraints, schemata),
        *(sequences, views, information_schema_catalog_name),
    )
}
