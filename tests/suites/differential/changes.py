"""INSERT, UPDATE and DELETE at random."""

from __future__ import annotations

from collections.abc import Sequence

from tests.suites.differential.chance import Column, Made, Table, qualified
from tests.suites.differential.queries import Queries
from tests.suites.differential.trees import (
    Tree,
    leaf,
    listed,
    render,
    template,
    without_parameters,
)
from tests.suites.differential.values import Room

__all__ = ["Changes"]


class Changes(Queries):
    rows_of_insert: Sequence[int] = (1, 1, 2, 4)

    def insert(self) -> Tree:
        table = self.written_table()
        columns = list(table.columns)
        if self.wants("INSERT of a query", 0.12):
            return self.insert_of_query(table)
        if len(columns) > 1 and self.one_of(0.3):
            columns = [
                columns[0],
                *self.rng.sample(columns[1:], self.rng.randint(1, len(columns) - 1)),
            ]
        rows = [self._row(columns) for _ in range(self.rng.choice(self.rows_of_insert))]
        names = ", ".join(column.name for column in columns)
        tag = "INSERT of one row" if len(rows) == 1 else "INSERT of several rows"
        values = listed(rows, before=f"INSERT INTO {table.name} ({names}) VALUES ", tag=tag)
        key, conflict = columns[0].name, leaf("")
        returning = self.returning(table, "INSERT RETURNING")
        if self.wants("ON CONFLICT DO NOTHING", 0.15):
            on = self.rng.choice(["", f" ({key})"])
            conflict = leaf(f" ON CONFLICT{on} DO NOTHING", tag="ON CONFLICT DO NOTHING")
        elif len(columns) > 1 and self.wants("ON CONFLICT DO UPDATE", 0.15):
            # A key that is there twice is told before, or behind, what is wrong with another row.
            keys = {render(row.children[0])[0] for row in rows}
            if len(keys) < len(rows):
                returning = leaf("")
            if len(keys) == len(rows) or not table.has_rules:
                conflict = self._on_conflict(table, columns)
        return template("{}{}{}", values, conflict, returning)

    def _on_conflict(self, table: Table, columns: Sequence[Column]) -> Tree:
        name, key = columns[1].name, columns[0].name
        text = f" ON CONFLICT ({key}) DO UPDATE SET {name} = excluded.{name}"
        if self.wants("ON CONFLICT DO UPDATE WHERE", 0.3):
            bare = table.name.rpartition(".")[2]
            room = Room(qualified(bare, table.columns), 1, is_lazy=True)
            return template(
                f"{text} WHERE {{}}", self.condition(room), tag="ON CONFLICT DO UPDATE WHERE"
            )
        return leaf(text, tag="ON CONFLICT DO UPDATE")

    def insert_of_query(self, table: Table) -> Tree:
        """In the order of the keys, so that of two faults the same one is the first."""
        sources = [
            t for t in self.world.tables.values() if t.columns[0].type == table.columns[0].type
        ]
        source = self.rng.choice(sources)
        columns = self.rng.sample(table.columns[1:], min(2, len(table.columns) - 1))
        room = Room(source.columns, 1, is_tame=True, is_lazy=True)
        key = source.columns[0].name
        shift = f"{key} || 'x'" if table.columns[0].type == "text" else f"{key} + 3"
        items = [leaf(shift)]
        items += [without_parameters(self.expression(c.type, room)) for c in columns]
        names = ", ".join(c.name for c in (table.columns[0], *columns))
        body = template(
            f"INSERT INTO {table.name} ({names}) SELECT {{}} FROM {source.name}{{}} ORDER BY {key}",
            *(listed(items, least=len(items)), self.where(source.columns)),
            tag="INSERT of a query",
        )
        conflict = self.rng.choice(["", " ON CONFLICT DO NOTHING"])
        return template("{}{}{}", body, leaf(conflict), self.returning(table, "INSERT RETURNING"))

    def _row(self, columns: Sequence[Column]) -> Tree:
        values = [self.key(columns[0].type)]
        for column in columns[1:]:
            if self.wants("INSERT with DEFAULT", 0.03):
                values.append(leaf("DEFAULT", tag="INSERT with DEFAULT"))
            else:
                values.append(self._assigned(column, tame=not column.is_wild))
        return listed(values, before="(", behind=")", least=len(values))

    def _assigned(self, column: Column, *, tame: bool = False) -> Tree:
        """A value for a column. Whether one that does not fit fails over no rows depends on
        whether PostgreSQL has planned for the parameter's value, so there is none."""
        value = self.literal(column.type, tame=tame)
        return without_parameters(value) if column.type in ("varchar", "numeric") else value

    def update(self) -> Tree:
        table = self.written_table()
        if len(table.columns) > 1 and self.wants("UPDATE FROM", 0.12):
            return self.update_from(table)
        columns = self.rng.sample(
            table.columns[1:], min(self.rng.choice([1, 1, 1, 2]), len(table.columns) - 1)
        )
        changes = [self._set(table, column) for column in columns]
        if not changes:
            return self.delete()
        return template(
            f"UPDATE {table.name} SET {{}}{{}}{{}}",
            *(listed(changes), self._which(table), self.returning(table, "UPDATE RETURNING")),
            tag="UPDATE by a condition",
        )

    def _set(self, table: Table, column: Column) -> Tree:
        if self.wants("UPDATE to DEFAULT", 0.05):
            return leaf(f"{column.name} = DEFAULT", tag="UPDATE to DEFAULT")
        if column.is_wild:
            value = self._assigned(column)
        else:
            room = Room(table.columns, self.rng.randint(0, 2), is_tame=True, is_lazy=True)
            value = without_parameters(self.expression(column.type, room))
        return template(f"{column.name} = {{}}", value)

    def update_from(self, table: Table) -> Tree:
        """Of rows that meet one row at most: else any of them might count."""
        key = table.columns[0]
        others = [t for t in self.world.tables.values() if t.columns[0].type == key.type]
        other = self.rng.choice(others)
        columns = [*qualified("x", table.columns), *qualified("y", other.columns)]
        room = Room(columns, 1, is_tame=True, is_lazy=True)
        column = self.rng.choice(table.columns[1:])
        value = without_parameters(self.expression(column.type, room))
        returning = leaf("")
        if self.wants("UPDATE RETURNING", 0.3):
            returning = leaf(f" RETURNING x.{key.name}, x.{column.name}")
        return template(
            f"UPDATE {table.name} AS x SET {column.name} = {{}} FROM {other.name} AS y "
            f"WHERE x.{key.name} = y.{other.columns[0].name} AND {{}}{{}}",
            *(value, self.condition(room), returning),
            tag="UPDATE FROM",
        )

    def delete(self) -> Tree:
        table = self.written_table()
        if self.wants("DELETE USING", 0.12):
            return self.delete_using(table)
        return template(
            f"DELETE FROM {table.name}{{}}{{}}",
            *(self._which(table), self.returning(table, "DELETE RETURNING")),
            tag="DELETE by a condition",
        )

    def delete_using(self, table: Table) -> Tree:
        other = self.table()
        columns = [*qualified("x", table.columns), *qualified("y", other.columns)]
        returning = leaf("")
        if self.wants("DELETE RETURNING", 0.3):
            returning = leaf(f" RETURNING x.{table.columns[0].name}")
        same = [c.name for c in other.columns if c.type == table.columns[0].type]
        match = f"x.{table.columns[0].name} = y.{self.rng.choice(same)} AND " if same else ""
        return template(
            f"DELETE FROM {table.name} AS x USING {other.name} AS y WHERE {match}{{}}{{}}",
            *(self.condition(Room(columns, 1, is_lazy=True)), returning),
            tag="DELETE USING",
        )

    def _which(self, table: Table) -> Tree:
        """Mostly by the key."""
        if self.one_of(0.6):
            key = table.columns[0]
            return template(f" WHERE {key.name} = {{}}", self.key(key.type))
        return self.where(table.columns)

    def returning(self, table: Table, construct: str) -> Tree:
        if not self.wants(construct, 0.3):
            return leaf("")
        if self.one_of(0.4):
            return leaf(" RETURNING *", tag=construct)
        items = [self.item(self.type(), table.columns) for _ in range(self.rng.randint(1, 2))]
        return listed(items, before=" RETURNING ", tag=construct)

    def in_with(self) -> Made:
        """A change whose rows a query reads."""
        made = self.rng.choice([self.update, self.delete, self.insert])()
        table = self.written_table()
        key = table.columns[0]
        if self.one_of(0.5):
            made = template(
                f"DELETE FROM {table.name} WHERE {{}} RETURNING {key.name} AS k",
                self.condition(Room(table.columns, 1, is_lazy=True)),
            )
            text = "WITH q AS ({}) SELECT count(*), min(k), max(k) FROM q"
        else:
            text = f"WITH q AS ({{}}) SELECT count(*) FROM {self.table().name}"
        return Made(template(text, made, tag="WITH that writes"), True)
