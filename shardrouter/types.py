"""The types of columns, constants and parameters, and the casts between them.

Pure. A value that leaves this module is of its type as PostgreSQL understands it: in range,
of the Python type that `nodes.protocol.Value` uses for it, and storable by SQLite without a
change. What SQLite would silently alter (NaN, an integer out of its column's range) is an
error here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from nodes import values
from nodes.protocol import Value
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import is_utf8

__all__ = [
    "TYPES",
    "SUPPORTED",
    "BIGINT",
    "BOOLEAN",
    "DOUBLE",
    "INTEGER",
    "NUMERIC",
    "SMALLINT",
    "TEXT",
    "VARCHAR",
    "Type",
    "cast_constant",
    "check_arguments",
    "check_value",
    "from_text",
    "integer_type",
    "is_integer",
    "is_text",
    "resolve",
    "type_of_oid",
]


@dataclass(frozen=True)
class Type:
    """A PostgreSQL type. `short` is pg_type's name for it, which unnamed columns show."""

    name: str
    short: str
    oid: int
    sqlite: str  # column type in a STRICT table
    low: int = 0  # range of an integer type
    high: int = 0


SMALLINT: Final = Type("smallint", "int2", values.INT2, "INTEGER", -(1 << 15), (1 << 15) - 1)
INTEGER: Final = Type("integer", "int4", values.INT4, "INTEGER", -(1 << 31), (1 << 31) - 1)
BIGINT: Final = Type("bigint", "int8", values.INT8, "INTEGER", -(1 << 63), (1 << 63) - 1)
TEXT: Final = Type("text", "text", values.TEXT, "TEXT")
VARCHAR: Final = Type("varchar", "varchar", values.VARCHAR, "TEXT")
BOOLEAN: Final = Type("boolean", "bool", values.BOOL, "INTEGER")
DOUBLE: Final = Type("double precision", "float8", values.FLOAT8, "REAL")
NUMERIC: Final = Type("numeric", "numeric", 1700, "")
"""What PostgreSQL makes of 1.5. Only constants have it, until they meet a float or a cast."""

TYPES: Final = {
    kind.name: kind for kind in (SMALLINT, INTEGER, BIGINT, TEXT, VARCHAR, BOOLEAN, DOUBLE)
}
SUPPORTED: Final = "smallint, integer, bigint, text, varchar, boolean and double precision"

_ALIASES: Final = {
    **TYPES,
    "int": INTEGER,
    "int2": SMALLINT,
    "int4": INTEGER,
    "int8": BIGINT,
    "bool": BOOLEAN,
    "character varying": VARCHAR,
    "float": DOUBLE,
    "float8": DOUBLE,
}
_BY_OID: Final = {kind.oid: kind for kind in TYPES.values()}


def is_integer(kind: Type) -> bool:
    return kind is SMALLINT or kind is INTEGER or kind is BIGINT


def is_text(kind: Type) -> bool:
    return kind is TEXT or kind is VARCHAR


def resolve(name: str, parameters: str | None, position: int) -> Type:
    """The type named in a statement; raises NotSupported for any other than the seven."""
    kind = _ALIASES.get(name)
    if kind is None:
        raise NotSupported(
            f'type "{name}" is not supported',
            position=position,
            hint=f"Supported types are {SUPPORTED}.",
        )
    if parameters is not None:
        raise NotSupported(
            f"{name}({parameters}) is not supported",
            position=position,
            hint=f"Write {'varchar or text' if kind is VARCHAR else kind.name} without a length.",
        )
    return kind


def type_of_oid(oid: int, number: int) -> Type | None:
    """The type a client declared for parameter `number`; None if it left it open."""
    if oid in (0, values.UNKNOWN):
        return None
    kind = _BY_OID.get(oid)
    if kind is None:
        raise NotSupported(
            f"parameter ${number} has a type (OID {oid}) that is not supported",
            hint=f"Supported types are {SUPPORTED}.",
        )
    return kind


def integer_type(value: int) -> Type:
    """The type of an integer literal: the smallest of integer, bigint, numeric that holds it."""
    for kind in (INTEGER, BIGINT):
        if kind.low <= value <= kind.high:
            return kind
    return NUMERIC


# --------------------------------------------------------------------------- constants


def from_text(text: str, kind: Type, position: int = 0) -> Value:
    """A value of `kind` from an untyped literal, as the type's input function reads it."""
    try:
        return values.decode_text(text.encode(), kind.oid)
    except values.ValueFormatError as exc:
        raise StatementError(exc.message, sqlstate=exc.sqlstate, position=position) from exc


def cast_constant(
    value: Value | Decimal, source: Type, target: Type, position: int = 0
) -> Value | Decimal:
    """`value` of type `source` as `target`, as PostgreSQL's cast computes it.

    Raises StatementError 22003 (out of range), 22P02 (text that is not of the type), 42846
    (there is no such cast), and NotSupported for numeric as a target.
    """
    if source is target:
        return value
    has_cast = INTEGER in (source, target) or is_text(source) or is_text(target)
    if BOOLEAN in (source, target) and not has_cast:
        raise StatementError(
            f"cannot cast type {source.name} to {target.name}",
            sqlstate="42846",
            position=position,
        )
    if value is None:
        return None
    if is_text(target):
        if is_text(source):
            return value
        if isinstance(value, Decimal):
            raise NotSupported(
                "a cast of numeric to text is not supported",
                position=position,
                hint="Write the text: '1.5'.",
            )
        if source is BOOLEAN:
            return "true" if value else "false"
        return values.encode_text(value, source.oid).decode()
    if is_text(source):
        return from_text(str(value), target, position)
    if target is BOOLEAN:
        return bool(value)
    if source is BOOLEAN:
        return int(bool(value))
    assert isinstance(value, int | float | Decimal)
    if target is DOUBLE:
        return _to_float(value)
    if is_integer(target):
        return _to_integer(value, target)
    raise NotSupported(f'type "{target.name}" is not supported', position=position)


def _to_float(value: int | float | Decimal) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if (math.isinf(number) and not isinstance(value, float)) or (number == 0 and value != 0):
        raise StatementError(
            f'"{value}" is out of range for type double precision', sqlstate="22003"
        )
    return number


def _to_integer(value: int | float | Decimal, target: Type) -> int:
    """numeric rounds half away from zero, double precision half to even."""
    if isinstance(value, Decimal):
        # A range check first: an exponent of a million must not become a million digits.
        whole = (
            int(value.to_integral_value(ROUND_HALF_UP)) if abs(value) < 1 << 64 else target.high + 1
        )
    elif isinstance(value, float):
        whole = round(value) if math.isfinite(value) else target.high + 1
    else:
        whole = value
    if not target.low <= whole <= target.high:
        raise StatementError(f"{target.name} out of range", sqlstate="22003")
    return whole


# --------------------------------------------------------------------------- arguments


def check_value(value: Value, kind: Type, number: int) -> Value:
    """The argument for parameter `number`, of the Python type its column stores.

    Raises StatementError 22003 for an integer out of range and 42804 for a value of another
    type: SQLite would store or compare it in its own way.
    """
    found = type(value)
    if value is None:
        return None
    if is_integer(kind):
        if found is int:
            if not kind.low <= value <= kind.high:  # type: ignore[operator] # found is int
                raise StatementError(f"{kind.name} out of range", sqlstate="22003")
            return value
    elif is_text(kind):
        if found is str:
            _check_text(value)  # type: ignore[arg-type] # found is str
            return value
    elif kind is BOOLEAN:
        if found is bool:
            return value
    elif found is float or found is int:
        try:
            number_value = float(value)
        except OverflowError as exc:
            raise StatementError("double precision out of range", sqlstate="22003") from exc
        if number_value != number_value:
            raise NotSupported(
                "NaN is not supported as a value of type double precision",
                hint="SQLite has no NaN; store NULL or another column's flag.",
            )
        return number_value
    raise StatementError(
        f"parameter ${number} is of type {kind.name} but the argument is {found.__name__}",
        sqlstate="42804",
    )


def _check_text(value: str) -> None:
    if "\0" in value:
        raise StatementError('invalid byte sequence for encoding "UTF8": 0x00', sqlstate="22021")
    if not is_utf8(value):
        raise StatementError("the argument cannot be encoded in UTF8", sqlstate="22021")


def check_arguments(oids: Sequence[int], arguments: Sequence[Value]) -> tuple[Value, ...]:
    """All arguments of one execution, checked against the plan's parameter_oids."""
    if len(oids) != len(arguments):
        raise StatementError(
            f"the statement needs {len(oids)} parameters, {len(arguments)} were given",
            sqlstate="08P01",
        )
    return tuple(
        check_value(value, _BY_OID[oid], number)
        for number, (oid, value) in enumerate(zip(oids, arguments, strict=True), 1)
    )
