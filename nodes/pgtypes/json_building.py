"""Values made json, and json made of parts: to_json, jsonb_build_object, jsonb_set, json_agg.

What has no `b` in its name is a text that is never read again, so it has PostgreSQL's spaces:
`{"k" : 1}` of json_build_object, `{"k":1}` of a row, `[1, 2]` of json_agg, `[1,2]` of an array.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from nodes.pgtypes import arrays, json_values
from nodes.pgtypes.dates import timestamp_text
from nodes.pgtypes.formats import Aggregate, Function, FunctionError
from nodes.pgtypes.integers import integer_of
from nodes.pgtypes.json_values import dump, load, parse_jsonb, parts_of, quoted
from nodes.pgtypes.strings import string_of
from nodes.protocol import Value

__all__ = ["AGGREGATES", "FUNCTIONS"]

_NUMBERS: Final = frozenset({"int2", "int4", "int8", "float4", "float8", "numeric"})
_INDEX: Final = re.compile(r"[+-]?[0-9]{1,10}\Z")


# --------------------------------------------------------------------------- to json


def _of(value: Any, kind: str) -> str:
    """A value of the type with this short name; arrays' begin with an underscore."""
    if value is None:
        return "null"
    if kind.startswith("_"):
        parts = (_of(part, kind[1:]) for part in arrays.elements(value))
        return f"[{','.join(parts)}]"
    if kind in ("json", "jsonb"):
        return string_of(value)
    if kind == "bool":
        return "true" if value else "false"
    if kind in ("timestamp", "timestamptz"):
        text = timestamp_text(integer_of(value), "+00:00" if kind == "timestamptz" else "")
        return quoted(text.replace(" ", "T", 1) if text[-1] != "y" else text)
    array = arrays.ARRAYS[kind]
    is_digits = array.is_bytes and type(value) is str
    native = bytes.fromhex(value) if is_digits else value
    text = array.element.to_text(native).decode()
    return text if kind in _NUMBERS and text[-1] not in "yN" else quoted(text)


def _to_json(value: Value, kind: Value) -> str:
    return _of(value, string_of(kind))


def _to_jsonb(value: Value, kind: Value) -> str:
    return parse_jsonb(_of(value, string_of(kind)))


# --------------------------------------------------------------------------- objects and arrays


def _key(text: str) -> str:
    """A key as json writes it, of a value as json."""
    if text[:1] in "[{":
        raise FunctionError("22023", "key value must be scalar, not array, composite, or json")
    return text if text[:1] == '"' else quoted(text)


def _pairs(parts: tuple[Value, ...], message: str, hint: str) -> list[tuple[str, str]]:
    found = []
    for at in range(0, len(parts), 2):
        key, value = parts[at], parts[at + 1]
        if key is None:
            raise FunctionError("22023", message.format(at + 1), hint=hint)
        found.append((_key(string_of(key)), "null" if value is None else string_of(value)))
    return found


def _object(*parts: Value) -> str:
    pairs = _pairs(parts, "argument {} cannot be null", "Object keys should be text.")
    return "{" + ", ".join(f"{key} : {value}" for key, value in pairs) + "}"


def _object_b(*parts: Value) -> str:
    pairs = _pairs(parts, "argument {}: key must not be null", "")
    return parse_jsonb("{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}")


def _row(*parts: Value) -> str:
    pairs = _pairs(parts, "", "")
    return "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"


def _array(*parts: Value) -> str:
    return "[" + ", ".join("null" if part is None else string_of(part) for part in parts) + "]"


# --------------------------------------------------------------------------- changes of a jsonb


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value


def _strip_json(text: str) -> str:
    parts = list(parts_of(text))
    trimmed = text.strip(" \t\n\r")
    if trimmed[:1] == "{":
        kept = [(key, _strip_json(part)) for key, part in parts if part != "null"]
        return "{" + ",".join(f"{quoted(str(key))}:{part}" for key, part in kept) + "}"
    if trimmed[:1] == "[":
        return "[" + ",".join(_strip_json(part) for _, part in parts) + "]"
    return trimmed


def _at(step: str, number: int, length: int) -> int:
    if not _INDEX.match(step.strip()):
        raise FunctionError(
            "22P02", f'path element at position {number} is not an integer: "{step}"'
        )
    found = int(step)
    return found + length if found < 0 else found


def _set(value: Any, path: list[str | None], new: Any, *, makes: bool, number: int = 1) -> Any:
    """The value with `new` at the path; where the last step is missing only if it `makes` it."""
    step = path[number - 1]
    if step is None:
        raise FunctionError("22004", f"path element at position {number} is null")
    is_last = number == len(path)
    if isinstance(value, dict):
        if step not in value and not (is_last and makes):
            return value
        inner = new if is_last else _set(value[step], path, new, makes=makes, number=number + 1)
        return {**value, step: inner}
    if isinstance(value, list):
        at = _at(step, number, len(value))
        if 0 <= at < len(value):
            part = value[at]
            inner = new if is_last else _set(part, path, new, makes=makes, number=number + 1)
            return [*value[:at], inner, *value[at + 1 :]]
        if is_last and makes:
            return [new, *value] if at < 0 else [*value, new]
    return value


def _jsonb_set(target: Value, path: Value, new: Value, makes: Value) -> str:
    whole, steps = load(target), arrays.elements(path)
    if not isinstance(whole, dict | list):
        raise FunctionError("22023", "cannot set path in scalar")
    if not steps or (not whole and not makes):
        return string_of(target)
    return dump(_set(whole, steps, load(new), makes=bool(makes)))


def _inserted(value: Any, path: list[str | None], new: Any, *, after: bool, number: int = 1) -> Any:
    step = path[number - 1]
    if step is None:
        raise FunctionError("22004", f"path element at position {number} is null")
    is_last = number == len(path)
    if isinstance(value, dict):
        if not is_last:
            if step not in value:
                return value
            inner = _inserted(value[step], path, new, after=after, number=number + 1)
            return {**value, step: inner}
        if step in value:
            raise FunctionError(
                "22023",
                "cannot replace existing key",
                hint="Try using the function jsonb_set to replace key value.",
            )
        return {**value, step: new}
    if isinstance(value, list):
        at = _at(step, number, len(value))
        if not is_last:
            if not 0 <= at < len(value):
                return value
            inner = _inserted(value[at], path, new, after=after, number=number + 1)
            return [*value[:at], inner, *value[at + 1 :]]
        at = max(min(at + after if 0 <= at < len(value) else at, len(value)), 0)
        return [*value[:at], new, *value[at:]]
    return value


def _jsonb_insert(target: Value, path: Value, new: Value, after: Value) -> str:
    whole, steps = load(target), arrays.elements(path)
    if not isinstance(whole, dict | list):
        raise FunctionError("22023", "cannot set path in scalar")
    if not steps:
        return string_of(target)
    return dump(_inserted(whole, steps, load(new), after=bool(after)))


def _removed(value: Any, path: list[str | None], number: int = 1) -> Any:
    step = path[number - 1]
    if step is None:
        raise FunctionError("22004", f"path element at position {number} is null")
    is_last = number == len(path)
    if isinstance(value, dict):
        if step not in value:
            return value
        if is_last:
            return {key: part for key, part in value.items() if key != step}
        return {**value, step: _removed(value[step], path, number + 1)}
    if isinstance(value, list):
        at = _at(step, number, len(value))
        if not 0 <= at < len(value):
            return value
        inner = [] if is_last else [_removed(value[at], path, number + 1)]
        return [*value[:at], *inner, *value[at + 1 :]]
    return value


def _delete_path(target: Value, path: Value) -> str:
    whole, steps = load(target), arrays.elements(path)
    if not isinstance(whole, dict | list):
        raise FunctionError("22023", "cannot delete path in scalar")
    return dump(_removed(whole, steps)) if whole and steps else string_of(target)


def _pretty(value: Any, indent: str = "") -> str:
    inner = indent + "    "
    if isinstance(value, dict):
        keys = json_values.sorted_keys(value)
        parts = [f"{inner}{quoted(key)}: {_pretty(value[key], inner)}" for key in keys]
    elif isinstance(value, list):
        parts = [f"{inner}{_pretty(part, inner)}" for part in value]
    else:
        return dump(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join(
        [opening, ",\n".join(parts), indent + closing] if parts else [opening, indent + closing]
    )


# --------------------------------------------------------------------------- of json: its parts


def _kind_of_json(value: Value) -> str:
    first = string_of(value).lstrip(" \t\n\r")[:1]
    kinds = {
        "{": "object",
        "[": "array",
        '"': "string",
        "t": "boolean",
        "f": "boolean",
        "n": "null",
    }
    return kinds.get(first, "number")


def _length_of_json(value: Value) -> int:
    kind = _kind_of_json(value)
    if kind != "array":
        what = "non-array" if kind == "object" else "scalar"
        raise FunctionError("22023", f"cannot get array length of a {what}")
    return sum(1 for _ in parts_of(string_of(value)))


def _elements(value: Value, is_text: Value, is_binary: Value, function: Value) -> str:
    """An array of the elements of a json array."""
    if is_binary:
        whole = load(value)
        is_array, is_object = isinstance(whole, list), isinstance(whole, dict)
        parts = [dump(part) for part in whole] if is_array else []
    else:
        kind = _kind_of_json(value)
        is_array, is_object = kind == "array", kind == "object"
        parts = [part for _, part in parts_of(string_of(value))] if is_array else []
    if not is_array:
        name = string_of(function)
        message = f"cannot call {name} on a non-array"
        if is_binary:
            message = f"cannot extract elements from {'an object' if is_object else 'a scalar'}"
        elif not is_object:
            message = f"cannot call {name} on a scalar"
        raise FunctionError("22023", message)
    return arrays.dump([json_values.text_of_part(part) for part in parts] if is_text else parts)


def _entries(value: Value, is_binary: Value, function: Value) -> list[tuple[str, str]]:
    text = string_of(value)
    kind = _kind_of_json(text)
    if kind != "object":
        name = string_of(function)
        what = "an array" if kind == "array" and "keys" in name else "a scalar"
        message = f"cannot call {name} on {what}"
        if "keys" not in name:
            message = f"cannot call {name} on a non-object"
            if not is_binary:
                found = "an array as an object" if kind == "array" else "a scalar"
                message = f"cannot deconstruct {found}"
        raise FunctionError("22023", message)
    if is_binary:
        whole = load(value)
        return [(key, dump(whole[key])) for key in json_values.sorted_keys(whole)]
    return [(str(key), part) for key, part in parts_of(text)]


def _keys(value: Value, is_binary: Value, function: Value) -> str:
    return arrays.dump([key for key, _ in _entries(value, is_binary, function)])


def _each(value: Value, is_text: Value, is_binary: Value, function: Value) -> str:
    """An array of arrays of key and value."""
    rows = []
    for key, part in _entries(value, is_binary, function):
        rows.append(arrays.dump([key, json_values.text_of_part(part) if is_text else part]))
    return arrays.dump(rows)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_to_json": Function(2, _to_json),
    "pg_to_jsonb": Function(2, _to_jsonb),
    "pg_object_json": Function(-1, _object, strict=False),
    "pg_object_jsonb": Function(-1, _object_b, strict=False),
    "pg_row_json": Function(-1, _row, strict=False),
    "pg_array_json": Function(-1, _array, strict=False),
    "pg_array_jsonb": Function(-1, lambda *parts: parse_jsonb(_array(*parts)), strict=False),
    "pg_strip_jsonb": Function(1, lambda a: dump(_without_nulls(load(a)))),
    "pg_strip_json": Function(1, lambda a: _strip_json(string_of(a))),
    "pg_set_jsonb": Function(4, _jsonb_set),
    "pg_insert_jsonb": Function(4, _jsonb_insert),
    "pg_deletepath_jsonb": Function(2, _delete_path),
    "pg_pretty_jsonb": Function(1, lambda a: _pretty(load(a))),
    "pg_typeof_json": Function(1, _kind_of_json),
    "pg_length_json": Function(1, _length_of_json),
    "pg_elements_json": Function(4, _elements),
    "pg_keys_json": Function(3, _keys),
    "pg_each_json": Function(4, _each),
}


# --------------------------------------------------------------------------- aggregates


class _Collected:
    """json_agg() of values that are json already."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[tuple[str, str]] = []

    def step(self, value: Value, separator: Value) -> None:
        """`separator` stands before every value but null, behind which none begins a line."""
        if value is None:
            self._parts.append((", ", "null"))
        else:
            self._parts.append((string_of(separator), string_of(value)))

    def inverse(self, _value: Value, _separator: Value) -> None:
        del self._parts[0]  # a window drops its first row

    def value(self) -> Value:
        if not self._parts:
            return None
        (_, first), *rest = self._parts
        return f"[{first}{''.join(separator + part for separator, part in rest)}]"

    def finalize(self) -> Value:
        return self.value()


class _Object:
    """json_object_agg()."""

    __slots__ = ("_pairs",)

    def __init__(self) -> None:
        self._pairs: list[tuple[str, str]] = []

    def step(self, key: Value, value: Value) -> None:
        if key is None:
            raise FunctionError("22023", "field name must not be null")
        self._pairs.append((_key(string_of(key)), "null" if value is None else string_of(value)))

    def inverse(self, _key: Value, _value: Value) -> None:
        del self._pairs[0]

    def value(self) -> Value:
        if not self._pairs:
            return None
        return "{ " + ", ".join(f"{key} : {value}" for key, value in self._pairs) + " }"

    def finalize(self) -> Value:
        return self.value()


class _CollectedBinary(_Collected):
    """jsonb_agg()."""

    __slots__ = ()

    def value(self) -> Value:
        found = super().value()
        return None if found is None else parse_jsonb(string_of(found))


class _ObjectBinary(_Object):
    """jsonb_object_agg()."""

    __slots__ = ()

    def value(self) -> Value:
        found = super().value()
        return None if found is None else parse_jsonb(string_of(found))


AGGREGATES: Final[Mapping[str, Aggregate]] = {
    "pg_agg_json": Aggregate(2, _Collected),
    "pg_agg_jsonb": Aggregate(2, _CollectedBinary),
    "pg_objectagg_json": Aggregate(2, _Object),
    "pg_objectagg_jsonb": Aggregate(2, _ObjectBinary),
}
