"""A table whose rows go to other shards: `create_distributed_table` and `create_reference_table` on
a table that has rows. Pure; `shardrouter.relocator` carries it.

It is one change of the schema, with more steps on the shards than others have, so that nothing is
lost whoever dies at whichever of them. V is the version of the change:

    meta     mark           the change pends                                catalog V + 1
    shards   stand_still    those that have the table: no plan is valid     table V
             (their rows are read, and sent ahead as stages to where they belong)
    shards   laid           PLACED is made and filled, or refused           table V + 1
    meta     take           all have their rows                             catalog V + 2
    shards   put            the table is dropped, and PLACED renamed        table V + 2
    meta     publish        statements are planned for where the rows are

If a shard refuses, or whoever needs the table hears nothing of the router that moves its rows:

    meta     take_back                                                      catalog V + 3
    shards   retreat        PLACED is dropped                               table V + 3
    meta     publish

The write of `meta` in the middle decides, before anything is dropped: up to it the rows are where
they were, after it they are where they belong. Clients see an instant: a statement of the table
waits from the first step to the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from nodes.protocol import Guard, SetVersion, Staged, Statement, Value
from nodes.values import slot_finder
from shardrouter.catalog import Catalog, Parts
from shardrouter.schema_change import previous_on, rewritten
from shardrouter.sqlite_schema import PLACED, laid_beside, put_in_place, stored_columns
from shardrouter.tables import Change, Table, TableChange
from shardrouter.typed import quote

__all__ = [
    "Rows",
    "divider",
    "laid",
    "put",
    "query",
    "retreat",
    "sources",
    "stand_still",
    "still_guard",
    "take",
    "with_beat",
]

Rows = Sequence[Sequence[Value]]


def _moved(change: Change) -> tuple[TableChange, Table, Table]:
    moved = next(m for m in change.tables if m.name == change.relocated)
    assert moved.before is not None
    assert moved.after is not None
    return moved, moved.before, moved.after


def _name(change: Change) -> str:
    return f"table:{change.relocated}"


# --------------------------------------------------------------------------- in meta


def take(catalog: Catalog) -> tuple[Parts, Catalog]:
    """Every shard has its rows: they are to take them."""
    assert isinstance(catalog.pending, Change)
    return rewritten(catalog, replace(catalog.pending, taken=catalog.version + 1))


def with_beat(catalog: Catalog, beat: int) -> Parts:
    """The router that moves the rows says that it does."""
    assert isinstance(catalog.pending, Change)
    parts, _ = rewritten(catalog, replace(catalog.pending, beat=beat), by=0)
    return replace(parts, statements=parts.statements[:1], sets=())


# --------------------------------------------------------------------------- the rows


def sources(catalog: Catalog, change: Change) -> tuple[str, ...]:
    """The shards that have all rows together, each row once."""
    _, before, _ = _moved(change)
    return (catalog.home,) if before.placement == "reference" else catalog.shards_of(before)


def still_guard(change: Change) -> Guard:
    """Of a shard whose rows stand still and are where they were."""
    return Guard(_name(change), change.version)


def query(change: Change) -> Statement:
    """The rows of one shard, as `divider` takes them."""
    _, before, _ = _moved(change)
    listed = ", ".join(map(quote, stored_columns(before)))
    return Statement(f"SELECT {listed} FROM {quote(before.name)}")  # noqa: S608 -- quoted names


def divider(catalog: Catalog, change: Change) -> Callable[[Rows], dict[str, Rows]]:
    """By shard, the rows that it is to have."""
    _, _, after = _moved(change)
    if after.placement == "reference":
        return lambda rows: dict.fromkeys(catalog.shards, rows)
    key = after.column(after.shard_key)
    assert key is not None
    place = stored_columns(after).index(key.name)
    slot = slot_finder(key.type)

    def divided(rows: Rows) -> dict[str, Rows]:
        found: dict[str, list[Sequence[Value]]] = {}
        for row in rows:
            found.setdefault(catalog.shard_of(slot(row[place])), []).append(row)
        return dict(found)

    return divided


# --------------------------------------------------------------------------- on the shards


def stand_still(catalog: Catalog, change: Change, shard: str) -> Parts | None:
    """None: the shard does not have the table."""
    moved, before, _ = _moved(change)
    if shard not in catalog.shards_of(before):
        return None
    return Parts(
        (),
        (Guard(_name(change), previous_on(catalog, moved, shard)),),
        (SetVersion(_name(change), change.version),),
    )


def _is_still(catalog: Catalog, change: Change, shard: str) -> int:
    """The version of the table before the rows are laid beside it."""
    moved, before, _ = _moved(change)
    if shard in catalog.shards_of(before):
        return change.version
    return previous_on(catalog, moved, shard)


def laid(catalog: Catalog, change: Change, shard: str, staged: Staged | None) -> Parts:
    """The rows that were sent ahead wait beside the table. The version of PLACED has the shard look
    at its foreign keys."""
    _, _, after = _moved(change)
    create, insert = laid_beside(after)
    statements = [Statement(create)]
    if staged is not None:
        statements.append(Statement(insert, staged=staged))
    version = change.version + 1
    return Parts(
        tuple(statements),
        (Guard(_name(change), _is_still(catalog, change, shard)),),
        (SetVersion(_name(change), version), SetVersion(f"table:{PLACED}", version)),
    )


def put(catalog: Catalog, change: Change, shard: str) -> Parts:
    """They take the place of those that the shard had."""
    _, before, after = _moved(change)
    texts = put_in_place(after, is_there=shard in catalog.shards_of(before))
    return Parts(
        tuple(map(Statement, texts)),
        (Guard(_name(change), change.version + 1),),
        (SetVersion(_name(change), change.taken),),
    )


def retreat(catalog: Catalog, change: Change, shard: str, have: int) -> Parts | None:
    """The table is as it was, on a shard that has it at the version `have`, of which
    `change.version + 1` is the first guess; None: it is."""
    if have >= change.undone:
        return None
    is_laid = have == change.version + 1
    return Parts(
        (Statement(f"DROP TABLE {quote(PLACED)}"),) if is_laid else (),
        (Guard(_name(change), have),),
        (SetVersion(_name(change), change.undone),),
    )
