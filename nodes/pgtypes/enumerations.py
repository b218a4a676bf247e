"""Enumerated types, which clients define, and arrays of them.

A value is stored as its place among the labels, eight hexadecimal digits, and its label behind
that: so SQLite's own order of texts is PostgreSQL's order of the values, in indexes too. A client
sends and is sent the label. The node knows no definition: a label becomes a value by a function
that is given all values there are. The type's number says what is needed on the way out: that of
an enumeration is even, that of its array is the next one.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

from nodes.pgtypes import strings
from nodes.pgtypes.arrays import ArrayKind, array_codec, dump, elements
from nodes.pgtypes.formats import Codec, Function, FunctionError, mismatch, text_of
from nodes.protocol import Value

__all__ = [
    "FUNCTIONS",
    "OWN_TYPES",
    "PLACE_DIGITS",
    "codec",
    "labelled",
    "place_of",
    "stored_label",
]

OWN_TYPES: Final = 0x60000000
"""The numbers of types that clients define begin here."""

PLACE_DIGITS: Final = 8

CODECS_MAX: Final = 256
DEFINITIONS_MAX: Final = 256
"""Kept for the next value."""


def stored_label(place: int, label: str) -> str:
    return f"{place:0{PLACE_DIGITS}x}{label}"


def labelled(value: str) -> str:
    """The label of a stored value."""
    return value[PLACE_DIGITS:]


def place_of(value: str) -> int:
    return int(value[:PLACE_DIGITS], 16)


def _label(value: Value) -> bytes:
    if type(value) is not str:
        raise mismatch(value, "enum")
    return labelled(value).encode()


@lru_cache(maxsize=CODECS_MAX)
def codec(oid: int) -> Codec:
    """The formats of an enumeration, or of an array of one. What a client sends stays a label."""
    if oid % 2:
        return array_codec(ArrayKind(oid, codec(oid - 1), "enum"))
    return Codec(oid, _label, _label, lambda text: text, strings.parse_text)


@lru_cache(maxsize=DEFINITIONS_MAX)
def _values(definition: str) -> dict[str, str]:
    return {labelled(value): value for value in json.loads(definition)}


def _value(label: str, name: str, definition: str) -> str:
    found = _values(definition).get(label)
    if found is None:
        raise FunctionError("22P02", f'invalid input value for enum {name}: "{label}"')
    return found


def _of_label(label: Value, name: Value, definition: Value) -> Value:
    return _value(text_of(label, "text"), text_of(name, "text"), text_of(definition, "text"))


def _of_labels(labels: Value, name: Value, definition: Value) -> Value:
    shown, known = text_of(name, "text"), text_of(definition, "text")
    return dump([None if one is None else _value(one, shown, known) for one in elements(labels)])


def _to_labels(values: Value) -> Value:
    return dump([None if one is None else labelled(one) for one in elements(values)])


FUNCTIONS: Final = {
    "pg_enum": Function(3, _of_label),
    "pg_each_enum": Function(3, _of_labels),
    "pg_labels_enum": Function(1, _to_labels),
}
"""`pg_enum(label, name, definition)`, whose definition is a json of all stored values; the same of
each element of an array; the array of the labels."""
