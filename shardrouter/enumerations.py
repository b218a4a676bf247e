"""Enumerated types: from what the catalog keeps of one to its type, and to its values.

Pure. What the catalog says of a column of such a type is the whole of it: number, name and values.
So whoever has the column has the type, and each way a type is written gives one `Type`.
"""

from __future__ import annotations

import json
from typing import Final
from weakref import WeakValueDictionary

from nodes.protocol import Value
from nodes.values import ValueFormatError, labelled, place_of, stored_array, stored_label
from shardrouter.errors import StatementError
from shardrouter.kinds import Type
from shardrouter.tables import Enumeration

__all__ = [
    "UnknownLabel",
    "array_of",
    "definition_of",
    "first_values",
    "labels_of",
    "of_definition",
    "read_label",
    "value_of",
    "with_label",
]

_STEP: Final = 1 << 16
"""Between two labels: room for others that come between them later."""

_LAST_PLACE: Final = (1 << 32) - 1

_ENUM: Final = "enum "
_ARRAY: Final = "enum[] "

_types: WeakValueDictionary[str, Type] = WeakValueDictionary()


def definition_of(enumeration: Enumeration) -> str:
    """What the catalog says of a column of it."""
    written = [enumeration.oid, enumeration.name, enumeration.values]
    return _ENUM + json.dumps(written, ensure_ascii=False, separators=(",", ":"))


def of_definition(text: str) -> Type:
    """The type of a column of which the catalog says this. Raises KeyError."""
    found = _types.get(text)
    if found is None:
        if not text.startswith((_ENUM, _ARRAY)):
            raise KeyError(text)
        kind, _, written = text.partition(" ")
        if kind == "enum[]":
            element = of_definition(f"{_ENUM}{written}")
            found = Type(
                f"{element.name}[]",
                f"_{element.short}",
                element.oid + 1,
                "A",
                "TEXT",
                collation="array",
                element=element,
                definition=text,
            )
        else:
            oid, name, values = json.loads(written)
            labels = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
            found = Type(name, name, oid, "E", "TEXT", size=4, definition=text, labels=labels)
        _types[text] = found
    return found


def array_of(kind: Type) -> Type:
    """The type of arrays of an enumeration."""
    return of_definition(_ARRAY + kind.definition.removeprefix(_ENUM))


def labels_of(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(labelled, values))


def value_of(label: Value, kind: Type) -> Value:
    """The stored form of a label, or of an array of them. Raises ValueFormatError 22P02."""
    element = kind if kind.element is None else kind.element
    known: dict[str, str] = {labelled(value): value for value in json.loads(element.labels)}

    def of_one(one: str) -> str:
        if one not in known:
            raise ValueFormatError("22P02", f'invalid input value for enum {kind.name}: "{one}"')
        return known[one]

    assert isinstance(label, str)
    if kind.element is None:
        return of_one(label)
    return stored_array([None if one is None else of_one(one) for one in json.loads(label)])


def read_label(sql: str, kind: Type) -> str:
    """SQLite's text of the value whose label, or array of labels, `sql` is."""
    element = kind if kind.element is None else kind.element
    function = "pg_enum" if kind.element is None else "pg_each_enum"
    name, labels = (text.replace("'", "''") for text in (kind.name, element.labels))
    return f"{function}({sql}, '{name}', '{labels}')"


def with_label(
    values: tuple[str, ...], label: str, neighbour: str | None = None, *, before: bool = False
) -> tuple[str, ...] | None:
    """The values with one more: at the end, or beside the one of `neighbour`, which is there; None
    if there is no room between the two."""
    places = [place_of(value) for value in values]
    at = len(values)
    if neighbour is not None:
        at = labels_of(values).index(neighbour) + (not before)
    low = places[at - 1] if at else 0
    high = places[at] if at < len(places) else min(low + 2 * _STEP, _LAST_PLACE + 1)
    place = (low + high) // 2
    if not low < place < high:
        return None
    return (*values[:at], stored_label(place, label), *values[at:])


class UnknownLabel(StatementError):
    """A label that an enumeration has not, as far as is known here: worth one look at `meta`."""


def first_values(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The stored forms of the labels of a new type. Raises StatementError 54000."""
    if len(labels) * _STEP > _LAST_PLACE:
        raise StatementError("an enumeration has too many labels", sqlstate="54000")
    return tuple(stored_label((n + 1) * _STEP, label) for n, label in enumerate(labels))
