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
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from nodes.functions import FUNCTIONS, FunctionError
from nodes.protocol import Value
from nodes.values import ValueFormatError
from shardrouter import syntax, types
from shardrouter.catalog import Column, Table
from shardrouter.errors import NotSupported, StatementError
from shardrouter.planned import Constant, Operand, Parameter
from shardrouter.types import BOOLEAN, DOUBLE, INTEGER, NUMERIC, TEXT, Type

__all__ = ["Parameters", "Scope", "Typed", "literal", "quote"]

PARAMETERS_MAX: Final = 32766
"""SQLite's limit of ?n; PostgreSQL's is 65535."""

EXPONENT_DIGITS_MAX: Final = 7
"""Longest exponent of a number, with its sign; no type reaches further."""


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
    assert isinstance(value, str)
    return "'" + value.replace("'", "''") + "'"


@dataclass(frozen=True)
class Typed:
    """An expression with its type.

    `constant` is set if its value is known now, `parameter` if it is nothing but $n, `column`
    if it is nothing but a column. A numeric has no text: it exists as a constant only.
    """

    sql: str
    type: Type
    constant: Constant | None = None
    number: Decimal | None = None  # the value of a numeric
    parameter: int = 0
    column: str | None = None

    @property
    def operand(self) -> Operand | None:
        """Its value, if it is known now or when the statement is bound."""
        if self.parameter:
            return Parameter(self.parameter)
        return self.constant


def constant(value: Value, kind: Type) -> Typed:
    return Typed(literal(value), kind, Constant(value))


def numeric(value: Decimal) -> Typed:
    return Typed("", NUMERIC, number=value or abs(value))  # numeric has no -0


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


_ARITHMETIC: Final = {"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod"}
_COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})


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
                return Typed(f"excluded.{quote(column.name)}", types.TYPES[column.type])
            self.check_qualifier(reference.table, reference.position)
        column = self._find(reference.name, reference.position, reference.table)
        return Typed(quote(column.name), types.TYPES[column.type], column=column.name)

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
                if node.operator in _COMPARISONS:
                    return self.comparison(node)[0]
                if node.operator == "||":
                    return self._concatenation(node)
                return self._arithmetic(node)
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
                f"argument of {clause} must be type boolean, not type {_shown(typed.type)}",
                sqlstate="42804",
                position=syntax.position_of(node),
            )
        return typed

    def _pair(self, left: syntax.Expression, right: syntax.Expression) -> tuple[Typed, Typed]:
        """Both sides of an operator: an open one takes the type of the other, text if both are
        open. The typed side goes first, `$1 = id` infers as `id = $1` does."""
        if self.is_open(left) and not self.is_open(right):
            second = self.expression(right)
            return self.take(left, _met(second.type)), second
        first = self.take(left, TEXT)
        return first, self._beside(right, first)

    def _beside(self, node: syntax.Expression, other: Typed) -> Typed:
        """The expression; if its type is open, as the type of the other operand."""
        return self.take(node, _met(other.type)) if self.is_open(node) else self.expression(node)

    def comparison(self, node: syntax.Binary) -> tuple[Typed, Typed, Typed]:
        """The comparison as a boolean, and its two sides in the type it is made in."""
        first, second = self._pair(node.left, node.right)
        left, right = _same_kind(first, second, node.operator, node.position)
        return Typed(f"({left.sql} {node.operator} {right.sql})", BOOLEAN), left, right

    def in_list(self, node: syntax.InList) -> tuple[Typed, list[tuple[Typed, Typed]]]:
        """The test as a boolean, and the sides of each comparison it stands for."""
        operand = node.operand
        kind = next((self.expression(i).type for i in node.items if not self.is_open(i)), TEXT)
        first = (
            self.take(operand, _met(kind)) if self.is_open(operand) else self.expression(operand)
        )
        position = syntax.position_of(operand)
        pairs = [_same_kind(first, self._beside(item, first), "=", position) for item in node.items]
        if any(left.sql != pairs[0][0].sql for left, _ in pairs):
            raise NotSupported(
                "a list of integers and floats is not supported",
                position=position,
                hint="Cast all items to one type.",
            )
        items = ", ".join(right.sql for _, right in pairs)
        return Typed(f"({pairs[0][0].sql} IN ({items}))", BOOLEAN), pairs

    def _is_test(self, node: syntax.IsTest) -> Typed:
        if node.value is None:
            if isinstance(node.operand, syntax.ParameterReference) and self.is_open(node.operand):
                return Typed(f"({self.parameters.use_untyped(node.operand)} IS NULL)", BOOLEAN)
            typed = self.expression(node.operand)
            if typed.type is NUMERIC:
                raise _no_numeric(syntax.position_of(node.operand))
            return Typed(f"({typed.sql} IS NULL)", BOOLEAN)
        clause = "IS TRUE" if node.value else "IS FALSE"
        return Typed(f"({self.condition(node.operand, clause).sql} {clause})", BOOLEAN)

    def _negation(self, node: syntax.Negation) -> Typed:
        if isinstance(node.operand, syntax.NumberLiteral):
            return _number("-" + node.operand.text)
        position = node.position
        if self.is_open(node.operand):
            raise StatementError(
                "operator is not unique: - unknown",
                sqlstate="42725",
                position=position,
                hint="Could not choose a best candidate operator. "
                "You might need to add explicit type casts.",
            )
        typed = self.expression(node.operand)
        if typed.number is not None:
            return numeric(-typed.number)
        if not types.is_integer(typed.type) and typed.type is not DOUBLE:
            raise _no_operator(f"- {_shown(typed.type)}", position)
        return _apply(f"pg_neg_{typed.type.short}", typed.type, [typed])

    def _arithmetic(self, node: syntax.Binary) -> Typed:
        if self.is_open(node.left) and self.is_open(node.right):
            raise StatementError(
                f"operator is not unique: unknown {node.operator} unknown",
                sqlstate="42725",
                position=node.position,
                hint="Could not choose a best candidate operator. "
                "You might need to add explicit type casts.",
            )
        for open_side, other in ((node.left, node.right), (node.right, node.left)):
            if self.is_open(open_side) and not _is_number(kind := self.expression(other).type):
                sides = ("unknown", _shown(kind))
                shown = f" {node.operator} ".join(sides if open_side is node.left else sides[::-1])
                raise _no_operator(shown, node.position)
        left, right = self._pair(node.left, node.right)
        shown = f"{_shown(left.type)} {node.operator} {_shown(right.type)}"
        kinds = (left.type, right.type)
        if DOUBLE in kinds and all(_is_number(kind) for kind in kinds):
            if node.operator == "%":
                raise _no_operator(shown, node.position)
            left, right = _to_double(left, node.position), _to_double(right, node.position)
            kind = DOUBLE
        elif all(types.is_integer(kind) for kind in kinds):
            kind = max(kinds, key=lambda kind: kind.high)
        elif all(_is_number(kind) for kind in kinds):
            raise _no_numeric(node.position)
        else:
            raise _no_operator(shown, node.position)
        name = f"pg_{_ARITHMETIC[node.operator]}_{kind.short}"
        return _apply(name, kind, [left, right])

    def _concatenation(self, node: syntax.Binary) -> Typed:
        left, right = self.take(node.left, TEXT), self.take(node.right, TEXT)
        texts = [types.is_text(side.type) for side in (left, right)]
        if not any(texts):
            raise _no_operator(f"{_shown(left.type)} || {_shown(right.type)}", node.position)
        if not all(texts):
            raise NotSupported(
                "|| of text and another type is not supported",
                position=node.position,
                hint="Cast the other operand: value::text.",
            )
        if left.constant is not None and right.constant is not None:
            a, b = left.constant.value, right.constant.value
            joined = a + b if isinstance(a, str) and isinstance(b, str) else None
            return constant(joined, TEXT)
        return Typed(f"({left.sql} || {right.sql})", TEXT)

    # ---- casts

    def _cast(self, node: syntax.TypeCast) -> Typed:
        kind = types.resolve(node.type.name, node.type.length, node.type.position)
        return self.cast(self.take(node.operand, kind), kind, syntax.position_of(node.operand))

    def cast(self, typed: Typed, kind: Type, position: int) -> Typed:
        """An explicit cast."""
        source = typed.type
        if source is kind:
            return typed
        value = typed.number if typed.number is not None else typed.constant
        if value is not None:
            plain = value.value if isinstance(value, Constant) else value
            result = types.cast_constant(plain, source, kind, position)
            assert not isinstance(result, Decimal)
            return constant(result, kind)
        if types.is_text(source) and types.is_text(kind):
            return Typed(typed.sql, kind, parameter=typed.parameter)
        if types.is_integer(source) and types.is_integer(kind) and kind.high >= source.high:
            return Typed(typed.sql, kind, parameter=typed.parameter)
        if kind is DOUBLE and types.is_integer(source):
            return Typed(f"CAST({typed.sql} AS REAL)", kind)
        if types.is_text(kind):
            return Typed(f"pg_text_{source.short}({typed.sql})", kind)
        if BOOLEAN in (source, kind) and not types.is_text(source):
            if INTEGER not in (source, kind):
                raise StatementError(
                    f"cannot cast type {_shown(source)} to {_shown(kind)}",
                    sqlstate="42846",
                    position=position,
                )
            if kind is INTEGER:
                return Typed(typed.sql, kind)  # a boolean is 0 or 1
        return Typed(f"pg_cast_{kind.short}({typed.sql})", kind)

    def assign(self, node: syntax.Expression, column: Column) -> Typed:
        """The value for a column, by PostgreSQL's assignment casts."""
        kind = types.TYPES[column.type]
        typed = self.take(node, kind)
        source = typed.type
        if source is kind:
            return typed
        both_numbers = _is_number(source) and _is_number(kind)
        if both_numbers or types.is_text(kind):
            if typed.constant is None and types.is_integer(source) and types.is_integer(kind):
                # The column's own CHECK refuses what is out of range, with the same error.
                return Typed(typed.sql, kind, parameter=typed.parameter)
            return self.cast(typed, kind, syntax.position_of(node))
        raise StatementError(
            f'column "{column.name}" is of type {_shown(kind)} '
            f"but expression is of type {_shown(source)}",
            sqlstate="42804",
            position=syntax.position_of(node),
            hint="You will need to rewrite or cast the expression.",
        )


# --------------------------------------------------------------------------- types


def _shown(kind: Type) -> str:
    return "character varying" if kind is types.VARCHAR else kind.name


def _met(kind: Type) -> Type:
    """The type an open operand takes beside one of `kind`."""
    if kind is types.VARCHAR:
        return TEXT
    if kind is NUMERIC:  # as float8 it would be compared with fewer digits
        raise _no_numeric(0)
    return kind


def _is_number(kind: Type) -> bool:
    return types.is_integer(kind) or kind is DOUBLE or kind is NUMERIC


def _no_operator(shown: str, position: int) -> StatementError:
    return StatementError(
        f"operator does not exist: {shown}",
        sqlstate="42883",
        position=position,
        hint="No operator matches the given name and argument types. "
        "You might need to add explicit type casts.",
    )


def _no_numeric(position: int) -> NotSupported:
    return NotSupported(
        'type "numeric" is not supported',
        position=position,
        hint="A number with a point or exponent is numeric: cast it, as in 1.5::float8.",
    )


def _number(text: str) -> Typed:
    """A number as PostgreSQL's lexer and grammar type it; a sign belongs to the literal, so
    that -2147483648 is an integer."""
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        # Thousands of digits are no integer of ours; Python would refuse to read them.
        value = int(text) if len(digits) <= 30 else 1 << 70
        kind = types.integer_type(value)
        if kind is not NUMERIC:
            return constant(value, kind)
    if len(text.lower().partition("e")[2]) > EXPONENT_DIGITS_MAX:
        raise StatementError("value overflows numeric format", sqlstate="22003")
    return numeric(Decimal(text))


def _to_double(typed: Typed, position: int) -> Typed:
    if typed.type is DOUBLE:
        return typed
    if typed.number is not None:
        value = types.cast_constant(typed.number, NUMERIC, DOUBLE, position)
        assert not isinstance(value, Decimal)
        return constant(value, DOUBLE)
    if typed.constant is not None:
        value = types.cast_constant(typed.constant.value, typed.type, DOUBLE, position)
        assert not isinstance(value, Decimal)
        return constant(value, DOUBLE)
    return Typed(f"CAST({typed.sql} AS REAL)", DOUBLE)


def _same_kind(left: Typed, right: Typed, operator: str, position: int) -> tuple[Typed, Typed]:
    """Both sides in the type in which PostgreSQL compares them."""
    a, b = left.type, right.type
    if DOUBLE in (a, b) and _is_number(a) and _is_number(b):
        return _to_double(left, position), _to_double(right, position)
    if types.is_integer(a) and types.is_integer(b):
        return left, right
    if types.is_text(a) and types.is_text(b):
        return left, right
    if a is BOOLEAN and b is BOOLEAN:
        return left, right
    if _is_number(a) and _is_number(b):
        raise _no_numeric(position)
    raise _no_operator(f"{_shown(a)} {operator} {_shown(b)}", position)


def _apply(name: str, kind: Type, operands: Sequence[Typed]) -> Typed:
    """A call of a node's function; computed now if all operands are constants."""
    values = [typed.constant for typed in operands]
    known = [value.value for value in values if value is not None]
    if len(known) < len(values):
        return Typed(f"{name}({', '.join(typed.sql for typed in operands)})", kind)
    if None in known:
        return constant(None, kind)
    try:
        return constant(FUNCTIONS[name].call(*known), kind)
    except (FunctionError, ValueFormatError) as exc:
        raise StatementError(exc.message, sqlstate=exc.sqlstate) from exc
