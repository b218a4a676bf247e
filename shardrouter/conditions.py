"""WHERE: its text, and which rows it can be true for at all.

A column is pinned if the conjuncts (what AND connects at the top) demand that it equals a
constant or parameter, or one of a list. If the shard key is pinned, the statement concerns
only the shards of these values. Only a comparison made in the column's own kind pins it:
`id = 1.5::float8` compares floats, and the hash of a float is not that of the key.
"""

from __future__ import annotations

from dataclasses import dataclass

from shardrouter import syntax, types
from shardrouter.catalog import Table
from shardrouter.planned import Operand
from shardrouter.translate import Scope, Typed

__all__ = ["Conditions", "conditions"]


@dataclass(frozen=True)
class Conditions:
    """`sql` is the whole clause with its keyword, or empty. `keys` are the values that the
    shard key can have, empty if any. `is_one_row`: the whole primary key is pinned to one."""

    sql: str
    key_type: str
    keys: tuple[Operand, ...]
    is_one_row: bool


def conditions(node: syntax.Expression | None, scope: Scope, table: Table) -> Conditions:
    key = table.column(table.shard_key)
    key_type = "" if key is None else key.type
    if node is None:
        return Conditions("", key_type, (), False)
    pins: dict[str, tuple[Operand, ...]] = {}
    conjuncts = _conjuncts(node)
    clause = "AND" if len(conjuncts) > 1 else "WHERE"
    parts = [_conjunct(part, scope, pins, clause) for part in conjuncts]
    # A change of a row that others refer to may change, or look through, any number of them.
    one_row = (
        bool(table.primary_key)
        and not table.referenced_by
        and all(len(pins.get(name, ())) == 1 for name in table.primary_key)
    )
    text = " AND ".join(part.sql for part in parts)
    return Conditions(f" WHERE {text}", key_type, pins.get(table.shard_key, ()), one_row)


def _conjuncts(node: syntax.Expression) -> list[syntax.Expression]:
    if isinstance(node, syntax.Logical) and node.operator == "AND":
        return [part for operand in node.operands for part in _conjuncts(operand)]
    return [node]


def _conjunct(
    node: syntax.Expression,
    scope: Scope,
    pins: dict[str, tuple[Operand, ...]],
    clause: str,
) -> Typed:
    if isinstance(node, syntax.Binary) and node.operator == "=":
        typed, left, right = scope.comparison(node)
        for column, value in ((left, right), (right, left)):
            if column.column is not None and value.operand is not None:
                _pin(pins, column, (value.operand,))
        return typed
    if isinstance(node, syntax.InList):
        typed, pairs = scope.in_list(node)
        operands = [right.operand for _, right in pairs]
        known = tuple(operand for operand in operands if operand is not None)
        if pairs[0][0].column is not None and len(known) == len(operands):
            _pin(pins, pairs[0][0], known)
        return typed
    return scope.condition(node, clause)


def _pin(
    pins: dict[str, tuple[Operand, ...]], column: Typed, operands: tuple[Operand, ...]
) -> None:
    """Keep the shortest list of several for one column: all must hold."""
    assert column.column is not None
    if column.type not in types.SHARD_KEY_TYPES:
        return  # equal values may differ in bytes: -0.0 = 0.0, 1.5 = 1.50
    known = pins.get(column.column)
    if known is None or len(operands) < len(known):
        pins[column.column] = operands
