"""What stands in FROM: tables, joins, subqueries, rows of functions."""

from __future__ import annotations

from collections.abc import Sequence

from tests.suites.differential.chance import VAGUE, Column, qualified
from tests.suites.differential.constructs import TYPES
from tests.suites.differential.trees import Tree, leaf, listed, template
from tests.suites.differential.values import Room, Values, wrapped

__all__ = ["Sources"]

JOINS = ("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN")


class Sources(Values):
    def source(self) -> tuple[Sequence[Column], Tree]:
        """Relations of a FROM, and the columns they give."""
        table = self.table()
        if self.wants("subquery in FROM", 0.06):
            inner = template(f"(SELECT * FROM {table.name}{{}}) AS q", self.where(table.columns))
            return qualified("q", table.columns), inner
        if self.wants("VALUES in FROM", 0.03):
            return self._values()
        join = self.rng.choice(JOINS)
        if self.wants(join, 0.25):
            return self._joined(join)
        if self.wants("alias of a table", 0.2):
            tag = "alias of a table"
            return qualified("q", table.columns), leaf(f"{table.name} AS q", tag=tag)
        return table.columns, leaf(table.name)

    def _joined(self, join: str) -> tuple[Sequence[Column], Tree]:
        table, other = self.table(), self.table()
        columns = [*qualified("x", table.columns), *qualified("y", other.columns)]
        text = f"{table.name} AS x {join} {other.name} AS y"
        if join == "CROSS JOIN":
            return columns, leaf(text, tag=join)
        left = table.columns[0]
        if (
            join in ("JOIN", "LEFT JOIN")
            and other.columns[0] == left
            and self.wants("JOIN USING", 0.2)
        ):
            return columns, leaf(f"{text} USING ({left.name})", tag="JOIN USING")
        right = [c for c in other.columns if c.type == left.type]
        column = self.rng.choice(right) if right else None
        on = "true" if column is None else f"x.{left.name} = y.{column.name}"
        if join == "FULL JOIN" and column is None:
            on = f"x.{left.name} IS NOT NULL AND y.{other.columns[0].name} IS NOT NULL"
            text, join = f"{table.name} AS x JOIN {other.name} AS y", "JOIN"
        if self.one_of(0.15):
            third = self.table()
            columns += qualified("w", third.columns)
            same = [c for c in columns[: -len(third.columns)] if c.type == third.columns[0].type]
            if same:
                match = f"{self.rng.choice(same).name} = w.{third.columns[0].name}"
                on += f" LEFT JOIN {third.name} AS w ON {match}"
            else:
                on += f" CROSS JOIN {third.name} AS w"
        return columns, leaf(f"{text} ON {on}", tag=join)

    def _values(self) -> tuple[Sequence[Column], Tree]:
        types = [self.exact_type() for _ in range(self.rng.randint(1, 3))]
        columns = [
            Column(f"v{at}", type_, is_wild=True, is_constant=True)
            for at, type_ in enumerate(types)
        ]
        rows = [
            listed(
                [template(f"{{}}::{TYPES[t]}", wrapped(self.literal(t))) for t in types],
                before="(", behind=")", least=len(types),
            )
            for _ in range(self.rng.randint(1, 4))
        ]  # fmt: skip
        names = ", ".join(column.name for column in columns)
        listing = listed(rows, before="(VALUES ", behind=f") AS v ({names})", tag="VALUES in FROM")
        return columns, listing

    def rows_of_function(self) -> tuple[Sequence[Column], Tree]:
        """What a function of rows answers, with its number; called f."""
        kind, text = self.rng.choice(
            [
                ("int4", "generate_series({int4}, {int4} + 3)"),
                ("int4", "generate_series({int4}, {int4}, 2)"),
                ("int4", "generate_series({int4}, {int4}, -3)"),
                ("int8", "generate_series({int8}, {int8})"),
                ("numeric", "generate_series({numeric}, {numeric}, 1.5)"),
                ("timestamp", "generate_series({timestamp}, {timestamp}, '7 years 3 mons')"),
                ("int4", "unnest({int4[]})"),
                ("text", "unnest({text[]})"),
                ("int4", "generate_subscripts({int4[]}, 1)"),
                ("text", "regexp_split_to_table({text}, '[ab ]')"),
                ("text", "string_to_table({text}, ' ')"),
                ("text[]", "regexp_matches({text}, '([a-z])(.)', 'g')"),
                ("jsonb", "jsonb_array_elements(jsonb_build_array({int4}, {text}, {bool}))"),
                ("text", "jsonb_array_elements_text(jsonb_build_array({int4}, {text}))"),
                ("text", "jsonb_object_keys(jsonb_build_object('k', {int4}, 'jj', {text}))"),
            ]
        )
        room = Room((), self.rng.choice([0, 0, 1]), is_tame=True, is_lazy=True)
        parts, operands = [], []
        rest = text
        while "{" in rest:
            before, _, behind = rest.partition("{")
            type_, _, rest = behind.partition("}")
            parts.append(before)
            operands.append(wrapped(self.expression(type_, room)))
        call = template("{}".join([*parts, rest]), *operands)
        if self.wants("WITH ORDINALITY", 0.4):
            columns = [Column("f.v", kind), Column("f.o", "int8")]
            return columns, template("{} WITH ORDINALITY AS f (v, o)", call, tag="WITH ORDINALITY")
        return [Column("f.v", kind)], template("{} AS f (v)", call)

    def where(self, columns: Sequence[Column]) -> Tree:
        if self.one_of(0.45):
            return leaf("")
        room = Room(columns, self.rng.randint(1, 3), is_lazy=True)
        parts = [self.condition(room) for _ in range(self.rng.choice([1, 1, 1, 2]))]
        return listed(parts, " AND ", before=" WHERE ", least=0, tag="WHERE")

    def keys_of(self, columns: Sequence[Column], most: int = 2) -> list[Column]:
        """Columns to group or to sort by."""
        exact = [c for c in columns if c.type not in VAGUE]
        return self.rng.sample(exact, min(len(exact), self.rng.randint(1, most)))
