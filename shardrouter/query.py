"""SELECT: on one shard if its rows are known to live there, else on every shard and merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

from nodes.protocol import Value
from shardrouter import syntax, types
from shardrouter.catalog import Table
from shardrouter.conditions import conditions
from shardrouter.errors import NotSupported, StatementError
from shardrouter.planned import (
    Answer,
    Constant,
    OneShard,
    Operand,
    OrderKey,
    ResultColumn,
    Scatter,
)
from shardrouter.translate import Parameters, Scope, Typed, quote

__all__ = ["answer", "select"]

INT8_MAX: Final = (1 << 63) - 1

_CATALOG_FUNCTIONS: Final = {
    "version": "PostgreSQL 15.0 (shardrouter)",
    "current_database": "shardrouter",
    "current_catalog": "shardrouter",
    "current_schema": "public",
    "current_user": "shardrouter",
    "current_role": "shardrouter",
    "session_user": "shardrouter",
    "user": "shardrouter",
    "pg_advisory_unlock_all": "",
}
"""Functions that need no table; `pg_advisory_unlock_all` is void, there are no such locks."""


# --------------------------------------------------------------------------- without a table


def answer(node: syntax.Select, parameters: Parameters) -> Answer:
    """SELECT of constants and of what drivers ask when they connect."""
    for clause, name in (
        (node.where, "WHERE"),
        (node.limit, "LIMIT"),
        (node.offset, "OFFSET"),
        (node.order, "ORDER BY"),
    ):
        if clause:
            raise NotSupported(f"{name} without FROM is not supported")
    scope = Scope(parameters)
    columns: list[ResultColumn] = []
    row: list[Value] = []
    for item in node.items:
        if isinstance(item, syntax.Star):
            raise StatementError(
                "SELECT * with no tables specified is not valid",
                sqlstate="42601",
                position=item.position,
            )
        call = item.expression
        if isinstance(call, syntax.Call):
            if call.name not in _CATALOG_FUNCTIONS or call.arguments or call.star:
                _no_function(call)
            columns.append(ResultColumn(item.alias or call.name, types.TEXT.oid))
            row.append(_CATALOG_FUNCTIONS[call.name])
            continue
        typed = scope.expression(item.expression)
        if typed.constant is None:
            raise NotSupported(
                "SELECT without FROM is supported for constants only",
                position=syntax.position_of(item.expression),
                hint="Compute it in the application.",
            )
        columns.append(_result(item.alias or _label(item.expression), typed))
        row.append(typed.constant.value)
    return Answer("SELECT", tuple(columns), (tuple(row),), parameters.oids())


def _no_function(call: syntax.Call) -> NoReturn:
    raise NotSupported(
        f"the function {call.name} is not supported",
        position=call.position,
        hint="Without FROM there are constants, version(), current_database(), "
        "current_schema() and current_user.",
    )


def _result(name: str, typed: Typed) -> ResultColumn:
    return ResultColumn(name, typed.type.oid, typed.modifier)


def _label(node: syntax.Expression) -> str:
    """The name PostgreSQL gives a column without AS."""
    match node:
        case syntax.ColumnReference() | syntax.Call():
            return node.name
        case syntax.TypeCast():
            inner = node.operand
            while isinstance(inner, syntax.TypeCast):
                inner = inner.operand
            if isinstance(inner, syntax.ColumnReference | syntax.Call):
                return inner.name
            name = node.type
            return types.resolve(name.name, name.modifiers, name.position)[0].short
        case _:
            return "?column?"


# --------------------------------------------------------------------------- from a table


@dataclass(frozen=True)
class _Item:
    typed: Typed
    column: ResultColumn


def select(node: syntax.Select, table: Table, parameters: Parameters) -> OneShard | Scatter:
    assert node.table is not None
    scope = Scope(parameters, table, node.table.alias)
    counts = any(isinstance(i, syntax.SelectItem) and _is_count(i) for i in node.items)
    if counts:
        return _count(node, table, scope)
    items = _items(node, table, scope)
    where = conditions(node.where, scope, table)
    order = _order(node, items, scope)
    limit, offset = _bound(scope, node.limit, "LIMIT"), _bound(scope, node.offset, "OFFSET")
    columns = tuple(item.column for item in items)
    one_shard = table.placement != "sharded" or len(where.keys) == 1
    listed = [item.typed.sql for item in items]
    keys: list[OrderKey] = []
    hidden = 0
    for key, typed, index in order:
        if index is None:
            index = len(listed)
            listed.append(typed.sql)
            hidden += 1
        keys.append(OrderKey(index, key.descending, key.nulls_first, typed.type.collation))
    if one_shard:
        del listed[len(items) :]
        sort = [_direction(typed.sql, key, typed.type) for key, typed, _ in order]
    else:
        # By ordinal: the column that the merge reads is the column that was sorted by.
        sort = [
            _direction(str(k.index + 1), key, typed.type)
            for k, (key, typed, _) in zip(keys, order, strict=True)
        ]
    text = f"SELECT {', '.join(listed)} FROM {quote(table.name)}{where.sql}"  # noqa: S608 -- quoted names, our literals
    if sort:
        text += f" ORDER BY {', '.join(sort)}"
    if one_shard:
        return OneShard(
            tag="SELECT",
            tables=((table.name, table.version),),
            sql=text + _limit(limit, offset),
            key_type=where.key_type,
            keys=where.keys,
            quick=where.is_one_row,
            columns=columns,
            parameter_oids=parameters.oids(),
            limit=limit,
            offset=offset,
        )
    return Scatter(
        tables=((table.name, table.version),),
        sql=text + _limit(_reach(limit, offset), None),
        columns=columns,
        parameter_oids=parameters.oids(),
        hidden=hidden,
        order=tuple(keys),
        limit=limit,
        offset=offset,
        key_type=where.key_type,
        keys=where.keys,
    )


def _is_count(item: syntax.SelectItem) -> bool:
    return isinstance(item.expression, syntax.Call) and item.expression.star


def _count(node: syntax.Select, table: Table, scope: Scope) -> OneShard | Scatter:
    (first, *others) = node.items
    if (
        others
        or not isinstance(first, syntax.SelectItem)
        or node.order
        or node.limit
        or node.offset
    ):
        raise NotSupported(
            "count(*) beside other items, ORDER BY, LIMIT or OFFSET is not supported",
            hint="Write SELECT count(*) FROM table WHERE ... and nothing else.",
        )
    call = first.expression
    assert isinstance(call, syntax.Call)
    if call.name != "count":
        raise NotSupported(f"the function {call.name} is not supported", position=call.position)
    where = conditions(node.where, scope, table)
    columns = (ResultColumn(first.alias or "count", types.BIGINT.oid),)
    text = f"SELECT count(*) FROM {quote(table.name)}{where.sql}"  # noqa: S608 -- quoted names, our literals
    oids = scope.parameters.oids()
    if table.placement != "sharded" or len(where.keys) == 1:
        return OneShard(
            "SELECT",
            ((table.name, table.version),),
            text,
            where.key_type,
            where.keys,
            where.is_one_row,
            columns,
            oids,
        )
    return Scatter(
        ((table.name, table.version),),
        text,
        columns,
        oids,
        count=True,
        key_type=where.key_type,
        keys=where.keys,
    )


def _items(node: syntax.Select, table: Table, scope: Scope) -> list[_Item]:
    items = []
    for item in node.items:
        if isinstance(item, syntax.Star):
            if item.table is not None:
                scope.check_qualifier(item.table, item.position)
            for column in table.columns:
                typed = scope.column(syntax.ColumnReference(column.name, None))
                items.append(_Item(typed, _result(column.name, typed)))
            continue
        typed = scope.expression(item.expression)
        name = item.alias or _label(item.expression)
        items.append(_Item(typed, _result(name, typed)))
    return items


def _direction(text: str, key: syntax.SortKey, kind: types.Type) -> str:
    way = "DESC" if key.descending else "ASC"
    if kind.collation:
        text = f"{text} COLLATE {kind.collation}"
    return f"{text} {way} NULLS {'FIRST' if key.nulls_first else 'LAST'}"


def _order(
    node: syntax.Select, items: list[_Item], scope: Scope
) -> list[tuple[syntax.SortKey, Typed, int | None]]:
    """Each sort key with its expression and, if it is one of the list's items, its index.

    As SQL-92 has it a bare name is an item's name first and a column second, a bare integer
    is a position; inside an expression a name is always a column.
    """
    order: list[tuple[syntax.SortKey, Typed, int | None]] = []
    for key in node.order:
        expression = key.expression
        index: int | None = None
        if isinstance(expression, syntax.NumberLiteral | syntax.StringLiteral):
            index = _ordinal(expression, items)
        elif isinstance(expression, syntax.ColumnReference) and expression.table is None:
            index = _by_name(expression, items)
        if index is None:
            typed = scope.expression(expression)
            index = next((i for i, item in enumerate(items) if item.typed.sql == typed.sql), None)
        else:
            typed = items[index].typed
        if typed.operand is not None:
            continue  # a constant orders nothing; SQLite would read a number as an ordinal
        order.append((key, typed, index))
    return order


def _ordinal(node: syntax.NumberLiteral | syntax.StringLiteral, items: list[_Item]) -> int:
    if isinstance(node, syntax.StringLiteral) or not node.text.isdigit():
        raise StatementError(
            "non-integer constant in ORDER BY", sqlstate="42601", position=node.position
        )
    if len(node.text) > 6 or not 1 <= int(node.text) <= len(items):
        raise StatementError(
            f"ORDER BY position {node.text} is not in select list",
            sqlstate="42P10",
            position=node.position,
        )
    return int(node.text) - 1


def _by_name(node: syntax.ColumnReference, items: list[_Item]) -> int | None:
    found = [i for i, item in enumerate(items) if item.column.name == node.name]
    if len({items[i].typed.sql for i in found}) > 1:
        raise StatementError(
            f'ORDER BY "{node.name}" is ambiguous', sqlstate="42702", position=node.position
        )
    return found[0] if found else None


# --------------------------------------------------------------------------- LIMIT


def _bound(scope: Scope, node: syntax.Expression | None, clause: str) -> Operand | None:
    """LIMIT or OFFSET as a constant or a parameter; NULL is none."""
    if node is None:
        return None
    position = syntax.position_of(node)
    typed = scope.take(node, types.BIGINT)
    if not types.is_integer(typed.type) or typed.operand is None:
        if typed.operand is None:
            raise NotSupported(
                f"{clause} by an expression is not supported",
                position=position,
                hint="Pass the number as a parameter.",
            )
        raise StatementError(
            f"argument of {clause} must be type bigint, not type {typed.type.name}",
            sqlstate="42804",
            position=position,
        )
    operand = typed.operand
    if isinstance(operand, Constant):
        if operand.value is None:
            return None
        check_bound(operand.value, clause)
    return operand


def check_bound(value: object, clause: str) -> None:
    """Raises PostgreSQL's error for a negative LIMIT or OFFSET, which SQLite reads as none."""
    if isinstance(value, int) and value < 0:
        raise StatementError(
            f"{clause} must not be negative",
            sqlstate="2201W" if clause == "LIMIT" else "2201X",
        )


def _text(operand: Operand) -> str:
    return str(operand.value) if isinstance(operand, Constant) else f"?{operand.number}"


def _limit(limit: Operand | str | None, offset: Operand | None) -> str:
    """The clause for SQLite, where a LIMIT of -1 is none and NULL is an error."""
    if limit is None and offset is None:
        return ""
    if limit is None:
        text = "-1"
    elif isinstance(limit, str):
        text = limit
    elif isinstance(limit, Constant):
        text = _text(limit)
    else:
        text = f"CASE WHEN {_text(limit)} IS NULL THEN -1 ELSE {_text(limit)} END"
    if offset is None:
        return f" LIMIT {text}"
    start = _text(offset)
    if not isinstance(offset, Constant):
        start = f"CASE WHEN {start} IS NULL THEN 0 ELSE {start} END"
    return f" LIMIT {text} OFFSET {start}"


def _reach(limit: Operand | None, offset: Operand | None) -> Operand | str | None:
    """How many rows of one shard can be among the answer: limit + offset."""
    if limit is None:
        return None
    if offset is None:
        return limit
    if isinstance(limit, Constant) and isinstance(offset, Constant):
        assert isinstance(limit.value, int)
        assert isinstance(offset.value, int)
        return Constant(min(limit.value + offset.value, INT8_MAX))
    a, b = _text(limit), _text(offset)
    # SQLite's + becomes a float where it overflows, and a float is no LIMIT.
    return (
        f"CASE WHEN {a} IS NULL OR {b} > {INT8_MAX} - {a} THEN -1 "
        f"WHEN {b} IS NULL THEN {a} ELSE {a} + {b} END"
    )
