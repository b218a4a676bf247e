"""Expressions of a tree as values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlglot import exp

from shardrouter import syntax, types
from shardrouter.dialect import NESTING_MAX, UNKNOWN
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Kind, syntax_error
from shardrouter.parsing.walk import Walk
from shardrouter.phrases import COLLATED, REVERSED

__all__ = ["Expressions"]

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
    exp.Pow: "^",
    exp.DPipe: "||",
}
_LIKES: Final = {
    "~~": (False, False),
    "!~~": (True, False),
    "~~*": (False, True),
    "!~~*": (True, True),
}
"""LIKE by its operator's name: whether negated, whether in any case."""

_READERS: Final[dict[type[exp.Expr], str]] = {
    exp.Paren: "_paren",
    exp.Column: "_column",
    exp.Literal: "_literal",
    exp.Boolean: "_boolean",
    exp.Null: "_null",
    exp.Parameter: "_parameter",
    exp.Cast: "_cast",
    exp.Neg: "_negation",
    exp.BitwiseNot: "_prefix",
    exp.Sqrt: "_prefix",
    exp.Cbrt: "_prefix",
    exp.Not: "_not",
    exp.And: "_logical",
    exp.Or: "_logical",
    exp.Is: "_is",
    exp.NullSafeEQ: "_distinct_from",
    exp.NullSafeNEQ: "_distinct_from",
    exp.In: "_in",
    exp.Between: "_between",
    exp.Like: "_like",
    exp.ILike: "_like",
    exp.Escape: "_like",
    exp.Operator: "_operator",
    exp.Case: "_case",
    exp.Tuple: "_row",
    exp.Array: "_array",
    exp.Bracket: "_subscript",
    exp.Subquery: "_subquery",
    exp.Select: "_subquery",
    exp.Union: "_subquery",
    exp.Intersect: "_subquery",
    exp.Except: "_subquery",
    exp.Values: "_subquery",
    exp.Exists: "_exists",
    exp.AtTimeZone: "_zone",
    exp.Anonymous: "_call",
    exp.Dot: "_qualified_call",
    exp.Filter: "_filter",
    exp.Window: "_window",
    exp.WithinGroup: "_within_group",
}
"""Which method reads a node."""

_PREFIXES: Final[dict[type[exp.Expr], str]] = {
    exp.BitwiseNot: "~",
    exp.Sqrt: "|/",
    exp.Cbrt: "||/",
}
_QUERIES: Final = (exp.Select, exp.SetOperation, exp.Values, exp.Subquery)


class Expressions(Walk, ABC):
    @abstractmethod
    def query(self, node: exp.Expr) -> syntax.Query:
        """A query inside an expression: `shardrouter.parsing.queries`."""

    def _order_keys(self, order: exp.Expr | None) -> tuple[syntax.SortKey, ...]:
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

    def expressions(self, nodes: Sequence[exp.Expr]) -> tuple[syntax.Expression, ...]:
        return tuple(self.expression(node) for node in nodes)

    def expression(self, node: exp.Expr) -> syntax.Expression:
        kind = type(node)
        read = _READERS.get(kind)
        if read is not None:
            found: syntax.Expression = getattr(self, read)(node)
            return found
        if kind in _COMPARISONS:
            return self._comparison(node)
        if kind in _ARITHMETIC:
            return self._chain(node)
        raise self._unsupported(node)

    # ---- leaves

    def _paren(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this")
        return self.expression(node.this)

    def _column(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "table", "db")
        if isinstance(node.this, exp.Star):
            raise self._unsupported(node, "* in an expression")
        name = self._name(node.this)
        table = node.args.get("table")
        if table is None:
            return syntax.ColumnReference(name.text, None, name.position)
        qualifier, schema = self._name(table), node.args.get("db")
        if schema is None:
            return syntax.ColumnReference(name.text, qualifier.text, qualifier.position)
        where = self._name(schema)
        return syntax.ColumnReference(name.text, qualifier.text, where.position, where.text)

    def _literal(self, node: exp.Expr) -> syntax.Expression:
        position = self._position(node)
        if node.args.get("is_string"):
            return syntax.StringLiteral(node.this, position)
        return syntax.NumberLiteral(node.this, position)

    def _boolean(self, node: exp.Expr) -> syntax.Expression:
        return syntax.BooleanLiteral(bool(node.this))

    def _null(self, node: exp.Expr) -> syntax.Expression:
        return syntax.NullLiteral()

    def _parameter(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this")
        position = self._position(node)
        text = node.this.name
        number = int(text) if len(text) < 6 else 0
        if not 1 <= number <= 65535:
            raise StatementError(
                f"there is no parameter ${text}", sqlstate="42P02", position=position
            )
        return syntax.ParameterReference(number, position)

    # ---- operators

    def _cast(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "to")
        operand, kind = self.expression(node.this), self._type(node.args["to"])
        if kind.name != COLLATED:
            return syntax.TypeCast(operand, kind)
        if isinstance(
            operand, syntax.StringLiteral | syntax.NullLiteral | syntax.ParameterReference
        ):
            return replace(operand, collated=True)
        return syntax.Collated(operand, kind.position)

    def _negation(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this")
        position = self._operator_before(node.this, "-") or self._position(node.this)
        return syntax.Negation(self.expression(node.this), position)

    def _prefix(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this")
        symbol = _PREFIXES[type(node)]
        position = self._operator_before(node.this, symbol)
        return syntax.Prefix(symbol, self.expression(node.this), position)

    def _not(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this")
        return syntax.Not(self.expression(node.this))

    def _comparison(self, node: exp.Expr) -> syntax.Expression:
        """PostgreSQL's comparisons do not associate: `a < b = c` is a syntax error."""
        self._only(node, "this", "expression")
        for side in (node.this, node.expression):
            if type(side) in _COMPARISONS:
                raise syntax_error(_COMPARISONS[type(node)], self._position(side) - 1)
        operator = _COMPARISONS[type(node)]
        position = self._operator_before(node.expression, operator, "!=")
        position = position or self._position(node.this)
        left = self.expression(node.this)
        if isinstance(node.expression, exp.Any | exp.All):
            return self._quantified(operator, left, node.expression, position)
        if isinstance(node.expression, exp.Anonymous) and isinstance(node.expression.this, str):
            return self._quantified(operator, left, node.expression, position)
        return syntax.Binary(operator, left, self.expression(node.expression), position)

    def _quantified(
        self, operator: str, operand: syntax.Expression, node: exp.Expr, position: int
    ) -> syntax.Expression:
        """`operand operator ANY (...)`: of a query, or of an array."""
        if isinstance(node, exp.Anonymous):
            self._only(node, "this", "expressions")
            word = str(node.this).lower()
            if word not in ("any", "some", "all") or len(node.expressions) != 1:
                raise self._unsupported(node)
            array = self.expression(node.expressions[0])
            return syntax.Quantified(operator, operand, array, word == "all", position)
        self._only(node, "this")
        source: syntax.Query | syntax.Expression
        if isinstance(node.this, _QUERIES):
            source = self.query(node.this)
        else:
            source = self.expression(node.this)
            if isinstance(source, syntax.Subquery):
                source = source.query
        return syntax.Quantified(operator, operand, source, isinstance(node, exp.All), position)

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
        if type(node.this) in _PREFIXES and not isinstance(node, exp.DPipe):
            raise NotSupported(
                f"{_PREFIXES[type(node.this)]} before arithmetic needs parentheses",
                position=self._position(node.this),
                hint="PostgreSQL applies it to the whole, as in ~ (a + b).",
            )
        operator = _ARITHMETIC[type(node)]
        return syntax.Binary(
            operator,
            self.expression(node.this),
            self.expression(node.expression),
            self._operator_before(node.expression, operator) or self._position(node.this),
        )

    def _operator(self, node: exp.Expr) -> syntax.Expression:
        """An operator that the parser only carries."""
        self._only(node, "this", "operator", "expression")
        symbol = str(node.args["operator"])
        if isinstance(node.expression, exp.DPipe):
            raise NotSupported(
                f"|| behind {symbol} is not supported without parentheses",
                position=self._position(node.expression),
                hint=f"Write (a {symbol} b) || c.",
            )
        left, right = self.expression(node.this), self.expression(node.expression)
        position = self._operator_before(node.expression, symbol)
        if symbol in _LIKES:
            negated, any_case = _LIKES[symbol]
            like = syntax.Like(left, right, None, any_case, position)
            return syntax.Not(like) if negated else like
        return syntax.Binary(symbol, left, right, position)

    def _logical(self, node: exp.Expr) -> syntax.Expression:
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

    # ---- tests

    def _is(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "expression", "negate")
        what, is_unknown = node.expression, False
        if isinstance(what, exp.Null):
            value = None
        elif isinstance(what, exp.Boolean):
            value = bool(what.this)
        elif isinstance(what, exp.Column) and what.name.endswith(UNKNOWN):
            value, is_unknown = None, True
        else:
            raise self._unsupported(node, "this form of IS")
        test = syntax.IsTest(self.expression(node.this), value, is_unknown)
        return syntax.Not(test) if node.args.get("negate") else test

    def _distinct_from(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "expression")
        test = syntax.IsDistinct(self.expression(node.this), self.expression(node.expression))
        return test if type(node) is exp.NullSafeNEQ else syntax.Not(test)

    def _no_comparison_in(self, node: exp.Expr) -> None:
        """IN, BETWEEN and LIKE bind tighter than comparisons and do not associate: an operand
        that is one, without parentheses, is a syntax error or was grouped differently."""
        if type(node) in _COMPARISONS or isinstance(
            node, exp.Not | exp.And | exp.Or | exp.In | exp.Between | exp.Is | exp.Like | exp.ILike
        ):
            raise NotSupported(
                "this mixture of comparisons is not supported",
                position=self._position(node),
                hint="Put parentheses around each comparison.",
            )

    def _in(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "expressions", "query")
        self._no_comparison_in(node.this)
        operand = self.expression(node.this)
        query = node.args.get("query")
        if query is not None:
            return syntax.InQuery(operand, self.query(query), self._position(node.this))
        items = node.expressions
        if len(items) == 1 and isinstance(items[0], _QUERIES):
            return syntax.InQuery(operand, self.query(items[0]), self._position(node.this))
        return syntax.InList(operand, self.expressions(items))

    def _between(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "low", "high", "symmetric")
        parts = (node.this, node.args["low"], node.args["high"])
        for part in parts:
            self._no_comparison_in(part)
        operand, low, high = (self.expression(part) for part in parts)
        return syntax.Between(operand, low, high, bool(node.args.get("symmetric")))

    def _like(self, node: exp.Expr) -> syntax.Expression:
        escape = None
        if isinstance(node, exp.Escape):
            self._only(node, "this", "expression")
            escape = self.expression(node.expression)
            node = node.this
        if not isinstance(node, exp.Like | exp.ILike):
            raise self._unsupported(node, "ESCAPE here")
        self._only(node, "this", "expression", "negate")
        for part in (node.this, node.expression):
            self._no_comparison_in(part)
        like = syntax.Like(
            self.expression(node.this),
            self.expression(node.expression),
            escape,
            isinstance(node, exp.ILike),
            self._word_before(self._position(node.expression), "like", "ilike"),
        )
        return syntax.Not(like) if node.args.get("negate") else like

    # ---- composites

    def _case(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "ifs", "default")
        branches = []
        for branch in node.args["ifs"]:
            self._only(branch, "this", "true")
            branches.append((self.expression(branch.this), self.expression(branch.args["true"])))
        if not branches:
            raise self._unsupported(node, "CASE without WHEN")
        default = node.args.get("default")
        position = self._word_before(self._position(node), "case")
        return syntax.Case(
            None if node.this is None else self.expression(node.this),
            tuple(branches),
            None if default is None else self.expression(default),
            position,
        )

    def _row(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "expressions")
        return syntax.Row(self.expressions(node.expressions), self._position(node))

    def _array(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "expressions", "bracket_notation")
        if len(node.expressions) == 1 and isinstance(node.expressions[0], _QUERIES):
            raise self._unsupported(node, "ARRAY of a query")
        return syntax.ArrayItems(self.expressions(node.expressions), self._position(node))

    def _subscript(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "expressions")
        if len(node.expressions) != 1:
            raise self._unsupported(node, "this subscript")
        if isinstance(node.this, exp.Null | exp.Boolean | exp.Literal | exp.Func):  # not in (...)
            raise syntax_error("[", self._position(node) - 1)
        operand = self.expression(node.this)
        if isinstance(node.this, exp.Bracket):  # x[1][2]
            if not isinstance(operand, syntax.Subscript):
                raise self._unsupported(node, "a subscript behind a slice")
            operand = replace(operand, goes_on=True)
        index = node.expressions[0]
        if not isinstance(index, exp.Slice):
            return syntax.Subscript(operand, self.expression(index))
        self._only(index, "this", "expression")
        bounds = (index.args.get("this"), index.args.get("expression"))
        low, high = (None if bound is None else self.expression(bound) for bound in bounds)
        return syntax.Slice(operand, low, high)

    def _subquery(self, node: exp.Expr) -> syntax.Expression:
        return syntax.Subquery(self.query(node), self._position(node))

    def _exists(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this")
        return syntax.Exists(self.query(node.this), self._position(node))

    def _zone(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "zone")
        arguments = (self.expression(node.args["zone"]), self.expression(node.this))
        return syntax.Call("timezone", arguments, position=self._position(node))

    # ---- calls

    def _call(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "expressions")
        if not isinstance(node.this, exp.Identifier):
            raise self._unsupported(node, f"{str(node.this).upper()} here")
        name = self._name(node.this)
        items = list(node.expressions)
        if name.text == "row":
            return syntax.Row(self.expressions(items), name.position)
        if len(items) == 1 and isinstance(items[0], exp.Star):
            self._only(items[0])
            return syntax.Call(name.text, star=True, position=name.position)
        order: tuple[syntax.SortKey, ...] = ()
        distinct = False
        if items and isinstance(items[-1], exp.Order):
            # ORDER BY hangs on the last argument; DISTINCT holds all of them.
            order = self._order_keys_of(items[-1])
            items[-1] = items[-1].this
        if items and isinstance(items[0], exp.Distinct):
            self._only(items[0], "expressions")
            if len(items) != 1:
                raise self._unsupported(node, "this use of DISTINCT")
            distinct, items = True, list(items[0].expressions)
        arguments = self.expressions(items)
        text = name.text
        if text.endswith(REVERSED):
            text, arguments = text.removesuffix(REVERSED), arguments[::-1]
        return syntax.Call(text, arguments, distinct=distinct, order=order, position=name.position)

    def _order_keys_of(self, node: exp.Order) -> tuple[syntax.SortKey, ...]:
        """The keys of an ORDER BY that also holds what it sorts."""
        bare = exp.Order(expressions=node.expressions)
        return self._order_keys(bare)

    def _qualified_call(self, node: exp.Expr) -> syntax.Expression:
        schema = node.this
        if (
            isinstance(node.expression, exp.Anonymous | exp.Window | exp.Filter)
            and isinstance(schema, exp.Identifier)
            and self._name(schema).text == "pg_catalog"
        ):
            return self.expression(node.expression)
        raise self._unsupported(node, "a field of a value")

    def _filter(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "expression")
        call = self.expression(node.this)
        self._only(node.expression, "this")
        if not isinstance(call, syntax.Call):
            raise self._unsupported(node, "FILTER here")
        condition = self.expression(node.expression.this)
        return replace(call, filter=condition)

    def _within_group(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "expression")
        call = self.expression(node.this)
        if not isinstance(call, syntax.Call):
            raise self._unsupported(node, "WITHIN GROUP here")
        return replace(call, within=self._order_keys(node.expression))

    def _window(self, node: exp.Expr) -> syntax.Expression:
        self._only(node, "this", "partition_by", "order", "spec", "alias", "over")
        if str(node.args.get("over")) != "OVER":
            raise self._unsupported(node, "this call")
        call = self.expression(node.this)
        if not isinstance(call, syntax.Call):
            raise self._unsupported(node, "OVER here")
        over: syntax.WindowSpec | str
        if self._is_named(node, call.position):
            over = self._name(node.args["alias"]).text
        else:
            over = self.window_spec(node)
        return replace(call, over=over)

    def _is_named(self, node: exp.Expr, position: int) -> bool:
        """OVER w, where OVER (w) would extend it."""
        if node.args.get("alias") is None:
            return False
        start = self._position(node.args["alias"])
        before = [token for token in self._tokens if token.start + 1 < start]
        return bool(before) and before[-1].is_word("over")

    def window_spec(self, node: exp.Expr) -> syntax.WindowSpec:
        """A window's definition, from the node of its call or of its name."""
        base = node.args.get("alias")
        spec = node.args.get("spec")
        return syntax.WindowSpec(
            None if base is None else self._name(base).text,
            self.expressions(node.args.get("partition_by") or []),
            self._order_keys(node.args.get("order")),
            None if spec is None else self._frame(spec),
            self._position(node),
        )

    def _frame(self, node: exp.Expr) -> syntax.Frame:
        self._only(node, "kind", "start", "start_side", "end", "end_side", "exclude")
        start = self._frame_bound(node.args.get("start"), node.args.get("start_side"))
        end = node.args.get("end")
        exclude = node.args.get("exclude")
        return syntax.Frame(
            str(node.args["kind"]).upper(),
            start,
            ("CURRENT", "", None)
            if end is None
            else self._frame_bound(end, node.args.get("end_side")),
            "" if exclude is None else exclude.name.upper(),
        )

    def _frame_bound(self, value: Any, side: Any) -> tuple[str, str, syntax.Expression | None]:
        word = str(side or "").upper()
        if isinstance(value, str):
            return ("CURRENT", "", None) if value == "CURRENT ROW" else ("UNBOUNDED", word, None)
        return "OFFSET", word, self.expression(value)

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
        if name.text in types.WRITTEN and any(
            token.kind is Kind.NAME and token.start + 1 == name.position for token in self._tokens
        ):
            if name.text == "char":
                raise self._unsupported(node, 'the type "char", of one byte,')
            raise StatementError(  # it is a word of the grammar, and no type is called so
                f'type "{name.text}" does not exist', sqlstate="42704", position=name.position
            )
        return syntax.TypeName(name.text, modifiers, name.position)
