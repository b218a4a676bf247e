"""INSERT, UPDATE and DELETE of a tree as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace

from sqlglot import exp

from shardrouter import syntax
from shardrouter.dialect import unexpected
from shardrouter.errors import StatementError
from shardrouter.lexer import syntax_error
from shardrouter.parsing.queries import Queries

__all__ = ["Changes"]


class Changes(Queries):
    def _insert(self, node: exp.Insert) -> syntax.Insert:
        self._only(node, "this", "expression", "conflict", "returning", "default", "with_")
        target, columns = node.this, None
        if isinstance(target, exp.Schema):
            self._only(target, "this", "expressions")
            columns = self._names(target.expressions)
            target = target.this
        rows: tuple[tuple[syntax.Expression | syntax.DefaultValue, ...], ...] = ()
        query = None
        source = node.args.get("expression")
        if node.args.get("default"):
            rows = ((),)
        elif source is None:
            raise unexpected(None)
        elif isinstance(source, exp.Values) and source.args.get("alias") is None:
            rows = self._rows(source)
        else:
            query = self.query(source)
        tables, recursive = self._common_tables(node)
        return syntax.Insert(
            self._table(target),
            columns,
            rows,
            self._conflict(node),
            query,
            self._returning(node),
            tables,
            recursive,
        )

    def _rows(
        self, values: exp.Values
    ) -> tuple[tuple[syntax.Expression | syntax.DefaultValue, ...], ...]:
        self._only(values, "expressions")
        rows = []
        for row in values.expressions:
            if not isinstance(row, exp.Tuple):
                raise self._unsupported(row, "a row without parentheses")
            self._only(row, "expressions")
            if not row.expressions:
                raise syntax_error(")", self._position(row) - 1)
            rows.append(tuple(self._value(value) for value in row.expressions))
        return tuple(rows)

    def _value(self, node: exp.Expr) -> syntax.Expression | syntax.DefaultValue:
        if isinstance(node, exp.Var) and node.name.upper() == "DEFAULT":
            return syntax.DefaultValue()
        if isinstance(node, exp.Column) and not node.args.get("table"):
            name = node.this
            if isinstance(name, exp.Identifier) and name.name.lower() == "default":
                return syntax.DefaultValue()
        return self.expression(node)

    def _returning(self, node: exp.Expr) -> tuple[syntax.SelectItem | syntax.Star, ...]:
        clause = node.args.get("returning")
        if clause is None:
            return ()
        self._only(clause, "expressions")
        return self._list(clause.expressions)

    def _conflict(self, node: exp.Insert) -> syntax.OnConflict | None:
        conflict = node.args.get("conflict")
        if conflict is None:
            return None
        self._only(
            conflict, "expressions", "action", "conflict_keys", "where", "constraint",
            "index_predicate",
        )  # fmt: skip
        action = str(conflict.args.get("action") or "").upper()
        constraint, predicate = (
            conflict.args.get("constraint"),
            conflict.args.get("index_predicate"),
        )
        if action not in ("DO NOTHING", "DO UPDATE"):
            raise self._unsupported(conflict, "this form of ON CONFLICT")
        if predicate is not None:
            self._only(predicate, "this")
        return syntax.OnConflict(
            self._names(conflict.args.get("conflict_keys") or []),
            self._assignments(conflict.expressions),
            self._where(conflict),
            None if constraint is None else self._name(constraint),
            None if predicate is None else self.expression(predicate.this),
        )

    def _assignments(self, nodes: Sequence[exp.Expr]) -> tuple[syntax.Assignment, ...]:
        assignments: list[syntax.Assignment] = []
        for node in nodes:
            if not isinstance(node, exp.EQ):
                raise self._unsupported(node, "this form of SET")
            self._only(node, "this", "expression")
            if isinstance(node.this, exp.Column):
                assignments.append(
                    syntax.Assignment(self._name(node.this), self._value(node.expression))
                )
                continue
            if not isinstance(node.this, exp.Tuple):
                raise self._unsupported(node, "(column) = value")
            columns = node.this.expressions
            if isinstance(node.expression, exp.Subquery):
                assignments += self._from_query(columns, node.expression)
                continue
            values = self._row_values(node.expression)
            if len(columns) != len(values):
                raise self._unsupported(node, "SET of several columns to a query")
            assignments += [
                syntax.Assignment(self._name(column), value)
                for column, value in zip(columns, values, strict=True)
            ]
        return tuple(assignments)

    def _row_values(self, node: exp.Expr) -> Sequence[syntax.Expression | syntax.DefaultValue]:
        """What (x, y) and ROW(x, y) assign."""
        if isinstance(node, exp.Tuple):
            return [self._value(value) for value in node.expressions]
        value = self._value(node)
        return value.items if isinstance(value, syntax.Row) else [value]

    def _from_query(
        self, columns: Sequence[exp.Expr], node: exp.Subquery
    ) -> list[syntax.Assignment]:
        """SET (a, b) = (SELECT x, y ...), as a subquery for each of them: they answer of the same
        row if nothing but the list says what a row is."""
        query = self.query(node)
        if (
            not isinstance(query, syntax.Select)
            or query.tail != syntax.Tail()
            or query.distinct
            or query.group
            or query.having is not None
            or _calls(query.items)  # an aggregate of one field says how many rows there are
            or any(isinstance(item, syntax.Star) for item in query.items)
        ):
            raise self._unsupported(node, "SET of several columns to this query")
        if len(columns) != len(query.items):
            raise StatementError(
                "number of columns does not match number of values",
                sqlstate="42601",
                position=self._position(node),
            )
        return [
            syntax.Assignment(
                self._name(column),
                syntax.Subquery(replace(query, items=(item,)), self._position(node)),
            )
            for column, item in zip(columns, query.items, strict=True)
        ]

    def _update(self, node: exp.Update) -> syntax.Update:
        self._only(node, "this", "expressions", "where", "from_", "returning", "with_")
        if not node.expressions:
            raise unexpected(None)
        clause = node.args.get("from_")
        tables, recursive = self._common_tables(node)
        return syntax.Update(
            self._table(node.this),
            self._assignments(node.expressions),
            self._where(node),
            () if clause is None else self._joined(clause.this, []),
            self._returning(node),
            tables,
            recursive,
        )

    def _delete(self, node: exp.Delete) -> syntax.Delete:
        self._only(node, "this", "where", "using", "returning", "with_")
        sources: tuple[syntax.FromItem, ...] = ()
        for item in node.args.get("using") or []:
            sources += self._joined(item, [])
        tables, recursive = self._common_tables(node)
        return syntax.Delete(
            self._table(node.this),
            self._where(node),
            sources,
            self._returning(node),
            tables,
            recursive,
        )


def _calls(node: object) -> bool:
    """Whether a function is called in an expression, but not in a query inside of it."""
    if isinstance(node, syntax.Call):
        return True
    if isinstance(node, syntax.Subquery | syntax.Exists):
        return False
    if isinstance(node, tuple):
        return any(map(_calls, node))
    return is_dataclass(node) and any(_calls(getattr(node, f.name)) for f in fields(node))
