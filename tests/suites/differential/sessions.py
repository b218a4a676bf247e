"""Transactions, savepoints, cursors, prepared statements and sequences at random."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.suites.differential.chance import Made
from tests.suites.differential.constructs import TYPES
from tests.suites.differential.queries import Queries
from tests.suites.differential.trees import leaf, listed, template
from tests.suites.differential.values import Room

__all__ = ["Sessions"]

CURSORS_MAX: Final = 2
PREPARED_MAX: Final = 2

FETCHES: Final = (
    "FETCH {}", "FETCH NEXT FROM {}", "FETCH 2 FROM {}", "FETCH FORWARD 3 IN {}",
    "FETCH ALL FROM {}", "MOVE 1 IN {}", "MOVE FORWARD ALL IN {}", "FETCH 0 FROM {}",
)  # fmt: skip


class Sessions(Queries):
    def begin(self) -> Made:
        word = self.rng.choice(["BEGIN", "BEGIN", "START TRANSACTION", "BEGIN READ ONLY"])
        return Made(leaf(word, tag="BEGIN and COMMIT"), mark="begin")

    def end(self) -> Made:
        word = self.rng.choice(["COMMIT", "COMMIT", "ROLLBACK", "END"])
        return Made(leaf(word, tag="BEGIN and COMMIT"))

    def savepoint(self) -> Made:
        word, mark = self.rng.choice(
            [
                ("SAVEPOINT s", "savepoint"),
                ("SAVEPOINT s", "savepoint"),
                ("ROLLBACK TO s", "back"),
                ("RELEASE s", "release"),
            ]
        )
        return Made(leaf(word, tag="SAVEPOINT"), mark=mark)

    # ------------------------------------------------------------------ cursors

    def cursor(self) -> Made:
        cursors = self.world.cursors
        if not cursors or (len(cursors) < CURSORS_MAX and self.one_of(0.3)):
            name = self.new_name("c")
            table = self.table()
            key = table.columns[0].name
            items = [self.item(self.type(), table.columns) for _ in range(self.rng.randint(1, 3))]
            scroll = self.rng.choice(["", "NO SCROLL "])
            tree = template(
                f"DECLARE {name} {scroll}CURSOR FOR "
                f"SELECT {{}} FROM {table.name}{{}} ORDER BY {key}",
                *(listed(items), self.where(table.columns)),
                tag="DECLARE CURSOR",
            )
            world = replace(self.world, cursors=(*cursors, name))
            # A view's key is none: rows that are equal in it come in any order.
            return Made(tree, True, world=world, is_simple_only=True)
        name = self.rng.choice(cursors)
        if self.one_of(0.15):
            world = replace(self.world, cursors=tuple(c for c in cursors if c != name))
            return Made(leaf(f"CLOSE {name}", tag="DECLARE CURSOR"), world=world)
        return Made(leaf(self.rng.choice(FETCHES).format(name), tag="DECLARE CURSOR"), True)

    # ------------------------------------------------------------------ prepared statements

    def prepared(self) -> Made:
        known = self.world.prepared
        if not known or (len(known) < PREPARED_MAX and self.one_of(0.4)):
            return self._prepare()
        name, types = self.rng.choice(known)
        if self.one_of(0.15):
            world = replace(self.world, prepared=tuple(p for p in known if p[0] != name))
            return Made(leaf(f"DEALLOCATE {name}"), world=world)
        values = [self.literal(type_, tame=True) for type_ in types]
        tree = listed(values, before=f"EXECUTE {name} (", behind=")", least=len(values))
        return Made(template("{}", tree, tag="PREPARE and EXECUTE"), is_simple_only=True)

    def _prepare(self) -> Made:
        """Of which the first column and the rows are told by the parameters."""
        name = self.new_name("p")
        table = self.written_table()
        key = table.columns[0]
        types: tuple[str, ...] = (key.type,)
        tag = "PREPARE and EXECUTE"
        if self.wants("EXECUTE of a write", 0.3) and len(table.columns) > 1:
            # What does not fit fails over no rows to a server that has planned for the values.
            rest = [c for c in table.columns if c.type not in ("varchar", "numeric")]
            column = self.rng.choice(rest)
            types = (key.type, column.type)
            text = f"UPDATE {table.name} SET {column.name} = $2 WHERE {key.name} = $1"
            tree, tag = leaf(text), "EXECUTE of a write"
        else:
            room = Room(table.columns, 2, is_tame=True, is_lazy=True)
            items = [self.expression(self.type(), room) for _ in range(self.rng.randint(1, 3))]
            tree = template(
                f"SELECT {{}} FROM {table.name} WHERE {key.name} >= $1 ORDER BY {key.name}",
                listed(items),
            )
        given = "" if self.one_of(0.5) else f" ({', '.join(TYPES[t] for t in types)})"
        world = replace(self.world, prepared=(*self.world.prepared, (name, types)))
        made = template(f"PREPARE {name}{given} AS {{}}", tree, tag=tag)
        return Made(made, world=world, is_simple_only=True)

    # ------------------------------------------------------------------ settings

    def search_path(self) -> Made:
        """Where names are looked for, and new ones go."""
        if self.one_of(0.3):
            asked = ["SHOW search_path", "SELECT current_schema()", "SELECT current_schemas(false)"]
            return Made(leaf(self.rng.choice(asked), tag="search_path"), True)
        path = self.rng.choice([("public",), ("s", "public"), ("s", "public"), ("public", "s")])
        word = self.rng.choice(["TO", "="])
        world = replace(self.world, path=path)
        text = f"SET search_path {word} {', '.join(path)}"
        return Made(leaf(text, tag="search_path"), world=world)

    # ------------------------------------------------------------------ sequences

    def sequence(self) -> Made:
        names = self.world.sequences
        if not names or self.one_of(0.1):
            written, name = self.named("q")
            options = self.rng.choice(
                ["", " START 5", " INCREMENT 3", " INCREMENT -1", " MINVALUE 2 MAXVALUE 4 CYCLE"]
            )
            world = replace(self.world, sequences=(*names, name))
            return Made(
                leaf(f"CREATE SEQUENCE {written}{options}", tag="CREATE SEQUENCE"), world=world
            )
        name = self.rng.choice(names)
        kind = self.rng.random()
        if kind < 0.5:
            return Made(leaf(f"SELECT nextval('{name}')"), True)
        if kind < 0.65:
            return Made(leaf(f"SELECT currval('{name}')"), True)
        if kind < 0.75:
            return Made(leaf("SELECT lastval()"), True)
        if kind < 0.9:
            called = self.rng.choice(["", ", false", ", true"])
            return Made(leaf(f"SELECT setval('{name}', {self.rng.randint(2, 9)}{called})"), True)
        world = replace(self.world, sequences=tuple(n for n in names if n != name))
        return Made(leaf(f"DROP SEQUENCE {name}"), world=world)
