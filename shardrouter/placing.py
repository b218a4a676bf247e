"""Which shard: from the tables of a statement and what its conditions demand (docs/language.md).

A column is pinned if every row that counts has one of known values in it. Pins spread over
equalities: `a.k = $1 AND b.k = a.k` pins both. An equality pins only columns of the relations
that it restricts: the ON of a LEFT JOIN says nothing about its left side, a subquery's WHERE
nothing about the query around it.
"""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter.catalog import Catalog, Table
from shardrouter.errors import NotSupported
from shardrouter.planned import Operand, Reliance
from shardrouter.quick_dataclasses import dataclass
from shardrouter.relations import Statement
from shardrouter.types import SHARD_KEY_TYPES, is_integer, is_text, of_column

__all__ = ["Pins", "Place", "key_kind", "key_type", "place", "pins_of", "reliance"]

Pins = dict[tuple[int, str], tuple[Operand, ...]]


@dataclass(frozen=True)
class Place:
    """Where a statement runs: on the shard of `keys`, or the home shard if there are none;
    `shards` if that is right only while the cluster has so many. `is_everywhere`: no single shard
    can answer it. `apart`: of a write, that no shard can do its part of it by itself, for which
    this is the error if nothing else can be done."""

    keys: tuple[Operand, ...] = ()
    key_type: str = ""
    shards: int = 0
    is_everywhere: bool = False
    apart: NotSupported | None = None


def reliance(statement: Statement, first: Table | None = None) -> Reliance:
    """The tables with their versions, a write's own first. Raises NotSupported for a statement
    that the shards alone cannot run."""
    if statement.asks_catalog:
        raise NotSupported(
            "rows of tables together with the system catalogs are not supported",
            hint="Ask the catalogs by a statement of their own.",
        )
    tables = dict(statement.tables)
    if first is not None:
        tables = {first.name: first, **tables}
    return tuple((name, table.version) for name, table in tables.items())


def pins_of(statement: Statement) -> Pins:
    """The columns of which only some values count."""
    pins: Pins = {}
    pairs = []
    for scope in statement.scopes:
        for left, right, restricted in scope.equalities:
            pairs += [(left, right, restricted), (right, left, restricted)]
        for typed, values, restricted in scope.choices:
            operands = [value.operand for value in values]
            known = tuple(operand for operand in operands if operand is not None)
            if (
                len(known) == len(operands)
                and typed.column is not None
                and typed.column[0] in restricted
                and typed.type in SHARD_KEY_TYPES
            ):
                _pin(pins, typed.column, known)
    changed = True
    while changed:
        changed = False
        for left, right, restricted in pairs:
            if left.column is None or left.column[0] not in restricted:
                continue
            if left.type not in SHARD_KEY_TYPES:
                continue  # equal values may differ in bytes: -0.0 = 0.0, 1.5 = 1.50
            if right.operand is not None:
                changed |= _pin(pins, left.column, (right.operand,))
            elif right.column in pins:
                changed |= _pin(pins, left.column, pins[right.column])
    return pins


def _pin(pins: Pins, column: tuple[int, str], operands: tuple[Operand, ...]) -> bool:
    """Keep the shortest list of several for one column: all must hold."""
    known = pins.get(column)
    if known is not None and len(known) <= len(operands):
        return False
    pins[column] = operands
    return True


def place(
    statement: Statement,
    catalog: Catalog,
    target: tuple[Table, tuple[Operand, ...] | None] | None = None,
    *,
    is_write: bool = False,
    is_local: bool = False,
) -> Place:
    """Where the statement runs. `target` is the table it inserts into, with the shard keys of
    the new rows if they are known; `is_local` says of a write that each shard can run it by
    itself, for its own rows (`shardrouter.locality`)."""
    is_write = is_write or target is not None
    sharded = [found for scope in statement.scopes for found in scope.sharded]
    home = [table for table in statement.tables.values() if table.placement == "home"]
    if not sharded and (target is None or target[0].placement != "sharded"):
        return Place()
    pins = pins_of(statement)
    found: list[tuple[Table, tuple[Operand, ...] | None]] = [
        (table, pins.get((number, table.shard_key))) for number, table in sharded
    ]
    if target is not None and target[0].placement == "sharded":
        found.append(target)
    types = {key_kind(table) for table, _ in found}
    pinned = all(keys for _, keys in found) and len(types) == 1
    if pinned and not home:
        keys = tuple(dict.fromkeys(key for _, keys in found for key in keys or ()))
        # Of several keys each shard has some rows: they must not need those of others.
        if len(keys) == 1 or (is_write and (len(found) == 1 or is_local)):
            return Place(keys, key_type(found[0][0]))
    if len(catalog.shards) == 1:
        return Place(shards=1)
    if not is_write:
        return Place(is_everywhere=True)
    if is_local:
        return Place(is_everywhere=True)
    return Place(apart=_several(found, home))


def key_type(table: Table) -> str:
    """The type of its shard key."""
    column = table.column(table.shard_key)
    assert column is not None
    return column.type


def key_kind(table: Table) -> str:
    """Types whose equal values are on one shard."""
    kind = of_column(key_type(table))
    return "integer" if is_integer(kind) else "text" if is_text(kind) else kind.name


def _several(
    found: Sequence[tuple[Table, tuple[Operand, ...] | None]], home: Sequence[Table]
) -> NotSupported:
    open_ones = [table for table, keys in found if not keys]
    if home:
        what = f'"{home[0].name}" is on the home shard, "{found[0][0].name}" on all of them'
    elif open_ones:
        table = open_ones[0]
        what = f'"{table.relname}" is sharded by "{table.shard_key}"'
    else:
        what = "the tables' shard keys are of different types"
    return NotSupported(
        "a statement on rows of several shards is not supported",
        detail=f"{what[0].upper()}{what[1:]}." if what[0] != '"' else f"Table {what}.",
        hint="Pin the shard key of every sharded table to one value (a.key = $1 AND b.key = a.key)"
        ", or make small tables reference or home tables.",
    )
