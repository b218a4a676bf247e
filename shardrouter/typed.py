"""Typed SQLite text: what an expression has become, and how one is made of others.

PostgreSQL decides an operator by the types of its operands; SQLite by the values it meets. So
every expression has its PostgreSQL type before it becomes text, and the text says in full what
SQLite shall do. Constant parts are computed while planning, by the same functions that a node
would use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Final

from nodes.functions import FUNCTIONS, FunctionError
from nodes.protocol import Value
from nodes.values import ValueFormatError
from shardrouter import casts, syntax, types
from shardrouter.casts import Cast, Context
from shardrouter.enumerations import read_label
from shardrouter.errors import NotSupported, StatementError
from shardrouter.identity import Identity
from shardrouter.operators import COMPARISONS, Operator
from shardrouter.planned import Constant, Operand, Parameter
from shardrouter.quick_dataclasses import dataclass
from shardrouter.types import BOOLEAN, NO_MODIFIER, NUMERIC, Type

__all__ = [
    "Parameters",
    "Typed",
    "apply",
    "assigned",
    "boolean",
    "call",
    "collated",
    "computed",
    "compared",
    "computing_nothing",
    "connected",
    "constant",
    "converted",
    "fitted",
    "implicit",
    "is_mixed",
    "literal",
    "number",
    "quote",
]

PARAMETERS_MAX: Final = 32766
"""SQLite's limit of ?n; PostgreSQL's is 65535."""


def quote(name: str) -> str:
    """An identifier of SQLite."""
    return '"' + name.replace('"', '""') + '"'


_COLLATE: Final = " COLLATE "

_CHAIN_MAX: Final = 100
"""Conditions in a row: SQLite reads a chain as a tree as deep as it is long, and refuses one that
is deeper than 1000."""


def connected(operator: str, conditions: Sequence[str]) -> str:
    """Conditions connected by AND or by OR; of many, a tree that is hardly deep."""
    if len(conditions) <= _CHAIN_MAX:
        return f" {operator} ".join(conditions)
    half = len(conditions) // 2
    halves = connected(operator, conditions[:half]), connected(operator, conditions[half:])
    return f"({halves[0]}) {operator} ({halves[1]})"


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
    fit the modifier by the node's function `fit`), `column`, the number of its relation and its
    name, if it is nothing but a column.
    """

    sql: str
    type: Type
    constant: Constant | None = None
    parameter: int = 0
    column: tuple[int, str] | None = None
    modifier: int = NO_MODIFIER
    fit: str = ""
    is_late: bool = False
    """Of a constant: PostgreSQL does not compute it while planning, for what it is made with is
    not immutable there (it depends on a session's DateStyle, TimeZone). So what cannot be computed
    of it fails when a row needs it."""

    @property
    def operand(self) -> Operand | None:
        """Its value, if it is known now or when the statement is bound."""
        if self.parameter:
            return Parameter(self.parameter, self.fit, self.modifier if self.fit else NO_MODIFIER)
        return self.constant


def constant(
    value: Value, kind: Type, modifier: int = NO_MODIFIER, *, is_late: bool = False
) -> Typed:
    return Typed(literal(value), kind, Constant(value), modifier=modifier, is_late=is_late)


_only_understands: ContextVar[bool] = ContextVar("only_understands", default=False)


@contextmanager
def computing_nothing() -> Iterator[None]:
    """Constant parts that cannot be computed are taken for NULL: what else is wrong with a
    statement is found, as PostgreSQL computes nothing before all is understood."""
    token = _only_understands.set(True)
    try:
        yield
    finally:
        _only_understands.reset(token)


def call(function: str, *arguments: Value) -> Value:
    """What the node's function answers. Raises StatementError."""
    try:
        return FUNCTIONS[function].call(*arguments)
    except (FunctionError, ValueFormatError) as exc:
        if _only_understands.get():
            return None
        raise StatementError(exc.message, sqlstate=exc.sqlstate, detail=exc.detail) from exc


def computed(
    function: str,
    known: Sequence[Value],
    kind: Type,
    modifier: int = NO_MODIFIER,
    *,
    is_late: bool,
) -> Typed | None:
    """A constant made of others; None for one that fails only when a row needs it. Raises
    StatementError."""
    try:
        return constant(call(function, *known), kind, modifier, is_late=is_late)
    except StatementError:
        if not is_late:
            raise
        return None


class Parameters:
    """What a session brings to a statement: the types of $1, $2, ..., declared by the client or
    those of what they first meet; and who it is, if that can be told when the plan is made."""

    def __init__(self, declared: Sequence[int], identity: Identity | None = None) -> None:
        self.identity = identity
        self._given = tuple(declared)
        self._types: dict[int, Type] = {}
        self._used: set[int] = set()
        self._open: dict[int, int] = {}
        self._declared = len(declared)
        for number, oid in enumerate(declared, 1):
            kind = types.type_of_oid(oid, number)
            if kind is not None:
                self._types[number] = kind

    def again(self) -> Parameters:
        """The same as they came, of which nothing was used."""
        return Parameters(self._given, self.identity)

    def type_of(self, reference: syntax.ParameterReference) -> Type | None:
        return self._types.get(reference.number)

    def use(self, reference: syntax.ParameterReference, kind: Type) -> Typed:
        """The parameter, of `kind` if its type is still open."""
        text = self.use_untyped(reference)
        found = self._types.setdefault(reference.number, kind)
        if found.is_own:
            return Typed(read_label(text, found), found)
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

    def leave_open(self, reference: syntax.ParameterReference) -> str:
        """The parameter where no type will do, so that it is an error of the whole statement."""
        self._open.setdefault(reference.number, reference.position)
        return self.use_untyped(reference)

    def oids(self) -> tuple[int, ...]:
        """One OID for each of $1 to the last one. Raises 42P18 for one that has no type, 42P08 for
        one that has a type at some places only."""
        count = max([self._declared, *self._used], default=0)
        for number, position in sorted(self._open.items()):
            raise StatementError(
                f"could not determine data type of parameter ${number}",
                sqlstate="42P08" if number in self._types else "42P18",
                position=position,
                hint=f"Cast it, as in ${number}::text.",
            )
        for number in range(1, count + 1):
            if number not in self._used or number not in self._types:
                raise StatementError(
                    f"could not determine data type of parameter ${number}",
                    sqlstate="42P18",
                    hint="Cast it, as in $1::int, and number parameters without a gap.",
                )
        return tuple(self._types[number].oid for number in range(1, count + 1))


def number(text: str) -> Typed:
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
        is_late = operator.is_stable or any(typed.is_late for typed in operands)
        found = computed(operator.function, known, operator.result, is_late=is_late)
        if found is not None:
            return found
    texts = [typed.sql for typed in operands]
    if operator.symbol in COMPARISONS and any(_COLLATE in text for text in texts):
        # The outermost one of the left side counts: see `collated`.
        texts[0] = f"({texts[0]} COLLATE {operands[0].type.collation or 'BINARY'})"
    if operator.sql:
        return Typed(operator.sql.format(*texts), operator.result)
    return Typed(f"{operator.function}({', '.join(texts)})", operator.result)


def converted(typed: Typed, cast: Cast) -> Typed:
    """A value cast to another type, its modifier aside."""
    if cast.source is cast.target:
        return typed
    if typed.constant is not None and (cast.function or cast.is_same_form):
        value = typed.constant.value
        if value is None or not cast.function:
            return constant(value, cast.target, is_late=typed.is_late)
        is_late = cast.is_stable or typed.is_late
        found = computed(cast.function, [value], cast.target, is_late=is_late)
        if found is not None:
            return found
    if cast.is_same_form:
        return replace(typed, type=cast.target, modifier=NO_MODIFIER)
    if cast.sql:
        return Typed(cast.sql.format(typed.sql), cast.target)
    return Typed(f"{cast.function}({typed.sql})", cast.target)


def implicit(typed: Typed, kind: Type) -> Typed:
    """An operand as the type its operator takes."""
    if typed.type is kind:
        return typed
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
        if value is None:
            return constant(None, typed.type, modifier)
        found = computed(function, [value, modifier], typed.type, modifier, is_late=typed.is_late)
        if found is not None:
            return found
    sql = f"{function}({typed.sql}, {modifier})"
    if typed.parameter and not typed.fit:
        return replace(typed, sql=sql, modifier=modifier, fit=function)
    return Typed(sql, typed.type, modifier=modifier)


def boolean(sql: str) -> Typed:
    return Typed(sql, BOOLEAN)


def collated(typed: Typed) -> str:
    """Its text where SQLite sorts, groups or compares it by itself. SQLite takes a collation that
    stands anywhere within, also one of a condition in a CASE, so another one is written then."""
    if typed.type.collation:
        return f"{typed.sql} COLLATE {typed.type.collation}"
    return f"{typed.sql} COLLATE BINARY" if _COLLATE in typed.sql else typed.sql


def compared(left: Typed, right: Typed) -> str:
    """The text of the left side of a comparison, with the collation that counts: of two that stand
    somewhere within SQLite takes the first."""
    if not left.type.collation and _COLLATE in right.sql:
        return f"{left.sql} COLLATE BINARY"
    return collated(left)


def is_mixed(typed: Typed) -> bool:
    """A collation stands within that is not of its type, which is stored as a text."""
    own = typed.type.collation or "BINARY"
    return typed.type.sqlite == "TEXT" and _COLLATE in typed.sql.replace(f"{_COLLATE}{own}", "")


def assigned(typed: Typed, kind: Type, modifier: int) -> Typed | None:
    """A value as a column takes it; None if there is no assignment cast."""
    cast = casts.find(typed.type, kind, Context.ASSIGNMENT)
    if cast is None:
        return None
    both = types.is_integer(typed.type) and types.is_integer(kind)
    if typed.constant is None and both:
        # The column's own CHECK refuses what is out of range, with the same error.
        return replace(typed, type=kind, column=None)
    return fitted(converted(typed, cast), modifier, Context.ASSIGNMENT)
