"""INSERT, UPDATE and DELETE: writes whose rows live on one shard, named by their shard key."""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter import syntax, types
from shardrouter.catalog import Column, Table
from shardrouter.conditions import Conditions, conditions
from shardrouter.errors import NotSupported, StatementError
from shardrouter.planned import Constant, OneShard, Operand
from shardrouter.translate import Parameters, Scope, Typed, constant, quote

__all__ = ["delete", "insert", "update"]


def insert(node: syntax.Insert, table: Table, parameters: Parameters) -> OneShard:
    scope = Scope(parameters)
    columns = _targets(node, table)
    rows: list[list[Typed]] = []
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
    columns = columns[: len(rows[0])]
    is_home = table.placement != "sharded"
    keys = () if is_home else _shard_keys(table, columns, rows, scope, node.table.position)
    names = ", ".join(quote(column.name) for column in columns)
    values = ", ".join(f"({', '.join(typed.sql for typed in row)})" for row in rows)
    text = f"INSERT INTO {quote(table.name)} ({names}) VALUES {values}"  # noqa: S608 -- quoted names, our literals
    if node.conflict is not None:
        text += _on_conflict(node, node.conflict, table, parameters)
    return OneShard(
        tag="INSERT",
        tables=((table.name, table.version),),
        sql=text,
        key_type="" if is_home else _key(table).type,
        keys=keys,
        quick=True,
        key=table.shard_key,
        parameter_oids=parameters.oids(),
    )


def _position(node: syntax.Expression | syntax.DefaultValue) -> int:
    return 0 if isinstance(node, syntax.DefaultValue) else syntax.position_of(node)


def _key(table: Table) -> Column:
    column = table.column(table.shard_key)
    assert column is not None
    return column


def _column(table: Table, name: syntax.Name) -> Column:
    column = table.column(name.text)
    if column is None:
        raise StatementError(
            f'column "{name.text}" of relation "{table.name}" does not exist',
            sqlstate="42703",
            position=name.position,
        )
    return column


def _targets(node: syntax.Insert, table: Table) -> list[Column]:
    if node.columns is None:
        return list(table.columns)
    columns = [_column(table, name) for name in node.columns]
    for i, name in enumerate(node.columns):
        if columns[i] in columns[:i]:
            raise _named_twice(name)
    return columns


def _named_twice(name: syntax.Name) -> StatementError:
    return StatementError(
        f'column "{name.text}" specified more than once',
        sqlstate="42701",
        position=name.position,
    )


def _value(node: syntax.Expression | syntax.DefaultValue, column: Column, scope: Scope) -> Typed:
    if isinstance(node, syntax.DefaultValue):
        kind = types.of_column(column.type)
        default = column.default
        if default is None:
            return constant(None, kind)
        return constant(default.value, kind) if default.is_constant else Typed(default.sql, kind)
    return scope.assign(node, column)


def _shard_keys(
    table: Table,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Typed]],
    scope: Scope,
    position: int,
) -> tuple[Operand, ...]:
    """The shard key of each row, each value once. Without one the row has its default."""
    key = _key(table)
    keys: dict[Operand, None] = {}
    for row in rows:
        typed = next(
            (t for t, c in zip(row, columns, strict=True) if c.name == key.name),
            _value(syntax.DefaultValue(), key, scope),
        )
        operand = typed.operand
        if operand is None:
            raise NotSupported(
                f'the shard key "{key.name}" must be a constant or a parameter',
                position=position,
                hint="Compute it in the application: it decides where the row lives.",
            )
        if isinstance(operand, Constant) and operand.value is None:
            raise null_key(key.name, table.name)
        keys[operand] = None
    return tuple(keys)


def null_key(column: str, table: str) -> StatementError:
    """PostgreSQL's error for a row without its key."""
    return StatementError(
        f'null value in column "{column}" of relation "{table}" violates not-null constraint',
        sqlstate="23502",
    )


def _on_conflict(
    node: syntax.Insert, conflict: syntax.OnConflict, table: Table, parameters: Parameters
) -> str:
    target = tuple(_column(table, name).name for name in conflict.target)
    keys = [set(table.primary_key), *map(set, table.unique)]
    if target and set(target) not in keys:
        raise StatementError(
            "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            sqlstate="42P10",
        )
    text = f" ON CONFLICT ({', '.join(map(quote, target))})" if target else " ON CONFLICT"
    if not conflict.assignments:
        return text + " DO NOTHING"
    if not target:
        raise StatementError(
            "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            sqlstate="42601",
            hint="For example, ON CONFLICT (column_name).",
        )
    if len(node.rows) > 1:
        raise NotSupported(
            "ON CONFLICT DO UPDATE of several rows is not supported",
            hint="Send one INSERT per row; PostgreSQL refuses to change a row twice.",
        )
    scope = Scope(parameters, table, node.table.alias, excluded=True)
    text += f" DO UPDATE SET {_assignments(conflict.assignments, table, scope)}"
    if conflict.where is not None:
        text += f" WHERE {scope.condition(conflict.where, 'WHERE').sql}"
    return text


def _assignments(assignments: Sequence[syntax.Assignment], table: Table, scope: Scope) -> str:
    texts = []
    seen: set[str] = set()
    for assignment in assignments:
        column = _column(table, assignment.column)
        if column.name in seen:
            raise StatementError(
                f'multiple assignments to same column "{column.name}"',
                sqlstate="42601",
                position=assignment.column.position,
            )
        seen.add(column.name)
        if column.name == table.shard_key:
            raise NotSupported(
                f'changing the shard key "{column.name}" is not supported',
                position=assignment.column.position,
                hint="DELETE the row and INSERT it with the new key.",
            )
        texts.append(f"{quote(column.name)} = {_value(assignment.value, column, scope).sql}")
    return ", ".join(texts)


def update(node: syntax.Update, table: Table, parameters: Parameters) -> OneShard:
    scope = Scope(parameters, table, node.table.alias)
    changes = _assignments(node.assignments, table, scope)
    where = _pinned(node.where, scope, table, "UPDATE")
    text = f"UPDATE {quote(table.name)} SET {changes}{where.sql}"  # noqa: S608 -- quoted names, our literals
    return _write("UPDATE", text, table, where, parameters)


def delete(node: syntax.Delete, table: Table, parameters: Parameters) -> OneShard:
    scope = Scope(parameters, table, node.table.alias)
    where = _pinned(node.where, scope, table, "DELETE")
    text = f"DELETE FROM {quote(table.name)}{where.sql}"  # noqa: S608 -- quoted names, our literals
    return _write("DELETE", text, table, where, parameters)


def _pinned(node: syntax.Expression | None, scope: Scope, table: Table, tag: str) -> Conditions:
    where = conditions(node, scope, table)
    if table.placement == "sharded" and not where.keys:
        raise NotSupported(
            f"{tag} over several shards is not supported",
            hint=f"Name the shard key with AND {quote(table.shard_key)} = ... at the top of WHERE.",
        )
    return where


def _write(
    tag: str, text: str, table: Table, where: Conditions, parameters: Parameters
) -> OneShard:
    return OneShard(
        tag=tag,
        tables=((table.name, table.version),),
        sql=text,
        key_type=where.key_type,
        keys=where.keys,
        quick=where.is_one_row,
        parameter_oids=parameters.oids(),
    )
