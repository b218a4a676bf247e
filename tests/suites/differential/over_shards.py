"""Programs for this database over several shards: rows first, one by one, then queries mostly."""

from __future__ import annotations

from typing import Final

from tests.suites.differential.chance import Made, Table
from tests.suites.differential.grammar import Grammar
from tests.suites.differential.trees import Tree, template, without_parameters
from tests.suites.differential.values import Room

__all__ = ["OverShards"]

ROWS: Final = 24
"""That a program tries to have before it asks for any."""


class OverShards(Grammar):
    """Many of its writes read rows of other shards, or move some."""

    rows_of_insert = (1,)  # of two faults another one may be told
    _tried = 0

    def make(self) -> Made:
        writable = [table for table in self.world.tables.values() if not table.is_view]
        self.may_fail = True
        if len(writable) < 2 or self.status != "I":
            return super().make()
        if self._tried < ROWS:
            self._tried += 1
            return Made(self.insert())
        if self.one_of(0.2):
            return Made(self._write_that_reads(), is_prepared=self.one_of(0.3))
        if self.one_of(0.7):
            made = self.query()
            return Made(made.tree, made.is_ordered, is_prepared=self.one_of(0.4))
        return super().make()

    def _write_that_reads(self) -> Tree:
        table = self.written_table()
        if len(table.columns) < 2:
            return self.delete_using(table)
        made = self.rng.choice([self.insert_of_query, self.update_from, self.delete_using])
        return self._moved(table) if self.one_of(0.25) else made(table)

    def _moved(self, table: Table) -> Tree:
        """To keys that no other row has on the way."""
        key = table.columns[0]
        far = self.rng.randrange(1000, 30_000)
        moved = {"text": f"{key.name} || 'm{far}'", "integer": f"{key.name} + {far}"}
        value = moved.get(key.type, key.name)
        room = Room(table.columns, 1, is_tame=True, is_lazy=True)
        column = self.rng.choice(table.columns[1:])
        other = without_parameters(self.expression(column.type, room))
        return template(
            f"UPDATE {table.name} SET {key.name} = {value}, {column.name} = {{}}{{}}{{}}",
            *(other, self.where(table.columns), self.returning(table, "UPDATE RETURNING")),
            tag="UPDATE of a key",
        )
