"""Rows for programs: CSV as psql and COPY write it, and JSON, an array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from shardrouter.cli.shell.layout.style import Cell, Column, Row, Style

__all__ = ["Csv", "Json"]

_NEEDS_QUOTES: Final = re.compile(r'[",\r\n]')

_BOOLEAN: Final = 16
_JSON: Final = frozenset((114, 3802))
_NUMBERS: Final = frozenset((20, 21, 23, 26, 700, 701, 1700))
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Csv:
    """RFC 4180 with line feeds. NULL is empty, an empty text is `""`, as COPY has it."""

    def __init__(self, columns: Sequence[Column], style: Style) -> None:
        names = ",".join(_field(column.name) for column in columns)
        self._head = f"{names}\n" if style.heads else ""

    def piece(self, rows: Sequence[Row]) -> str:
        head, self._head = self._head, ""
        return head + "".join(",".join(map(_field, row)) + "\n" for row in rows)

    def end(self, footers: Sequence[str]) -> str:
        return self.piece(())


def _field(value: Cell) -> str:
    if value is None:
        return ""
    if not value or _NEEDS_QUOTES.search(value) or value == "\\.":
        return '"' + value.replace('"', '""') + '"'
    return value


class Json:
    """Numbers, booleans and json are what they are; all else is PostgreSQL's text of it. Of
    columns with the same name the last one counts for most readers, so each gets a number."""

    def __init__(self, columns: Sequence[Column], style: Style) -> None:
        self._columns = columns
        self._keys = [json.dumps(name, ensure_ascii=False) for name in _distinct(columns)]
        self._begun = False

    def piece(self, rows: Sequence[Row]) -> str:
        text = ""
        for row in rows:
            text += ",\n " if self._begun else "[\n "
            self._begun = True
            pairs = zip(self._keys, self._columns, row, strict=True)
            text += "{" + ", ".join(f"{key}: {_value(c, value)}" for key, c, value in pairs) + "}"
        return text

    def end(self, footers: Sequence[str]) -> str:
        return "\n]\n" if self._begun else "[]\n"


def _distinct(columns: Sequence[Column]) -> list[str]:
    names: list[str] = []
    for column in columns:
        name, number = column.name, 2
        while name in names:
            name = f"{column.name}_{number}"
            number += 1
        names.append(name)
    return names


def _value(column: Column, value: Cell) -> str:
    if value is None:
        return "null"
    if column.oid == _BOOLEAN:
        return "true" if value == "t" else "false"
    if column.oid in _JSON:
        return " ".join(value.split("\n"))  # a line break in json is never inside of a string
    if column.oid in _NUMBERS and _NUMBER.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)
