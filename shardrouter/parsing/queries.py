"""Queries of a tree as values: SELECT, VALUES, set operations, and what stands in FROM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from shardrouter import syntax
from shardrouter.dialect import MARK
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import syntax_error
from shardrouter.parsing.expressions import Expressions
from shardrouter.phrases import TIES

__all__ = ["Queries"]

_TAIL: Final = ("order", "limit", "offset", "with_")
_OPERATIONS: Final[dict[type[exp.Expr], str]] = {
    exp.Union: "UNION",
    exp.Intersect: "INTERSECT",
    exp.Except: "EXCEPT",
}


class Queries(Expressions):
    def query(self, node: exp.Expr) -> syntax.Query:
        if isinstance(node, exp.Select):
            return self._select(node)
        if isinstance(node, exp.Values):
            return self._values(node)
        if type(node) in _OPERATIONS:
            return self._set_operation(node)
        if isinstance(node, exp.Subquery):
            return self._parenthesised(node)
        raise self._unsupported(node, "this form of a query")

    def _parenthesised(self, node: exp.Subquery) -> syntax.Query:
        """(query), or (query) ORDER BY ... LIMIT ..."""
        self._only(node, "this", *_TAIL)
        inner = self.query(node.this)
        tail = self._tail(node)
        if tail == syntax.Tail():
            return inner
        if inner.tail == syntax.Tail() and not isinstance(inner, syntax.Select):
            return _with_tail(inner, tail)
        source = syntax.FromQuery(inner, "", position=self._position(node))
        return syntax.Select((syntax.Star(),), (source,), tail=tail)

    def _tail(self, node: exp.Expr) -> syntax.Tail:
        bounds: list[syntax.Expression | None] = []
        with_ties = False
        for name in ("limit", "offset"):
            clause = node.args.get(name)
            if clause is None:
                bounds.append(None)
                continue
            self._only(clause, "expression")
            value = clause.expression
            is_all = isinstance(value, exp.Expr) and value.name.upper() == "ALL"
            found = None if is_all else self.expression(value)
            if isinstance(found, syntax.Call) and found.name == TIES:
                with_ties, (found,) = True, found.arguments
            bounds.append(found)
        order = self._order_keys(node.args.get("order"))
        if not order and bounds == [None, None] and node.args.get("with_") is None:
            return _NO_TAIL
        tables, recursive = self._common_tables(node)
        return syntax.Tail(order, bounds[0], bounds[1], tables, recursive, with_ties)

    def _common_tables(self, node: exp.Expr) -> tuple[tuple[syntax.CommonTable, ...], bool]:
        clause = node.args.get("with_")
        if clause is None:
            return (), False
        self._only(clause, "expressions", "recursive")
        tables = []
        for table in clause.expressions:
            if not isinstance(table, exp.CTE):
                raise self._unsupported(table, "this form of WITH")
            self._only(table, "this", "alias", "materialized")
            alias = table.args["alias"]
            self._only(alias, "this", "columns")
            name = self._name(alias.this)
            materialized = table.args.get("materialized")
            tables.append(
                syntax.CommonTable(
                    name,
                    self._names(alias.args.get("columns") or []),
                    self.query(table.this),
                    None if materialized is None else bool(materialized),
                )
            )
        return tuple(tables), bool(clause.args.get("recursive"))

    def _select(self, node: exp.Select) -> syntax.Query:
        self._only(
            node, "expressions", "from_", "joins", "where", "group", "having", "windows",
            "distinct", "locks", *_TAIL,
        )  # fmt: skip
        lone = self._lone_values(node)
        if lone is not None:
            return lone
        having = node.args.get("having")
        if having is not None:
            self._only(having, "this")
        return syntax.Select(
            self._list(node.expressions),
            self._sources(node),
            self._where(node),
            self._group(node),
            None if having is None else self.expression(having.this),
            self._windows(node),
            self._distinct(node),
            self._tail(node),
            self._locking(node),
            self._position(node.expressions[0] if node.expressions else node),
            self._locked(node),
        )

    def _lone_values(self, node: exp.Select) -> syntax.Query | None:
        """The parser makes SELECT * FROM (VALUES ...) AS _values of a lone VALUES."""
        source = node.args.get("from_")
        if source is None or not isinstance(source.this, exp.Values):
            return None
        alias = source.this.args.get("alias")
        if alias is None or alias.this.name.startswith(MARK):
            return None
        values = self._values(source.this, "alias")
        return _with_tail(values, self._tail(node))

    def _list(self, nodes: Sequence[exp.Expr]) -> tuple[syntax.SelectItem | syntax.Star, ...]:
        return tuple(self._item(node) for node in nodes)

    def _item(self, node: exp.Expr) -> syntax.SelectItem | syntax.Star:
        alias = None
        if isinstance(node, exp.Alias):
            self._only(node, "this", "alias")
            alias = self._label(node.args["alias"])
            node = node.this
        star: exp.Expr | None = None
        schema = ""
        if isinstance(node, exp.Star):
            star, qualifier = node, None
        elif isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
            self._only(node, "this", "table", "db")
            star, qualifier = node.this, self._name(node.args["table"]).text
            if node.args.get("db") is not None:
                schema = self._name(node.args["db"]).text
        if star is None:
            return syntax.SelectItem(self.expression(node), alias)
        self._only(star)
        if alias is not None:
            raise syntax_error("AS", self._position(node) - 1)
        return syntax.Star(qualifier, self._position(node), schema)

    def _where(self, node: exp.Expr) -> syntax.Expression | None:
        where = node.args.get("where")
        if where is None:
            return None
        self._only(where, "this")
        return self.expression(where.this)

    def _group(self, node: exp.Expr) -> tuple[syntax.Expression, ...]:
        group = node.args.get("group")
        if group is None:
            return ()
        self._only(group, "expressions")
        for item in group.expressions:
            if isinstance(item, exp.Tuple):
                raise self._unsupported(item, "a row in GROUP BY")
        return self.expressions(group.expressions)

    def _windows(self, node: exp.Expr) -> tuple[tuple[str, syntax.WindowSpec], ...]:
        windows = []
        for window in node.args.get("windows") or []:
            self._only(window, "this", "partition_by", "order", "spec", "alias")
            windows.append((self._name(window.this).text, self.window_spec(window)))
        return tuple(windows)

    def _distinct(self, node: exp.Expr) -> bool | tuple[syntax.Expression, ...]:
        distinct = node.args.get("distinct")
        if distinct is None:
            return False
        self._only(distinct, "on")
        on = distinct.args.get("on")
        if on is None:
            return True
        if not isinstance(on, exp.Tuple):
            return (self.expression(on),)
        self._only(on, "expressions")
        return self.expressions(on.expressions)

    def _locking(self, node: exp.Expr) -> str:
        locks = node.args.get("locks") or []
        modes = []
        for lock in locks:
            self._only(lock, "update", "key", "expressions")
            if lock.args.get("wait") is not None:
                raise NotSupported(
                    "NOWAIT and SKIP LOCKED are not supported",
                    hint="Leave them out: nobody waits for a row here, a transaction that met "
                    "another's change is repeated.",
                )
            update, key = bool(lock.args.get("update")), bool(lock.args.get("key"))
            modes.append(
                ("NO KEY UPDATE" if key else "UPDATE")
                if update
                else ("KEY SHARE" if key else "SHARE")
            )
        order = ("UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE", "")
        return min(modes, key=order.index, default="")

    def _locked(self, node: exp.Expr) -> tuple[syntax.Name, ...]:
        """The relations after OF."""
        return tuple(
            self._name(table.this if isinstance(table, exp.Table) else table)
            for lock in node.args.get("locks") or []
            for table in lock.expressions
        )

    def _values(self, node: exp.Values, *known: str) -> syntax.Values:
        self._only(node, "expressions", *known, *_TAIL)
        rows = []
        for row in node.expressions:
            if not isinstance(row, exp.Tuple):
                raise self._unsupported(row, "a row without parentheses")
            self._only(row, "expressions")
            rows.append(self.expressions(row.expressions))
            if len(rows[-1]) != len(rows[0]):
                raise StatementError(
                    "VALUES lists must all be the same length",
                    sqlstate="42601",
                    position=self._position(row),
                )
        return syntax.Values(tuple(rows), self._tail(node), self._position(node))

    def _set_operation(self, node: exp.Expr) -> syntax.SetOperation:
        self._only(node, "this", "expression", "distinct", *_TAIL)
        return syntax.SetOperation(
            _OPERATIONS[type(node)],
            not node.args.get("distinct"),
            self.query(node.this),
            self.query(node.expression),
            self._tail(node),
            self._position(node),
        )

    # ---- FROM

    def _sources(self, node: exp.Expr) -> tuple[syntax.FromItem, ...]:
        """What the commas separate: the parser gives all joins as one list."""
        clause = node.args.get("from_")
        if clause is None:
            return ()
        self._only(clause, "this")
        return self._joined(clause.this, node.args.get("joins") or [])

    def _joined(self, first: exp.Expr, joins: Sequence[exp.Expr]) -> tuple[syntax.FromItem, ...]:
        own = first.args.get("joins") or []
        items = [self._source(first)]
        for join in (*own, *joins):
            self._only(join, "this", "on", "using", "side", "kind", "method")
            if not any(join.args.get(n) for n in ("on", "using", "side", "kind", "method")):
                if not self._is_after_comma(join.this):
                    raise syntax_error("", self._tokens[-1].end)
                items.append(self._nested(join.this))
            else:
                items[-1] = self._join(items[-1], join)
        return tuple(items)

    def _is_after_comma(self, node: exp.Expr) -> bool:
        """JOIN without ON is an error, which the parser reads as a comma."""
        position = self._position(node)
        before = [token for token in self._tokens if token.start + 1 < position]
        while before and (
            before[-1].is_mark("(") or before[-1].is_word("lateral", "values", "select")
        ):
            before.pop()
        return bool(before) and before[-1].is_mark(",")

    def _join(self, left: syntax.FromItem, node: exp.Expr) -> syntax.Join:
        side = str(node.args.get("side") or "").upper()
        kind = str(node.args.get("kind") or "").upper()
        method = str(node.args.get("method") or "").upper()
        if kind not in ("", "INNER", "OUTER", "CROSS") or method not in ("", "NATURAL"):
            raise self._unsupported(node, f"{method or kind} JOIN")
        on, using = node.args.get("on"), node.args.get("using") or []
        position = self._position(node.this)
        natural = method == "NATURAL"
        if kind == "CROSS":
            side = "CROSS"
        if (kind == "CROSS") == bool(on or using or natural):
            raise syntax_error("", self._tokens[-1].end)
        return syntax.Join(
            side or "INNER",
            left,
            self._nested(node.this),
            None if on is None else self.expression(on),
            self._names(using),
            natural,
            position,
        )

    def _nested(self, node: exp.Expr) -> syntax.FromItem:
        """A source that may be joins of its own: a JOIN b JOIN c ON ... ON ..."""
        (item, *others) = self._joined(node, [])
        if others:
            raise self._unsupported(node, "a list in parentheses")
        return item

    def _source(self, node: exp.Expr) -> syntax.FromItem:
        if isinstance(node, exp.Table):
            if isinstance(node.this, exp.Anonymous):
                return self._from_call(node)
            return self._table(node, "joins")
        if isinstance(node, exp.Lateral):
            self._only(node, "this", "alias", "joins", "ordinality")
            inner = node.this
            alias, columns = self._alias(node)
            if isinstance(inner, exp.Anonymous):
                return self._from_row_call(inner, node)
            if not isinstance(inner, exp.Subquery) or node.args.get("ordinality"):
                raise self._unsupported(node, "LATERAL here")
            return syntax.FromQuery(self.query(inner), alias, columns, True, self._position(node))
        if isinstance(node, exp.Subquery):
            if isinstance(node.this, exp.Table):
                self._only(node, "this", "joins")
                return self._nested(node.this)
            self._only(node, "this", "alias", "joins", *_TAIL)
            alias, columns = self._alias(node)
            bare = node.copy()
            bare.set("alias", None)
            bare.set("joins", None)
            return syntax.FromQuery(self.query(bare), alias, columns, position=self._position(node))
        if isinstance(node, exp.Values):
            alias, columns = self._alias(node)
            return syntax.FromQuery(
                self._values(node, "alias", "joins"), alias, columns, position=self._position(node)
            )
        raise self._unsupported(node, "this in FROM")

    def _alias(self, node: exp.Expr) -> tuple[str, tuple[syntax.Name, ...]]:
        alias = node.args.get("alias")
        if alias is None:
            return "", ()
        self._only(alias, "this", "columns")
        columns = self._names(alias.args.get("columns") or [])
        return ("" if alias.this is None else self._name(alias.this).text), columns

    def _from_call(self, node: exp.Table) -> syntax.FromCall:
        self._only(node, "this", "alias", "ordinality", "joins")
        return self._from_row_call(node.this, node)

    def _from_row_call(self, function: exp.Expr, node: exp.Expr) -> syntax.FromCall:
        call = self.expression(function)
        if not isinstance(call, syntax.Call):
            raise self._unsupported(node, "this in FROM")
        alias, columns = self._alias(node)
        return syntax.FromCall(call, alias or call.name, columns, bool(node.args.get("ordinality")))

    def _table(self, node: exp.Expr, *known: str) -> syntax.TableName:
        if not isinstance(node, exp.Table):
            raise self._unsupported(node, "anything but a table here")
        self._only(node, "this", "db", "alias", *known)
        if not isinstance(node.this, exp.Identifier):
            raise self._unsupported(node, "a function here")
        name, schema = self._name(node.this), node.args.get("db")
        alias, columns = self._alias(node)
        where = None if schema is None else self._name(schema)
        return syntax.TableName(
            name.text,
            alias or name.text,
            name.position if where is None else where.position,
            columns,
            "" if where is None else where.text,
        )


_NO_TAIL: Final = syntax.Tail()


def _with_tail(query: syntax.Query, tail: syntax.Tail) -> syntax.Query:
    match query:
        case syntax.Values():
            return syntax.Values(query.rows, tail, query.position)
        case syntax.SetOperation():
            return syntax.SetOperation(
                query.operator, query.all, query.left, query.right, tail, query.position
            )
        case _:
            raise AssertionError("a SELECT has its own ORDER BY")
