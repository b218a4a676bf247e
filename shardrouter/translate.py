"""Expressions: from what was written to typed SQLite text.

PostgreSQL decides an operator by the types of its operands; SQLite by the values it meets.
Here every expression gets its PostgreSQL type first, untyped literals and parameters take
the type of what they meet, and the text says in full what SQLite shall do: operators are
functions with PostgreSQL's overflow, division and rounding (`nodes.functions`), integers
that meet floats are cast, nothing is compared across kinds. An operator that is not here is
refused (0A000), a combination that PostgreSQL does not have is its own error (42883).

Constant parts are computed while planning, by the same functions that a node would use.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from nodes.functions import FUNCTIONS, FunctionError
from nodes.protocol import Value
from nodes.values import ValueFormatError
from shardrouter import casts, operators, syntax, types
from shardrouter.casts import Cast, Context
from shardrouter.catalog import Column, Table
from shardrouter.errors import NotSupported, StatementError
from shardrouter.operators import Operator
from shardrouter.planned import Constant, Operand, Parameter
from shardrouter.types import BOOLEAN, NO_MODIFIER, NUMERIC, TEXT, Type

__all__ = ["Parameters", "Scope", "Typed", "call", "constant", "literal", "quote"]

PARAMETERS_MAX: Final = 32766
"""SQLite's limit of ?n; PostgreSQL's is 65535."""


def quote(name: str) -> str:
    """An identifier of SQLite."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Value) -> str:
    """A value as a literal of SQLite."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return str(value) if value >= 0 else f"({value})"
    if isinstance(value, float):
        if math.isinf(value):
            return "9e999" if value > 0 else "(-9e999)"
        return repr(value) if math.copysign(1.0, value) > 0 else f"({value!r})"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    assert isinstance(value, str)
    return "'" + value.replace("'", "''") + "'"


@dataclass(frozen=True)
class Typed:
    """An expression with its type.

    `constant` is set if its value is known now, `parameter` if it is nothing but $n (made to
    fit the modifier by the node's function `fit`), `column` if it is nothing but a column.
    """

    sql: str
    type: Type
    constant: Constant | None = None
    parameter: int = 0
    column: str | None = None
    modifier: int = NO_MODIFIER
    fit: str = ""

    @property
    def operand(self) -> Operand | None:
        """Its value, if it is known now or when the statement is bound."""
        if self.parameter:
            return Parameter(self.parameter, self.fit, self.modifier if self.fit else NO_MODIFIER)
        return self.constant


def constant(value: Value, kind: Type, modifier: int = NO_MODIFIER) -> Typed:
    return Typed(literal(value), kind, Constant(value), modifier=modifier)


def call(function: str, *arguments: Value) -> Value:
    """What the node's function answers. Raises StatementError."""
    try:
        return FUNCTIONS[function].call(*arguments)
    except (FunctionError, ValueFormatError) as exc:
        raise StatementError(exc.message, sqlstate=exc.sqlstate, detail=exc.detail) from exc


class Parameters:
    """The types of $1, $2, ...: declared by the client, or those of what they first meet."""

    def __init__(self, declared: Sequence[int]) -> None:
        self._types: dict[int, Type] = {}
        self._used: set[int] = set()
        self._declared = len(declared)
        for number, oid in enumerate(declared, 1):
            kind = types.type_of_oid(oid, number)
            if kind is not None:
                self._types[number] = kind

    def type_of(self, reference: syntax.ParameterReference) -> Type | None:
        return self._types.get(reference.number)

    def use(self, reference: syntax.ParameterReference, kind: Type) -> Typed:
        """The parameter, of `kind` if its type is still open."""
        text = self.use_untyped(reference)
        found = self._types.setdefault(reference.number, kind)
        return Typed(text, found, parameter=reference.number)

    def use_untyped(self, reference: syntax.ParameterReference) -> str:
        """The parameter where any type will do (IS NULL); something else must tell its type."""
        if reference.number > PARAMETERS_MAX:
            raise NotSupported(
                f"more than {PARAMETERS_MAX} parameters are not supported",
                position=reference.position,
                hint="Send several statements.",
            )
        self._used.add(reference.number)
        return f"?{reference.number}"

    def oids(self) -> tuple[int, ...]:
        """One OID for each of $1 to the last one. Raises 42P18 for one that has no type."""
        count = max([self._declared, *self._used], default=0)
        for number in range(1, count + 1):
            if number not in self._used or number not in self._types:
                raise StatementError(
                    f"could not determine data type of parameter ${number}",
                    sqlstate="42P18",
                    hint="Cast it, as in $1::int, and number parameters without a gap.",
                )
        return tuple(self._types[number].oid for number in range(1, count + 1))


class Scope:
    """What names mean in one statement: the columns of at most one table, and parameters."""

    def __init__(
        self,
        parameters: Parameters,
        table: Table | None = None,
        alias: str = "",
        *,
        excluded: bool = False,
    ) -> None:
        self.parameters = parameters
        self.table = table
        self._alias = alias
        self._excluded = excluded  # ON CONFLICT DO UPDATE: the row that was to be inserted

    # ---- columns

    def column(self, reference: syntax.ColumnReference) -> Typed:
        if reference.table is None and self._excluded:
            column = self._find(reference.name, reference.position)
            raise StatementError(
                f'column reference "{column.name}" is ambiguous',
                sqlstate="42702",
                position=reference.position,
                hint=f"Write {self._alias}.{column.name} or excluded.{column.name}.",
            )
        if reference.table is not None and reference.table != self._alias:
            if self._excluded and reference.table == "excluded":
                column = self._find(reference.name, reference.position)
                kind = types.of_column(column.type)
                return Typed(f"excluded.{quote(column.name)}", kind, modifier=column.modifier)
            self.check_qualifier(reference.table, reference.position)
        column = self._find(reference.name, reference.position, reference.table)
        kind = types.of_column(column.type)
        return Typed(quote(column.name), kind, column=column.name, modifier=column.modifier)

    def check_qualifier(self, name: str, position: int) -> None:
        if self.table is None or name != self._alias:
            known = self.table is not None and name == self.table.name
            what = "invalid reference to" if known else "missing"
            raise StatementError(
                f'{what} FROM-clause entry for table "{name}"',
                sqlstate="42P01",
                position=position,
                hint=f'Perhaps you meant to reference the table alias "{self._alias}".'
                if known
                else "",
            )

    def _find(self, name: str, position: int, qualifier: str | None = None) -> Column:
        column = self.table.column(name) if self.table is not None else None
        if column is None:
            shown = f"{qualifier}.{name}" if qualifier else f'"{name}"'
            raise StatementError(
                f"column {shown} does not exist", sqlstate="42703", position=position
            )
        return column

    # ---- expressions

    def is_open(self, node: syntax.Expression) -> bool:
        """Whether the expression has no type of its own and takes that of what it meets."""
        if isinstance(node, syntax.ParameterReference):
            return self.parameters.type_of(node) is None
        return isinstance(node, syntax.StringLiteral | syntax.NullLiteral)

    def take(self, node: syntax.Expression, kind: Type) -> Typed:
        """The expression; if its type is open, as `kind`."""
        if isinstance(node, syntax.StringLiteral):
            return constant(types.from_text(node.value, kind, node.position), kind)
        if isinstance(node, syntax.NullLiteral):
            return constant(None, kind)
        if isinstance(node, syntax.ParameterReference):
            return self.parameters.use(node, kind)
        return self.expression(node)

    def expression(self, node: syntax.Expression) -> Typed:
        """The expression with its type; an open one is text."""
        match node:
            case syntax.ColumnReference():
                return self.column(node)
            case syntax.NumberLiteral():
                return _number(node.text)
            case syntax.BooleanLiteral():
                return constant(node.value, BOOLEAN)
            case syntax.Negation():
                return self._negation(node)
            case syntax.TypeCast():
                return self._cast(node)
            case syntax.Binary():
                return self.comparison(node)[0]
            case syntax.Logical():
                parts = [self.condition(part, node.operator) for part in node.operands]
                return Typed("(" + f" {node.operator} ".join(p.sql for p in parts) + ")", BOOLEAN)
            case syntax.Not():
                return Typed(f"(NOT {self.condition(node.operand, 'NOT').sql})", BOOLEAN)
            case syntax.IsTest():
                return self._is_test(node)
            case syntax.InList():
                return self.in_list(node)[0]
            case syntax.Between():
                low = syntax.Binary(">=", node.operand, node.low, syntax.position_of(node.operand))
                high = syntax.Binary("<=", node.operand, node.high, low.position)
                return self.expression(syntax.Logical("AND", (low, high)))
            case syntax.Call():
                raise NotSupported(
                    f"the function {node.name} is not supported here",
                    position=node.position,
                    hint="Over a table there is count(*) as the only item of the list.",
                )
            case _:
                return self.take(node, TEXT)

    def condition(self, node: syntax.Expression, clause: str) -> Typed:
        """An expression that must be boolean."""
        typed = self.take(node, BOOLEAN)
        if typed.type is not BOOLEAN:
            raise StatementError(
                f"argument of {clause} must be type boolean, not type {typed.type.name}",
                sqlstate="42804",
                position=syntax.position_of(node),
            )
        return typed

    def comparison(self, node: syntax.Binary) -> tuple[Typed, Typed, Typed]:
        """The operator applied, and its two sides in the types it takes."""
        left = None if self.is_open(node.left) else self.expression(node.left)
        right = None if self.is_open(node.right) else self.expression(node.right)
        operator = operators.resolve(
            node.operator,
            left.type if left is not None else None,
            right.type if right is not None else None,
            node.position,
        )
        assert operator.left is not None
        first = implicit(left or self.take(node.left, operator.left), operator.left)
        second = implicit(right or self.take(node.right, operator.right), operator.right)
        return apply(operator, first, second), first, second

    def in_list(self, node: syntax.InList) -> tuple[Typed, list[tuple[Typed, Typed]]]:
        """The test as a boolean, and the sides of each comparison it stands for."""
        position = syntax.position_of(node.operand)
        tests = [
            self.comparison(syntax.Binary("=", node.operand, item, position)) for item in node.items
        ]
        pairs = [(left, right) for _, left, right in tests]
        first = pairs[0][0]
        if any(left.sql != first.sql or left.type is not first.type for left, _ in pairs):
            return Typed(f"({' OR '.join(test.sql for test, _, _ in tests)})", BOOLEAN), pairs
        collate = f" COLLATE {first.type.collation}" if first.type.collation else ""
        items = ", ".join(right.sql for _, right in pairs)
        return Typed(f"({first.sql}{collate} IN ({items}))", BOOLEAN), pairs

    def _is_test(self, node: syntax.IsTest) -> Typed:
        if node.value is None:
            if isinstance(node.operand, syntax.ParameterReference) and self.is_open(node.operand):
                return Typed(f"({self.parameters.use_untyped(node.operand)} IS NULL)", BOOLEAN)
            typed = self.expression(node.operand)
            return Typed(f"({typed.sql} IS NULL)", BOOLEAN)
        clause = "IS TRUE" if node.value else "IS FALSE"
        return Typed(f"({self.condition(node.operand, clause).sql} {clause})", BOOLEAN)

    def _negation(self, node: syntax.Negation) -> Typed:
        if isinstance(node.operand, syntax.NumberLiteral):
            return _number("-" + node.operand.text)
        typed = None if self.is_open(node.operand) else self.expression(node.operand)
        kind = typed.type if typed is not None else None
        operator = operators.resolve_prefix("-", kind, node.position)
        taken = typed or self.take(node.operand, operator.right)
        return apply(operator, implicit(taken, operator.right))

    # ---- casts

    def _cast(self, node: syntax.TypeCast) -> Typed:
        name = node.type
        kind, modifier = types.resolve(name.name, name.modifiers, name.position)
        operand = self.take(node.operand, kind)
        cast = casts.find(operand.type, kind, Context.EXPLICIT)
        if cast is None:
            raise StatementError(
                f"cannot cast type {operand.type.name} to {kind.name}",
                sqlstate="42846",
                position=syntax.position_of(node.operand),
            )
        return fitted(converted(operand, cast), modifier, Context.EXPLICIT)

    def assign(self, node: syntax.Expression, column: Column) -> Typed:
        """The value for a column, by PostgreSQL's assignment casts."""
        kind = types.of_column(column.type)
        typed = self.take(node, kind)
        source = typed.type
        cast = casts.find(source, kind, Context.ASSIGNMENT)
        if cast is None:
            raise StatementError(
                f'column "{column.name}" is of type {kind.name} '
                f"but expression is of type {source.name}",
                sqlstate="42804",
                position=syntax.position_of(node),
                hint="You will need to rewrite or cast the expression.",
            )
        if typed.constant is None and types.is_integer(source) and types.is_integer(kind):
            # The column's own CHECK refuses what is out of range, with the same error.
            return replace(typed, type=kind, column=None)
        return fitted(converted(typed, cast), column.modifier, Context.ASSIGNMENT)


# --------------------------------------------------------------------------- application


def _number(text: str) -> Typed:
    """A number as PostgreSQL's lexer and grammar type it; a sign belongs to the literal, so
    that -2147483648 is an integer."""
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= 30:
        # Thousands of digits are no integer of ours; Python would refuse to read them.
        value = int(text)
        kind = types.integer_type(value)
        if kind is not NUMERIC:
            return constant(value, kind)
    return constant(types.from_text(text, NUMERIC), NUMERIC)


def apply(operator: Operator, *operands: Typed) -> Typed:
    """An operator between operands of its types; computed now if all are constants."""
    known = [typed.constant.value for typed in operands if typed.constant is not None]
    if operator.function and len(known) == len(operands):
        if None in known:
            return constant(None, operator.result)
        return constant(call(operator.function, *known), operator.result)
    texts = [typed.sql for typed in operands]
    if operator.sql:
        return Typed(operator.sql.format(*texts), operator.result)
    return Typed(f"{operator.function}({', '.join(texts)})", operator.result)


def converted(typed: Typed, cast: Cast) -> Typed:
    """A value cast to another type, its modifier aside."""
    if cast.source is cast.target:
        return typed
    if typed.constant is not None and (cast.function or cast.is_same_form):
        value = typed.constant.value
        if value is not None and cast.function:
            value = call(cast.function, value)
        return constant(value, cast.target)
    if cast.is_same_form:
        return replace(typed, type=cast.target, modifier=NO_MODIFIER)
    if cast.sql:
        return Typed(cast.sql.format(typed.sql), cast.target)
    return Typed(f"{cast.function}({typed.sql})", cast.target)


def implicit(typed: Typed, kind: Type) -> Typed:
    """An operand as the type its operator takes."""
    cast = casts.find(typed.type, kind, Context.IMPLICIT)
    assert cast is not None, "the operator was resolved for this operand"
    return converted(typed, cast)


def fitted(typed: Typed, modifier: int, context: Context) -> Typed:
    """A value made to fit a modifier of its type."""
    if modifier == NO_MODIFIER or typed.modifier == modifier:
        return typed
    function = casts.fit(typed.type, context)
    if typed.constant is not None:
        value = typed.constant.value
        fitting = None if value is None else call(function, value, modifier)
        return constant(fitting, typed.type, modifier)
    sql = f"{function}({typed.sql}, {modifier})"
    if typed.parameter and not typed.fit:
        return replace(typed, sql=sql, modifier=modifier, fit=function)
    return Typed(sql, typed.type, modifier=modifier)
