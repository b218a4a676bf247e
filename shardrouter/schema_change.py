"""Schema changes: marked in meta, applied on each shard, then published (DESIGN section 7).

    parts, changes = begin_create(catalog, plan)        one write to meta: the mark
    for each shard of the table: shard_parts(change)    the table itself, and its version
    publish(catalog, changes)                           one write to meta: everybody may see it

The mark holds everything that is needed to finish, so that whoever finds it in a catalog can
(`Catalog.pending`); every step is guarded by versions and does nothing the second time:

    write      refused as Stale           meaning
    begin      catalog                    load the catalog, plan again
    shard      have >= change.version     this shard is done (finished by another router)
    publish    catalog                    load the catalog; done unless the change still pends

A dropped table leaves a row behind with its version: see `Change`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nodes.protocol import Guard, SetVersion, Statement
from shardrouter.catalog import Catalog, Change, Parts, encode_table
from shardrouter.errors import NotSupported, StatementError
from shardrouter.planned import CreateTable, DropTable
from shardrouter.typed import quote

__all__ = ["abandon", "begin_create", "begin_drop", "publish", "shard_parts"]


def begin_create(catalog: Catalog, plan: CreateTable) -> tuple[Parts, tuple[Change, ...]] | None:
    """The mark of a new table; None if it exists and IF NOT EXISTS was said.

    Raises StatementError 42P07 if the table exists, NotSupported if SQLite would take it for
    another one. Finish the changes in `catalog.pending` first.
    """
    name = plan.table.name
    if name in catalog.tables:
        if plan.if_not_exists:
            return None
        raise StatementError(f'relation "{name}" already exists', sqlstate="42P07")
    for other in catalog.tables:
        if other.lower() == name.lower():
            raise NotSupported(
                f'tables "{other}" and "{name}" differ only by case',
                hint="Give them names that differ in letters.",
            )
    version = catalog.version + 1
    table = replace(plan.table, version=version)
    change = Change(name, "create", catalog.dropped.get(name, 0), version, plan.sqlite, table)
    return _mark(catalog, (change,)), (change,)


def begin_drop(
    catalog: Catalog, plan: DropTable
) -> tuple[Parts | None, tuple[Change, ...], tuple[str, ...]]:
    """The mark of all tables to drop, the changes, and the names IF EXISTS did not find.

    Without a mark there is nothing to do. Raises StatementError 42P01.
    """
    missing = tuple(name for name in plan.names if name not in catalog.tables)
    if missing and not plan.if_exists:
        raise StatementError(f'table "{missing[0]}" does not exist', sqlstate="42P01")
    found = dict.fromkeys(name for name in plan.names if name in catalog.tables)
    changes = tuple(
        Change(
            name,
            "drop",
            catalog.tables[name].version,
            catalog.version + 1,
            f"DROP TABLE {quote(name)}",
            catalog.tables[name],
        )
        for name in found
    )
    return (_mark(catalog, changes) if changes else None), changes, missing


def _mark(catalog: Catalog, changes: Sequence[Change]) -> Parts:
    statements = [
        Statement(
            'INSERT INTO "catalog_tables" '
            '("name", "version", "previous", "state", "sqlite", "definition") '
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
            'ON CONFLICT ("name") DO UPDATE SET "version" = excluded."version", '
            '"previous" = excluded."previous", "state" = excluded."state", '
            '"sqlite" = excluded."sqlite", "definition" = excluded."definition"',
            (
                change.name,
                change.version,
                change.previous,
                "creating" if change.kind == "create" else "dropping",
                change.sqlite,
                encode_table(change.table),
            ),
        )
        for change in changes
    ]
    return _in_meta(catalog, statements)


def shard_parts(change: Change) -> Parts:
    """The change on one shard. The table's version there makes it happen once."""
    return Parts(
        statements=(Statement(change.sqlite),),
        guards=(Guard(f"table:{change.name}", change.previous),),
        sets=(SetVersion(f"table:{change.name}", change.version),),
    )


def publish(catalog: Catalog, changes: Sequence[Change]) -> Parts:
    """Every shard has the changes; `catalog` must be one in which they pend, or the one they
    were begun from with its version raised by one."""
    statements = [
        Statement(
            'UPDATE "catalog_tables" SET "state" = ?1 WHERE "name" = ?2 AND "version" = ?3',
            ("live" if change.kind == "create" else "dropped", change.name, change.version),
        )
        for change in changes
    ]
    return _in_meta(catalog, statements)


def abandon(catalog: Catalog, change: Change) -> Parts:
    """Take back a creation that a shard refused as SQL: the same text fails on every shard, so
    none has the table. The row stays, with the version that was used up."""
    assert change.kind == "create", "a table that exists can be dropped"
    return _in_meta(
        catalog,
        [
            Statement(
                'UPDATE "catalog_tables" SET "state" = ?1, "version" = ?2 '
                'WHERE "name" = ?3 AND "version" = ?4',
                ("dropped", change.previous, change.name, change.version),
            )
        ],
    )


def _in_meta(catalog: Catalog, statements: Sequence[Statement]) -> Parts:
    """A change of the catalog: on exactly this version, and raising it."""
    version = catalog.version + 1
    return Parts(
        statements=(
            *statements,
            Statement('UPDATE "catalog_state" SET "version" = ?1 WHERE "id" = 1', (version,)),
        ),
        guards=(Guard("catalog", catalog.version),),
        sets=(SetVersion("catalog", version),),
    )
