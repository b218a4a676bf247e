"""From the text of a statement to the values of `shardrouter.syntax`.

The project's only import of sqlglot, whose parser does the grammar. Its tokenizer is not
used: it reads some of PostgreSQL's texts as something else. Instead the parser gets the
tokens of `shardrouter.dialect`. What comes back is walked by an allow-list of node classes
and of their arguments: an argument nobody has read raises NotSupported, so that no clause is
dropped silently.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError
from sqlglot.tokenizer_core import Token as SqlglotToken
from sqlglot.tokenizer_core import TokenType

from shardrouter import syntax
from shardrouter.dialect import MARK, NESTING_MAX, check_sequence, parser_tokens, unexpected
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Kind, Token, split, syntax_error, tokenize

__all__ = ["parse", "split"]

# The parser logs when it gives up on a statement; the error that is raised says it better.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


def parse(sql: str) -> syntax.Statement:
    """One statement. Raises StatementError and NotSupported with positions."""
    return parse_tokens(tokenize(sql))


def parse_tokens(tokens: Sequence[Token]) -> syntax.Statement:
    """One SELECT, INSERT, UPDATE or DELETE from its tokens."""
    check_sequence(tokens)
    parser = sqlglot.Dialect.get_or_raise("postgres").parser(error_level=ErrorLevel.IMMEDIATE)
    try:
        trees = parser.parse(
            [
                # `col` is the ordinal of our token, for the parser's messages.
                SqlglotToken(TokenType[kind], text, 1, i, tokens[i].start, tokens[i].end - 1)
                for kind, text, i in parser_tokens(tokens)
            ],
            "",
        )
        if len(trees) != 1 or trees[0] is None:
            raise unexpected(tokens[0] if tokens else None)
        return _Walk(tokens).statement(trees[0])
    except ParseError as exc:
        raise _syntax_error_of(exc, tokens) from exc
    except RecursionError as exc:
        raise StatementError(
            "stack depth limit exceeded", sqlstate="54001", hint="Write a simpler expression."
        ) from exc


def _syntax_error_of(error: ParseError, tokens: Sequence[Token]) -> StatementError:
    first = error.errors[0] if error.errors else {}
    at = int(first.get("col") or 0)
    if str(first.get("description", "")).startswith("Required keyword"):
        at += 1  # the parser points at the last token it took, what is missing comes after
    if at >= len(tokens):
        end = tokens[-1].end if tokens else 0
        return syntax_error("", end)
    return syntax_error(tokens[at].source, tokens[at].start)


# --------------------------------------------------------------------------- the walk

_COMPARISONS: Final[dict[type[exp.Expr], str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_ARITHMETIC: Final[dict[type[exp.Expr], str]] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
    exp.DPipe: "||",
}


_CLAUSES: Final = {
    "joins": "more than one table",
    "db": "a name of three parts",
    "query": "a subquery",
}
"""What the parser's arguments are called where its own name says little."""


class _Walk:
    """Turns one tree into values; knows the tokens, for positions."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._operators: dict[str, list[int]] | None = None  # text -> positions, in order

    # ---- helpers

    def _only(self, node: exp.Expr, *known: str) -> None:
        """Every argument that is set is among `known`."""
        for name, value in node.args.items():
            if name in known or name.startswith("_") or value is None or value is False:
                continue
            if value == [] or value == "":
                continue
            what = name.strip("_").replace("_", " ")
            raise NotSupported(
                f"{_CLAUSES.get(what, what.upper())} is not supported"
                f" in {type(node).__name__.upper()}",
                position=self._position(value if isinstance(value, exp.Expr) else node),
            )

    def _position(self, node: exp.Expr) -> int:
        """1-based offset of the first token in the tree that knows where it was."""
        starts = [n.meta["start"] for n in node.walk() if "start" in n.meta]
        return min(starts) + 1 if starts else 0

    def _unsupported(self, node: exp.Expr, what: str = "") -> NotSupported:
        name = what or f"the expression {type(node).__name__.upper()}"
        return NotSupported(f"{name} is not supported", position=self._position(node))

    def _name(self, node: Any) -> syntax.Name:
        """A plain name. One without quotes is a keyword, as every name is given in quotes."""
        if isinstance(node, exp.Column):
            self._only(node, "this")
            node = node.this
        if isinstance(node, exp.Ordered):
            self._only(node, "this", "nulls_first")
            return self._name(node.this)
        if not isinstance(node, exp.Identifier):
            if isinstance(node, exp.Expr):
                raise self._unsupported(node)
            raise unexpected(None)
        position = self._position(node)
        if not node.args.get("quoted") or not node.name.startswith(MARK):
            raise syntax_error(node.name.lower(), position - 1)
        return syntax.Name(node.name[len(MARK) :], position)

    def _names(self, nodes: Sequence[exp.Expr]) -> tuple[syntax.Name, ...]:
        return tuple(self._name(node) for node in nodes)

    def _label(self, node: exp.Identifier) -> str:
        """The name after AS, where any word may stand."""
        return node.name.removeprefix(MARK)

    def _table(self, node: exp.Expr) -> syntax.TableName:
        if not isinstance(node, exp.Table):
            raise self._unsupported(node, "anything but a table in FROM")
        self._only(node, "this", "db", "alias")
        if not isinstance(node.this, exp.Identifier):
            raise self._unsupported(node, "a function in FROM")
        schema = node.args.get("db")
        if schema is not None and self._name(schema).text != "public":
            raise NotSupported(
                f'schema "{self._name(schema).text}" is not supported',
                position=self._position(node),
                hint="There is one schema, public.",
            )
        name = self._name(node.this)
        alias = node.args.get("alias")
        if alias is None:
            return syntax.TableName(name.text, name.text, name.position)
        self._only(alias, "this")
        return syntax.TableName(name.text, self._name(alias.this).text, name.position)

    # ---- statements

    def statement(self, node: exp.Expr) -> syntax.Statement:
        walk: dict[type[exp.Expr], Callable[[Any], syntax.Statement]] = {
            exp.Select: self._select,
            exp.Insert: self._insert,
            exp.Update: self._update,
            exp.Delete: self._delete,
        }
        found = walk.get(type(node))
        if found is None:
            first = self._tokens[0]
            raise NotSupported(
                f"this form of {first.text.upper()} is not supported",
                position=first.start + 1,
            )
        return found(node)

    def _select(self, node: exp.Select) -> syntax.Select:
        self._only(node, "expressions", "from_", "where", "order", "limit", "offset")
        items = tuple(self._item(item) for item in node.expressions)
        if not items:
            raise self._unsupported(node, "SELECT without a list")
        table = None
        if (source := node.args.get("from_")) is not None:
            self._only(source, "this")
            table = self._table(source.this)
        limit, offset = node.args.get("limit"), node.args.get("offset")
        for clause in (limit, offset):
            if clause is not None:
                self._only(clause, "expression")
        return syntax.Select(
            items,
            table,
            self._where(node),
            self._order(node),
            None if limit is None else self.expression(limit.expression),
            None if offset is None else self.expression(offset.expression),
        )

    def _item(self, node: exp.Expr) -> syntax.SelectItem | syntax.Star:
        alias = None
        if isinstance(node, exp.Alias):
            self._only(node, "this", "alias")
            alias = self._label(node.args["alias"])
            node = node.this
        star: exp.Expr | None = None
        if isinstance(node, exp.Star):
            star, qualifier = node, None
        elif isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
            self._only(node, "this", "table")
            star, qualifier = node.this, self._name(node.args["table"]).text
        if star is None:
            return syntax.SelectItem(self.expression(node), alias)
        self._only(star)
        if alias is not None:
            raise syntax_error("AS", self._position(node) - 1)
        return syntax.Star(qualifier, self._position(node))

    def _where(self, node: exp.Expr) -> syntax.Expression | None:
        where = node.args.get("where")
        if where is None:
            return None
        self._only(where, "this")
        return self.expression(where.this)

    def _order(self, node: exp.Expr) -> tuple[syntax.SortKey, ...]:
        order = node.args.get("order")
        if order is None:
            return ()
        self._only(order, "expressions")
        keys = []
        for key in order.expressions:
            if not isinstance(key, exp.Ordered):
                raise self._unsupported(key)
            self._only(key, "this", "desc", "nulls_first")
            keys.append(
                syntax.SortKey(
                    self.expression(key.this),
                    bool(key.args.get("desc")),
                    bool(key.args.get("nulls_first")),
                )
            )
        return tuple(keys)

    def _insert(self, node: exp.Insert) -> syntax.Insert:
        self._only(node, "this", "expression", "conflict")
        target, columns = node.this, None
        if isinstance(target, exp.Schema):
            self._only(target, "this", "expressions")
            columns = self._names(target.expressions)
            target = target.this
        values = node.args.get("expression")
        if values is None:
            raise unexpected(None)
        if not isinstance(values, exp.Values):
            raise NotSupported(
                "INSERT from a query is not supported",
                position=self._position(values) if isinstance(values, exp.Expr) else 0,
                hint="Write INSERT INTO table (columns) VALUES (...).",
            )
        self._only(values, "expressions")
        rows = []
        for row in values.expressions:
            if not isinstance(row, exp.Tuple):
                raise self._unsupported(row, "a row without parentheses")
            self._only(row, "expressions")
            if not row.expressions:
                raise syntax_error(")", self._position(row) - 1)
            rows.append(tuple(self._value(value) for value in row.expressions))
        return syntax.Insert(self._table(target), columns, tuple(rows), self._conflict(node))

    def _value(self, node: exp.Expr) -> syntax.Expression | syntax.DefaultValue:
        if isinstance(node, exp.Var) and node.name.upper() == "DEFAULT":
            return syntax.DefaultValue()
        if isinstance(node, exp.Column) and not node.args.get("table"):
            name = node.this
            if isinstance(name, exp.Identifier) and name.name.lower() == "default":
                return syntax.DefaultValue()
        return self.expression(node)

    def _conflict(self, node: exp.Insert) -> syntax.OnConflict | None:
        conflict = node.args.get("conflict")
        if conflict is None:
            return None
        self._only(conflict, "expressions", "action", "conflict_keys", "where")
        action = str(conflict.args.get("action") or "").upper()
        target = self._names(conflict.args.get("conflict_keys") or [])
        if action == "DO NOTHING":
            return syntax.OnConflict(target)
        if action != "DO UPDATE":
            raise self._unsupported(conflict, "this form of ON CONFLICT")
        return syntax.OnConflict(
            target, self._assignments(conflict.expressions), self._where(conflict)
        )

    def _assignments(self, nodes: Sequence[exp.Expr]) -> tuple[syntax.Assignment, ...]:
        assignments = []
        for node in nodes:
            if not isinstance(node, exp.EQ) or not isinstance(node.this, exp.Column):
                raise self._unsupported(node, "this form of SET")
            self._only(node, "this", "expression")
            assignments.append(
                syntax.Assignment(self._name(node.this), self._value(node.expression))
            )
        return tuple(assignments)

    def _update(self, node: exp.Update) -> syntax.Update:
        self._only(node, "this", "expressions", "where")
        if not node.expressions:
            raise unexpected(None)
        return syntax.Update(
            self._table(node.this), self._assignments(node.expressions), self._where(node)
        )

    def _delete(self, node: exp.Delete) -> syntax.Delete:
        self._only(node, "this", "where")
        return syntax.Delete(self._table(node.this), self._where(node))

    # ---- expressions

    def expression(self, node: exp.Expr) -> syntax.Expression:
        kind = type(node)
        if kind is exp.Paren:
            self._only(node, "this")
            return self.expression(node.this)
        if kind is exp.Column:
            return self._column(node)
        if kind is exp.Literal:
            position = self._position(node)
            if node.args.get("is_string"):
                return syntax.StringLiteral(node.this, position)
            return syntax.NumberLiteral(node.this, position)
        if kind is exp.Boolean:
            return syntax.BooleanLiteral(bool(node.this))
        if kind is exp.Null:
            return syntax.NullLiteral()
        if kind is exp.Parameter:
            return self._parameter(node)
        if kind is exp.Cast:
            self._only(node, "this", "to")
            return syntax.TypeCast(self.expression(node.this), self._type(node.args["to"]))
        if kind is exp.Neg:
            self._only(node, "this")
            return syntax.Negation(self.expression(node.this), self._minus_position(node.this))
        if kind is exp.Not:
            self._only(node, "this")
            return syntax.Not(self.expression(node.this))
        if kind in _COMPARISONS:
            return self._comparison(node)
        if kind in _ARITHMETIC:
            return self._chain(node)
        if kind is exp.And or kind is exp.Or:
            return self._logical(node)
        if kind is exp.Is:
            return self._is(node)
        if kind is exp.In:
            self._only(node, "this", "expressions")
            self._no_comparison_in(node.this)
            items = tuple(self.expression(item) for item in node.expressions)
            return syntax.InList(self.expression(node.this), items)
        if kind is exp.Between:
            self._only(node, "this", "low", "high")
            parts = (node.this, node.args["low"], node.args["high"])
            for part in parts:
                self._no_comparison_in(part)
            return syntax.Between(*(self.expression(part) for part in parts))
        if kind is exp.Count:
            return self._count(node)
        if kind is exp.Anonymous:
            self._only(node, "this", "expressions")
            name = node.this if isinstance(node.this, exp.Identifier) else None
            if name is None:
                raise self._unsupported(node)
            arguments = tuple(self.expression(item) for item in node.expressions)
            return syntax.Call(self._name(name).text, arguments, position=self._position(name))
        if kind is exp.Dot and isinstance(node.expression, exp.Anonymous):
            schema = node.this
            if isinstance(schema, exp.Identifier) and self._name(schema).text == "pg_catalog":
                return self.expression(node.expression)
        raise self._unsupported(node)

    def _column(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "table")
        if isinstance(node.this, exp.Star):
            raise self._unsupported(node, "* in an expression")
        name = self._name(node.this)
        table = node.args.get("table")
        if table is None:
            return syntax.ColumnReference(name.text, None, name.position)
        qualifier = self._name(table)
        return syntax.ColumnReference(name.text, qualifier.text, qualifier.position)

    def _parameter(self, node: exp.Expr) -> syntax.ParameterReference:
        self._only(node, "this")
        position = self._position(node)
        text = node.this.name
        number = int(text) if len(text) < 6 else 0
        if not 1 <= number <= 65535:
            raise StatementError(
                f"there is no parameter ${text}", sqlstate="42P02", position=position
            )
        return syntax.ParameterReference(number, position)

    def _comparison(self, node: exp.Expr) -> syntax.Binary:
        """PostgreSQL's comparisons do not associate: `a < b = c` is a syntax error."""
        self._only(node, "this", "expression")
        for side in (node.this, node.expression):
            if type(side) in _COMPARISONS:
                raise syntax_error(_COMPARISONS[type(node)], self._position(side) - 1)
        return syntax.Binary(
            _COMPARISONS[type(node)],
            self.expression(node.this),
            self.expression(node.expression),
            self._operator_position(node, _COMPARISONS[type(node)], "!="),
        )

    def _operator_position(self, node: exp.Expr, *texts: str) -> int:
        """Where the operator between two operands is: the last one before the right one."""
        before = self._last_operator(self._position(node.expression), *texts)
        return before or self._position(node.this)

    def _minus_position(self, operand: exp.Expr) -> int:
        right = self._position(operand)
        return self._last_operator(right, "-") or right

    def _last_operator(self, position: int, *texts: str) -> int:
        """Position of the last of these operators before `position`; 0 if there is none."""
        if self._operators is None:
            self._operators = {}
            for token in self._tokens:
                if token.kind is Kind.OPERATOR:
                    self._operators.setdefault(token.text, []).append(token.start + 1)
        last = 0
        for text in texts:
            found = self._operators.get(text, [])
            at = bisect_left(found, position)
            last = max(last, found[at - 1] if at else 0)
        return last

    def _chain(self, node: exp.Expr) -> syntax.Expression:
        """`a + b + c ...`: as deep on the left as it is long, hence a limit of its own."""
        depth, left = 0, node
        while type(left) in _ARITHMETIC:
            left = left.this
            depth += 1
            if depth > NESTING_MAX:
                raise StatementError(
                    "stack depth limit exceeded",
                    sqlstate="54001",
                    position=self._position(node),
                    hint=f"Chain at most {NESTING_MAX} operators; use parentheses.",
                )
        self._only(node, "this", "expression", "safe", "typed")
        return syntax.Binary(
            _ARITHMETIC[type(node)],
            self.expression(node.this),
            self.expression(node.expression),
            self._operator_position(node, _ARITHMETIC[type(node)]),
        )

    def _logical(self, node: exp.Expr) -> syntax.Logical:
        kind = type(node)
        operands: list[exp.Expr] = []
        while type(node) is kind:
            self._only(node, "this", "expression")
            operands.append(node.expression)
            node = node.this
        operands.append(node)
        return syntax.Logical(
            "AND" if kind is exp.And else "OR",
            tuple(self.expression(operand) for operand in reversed(operands)),
        )

    def _is(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "expression", "negate")
        what = node.expression
        if isinstance(what, exp.Null):
            value = None
        elif isinstance(what, exp.Boolean):
            value = bool(what.this)
        else:
            raise self._unsupported(node, "this form of IS")
        test = syntax.IsTest(self.expression(node.this), value)
        return syntax.Not(test) if node.args.get("negate") else test

    def _no_comparison_in(self, node: exp.Expr) -> None:
        """IN and BETWEEN bind tighter than comparisons and do not associate: an operand that is
        one, without parentheses, is a syntax error or was grouped differently."""
        if type(node) in _COMPARISONS or isinstance(
            node, exp.Not | exp.And | exp.Or | exp.In | exp.Between | exp.Is
        ):
            raise NotSupported(
                "this mixture of comparisons is not supported",
                position=self._position(node),
                hint="Put parentheses around each comparison.",
            )

    def _count(self, node: exp.Expr) -> syntax.Call:
        self._only(node, "this", "big_int")
        position = 0
        for token in self._tokens:
            if token.is_word("count"):
                position = token.start + 1
                break
        if not isinstance(node.this, exp.Star):
            raise NotSupported(
                "count of an expression is not supported",
                position=position,
                hint="Write count(*) with WHERE expression IS NOT NULL.",
            )
        self._only(node.this)
        return syntax.Call("count", star=True, position=position)

    def _type(self, node: exp.Expr) -> syntax.TypeName:
        """Every type is given to the parser as a quoted name, so it comes back as one."""
        kind = node.args.get("kind")
        if (
            not isinstance(node, exp.DataType)
            or node.this != exp.DType.USERDEFINED
            or not isinstance(kind, exp.Identifier)
        ):
            raise self._unsupported(node, "this type")
        self._only(node, "this", "kind", "expressions")
        name = self._name(kind)
        modifiers = tuple(part.sql() for part in node.expressions)
        return syntax.TypeName(name.text, modifiers, name.position)
