"""Schema changes: marked in meta, applied on each shard, then published (DESIGN section 7).

    begun = begin(catalog, definition)                  see shardrouter.definition_changes
    mark(catalog, change)                               one write to meta
    for each shard with tables of it: shard_parts(...)  all of it, and its version, in one entry
    publish(catalog, change)                            one write to meta: everybody may see it

The mark holds everything that is needed to finish, so that whoever finds it in a catalog can
(`Catalog.pending`); every step is guarded by versions and does nothing the second time:

    write      refused as Stale           meaning
    mark       catalog                    load the catalog, begin again
    shard      have >= change.version     this shard is done (finished by another router)
    publish    catalog                    load the catalog; done unless the change still pends

A shard that has rows may refuse what others have made (a unique index over duplicates). Then
the change is marked again, as one to be taken back (`take_back`), each shard undoes what it has
made (`undo_parts`), and the tables are published as they were, under versions of their own.

A dropped table leaves a row behind with its version: see `shardrouter.tables.TableChange`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from nodes.protocol import Guard, SetVersion, Statement
from shardrouter.catalog import Catalog, Parts
from shardrouter.tables import Change, TableChange

__all__ = ["mark", "publish", "shard_parts", "shards_of", "take_back", "undo_parts"]

_encode = msgspec.msgpack.Encoder().encode


def mark(catalog: Catalog, change: Change) -> Parts:
    """Everybody may know of the change, and finish it."""
    text = 'INSERT INTO "catalog_change" ("id", "change") VALUES (1, ?1)'
    return _in_meta(catalog, [Statement(text, (_encode(change),))])


def take_back(catalog: Catalog) -> tuple[Parts, Change]:
    """The pending change is to be undone."""
    assert catalog.pending is not None
    change = replace(catalog.pending, undone=catalog.version + 1)
    text = 'UPDATE "catalog_change" SET "change" = ?1 WHERE "id" = 1'
    return _in_meta(catalog, [Statement(text, (_encode(change),))]), change


def publish(catalog: Catalog) -> Parts:
    """Every shard is done with the change that pends in `catalog`, or has undone it."""
    change = catalog.pending
    assert change is not None
    version = change.undone or change.version
    statements = [Statement('DELETE FROM "catalog_change"')]
    for moved in change.tables:
        left = moved.before if change.undone else moved.after
        definition = None if left is None else _encode(replace(left, version=version))
        elsewhere = moved.elsewhere if _is_home_only(moved) else version
        statements.append(
            Statement(
                'INSERT INTO "catalog_tables" ("name", "version", "elsewhere", "definition") '
                'VALUES (?1, ?2, ?3, ?4) ON CONFLICT ("name") DO UPDATE SET "version" = '
                'excluded."version", "elsewhere" = excluded."elsewhere", '
                '"definition" = excluded."definition"',
                (moved.name, version, elsewhere, definition),
            )
        )
    sets: tuple[SetVersion, ...] = ()
    if not change.undone:
        statements += _of_sequences(change)
        statements += _of_schemas(change)
        changed = [*change.dropped, *(s.name for s in (*change.made, *change.altered))]
        sets = tuple(SetVersion(f"sequence:{name}", change.version) for name in changed)
    return _in_meta(catalog, statements, sets)


def _of_sequences(change: Change) -> list[Statement]:
    drop = 'DELETE FROM "catalog_sequences" WHERE "name" = ?1'
    make = (
        'INSERT INTO "catalog_sequences" ("name", "definition", "last", "is_called") '
        "VALUES (?1, ?2, ?3, 0)"
    )
    alter = 'UPDATE "catalog_sequences" SET "definition" = ?2 WHERE "name" = ?1'
    restart = 'UPDATE "catalog_sequences" SET "last" = ?2, "is_called" = 0 WHERE "name" = ?1'
    return [
        *(Statement(drop, (name,)) for name in change.dropped),
        *(Statement(make, (s.name, _encode(s), s.start)) for s in change.made),
        *(Statement(alter, (s.name, _encode(s))) for s in change.altered),
        *(Statement(restart, restarted) for restarted in change.restarted),
    ]


def _of_schemas(change: Change) -> list[Statement]:
    drop = 'DELETE FROM "catalog_schemas" WHERE "name" = ?1'
    make = (
        'INSERT INTO "catalog_schemas" ("name", "definition") VALUES (?1, ?2) '
        'ON CONFLICT ("name") DO UPDATE SET "definition" = excluded."definition"'
    )
    return [
        *(Statement(drop, (name,)) for name in change.dropped_schemas),
        *(Statement(make, (schema.name, _encode(schema))) for schema in change.schemas),
    ]


def _in_meta(
    catalog: Catalog, statements: Sequence[Statement], sets: tuple[SetVersion, ...] = ()
) -> Parts:
    """A change of the catalog: on exactly this version, and raising it."""
    version = catalog.version + 1
    return Parts(
        statements=(
            *statements,
            Statement('UPDATE "catalog_state" SET "version" = ?1 WHERE "id" = 1', (version,)),
        ),
        guards=(Guard("catalog", catalog.version),),
        sets=(SetVersion("catalog", version), *sets),
    )


# --------------------------------------------------------------------------- on the shards


def shards_of(catalog: Catalog, change: Change) -> tuple[str, ...]:
    """The shards that have something to do."""
    return tuple(shard for shard in catalog.shards if _on(catalog, change, shard))


def _on(catalog: Catalog, change: Change, shard: str) -> list[TableChange]:
    return [
        moved
        for moved in change.tables
        if any(
            table is not None and shard in catalog.shards_of(table)
            for table in (moved.before, moved.after)
        )
    ]


def _is_home_only(moved: TableChange) -> bool:
    """Whether the home shard alone has the table, before and after."""
    return all(table is None or table.placement == "home" for table in (moved.before, moved.after))


def _previous(catalog: Catalog, moved: TableChange, shard: str) -> int:
    """The version of the table that the shard has before the change."""
    return moved.previous if shard == catalog.home else moved.elsewhere


def shard_parts(catalog: Catalog, change: Change, shard: str) -> Parts:
    """The change on one shard. The tables' versions there make it happen once."""
    here = _on(catalog, change, shard)
    return Parts(
        statements=tuple(Statement(sql) for moved in here for sql in moved.sqlite),
        guards=tuple(
            Guard(f"table:{moved.name}", _previous(catalog, moved, shard)) for moved in here
        ),
        sets=tuple(SetVersion(f"table:{moved.name}", change.version) for moved in here),
    )


def undo_parts(catalog: Catalog, change: Change, shard: str, *, made: bool) -> Parts:
    """The way back on a shard that has made the change, or on one that has not."""
    here = _on(catalog, change, shard)
    return Parts(
        statements=tuple(Statement(sql) for moved in reversed(here) for sql in moved.undo if made),
        guards=tuple(
            Guard(
                f"table:{moved.name}",
                change.version if made else _previous(catalog, moved, shard),
            )
            for moved in here
        ),
        sets=tuple(SetVersion(f"table:{moved.name}", change.undone) for moved in here),
    )
