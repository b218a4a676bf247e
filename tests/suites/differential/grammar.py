"""Makes statements at random: tables, rows, reads, writes, errors, transactions.

Whatever it draws comes from one `random.Random`, so a seed is a program. It remembers the tables
that it has made, and knows which constructs there are; the rest it draws rarely, to see them
refused. Where two servers may both be right and still differ (the order of rows without ORDER BY,
which of two errors comes first, which of two equal values stands for a group) it makes nothing, or
says so in the statement.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.suites.differential.constructs import (
    EXPRESSIONS,
    OIDS,
    TAME,
    TYPES,
    WILD,
    Expression,
)
from tests.suites.differential.trees import (
    Parameter,
    Tree,
    leaf,
    listed,
    template,
    without_parameters,
    words,
)

__all__ = ["Grammar", "Made", "Table"]

VAGUE: Final = frozenset({"float4", "float8", "numeric", "interval", "jsonb", "json", "bpchar"})
"""Types with values that are equal and do not look so, or that cannot be compared at all."""

KEYS: Final = 12
"""Keys of rows, so that some meet."""

UNTAMED: Final = frozenset({"logic", "comparisons", "text", "JSON", "arrays", "bytea"})
"""Sections whose operators take any value there is."""

COLUMN_TYPES: Final = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "numeric": "numeric",
    "bool": "boolean",
    "text": "text",
    "varchar": "varchar",
    "bpchar": "char(n)",
    "name": "name",
    "bytea": "bytea",
    "uuid": "uuid",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "interval": "interval",
    "json": "json",
    "jsonb": "jsonb",
    "int4[]": "integer[]",
    "text[]": "text[]",
}
"""Types of columns, by the names that constructs have."""


@dataclass(frozen=True)
class Column:
    """A column that expressions may name."""

    name: str
    type: str
    is_wild: bool = False
    """It holds values at the edges."""


@dataclass(frozen=True)
class Table:
    """A table that the program has made; the first column is its primary key."""

    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Made:
    """One statement."""

    tree: Tree
    is_ordered: bool = False
    """The order of its rows is told."""
    is_prepared: bool = False
    is_binary: bool = False
    """Its rows are asked for in the binary format."""


@dataclass
class _Room:
    """What an expression may have at its place."""

    columns: Sequence[Column]
    depth: int
    is_tame: bool = False
    is_lazy: bool = False


@dataclass
class Grammar:
    """`make()` again and again; `known` has the names of constructs that this database has."""

    rng: random.Random
    known: Collection[str]
    refused_share: float = 0.02
    """How often something is drawn that this database does not have."""
    tables: dict[str, Table] = field(default_factory=dict)
    _in_transaction: bool = False
    _before: dict[str, Table] = field(default_factory=dict)
    """The tables at BEGIN."""
    _may_fail: bool = True
    _count: int = 0

    def __post_init__(self) -> None:
        self._types = [t for t in TYPES if self._has(COLUMN_TYPES[t])] or ["int4"]
        self._by_type: dict[str, list[Expression]] = {}
        for expression in EXPRESSIONS:
            if not expression.is_aggregate and expression.name in self.known:
                self._by_type.setdefault(expression.result, []).append(expression)
        self._aggregates = [e for e in EXPRESSIONS if e.is_aggregate and e.name in self.known]
        self._rest = [e for e in EXPRESSIONS if e.name not in self.known]

    # ------------------------------------------------------------------ chance

    def _has(self, construct: str) -> bool:
        return construct in self.known

    def _wants(self, construct: str, share: float) -> bool:
        """Whether to make it here: with this probability, if there is such a thing."""
        if not self._has(construct):
            share *= self.refused_share
        return self.rng.random() < share

    def _one_of(self, share: float) -> bool:
        return self.rng.random() < share

    # ------------------------------------------------------------------ statements

    def make(self) -> Made:
        """The next statement of the program."""
        self._may_fail = True
        if len(self.tables) < 2 or self._one_of(0.02):
            return self._create_table()
        if self._in_transaction and self._one_of(0.15):
            self._in_transaction = False
            word = self.rng.choice(["COMMIT", "ROLLBACK", "END"])
            if word == "ROLLBACK":
                self.tables = self._before
            return Made(leaf(word, tag="BEGIN and COMMIT"))
        if self._in_transaction and self._wants("CREATE TABLE in a transaction", 0.12):
            return self._definition_in_transaction()
        if self._in_transaction and self._wants("SAVEPOINT", 0.1):
            word = self.rng.choice(["SAVEPOINT s", "ROLLBACK TO s", "RELEASE s"])
            return Made(leaf(word, tag="SAVEPOINT"))
        if not self._in_transaction and self._wants("BEGIN and COMMIT", 0.04):
            self._in_transaction = True
            self._before = dict(self.tables)
            return Made(leaf("BEGIN", tag="BEGIN and COMMIT"))
        kind = self.rng.random()
        if kind < 0.60:
            made = self._query()
        elif kind < 0.78:
            made = Made(self._insert())
        elif kind < 0.88:
            made = Made(self._update())
        elif kind < 0.94:
            made = Made(self._delete())
        elif kind < 0.98:
            made = Made(self._mistake())
        else:
            made = Made(self._definition())
        mode = self.rng.random()
        if mode < 0.45:
            return made
        return Made(made.tree, made.is_ordered, is_prepared=True, is_binary=mode > 0.75)

    def _create_table(self) -> Made:
        self._count += 1
        name = f"t{self._count}"
        key_type = self.rng.choice([t for t in ("int4", "int8", "text") if t in self._types])
        columns = [Column("id", key_type)]
        texts = [leaf(f"id {TYPES[key_type]} PRIMARY KEY", tag=COLUMN_TYPES[key_type])]
        for number in range(self.rng.randint(2, 6)):
            type_ = self.rng.choice(self._types)
            column = Column(f"c{number}", type_, self._one_of(0.3))
            columns.append(column)
            texts.append(self._column_definition(column))
        self.tables[name] = Table(name, tuple(columns))
        return Made(listed(texts, before=f"CREATE TABLE {name} (", behind=")", tag="CREATE TABLE"))

    def _column_definition(self, column: Column) -> Tree:
        written = TYPES[column.type]
        tag = COLUMN_TYPES[column.type]
        if column.type == "varchar" and self._wants("varchar(n)", 0.4):
            written, tag = f"varchar({self.rng.randint(1, 6)})", "varchar(n)"
        if column.type == "numeric" and self._wants("numeric(p, s)", 0.4):
            written, tag = "numeric(8,2)", "numeric(p, s)"
        rules: list[Tree] = []
        if self._wants("NOT NULL", 0.15):
            rules.append(leaf("NOT NULL", tag="NOT NULL"))
        if self._wants("DEFAULT of a constant", 0.2):
            value = self._literal(column.type, tame=True)
            if written.startswith("varchar("):  # one that is too long is told at another time
                value = leaf("'a'", "varchar")
            rules.append(template("DEFAULT {}", value, tag="DEFAULT of a constant"))
        if column.type in ("int4", "text", "date", "numeric") and self._wants("CHECK", 0.1):
            bound = self._literal(column.type, tame=True)
            rules.append(template(f"CHECK ({column.name} > {{}})", bound, tag="CHECK"))
        if column.type in ("int4", "text") and self._wants("UNIQUE", 0.06):
            rules.append(leaf("UNIQUE", tag="UNIQUE"))
        return template(f"{column.name} {written} {{}}", listed(rules, " ", least=0), tag=tag)

    def _definition(self) -> Tree:
        """What changes tables, or looks like it."""
        table = self._table()
        choice = self.rng.random()
        if choice < 0.3 and self._wants("TRUNCATE", 1):
            return leaf(f"TRUNCATE {table.name}", tag="TRUNCATE")
        if choice < 0.6 and self._wants("CREATE INDEX", 1):
            self._count += 1
            column = self.rng.choice([c for c in table.columns if c.type not in VAGUE])
            return leaf(f"CREATE INDEX i{self._count} ON {table.name} ({column.name})")
        if choice < 0.8:
            return leaf("DROP TABLE IF EXISTS nowhere", tag="DROP TABLE IF EXISTS")
        return leaf(f"CREATE TABLE {table.name} (k int PRIMARY KEY)", tag="CREATE TABLE")

    def _definition_in_transaction(self) -> Made:
        """A change of the schema that a ROLLBACK, or one to a savepoint, takes back."""
        kind = self.rng.random()
        if kind < 0.4:
            made = self._create_table()
            return Made(template("{}", made.tree, tag="CREATE TABLE in a transaction"))
        table = self._table()
        if kind < 0.6 and len(self.tables) > 2:
            del self.tables[table.name]
            text = f"DROP TABLE {table.name}"
            return Made(leaf(text, tag="DROP TABLE in a transaction"))
        if kind < 0.8:
            self._count += 1
            column = self.rng.choice([c for c in table.columns if c.type not in VAGUE])
            unique = "UNIQUE " if self._one_of(0.5) else ""
            text = f"CREATE {unique}INDEX i{self._count} ON {table.name} ({column.name})"
            return Made(leaf(text, tag="CREATE INDEX in a transaction"))
        text = f"ALTER TABLE {table.name} ADD CHECK (id IS NOT NULL)"
        return Made(leaf(text, tag="ALTER TABLE in a transaction"))

    def _table(self) -> Table:
        return self.rng.choice(list(self.tables.values()))

    # ------------------------------------------------------------------ queries

    def _query(self) -> Made:
        if self._wants("VALUES", 0.02):
            rows = [
                template("({})", listed([self._literal("int4"), self._literal("text")]))
                for _ in range(self.rng.randint(1, 3))
            ]
            return Made(listed(rows, before="VALUES ", tag="VALUES"), True)
        if self._wants("ROLLUP", 0.02):
            return self._grouping_sets()
        if self._wants("LATERAL", 0.03):
            return self._lateral()
        if self._wants("UNION", 0.05):
            types = [self._exact_type() for _ in range(self.rng.randint(1, 3))]
            words = ["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"]
            word = self.rng.choice([word for word in words if self._has(word)])
            halves = [self._plain_select(types) for _ in range(2)]
            order = ", ".join(str(at + 1) for at in range(len(types)))
            body = template(f"{{}} {word} {{}} ORDER BY {order}", *halves, tag=word)
            return Made(body, True)
        if self._wants("GROUP BY", 0.18):
            return self._grouped()
        if self._aggregates and self._wants("aggregates", 0.1):
            table, source = self._source()
            items = [self._aggregate(table) for _ in range(self.rng.randint(1, 3))]
            return Made(
                template("SELECT {} FROM {}{}", listed(items), source, self._where(table)), True
            )
        return self._select()

    def _select(self) -> Made:
        if self._one_of(0.12):
            columns: Sequence[Column] = ()
            source, where = leaf(""), leaf("")
        else:
            columns, tables = self._source()
            source = template(" FROM {}", tables)
            where = self._where(columns)
        types = [self._type() for _ in range(self.rng.randint(1, 4))]
        items = [self._item(type_, columns) for type_ in types]
        if columns and self._wants("row_number()", 0.08) and columns[0].name.endswith("id"):
            items.append(self._window(columns))
            types.append("int8")
        word = "SELECT "
        tag = ""
        is_exact = not set(types) & VAGUE
        if is_exact and self._wants("DISTINCT", 0.08):
            word, tag = "SELECT DISTINCT ", "DISTINCT"
        if not columns:
            return Made(template(f"{word}{{}}", listed(items)), True)
        order, limit = leaf(""), leaf("")
        is_ordered = self._one_of(0.6)
        if is_ordered:
            ways = [self.rng.choice(["", " DESC", " ASC"]) for _ in types]
            if self._wants("NULLS FIRST and LAST", 0.3):
                ways[0] += self.rng.choice([" NULLS FIRST", " NULLS LAST"])
            shown = ", ".join(f"{at + 1}{way}" for at, way in enumerate(ways))
            order = leaf(f" ORDER BY {shown}", tag="ORDER BY a position")
            if is_exact and self._wants("LIMIT and OFFSET", 0.3):
                limit = leaf(
                    f" LIMIT {self.rng.randint(0, 5)}"
                    + (f" OFFSET {self.rng.randint(0, 3)}" if self._one_of(0.4) else ""),
                    tag="LIMIT and OFFSET",
                )
        # Items may be left out by shrinking only while nothing names their positions.
        listing = listed(items, least=len(items) if is_ordered else 1)
        body = template(
            f"{word}{{}}{{}}{{}}{{}}{{}}", listing, source, where, order, limit, tag=tag
        )
        return Made(body, is_ordered and is_exact)

    def _plain_select(self, types: Sequence[str]) -> Tree:
        columns, source = self._source()
        room = self._room(columns, 1)
        room.is_lazy = True  # a row that cannot matter may not be computed
        items = [self._expression(t, room) for t in types]
        return template(
            "SELECT {} FROM {}{}", listed(items, least=len(items)), source, self._where(columns)
        )

    def _grouped(self) -> Made:
        columns, source = self._source()
        exact = [c for c in columns if c.type not in VAGUE]
        keys = self.rng.sample(exact, min(len(exact), self.rng.randint(1, 2)))
        names = ", ".join(key.name for key in keys)
        items = [leaf(key.name) for key in keys]
        items += [self._aggregate(columns) for _ in range(self.rng.randint(0, 2))]
        having = leaf("")
        if self._wants("HAVING", 0.2):
            having = leaf(f" HAVING count(*) > {self.rng.randint(0, 2)}", tag="HAVING")
        body = template(
            f"SELECT {{}} FROM {{}}{{}} GROUP BY {names}{{}} ORDER BY {names}",
            *(listed(items), source, self._where(columns), having),
            tag="GROUP BY",
        )
        return Made(body, True)

    def _grouping_sets(self) -> Made:
        columns, source = self._source()
        exact = [c for c in columns if c.type not in VAGUE]
        keys = self.rng.sample(exact, min(len(exact), self.rng.randint(1, 2)))
        names = ", ".join(key.name for key in keys)
        word = self.rng.choice(["ROLLUP", "CUBE"])
        items = [leaf(key.name) for key in keys]
        items += [leaf(f"grouping({names})"), leaf("count(*)"), self._aggregate(columns)]
        order = ", ".join(str(at + 1) for at in range(len(keys) + 1))
        body = template(
            f"SELECT {{}} FROM {{}}{{}} GROUP BY {word} ({names}) ORDER BY {order}",
            *(listed(items, least=len(items)), source, self._where(columns)),
            tag=word,
        )
        return Made(body, True)

    def _lateral(self) -> Made:
        """A query that reads the table before it, or the elements of an array of its columns."""
        table, other = self._table(), self._table()
        outer = _of("x", table.columns)
        if self._one_of(0.4):
            column = self.rng.choice([c for c in outer if c.type not in VAGUE])
            value = self._literal(column.type)
            rows = template(f"unnest(ARRAY[{column.name}, {{}}]) AS e", value)
            text = f"SELECT x.id, e FROM {table.name} AS x, {{}} ORDER BY 1, 2"
            return Made(template(text, rows, tag="unnest of a column before it"), True)
        room = self._room([*outer, *_of("y", other.columns)], 2)
        type_ = self._exact_type()
        inner = template(
            f"SELECT {{}} AS v FROM {other.name} AS y WHERE {{}} ORDER BY 1 LIMIT 2",
            *(self._expression(type_, room), self._condition(room)),
        )
        joins = ["CROSS JOIN LATERAL ({}) AS q", "LEFT JOIN LATERAL ({}) AS q ON true"]
        join = self.rng.choice(joins)
        body = template(f"SELECT x.id, q.v FROM {table.name} AS x {join} ORDER BY 1, 2", inner)
        return Made(template("{}", body, tag="LATERAL"), True)

    def _source(self) -> tuple[Sequence[Column], Tree]:
        """Relations of a FROM, and the columns they give."""
        table = self._table()
        if self._wants("subquery in FROM", 0.06):
            inner = template(f"(SELECT * FROM {table.name}{{}}) AS q", self._where(table.columns))
            return _of("q", table.columns), inner
        join = self.rng.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"])
        if self._wants(join, 0.25):
            other = self._table()
            columns = [*_of("x", table.columns), *_of("y", other.columns)]
            text = f"{table.name} AS x {join} {other.name} AS y"
            if join == "CROSS JOIN":
                return columns, leaf(text, tag=join)
            right = [c for c in other.columns if c.type == table.columns[0].type]
            column = self.rng.choice(right) if right else None
            on = "true" if column is None else f"x.id = y.{column.name}"
            if join == "FULL JOIN" and column is None:
                on = "x.id IS NOT NULL AND y.id IS NOT NULL"
                text, join = f"{table.name} AS x JOIN {other.name} AS y", "JOIN"
            return columns, leaf(f"{text} ON {on}", tag=join)
        if self._wants("alias of a table", 0.2):
            return _of("q", table.columns), leaf(f"{table.name} AS q", tag="alias of a table")
        return table.columns, leaf(table.name)

    def _where(self, columns: Sequence[Column]) -> Tree:
        if self._one_of(0.45):
            return leaf("")
        room = self._room(columns, self.rng.randint(1, 3))
        room.is_lazy = True
        parts = [self._condition(room) for _ in range(self.rng.choice([1, 1, 1, 2]))]
        return listed(parts, " AND ", before=" WHERE ", least=0, tag="WHERE")

    def _condition(self, room: _Room) -> Tree:
        table = self._table()
        if self._wants("EXISTS", 0.04):
            return leaf(f"EXISTS (SELECT 1 FROM {table.name} AS z)", tag="EXISTS")
        if self._wants("IN (subquery)", 0.04):
            column = self.rng.choice(table.columns)
            if column.type not in VAGUE:
                value = self._expression(column.type, self._inner(room))
                text = f"{{}} IN (SELECT z.{column.name} FROM {table.name} AS z)"
                return template(text, _wrapped(value), tag="IN (subquery)")
        return _wrapped(self._expression("bool", room))

    def _item(self, type_: str, columns: Sequence[Column]) -> Tree:
        value = self._expression(type_, self._room(columns, self.rng.randint(0, 3)))
        if self._one_of(0.15):
            return template("{} AS " + self.rng.choice(["x1", '"Big"', "value"]), value)
        return value

    def _aggregate(self, columns: Sequence[Column]) -> Tree:
        if not self._aggregates:
            return leaf("count(*)", "int8")
        expression = self.rng.choice(self._aggregates)
        room = self._room(columns, self.rng.choice([0, 0, 1]))
        room.is_tame = not expression.text.startswith(("min", "max", "count", "array", "string"))
        room.is_lazy = True
        return self._of(expression, room, wraps=False)

    def _window(self, columns: Sequence[Column]) -> Tree:
        key = columns[0].name
        word = self.rng.choice(["row_number()", "rank()", "dense_rank()", "lag() and lead()"])
        call = f"lag({key})" if word == "lag() and lead()" else word
        if not self._has(word):
            word = call = "row_number()"
        exact = [c.name for c in columns if c.type not in VAGUE]
        part = f"PARTITION BY {self.rng.choice(exact)} " if self._one_of(0.4) else ""
        return leaf(f"{call} OVER ({part}ORDER BY {key})", tag=word)

    # ------------------------------------------------------------------ changes

    def _insert(self) -> Tree:
        table = self._table()
        columns = list(table.columns)
        if self._one_of(0.3):
            columns = [
                columns[0],
                *self.rng.sample(columns[1:], self.rng.randint(1, len(columns) - 1)),
            ]
        rows = [self._row(columns) for _ in range(self.rng.choice([1, 1, 2, 4]))]
        names = ", ".join(column.name for column in columns)
        tag = "INSERT of one row" if len(rows) == 1 else "INSERT of several rows"
        values = listed(rows, before=f"INSERT INTO {table.name} ({names}) VALUES ", tag=tag)
        conflict = leaf("")
        if self._wants("ON CONFLICT DO NOTHING", 0.15):
            conflict = leaf(" ON CONFLICT DO NOTHING", tag="ON CONFLICT DO NOTHING")
        elif len(rows) == 1 and len(columns) > 1 and self._wants("ON CONFLICT DO UPDATE", 0.15):
            name = columns[1].name
            conflict = leaf(
                f" ON CONFLICT (id) DO UPDATE SET {name} = excluded.{name}",
                tag="ON CONFLICT DO UPDATE",
            )
        return template("{}{}{}", values, conflict, self._returning(table, "INSERT RETURNING"))

    def _row(self, columns: Sequence[Column]) -> Tree:
        values = []
        for column in columns:
            if column.name == "id":
                values.append(self._key(column.type))
            elif self._wants("INSERT with DEFAULT", 0.03):
                values.append(leaf("DEFAULT", tag="INSERT with DEFAULT"))
            else:
                values.append(self._assigned(column, tame=not column.is_wild))
        return listed(values, before="(", behind=")", least=len(values))

    def _assigned(self, column: Column, *, tame: bool = False) -> Tree:
        """A value for a column. Whether one that does not fit fails over no rows depends on
        whether PostgreSQL has planned for the parameter's value, so there is none."""
        value = self._literal(column.type, tame=tame)
        return without_parameters(value) if column.type in ("varchar", "numeric") else value

    def _key(self, type_: str) -> Tree:
        number = self.rng.randint(1, KEYS)
        text = f"'k{number}'" if type_ == "text" else str(number)
        return leaf(text, type_, parameter=self._parameter(text.strip("'"), type_))

    def _update(self) -> Tree:
        table = self._table()
        column = self.rng.choice(table.columns[1:])
        if column.is_wild:
            value = self._assigned(column)
        else:
            room = self._room(table.columns, self.rng.randint(0, 2))
            room.is_lazy = True
            room.is_tame = True
            value = without_parameters(self._expression(column.type, room))
        return template(
            f"UPDATE {table.name} SET {column.name} = {{}}{{}}{{}}",
            *(value, self._which(table), self._returning(table, "UPDATE RETURNING")),
            tag="UPDATE by a condition",
        )

    def _delete(self) -> Tree:
        table = self._table()
        return template(
            f"DELETE FROM {table.name}{{}}{{}}",
            *(self._which(table), self._returning(table, "DELETE RETURNING")),
            tag="DELETE by a condition",
        )

    def _which(self, table: Table) -> Tree:
        """Mostly by the key."""
        if self._one_of(0.6):
            return template(" WHERE id = {}", self._key(table.columns[0].type))
        return self._where(table.columns)

    def _returning(self, table: Table, construct: str) -> Tree:
        if not self._wants(construct, 0.3):
            return leaf("")
        if self._one_of(0.4):
            return leaf(" RETURNING *", tag=construct)
        items = [self._item(self._type(), table.columns) for _ in range(self.rng.randint(1, 2))]
        return listed(items, before=" RETURNING ", tag=construct)

    # ------------------------------------------------------------------ mistakes

    def _mistake(self) -> Tree:
        """What PostgreSQL refuses, mostly; sometimes it finds a meaning."""
        table = self._table()
        kind = self.rng.randrange(6)
        if kind == 0:
            return leaf(f"SELECT nothing FROM {table.name}")
        if kind == 1:
            return leaf("SELECT 1 FROM nowhere")
        if kind == 2:
            return leaf(f"INSERT INTO {table.name} (id, nothing) VALUES (1, 2)")
        if kind == 3:
            column = self.rng.choice(table.columns)
            return leaf(f"SELECT {column.name}, count(*) FROM {table.name}")
        if kind == 4:
            return leaf(f"SELECT * FROM {table.name} WHERE {table.columns[-1].name}")
        supported = [e for e in EXPRESSIONS if e.name in self.known and e.operands]
        expression = self.rng.choice(supported)
        operands = [
            _wrapped(self._leaf(self._type(), self._room(table.columns, 0)))
            for _ in expression.operands
        ]
        asked = template("SELECT {} FROM " + table.name, template(expression.text, *operands))
        return without_parameters(asked) if expression.may_fail else asked

    # ------------------------------------------------------------------ expressions

    def _type(self) -> str:
        return self.rng.choice(self._types)

    def _exact_type(self) -> str:
        return self.rng.choice([t for t in self._types if t not in VAGUE])

    def _room(self, columns: Sequence[Column], depth: int) -> _Room:
        return _Room(columns, depth)

    def _inner(self, room: _Room, **changes: bool) -> _Room:
        return _Room(
            room.columns,
            max(room.depth - 1, 0),
            room.is_tame or changes.get("is_tame", False),
            room.is_lazy or changes.get("is_lazy", False),
        )

    def _expression(self, type_: str, room: _Room) -> Tree:
        if room.depth == 0 or self._one_of(0.15):
            return self._leaf(type_, room)
        may_fail = self._may_fail and not room.is_lazy
        choices = [e for e in self._by_type.get(type_, ()) if may_fail or not e.may_fail]
        if self._one_of(self.refused_share):
            choices = [e for e in self._rest if e.result == type_ and not e.is_aggregate] or choices
        if not choices:
            return self._leaf(type_, room)
        expression = self.rng.choice(choices)
        if not expression.may_fail:
            return self._of(expression, room)
        self._may_fail = False
        if not room.columns:
            return self._of(expression, room)
        # Over no rows a constant fails to a server that computes it while planning, and not to
        # another, so there has to be a column in it.
        bare = _Room(room.columns, 1, room.is_tame, room.is_lazy)
        made = without_parameters(self._of(expression, bare))
        names = {column.name for column in room.columns}
        return made if names & set(words(made)) else self._leaf(type_, room)

    def _of(self, expression: Expression, room: _Room, *, wraps: bool = True) -> Tree:
        inner = self._inner(
            room,
            is_tame=expression.section not in UNTAMED and not expression.is_aggregate,
            is_lazy=expression.is_lazy,
        )
        operands = [_wrapped(self._expression(o, inner)) for o in expression.operands]
        return template(expression.text, *operands, type_=expression.result, tag=expression.name)

    def _leaf(self, type_: str, room: _Room) -> Tree:
        columns = [c for c in room.columns if c.type == type_ and not (c.is_wild and room.is_tame)]
        if columns and self._one_of(0.7):
            return leaf(self.rng.choice(columns).name, type_)
        return self._literal(type_, tame=room.is_tame)

    def _literal(self, type_: str, *, tame: bool = False) -> Tree:
        written = TYPES[type_]
        if self._one_of(0.06):
            return leaf(self.rng.choice(["NULL", f"NULL::{written}"]), type_)
        values = TAME[type_] if tame or self._one_of(0.6) else WILD[type_]
        value = self.rng.choice(values)
        quoted = "'" + value.replace("'", "''") + "'"
        style = self.rng.random()
        is_bare = {
            "int4": style < 0.8,
            "bool": style < 0.8,
            "numeric": "." in value and style < 0.5,
        }
        if is_bare.get(type_, False):
            text = f"({value})" if value.startswith("-") else value
        elif type_ in ("int2", "int8") and style < 0.3 and not value.startswith("-"):
            text = f"{value}::{written}"
        elif type_ == "text" and style < 0.8:
            text = quoted
        elif style < 0.9:
            text = f"{quoted}::{written}"
        else:
            text = f"CAST({quoted} AS {written})"
        return leaf(text, type_, parameter=self._parameter(value, type_))

    def _parameter(self, value: str, type_: str) -> Parameter | None:
        """For half of the leaves, should the statement be prepared."""
        if self._one_of(0.5):
            return None
        if self._may_fail and self._one_of(0.2):
            self._may_fail = False  # the value may be none of the type that the server finds
            return Parameter(value, 0)
        return Parameter(value, OIDS[type_])


def _of(qualifier: str, columns: Sequence[Column]) -> list[Column]:
    return [Column(f"{qualifier}.{c.name}", c.type, c.is_wild) for c in columns]


def _wrapped(tree: Tree) -> Tree:
    """In parentheses, where it is no single word."""
    if not tree.children and tree.texts[0].replace(".", "").replace("_", "").isalnum():
        return tree
    return template("({})", tree)
