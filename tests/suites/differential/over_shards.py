"""Programs for this database over several shards: rows first, one by one, then queries mostly."""

from __future__ import annotations

from typing import Final

from tests.suites.differential.chance import Made
from tests.suites.differential.grammar import Grammar

__all__ = ["OverShards"]

ROWS: Final = 24
"""That a program tries to have before it asks for any."""


class OverShards(Grammar):
    """A write of rows of several shards is another matter."""

    rows_of_insert = (1,)
    _tried = 0

    def make(self) -> Made:
        writable = [table for table in self.world.tables.values() if not table.is_view]
        self.may_fail = True
        if len(writable) < 2 or self.status != "I":
            return super().make()
        if self._tried < ROWS:
            self._tried += 1
            return Made(self.insert())
        if self.one_of(0.7):
            made = self.query()
            return Made(made.tree, made.is_ordered, is_prepared=self.one_of(0.4))
        return super().make()
