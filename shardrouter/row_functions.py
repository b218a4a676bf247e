"""Functions that answer rows: in FROM, beside what they read, and WITH ORDINALITY.

A function of the node makes an array of the rows, which SQLite's json_each reads, so that the
arguments may be columns of what stands before it in FROM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shardrouter import operators, syntax
from shardrouter.any_calls import undetermined
from shardrouter.errors import NotSupported, StatementError
from shardrouter.typed import implicit
from shardrouter.types import (
    ARRAY_OF,
    BIGINT,
    BOOLEAN,
    INTEGER,
    INTERVAL,
    JSON,
    JSONB,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    TIMESTAMPTZ,
    Type,
)

if TYPE_CHECKING:
    from shardrouter.translate import Scope

__all__ = ["NAMES", "Rows", "rows_of"]


@dataclass(frozen=True)
class Rows:
    """`array` is the text of a stored array; `columns` have their names (empty: the function's or
    its alias), types, and text around the element {0}."""

    array: str
    columns: tuple[tuple[str, Type, str], ...]


@dataclass(frozen=True)
class _Signature:
    arguments: tuple[Type, ...]
    columns: tuple[tuple[str, Type, str], ...]
    text: str


def _element(kind: Type, array: str) -> Rows:
    """The elements of an array, one a row."""
    if kind.sqlite == "BLOB":
        return Rows(array, (("", kind, "pg_bytes_array({0})"),))
    if kind.sqlite == "REAL":  # SQLite reads the digits of a float less exactly
        name = f"pg_{{}}_{kind.short}"
        as_texts = f"pg_each({array}, '{name.format('text')}')"
        return Rows(as_texts, (("", kind, f"{name.format('cast')}({{0}})"),))
    return Rows(array, (("", kind, "{0}"),))


def _signatures() -> Mapping[str, tuple[_Signature, ...]]:
    found: dict[str, list[_Signature]] = {}

    def add(name: str, text: str, columns: Sequence[tuple[str, Type]], *arguments: Type) -> None:
        if len(columns) == 1:
            ((column, kind),) = columns
            shown: tuple[tuple[str, Type, str], ...] = ((column, kind, "{0}"),)
        else:
            shown = tuple(
                (column, kind, f"pg_get_array({{0}}, {i})")
                for i, (column, kind) in enumerate(columns, 1)
            )
        found.setdefault(name, []).append(_Signature(arguments, shown, text))

    for kind in (INTEGER, BIGINT):
        value = [("", kind)]
        add("generate_series", "pg_series_array({0}, {1}, 1)", value, kind, kind)
        add("generate_series", "pg_series_array({0}, {1}, {2})", value, kind, kind, kind)
    value = [("", NUMERIC)]
    add("generate_series", "pg_series_numeric({0}, {1}, '1')", value, NUMERIC, NUMERIC)
    add("generate_series", "pg_series_numeric({0}, {1}, {2})", value, NUMERIC, NUMERIC, NUMERIC)
    for kind in (TIMESTAMP, TIMESTAMPTZ):
        text = "pg_series_timestamp({0}, {1}, {2})"
        add("generate_series", text, [("", kind)], kind, kind, INTERVAL)
    for kind in ARRAY_OF.values():
        text = "pg_subscripts_array({0}, {1}, %s)"
        add("generate_subscripts", text % "0", [("", INTEGER)], kind, INTEGER)
        add("generate_subscripts", text % "{2}", [("", INTEGER)], kind, INTEGER, BOOLEAN)
    texts, one = ARRAY_OF[TEXT], [("", TEXT)]
    add("regexp_matches", "pg_regexp_matches({0}, {1}, '')", [("", texts)], TEXT, TEXT)
    add("regexp_matches", "pg_regexp_matches({0}, {1}, {2})", [("", texts)], TEXT, TEXT, TEXT)
    split = "pg_regexp_split_rows({0}, {1}, %s)"
    add("regexp_split_to_table", split % "''", one, TEXT, TEXT)
    add("regexp_split_to_table", split % "{2}", one, TEXT, TEXT, TEXT)
    add("string_to_table", "pg_string_to_array({0}, {1}, NULL)", one, TEXT, TEXT)
    add("string_to_table", "pg_string_to_array({0}, {1}, {2})", one, TEXT, TEXT, TEXT)
    for kind in (JSON, JSONB):
        short, is_binary = kind.short, int(kind is JSONB)
        for name, is_text, result in (("", 0, kind), ("_text", 1, TEXT)):
            function = f"{short}_array_elements{name}"
            text = f"pg_elements_json({{0}}, {is_text}, {is_binary}, '{function}')"
            add(function, text, [("value", result)], kind)
            function = f"{short}_each{name}"
            text = f"pg_each_json({{0}}, {is_text}, {is_binary}, '{function}')"
            add(function, text, [("key", TEXT), ("value", result)], kind)
        function = f"{short}_object_keys"
        text = f"pg_keys_json({{0}}, {is_binary}, '{function}')"
        add(function, text, [("", TEXT)], kind)
    return {name: tuple(rows) for name, rows in found.items()}


_SIGNATURES: Final = _signatures()
NAMES: Final = frozenset(_SIGNATURES) | {"unnest"}


def rows_of(call: syntax.Call, scope: Scope) -> Rows:
    """What a function answers, as the rows of an array."""
    special = _SPECIAL.get(call.name)
    if special is not None:
        return special(call, scope)
    if call.name not in NAMES:  # one row of its one value
        typed = scope.take(call, TEXT)
        cell = "pg_cellbytes" if typed.type.sqlite == "BLOB" else "pg_cell"
        columns = (("", typed.type, f"{cell}({{0}}, 0)"),)
        return Rows(f"pg_array(pg_row({typed.sql}))", columns)
    given = [None if scope.is_open(a) else scope.expression(a).type for a in call.arguments]
    rows = [row for row in _SIGNATURES.get(call.name, ()) if len(row.arguments) == len(given)]
    found = operators.best(rows, lambda row: row.arguments, given)
    if call.name == "generate_subscripts" and given[:1] == [None]:
        raise undetermined()
    if not isinstance(found, _Signature):
        raise _unknown(call, given, is_ambiguous=bool(found))
    texts = [
        implicit(scope.take(argument, kind), kind).sql
        for argument, kind in zip(call.arguments, found.arguments, strict=True)
    ]
    return Rows(found.text.format(*texts), found.columns)


def _unknown(
    call: syntax.Call, given: Sequence[Type | None], *, is_ambiguous: bool
) -> StatementError:
    shown = ", ".join("unknown" if kind is None else kind.name for kind in given)
    return StatementError(
        f"function {call.name}({shown}) {'is not unique' if is_ambiguous else 'does not exist'}",
        sqlstate="42725" if is_ambiguous else "42883",
        position=call.position,
        hint="No function matches the given name and argument types. "
        "You might need to add explicit type casts.",
    )


def _unnest(call: syntax.Call, scope: Scope) -> Rows:
    if len(call.arguments) != 1:
        raise NotSupported(
            "unnest of several arrays is not supported",
            position=call.position,
            hint="Join them WITH ORDINALITY.",
        )
    (argument,) = call.arguments
    if scope.is_open(argument):
        raise StatementError(
            "function unnest(unknown) is not unique",
            sqlstate="42725",
            position=call.position,
            hint="Could not choose a best candidate function. "
            "You might need to add explicit type casts.",
        )
    typed = scope.expression(argument)
    if typed.type.element is None:
        raise _unknown(call, [typed.type], is_ambiguous=False)
    return _element(typed.type.element, typed.sql)


_SPECIAL: Final[Mapping[str, Callable[[syntax.Call, Scope], Rows]]] = {"unnest": _unnest}
