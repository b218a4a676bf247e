"""A catalog while one statement changes it, and the change that this comes to.

A statement says what the catalog's objects become; what the shards run follows from what a table
was and what it is (`shardrouter.sqlite_schema.transition`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shardrouter.catalog import Catalog
from shardrouter.execution import Notice
from shardrouter.sqlite_schema import transition
from shardrouter.tables import Change, SqlSchema, SqlSequence, Table, TableChange

__all__ = ["ChangeBuilder"]


def numbering(sequence: SqlSequence) -> tuple[object, ...]:
    """What decides which numbers it gives out."""
    return (
        sequence.type,
        sequence.start,
        sequence.increment,
        sequence.minimum,
        sequence.maximum,
        sequence.cycle,
    )


class ChangeBuilder:
    """Begins as `catalog`, in which nothing pends."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        """As changed so far."""
        self.notices: list[Notice] = []
        self.relocated = ""
        """The table whose rows go to other shards."""
        self.has_no_way_back = False
        """A shard may refuse it when others have made it, and they could not undo it."""
        self._before = catalog
        self._touched: dict[str, None] = {}  # names of tables, in the order they were touched
        self._sources: dict[str, dict[str, str]] = {}
        self._back: dict[str, dict[str, str]] = {}
        self._also: dict[str, tuple[str, ...]] = {}
        self._made: dict[str, SqlSequence] = {}
        self._altered: dict[str, SqlSequence] = {}
        self._dropped: dict[str, None] = {}
        self._restarted: dict[str, int] = {}
        self._called: dict[str, None] = {}
        self._renumbered: dict[str, None] = {}
        self._schemas: dict[str, SqlSchema] = {}
        self._dropped_schemas: dict[str, None] = {}

    def notice(self, message: str, sqlstate: str = "00000", detail: str = "") -> None:
        self.notices.append(Notice(message, sqlstate=sqlstate, detail=detail))

    # ------------------------------------------------------------------ tables and views

    def table(self, name: str) -> Table:
        return self.catalog.tables[name]

    def put(self, table: Table) -> None:
        """The table is new, or is as this from now on."""
        self._touched[table.name] = None
        self.catalog = replace(self.catalog, tables={**self.catalog.tables, table.name: table})

    def put_new(self, table: Table) -> None:
        """What was planned for a relation of the same name in another schema may mean this one."""
        for other in list(self.catalog.tables.values()):
            if other.relname == table.relname and other.name != table.name:
                self.touch(other.name)
        self.put(table)

    def touch(self, name: str) -> None:
        """The table stays as it is, under another version: what was planned is planned again."""
        self._touched[name] = None

    def remove(self, name: str) -> None:
        self._touched[name] = None
        tables = {known: table for known, table in self.catalog.tables.items() if known != name}
        self.catalog = replace(self.catalog, tables=tables)

    def compute(self, table: str, sources: Mapping[str, str], back: Mapping[str, str]) -> None:
        """Where the columns of a table get their values: SQLite's text over the columns it had; and
        `back` the other way round."""
        self._sources.setdefault(table, {}).update(sources)
        self._back.setdefault(table, {}).update(back)

    def also(self, table: str, *statements: str) -> None:
        """What the shards run besides, when the table is as it is to be."""
        self._also[table] = (*self._also.get(table, ()), *statements)

    def refer(self, table: Table) -> None:
        """The tables that `table` refers to from now on: they know it."""
        for name in dict.fromkeys(key.table for key in table.foreign_keys):
            parent = self.catalog.tables.get(name)
            if name != table.name and parent is not None and table.name not in parent.referenced_by:
                self.put(replace(parent, referenced_by=(*parent.referenced_by, table.name)))

    # ------------------------------------------------------------------ sequences and schemas

    def put_sequence(self, sequence: SqlSequence) -> None:
        """It is new, or is as this from now on."""
        is_new = sequence.name not in self._before.sequences or sequence.name in self._dropped
        (self._made if is_new else self._altered)[sequence.name] = sequence
        self.catalog = replace(
            self.catalog, sequences={**self.catalog.sequences, sequence.name: sequence}
        )

    def restart(self, name: str, value: int, *, is_called: bool = False) -> None:
        """The sequence gives out this number next, or the one after it if it `is_called`."""
        self.renumber(name)
        self._restarted[name] = value
        if is_called:
            self._called[name] = None

    def renumber(self, name: str) -> None:
        """The sequence is another one: what routers have taken of it is void."""
        self.put_sequence(self.catalog.sequences[name])
        self._renumbered[name] = None

    def remove_sequence(self, name: str) -> None:
        if name in self._before.sequences:
            self._dropped[name] = None
        for known in (self._made, self._altered, self._restarted):
            known.pop(name, None)
        self._renumbered.pop(name, None)
        sequences = {n: s for n, s in self.catalog.sequences.items() if n != name}
        self.catalog = replace(self.catalog, sequences=sequences)

    def put_schema(self, schema: SqlSchema) -> None:
        self._schemas[schema.name] = schema
        self._dropped_schemas.pop(schema.name, None)
        self.catalog = replace(self.catalog, schemas={**self.catalog.schemas, schema.name: schema})

    def remove_schema(self, name: str) -> None:
        self._schemas.pop(name, None)
        self._dropped_schemas[name] = None
        schemas = {known: s for known, s in self.catalog.schemas.items() if known != name}
        self.catalog = replace(self.catalog, schemas=schemas)

    # ------------------------------------------------------------------ what it comes to

    def change(self) -> Change | None:
        """None if there is nothing to do."""
        version = self._before.version + 1
        altered = tuple(self._with_version(s, version) for s in self._altered.values())
        renumbered = {sequence.name for sequence in altered if sequence.version == version}
        for table in self.catalog.tables.values():
            if not renumbered.isdisjoint(table.sequences):
                self.touch(table.name)
        tables = tuple(
            self._moved(name)
            for name in self._touched
            if name in self._before.tables or name in self.catalog.tables
        )
        change = Change(
            version,
            tables,
            tuple(replace(sequence, version=version) for sequence in self._made.values()),
            tuple(self._dropped),
            altered=altered,
            restarted=tuple(self._restarted.items()),
            called=tuple(self._called),
            schemas=tuple(self._schemas.values()),
            dropped_schemas=tuple(self._dropped_schemas),
            relocated=self.relocated,
        )
        return None if change == Change(version) else change

    def _with_version(self, sequence: SqlSequence, version: int) -> SqlSequence:
        """Another one if it gives out other numbers."""
        before = self._before.sequences[sequence.name]
        if sequence.name in self._renumbered or numbering(before) != numbering(sequence):
            return replace(sequence, version=version)
        return sequence

    def _moved(self, name: str) -> TableChange:
        before, after = self._before.tables.get(name), self.catalog.tables.get(name)
        return TableChange(
            name,
            self._before.dropped.get(name, 0) if before is None else before.version,
            self._before.elsewhere.get(name, 0),
            (*transition(before, after, self._sources.get(name, {})), *self._also.get(name, ())),
            transition(after, before, self._back.get(name, {})),
            before,
            after,
        )
