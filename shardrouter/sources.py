"""FROM: relations, joins, and the text of both.

RIGHT JOIN is written as a LEFT JOIN the other way round, USING and NATURAL as the conditions that
they are. What an inner join or the right side of a LEFT JOIN demands also says which rows can
count at all, from which the shard is found (`shardrouter.placing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shardrouter import operators, syntax
from shardrouter.catalogs import builtin
from shardrouter.conditions import conjuncts, demand
from shardrouter.errors import NotSupported, StatementError
from shardrouter.relations import Relation, relation_of, too_many_names
from shardrouter.series import series
from shardrouter.set_functions import is_set_function, rows_of
from shardrouter.translate import Scope, common_type
from shardrouter.typed import Typed, apply, implicit, quote

__all__ = ["from_clause", "compared"]

Shown = list[tuple[str, Typed]]


@dataclass
class _Source:
    text: str
    relations: list[Relation]
    shown: Shown
    is_join: bool = False

    @property
    def operand(self) -> str:
        """As the right side of a join, or one of a list."""
        return f"({self.text})" if self.is_join else self.text

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(relation.number for relation in self.relations)


def from_clause(items: Sequence[syntax.FromItem], scope: Scope) -> str:
    """The text of FROM, empty without one; the scope then knows its names."""
    sources: list[_Source] = []
    for item in items:
        sources.append(_source(item, scope, sources))
    for source in sources:
        for relation in source.relations:
            scope.show(relation, 0)
        scope.shown += source.shown
    if not sources:
        return ""
    first, *others = sources
    return " FROM " + ", ".join([first.text, *(source.operand for source in others)])


def _source(item: syntax.FromItem, scope: Scope, before: Sequence[_Source]) -> _Source:
    """`before` are those that a function sees: to the left of it."""
    match item:
        case syntax.TableName():
            return _table(item, scope)
        case syntax.FromQuery():
            return _query(item, scope)
        case syntax.FromCall():
            return _call(item, scope, before)
        case syntax.Join():
            return _join(item, scope, before)


def _plain(text: str, relation: Relation) -> _Source:
    return _Source(text, [relation], list(relation.fields))


def _table(item: syntax.TableName, scope: Scope) -> _Source:
    common = None if item.schema else scope.common_table(item.name)
    number = scope.statement.number()
    if common is not None:
        common.references += 1
        fields = _renamed(common.columns, item.columns, item.alias, f"t{number}.")
        return _plain(f"{common.text} AS t{number}", Relation(number, item.alias, fields))
    system = builtin.find(item.schema, item.name)
    if system is not None:
        scope.statement.system[system.name] = system
        scope.statement.ask_router()
        relation = relation_of(system, item.alias, number, item.columns, f"t{number}.")
        return _plain(f"{quote(system.name)} AS t{number}", relation)
    table = scope.statement.table(item)
    relation = relation_of(table, item.alias, number, item.columns, f"t{number}.")
    scope.named.append((number, table))
    if table.placement == "sharded":
        scope.sharded.append((number, table))
    return _plain(f"{quote(table.name)} AS t{number}", relation)


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
        raise NotSupported(
            "LATERAL is not supported",
            position=item.position,
            hint="Write a scalar subquery in the list, or a join with a grouped subquery.",
        )
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
    relation = Relation(number, item.alias, fields)
    return _plain(f"({outputs.text()}) AS t{number}", relation)


def _call(item: syntax.FromCall, scope: Scope, before: Sequence[_Source]) -> _Source:
    if is_set_function(item.call):
        return _rows(item, scope, before)
    if item.ordinality:
        raise NotSupported(
            "WITH ORDINALITY is not supported",
            position=item.call.position,
            hint="Write row_number() OVER ().",
        )
    text, kind = series(item.call, scope.around())
    number = scope.statement.number()
    # Its column is called as the function, and by an alias of the function.
    columns = [(item.alias, Typed("v", kind))]
    fields = _renamed(columns, item.columns, item.alias, f"t{number}.")
    return _plain(f"({text}) AS t{number}", Relation(number, item.alias, fields))


def _rows(item: syntax.FromCall, scope: Scope, before: Sequence[_Source]) -> _Source:
    """A function of sets: its columns are called as it is, or by its alias."""
    inner = scope.around()
    for source in before:
        for relation in source.relations:
            inner.show(relation, 0)
        inner.shown += source.shown
    number = scope.statement.number()
    rows = rows_of(item.call, inner, f"t{number}")
    columns = [(item.alias if len(rows.columns) == 1 else item.call.name, c) for c in rows.columns]
    if item.ordinality:
        columns.append(("ordinality", rows.ordinal))
    renamed = _renamed(columns, item.columns, item.alias, "")
    return _plain(rows.text, Relation(number, item.alias, renamed))


def _join(item: syntax.Join, scope: Scope, before: Sequence[_Source]) -> _Source:
    left = _source(item.left, scope, before)
    right = _source(item.right, scope, [*before, left])
    pairs = _using(item, left, right)
    tests = [compared("=", a, b, item.position) for _, a, b in pairs]
    # What must hold of a row for it to count: on both sides, or on the one that may be missing.
    restricted = {
        "INNER": left.numbers | right.numbers,
        "CROSS": frozenset[int](),
        "LEFT": right.numbers,
        "RIGHT": left.numbers,
        "FULL": frozenset[int](),
    }[item.kind]
    if item.kind in ("LEFT", "FULL"):
        scope.nullable |= right.numbers
    if item.kind in ("RIGHT", "FULL"):
        scope.nullable |= left.numbers
    for _, a, b in pairs:
        scope.equal(a, b, restricted)
    texts = [test.sql for test in tests]
    if item.on is not None:
        texts.append(_on(item.on, left, right, restricted, scope))
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
    return _Source(text, [*left.relations, *right.relations], [*merged, *rest], is_join=True)


def _on(
    node: syntax.Expression,
    left: _Source,
    right: _Source,
    restricted: frozenset[int],
    scope: Scope,
) -> str:
    """A join's condition sees what it joins and nothing beside it."""
    relations, shown, clause = scope.relations, scope.shown, scope.clause
    scope.relations, scope.shown, scope.clause = {}, [*left.shown, *right.shown], "JOIN conditions"
    for relation in (*left.relations, *right.relations):
        scope.show(relation, 0)
    marks = len(scope.loose)
    parts = [demand(part, scope, restricted, "JOIN/ON") for part in conjuncts(node)]
    del scope.loose[marks:]
    scope.relations, scope.shown, scope.clause = relations, shown, clause
    return " AND ".join(part.sql for part in parts)


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
    first, second = implicit(left, wanted), implicit(right, wanted)
    if kind == "FULL":
        return Typed(f"coalesce({first.sql}, {second.sql})", wanted)
    return second if kind == "RIGHT" else first


def compared(symbol: str, left: Typed, right: Typed, position: int) -> Typed:
    """An operator between two typed sides."""
    operator = operators.resolve(symbol, left.type, right.type, position)
    assert operator.left is not None
    return apply(operator, implicit(left, operator.left), implicit(right, operator.right))
