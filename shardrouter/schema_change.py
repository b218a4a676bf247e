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

A transaction publishes its changes itself: `publication` is its part in `meta`, the anchor of its
two-phase commit (docs/transactions.md). Nothing is marked, for what is prepared keeps out whoever
reads or changes the catalog.

A dropped table leaves a row behind with its version: see `shardrouter.tables.TableChange`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from nodes.protocol import Guard, SetVersion, Statement
from shardrouter.catalog import LOAD_GUARDS, Catalog, Parts
from shardrouter.tables import Change, Table, TableChange

__all__ = [
    "UNDONE",
    "in_meta",
    "mark",
    "marked",
    "on_shard",
    "previous_on",
    "publication",
    "publish",
    "published",
    "rewritten",
    "shard_parts",
    "shards_of",
    "take_back",
    "undo_parts",
    "versions_on",
]

UNDONE: Final = SetVersion("undone", 1)
"""What a COMMIT sets whose transaction changed the schema and took it back: a shard runs such steps
only together with a version. Nothing relies on it."""

_encode = msgspec.msgpack.Encoder().encode


def mark(catalog: Catalog, change: Change) -> Parts:
    """Everybody may know of the change, and finish it."""
    text = 'INSERT INTO "catalog_change" ("id", "change") VALUES (1, ?1)'
    return in_meta(catalog, [Statement(text, (_encode(change),))], by=_versions(change))


def marked(catalog: Catalog, change: Change) -> Catalog:
    """The catalog with that mark."""
    return replace(catalog, version=catalog.version + _versions(change), pending=change)


def _versions(change: Change) -> int:
    """How many versions the mark takes: those that the change gives its tables before its end."""
    return 2 if change.relocated else 1


def rewritten(catalog: Catalog, change: Change, *, by: int = 1) -> tuple[Parts, Catalog]:
    """What pends in `catalog` becomes `change`."""
    text = 'UPDATE "catalog_change" SET "change" = ?1 WHERE "id" = 1'
    parts = in_meta(catalog, [Statement(text, (_encode(change),))], by=by)
    return parts, replace(catalog, version=catalog.version + by, pending=change)


def take_back(catalog: Catalog) -> tuple[Parts, Catalog]:
    """The pending change is to be undone; and the catalog that says so."""
    assert catalog.pending is not None
    by = _versions(catalog.pending)  # what a change is taken back to it is never made under
    change = replace(catalog.pending, undone=catalog.version + by)
    return rewritten(catalog, change, by=by)


_UNMARKED: Final = Statement('DELETE FROM "catalog_change"')


def publish(catalog: Catalog) -> Parts:
    """Every shard is done with what pends in `catalog`, or has undone it."""
    pending = catalog.pending
    assert pending is not None
    statements = [_UNMARKED]
    sets: dict[str, SetVersion] = {}
    version = pending.undone or pending.taken or pending.version
    statements += _tables_published(pending, version)
    if not pending.undone:
        statements += _sequences_published(pending, {})
        statements += _schemas_published(pending)
        sets = _sequence_versions(pending, pending.version)
    return in_meta(catalog, statements, tuple(sets.values()))


def _kept(table: Table, version: int) -> Table:
    return replace(table, version=version, created=table.created or version)


def _tables_published(change: Change, version: int) -> Iterable[Statement]:
    for moved in change.tables:
        left = moved.before if change.undone else moved.after
        definition = None if left is None else _encode(_kept(left, version))
        yield Statement(
            'INSERT INTO "catalog_tables" ("name", "version", "elsewhere", "definition") '
            'VALUES (?1, ?2, ?3, ?4) ON CONFLICT ("name") DO UPDATE SET "version" = '
            'excluded."version", "elsewhere" = excluded."elsewhere", '
            '"definition" = excluded."definition"',
            (moved.name, version, _elsewhere(moved, version), definition),
        )


def _elsewhere(moved: TableChange, version: int) -> int:
    """The version of the table on shards that are not the home, after a change to `version`."""
    return moved.elsewhere if _is_home_only(moved) else version


def _sequences_published(
    change: Change, numbers: dict[str, tuple[int, bool]]
) -> Iterable[Statement]:
    for name in change.dropped:
        yield Statement('DELETE FROM "catalog_sequences" WHERE "name" = ?1', (name,))
    for sequence in change.made:
        last, is_called = numbers.get(sequence.name, (sequence.start, False))
        yield Statement(
            'INSERT INTO "catalog_sequences" ("name", "definition", "last", "is_called") '
            "VALUES (?1, ?2, ?3, ?4)",
            (sequence.name, _encode(sequence), last, int(is_called)),
        )
    for sequence in change.altered:
        yield Statement(
            'UPDATE "catalog_sequences" SET "definition" = ?2 WHERE "name" = ?1',
            (sequence.name, _encode(sequence)),
        )
    for restarted in change.restarted:
        yield Statement(
            'UPDATE "catalog_sequences" SET "last" = ?2, "is_called" = ?3 WHERE "name" = ?1',
            (*restarted, int(restarted[0] in change.called)),
        )


def _schemas_published(change: Change) -> Iterable[Statement]:
    for name in change.dropped_schemas:
        yield Statement('DELETE FROM "catalog_schemas" WHERE "name" = ?1', (name,))
    for schema in change.schemas:
        yield Statement(
            'INSERT INTO "catalog_schemas" ("name", "definition") VALUES (?1, ?2) '
            'ON CONFLICT ("name") DO UPDATE SET "definition" = excluded."definition"',
            (schema.name, _encode(schema)),
        )


def _sequence_versions(change: Change, version: int) -> dict[str, SetVersion]:
    """Who knows them otherwise draws nothing from them."""
    own = (s.name for s in (*change.made, *change.altered) if s.version == change.version)
    names = [*change.dropped, *own]
    return {name: SetVersion(f"sequence:{name}", version) for name in names}


def published(catalog: Catalog, change: Change) -> Catalog:
    """The catalog with the change, as it is read when the change alone is published."""
    tables, sequences = dict(catalog.tables), dict(catalog.sequences)
    dropped, elsewhere = dict(catalog.dropped), dict(catalog.elsewhere)
    for moved in change.tables:
        elsewhere[moved.name] = _elsewhere(moved, change.version)
        tables.pop(moved.name, None)
        dropped.pop(moved.name, None)
        if moved.after is None:
            dropped[moved.name] = change.version
        else:
            tables[moved.name] = _kept(moved.after, change.version)
    for name in change.dropped:
        sequences.pop(name, None)
    sequences |= {sequence.name: sequence for sequence in (*change.made, *change.altered)}
    schemas = {n: s for n, s in catalog.schemas.items() if n not in change.dropped_schemas}
    schemas |= {schema.name: schema for schema in change.schemas}
    return replace(
        catalog,
        version=change.version,
        tables=tables,
        sequences=sequences,
        dropped=dropped,
        elsewhere=elsewhere,
        schemas=schemas,
    )


def in_meta(
    catalog: Catalog,
    statements: Sequence[Statement],
    sets: tuple[SetVersion, ...] = (),
    *,
    by: int = 1,
) -> Parts:
    """A change of the catalog: on exactly this version, and raising it."""
    version = catalog.version + by
    return Parts(
        statements=(
            *statements,
            Statement('UPDATE "catalog_state" SET "version" = ?1 WHERE "id" = 1', (version,)),
        ),
        guards=(Guard("catalog", catalog.version),),
        sets=(SetVersion("catalog", version), *sets),
    )


# --------------------------------------------------------------------------- of a transaction


def publication(
    catalog: Catalog, changes: Iterable[Change], numbers: Iterable[tuple[str, int, bool]]
) -> Parts:
    """What the COMMIT of a transaction does in `meta`, its anchor: the changes are there for
    everybody if the transaction is. It gave out `numbers` of its own sequences: the last of each,
    and whether that was given out."""
    version = catalog.version + 1
    given = {name: (last, is_called) for name, last, is_called in numbers}
    statements: list[Statement] = []
    sets: dict[str, SetVersion] = {}
    for change in changes:  # a table may be made by one and dropped by another
        statements += _tables_published(change, version)
        statements += _sequences_published(change, given)
        statements += _schemas_published(change)
        sets.update(_sequence_versions(change, version))
    parts = in_meta(catalog, statements, tuple(sets.values()))
    return replace(parts, guards=(*LOAD_GUARDS, *parts.guards))


def versions_on(catalog: Catalog, changes: Iterable[Change], shard: str) -> tuple[SetVersion, ...]:
    """What such a COMMIT sets on one of its shards."""
    names = dict.fromkeys(
        moved.name for change in changes for moved in on_shard(catalog, change, shard)
    )
    return tuple(SetVersion(f"table:{name}", catalog.version + 1) for name in names)


# --------------------------------------------------------------------------- on the shards


def shards_of(catalog: Catalog, change: Change) -> tuple[str, ...]:
    """The shards that have something to do."""
    return tuple(shard for shard in catalog.shards if on_shard(catalog, change, shard))


def on_shard(catalog: Catalog, change: Change, shard: str) -> list[TableChange]:
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


def previous_on(catalog: Catalog, moved: TableChange, shard: str) -> int:
    """The version of the table that the shard has before the change."""
    return moved.previous if shard == catalog.home else moved.elsewhere


def shard_parts(catalog: Catalog, change: Change, shard: str) -> Parts:
    """The change on one shard. The tables' versions there make it happen once."""
    here = on_shard(catalog, change, shard)
    return Parts(
        statements=tuple(Statement(sql) for moved in here for sql in moved.sqlite),
        guards=tuple(
            Guard(f"table:{moved.name}", previous_on(catalog, moved, shard)) for moved in here
        ),
        sets=tuple(SetVersion(f"table:{moved.name}", change.version) for moved in here),
    )


def undo_parts(catalog: Catalog, change: Change, shard: str, *, made: bool) -> Parts:
    """The way back on a shard that has made the change, or on one that has not."""
    here = on_shard(catalog, change, shard)
    return Parts(
        statements=tuple(Statement(sql) for moved in reversed(here) for sql in moved.undo if made),
        guards=tuple(
            Guard(
                f"table:{moved.name}",
                change.version if made else previous_on(catalog, moved, shard),
            )
            for moved in here
        ),
        sets=tuple(SetVersion(f"table:{moved.name}", change.undone) for moved in here),
    )
