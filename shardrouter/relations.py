"""What names mean: the relations of a query's FROM, and the queries around it.

Columns are found as in PostgreSQL: an unqualified name among all columns that FROM shows, then in
the query around; a qualified one by its relation's alias. In SQLite's text every relation has a
name of its own (`t1`, `t2`) and every column is written with it, so that SQLite's rules of
visibility never decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shardrouter import syntax, types
from shardrouter.catalog import Catalog, Table
from shardrouter.errors import NotSupported, StatementError
from shardrouter.exceptions import UndefinedTableError
from shardrouter.namespaces import SYSTEM_SCHEMAS
from shardrouter.planned import Operand
from shardrouter.similar_names import closest
from shardrouter.tables import Column, View, ViewName
from shardrouter.typed import Parameters, Typed, quote
from shardrouter.types import OwnTypes, Type

if TYPE_CHECKING:
    from shardrouter.fragments import Cut
    from shardrouter.outputs import Outputs
    from shardrouter.translate import Scope

__all__ = [
    "CommonTable",
    "Names",
    "Relation",
    "Statement",
    "UnknownTable",
    "numbers_of",
    "relation_of",
]


class UnknownTable(UndefinedTableError):
    """The table may be newer than the catalog at hand: worth one look at `meta`."""

    def __init__(
        self, name: str, position: int = 0, schema: str = "", known: Iterable[str] = ()
    ) -> None:
        written = f"{schema}.{name}" if schema else name
        near = closest(name, known, share=3)
        hint = f'Perhaps you meant the table "{near[0]}".' if near else ""
        super().__init__(f'relation "{written}" does not exist', position=position, hint=hint)
        self.name = name


@dataclass(frozen=True)
class Relation:
    """Something in FROM. `number` is unique in the statement; `fields` are its columns by name,
    in order, of which some may have the same name."""

    number: int
    alias: str
    fields: tuple[tuple[str, Typed], ...]
    table: Table | None = None
    through: frozenset[int] = frozenset()
    """Of a plain query: the relations in it whose rows count only if rows of this one do."""
    hidden: tuple[tuple[str, Typed], ...] = ()
    """System columns: only who names one sees it."""
    is_value: bool = False
    """A function that answers values, not rows: its alias names the value."""

    @property
    def schema(self) -> str:
        return "" if self.table is None else self.table.schema

    @property
    def is_plain(self) -> bool:
        """A table by its own name, which a schema before it may tell from another."""
        return self.table is not None and self.table.relname == self.alias

    def find(self, name: str) -> list[Typed]:
        found = [typed for known, typed in self.fields if known == name]
        return found or [typed for known, typed in self.hidden if known == name]


@dataclass
class CommonTable:
    """A query of WITH: its name in SQLite's text, and its columns. While a recursive one is being
    analysed `is_open` says that a reference to it is its own."""

    text: str
    columns: tuple[tuple[str, Typed], ...]
    is_open: bool = False
    references: int = 0


@dataclass
class Statement:
    """What is known of the whole statement while it is analysed."""

    parameters: Parameters
    catalog: Catalog | None = None
    outputs: Callable[[syntax.Query, Scope], Outputs] | None = None  # how a query is analysed
    tables: dict[str, Table] = field(default_factory=dict)  # that it relies on
    scopes: list[Scope] = field(default_factory=list)  # of all its queries, outer ones first
    bounds: list[tuple[str, Operand]] = field(default_factory=list)
    is_volatile: bool = False  # calls something whose answer differs from call to call
    system: dict[str, Table] = field(default_factory=dict)
    """Relations of the system catalogs that it names."""
    asks_catalog: bool = False
    """Only the router can answer it: it names such relations, or calls what knows of them."""
    asks_meta: bool = False
    """The answer depends on what the cluster has now."""
    makes_keys: bool = False
    """It calls what only the router makes: `unique_id()`."""
    own_type: OwnTypes | None = None
    is_kept: bool = False
    """It is the text of a view that is being made."""
    cut: Cut | None = None
    """It is finished in the router: what the shards give for it."""
    conditions: list[tuple[str, frozenset[int]]] = field(default_factory=list)
    """Without a cut: what must be true, and of which relations' rows, for those to count."""
    sent: frozenset[int] = frozenset()
    """The numbers of tables whose rows are sent to the shards."""
    written: list[tuple[int, syntax.TableName, Table]] = field(default_factory=list)
    """What its own text, and not that of a view, names: each table by its number."""
    relations: dict[int, Relation] = field(default_factory=dict)
    """Its tables under the names of their own columns, by their numbers: they are the same when it
    is understood once more."""
    literals: dict[int, Type] = field(default_factory=dict)
    """By their positions, what literals without a type of their own were taken for."""
    columns_named: set[tuple[int, str]] = field(default_factory=set)
    """By the number of their relation, also those that are not needed for the answer."""
    _numbers: int = 0

    def __post_init__(self) -> None:
        if self.own_type is None and self.catalog is not None:
            self.own_type = self.catalog.own_type

    def is_everywhere(self, number: int, table: Table) -> bool:
        """Whether the rows of a source are on every shard: of a reference table, or sent there."""
        return number in self.sent or table.placement == "reference"

    def restrict(self, texts: Sequence[str], numbers: frozenset[int]) -> None:
        """Rows of these relations count only if conditions in these words are true."""
        for text in texts:
            if self.cut is None:
                self.conditions.append((text, numbers))
            else:
                self.cut.filter(text, numbers)

    def ask_router(self, *, about_cluster: bool = True) -> None:
        """Only the router can answer it: of the session, or of what the cluster has."""
        if self.catalog is None:
            raise NotSupported(
                "what asks the system catalogs is not supported in the definition of a table",
                hint="Compute it in the statements that write the column.",
            )
        self.asks_catalog = True
        self.asks_meta |= about_cluster

    def make_keys(self) -> None:
        """It calls `unique_id()`."""
        if self.catalog is None:
            raise NotSupported(
                "unique_id() within an expression is not supported in the definition of a table",
                hint="Alone it may be the DEFAULT of a column.",
            )
        self.makes_keys = True

    def number(self) -> int:
        """Of the next source or common table, t1 or w1 in SQLite's text; no table is called so,
        for that one would be meant where a table is named as it is (in RETURNING, behind WITH)."""
        tables = {} if self.catalog is None else self.catalog.tables
        while True:
            number = self._numbers = self._numbers + 1
            if not any(f"{letter}{number}" in tables for letter in "tTwW"):
                return number

    def table_in_view(self, item: syntax.TableName, view: View) -> tuple[Table, ViewName]:
        """What a name in the text of a view stands for."""
        for meant in view.names:
            if (meant.schema, meant.name) == (item.schema, item.name) and self.catalog is not None:
                table = self.catalog.tables.get(meant.relation)
                if table is not None:
                    self.tables[table.name] = table
                    return table, meant
        raise UnknownTable(item.name, 0, item.schema)

    def table(self, item: syntax.TableName) -> Table:
        table = None if self.catalog is None else self.catalog.table(item.name, item.schema)
        if table is None and item.schema in SYSTEM_SCHEMAS:
            raise NotSupported(
                f'"{item.schema}.{item.name}" is not supported',
                position=item.position,
                hint="SHOW TABLES and SHOW COLUMNS FROM a table tell what there is.",
            )
        if table is None:
            tables = () if self.catalog is None else self.catalog.tables.values()
            known = [other.relname for other in tables]
            raise UnknownTable(item.name, item.position, item.schema, known)
        self.tables[table.name] = table
        return table

    def query(self, node: syntax.Query, scope: Scope) -> Outputs:
        if self.outputs is None:
            raise NotSupported(
                "a subquery is not supported here", hint="Write a value, or compute it before."
            )
        return self.outputs(node, scope)


def relation_of(
    table: Table,
    alias: str,
    number: int,
    renamed: Sequence[syntax.Name] = (),
    prefix: str = "",
    columns: Sequence[tuple[str, Column | None]] | None = None,
) -> Relation:
    """A table as a relation whose columns are written `prefix` before their names. `columns` are
    those that are seen, if not all are, by the names that they have there; None among them stands
    for one that nobody reads."""
    if columns is None:
        columns = [(column.name, column) for column in table.columns]
    if len(renamed) > len(columns):
        raise too_many_names(alias, len(columns), len(renamed), renamed[0].position)
    names = [name.text for name in renamed]
    names += [name for name, _ in columns[len(renamed) :]]
    fields = tuple(
        (
            name,
            Typed("NULL", types.TEXT)
            if column is None
            else Typed(
                prefix + quote(column.name),
                types.of_column(column.type),
                column=(number, column.name),
                modifier=column.modifier,
            ),
        )
        for name, (_, column) in zip(names, columns, strict=True)
    )
    return Relation(number, alias, fields, table)


def numbers_of(relations: Iterable[Relation]) -> frozenset[int]:
    """Which relations' rows count only if what is demanded of these holds."""
    return frozenset().union(*({each.number, *each.through} for each in relations))


def too_many_names(alias: str, there: int, named: int, position: int) -> StatementError:
    return StatementError(
        f'table "{alias}" has {there} columns available but {named} columns specified',
        sqlstate="42P10",
        position=position,
    )


class Names:
    """The names of one query."""

    def __init__(self, statement: Statement, parent: Scope | None = None) -> None:
        self.statement = statement
        self.parent = parent
        self.view: View | None = None if parent is None else parent.view
        """Whose text it is: names of relations mean what they meant when it was made."""
        self.relations: dict[str, Relation] = {}
        self.shown: Sequence[tuple[str, Typed]] = []
        """All columns that `*` means, in order; an unqualified name is one of these."""
        self.qualified_only = False
        """ON CONFLICT DO UPDATE: an unqualified name could be the row's or excluded's."""
        self.common: dict[str, CommonTable] = {}
        self.grouped: dict[str, Typed] = {}
        """What GROUP BY names, by its text."""
        self.loose: list[tuple[str, int, bool]] = []
        """Columns that were read outside of aggregates, as shown, where, whether by a subquery."""
        self.every: dict[str, Typed] = {}
        """What any of several groupings groups by."""
        self.nulled: dict[str, Typed] = {}
        """What another of several groupings groups by, and this one does not: NULL here."""
        self.freed: frozenset[int] = frozenset()
        """Relations whose primary key is grouped by: their columns depend on it."""
        self.nullable: set[int] = set()
        """Relations that an outer join may leave out of a row."""
        self.own_reads = 0
        self.outer_reads = 0

    @property
    def numbers(self) -> frozenset[int]:
        """Of all its relations, and of those that they pass on conditions to."""
        return numbers_of(self.relations.values())

    def show(self, relation: Relation, position: int) -> None:
        """A relation joins FROM; its columns are shown by whoever joins it."""
        if not relation.alias:
            return
        known = self.relations.get(relation.alias)
        if (
            known is not None
            and known.is_plain
            and relation.is_plain
            and known.table is not relation.table
        ):
            self.relations[f"{relation.schema}\0{relation.alias}"] = relation  # told by its schema
            return
        if known is not None:
            raise StatementError(
                f'table name "{relation.alias}" specified more than once',
                sqlstate="42712",
                position=position,
            )
        self.relations[relation.alias] = relation

    def column(self, reference: syntax.ColumnReference) -> Typed:
        scope: Names | None = self
        level = 0
        while scope is not None:
            found = scope.own(reference)
            if found is not None:
                scope.read(reference.name, found, reference.position, level)
                if found.column is not None:
                    self.statement.columns_named.add(found.column)
                if level:
                    self._outer_read(level)
                return found
            scope = scope.parent
            level += 1
        raise self._missing(reference)

    def _outer_read(self, level: int) -> None:
        scope: Names | None = self
        for _ in range(level):
            assert scope is not None
            scope.outer_reads += 1
            scope = scope.parent

    def own(self, reference: syntax.ColumnReference) -> Typed | None:
        """The column, if this query has one of that name."""
        name = reference.name
        if reference.table is None:
            found = [typed for known, typed in self.shown if known == name]
            where = ""
        else:
            relation = self.source_named(reference.table, reference.schema, reference.position)
            if relation is None:
                return None
            found = relation.find(name)
            if not found:
                near = closest(name, (column for column, _ in relation.fields))
                raise StatementError(
                    f"column {reference.table}.{name} does not exist",
                    sqlstate="42703",
                    position=reference.position,
                    hint=f'Perhaps you meant to reference the column "{reference.table}.{near[0]}".'
                    if near
                    else "",
                )
            where = f"{reference.table}."
        if not found and reference.table is None and name in self.relations:
            relation = self.relations[name]
            if relation.is_value:
                return relation.fields[0][1]
        if not found:
            return None
        if len(found) > 1 or (reference.table is None and self.qualified_only):
            raise StatementError(
                f'column reference "{where}{name}" is ambiguous',
                sqlstate="42702",
                position=reference.position,
            )
        return found[0]

    def read(self, name: str, typed: Typed, position: int, level: int = 0) -> None:
        """A column of this query is read, by itself or by a query in it."""
        if level == 0:
            self.own_reads += 1
        if typed.sql in self.grouped:
            return
        for relation in reversed(self.relations.values()):
            for _, other in relation.fields:
                if other is typed:
                    if relation.number not in self.freed:
                        self.loose.append((f"{relation.alias}.{name}", position, level > 0))
                    return
        if 0 not in self.freed:
            self.loose.append((name, position, level > 0))

    def _missing(self, reference: syntax.ColumnReference) -> StatementError:
        name = reference.name
        if reference.table is not None:
            self.check_qualifier(reference.table, reference.position, reference.schema)
        elif self._relation(name) is not None:
            raise NotSupported(
                f'the whole row of "{name}" as a value is not supported',
                position=reference.position,
                hint="Name its columns.",
            )
        known = [
            (column, f"{relation.alias}.{column}")
            for relation in self.relations.values()
            for column, _ in relation.fields
        ]
        near = closest(name, (column for column, _ in known))
        shown = [f'the column "{whole}"' for column, whole in known if column in near]
        # Of more than two PostgreSQL thinks that none was meant.
        hint = f"Perhaps you meant to reference {' or '.join(shown)}." if 0 < len(shown) < 3 else ""
        return StatementError(
            f'column "{name}" does not exist',
            sqlstate="42703",
            position=reference.position,
            hint=hint,
        )

    def source_named(self, alias: str, schema: str = "", position: int = 0) -> Relation | None:
        """The relation of this query that a name before a column means. Raises 42P09."""
        found = [
            relation
            for relation in self.relations.values()
            if relation.alias == alias
            and (not schema or (relation.is_plain and relation.schema == schema))
        ]
        if len(found) > 1:
            raise StatementError(
                f'table reference "{alias}" is ambiguous', sqlstate="42P09", position=position
            )
        return found[0] if found else None

    def _relation(self, alias: str, schema: str = "") -> Relation | None:
        scope: Names | None = self
        while scope is not None:
            if (found := scope.source_named(alias, schema)) is not None:
                return found
            scope = scope.parent
        return None

    def check_qualifier(self, name: str, position: int, schema: str = "") -> None:
        """Raises 42P01 unless a relation of that name is here or around."""
        if self._relation(name, schema) is not None:
            return
        renamed = next(
            (
                relation.alias
                for relation in self.relations.values()
                if relation.table is not None and relation.table.relname == name
            ),
            None,
        )
        is_other = bool(schema) and self._relation(name) is not None
        what = "invalid reference to" if renamed is not None or is_other else "missing"
        raise StatementError(
            f'{what} FROM-clause entry for table "{name}"',
            sqlstate="42P01",
            position=position,
            hint=f'Perhaps you meant to reference the table alias "{renamed}".'
            if renamed is not None
            else "",
        )

    def common_table(self, name: str) -> CommonTable | None:
        scope: Names | None = self
        while scope is not None:
            if name in scope.common:
                return scope.common[name]
            scope = scope.parent
        return None
