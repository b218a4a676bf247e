"""Conditions, and which rows they can be true for at all.

A row counts only if the conjuncts (what AND connects at the top) of WHERE and of its joins are
true. Where one demands that a column equals a constant, a parameter or another column, or is one
of a list, the scope notes it; `shardrouter.placing` finds from all of them which shards a
statement concerns. Only a comparison made in the column's own kind is one: `id = 1.5::float8`
compares floats, and the hash of a float is not that of the key.
"""

from __future__ import annotations

from shardrouter import syntax
from shardrouter.in_lists import in_list
from shardrouter.translate import Scope
from shardrouter.typed import Typed, connected

__all__ = ["conjuncts", "demand", "where_clause"]


def conjuncts(node: syntax.Expression) -> list[syntax.Expression]:
    if isinstance(node, syntax.Logical) and node.operator == "AND":
        return [part for operand in node.operands for part in conjuncts(operand)]
    return [node]


def where_clause(node: syntax.Expression | None, scope: Scope) -> str:
    """The whole clause with its keyword, or nothing."""
    if node is None:
        return ""
    parts = conjuncts(node)
    word = "AND" if len(parts) > 1 else "WHERE"
    numbers = scope.numbers
    scope.clause = "WHERE"
    marks = len(scope.loose)
    texts = [demand(part, scope, numbers, word).sql for part in parts]
    del scope.loose[marks:]
    scope.clause = ""
    scope.statement.restrict(texts, numbers - scope.nullable)
    return f" WHERE {connected('AND', texts)}"


def demand(node: syntax.Expression, scope: Scope, restricted: frozenset[int], clause: str) -> Typed:
    """One conjunct; rows of the `restricted` relations count only if it is true."""
    if isinstance(node, syntax.Binary) and node.operator == "=":
        if isinstance(node.left, syntax.Row) and isinstance(node.right, syntax.Row):
            for left, right in zip(node.left.items, node.right.items, strict=False):
                _, a, b = scope.comparison(syntax.Binary("=", left, right, node.position))
                scope.equal(a, b, restricted)
            return scope.binary(node)
        typed, left_side, right_side = scope.comparison(node)
        scope.equal(left_side, right_side, restricted)
        return typed
    if isinstance(node, syntax.InList):
        typed, pairs = in_list(node, scope)
        if pairs:
            scope.one_of(pairs[0][0], tuple(right for _, right in pairs), restricted)
        return typed
    return scope.condition(node, clause)
