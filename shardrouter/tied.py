"""What transactions over several shards keep out: by their guards, and besides them."""

from __future__ import annotations

from collections.abc import Iterable

from nodes.protocol import EVERY_SLOT, Guard
from shardrouter.catalog import Catalog

__all__ = ["joined_guards", "tables_in", "tied_tables"]


def tied_tables(catalog: Catalog, names: Iterable[str]) -> tuple[str, ...]:
    """The tables, as objects of guards, that foreign keys tie to these, up and down: a row that is
    inserted, changed or deleted may look for rows of them, or change some."""
    known = set(names)
    found: set[str] = set()
    left = list(known)
    while left:
        table = catalog.tables.get(left.pop())
        if table is None:
            continue
        for name in (*table.referenced_by, *(key.table for key in table.foreign_keys)):
            if name not in known:
                known.add(name)
                found.add(name)
                left.append(name)
    return tuple(f"table:{name}" for name in sorted(found))


def tables_in(guards: Iterable[Guard]) -> tuple[str, ...]:
    """The names of the tables whose versions they require."""
    prefix = "table:"
    return tuple(
        guard.object.removeprefix(prefix) for guard in guards if guard.object.startswith(prefix)
    )


def joined_guards(each: Iterable[tuple[Guard, ...]]) -> tuple[Guard, ...]:
    """Of several statements. Who names no slot touches all of its tables, also if another names
    one."""
    guards: dict[Guard, None] = {}
    has_slots = is_whole = False
    for some in each:
        guards.update(dict.fromkeys(some))
        names_slots = any(guard.object.startswith("slot:") for guard in some)
        has_slots = has_slots or names_slots
        is_whole = is_whole or not names_slots
    if has_slots and is_whole:
        guards[EVERY_SLOT] = None
    return tuple(guards)
