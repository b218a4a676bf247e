"""Texts for SQL and for readers: quote_ident, format, unistr, joined and split arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from nodes.pgtypes import arrays
from nodes.pgtypes.formats import Function, FunctionError
from nodes.pgtypes.strings import string_of
from nodes.pgtypes.text_functions import quote_literal
from nodes.protocol import Value

__all__ = ["FUNCTIONS"]

_PLAIN_NAME: Final = re.compile(r"[a-z_][a-z0-9_$]*\Z")
_KEYWORDS: Final = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
    boolean both case cast char character check coalesce collate collation column concurrently
    constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user dec decimal default deferrable desc distinct do else end except
    exists extract false fetch float for foreign freeze from full grant greatest group grouping
    having ilike in initially inner inout int integer intersect interval into is isnull join
    lateral leading least left like limit localtime localtimestamp national natural nchar none
    normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay
    placing position precision primary real references returning right row select session_user
    setof similar smallint some substring symmetric table tablesample then time timestamp to
    trailing treat trim true union unique user using values varchar variadic verbose when where
    window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse
    xmlpi xmlroot xmlserialize xmltable
    """.split()  # noqa: SIM905 -- a list of words
)
"""Of PostgreSQL 15, but the unreserved ones: a name that is one is quoted."""

_SPECIFIER: Final = re.compile(r"%(?:(\d+)\$)?(-*)(?:(\d+)|\*(?:(\d+)\$)?)?(.?)", re.DOTALL)
_WIDTH_MAX: Final = 1_000_000


def _quote_ident(value: Value) -> str:
    name = string_of(value)
    if _PLAIN_NAME.match(name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def _quote_nullable(value: Value) -> str:
    return "NULL" if value is None else quote_literal(value)


def _format(template: Value, *values: Value) -> str | None:
    """format(): the values are texts already."""
    if template is None:
        return None
    text = string_of(template)
    out: list[str] = []
    at = taken = 0

    def argument(position: str | None) -> Value:
        nonlocal taken
        if position is not None and int(position) == 0:
            raise FunctionError(
                "22023", "format specifies argument 0, but arguments are numbered from 1"
            )
        taken = int(position) if position is not None else taken + 1
        if taken > len(values):
            raise FunctionError("22023", "too few arguments for format()")
        return values[taken - 1]

    while (found := text.find("%", at)) >= 0:
        out.append(text[at:found])
        part = _SPECIFIER.match(text, found)
        assert part is not None
        at = part.end()
        position, minus, width, width_position, kind = part.groups()
        if part[0] == "%%":
            out.append("%")
            continue
        if not kind:
            raise FunctionError(
                "22023",
                "unterminated format() type specifier",
                hint='For a single "%" use "%%".',
            )
        wide = int(width or 0)
        if "*" in part[0]:
            given = argument(width_position)
            try:
                wide = int(string_of(given)) if given is not None else 0
            except ValueError as exc:
                raise FunctionError(
                    "22P02", f'invalid input syntax for type integer: "{given!s}"'
                ) from exc
        if kind not in "sIL":
            raise FunctionError(
                "22023",
                f'unrecognized format() type specifier "{kind}"',
                hint='For a single "%" use "%%".',
            )
        if abs(wide) > _WIDTH_MAX:
            raise FunctionError("54000", "requested length too large")
        shown = _shown(argument(position), kind)
        is_left = bool(minus) or wide < 0
        out.append(shown.ljust(abs(wide)) if is_left else shown.rjust(abs(wide)))
    return "".join([*out, text[at:]])


def _shown(value: Value, kind: str) -> str:
    if kind == "L":
        return _quote_nullable(value)
    if value is None:
        if kind == "I":
            raise FunctionError("22004", "null values cannot be formatted as an SQL identifier")
        return ""
    return _quote_ident(value) if kind == "I" else string_of(value)


_UNICODE: Final = re.compile(
    r"\\(?:\\|([0-9a-fA-F]{4})|\+([0-9a-fA-F]{6})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|)"
)


def _unistr(value: Value) -> str:
    def replaced(found: re.Match[str]) -> str:
        if found[0] == "\\\\":
            return "\\"
        digits = next((group for group in found.groups() if group is not None), None)
        if digits is None:
            raise FunctionError(
                "42601",
                "invalid Unicode escape",
                hint="Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.",
            )
        code = int(digits, 16)
        if not 0 < code <= 0x10FFFF:
            raise FunctionError("22023", f"invalid Unicode code point: {code:04X}")
        return chr(code)

    text = _UNICODE.sub(replaced, string_of(value))
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as exc:
        raise FunctionError("22023", "invalid Unicode surrogate pair") from exc


# --------------------------------------------------------------------------- arrays and texts


def _split(text: Value, separator: Value, null: Value) -> str | None:
    """string_to_array: without a separator (NULL) each character, by an empty one the whole."""
    if text is None:
        return None
    whole = string_of(text)
    if separator is None:
        parts = list(whole)
    elif not whole:
        parts = []
    else:
        mark = string_of(separator)
        parts = whole.split(mark) if mark else [whole]
    return arrays.dump([None if part == null else part for part in parts])


def _joined(texts: Value, separator: Value, null: Value) -> str | None:
    """array_to_string of an array of texts: NULLs are left out, or shown as `null`."""
    if texts is None or separator is None:
        return None
    parts = arrays.elements(texts)
    shown = (string_of(p) if p is not None else null for p in parts)
    return string_of(separator).join(string_of(part) for part in shown if part is not None)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_quote_ident": Function(1, _quote_ident),
    "pg_quote_nullable": Function(1, _quote_nullable, strict=False),
    "pg_format": Function(-1, _format, strict=False),
    "pg_unistr": Function(1, _unistr),
    "pg_string_to_array": Function(3, _split, strict=False),
    "pg_array_to_string": Function(3, _joined, strict=False),
}
