"""Queries: SELECT, VALUES and set operations, from what was written to their text.

`analysed` serves every query, inside an expression or on its own; `select` makes the plan of one
that is a statement: on one shard if its rows are known to live there, else on every shard and
merged, else answered here if it is nothing but constants.
"""

from __future__ import annotations

from shardrouter import syntax, types
from shardrouter.bounds import bound, limit_clause, operand_text, reach
from shardrouter.catalog import Catalog
from shardrouter.common_tables import with_clause
from shardrouter.conditions import where_clause
from shardrouter.errors import NotSupported, StatementError
from shardrouter.grouping import check_grouping, group_clause, no_operator
from shardrouter.grouping_sets import expanded
from shardrouter.listed_rows import with_rows_of_lists
from shardrouter.outputs import Item, Outputs, Ranked, Rows, Selected, SetOperation, item_types
from shardrouter.placing import pins_of, place, reliance
from shardrouter.planned import (
    Answer,
    CatalogQuery,
    Constant,
    OneShard,
    Operand,
    OrderKey,
    ResultColumn,
    Scatter,
)
from shardrouter.relations import Statement
from shardrouter.set_functions import in_list
from shardrouter.sources import from_clause
from shardrouter.translate import Scope
from shardrouter.typed import Parameters, Typed, collated
from shardrouter.windows import direction

__all__ = ["analysed", "label", "listed", "result_columns", "select"]


# --------------------------------------------------------------------------- any query


def analysed(node: syntax.Query, around: Scope) -> Outputs:
    """A query inside a statement; `around` is the query it stands in."""
    scope = Scope(around.statement, around)
    tables = with_clause(node.tail.tables, recursive=node.tail.recursive, scope=scope)
    outputs: Outputs
    match node:
        case syntax.Select():
            outputs = _select(node, scope)
        case syntax.Values():
            outputs = _values(node, scope)
        case syntax.SetOperation():
            outputs = _set_operation(node, scope)
    assert isinstance(outputs, Selected | Rows | SetOperation)
    outputs.tables = tables
    return outputs


def label(node: syntax.Expression) -> str:
    """The name PostgreSQL gives a column without AS."""
    return _figured(node)[0] or "?column?"


def _figured(node: syntax.Expression) -> tuple[str, int]:
    """A name, and how much it is worth: a function's or a column's 2, a type's or case's 1."""
    match node:
        case syntax.ColumnReference():
            return node.name, 2
        case syntax.Call():
            return _CALLED.get(node.name, node.name), 2
        case syntax.TypeCast():
            name, worth = _figured(node.operand)
            if worth == 2:
                return name, 2
            kind = node.type
            try:
                short = types.resolve_any(kind.name, kind.modifiers, kind.position)[0].short
            except StatementError:
                short = kind.name.rpartition(".")[2].removesuffix("[]")  # of a client's own
            return short.removeprefix("_"), 1  # an array is called by its elements
        case syntax.Case():
            name, worth = _figured(node.default) if node.default is not None else ("", 0)
            return (name, 2) if worth == 2 else ("case", 1)
        case syntax.Subscript() | syntax.Slice():
            return _figured(node.operand)
        case syntax.Exists():
            return "exists", 2
        case syntax.Subquery():
            query = node.query
            while isinstance(query, syntax.SetOperation):
                query = query.left
            if isinstance(query, syntax.Values):
                return "column1", 2
            item = query.items[0]
            if isinstance(item, syntax.Star):
                return "", 0
            return (item.alias, 2) if item.alias is not None else (label(item.expression), 2)
        case syntax.ArrayItems():
            return "array", 2
        case syntax.Row():
            return "row", 2
        case _:
            return "", 0


_CALLED = {"trim": "btrim", "array of": "array"}


def listed(items: tuple[syntax.SelectItem | syntax.Star, ...], scope: Scope) -> list[Item]:
    """A select list, stars written out."""
    found: list[Item] = []
    for item in items:
        if isinstance(item, syntax.SelectItem):
            name = item.alias if item.alias is not None else label(item.expression)
            typed = None if scope.is_open(item.expression) else scope.expression(item.expression)
            found.append(Item(name, item.expression, typed, scope))
            continue
        if item.table is not None:
            scope.check_qualifier(item.table, item.position, item.schema)
            relation = scope.source_named(item.table, item.schema)
            fields = list(relation.fields) if relation is not None else []
        else:
            fields = list(scope.shown)
        if not fields and not scope.relations:
            raise StatementError(
                "SELECT * with no tables specified is not valid",
                sqlstate="42601",
                position=item.position,
            )
        for name, typed in fields:
            scope.read(name, typed, item.position)
            found.append(Item(name, None, typed, scope))
    return found


def _select(node: syntax.Select, scope: Scope) -> Selected:
    if node.locking:
        raise NotSupported(
            f"FOR {node.locking} is not supported here",
            hint="Put it at the end of the outermost SELECT.",
        )
    node = _one_of_sets(node)
    outputs, keys = _selected(node, scope)
    outputs.order = _order_text(keys, outputs)
    limits = _set_limit(outputs, node.tail, scope)
    _rank(node, outputs, keys, scope, limits)
    return outputs


_Limits = tuple[Operand | None, Operand | None]


def _one_of_sets(node: syntax.Select) -> syntax.Select:
    """The query; with ROLLUP and its like, one around the groupings it stands for."""
    if not node.group:
        return node
    labels = [
        item.alias or label(item.expression) if isinstance(item, syntax.SelectItem) else "*"
        for item in node.items
    ]
    return expanded(node, labels) or node


def _set_limit(outputs: Selected | Rows | SetOperation, tail: syntax.Tail, scope: Scope) -> _Limits:
    if tail.with_ties and not isinstance(outputs, Selected):
        raise NotSupported(
            "WITH TIES of this query is not supported", hint="Put it around a subquery in FROM."
        )
    limit, offset = bound(scope, tail.limit, "LIMIT"), bound(scope, tail.offset, "OFFSET")
    outputs.limit = limit_clause(limit, offset)
    if isinstance(limit, Constant) and limit.value in (0, 1):
        outputs.is_one_row = True
    return limit, offset


_Key = tuple[syntax.SortKey, Typed, int | None]


def _selected(node: syntax.Select, scope: Scope) -> tuple[Selected, list[_Key]]:
    """A SELECT without its LIMIT, and what it is sorted by."""
    found = with_rows_of_lists(node)
    if found is not node:
        return _selected(found, scope)
    scope.windows = dict(node.windows)
    body = from_clause(node.sources, scope)
    rows, scope.sets = in_list(node.items, scope)
    if rows:
        body += f", {rows}" if body else f" FROM {rows}"
    body += where_clause(node.where, scope)
    group = group_clause(node, scope)
    items = listed(node.items, scope)
    if node.having is not None:
        having = scope.condition(node.having, "HAVING").sql
        group += f" HAVING {having}"
        if not node.grouping and not node.group and not scope.aggregates:
            raise NotSupported(
                "HAVING without an aggregate or GROUP BY is not supported",
                hint="Write WHERE.",
            )
    outputs = Selected(items, body=body + group)
    outputs.is_group = node.grouping is not None and not node.group
    keys = _order(node.tail.order, items, scope)
    check_grouping(node, scope)
    if rows and (node.group or scope.aggregates or scope.has_windows):
        raise NotSupported(
            "a function of sets beside aggregates or window functions is not supported",
            hint="Write it in FROM, or in a subquery.",
        )
    is_lone = not node.sources and not rows
    outputs.is_one_row = is_lone or (bool(scope.aggregates) and not node.group)
    if node.distinct is True:
        outputs.head = "SELECT DISTINCT"
        for item in items:
            if item.typed is not None and item.typed.type is types.JSON:
                raise no_operator("an equality", item.typed.type, 0)
        for key, typed, index in keys:
            if index is None and typed.operand is None:
                raise StatementError(
                    "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                    sqlstate="42P10",
                    position=syntax.position_of(key.expression),
                )
    return outputs, keys


def _rank(
    node: syntax.Select, outputs: Selected, keys: list[_Key], scope: Scope, limits: _Limits
) -> None:
    """DISTINCT ON and WITH TIES: a number for each row among those that sort before it."""
    limit, offset = limits
    if node.tail.with_ties and limit is not None:
        if not keys:
            raise StatementError(
                "WITH TIES cannot be specified without ORDER BY clause", sqlstate="42601"
            )
        if node.distinct:
            raise NotSupported(
                "WITH TIES with DISTINCT is not supported",
                hint="Put DISTINCT into a subquery in FROM.",
            )
        window = f"(ORDER BY {_sorted_by(keys)})"
        columns = [f"rank() OVER {window} AS r", f"row_number() OVER {window} AS n"]
        most, start = operand_text(limit), "0" if offset is None else operand_text(offset)
        start = f"coalesce({start}, 0)"
        within = f"({most} IS NULL OR ({most} > 0 AND r <= {start} + {most})) AND n > {start}"
        outputs.limit = ""
        outputs.ranked = _ranked(columns, within, keys)
        outputs.is_one_row = False
    elif isinstance(node.distinct, tuple):
        first = _order(
            tuple(syntax.SortKey(part, False, False) for part in node.distinct),
            outputs.items,
            scope,
        )
        on = [collated(typed) for _, typed, _ in first]
        _check_distinct_on([typed.sql for _, typed, _ in first], keys)
        partition = f"PARTITION BY {', '.join(on)}" if on else ""
        order = f" ORDER BY {_sorted_by(keys)}" if keys else ""
        columns = [f"row_number() OVER ({partition}{order}) AS n"]
        outputs.ranked = _ranked(columns, "n = 1", keys)


def _sorted_by(keys: list[_Key]) -> str:
    return ", ".join(direction(collated(typed), key) for key, typed, _ in keys)


def _ranked(columns: list[str], condition: str, keys: list[_Key]) -> Ranked:
    texts, beside = [], list(columns)
    for number, (key, typed, index) in enumerate(keys):
        name = f"k{number}" if index is None else str(index + 1)
        if index is None:
            beside.append(f"{typed.sql} AS {name}")
        texts.append(direction(collated(Typed(name, typed.type)), key))
    order = f" ORDER BY {', '.join(texts)}" if texts else ""
    return Ranked(tuple(beside), condition, order)


def _check_distinct_on(on: list[str], keys: list[_Key]) -> None:
    """What is sorted by first is what DISTINCT ON names."""
    is_past = False
    sorted_by = [typed.sql for _, typed, _ in keys]
    for text in sorted_by:
        if text not in on:
            is_past = True
        elif is_past:
            raise _unmatched_on()
    if is_past and any(text not in sorted_by for text in on):
        raise _unmatched_on()


def _unmatched_on() -> StatementError:
    return StatementError(
        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions", sqlstate="42P10"
    )


def _values(node: syntax.Values, scope: Scope) -> Rows:
    scope.clause = "VALUES"
    rows = [
        [
            Item("", value, None if scope.is_open(value) else scope.expression(value), scope)
            for value in row
        ]
        for row in node.rows
    ]
    outputs = Rows(rows)
    outputs.order = _ordered(node.tail, outputs)
    _set_limit(outputs, node.tail, scope)
    return outputs


def _set_operation(node: syntax.SetOperation, scope: Scope) -> SetOperation:
    left, right = analysed(node.left, scope), analysed(node.right, scope)
    if len(left.names) != len(right.names):
        raise StatementError(
            f"each {node.operator} query must have the same number of columns",
            sqlstate="42601",
            position=node.right.position,
        )
    outputs = SetOperation(f"{node.operator}{' ALL' if node.all else ''}", left, right)
    outputs.order = _ordered(node.tail, outputs)
    _set_limit(outputs, node.tail, scope)
    return outputs


def _ordered(tail: syntax.Tail, outputs: Rows | SetOperation) -> str:
    """ORDER BY of a UNION or VALUES: by names and positions of the columns only."""
    keys = []
    kinds = item_types(outputs)
    for key in tail.order:
        node = key.expression
        index = None
        if isinstance(node, syntax.NumberLiteral | syntax.StringLiteral):
            index = _ordinal(node, len(outputs.names))
        elif isinstance(node, syntax.ColumnReference) and node.table is None:
            found = [i for i, name in enumerate(outputs.names) if name == node.name]
            if len(found) > 1:
                raise StatementError(
                    f'ORDER BY "{node.name}" is ambiguous',
                    sqlstate="42702",
                    position=node.position,
                )
            if not found:
                raise StatementError(
                    f'column "{node.name}" does not exist', sqlstate="42703", position=node.position
                )
            index = found[0]
        if index is None:
            raise NotSupported(
                "invalid UNION/INTERSECT/EXCEPT ORDER BY clause",
                position=syntax.position_of(node),
                detail="Only result column names can be used, not expressions or functions.",
                hint="Add the expression/function to every SELECT, or move the UNION into a "
                "FROM clause.",
            )
        keys.append(direction(collated(Typed(str(index + 1), kinds[index])), key))
    return f" ORDER BY {', '.join(keys)}" if keys else ""


# --------------------------------------------------------------------------- ORDER BY


def _order(order: tuple[syntax.SortKey, ...], items: list[Item], scope: Scope) -> list[_Key]:
    """Each sort key with its expression and, if it is one of the list's items, its index.

    As SQL-92 has it a bare name is an item's name first and a column second, a bare integer
    is a position; inside an expression a name is always a column.
    """
    found: list[_Key] = []
    for key in order:
        expression = key.expression
        index: int | None = None
        if isinstance(expression, syntax.NumberLiteral | syntax.StringLiteral):
            index = _ordinal(expression, len(items))
        elif isinstance(expression, syntax.ColumnReference) and expression.table is None:
            index = _by_name(expression, items)
        if index is None:
            typed = scope.expression(expression)
            index = next(
                (i for i, item in enumerate(items) if _same(item, typed)),
                None,
            )
        else:
            typed = items[index].taken(None)
        if typed.type is types.JSON:
            raise no_operator("an ordering", typed.type, syntax.position_of(expression))
        if typed.operand is not None:
            continue  # a constant orders nothing
        found.append((key, typed, index))
    return found


def _same(item: Item, typed: Typed) -> bool:
    return item.typed is not None and item.typed.sql == typed.sql


def _ordinal(node: syntax.NumberLiteral | syntax.StringLiteral, count: int) -> int:
    if isinstance(node, syntax.StringLiteral) or not node.text.isdigit():
        raise StatementError(
            "non-integer constant in ORDER BY", sqlstate="42601", position=node.position
        )
    if len(node.text) > 6 or not 1 <= int(node.text) <= count:
        raise StatementError(
            f"ORDER BY position {node.text} is not in select list",
            sqlstate="42P10",
            position=node.position,
        )
    return int(node.text) - 1


def _by_name(node: syntax.ColumnReference, items: list[Item]) -> int | None:
    found = [i for i, item in enumerate(items) if item.name == node.name]
    if len({items[i].taken(None).sql for i in found}) > 1:
        raise StatementError(
            f'ORDER BY "{node.name}" is ambiguous', sqlstate="42702", position=node.position
        )
    return found[0] if found else None


def _order_text(keys: list[_Key], outputs: Selected) -> str:
    """By position where it is an item: what is sorted by is what is shown."""
    texts = []
    for key, typed, index in keys:
        text = typed.sql if index is None else str(index + 1)
        texts.append(direction(collated(Typed(text, typed.type)), key))
    return f" ORDER BY {', '.join(texts)}" if texts else ""


# --------------------------------------------------------------------------- as a statement


def result_columns(outputs: Outputs) -> tuple[ResultColumn, ...]:
    return tuple(
        ResultColumn(name, typed.type.oid, modifier)
        for name, typed, modifier in zip(
            outputs.names, outputs.columns(), outputs.modifiers, strict=True
        )
    )


def select(
    node: syntax.Query, catalog: Catalog, parameters: Parameters
) -> OneShard | Scatter | Answer | CatalogQuery:
    statement = Statement(parameters, catalog, analysed)
    scope = Scope(statement)
    tables = with_clause(node.tail.tables, recursive=node.tail.recursive, scope=scope)
    if not isinstance(node, syntax.Select):
        outputs: Selected | Rows | SetOperation = (
            _values(node, scope) if isinstance(node, syntax.Values) else _set_operation(node, scope)
        )
        outputs.tables = tables
        columns = result_columns(outputs)
        return _one_shard(statement, catalog, outputs.text(), columns, quick=False)
    node = _one_of_sets(node)
    selected, keys = _selected(node, scope)
    selected.tables = tables
    _check_locking(node, scope)
    columns = result_columns(selected)
    if not columns:
        raise NotSupported(
            "SELECT without a list is not supported here", hint="Select something: SELECT 1."
        )
    limit, offset = (
        bound(scope, node.tail.limit, "LIMIT"),
        bound(scope, node.tail.offset, "OFFSET"),
    )
    if not node.sources and not node.tail.tables:
        answer = _answer(node, selected, columns, parameters)
        if answer is not None:
            return answer
    where = place(statement, catalog)
    if where.is_everywhere:
        return _scatter(node, statement, scope, selected, keys, limit, offset, catalog)
    selected.order = _order_text(keys, selected)
    selected.limit = limit_clause(limit, offset)
    _rank(node, selected, keys, scope, (limit, offset))
    quick = _is_point(node, statement, scope)
    text = selected.text(named=False)
    return _one_shard(statement, catalog, text, columns, quick=quick, locking=node.locking)


def _check_locking(node: syntax.Select, scope: Scope) -> None:
    """FOR UPDATE locks rows of tables: there must be some to which the answer's rows belong."""
    if not node.locking:
        return
    for name in node.locked:
        if name.text not in scope.relations:
            raise StatementError(
                f'relation "{name.text}" in FOR {node.locking} clause not found in FROM clause',
                sqlstate="42P01",
                position=name.position,
            )
    for found, what in (
        (node.group, "GROUP BY clause"),
        (node.having is not None, "HAVING clause"),
        (node.distinct, "DISTINCT clause"),
        (scope.aggregates, "aggregate functions"),
        (scope.has_windows, "window functions"),
    ):
        if found:
            raise NotSupported(
                f"FOR {node.locking} is not allowed with {what}",
                hint="Lock the rows by a SELECT of their own.",
            )


def _answer(
    node: syntax.Select,
    selected: Selected,
    columns: tuple[ResultColumn, ...],
    parameters: Parameters,
) -> Answer | None:
    """Constants and what drivers ask when they connect: no shard is needed."""
    if node.where or node.having or node.group or node.tail.limit or node.tail.offset:
        return None
    row = [item.taken(None).constant for item in selected.items]
    values = tuple(constant.value for constant in row if constant is not None)
    if len(values) < len(row):
        return None
    return Answer("SELECT", columns, (values,), parameters.oids())


def _one_shard(
    statement: Statement,
    catalog: Catalog,
    text: str,
    columns: tuple[ResultColumn, ...],
    *,
    quick: bool,
    locking: str = "",
) -> OneShard | CatalogQuery:
    if statement.asks_catalog and not statement.tables and not locking:
        return CatalogQuery(
            relations=tuple(statement.system),
            sql=text,
            columns=columns,
            parameter_oids=statement.parameters.oids(),
            bounds=tuple(statement.bounds),
            asks_meta=statement.asks_meta,
        )
    where = place(statement, catalog)
    if where.is_everywhere:
        raise _only_plain()
    return OneShard(
        tag="SELECT",
        tables=reliance(statement),
        sql=text,
        key_type=where.key_type,
        keys=where.keys,
        quick=quick,
        columns=columns,
        parameter_oids=statement.parameters.oids(),
        bounds=tuple(statement.bounds),
        shards=where.shards,
        locking=locking,
    )


def _is_point(node: syntax.Select, statement: Statement, scope: Scope) -> bool:
    """Whether it reads one row by its whole primary key: bounded work."""
    if len(statement.scopes) > 1 or len(node.sources) != 1 or len(scope.named) != 1:
        return False
    ((number, table),) = scope.named
    pins = pins_of(statement)
    return bool(table.primary_key) and all(
        len(pins.get((number, name), ())) == 1 for name in table.primary_key
    )


def _only_plain() -> NotSupported:
    return NotSupported(
        "this query over several shards is not supported",
        hint="Over several shards there are filters, ORDER BY, LIMIT and count(*) of one table. "
        "Pin its shard key to one value, or make it a home table.",
    )


def _scatter(
    node: syntax.Select,
    statement: Statement,
    scope: Scope,
    selected: Selected,
    keys: list[_Key],
    limit: Operand | None,
    offset: Operand | None,
    catalog: Catalog,
) -> Scatter:
    """One table, filtered, sorted and cut on every shard, and merged; or counted."""
    where = place(statement, catalog)
    is_count = _is_count(node)
    if (
        len(statement.scopes) > 1
        or len(statement.tables) > 1
        or len(node.sources) != 1
        or not isinstance(node.sources[0], syntax.TableName)
        or node.group
        or node.distinct
        or node.having is not None
        or scope.has_windows
        or (scope.aggregates and not is_count)
        or (is_count and (limit or offset or keys))
        or node.tail.with_ties
        or not selected.items
    ):
        raise _only_plain()
    order: list[OrderKey] = []
    texts = []
    for key, typed, index in keys:
        if index is None:
            index = len(selected.items) + len(selected.hidden)
            selected.hidden.append(typed.sql)
        # By position: the column that the merge reads is the column that was sorted by.
        texts.append(direction(collated(Typed(str(index + 1), typed.type)), key))
        order.append(OrderKey(index, key.descending, key.nulls_first, typed.type.collation))
    selected.order = f" ORDER BY {', '.join(texts)}" if texts else ""
    columns = result_columns(selected)
    selected.limit = limit_clause(reach(limit, offset), None)
    return Scatter(
        tables=reliance(statement),
        sql=selected.text(named=False),
        columns=columns,
        parameter_oids=statement.parameters.oids(),
        hidden=len(selected.hidden),
        order=tuple(order),
        limit=limit,
        offset=offset,
        count=is_count,
        key_type=where.key_type,
        keys=where.keys,
    )


def _is_count(node: syntax.Select) -> bool:
    if len(node.items) != 1 or not isinstance(node.items[0], syntax.SelectItem):
        return False
    call = node.items[0].expression
    return (
        isinstance(call, syntax.Call)
        and call.name == "count"
        and call.over is None
        and not call.distinct
    )
