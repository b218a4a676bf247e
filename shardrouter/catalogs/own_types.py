"""The types that clients have defined, as the system catalogs show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nodes.protocol import Value
from shardrouter.catalogs.builtin import Row
from shardrouter.catalogs.world import World
from shardrouter.enumerations import labels_of
from shardrouter.keywords import quoted
from shardrouter.kinds import Type
from shardrouter.tables import Enumeration

__all__ = ["named", "pg_enum", "pg_type", "schema_of", "storage"]

_ENUM: Mapping[str, Value] = {
    "typlen": 4,
    "typbyval": True,
    "typtype": "e",
    "typcategory": "E",
    "typdelim": ",",
    "typinput": 3506,
    "typoutput": 3507,
    "typreceive": 3532,
    "typsend": 3533,
    "typalign": "i",
    "typstorage": "p",
    "typisdefined": True,
    "typtypmod": -1,
    "typcollation": 0,
}
_ARRAY: Mapping[str, Value] = {
    **_ENUM,
    "typlen": -1,
    "typbyval": False,
    "typtype": "b",
    "typcategory": "A",
    "typinput": 750,
    "typoutput": 751,
    "typreceive": 2400,
    "typsend": 2401,
    "typsubscript": 6179,
    "typstorage": "x",
}


def storage(kind: Type) -> Mapping[str, Value]:
    """What pg_type says of how such a type is stored."""
    return _ENUM if kind.element is None else _ARRAY


def _array_name(name: str) -> str:
    return f"_{name}"[:63]


def pg_type(world: World) -> Iterator[Row]:
    for (schema, name), kind in world.catalog.types.items():
        where: Row = {"typnamespace": world.objects.schemas[schema], "typowner": world.owner}
        array: Row = {"oid": kind.oid + 1, "typname": _array_name(name), "typelem": kind.oid}
        yield {**_ENUM, **where, "oid": kind.oid, "typname": name, "typarray": kind.oid + 1}
        yield {**_ARRAY, **where, **array}


def pg_enum(world: World) -> Iterator[Row]:
    for kind in world.catalog.types.values():
        for place, label in enumerate(labels_of(kind.values), 1):
            yield {
                "oid": world.objects.label_oid(kind.oid, label),
                "enumtypid": kind.oid,
                "enumsortorder": float(place),
                "enumlabel": label,
            }


def _found(world: World, oid: int) -> tuple[str, Enumeration] | None:
    for (schema, _), kind in world.catalog.types.items():
        if kind.oid == oid & ~1:
            return schema, kind
    return None


def schema_of(world: World, oid: int) -> str | None:
    """Of the type, or the array, of this number."""
    found = _found(world, oid)
    return None if found is None else found[0]


def named(world: World, oid: int) -> str | None:
    """The name of the type, or of the array, of this number, as format_type has it: with its
    schema if the session does not find it without."""
    found = _found(world, oid)
    if found is None:
        return None
    schema, kind = found
    is_visible = world.catalog.enumeration(kind.name) == found
    written = quoted(kind.name) if is_visible else f"{quoted(schema)}.{quoted(kind.name)}"
    return f"{written}[]" if oid % 2 else written
