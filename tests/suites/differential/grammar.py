"""Makes statements at random: tables, rows, reads, writes, errors, transactions.

It remembers what it has made of what the servers have done (`chance.World`), and knows which
constructs there are. Where two servers may both be right and still differ (the order of rows
without ORDER BY, which of two errors comes first, which of two equal values stands for a group) it
makes nothing, or says so in the statement.
"""

from __future__ import annotations

from dataclasses import replace

from tests.suites.differential.chance import Made, Table
from tests.suites.differential.changes import Changes
from tests.suites.differential.constructs import EXPRESSIONS
from tests.suites.differential.copies import Copies
from tests.suites.differential.definitions import Definitions
from tests.suites.differential.labels import Labels
from tests.suites.differential.sessions import Sessions
from tests.suites.differential.trees import Tree, leaf, template, without_parameters
from tests.suites.differential.values import Room, wrapped

__all__ = ["Grammar", "Made", "Table"]


class Grammar(Changes, Copies, Definitions, Labels, Sessions):
    """`make()` and `settle()` again and again."""

    def make(self) -> Made:
        """The next statement of the program."""
        self.may_fail = True
        writable = [table for table in self.world.tables.values() if not table.is_view]
        if self.status == "E":
            return self._after_error()
        if len(writable) < 2 or self.one_of(0.02):
            return self.create_table()
        if self.status == "T":
            found = self._within()
            if found is not None:
                return found
        elif self.wants("BEGIN and COMMIT", 0.04):
            return self.begin()
        made = self._statement()
        mode = self.rng.random()
        if mode < 0.45 or made.is_simple_only:
            return made
        return replace(made, is_prepared=True, is_binary=mode > 0.75)

    def _after_error(self) -> Made:
        if self.one_of(0.3):
            return self._statement()
        return self.savepoint() if len(self.stack) > 1 and self.one_of(0.7) else self.end()

    def _within(self) -> Made | None:
        """What stands in transactions only, or is rarer outside of them."""
        if self.one_of(0.12):
            return self.end()
        if not self.world.cursors and self.wants("CREATE TABLE in a transaction", 0.12):
            made = self.create_table() if self.one_of(0.2) else self.definition()
            return self.in_transaction(made)
        if self.wants("SAVEPOINT", 0.12):
            return self.savepoint()
        if self.wants("DECLARE CURSOR", 0.15):
            return self.cursor()
        return None

    def _statement(self) -> Made:
        kind = self.rng.random()
        if kind < 0.56:
            return self.query()
        if kind < 0.71:
            return Made(self.insert())
        if kind < 0.78:
            return Made(self.update())
        if kind < 0.83:
            return Made(self.delete())
        if self.wants("WITH that writes", 0.1):
            return self.in_with()
        if kind < 0.87:
            return Made(self.mistake())
        if kind < 0.91 and self.has("PREPARE and EXECUTE"):
            return self.prepared()
        if kind < 0.94 and self.has("CREATE SEQUENCE"):
            return self.sequence()
        if self.wants("COPY FROM STDIN", 0.25):
            return self.copy()
        if self.wants("CREATE TYPE AS ENUM", 0.25):
            return self.labelled()
        if self.wants("search_path", 0.07):
            return self.search_path()
        # Which tables a cursor is in the way of depends on what the server has planned for it.
        return self.definition() if not self.world.cursors else self.query()

    # ------------------------------------------------------------------ mistakes

    def mistake(self) -> Tree:
        """What PostgreSQL refuses, mostly; sometimes it finds a meaning."""
        table = self.table()
        kind = self.rng.randrange(14)
        if kind == 9 and self.world.cursors:  # whether it is in the way: see `_statement`
            kind = 0
        name, key = table.name, table.columns[0].name
        other = self.rng.choice(table.columns).name
        written = {
            0: f"SELECT nothing FROM {name}",
            1: "SELECT 1 FROM nowhere",
            2: f"INSERT INTO {name} ({key}, nothing) VALUES (1, 2)",
            3: f"SELECT {other}, count(*) FROM {name}",
            4: f"SELECT * FROM {name} WHERE {table.columns[-1].name}",
            5: f"INSERT INTO {name} ({key}, {key}) VALUES (1, 2)",
            6: f"SELECT {key} FROM {name} x, {name} y",
            7: f"SELECT sum(count(*)) FROM {name}",
            8: f"SELECT {key} FROM {name} UNION SELECT {key}, 1 FROM {name}",
            9: f"ALTER TABLE {name} DROP COLUMN nothing",
            10: f"UPDATE {name} SET nothing = 1",
            11: f"SELECT {other} FROM {name} GROUP BY {key} ORDER BY 2",
        }
        if kind in written:
            return leaf(written[kind])
        supported = [e for e in EXPRESSIONS if e.name in self.known and e.operands]
        expression = self.rng.choice(supported)
        # What takes operands of any type may fail for some, which a planner finds over no rows.
        has_rows = self.one_of(0.5)
        room = Room(table.columns if has_rows else (), 0)
        operands = [wrapped(self.leaf(self.type(), room)) for _ in expression.operands]
        asked = template("SELECT {}", template(expression.text, *operands))
        return without_parameters(template(f"{{}} FROM {name}", asked)) if has_rows else asked
