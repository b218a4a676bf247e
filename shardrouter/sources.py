"""FROM: relations, joins, and the text of both.

RIGHT JOIN is written as a LEFT JOIN the other way round, USING and NATURAL as the conditions that
they are. What an inner join or the right side of a LEFT JOIN demands also says which rows can
count at all, from which the shard is found (`shardrouter.placing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shardrouter import operators, syntax
from shardrouter.catalogs import builtin
from shardrouter.common_types import common_type
from shardrouter.conditions import conjuncts, demand
from shardrouter.errors import NotSupported, StatementError
from shardrouter.locality import Joined, Leaf, Shape
from shardrouter.outputs import Rows, Selected, item_types
from shardrouter.relations import Relation, numbers_of, relation_of, too_many_names
from shardrouter.row_functions import rows_of
from shardrouter.series import is_plain_series, series
from shardrouter.set_functions import is_of_several
from shardrouter.set_functions import rows_of as rows_side_by_side
from shardrouter.tables import Column, Table
from shardrouter.translate import Scope
from shardrouter.typed import Typed, apply, implicit, quote
from shardrouter.types import BIGINT, NO_MODIFIER, OID, TEXT
from shardrouter.views import expanded

__all__ = ["from_clause", "compared"]

Shown = list[tuple[str, Typed]]


@dataclass
class _Source:
    text: str
    relations: list[Relation]
    shown: Shown
    shape: Shape
    is_join: bool = False

    @property
    def operand(self) -> str:
        """As the right side of a join, or one of a list."""
        return f"({self.text})" if self.is_join else self.text

    @property
    def numbers(self) -> frozenset[int]:
        return numbers_of(self.relations)


def from_clause(items: Sequence[syntax.FromItem], scope: Scope) -> str:
    """The text of FROM, empty without one; the scope then knows its names."""
    sources = []
    marks = len(scope.loose)
    for item in items:
        source = _source(item, scope)
        sources.append(source)
        scope.shapes.append(source.shape)
        for relation in source.relations:  # LATERAL sees what stands before it
            scope.show(relation, 0)
        scope.shown = [*scope.shown, *source.shown]
    del scope.loose[marks:]
    if not sources:
        return ""
    first, *others = sources
    return " FROM " + ", ".join([first.text, *(source.operand for source in others)])


def _source(item: syntax.FromItem, scope: Scope) -> _Source:
    match item:
        case syntax.TableName():
            return _table(item, scope)
        case syntax.FromQuery():
            return _query(item, scope)
        case syntax.FromCall():
            return _call(item, scope)
        case syntax.Join():
            return _join(item, scope)


def _plain(text: str, relation: Relation, inner: int = 0, *, opaque: bool = False) -> _Source:
    return _Source(text, [relation], list(relation.fields), Leaf(relation, inner, opaque))


def _table(item: syntax.TableName, scope: Scope) -> _Source:
    common = None if item.schema else scope.common_table(item.name)
    number = scope.statement.number()
    if common is not None:
        common.references += 1
        fields = _renamed(common.columns, item.columns, item.alias, f"t{number}.")
        relation = Relation(number, item.alias, fields)
        return _plain(f"{common.text} AS t{number}", relation, opaque=True)
    system = builtin.find(item.schema, item.name)
    if system is not None:
        scope.statement.system[system.name] = system
        scope.statement.ask_router()
        relation = relation_of(system, item.alias, number, item.columns, f"t{number}.")
        relation = replace(relation, hidden=_system_columns(system, number))
        return _plain(f"{quote(system.name)} AS t{number}", relation)
    if scope.view is None:
        table = scope.statement.table(item)
        scope.statement.written.append((number, item, table))
        columns = None
    else:
        table, meant = scope.statement.table_in_view(item, scope.view)
        columns = [(name, table.column(now) if now else None) for name, now in meant.columns]
    if table.view is not None:
        return _view(item, table, number, columns, scope)
    is_plain = columns is None and not item.columns
    known = scope.statement.relations.get(number) if is_plain else None
    if known is not None and known.table is table and known.alias == item.alias:
        relation = known
    else:
        relation = relation_of(table, item.alias, number, item.columns, f"t{number}.", columns)
        if is_plain:
            scope.statement.relations[number] = relation
    scope.named.append((number, table))
    if table.placement == "sharded":
        scope.sharded.append((number, table))
    cut = scope.statement.cut
    name = quote(table.name) if cut is None else cut.source(number, table)
    return _plain(f"{name} AS t{number}", relation)


def _system_columns(system: Table, number: int) -> tuple[tuple[str, Typed], ...]:
    """Of a relation of the catalogs: `tableoid`, by which comments and dependencies name it."""
    found = builtin.RELATIONS[system.name]
    if found.kind != "r":
        return ()
    first = f"t{number}.{quote(system.columns[0].name)}"  # NULL only where a join found no row
    return (("tableoid", Typed(f"iif({first} IS NULL, NULL, {found.oid})", OID)),)


def _view(
    item: syntax.TableName,
    view: Table,
    number: int,
    seen: Sequence[tuple[str, Column | None]] | None,
    scope: Scope,
) -> _Source:
    """A view is what its query answers, under the names of its own columns; `seen` are those that
    the view around it knows, in its words."""
    inner = len(scope.statement.scopes) + 1
    outputs = expanded(view, scope.statement)
    found = {
        column.name: Typed(
            f"t{number}.{outputs.label(i)}", typed.type, column=typed.column, modifier=modifier
        )
        for i, (column, typed, modifier) in enumerate(
            zip(view.columns, outputs.columns(), outputs.modifiers, strict=True)
        )
    }
    if seen is None:
        seen = [(column.name, column) for column in view.columns]
    fields = [
        (name, Typed("NULL", TEXT) if column is None else found[column.name])
        for name, column in seen
    ]
    named = _named(fields, item.columns, item.alias)
    through = outputs.through if isinstance(outputs, Selected) else frozenset()
    relation = Relation(number, item.alias, named, view, through)
    return _plain(f"({outputs.text()}) AS t{number}", relation, inner)


def _renamed(
    columns: Sequence[tuple[str, Typed]], names: Sequence[syntax.Name], alias: str, prefix: str
) -> tuple[tuple[str, Typed], ...]:
    if len(names) > len(columns):
        raise too_many_names(alias, len(columns), len(names), names[0].position)
    fields = []
    for i, (name, typed) in enumerate(columns):
        shown = names[i].text if i < len(names) else name
        sql = prefix + typed.sql
        fields.append((shown, Typed(sql, typed.type, column=typed.column, modifier=typed.modifier)))
    return tuple(fields)


def _query(item: syntax.FromQuery, scope: Scope) -> _Source:
    if item.lateral:
        return _lateral(item, scope)
    index = len(scope.statement.scopes) + 1
    outputs = scope.statement.query(item.query, scope.around())
    number = scope.statement.number()
    inner = outputs.columns()
    columns = [
        (
            name,
            Typed(outputs.label(i), typed.type, column=typed.column, modifier=modifier),
        )
        for i, (name, typed, modifier) in enumerate(
            zip(outputs.names, inner, outputs.modifiers, strict=True)
        )
    ]
    fields = _renamed(columns, item.columns, item.alias, f"t{number}.")
    through = outputs.through if isinstance(outputs, Selected) else frozenset()
    relation = Relation(number, item.alias, fields, through=through)
    return _plain(f"({outputs.text()}) AS t{number}", relation, index)


def _lateral(item: syntax.FromQuery, scope: Scope) -> _Source:
    """A query that reads what stands before it: its rows as one value, which json_each takes apart
    again, for in SQLite only the arguments of a function may read what stands before it."""
    outputs = scope.statement.query(item.query, scope)
    if isinstance(outputs, Rows):
        outputs.is_lateral = True
    number = scope.statement.number()
    kinds = item_types(outputs)
    fields = []
    for i, (name, kind, modifier) in enumerate(
        zip(outputs.names, kinds, outputs.modifiers, strict=True)
    ):
        function = "pg_cellbytes" if kind.sqlite == "BLOB" else "pg_cell"
        fields.append((name, Typed(f"{function}(t{number}.value, {i})", kind, modifier=modifier)))
    listed = ", ".join(outputs.label(i) for i in range(len(kinds)))
    rows = f"SELECT pg_agg_array(pg_row({listed})) FROM ({outputs.text(kinds)})"
    named = _named(fields, item.columns, item.alias)
    relation = Relation(number, item.alias, named)
    return _plain(f"json_each(({rows})) AS t{number}", relation, opaque=True)


def _named(
    fields: Sequence[tuple[str, Typed]], names: Sequence[syntax.Name], alias: str
) -> tuple[tuple[str, Typed], ...]:
    """Fields under the names that an alias gives the first of them."""
    if len(names) > len(fields):
        raise too_many_names(alias, len(fields), len(names), names[0].position)
    shown = [name.text for name in names] + [name for name, _ in fields[len(names) :]]
    return tuple((name, typed) for name, (_, typed) in zip(shown, fields, strict=True))


def _call(item: syntax.FromCall, scope: Scope) -> _Source:
    """A function, which may read what stands before it."""
    number = scope.statement.number()
    if is_plain_series(item, scope):
        text, kind = series(item.call, scope.around())
        # Its column is called as the function, and by an alias of the function.
        columns = [(item.alias, Typed("v", kind))]
        fields = _renamed(columns, item.columns, item.alias, f"t{number}.")
        return _plain(f"({text}) AS t{number}", Relation(number, item.alias, fields))
    if is_of_several(item.call):
        rows = rows_side_by_side(item.call, Scope(scope.statement, scope), f"t{number}")
        name = item.alias if len(rows.columns) == 1 else item.call.name
        several = [(name, column) for column in rows.columns]
        several += [("ordinality", rows.ordinal)] * item.ordinality
        shown = _named(several, item.columns, item.alias)
        return _plain(rows.text, Relation(number, item.alias, shown))
    before, scope.clause = scope.clause, "functions in FROM"
    found = rows_of(item.call, Scope(scope.statement, scope))
    scope.clause = before
    made = [
        (name or item.alias, Typed(around.format(f"t{number}.value"), kind))
        for name, kind, around in found.columns
    ]
    if item.ordinality:
        made.append(("ordinality", Typed(f"(t{number}.key + 1)", BIGINT)))
    named = _named(made, item.columns, item.alias)
    relation = Relation(number, item.alias, named, is_value=len(named) == 1)
    return _plain(f"json_each({found.array}) AS t{number}", relation)


def _join(item: syntax.Join, scope: Scope) -> _Source:
    left = _source(item.left, scope)
    right = _beside(item.right, left, scope, item)
    pairs = _using(item, left, right)
    tests = [compared("=", a, b, item.position) for _, a, b in pairs]
    # What must hold of a row for it to count: on both sides, or on the one that may be missing.
    of_left, of_right = left.numbers, right.numbers
    restricted = {
        "INNER": of_left | of_right,
        "CROSS": frozenset[int](),
        "LEFT": of_right,
        "RIGHT": of_left,
        "FULL": frozenset[int](),
    }[item.kind]
    nullable = frozenset(scope.nullable)  # by joins inside of its sides
    if item.kind in ("LEFT", "FULL"):
        scope.nullable |= of_right
    if item.kind in ("RIGHT", "FULL"):
        scope.nullable |= of_left
    for _, a, b in pairs:
        scope.equal(a, b, restricted)
    texts = [test.sql for test in tests]
    if item.on is not None:
        parts = _on(item.on, left, right, restricted, scope)
        texts.append(" AND ".join(parts))
        scope.statement.restrict(parts, restricted - nullable)
    condition = f" ON {' AND '.join(texts)}" if texts else ""
    if item.kind == "RIGHT":
        text = f"{right.text} LEFT JOIN {left.operand}{condition}"
    else:
        word = {"LEFT": "LEFT JOIN", "FULL": "FULL JOIN"}.get(item.kind, "JOIN")
        if item.kind in ("LEFT", "FULL") and not condition:
            condition = " ON TRUE"
        text = f"{left.text} {word} {right.operand}{condition}"
    merged = [(name, _merged(item.kind, a, b)) for name, a, b in pairs]
    taken = {id(typed) for _, a, b in pairs for typed in (a, b)}
    rest = [field for field in (*left.shown, *right.shown) if id(field[1]) not in taken]
    shape = Joined(item.kind, left.shape, right.shape)
    relations = [*left.relations, *right.relations]
    return _Source(text, relations, [*merged, *rest], shape, is_join=True)


def _beside(item: syntax.FromItem, left: _Source, scope: Scope, join: syntax.Join) -> _Source:
    """The right side of a join, which sees the left one if it is LATERAL."""
    relations, shown = scope.relations, scope.shown
    if join.kind in ("RIGHT", "FULL"):
        if isinstance(item, syntax.FromQuery) and item.lateral:
            raise NotSupported(
                f"{join.kind} JOIN LATERAL is not supported",
                position=item.position,
                hint="The right side of a LEFT JOIN may be LATERAL.",
            )
        return _source(item, scope)
    scope.relations, scope.shown = {**relations}, [*shown, *left.shown]
    for relation in left.relations:
        scope.show(relation, 0)
    try:
        return _source(item, scope)
    finally:
        scope.relations, scope.shown = relations, shown


def _on(
    node: syntax.Expression,
    left: _Source,
    right: _Source,
    restricted: frozenset[int],
    scope: Scope,
) -> list[str]:
    """A join's condition, its conjuncts: it sees what it joins and nothing beside it."""
    relations, shown, clause = scope.relations, scope.shown, scope.clause
    scope.relations, scope.shown, scope.clause = {}, [*left.shown, *right.shown], "JOIN conditions"
    for relation in (*left.relations, *right.relations):
        scope.show(relation, 0)
    marks = len(scope.loose)
    parts = [demand(part, scope, restricted, "JOIN/ON") for part in conjuncts(node)]
    del scope.loose[marks:]
    scope.relations, scope.shown, scope.clause = relations, shown, clause
    return [part.sql for part in parts]


def _using(item: syntax.Join, left: _Source, right: _Source) -> list[tuple[str, Typed, Typed]]:
    """The columns that USING or NATURAL names, on both sides."""
    names = [(name.text, name.position) for name in item.using]
    if item.natural:
        there = {name for name, _ in right.shown}
        seen: dict[str, None] = {}
        for name, _ in left.shown:
            if name in there:
                seen[name] = None
        names = [(name, item.position) for name in seen]
    return [
        (name, _side(left, "left", name, position), _side(right, "right", name, position))
        for name, position in names
    ]


def _side(source: _Source, side: str, name: str, position: int) -> Typed:
    found = [typed for known, typed in source.shown if known == name]
    if not found:
        raise StatementError(
            f'column "{name}" specified in USING clause does not exist in {side} table',
            sqlstate="42703",
            position=position,
        )
    if len(found) > 1:
        raise StatementError(
            f'common column name "{name}" appears more than once in {side} table',
            sqlstate="42702",
            position=position,
        )
    return found[0]


def _merged(kind: str, left: Typed, right: Typed) -> Typed:
    wanted = common_type([left.type, right.type], "JOIN/USING")
    is_alike = left.type is right.type and left.modifier == right.modifier
    modifier = left.modifier if is_alike else NO_MODIFIER
    first, second = implicit(left, wanted), implicit(right, wanted)
    if kind == "FULL":
        return Typed(f"coalesce({first.sql}, {second.sql})", wanted, modifier=modifier)
    return replace(second if kind == "RIGHT" else first, modifier=modifier)


def compared(symbol: str, left: Typed, right: Typed, position: int) -> Typed:
    """An operator between two typed sides."""
    operator = operators.resolve(symbol, left.type, right.type, position)
    assert operator.left is not None
    return apply(operator, implicit(left, operator.left), implicit(right, operator.right))
