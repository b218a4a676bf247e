"""Catalogs as values, changed as a router would, without shards."""

from __future__ import annotations

from dataclasses import replace

from shardrouter.catalog import Catalog
from shardrouter.definition_changes import begin
from shardrouter.definitions import Definition
from shardrouter.plan import make_plan
from shardrouter.planned import SchemaChange
from shardrouter.role_statements import RoleStatement
from shardrouter.tables import Change, Placement, Table

EMPTY = Catalog(1, {}, ("s1", "s2"), (0,) * 16384, (1,) * 16384, "s1")


def definition_of(sql: str, catalog: Catalog = EMPTY) -> Definition:
    plan = make_plan(sql, catalog)
    assert isinstance(plan, SchemaChange)
    assert not isinstance(plan.definition, RoleStatement)
    return plan.definition


def with_change(catalog: Catalog, change: Change) -> Catalog:
    """The catalog when the change is published."""
    tables = dict(catalog.tables)
    for moved in change.tables:
        tables.pop(moved.name, None)
        if moved.after is not None:
            tables[moved.name] = replace(moved.after, version=change.version)
    sequences = {n: s for n, s in catalog.sequences.items() if n not in change.dropped}
    sequences |= {sequence.name: sequence for sequence in change.made}
    schemas = {n: s for n, s in catalog.schemas.items() if n not in change.dropped_schemas}
    schemas |= {schema.name: schema for schema in change.schemas}
    return replace(
        catalog, version=change.version, tables=tables, sequences=sequences, schemas=schemas
    )


def changed(catalog: Catalog, sql: str, placement: Placement = "sharded") -> Catalog:
    begun = begin(catalog, definition_of(sql, catalog), placement)
    return catalog if begun.change is None else with_change(catalog, begun.change)


def catalog_of(*statements: str) -> Catalog:
    """A catalog of one shard with what these statements make."""
    catalog = EMPTY
    for sql in statements:
        catalog = changed(catalog, sql)
    return catalog


def table_of(sql: str) -> Table:
    (table,) = catalog_of(sql).tables.values()
    return table
