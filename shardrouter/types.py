"""The types of columns, constants, parameters and results, and their modifiers.

Pure. The modifier is PostgreSQL's atttypmod: the length of a varchar plus 4, precision and scale of
a numeric, -1 for none. A value that leaves this module is of its type: in range, in its stored
form, and storable by SQLite without a change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from nodes import values
from nodes.protocol import Value
from shardrouter import enumerations
from shardrouter.errors import NotSupported, StatementError
from shardrouter.kinds import NO_MODIFIER, Type
from shardrouter.lexer import is_utf8

__all__ = [
    "ANY_ARRAY_OF",
    "ARRAY_OF",
    "BIGINT",
    "BOOLEAN",
    "BPCHAR",
    "BYTEA",
    "CHAR",
    "DATE",
    "DOUBLE",
    "INT2VECTOR",
    "INTEGER",
    "INTERVAL",
    "JSON",
    "JSONB",
    "NAME",
    "NO_MODIFIER",
    "NUMERIC",
    "OID",
    "OIDVECTOR",
    "REAL",
    "SHARD_KEY_TYPES",
    "SMALLINT",
    "SYSTEM_ARRAY_OF",
    "SYSTEM_TYPES",
    "TEXT",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "TYPES",
    "OwnTypes",
    "Type",
    "UUID",
    "VARCHAR",
    "array_of",
    "by_oid",
    "by_short",
    "are_read_whole",
    "check_arguments",
    "check_value",
    "from_text",
    "integer_type",
    "is_integer",
    "is_number",
    "is_text",
    "of_column",
    "resolve",
    "resolve_any",
    "shown",
    "type_of_oid",
]

LENGTH_MAX: Final = 10_485_760
PRECISION_MAX: Final = 1000
"""PostgreSQL's limits of a modifier."""


def _integer(name: str, short: str, oid: int, size: int) -> Type:
    bound = 1 << (8 * size - 1)
    return Type(name, short, oid, "N", "INTEGER", size=size, low=-bound, high=bound - 1)


SMALLINT: Final = _integer("smallint", "int2", values.INT2, 2)
INTEGER: Final = _integer("integer", "int4", values.INT4, 4)
BIGINT: Final = _integer("bigint", "int8", values.INT8, 8)
NUMERIC: Final = Type("numeric", "numeric", values.NUMERIC, "N", "TEXT", collation="numeric")
REAL: Final = Type("real", "float4", values.FLOAT4, "N", "REAL", size=4)
DOUBLE: Final = Type(
    "double precision", "float8", values.FLOAT8, "N", "REAL", preferred=True, size=8
)
BOOLEAN: Final = Type("boolean", "bool", values.BOOL, "B", "INTEGER", preferred=True, size=1)
TEXT: Final = Type("text", "text", values.TEXT, "S", "TEXT", preferred=True)
VARCHAR: Final = Type("character varying", "varchar", values.VARCHAR, "S", "TEXT")
BPCHAR: Final = Type("character", "bpchar", values.BPCHAR, "S", "TEXT", collation="bpchar")
NAME: Final = Type("name", "name", values.NAME, "S", "TEXT", size=64)
BYTEA: Final = Type("bytea", "bytea", values.BYTEA, "U", "BLOB")
UUID: Final = Type("uuid", "uuid", values.UUID, "U", "BLOB", size=16)
DATE: Final = Type("date", "date", values.DATE, "D", "INTEGER", size=4)
TIME: Final = Type("time without time zone", "time", values.TIME, "D", "INTEGER", size=8)
TIMESTAMP: Final = Type(
    "timestamp without time zone", "timestamp", values.TIMESTAMP, "D", "INTEGER", size=8
)
TIMESTAMPTZ: Final = Type(
    "timestamp with time zone",
    "timestamptz",
    values.TIMESTAMPTZ,
    "D",
    "INTEGER",
    preferred=True,
    size=8,
)
INTERVAL: Final = Type(
    "interval",
    "interval",
    values.INTERVAL,
    "T",
    "TEXT",
    preferred=True,
    collation="interval",
    size=16,
)

JSON: Final = Type("json", "json", values.JSON, "U", "TEXT")
JSONB: Final = Type("jsonb", "jsonb", values.JSONB, "U", "TEXT", collation="jsonb")

_SCALARS: Final = (
    *(SMALLINT, INTEGER, BIGINT, NUMERIC, REAL, DOUBLE, BOOLEAN, TEXT, VARCHAR, BPCHAR),
    *(NAME, BYTEA, UUID, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL, JSON, JSONB),
)

ARRAY_OF: Final[Mapping[Type, Type]] = {
    kind: Type(
        f"{kind.name}[]",
        f"_{kind.short}",
        values.ARRAYS[kind.short].oid,
        "A",
        "TEXT",
        collation=values.ARRAYS[kind.short].collation,
        element=kind,
    )
    for kind in _SCALARS
    if kind.short in values.ARRAYS
}
"""The array type of each element type."""

_ALL: Final = (*_SCALARS, *ARRAY_OF.values())

TYPES: Final[Mapping[str, Type]] = {kind.name: kind for kind in _ALL}
"""By the name that a catalog keeps."""

SHARD_KEY_TYPES: Final = frozenset(
    {
        *(SMALLINT, INTEGER, BIGINT, TEXT, VARCHAR, BOOLEAN, UUID, BYTEA, DATE),
        *(TIMESTAMP, TIMESTAMPTZ),
    }
)
"""Whose equal values have equal bytes in `nodes.values.canonical_key`."""

_SPELLINGS: Final[Mapping[str, Type]] = {
    **TYPES,
    **{kind.short: kind for kind in _ALL},
    "int": INTEGER,
    "float": DOUBLE,
    "decimal": NUMERIC,
    "dec": NUMERIC,
    "char": BPCHAR,
    "nchar": BPCHAR,
    "char varying": VARCHAR,
    "time": TIME,
    "timestamp": TIMESTAMP,
}
WRITTEN: Final = frozenset(_SPELLINGS) - {kind.short for kind in _ALL}
"""Names that only the grammar knows: in quotes they are those of no type, but for "char"."""

_SYSTEM: Final[Mapping[str, Type]] = {
    "oid": Type("oid", "oid", values.NUMBERS["oid"], "N", "INTEGER", preferred=True, size=4),
    **{
        name: Type(name, name, oid, "U", "INTEGER", size=4)
        for name, oid in values.NUMBERS.items()
        if name != "oid"
    },
    **{
        name: Type(name, name, oid, "N", "INTEGER", size=4, is_named=True)
        for name, oid in values.NAMED.items()
    },
    **{
        f'"{name}"' if name == "char" else name: Type(
            f'"{name}"' if name == "char" else name, name, oid, "Z", "TEXT"
        )
        for name, oid in values.TEXTS.items()
    },
}
"""Types of the system catalogs, by name."""

SYSTEM_ARRAY_OF: Final[Mapping[Type, Type]] = {
    kind: Type(
        f"{kind.name}[]",
        f"_{kind.short}",
        values.SYSTEM_ARRAYS[kind.short].oid,
        "A",
        "TEXT",
        collation="array",
        element=kind,
    )
    for kind in _SYSTEM.values()
    if kind.short in values.SYSTEM_ARRAYS
}

ANY_ARRAY_OF: Final[Mapping[Type, Type]] = {**ARRAY_OF, **SYSTEM_ARRAY_OF}

OID: Final = _SYSTEM["oid"]
CHAR: Final = _SYSTEM['"char"']
INT2VECTOR: Final = Type(
    "int2vector", "int2vector", values.VECTORS["int2vector"], "A", "TEXT",
    collation="array", element=SMALLINT, counts_from=0,
)  # fmt: skip
OIDVECTOR: Final = Type(
    "oidvector", "oidvector", values.VECTORS["oidvector"], "A", "TEXT",
    collation="array", element=OID, counts_from=0,
)  # fmt: skip

SYSTEM_TYPES: Final[Mapping[str, Type]] = {
    **_SYSTEM,
    **{kind.name: kind for kind in SYSTEM_ARRAY_OF.values()},
    "int2vector": INT2VECTOR,
    "oidvector": OIDVECTOR,
}
"""By name; no column of a table is of one of them."""

_BY_OID: Final = {kind.oid: kind for kind in (*_ALL, *SYSTEM_TYPES.values())}
_OF_COLUMN: Final = {
    **TYPES,
    **SYSTEM_TYPES,
    "varchar": VARCHAR,  # the name that older catalogs have
}
_BY_SHORT: Final = {kind.short: kind for kind in _BY_OID.values()}

_OTHERS: Final = frozenset(
    {
        *("bit", "box", "cidr", "circle", "inet", "line", "lseg", "macaddr"),
        *("macaddr8", "money", "oid", "path", "point", "polygon", "regclass", "regtype"),
        *("time with time zone", "timetz", "tsquery", "tsvector", "varbit", "xml"),
        *("serial", "smallserial", "bigserial", "serial2", "serial4", "serial8"),
        *("daterange", "int4range", "int8range", "numrange", "tsrange", "tstzrange"),
        *("datemultirange", "int4multirange", "int8multirange", "nummultirange"),
        *("tsmultirange", "tstzmultirange", "jsonpath", "pg_snapshot", "txid_snapshot", "void"),
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
    return _OF_COLUMN.get(name) or enumerations.of_definition(name)


def by_short(short: str) -> Type:
    """The type that pg_type calls so."""
    return _BY_SHORT[short]


def by_oid(oid: int) -> Type:
    """The type of a parameter or result column; what arrives for one that a client has defined is
    a label, or an array of them."""
    if oid >= values.OWN_TYPES:
        return ARRAY_OF[TEXT] if oid % 2 else TEXT
    return _BY_OID[oid]


def array_of(kind: Type) -> Type | None:
    """The type of arrays of `kind`; None if there are none."""
    return enumerations.array_of(kind) if kind.labels else ANY_ARRAY_OF.get(kind)


OwnTypes: TypeAlias = Callable[[str], Type | None]
"""What a name means among the types that clients have defined."""


def _supported() -> str:
    *names, last = (kind.name for kind in _SCALARS)
    return f"Supported types are {', '.join(names)} and {last}, and arrays of them."


def resolve_any(
    name: str, modifiers: Sequence[str], position: int, own: OwnTypes | None = None
) -> tuple[Type, int]:
    """The same for an expression, where there are the types of the system catalogs too."""
    kind = SYSTEM_TYPES.get(name)
    if kind is not None and not modifiers:
        return kind, NO_MODIFIER
    return resolve(name, modifiers, position, own)


def resolve(
    name: str, modifiers: Sequence[str], position: int, own: OwnTypes | None = None
) -> tuple[Type, int]:
    """The type a statement names, with its modifier. Raises NotSupported for a type of
    PostgreSQL's that is not here, StatementError 42704, 42601 and 22023 as PostgreSQL does."""
    if name.endswith("[]"):
        element, modifier = resolve(name[:-2], modifiers, position, own)
        array = enumerations.array_of(element) if element.labels else ARRAY_OF.get(element)
        if array is None:
            raise NotSupported(f'type "{name}" is not supported', position=position)
        if modifier != NO_MODIFIER:
            raise NotSupported(
                f"an array of {shown(element, modifier)} is not supported",
                position=position,
                hint=f"Write {element.name.partition(' ')[0]}[] without the modifier.",
            )
        return array, modifier
    kind = _SPELLINGS.get(name)
    if kind is None and own is not None:
        kind = own(name)
    if kind is None:
        if name in _OTHERS:
            raise NotSupported(
                f'type "{name}" is not supported', position=position, hint=_supported()
            )
        raise StatementError(
            f'type "{name}" does not exist', sqlstate="42704", position=position, hint=_supported()
        )
    if modifiers:
        return _with_modifier(kind, name, modifiers, position)
    if kind is BPCHAR and name != "bpchar":
        return kind, 5  # char is char(1)
    return kind, NO_MODIFIER


_FRACTIONS: Final = (TIME, TIMESTAMP, TIMESTAMPTZ)
_FRACTION_DIGITS_MAX: Final = 6
_INTERVAL_FULL_RANGE: Final = 0x7FFF << 16


def _with_modifier(
    kind: Type, name: str, modifiers: Sequence[str], position: int
) -> tuple[Type, int]:
    def refused(message: str, sqlstate: str = "22023") -> StatementError:
        return StatementError(message, sqlstate=sqlstate, position=position)

    try:
        numbers = [int(text) for text in modifiers]
    except ValueError as exc:
        raise refused("type modifiers must be simple constants or identifiers", "42601") from exc
    first, *others = numbers
    if kind is VARCHAR or kind is BPCHAR:
        short = "char" if kind is BPCHAR else "varchar"
        if others:
            raise refused("invalid type modifier")
        if first < 1:
            raise refused(f"length for type {short} must be at least 1")
        if first > LENGTH_MAX:
            raise refused(f"length for type {short} cannot exceed {LENGTH_MAX}")
        return kind, first + 4
    if kind is NUMERIC:
        if len(others) > 1:
            raise refused("invalid NUMERIC type modifier")
        if not 1 <= first <= PRECISION_MAX:
            raise refused(f"NUMERIC precision {first} must be between 1 and {PRECISION_MAX}")
        scale = others[0] if others else 0
        if not -PRECISION_MAX <= scale <= PRECISION_MAX:
            raise refused(
                f"NUMERIC scale {scale} must be between -{PRECISION_MAX} and {PRECISION_MAX}"
            )
        return kind, values.numeric_modifier(first, scale)
    if kind in _FRACTIONS or kind is INTERVAL:
        if others:
            raise refused("invalid type modifier")
        digits = min(first, _FRACTION_DIGITS_MAX)  # PostgreSQL warns, and takes 6
        return kind, digits | _INTERVAL_FULL_RANGE if kind is INTERVAL else digits
    if name == "float":
        if first < 1:
            raise refused("precision for type float must be at least 1 bit")
        if first > 53:
            raise refused("precision for type float must be less than 54 bits")
        return (DOUBLE if first >= 25 else REAL), NO_MODIFIER
    raise refused(f'type modifier is not allowed for type "{kind.short}"', "42601")


def shown(kind: Type, modifier: int = NO_MODIFIER) -> str:
    """As PostgreSQL's format_type: `character varying(10)`, `numeric(8,2)`."""
    if kind.element is not None:
        return f"{shown(kind.element, modifier)}[]"
    if modifier < 0:
        return kind.name
    if kind is NUMERIC:
        precision, scale = values.precision_and_scale(modifier)
        return f"numeric({precision},{scale})"
    if kind in _FRACTIONS:
        word, _, rest = kind.name.partition(" ")
        return f"{word}({modifier}) {rest}"
    if kind is INTERVAL:
        return f"interval({modifier & 0xFFFF})"
    return f"{kind.name}({modifier - 4})"


def type_of_oid(oid: int, number: int) -> Type | None:
    """The type a client declared for parameter `number`; None if it left it open."""
    if oid in (0, values.UNKNOWN):
        return None
    if oid >= values.OWN_TYPES:
        return None  # what it meets is of the type that has this number now
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
        value = values.decode_text(text.encode(), kind.oid)
        return enumerations.value_of(value, kind) if kind.is_own else value
    except values.ValueFormatError as exc:
        error = enumerations.UnknownLabel if kind.is_own else StatementError
        raise error(
            exc.message,
            sqlstate=exc.sqlstate,
            position=position,
            detail=exc.detail,
            hint=exc.hint,
        ) from exc


# --------------------------------------------------------------------------- arguments

_RANGES: Final = {kind.oid: (kind.low, kind.high) for kind in (SMALLINT, INTEGER, BIGINT)}
_TEXTS: Final = frozenset(
    kind.oid for kind in _BY_OID.values() if is_text(kind) and kind is not NAME
)
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
            return value if kind is not NAME else from_text(str(value), kind)
    elif kind is BOOLEAN:
        if found is bool:
            return value
    elif kind.is_named:
        if found is int or found is str:
            return value
    elif kind.sqlite != "REAL":
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


def are_read_whole(oids: Sequence[int]) -> bool:
    """Whether `check_arguments` has nothing to say of what a client's bytes were read as, if it was
    as values of these types: then nobody need ask it."""
    return all(oid in _RANGES or oid in _TEXTS for oid in oids)


def check_arguments(oids: Sequence[int], arguments: Sequence[Value]) -> tuple[Value, ...]:
    """All arguments of one execution, checked against the plan's parameter_oids."""
    if len(oids) != len(arguments):
        raise StatementError(
            f"the statement needs {len(oids)} parameters, {len(arguments)} were given",
            sqlstate="08P01",
        )
    for oid, value in zip(oids, arguments):  # noqa: B905 -- lengths compared above
        # What `check_value` says of nearly all of them, without the calls.
        if type(value) is int:
            span = _RANGES.get(oid)
            if span is None or not span[0] <= value <= span[1]:
                break
        elif type(value) is str:
            if oid not in _TEXTS or not value.isascii() or "\0" in value:
                break
        elif value is not None:
            break
    else:
        return tuple(arguments)
    return tuple(
        [
            check_value(value, by_oid(oid), number)
            for number, (oid, value) in enumerate(zip(oids, arguments, strict=True), 1)
        ]
    )
