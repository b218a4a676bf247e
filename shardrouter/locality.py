"""Which parts of a query every shard can answer for its own rows (docs/distributed.md).

Rows with one shard key are on one shard, whatever their table. So a join is *local* if it demands
that the keys of its sides are equal: each shard joins its own rows, and the rows of all shards
together are the answer. A reference table is on every shard and joins anything, but for the side of
an outer join that is kept whole, which would be kept on every shard. A group is local if it is
grouped by the key, a subquery if what it reads has the key of the row it is asked for.

`Located` says by which columns the rows of something are placed. What is not known to be local is
not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from shardrouter.placing import key_kind, key_type
from shardrouter.types import NO_MODIFIER, SHARD_KEY_TYPES

if TYPE_CHECKING:
    from shardrouter import syntax
    from shardrouter.outputs import Item
    from shardrouter.relations import Relation
    from shardrouter.tables import Table
    from shardrouter.translate import Scope

__all__ = [
    "Form",
    "Joined",
    "Leaf",
    "Located",
    "Shape",
    "View",
    "body",
    "changes_alone",
    "inserts_alone",
    "reads_alike",
    "whole",
]

Columns: TypeAlias = frozenset[tuple[int, str]]


@dataclass(frozen=True)
class Leaf:
    """A relation of FROM. `inner` is the index of the scope of its query, if it is one; of what is
    `opaque` nothing more is known."""

    relation: Relation
    inner: int = 0
    opaque: bool = False


@dataclass(frozen=True)
class Joined:
    kind: str
    left: Shape
    right: Shape


Shape: TypeAlias = Leaf | Joined


@dataclass(frozen=True)
class Form:
    """What a SELECT is besides its FROM and WHERE."""

    node: syntax.Select
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Located:
    """Rows that are on the shard of these columns; of no columns: the same rows on each."""

    columns: Columns
    kind: str = ""
    """Of which types the keys are: equal ones of one kind are on one shard."""
    key_type: str = ""


_EVERYWHERE: Final = Located(frozenset())


def whole(scope: Scope, *, is_top: bool = False) -> Located | None:
    """Where the rows of a SELECT are, if its answer is those of all shards together. What it is
    sorted and cut by is another's matter if it `is_top`."""
    found, form = body(scope), scope.form
    if found is None or form is None:
        return None
    node = form.node
    tail = node.tail
    if not is_top and (tail.limit is not None or tail.offset is not None):
        return None
    if not found.columns:
        return found
    if node.grouping or scope.has_windows or isinstance(node.distinct, tuple) or tail.with_ties:
        return None
    if node.group or scope.aggregates or node.having is not None:
        grouped = {typed.column for typed in scope.grouped.values()}
        found = replace(found, columns=frozenset(found.columns & grouped))
        if not found.columns:
            return None
    if node.distinct:
        shown = {item.typed.column for item in form.items if item.typed is not None}
        if not found.columns & shown:
            return None
    return found


def body(scope: Scope) -> Located | None:
    """Where the rows of its FROM and WHERE are, with all that is asked for them in subqueries."""
    return None if scope.form is None else _met(scope)


def changes_alone(scope: Scope, table: Table) -> bool:
    """Whether each shard can change its own rows of a table by itself: all that an UPDATE or a
    DELETE, whose scope this is, reads for a row of it, relation 0, is on that row's shard."""
    found = _met(scope)
    return found is not None and (0, table.shard_key) in found.columns


def inserts_alone(scope: Scope, table: Table, item: int) -> bool:
    """Whether the rows that each shard has of a query are its own in the table too, into which they
    are inserted with this item of the query as the key."""
    found, form = whole(scope), scope.form
    if found is None or form is None or scope.outer_reads or found.kind != key_kind(table):
        return False
    typed, key = form.items[item].typed, table.column(table.shard_key)
    assert key is not None
    return (
        typed is not None
        and typed.column in found.columns
        and typed.type in SHARD_KEY_TYPES
        and key.modifier in (NO_MODIFIER, typed.modifier)
    )


def _met(scope: Scope) -> Located | None:
    """Where the rows are that meet each other in its FROM and WHERE. It is asked several times of a
    query that is understood to its end, and again for each table that may be sent to the shards."""
    met, sent = scope.met, scope.statement.sent
    if sent not in met:
        met[sent] = _meeting(scope)
    return met[sent]


def _meeting(scope: Scope) -> Located | None:
    found: Located | None = _EVERYWHERE
    view = _view_of(scope)
    for shape in scope.shapes:
        found = None if found is None else view.joined("INNER", found, view.of(shape))
    if found is None:
        return None
    for inner in _subqueries(scope):
        if not _is_beside(inner, found):
            return None
    return found


def _region(scope: Scope) -> Iterable[Scope]:
    """The scope and all that are in it."""
    return scope.statement.scopes[scope.index : max(scope.end, scope.index + 1)]


def _leaves(shapes: Iterable[Shape]) -> Iterator[Leaf]:
    for shape in shapes:
        if isinstance(shape, Leaf):
            yield shape
        else:
            yield from _leaves((shape.left, shape.right))


def _subqueries(scope: Scope) -> Iterator[Scope]:
    """The queries in its expressions, and those of its WITH."""
    scopes = scope.statement.scopes
    from_ends = {
        leaf.inner - 1: scopes[leaf.inner].end for leaf in _leaves(scope.shapes) if leaf.inner
    }
    at = scope.index + 1
    while at < scope.end:
        if at in from_ends:
            at = max(from_ends[at], at + 1)
            continue
        yield scopes[at]
        at = max(scopes[at].end, at + 1)


def _is_replicated(scope: Scope) -> bool:
    return reads_alike(_region(scope))


def reads_alike(scopes: Iterable[Scope]) -> bool:
    """Whether these read nothing but what is on every shard."""
    region = list(scopes)
    return all(
        each.statement.is_everywhere(number, table)
        for each in region
        for number, table in each.named
    ) and not any(leaf.opaque for each in region for leaf in _leaves(each.shapes))


def _is_beside(inner: Scope, outer: Located) -> bool:
    """Whether all rows that a subquery reads for a row are on that row's shard."""
    if _is_replicated(inner):
        return True
    found = body(inner)
    if found is None or not found.columns or found.kind != outer.kind:
        return False
    view = _view_of(inner)
    return any(
        mine.column in found.columns
        and view.is_restricted(mine.column, restricted)
        and other.column in outer.columns
        and {mine.type, other.type} <= SHARD_KEY_TYPES
        for left, right, restricted in inner.equalities
        for mine, other in ((left, right), (right, left))
    )


def _view_of(scope: Scope) -> View:
    if scope.known is None:
        scope.known = View(scope)
    return scope.known


class View:
    """What one SELECT knows of the columns of its relations."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._owners: dict[tuple[int, str], set[int]] = {}
        for leaf in _leaves(scope.shapes):
            for _, typed in leaf.relation.fields:
                if typed.column is not None:
                    self._owners.setdefault(typed.column, set()).add(leaf.relation.number)
        self._own: dict[int, Located] = {}
        """Where the rows of its tables are, by the number of the relation."""
        self._alike: dict[tuple[int, str], tuple[int, str]] = {}
        for left, right, restricted in scope.equalities:
            if (
                left.column is not None
                and right.column is not None
                and {left.type, right.type} <= SHARD_KEY_TYPES
                and self.is_restricted(left.column, restricted)
                and self.is_restricted(right.column, restricted)
            ):
                mine, other = self._root(left.column), self._root(right.column)
                if mine != other:  # or a root would stand for itself, and none be found any more
                    self._alike[mine] = other

    def is_restricted(self, column: tuple[int, str] | None, numbers: frozenset[int]) -> bool:
        """Whether its relation's rows, and no other's of the same column, count only if ..."""
        owners = set() if column is None else self._owners.get(column, set())
        return len(owners) == 1 and owners <= numbers

    def _root(self, column: tuple[int, str]) -> tuple[int, str]:
        while column in self._alike:
            column = self._alike[column]
        return column

    def of(self, shape: Shape) -> Located | None:
        if isinstance(shape, Joined):
            left, right = self.of(shape.left), self.of(shape.right)
            return None if left is None else self.joined(shape.kind, left, right)
        relation = shape.relation
        if shape.opaque:
            return None
        if shape.inner:
            inner = self._scope.statement.scopes[shape.inner]
            if inner.form is None and _is_replicated(inner):
                return _EVERYWHERE  # VALUES and the like
            return None if inner.outer_reads else whole(inner)
        table = relation.table
        if table is None or self._scope.statement.is_everywhere(relation.number, table):
            return _EVERYWHERE
        if table.placement == "home":
            return None
        if relation.number not in self._own:
            columns = frozenset({(relation.number, table.shard_key)})
            self._own[relation.number] = Located(columns, key_kind(table), key_type(table))
        return self._own[relation.number]

    def joined(self, kind: str, left: Located, right: Located | None) -> Located | None:
        if right is None:
            return None
        if kind == "RIGHT":
            return self.joined("LEFT", right, left)
        if not right.columns:
            return left if kind != "FULL" or not left.columns else None
        if not left.columns:
            return right if kind in ("INNER", "CROSS") else None
        if kind == "FULL" or left.kind != right.kind:
            return None
        alike = {self._root(column) for column in left.columns}
        if any(self._root(column) in alike for column in right.columns):
            return left if kind == "LEFT" else replace(left, columns=left.columns | right.columns)
        if kind == "LEFT" and self._is_demanded(alike, right):
            return left
        return None

    def _is_demanded(self, alike: set[tuple[int, str]], right: Located) -> bool:
        """Whether rows of the right side count only if a key of theirs is one of the left's."""
        return any(
            mine.column in right.columns
            and other.column is not None
            and self._root(other.column) in alike
            and self.is_restricted(mine.column, restricted)
            and {mine.type, other.type} <= SHARD_KEY_TYPES
            for a, b, restricted in self._scope.equalities
            for mine, other in ((a, b), (b, a))
        )
