"""The types of columns, constants, parameters and results, and their modifiers.

Pure. A type is what PostgreSQL calls it, its category (pg_type.typcategory: resolving an operator
asks for it), and its stored form: what SQLite keeps and compares (docs/language.md). The modifier
is PostgreSQL's atttypmod: the length of a varchar plus 4, precision and scale of a numeric, -1
for none. A value that leaves this module is of its type: in range, in its stored form, and
storable by SQLite without a change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nodes import values
from nodes.protocol import Value
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import is_utf8

__all__ = [
    "BIGINT",
    "BOOLEAN",
    "DOUBLE",
    "INTEGER",
    "INTERVAL",
    "NO_MODIFIER",
    "NUMERIC",
    "SHARD_KEY_TYPES",
    "SMALLINT",
    "TEXT",
    "TYPES",
    "VARCHAR",
    "Type",
    "by_oid",
    "check_arguments",
    "check_value",
    "from_text",
    "integer_type",
    "is_integer",
    "is_number",
    "is_text",
    "of_column",
    "resolve",
    "shown",
    "type_of_oid",
]

NO_MODIFIER: Final = -1

VARCHAR_LENGTH_MAX: Final = 10_485_760
NUMERIC_PRECISION_MAX: Final = 1000
"""PostgreSQL's limits of a modifier."""


@dataclass(frozen=True, eq=False)
class Type:
    """A PostgreSQL type; each exists once and is compared by identity.

    `short` is pg_type's name for it, which functions' names and unnamed columns show.
    """

    name: str
    short: str
    oid: int
    category: str
    sqlite: str  # column type in a STRICT table
    preferred: bool = False  # of its category
    collation: str = ""  # in which SQLite compares the stored form; empty: its own
    size: int = -1  # bytes, as pg_type.typlen says; -1: varies
    low: int = 0  # range of an integer type
    high: int = 0

    @property
    def column(self) -> str:
        """The type of a column of SQLite, with its collation."""
        return f"{self.sqlite} COLLATE {self.collation}" if self.collation else self.sqlite


def _integer(name: str, short: str, oid: int, size: int) -> Type:
    bound = 1 << (8 * size - 1)
    return Type(name, short, oid, "N", "INTEGER", size=size, low=-bound, high=bound - 1)


SMALLINT: Final = _integer("smallint", "int2", values.INT2, 2)
INTEGER: Final = _integer("integer", "int4", values.INT4, 4)
BIGINT: Final = _integer("bigint", "int8", values.INT8, 8)
NUMERIC: Final = Type("numeric", "numeric", values.NUMERIC, "N", "TEXT", collation="numeric")
DOUBLE: Final = Type(
    "double precision", "float8", values.FLOAT8, "N", "REAL", preferred=True, size=8
)
BOOLEAN: Final = Type("boolean", "bool", values.BOOL, "B", "INTEGER", preferred=True, size=1)
TEXT: Final = Type("text", "text", values.TEXT, "S", "TEXT", preferred=True)
VARCHAR: Final = Type("character varying", "varchar", values.VARCHAR, "S", "TEXT")
INTERVAL: Final = Type(
    "interval", "interval", 1186, "T", "TEXT", preferred=True, collation="interval", size=16
)
"""Of no column yet. Its operators are known, for they make `unknown + unknown` ambiguous."""

_ALL: Final = (SMALLINT, INTEGER, BIGINT, NUMERIC, DOUBLE, BOOLEAN, TEXT, VARCHAR)

TYPES: Final[Mapping[str, Type]] = {kind.name: kind for kind in _ALL}
"""By the name that a catalog keeps."""

SHARD_KEY_TYPES: Final = frozenset({SMALLINT, INTEGER, BIGINT, TEXT, VARCHAR, BOOLEAN})
"""Whose equal values have equal bytes in `nodes.values.canonical_key`."""

_SPELLINGS: Final[Mapping[str, Type]] = {
    **TYPES,
    **{kind.short: kind for kind in _ALL},
    "int": INTEGER,
    "float": DOUBLE,
    "decimal": NUMERIC,
    "dec": NUMERIC,
}
_BY_OID: Final = {kind.oid: kind for kind in _ALL}
_OF_COLUMN: Final = {**TYPES, "varchar": VARCHAR}  # the name that older catalogs have

_OTHERS: Final = frozenset(
    {
        *("bit", "bpchar", "bytea", "box", "char", "character", "cidr", "circle", "date"),
        *("float4", "inet", "interval", "json", "jsonb", "line", "lseg", "macaddr", "macaddr8"),
        *("money", "oid", "path", "point", "polygon", "real", "regclass", "regtype", "time"),
        *("timestamp", "timestamptz", "timetz", "tsquery", "tsvector", "uuid", "varbit", "xml"),
        *("serial", "smallserial", "bigserial", "serial2", "serial4", "serial8"),
    }
)
"""Types of PostgreSQL that this database has not."""


def is_integer(kind: Type) -> bool:
    return kind is INTEGER or kind is BIGINT or kind is SMALLINT


def is_number(kind: Type) -> bool:
    return kind.category == "N"


def is_text(kind: Type) -> bool:
    return kind.category == "S"


def of_column(name: str) -> Type:
    """The type of a column of the catalog."""
    return _OF_COLUMN[name]


def by_oid(oid: int) -> Type:
    """The type of a parameter or result column."""
    return _BY_OID[oid]


def _supported() -> str:
    *names, last = TYPES
    return f"Supported types are {', '.join(names)} and {last}."


def resolve(name: str, modifiers: Sequence[str], position: int) -> tuple[Type, int]:
    """The type a statement names, with its modifier. Raises NotSupported for a type of
    PostgreSQL's that is not here, StatementError 42704, 42601 and 22023 as PostgreSQL does."""
    kind = _SPELLINGS.get(name)
    if kind is None:
        if name in _OTHERS:
            raise NotSupported(
                f'type "{name}" is not supported', position=position, hint=_supported()
            )
        raise StatementError(
            f'type "{name}" does not exist', sqlstate="42704", position=position, hint=_supported()
        )
    return kind, _modifier(kind, name, modifiers, position) if modifiers else NO_MODIFIER


def _modifier(kind: Type, name: str, modifiers: Sequence[str], position: int) -> int:
    def refused(message: str, sqlstate: str = "22023") -> StatementError:
        return StatementError(message, sqlstate=sqlstate, position=position)

    try:
        numbers = [int(text) for text in modifiers]
    except ValueError as exc:
        raise refused("type modifiers must be simple constants or identifiers", "42601") from exc
    if kind is VARCHAR:
        (length, *others) = numbers
        if others:
            raise refused("invalid type modifier")
        if length < 1:
            raise refused("length for type varchar must be at least 1")
        if length > VARCHAR_LENGTH_MAX:
            raise refused(f"length for type varchar cannot exceed {VARCHAR_LENGTH_MAX}")
        return length + 4
    if kind is NUMERIC:
        (precision, *scales) = numbers
        if len(scales) > 1:
            raise refused("invalid NUMERIC type modifier")
        if not 1 <= precision <= NUMERIC_PRECISION_MAX:
            raise refused(
                f"NUMERIC precision {precision} must be between 1 and {NUMERIC_PRECISION_MAX}"
            )
        scale = scales[0] if scales else 0
        if not -NUMERIC_PRECISION_MAX <= scale <= NUMERIC_PRECISION_MAX:
            raise refused(
                f"NUMERIC scale {scale} must be between -{NUMERIC_PRECISION_MAX} "
                f"and {NUMERIC_PRECISION_MAX}"
            )
        return values.numeric_modifier(precision, scale)
    if kind is DOUBLE and name == "float":
        (digits,) = numbers if len(numbers) == 1 else (0,)
        if digits < 1:
            raise refused("precision for type float must be at least 1 bit")
        if digits > 53:
            raise refused("precision for type float must be less than 54 bits")
        if digits >= 25:
            return NO_MODIFIER
        raise NotSupported('type "real" is not supported', position=position, hint=_supported())
    raise refused(f'type modifier is not allowed for type "{kind.short}"', "42601")


def shown(kind: Type, modifier: int = NO_MODIFIER) -> str:
    """As PostgreSQL's format_type: `character varying(10)`, `numeric(8,2)`."""
    if modifier < 0:
        return kind.name
    if kind is NUMERIC:
        precision, scale = values.precision_and_scale(modifier)
        return f"numeric({precision},{scale})"
    return f"{kind.name}({modifier - 4})"


def type_of_oid(oid: int, number: int) -> Type | None:
    """The type a client declared for parameter `number`; None if it left it open."""
    if oid in (0, values.UNKNOWN):
        return None
    kind = _BY_OID.get(oid)
    if kind is None:
        raise NotSupported(
            f"parameter ${number} has a type (OID {oid}) that is not supported", hint=_supported()
        )
    return kind


def integer_type(value: int) -> Type:
    """The type of an integer literal: the smallest of integer, bigint, numeric that holds it."""
    for kind in (INTEGER, BIGINT):
        if kind.low <= value <= kind.high:
            return kind
    return NUMERIC


def from_text(text: str, kind: Type, position: int = 0) -> Value:
    """A value of `kind` from an untyped literal, as the type's input function reads it."""
    try:
        return values.decode_text(text.encode(), kind.oid)
    except values.ValueFormatError as exc:
        raise StatementError(exc.message, sqlstate=exc.sqlstate, position=position) from exc


# --------------------------------------------------------------------------- arguments

_PYTHON: Final = {"INTEGER": int, "REAL": float, "TEXT": str, "BLOB": bytes}


def check_value(value: Value, kind: Type, number: int) -> Value:
    """The argument for parameter `number`, in its type's stored form.

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
    elif kind is not DOUBLE:
        if found is _PYTHON[kind.sqlite]:
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
