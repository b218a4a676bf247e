"""Queries at random, of which every server must answer the same rows."""

from __future__ import annotations

from collections.abc import Sequence

from tests.suites.differential.chance import VAGUE, Column, Made, qualified
from tests.suites.differential.sources import Sources
from tests.suites.differential.trees import Tree, leaf, listed, template, words
from tests.suites.differential.values import Room, wrapped

__all__ = ["Queries"]


class Queries(Sources):
    def query(self) -> Made:
        if self.wants("VALUES", 0.02):
            rows = [
                template("({})", listed([self.literal("int4"), self.literal("text")], least=2))
                for _ in range(self.rng.randint(1, 3))
            ]
            return Made(listed(rows, before="VALUES ", tag="VALUES"), True)
        for construct, share, make in (
            ("ROLLUP", 0.03, self._grouping_sets),
            ("LATERAL", 0.03, self._lateral),
            ("DISTINCT ON", 0.03, self._distinct_on),
            ("FETCH FIRST WITH TIES", 0.03, self._with_ties),
            ("generate_series", 0.05, self._of_functions),
            ("WITH", 0.05, self._with),
            ("WITH RECURSIVE", 0.02, self._recursive),
            ("aggregate OVER", 0.05, self._windowed),
            ("UNION", 0.05, self._combined),
            ("GROUP BY", 0.18, self._grouped),
            ("aggregates", 0.1, self._aggregated),
        ):
            if self.wants(construct, share):
                return make()
        return self.select()

    # ------------------------------------------------------------------ plain ones

    def select(self) -> Made:
        if self.one_of(0.12):
            columns: Sequence[Column] = ()
            source, where = leaf(""), leaf("")
        else:
            columns, tables = self.source()
            source = template(" FROM {}", tables)
            where = self.where(columns)
        types = [self.type() for _ in range(self.rng.randint(1, 4))]
        items = [self.item(type_, columns) for type_ in types]
        word, tag = "SELECT ", ""
        is_exact = not set(types) & VAGUE
        if is_exact and self.wants("DISTINCT", 0.08):
            word, tag = "SELECT DISTINCT ", "DISTINCT"
        if not columns:
            return Made(template(f"{word}{{}}", listed(items)), True)
        order, limit = leaf(""), leaf("")
        is_ordered = self.one_of(0.6)
        if is_ordered:
            order = self._order(len(types))
            if is_exact and self.wants("LIMIT and OFFSET", 0.3):
                limit = self._limit()
        # Items may be left out by shrinking only while nothing names their positions.
        listing = listed(items, least=len(items) if is_ordered else 1)
        body = template(
            f"{word}{{}}{{}}{{}}{{}}{{}}", listing, source, where, order, limit, tag=tag
        )
        return Made(body, is_ordered and is_exact)

    def _order(self, count: int) -> Tree:
        ways = [self.rng.choice(["", " DESC", " ASC"]) for _ in range(count)]
        if self.wants("NULLS FIRST and LAST", 0.3):
            ways[0] += self.rng.choice([" NULLS FIRST", " NULLS LAST"])
        shown = ", ".join(f"{at + 1}{way}" for at, way in enumerate(ways))
        return leaf(f" ORDER BY {shown}", tag="ORDER BY a position")

    def _limit(self) -> Tree:
        count = self.rng.randint(0, 5)
        if self.wants("FETCH FIRST", 0.2):
            return leaf(f" FETCH FIRST {count} ROWS ONLY", tag="FETCH FIRST")
        offset = f" OFFSET {self.rng.randint(0, 3)}" if self.one_of(0.4) else ""
        return leaf(f" LIMIT {count}{offset}", tag="LIMIT and OFFSET")

    def plain_select(self, types: Sequence[str]) -> Tree:
        columns, source = self.source()
        # A row that cannot matter may not be computed.
        room = Room(columns, 1, is_lazy=True)
        items = [self.expression(t, room) for t in types]
        return template(
            "SELECT {} FROM {}{}", listed(items, least=len(items)), source, self.where(columns)
        )

    def item(self, type_: str, columns: Sequence[Column]) -> Tree:
        value = self.expression(type_, Room(columns, self.rng.randint(0, 3)))
        if self.one_of(0.15):
            return template("{} AS " + self.rng.choice(["x1", '"Big"', "value"]), value)
        return value

    def _combined(self) -> Made:
        types = [self.exact_type() for _ in range(self.rng.randint(1, 3))]
        known = ["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"]
        word = self.rng.choice([word for word in known if self.has(word)])
        halves = [self.plain_select(types) for _ in range(2)]
        order = ", ".join(str(at + 1) for at in range(len(types)))
        body = template(f"{{}} {word} {{}} ORDER BY {order}", *halves, tag=word)
        return Made(body, True)

    def _distinct_on(self) -> Made:
        """The first row of each key, in an order that leaves nothing open."""
        table = self.table()
        keys = self.keys_of(table.columns[1:] or table.columns)
        if not keys:
            return self.select()
        names = ", ".join(key.name for key in keys)
        room = Room(table.columns, 1, is_lazy=True)
        items = [leaf(key.name) for key in keys] + [self.expression(self.type(), room)]
        ways = ", ".join(key.name + self.rng.choice(["", " DESC"]) for key in keys)
        body = template(
            f"SELECT DISTINCT ON ({names}) {{}} FROM {table.name}{{}} ORDER BY {ways}, "
            f"{table.columns[0].name}",
            *(listed(items, least=1), self.where(table.columns)),
            tag="DISTINCT ON",
        )
        return Made(body, True)

    def _with_ties(self) -> Made:
        columns, source = self.source()
        keys = self.keys_of(columns, 1)
        if not keys:
            return self.select()
        room = Room(columns, 1, is_lazy=True)
        way = self.rng.choice(["", " DESC", " NULLS FIRST"])
        items = [leaf(keys[0].name), self.expression(self.type(), room)]
        body = template(
            f"SELECT {{}} FROM {{}}{{}} ORDER BY {keys[0].name}{way} "
            f"FETCH FIRST {self.rng.randint(1, 4)} ROWS WITH TIES",
            *(listed(items), source, self.where(columns)),
            tag="FETCH FIRST WITH TIES",
        )
        return Made(body)

    # ------------------------------------------------------------------ groups

    def _aggregated(self) -> Made:
        columns, source = self.source()
        items = [self.aggregate(columns) for _ in range(self.rng.randint(1, 3))]
        return Made(
            template("SELECT {} FROM {}{}", listed(items), source, self.where(columns)), True
        )

    def aggregate(self, columns: Sequence[Column]) -> Tree:
        if not self.aggregates:
            return leaf("count(*)", "int8")
        expression = self.rng.choice(self.aggregates)
        room = Room(columns, self.rng.choice([0, 0, 1]), is_lazy=True)
        room.is_tame = not expression.text.startswith(("min", "max", "count", "array", "string"))
        return self.applied(expression, room, wraps=False)

    def _grouped(self) -> Made:
        columns, source = self.source()
        keys = self.keys_of(columns)
        names = ", ".join(key.name for key in keys)
        if not keys:
            return self._aggregated()
        items = [leaf(key.name) for key in keys]
        if self.wants("GROUP BY an expression", 0.15):
            room = Room(columns, 1, is_lazy=True)
            made = [self.expression(self.exact_type(), room) for _ in keys]
            shown = ", ".join(str(at + 1) for at in range(len(made)))
            listing = listed([*made, self.aggregate(columns)], least=len(made))
            body = template(
                f"SELECT {{}} FROM {{}}{{}} GROUP BY {shown} ORDER BY {shown}",
                *(listing, source, self.where(columns)),
                tag="GROUP BY a position",
            )
            return Made(body, True)
        items += [self.aggregate(columns) for _ in range(self.rng.randint(0, 2))]
        having = leaf("")
        if self.wants("HAVING", 0.2):
            having = leaf(f" HAVING count(*) > {self.rng.randint(0, 2)}", tag="HAVING")
        body = template(
            f"SELECT {{}} FROM {{}}{{}} GROUP BY {names}{{}} ORDER BY {names}",
            *(listed(items), source, self.where(columns), having),
            tag="GROUP BY",
        )
        return Made(body, True)

    def _grouping_sets(self) -> Made:
        columns, source = self.source()
        keys = [key.name for key in self.keys_of(columns, 3)]
        if not keys:
            return self._aggregated()
        names = ", ".join(keys)
        word = self.rng.choice(["ROLLUP", "CUBE", "GROUPING SETS"])
        sets = f"{word} ({names})"
        if word == "GROUPING SETS":
            drawn = [
                self.rng.sample(keys, self.rng.randint(0, len(keys)))
                for _ in range(self.rng.randint(1, 3))
            ]
            drawn.append(keys)  # each is in one set at least
            sets = f"GROUPING SETS ({', '.join('(' + ', '.join(one) + ')' for one in drawn)})"
        items = [leaf(key) for key in keys]
        items += [leaf(f"grouping({names})"), leaf("count(*)"), self.aggregate(columns)]
        order = ", ".join(str(at + 1) for at in range(len(keys) + 2))
        body = template(
            f"SELECT {{}} FROM {{}}{{}} GROUP BY {sets} ORDER BY {order}",
            *(listed(items, least=len(items)), source, self.where(columns)),
            tag=word,
        )
        # A set that is there twice has equal groups, and so have two empty ones.
        return Made(body, word != "GROUPING SETS")

    # ------------------------------------------------------------------ windows

    def _windowed(self) -> Made:
        """Calls over windows whose order leaves nothing open."""
        table = self.table()
        key = table.columns[0].name
        items: list[Tree] = [leaf(key)]
        window = self._window(table.columns)
        has_name = self.wants("WINDOW clause", 0.3)
        for _ in range(self.rng.randint(1, 3)):
            call = self._called_over(table.columns)
            over = "w" if has_name else f"({window})"
            items.append(template(f"{{}} OVER {over}", call))
        clause = f" WINDOW w AS ({window})" if has_name else ""
        body = template(
            f"SELECT {{}} FROM {table.name}{{}}{clause} ORDER BY {key}",
            *(listed(items), self.where(table.columns)),
            tag="WINDOW clause" if has_name else "aggregate OVER",
        )
        return Made(body, True)

    def _window(self, columns: Sequence[Column]) -> str:
        key = columns[0].name
        parts = []
        others = self.keys_of(columns[1:], 1)
        if others and self.one_of(0.5):
            parts.append(f"PARTITION BY {others[0].name}")
        parts.append(f"ORDER BY {key}{self.rng.choice(['', ' DESC'])}")
        if self.wants("window frame", 0.4):
            bounds = self.rng.choice(
                [
                    "BETWEEN 1 PRECEDING AND CURRENT ROW",
                    "BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
                    "BETWEEN CURRENT ROW AND 2 FOLLOWING",
                    "UNBOUNDED PRECEDING",
                    "BETWEEN 2 PRECEDING AND 1 PRECEDING",
                    "BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING",
                ]
            )
            unit = self.rng.choice(["ROWS", "ROWS", "GROUPS"])
            exclude = self.rng.choice(["", "", "", " EXCLUDE CURRENT ROW", " EXCLUDE TIES"])
            parts.append(f"{unit} {bounds}{exclude}")
        return " ".join(parts)

    def _called_over(self, columns: Sequence[Column]) -> Tree:
        column = self.rng.choice(columns).name
        kind = self.rng.random()
        if kind < 0.4:
            plain = [
                e for e in self.aggregates
                if not any(word in e.text for word in ("DISTINCT", "ORDER BY", "WITHIN", "FILTER"))
                and not e.text.startswith(("array_agg", "string_agg"))
                # Sums that move along are exact in PostgreSQL for numbers that are.
                and "float" not in e.result + "".join(e.operands)
            ]  # fmt: skip
            room = Room(columns, 0, is_tame=True, is_lazy=True)
            if plain:
                return self.applied(self.rng.choice(plain), room, wraps=False)
        call, tag = self.rng.choice(
            [
                ("row_number()", "row_number()"),
                ("rank()", "rank()"),
                ("dense_rank()", "dense_rank()"),
                ("percent_rank()", ""),
                ("cume_dist()", ""),
                ("ntile(3)", "ntile()"),
                (f"lag({column})", "lag() and lead()"),
                (f"lead({column}, 2)", "lag() and lead()"),
                (f"lag({column}, 0)", "lag() and lead()"),
                (f"first_value({column})", "first_value()"),
                (f"last_value({column})", ""),
                (f"nth_value({column}, 2)", ""),
            ]
        )
        return leaf(call, tag=tag)

    # ------------------------------------------------------------------ queries within

    def _lateral(self) -> Made:
        """A query that reads the table before it, or the elements of an array of its columns."""
        table, other = self.table(), self.table()
        key = table.columns[0].name
        outer = qualified("x", table.columns)
        if self.one_of(0.4):
            column = self.rng.choice([c for c in outer if c.type not in VAGUE])
            value = self.literal(column.type)
            rows = template(f"unnest(ARRAY[{column.name}, {{}}]) AS e", value)
            text = f"SELECT x.{key}, e FROM {table.name} AS x, {{}} ORDER BY 1, 2"
            return Made(template(text, rows, tag="unnest of a column before it"), True)
        room = Room([*outer, *qualified("y", other.columns)], 2, is_lazy=True)
        type_ = self.exact_type()
        inner = template(
            f"SELECT {{}} AS v FROM {other.name} AS y WHERE {{}} ORDER BY 1 LIMIT 2",
            *(self.expression(type_, room), self.condition(room)),
        )
        joins = ["CROSS JOIN LATERAL ({}) AS q", "LEFT JOIN LATERAL ({}) AS q ON true"]
        join = self.rng.choice(joins)
        body = template(f"SELECT x.{key}, q.v FROM {table.name} AS x {join} ORDER BY 1, 2", inner)
        return Made(template("{}", body, tag="LATERAL"), True)

    def _of_functions(self) -> Made:
        columns, rows = self.rows_of_function()
        room = Room(columns, 1, is_lazy=True)
        items = [leaf(column.name) for column in columns] + [self.expression(self.type(), room)]
        body = template(
            "SELECT {} FROM {}{}",
            *(listed(items), rows, self.where(columns)),
            tag="generate_series",
        )
        return Made(body)

    def _with(self) -> Made:
        """Queries that have names, read once or twice."""
        table = self.table()
        hint = self.rng.choice(["", "", "MATERIALIZED ", "NOT MATERIALIZED "])
        first = template(f"q AS {hint}(SELECT * FROM {table.name}{{}})", self.where(table.columns))
        columns = list(table.columns)
        if self.wants("WITH of several", 0.4):
            room = Room(columns, 1, is_lazy=True)
            types = [self.exact_type() for _ in range(self.rng.randint(1, 3))]
            made = [
                template(f"{{}} AS d{at}", wrapped(self.expression(type_, room)))
                for at, type_ in enumerate(types)
            ]
            second = template("{}, r AS (SELECT {} FROM q)", first, listed(made, least=len(made)))
            names = {column.name for column in table.columns}
            columns = [
                Column(f"r.d{at}", type_, is_wild=True, is_constant=not names & set(words(one)))
                for at, (type_, one) in enumerate(zip(types, made, strict=True))
            ]
            items = [self.item(self.type(), columns) for _ in range(self.rng.randint(1, 3))]
            source, prefix, tag = leaf("r"), second, "WITH of several"
            if self.one_of(0.3):
                source = leaf("r CROSS JOIN (SELECT count(*) AS n FROM q) AS n")
        else:
            items = [self.item(self.type(), columns) for _ in range(self.rng.randint(1, 3))]
            source, prefix, tag = leaf("q"), first, "WITH"
        body = template(
            "WITH {} SELECT {} FROM {}{}",
            *(prefix, listed(items), source, self.where(columns)),
            tag=tag,
        )
        return Made(body)

    def _recursive(self) -> Made:
        start, step, end = self.rng.randint(-2, 3), self.rng.randint(1, 3), self.rng.randint(2, 9)
        word = self.rng.choice(["UNION ALL", "UNION"])
        columns = [Column("n.i", "int4"), Column("n.t", "text")]
        seed = wrapped(self.expression("text", Room((), 1, is_lazy=True)))
        room = Room(columns, 2, is_lazy=True)
        items = [leaf("n.i"), self.expression(self.type(), room)]
        body = template(
            f"WITH RECURSIVE n (i, t) AS (SELECT {start}, {{}} {word} SELECT n.i + {step}, n.t || "
            f"'a' FROM n WHERE n.i < {end}) SELECT {{}} FROM n{{}}",
            *(seed, listed(items), self.where(columns)),
            tag="WITH RECURSIVE",
        )
        return Made(body)
