"""INSERT, UPDATE and DELETE: writes of the shard that their keys name, of several, or of all.

UPDATE ... FROM and DELETE ... USING are written as subqueries of the row that changes: what they
answer does not depend on which of several matches would come first, several for one assignment
are an error (21000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shardrouter import casts, syntax, types
from shardrouter.alike import made_here, unlike
from shardrouter.casts import Context
from shardrouter.catalog import Catalog, Column, Table
from shardrouter.common_tables import with_clause
from shardrouter.conditions import where_clause
from shardrouter.conflicts import Conflict, on_conflict
from shardrouter.drawn import check_selected, rows_at_most
from shardrouter.errors import NotSupported, StatementError
from shardrouter.generated import refuse_selected
from shardrouter.locality import Leaf, changes_alone, inserts_alone, reads_alike
from shardrouter.outputs import Outputs, leave_open
from shardrouter.placing import Place, pins_of, place, reliance
from shardrouter.planned import (
    Constant,
    OneShard,
    Operand,
    RowNumbers,
    RowsWrite,
    SplitRows,
    Spread,
)
from shardrouter.query import analysed
from shardrouter.relations import Statement, relation_of
from shardrouter.returning import returning_clause
from shardrouter.rows_planning import change_rows, insert_rows
from shardrouter.sources import from_clause
from shardrouter.targets import default_of, settings, target_column
from shardrouter.translate import Scope, not_assignable
from shardrouter.typed import Parameters, Typed, assigned, quote

__all__ = ["delete", "insert", "null_key", "update"]


def null_key(column: str, table: str) -> StatementError:
    """PostgreSQL's error for a row without its key."""
    return StatementError(
        f'null value in column "{column}" of relation "{table}" violates not-null constraint',
        sqlstate="23502",
    )


# --------------------------------------------------------------------------- INSERT


def insert(
    node: syntax.Insert, table: Table, catalog: Catalog, parameters: Parameters, own: int = 0
) -> OneShard | RowsWrite:
    """`own` is how many parameters the client has: behind them come those of `RowNumbers`."""
    statement = Statement(parameters, catalog, analysed)
    scope = Scope(statement)
    tables = with_clause(node.tables, recursive=node.recursive, scope=scope)
    columns = _targets(node, table)
    keys: tuple[Operand, ...] | None
    numbers: RowNumbers | None = None
    is_local = False
    if node.query is not None:
        _check_determined(node.query)
        first = len(statement.scopes)
        outputs = statement.query(node.query, scope)
        kinds = outputs.kinds  # None of what is open yet
        columns = _matched(columns, len(outputs.names), node)
        refuse_selected(columns)
        check_selected(node, columns)
        drawing = [
            column
            for column in table.columns
            if column.default is not None and column.default.sequence and column not in columns
        ]
        source = _selected(outputs, columns, own, len(drawing))
        keys = _selected_keys(table, columns, outputs, statement)
        is_local = not drawing and _is_local(table, columns, statement.scopes[first])
        selected_columns = columns
        if drawing:
            numbers = _numbers(node.query, f"{tables}{_counted(outputs, own)}", drawing)
        columns = [*columns, *drawing]
        values: list[list[Typed]] = []
    else:
        values = _rows(node, columns, scope)
        columns = columns[: len(values[0])]
        source = f"VALUES {', '.join(_row(row) for row in values)}"
        keys = _row_keys(table, columns, values, node.table.position)
    query_end = len(statement.scopes)
    conflict = Conflict("", source)
    if node.conflict is not None:
        conflict = on_conflict(node, node.conflict, table, columns, source, scope)
    names = ", ".join(quote(column.name) for column in columns)
    head = f"{tables}INSERT INTO {quote(table.name)}"
    if conflict.alias:
        head += f" AS {conflict.alias}"
    if columns:
        text = f"{head} ({names}) {conflict.source}"
    else:
        text = f"{head} DEFAULT VALUES"
        if node.conflict is not None:
            raise NotSupported(
                "ON CONFLICT of DEFAULT VALUES is not supported", hint="Name a column."
            )
    returning, shown = returning_clause(node.returning, table, node.table, statement)
    is_local = is_local and reads_alike(statement.scopes[query_end:])
    where = _target_place(statement, catalog, table, keys, is_local=is_local)
    left_out = [column for column in table.columns if column not in columns]
    whole = text + conflict.text + returning
    apart = (
        where.apart or unlike(statement, catalog, table, whole, left_out) or made_here(statement)
    )
    if apart is not None:
        if node.query is None:
            raise apart
        return insert_rows(node, node.query, selected_columns, kinds, table, catalog, parameters)
    split: SplitRows | None = None
    if len(values) > 1 and where.keys and not any(each.sharded for each in statement.scopes):
        before, _, behind = conflict.source.partition(source)
        returned = f", {quote(table.shard_key)}" if shown and conflict.text else ""
        tail = behind + conflict.text + returning
        rows = _split(table, columns, values, where.keys)
        split = SplitRows(f"{head} ({names}) {before}VALUES ", rows, tail, returned)
    return OneShard(
        tag="INSERT",
        tables=reliance(statement, table),
        sql=whole,
        key_type=where.key_type,
        keys=where.keys,
        # No subquery: there are no scopes but its own, of the conflict and of RETURNING.
        quick=node.query is None
        and not (node.conflict is not None and table.referenced_by)
        and len(statement.scopes) == 1 + bool(conflict.alias) + bool(node.returning),
        columns=shown,
        key=table.shard_key,
        spread=_spread(catalog, table, where),
        split=split,
        numbers=numbers,
        parameter_oids=parameters.oids(),
        bounds=tuple(statement.bounds),
        shards=where.shards,
    )


def _row(row: Sequence[Typed]) -> str:
    return f"({', '.join(typed.sql for typed in row)})"


def _rows(node: syntax.Insert, columns: Sequence[Column], scope: Scope) -> list[list[Typed]]:
    rows: list[list[Typed]] = []
    scope.clause = "VALUES"
    for row in node.rows:
        if len(row) > len(columns):
            raise StatementError(
                "INSERT has more expressions than target columns",
                sqlstate="42601",
                position=_position(row[len(columns)]),
            )
        if node.columns is not None and len(row) < len(columns):
            raise StatementError(
                "INSERT has more target columns than expressions",
                sqlstate="42601",
                position=node.columns[len(row)].position,
            )
        if len(row) != len(node.rows[0]):
            raise StatementError("VALUES lists must all be the same length", sqlstate="42601")
        rows.append([_value(v, c, scope) for v, c in zip(row, columns, strict=False)])
    scope.clause = ""
    return rows


def _value(node: syntax.Expression | syntax.DefaultValue, column: Column, scope: Scope) -> Typed:
    if isinstance(node, syntax.DefaultValue):
        return default_of(column)
    return scope.assign(node, column)


def _position(node: syntax.Expression | syntax.DefaultValue) -> int:
    return 0 if isinstance(node, syntax.DefaultValue) else syntax.position_of(node)


def _targets(node: syntax.Insert, table: Table) -> list[Column]:
    if node.rows == ((),):
        return []  # DEFAULT VALUES
    if node.columns is None:
        return list(table.columns)
    columns = [target_column(table, name) for name in node.columns]
    for i, name in enumerate(node.columns):
        if columns[i] in columns[:i]:
            raise StatementError(
                f'column "{name.text}" specified more than once',
                sqlstate="42701",
                position=name.position,
            )
    return columns


def _matched(columns: list[Column], count: int, node: syntax.Insert) -> list[Column]:
    if count > len(columns):
        raise StatementError(
            "INSERT has more expressions than target columns",
            sqlstate="42601",
            position=node.query.position if node.query is not None else 0,
        )
    if node.columns is not None and count < len(columns):
        raise StatementError(
            "INSERT has more target columns than expressions",
            sqlstate="42601",
            position=node.columns[count].position,
        )
    return columns[:count]


def _selected(outputs: Outputs, columns: Sequence[Column], sent: int, drawn: int) -> str:
    """The text of the query, each column as the table's column takes it; behind them numbers of so
    many sequences, in the order of its rows."""
    kinds = [types.of_column(column.type) for column in columns]
    for column, kind, source in zip(columns, kinds, outputs.kinds, strict=True):
        if source is not None and casts.find(source, kind, Context.ASSIGNMENT) is None:
            raise not_assignable(column.name, kind, source, 0)
    own = [source or kind for source, kind in zip(outputs.kinds, kinds, strict=True)]
    leave_open(outputs, own)
    texts = []
    for i, (column, kind, source) in enumerate(zip(columns, kinds, own, strict=True)):
        modifier = outputs.modifiers[i] if source is kind else types.NO_MODIFIER
        typed = Typed(f"s.{outputs.label(i)}", source, modifier=modifier)
        found = assigned(typed, kind, column.modifier)
        assert found is not None
        texts.append(found.sql)
    # SQLite keeps the order of a subquery under a window function.
    texts += [f"pg_drawn(?{sent + 1 + i}, row_number() OVER ())" for i in range(drawn)]
    # WHERE TRUE: else SQLite reads ON CONFLICT as the ON of a join.
    return f"SELECT {', '.join(texts)} FROM ({outputs.text(own)}) AS s WHERE TRUE"


def _numbers(query: syntax.Query, count: str, drawing: Sequence[Column]) -> RowNumbers:
    sequences = tuple(c.default.sequence for c in drawing if c.default is not None)
    return RowNumbers(sequences, rows_at_most(query), count)


def _counted(outputs: Outputs, own: int) -> str:
    """How many rows the query has. It takes all parameters that the client sends."""
    text = f"SELECT count(*) FROM ({outputs.text(outputs.kinds)}) AS s"
    return f"{text} WHERE (?{own} IS NULL) IN (0, 1)" if own else text


def _selected_keys(
    table: Table, columns: Sequence[Column], outputs: Outputs, statement: Statement
) -> tuple[Operand, ...] | None:
    """The shard keys of what a query selects, if they can be known."""
    for column, typed in zip(columns, outputs.columns(), strict=True):
        if column.name == table.shard_key:
            if typed.operand is not None and types.of_column(column.type) is typed.type:
                return (typed.operand,)
            return None if typed.column is None else pins_of(statement).get(typed.column)
    return None


def _row_keys(
    table: Table, columns: Sequence[Column], rows: Sequence[Sequence[Typed]], position: int
) -> tuple[Operand, ...]:
    """The shard key of each row, each value once. Without one the row has its default."""
    if table.placement != "sharded":
        return ()
    key = table.column(table.shard_key)
    assert key is not None
    keys: dict[Operand, None] = {}
    for row in rows:
        operand = _row_key(key, columns, row)
        if operand is None:
            raise NotSupported(
                f'the shard key "{key.name}" must be a constant or a parameter',
                position=position,
                hint="Compute it in the application: it decides where the row lives.",
            )
        if isinstance(operand, Constant) and operand.value is None:
            raise null_key(key.name, table.relname)
        keys[operand] = None
    return tuple(keys)


def _row_key(key: Column, columns: Sequence[Column], row: Sequence[Typed]) -> Operand | None:
    found = (typed for typed, column in zip(row, columns, strict=True) if column.name == key.name)
    return next(found, default_of(key)).operand


def _split(
    table: Table,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Typed]],
    keys: Sequence[Operand],
) -> tuple[tuple[int, str], ...]:
    """Each row with the place of its key."""
    key = table.column(table.shard_key)
    assert key is not None
    places = {operand: place for place, operand in enumerate(keys)}
    split = []
    for row in rows:
        operand = _row_key(key, columns, row)
        assert operand is not None, "the rows' keys are known"
        split.append((places[operand], _row(row)))
    return tuple(split)


def _spread(catalog: Catalog, table: Table, where: Place) -> Spread:
    """Whether every shard has to run a write."""
    if where.is_everywhere and not where.keys:
        return "every"
    return "alike" if table.placement == "reference" and len(catalog.shards) > 1 else ""


def _target_place(
    statement: Statement,
    catalog: Catalog,
    table: Table,
    keys: tuple[Operand, ...] | None,
    *,
    is_local: bool,
) -> Place:
    statement.tables[table.name] = table
    target = (table, keys) if table.placement == "sharded" else None
    return place(statement, catalog, target, is_write=True, is_local=is_local)


def _is_local(table: Table, columns: Sequence[Column], query: Scope) -> bool:
    """Whether each shard inserts the rows that it has of the query."""
    key = next((i for i, c in enumerate(columns) if c.name == table.shard_key), None)
    if key is None or query.statement.is_volatile:
        return False
    return inserts_alone(query, table, key)


def _check_determined(query: syntax.Query) -> None:
    """Refuse a write of rows that the data does not determine: those of LIMIT and of DISTINCT ON
    without ORDER BY."""
    match query:
        case syntax.SetOperation():
            _check_determined(query.left)
            _check_determined(query.right)
        case syntax.Select():
            for item in query.sources:
                if isinstance(item, syntax.FromQuery):
                    _check_determined(item.query)
        case syntax.Values():
            return
    on = query.distinct if isinstance(query, syntax.Select) else ()
    if isinstance(on, tuple) and 0 < len(on) >= len(query.tail.order):
        raise NotSupported(
            "a write of rows that DISTINCT ON chooses among equal ones is not supported",
            hint="Add ORDER BY with more than the expressions of DISTINCT ON: which rows are "
            "written must not depend on how they are stored.",
        )
    if (query.tail.limit or query.tail.offset) and not query.tail.order:
        raise NotSupported(
            "a write of rows that LIMIT without ORDER BY chooses is not supported",
            hint="Add ORDER BY: which rows are written must not depend on how they are stored.",
        )


# --------------------------------------------------------------------------- UPDATE, DELETE


def update(
    node: syntax.Update, table: Table, catalog: Catalog, parameters: Parameters
) -> OneShard | RowsWrite:
    statement = Statement(parameters, catalog, analysed)
    scope, tables = _target(node, table, statement)
    sources = from_clause(node.sources, scope)
    where = where_clause(node.where, scope)
    scope.clause = "UPDATE"
    changed = settings(node.assignments, table, scope)
    scope.clause = ""
    columns = [column for column, _ in changed]
    is_once = bool(sources) and any(typed.operand is None for _, typed in changed)
    if sources:
        changed = [
            (column, typed if typed.operand is not None else _only(typed, sources + where))
            for column, typed in changed
        ]
        where = f" WHERE EXISTS (SELECT 1{sources}{where})"
    texts = ", ".join(f"{quote(column.name)} = {typed.sql}" for column, typed in changed)
    if sources or len(statement.scopes) > 1:
        # With a FROM SQLite computes all new values before it changes a row; without one a query
        # in them would see the rows that are changed already.
        where = f" FROM (SELECT 1){where}"
    text = f"{tables}UPDATE {quote(table.name)} AS t0 SET {texts}{where}"
    return _write("UPDATE", text, node, table, scope, catalog, columns, is_once=is_once)


def delete(
    node: syntax.Delete, table: Table, catalog: Catalog, parameters: Parameters
) -> OneShard | RowsWrite:
    statement = Statement(parameters, catalog, analysed)
    scope, tables = _target(node, table, statement)
    sources = from_clause(node.sources, scope)
    where = where_clause(node.where, scope)
    if sources:
        where = f" WHERE EXISTS (SELECT 1{sources}{where})"
    text = f"{tables}DELETE FROM {quote(table.name)} AS t0{where}"
    return _write("DELETE", text, node, table, scope, catalog)


def _target(
    node: syntax.Update | syntax.Delete, table: Table, statement: Statement
) -> tuple[Scope, str]:
    """The scope of the rows that change, which are number 0."""
    scope = Scope(statement)
    tables = with_clause(node.tables, recursive=node.recursive, scope=scope)
    relation = relation_of(table, node.table.alias, 0, prefix="t0.")
    scope.show(relation, node.table.position)
    scope.shown = list(relation.fields)
    scope.shapes.append(Leaf(relation))
    statement.tables[table.name] = table
    if table.placement == "sharded":
        scope.sharded.append((0, table))
    return scope, tables


def _only(typed: Typed, matches: str) -> Typed:
    """The value that the one match of UPDATE ... FROM gives."""
    sql = (
        "(SELECT CASE WHEN pg_at_most_one(count(*)) THEN min(v) END "
        f"FROM (SELECT {typed.sql} AS v{matches} LIMIT 2))"
    )
    return Typed(sql, typed.type, modifier=typed.modifier)


def _write(
    tag: str,
    text: str,
    node: syntax.Update | syntax.Delete,
    table: Table,
    scope: Scope,
    catalog: Catalog,
    changed: Sequence[Column] = (),
    *,
    is_once: bool = False,
) -> OneShard | RowsWrite:
    statement = scope.statement
    scope.end = len(statement.scopes)
    is_alone = scope.end == 1 and not node.sources
    returning, columns = returning_clause(
        node.returning, table, node.table, statement, has_sources=bool(node.sources)
    )
    pins = pins_of(statement)
    is_local = (
        # What is drawn at random for a row that others meet is one value, whatever meets it.
        (is_alone or not statement.is_volatile)
        and changes_alone(scope, table)
        and reads_alike(statement.scopes[scope.end :])
    )
    where = place(statement, catalog, is_write=True, is_local=is_local)
    moves = any(column.name == table.shard_key for column in changed)
    is_apart = (
        where.apart or unlike(statement, catalog, table, text + returning) or made_here(statement)
    )
    if is_apart or (moves and len(catalog.shards) > 1):
        made = change_rows(node, table, changed, catalog, statement.parameters)
        return replace(made, is_once=is_once)
    if moves:  # whoever looks for one of its rows meets it, under either key
        where = Place(shards=1)
    return OneShard(
        tag=tag,
        tables=reliance(statement, table),
        sql=text + returning,
        key_type=where.key_type,
        keys=where.keys,
        # A change of a row that others refer to may change, or look through, any number of them.
        quick=is_alone
        and not table.referenced_by
        and bool(table.primary_key)
        and all(len(pins.get((0, name), ())) == 1 for name in table.primary_key),
        columns=columns,
        parameter_oids=statement.parameters.oids(),
        bounds=tuple(statement.bounds),
        spread=_spread(catalog, table, where),
        shards=where.shards,
    )
