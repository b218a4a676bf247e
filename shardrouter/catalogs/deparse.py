"""Expressions as PostgreSQL writes them out: what pg_get_expr makes of a CHECK or a DEFAULT.

PostgreSQL keeps what it understood, not what was written: constants with their types, casts where
it made some, parentheses around everything. `pretty` is its shorter form. What is not known here
gives None, and what was written is shown instead.
"""

from __future__ import annotations

from typing import Final

from nodes.values import encode_text
from shardrouter import operators, syntax, types
from shardrouter.catalogs.quoting import quoted
from shardrouter.errors import RouterError
from shardrouter.lexer import tokenize
from shardrouter.statement import parse_tokens
from shardrouter.tables import Table
from shardrouter.translate import Scope, table_scope
from shardrouter.typed import Parameters, Typed
from shardrouter.types import Type

__all__ = ["condition", "default"]

_WORDS: Final = frozenset({"current_date", "current_timestamp", "current_time", "localtimestamp"})
_ARITHMETIC: Final = {"*": 2, "/": 2, "%": 2, "+": 1, "-": 1}
_LIKES: Final = {(False, False): "~~", (False, True): "~~*"}


class _Unknown(Exception):
    """No form of this expression is known."""


def condition(source: str, table: Table, *, pretty: bool = False) -> str | None:
    """A CHECK's or an index's condition."""
    try:
        writer = _Writer(table_scope(Parameters(()), table), pretty=pretty)
        return writer.text(_parsed(source))
    except (_Unknown, RouterError):
        return None


def default(source: str, kind: Type) -> str | None:
    """A column's default."""
    try:
        writer = _Writer(table_scope(Parameters(())), pretty=False)
        return writer.operand(_parsed(source), kind, shows_casts=False)
    except (_Unknown, RouterError):
        return None


def _parsed(source: str) -> syntax.Expression:
    query = parse_tokens(tokenize(f"SELECT {source}"))
    if not isinstance(query, syntax.Select) or len(query.items) != 1:
        raise _Unknown
    (item,) = query.items
    if not isinstance(item, syntax.SelectItem):
        raise _Unknown
    return item.expression


def _shown_type(kind: Type) -> str:
    return "bpchar" if kind is types.BPCHAR else types.shown(kind)


def _constant(typed: Typed) -> str:
    assert typed.constant is not None
    value, kind = typed.constant.value, typed.type
    if value is None:
        return f"NULL::{_shown_type(kind)}"
    text = encode_text(value, kind.oid).decode()
    if kind is types.BOOLEAN:
        return "true" if value else "false"
    if kind is types.INTEGER and text[:1].isdigit():
        return text
    if kind is types.NUMERIC and text[:1].isdigit() and "." in text:
        return text  # one without a point would be read as an integer
    escaped = text.replace("'", "''")
    return f"'{escaped}'::{_shown_type(kind)}"


class _Writer:
    def __init__(self, scope: Scope, *, pretty: bool) -> None:
        self._scope = scope
        self._pretty = pretty

    def operand(
        self, node: syntax.Expression, wanted: Type, *, shows_casts: bool = True, around: str = ""
    ) -> str:
        """An expression where a type is wanted: literals are of it, others are cast."""
        if self._scope.is_open(node):
            return _constant(self._scope.take(node, wanted))
        text = self.text(node, around)
        if self._scope.expression(node).type is wanted or not shows_casts:
            return text
        return self._cast(node, text, wanted)

    def _cast(self, node: syntax.Expression, text: str, kind: Type) -> str:
        is_simple = isinstance(node, syntax.ColumnReference | syntax.NumberLiteral | syntax.Call)
        if not (self._pretty and is_simple) and not text.startswith("("):
            text = f"({text})"
        return f"{text}::{_shown_type(kind)}"

    def _enclosed(self, text: str, *, needed: bool) -> str:
        return f"({text})" if needed or not self._pretty else text

    def text(self, node: syntax.Expression, around: str = "") -> str:
        """`around` is the operator it is an operand of."""
        scope = self._scope
        match node:
            case syntax.ColumnReference():
                return quoted(node.name)
            case syntax.NumberLiteral() | syntax.BooleanLiteral() | syntax.Negation():
                typed = scope.expression(node)
                if typed.constant is None:
                    raise _Unknown
                return _constant(typed)
            case syntax.StringLiteral() | syntax.NullLiteral():
                return _constant(scope.take(node, types.TEXT))
            case syntax.Binary():
                return self._binary(node, around)
            case syntax.Logical():
                needed = around not in ("", "OR", node.operator)
                parts = [self.text(part, node.operator) for part in node.operands]
                return self._enclosed(f" {node.operator} ".join(parts), needed=needed)
            case syntax.Not():
                if isinstance(node.operand, syntax.IsTest):
                    return self._is(node.operand, around, " NOT")
                return self._enclosed(f"NOT {self.text(node.operand, 'NOT')}", needed=bool(around))
            case syntax.IsTest():
                return self._is(node, around, "")
            case syntax.Between(symmetric=False):
                position = syntax.position_of(node.operand)
                low = syntax.Binary(">=", node.operand, node.low, position)
                high = syntax.Binary("<=", node.operand, node.high, position)
                return self.text(syntax.Logical("AND", (low, high)), around)
            case syntax.InList():
                return self._in_list(node, around)
            case syntax.Like(escape=None):
                symbol = _LIKES[False, node.any_case]
                return self._binary(syntax.Binary(symbol, node.operand, node.pattern), around)
            case syntax.Call():
                return self._call(node)
            case syntax.TypeCast():
                return self._explicit(node)
            case _:
                raise _Unknown

    def _binary(self, node: syntax.Binary, around: str) -> str:
        scope = self._scope
        if isinstance(node.left, syntax.Row):
            raise _Unknown
        left = None if scope.is_open(node.left) else scope.expression(node.left).type
        right = None if scope.is_open(node.right) else scope.expression(node.right).type
        operator = operators.resolve(node.operator, left, right)
        assert operator.left is not None
        sides = (
            self.operand(node.left, operator.left, around=node.operator),
            self.operand(node.right, operator.right, around=f"{node.operator} "),
        )
        return self._enclosed(
            f"{sides[0]} {node.operator} {sides[1]}", needed=self._is_inner(node.operator, around)
        )

    def _is_inner(self, operator: str, around: str) -> bool:
        """Whether an operator in another one keeps its parentheses in the pretty form."""
        outer = around.strip()
        if outer in ("", "AND", "OR", "NOT"):
            return False
        mine, its = _ARITHMETIC.get(operator, 0), _ARITHMETIC.get(outer, 0)
        if not mine or not its:
            return True
        return mine < its or (mine == its and around.endswith(" "))

    def _is(self, node: syntax.IsTest, around: str, negated: str) -> str:
        word = {None: "NULL", True: "TRUE", False: "FALSE"}[node.value]
        word = "UNKNOWN" if node.is_unknown else word
        text = f"{self.text(node.operand, 'IS')} IS{negated} {word}"
        return self._enclosed(text, needed=around not in ("", "AND", "OR", "NOT"))

    def _in_list(self, node: syntax.InList, around: str) -> str:
        scope = self._scope
        if isinstance(node.operand, syntax.Row):
            raise _Unknown
        kind = scope.expression(node.operand).type
        operator = operators.resolve("=", kind, None)
        assert operator.left is not None
        if not all(scope.is_open(i) or scope.expression(i).type is kind for i in node.items):
            raise _Unknown
        items = ", ".join(self.operand(item, kind) for item in node.items)
        array = f"ARRAY[{items}]"
        left = self.operand(node.operand, kind)
        if kind is types.VARCHAR:
            left = self._cast(node.operand, left, types.TEXT)
            array = f"{array}::text[]" if self._pretty else f"({array})::text[]"
        if len(node.items) == 1:
            raise _Unknown
        text = f"{left} = ANY ({array})"
        return self._enclosed(text, needed=around not in ("", "AND", "OR", "NOT"))

    def _call(self, node: syntax.Call) -> str:
        if node.name in _WORDS and not node.arguments:
            return node.name.upper()
        if node.star or node.distinct or node.order or node.filter or node.over:
            raise _Unknown
        if node.name in ("coalesce", "greatest", "least", "nullif"):
            raise _Unknown
        scope = self._scope
        texts = []
        for argument in node.arguments:
            if scope.is_open(argument):
                raise _Unknown
            kind = scope.expression(argument).type
            text = self.text(argument)
            is_cast = kind is types.VARCHAR  # to text, as functions take it
            texts.append(self._cast(argument, text, types.TEXT) if is_cast else text)
        scope.expression(node)  # it is a function
        return f"{quoted(node.name)}({', '.join(texts)})"

    def _explicit(self, node: syntax.TypeCast) -> str:
        name = node.type
        kind, modifier = types.resolve(name.name, name.modifiers, name.position)
        if modifier != types.NO_MODIFIER:
            raise _Unknown
        if self._scope.is_open(node.operand):
            return _constant(self._scope.take(node.operand, kind))
        return self._cast(node.operand, self.text(node.operand), kind)
