"""json and jsonb.

A json is stored as it was written, once it is known to be one. A jsonb is stored as PostgreSQL
prints it: keys sorted by length and then by bytes, the last of equal keys, numbers as numerics,
one space after each comma and colon. So equal values have equal texts, the scale of numbers
aside, and the collation `jsonb` compares as PostgreSQL's btree does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn

from nodes.pgtypes import floats, numerics
from nodes.pgtypes.formats import (
    Codec,
    Function,
    FunctionError,
    ValueFormatError,
    mismatch,
)
from nodes.pgtypes.strings import parse_text, string_of
from nodes.protocol import Value

__all__ = [
    "CODECS",
    "COLLATIONS",
    "FUNCTIONS",
    "JSON",
    "JSONB",
    "Number",
    "dump",
    "load",
    "parse_json",
    "parse_jsonb",
    "parts_of",
    "quoted",
    "sorted_keys",
    "text_of_part",
]

JSON: Final = 114
JSONB: Final = 3802

DEPTH_MAX: Final = 250
"""Deepest nesting read: the parser recurses, and its room must not depend on who calls it."""

_VERSION: Final = b"\x01"  # of jsonb's binary format
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


class Number(str):
    """A number, as the stored form of a numeric."""

    __slots__ = ()


def _malformed() -> ValueFormatError:
    return ValueFormatError("22P02", "invalid input syntax for type json")


def _no_constant(_name: str) -> NoReturn:
    raise _malformed()


def _number(text: str) -> Number:
    return Number(numerics.parse(text))


def _check_depth(text: str) -> None:
    depth = 0
    for character in _STRING.sub("", text):
        if character in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise ValueFormatError(
                    "54001",
                    "stack depth limit exceeded",
                    hint=f"Nest arrays and objects at most {DEPTH_MAX} deep.",
                )
        elif character in "]}":
            depth -= 1


_loads: Final = json.JSONDecoder(
    parse_float=_number, parse_int=_number, parse_constant=_no_constant
).decode
_syntax: Final = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_constant)


def _read(text: str, decode: Callable[[str], Any]) -> Any:
    _check_depth(text)
    try:
        return decode(text)
    except json.JSONDecodeError as exc:
        raise _malformed() from exc


def parse_json(text: str) -> str:
    """A text that is a json. Raises ValueFormatError."""
    _read(text, _syntax.decode)
    return text


def parse_jsonb(text: str) -> str:
    """The stored form of a jsonb. Raises ValueFormatError."""
    return dump(_read(text, _loads))


@lru_cache(maxsize=1024)
def _load(text: str) -> Any:
    """Of a stored jsonb; nobody changes what it answers."""
    return _loads(text)


def load(value: Value) -> Any:
    """A jsonb as dictionaries, lists, strings, `Number`, booleans and None."""
    return _load(string_of(value))


# --------------------------------------------------------------------------- to text

_ESCAPES: Final = {
    '"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
}  # fmt: skip
_ESCAPED: Final = re.compile(r'["\\\x00-\x1f]')


def quoted(text: str) -> str:
    """A string as json writes it."""

    def escape(found: re.Match[str]) -> str:
        character = found[0]
        return _ESCAPES.get(character) or f"\\u{ord(character):04x}"

    return f'"{_ESCAPED.sub(escape, text)}"'


def _checked(text: str) -> str:
    if "\0" in text:
        raise ValueFormatError(
            "22P05",
            "unsupported Unicode escape sequence",
            "\\u0000 cannot be converted to text.",
        )
    if _SURROGATE.search(text):
        raise ValueFormatError(
            "22P02",
            "invalid input syntax for type json",
            "Unicode low surrogate must follow a high surrogate.",
        )
    return text


def _key_order(key: str) -> tuple[int, bytes]:
    data = key.encode()
    return len(data), data


def sorted_keys(value: Mapping[str, Any]) -> list[str]:
    """By length, then by bytes."""
    return sorted(map(_checked, value), key=_key_order)


def dump(value: Any) -> str:
    """As PostgreSQL prints a jsonb."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        return quoted(_checked(value))
    if isinstance(value, list):
        return f"[{', '.join(map(dump, value))}]"
    keys = sorted_keys(value)
    return f"{{{', '.join(f'{quoted(key)}: {dump(value[key])}' for key in keys)}}}"


# --------------------------------------------------------------------------- order


def _rank(value: Any) -> int:
    """PostgreSQL's order of kinds."""
    if value is None:
        return 0
    if isinstance(value, bool):
        return 3
    if isinstance(value, Number):
        return 2
    if isinstance(value, str):
        return 1
    return 5 if isinstance(value, dict) else 4


def _order(a: Any, b: Any) -> int:
    return int(a > b) - int(a < b)


def _compare(a: Any, b: Any) -> int:
    kind = _rank(a)
    if kind != _rank(b):
        return _order(kind, _rank(b))
    if kind >= 4 and len(a) != len(b):
        return _order(len(a), len(b))
    if kind == 4:
        return next((found for x, y in zip(a, b, strict=True) if (found := _compare(x, y))), 0)
    if kind == 5:
        for x, y in zip(a, b, strict=True):
            found = _order(x.encode(), y.encode()) or _compare(a[x], b[y])
            if found:
                return found
        return 0
    if kind == 2:
        return numerics.compare(a, b)
    return 0 if a is None else _order(a, b)


def compare(left: str, right: str) -> int:
    """Of two stored forms. An empty array, and only at the top, is less than any scalar."""
    if left == right:
        return 0
    a, b = _load(left), _load(right)
    if a == [] and _rank(b) < 4:
        return -1
    if b == [] and _rank(a) < 4:
        return 1
    return _compare(a, b)


COLLATIONS: Final[Mapping[str, Callable[[str, str], int]]] = {"jsonb": compare}


# --------------------------------------------------------------------------- formats


def _to_text(name: str) -> Callable[[Value], bytes]:
    def convert(value: Value) -> bytes:
        if type(value) is not str:
            raise mismatch(value, name)
        return value.encode()

    return convert


def _jsonb_binary(value: Value) -> bytes:
    if type(value) is not str:
        raise mismatch(value, "jsonb")
    return _VERSION + value.encode()


def _jsonb_from_binary(data: bytes) -> Value:
    if data[:1] != _VERSION:
        raise ValueFormatError(
            "XX000", f"unsupported jsonb version number {data[0] if data else 0}"
        )
    return parse_jsonb(parse_text(data[1:]))


CODECS: Final = (
    Codec(
        JSON,
        _to_text("json"),
        _to_text("json"),
        parse_json,
        lambda data: parse_json(parse_text(data)),
    ),
    Codec(JSONB, _to_text("jsonb"), _jsonb_binary, parse_jsonb, _jsonb_from_binary),
)


# --------------------------------------------------------------------------- json: as written


def parts_of(text: str) -> Iterator[tuple[str | int, str]]:
    """Key or index, and the text as written, of each part of the outermost object or array."""
    at = _skip(text, 0)
    is_object = text[at : at + 1] == "{"
    if not is_object and text[at : at + 1] != "[":
        return
    at = _skip(text, at + 1)
    index = 0
    while text[at] not in "]}":
        key: str | int = index
        if is_object:
            key, at = _syntax.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # the colon
        _, end = _syntax.raw_decode(text, at)
        yield key, text[at:end]
        index += 1
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\n", "\r"):
        at += 1
    return at


def _json_part(value: Value, key: Value) -> str | None:
    text = string_of(value)
    parts = list(parts_of(text))
    if type(key) is int:
        at = key + len(parts) if key < 0 else key
        is_array = not parts or type(parts[0][0]) is int
        return parts[at][1] if is_array and 0 <= at < len(parts) else None
    return next((part for name, part in reversed(parts) if name == key), None)


def text_of_part(part: str | None) -> str | None:
    """What ->> makes of a part: a string without its quotes, null as NULL."""
    if part is None or part == "null":
        return None
    return _checked(_syntax.decode(part)) if part[0] == '"' else part


# --------------------------------------------------------------------------- jsonb: operators


def _part(value: Any, key: Any) -> tuple[bool, Any]:
    """Whether there is such a part, and which."""
    if isinstance(value, dict) and type(key) is str:
        return key in value, value.get(key)
    if isinstance(value, list) and type(key) is int:
        at = key + len(value) if key < 0 else key
        if 0 <= at < len(value):
            return True, value[at]
    return False, None


def _indexed(value: Any, key: Value) -> Any:
    """To an index a scalar is an array of itself, in jsonb alone."""
    return [value] if isinstance(key, int) and not isinstance(value, list | dict) else value


def _field(value: Value, key: Value) -> str | None:
    found, part = _part(_indexed(load(value), key), key)
    return dump(part) if found else None


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    return value if type(value) is str else dump(value)


def _field_text(value: Value, key: Value) -> str | None:
    return _as_text(_part(_indexed(load(value), key), key)[1])


def _steps(path: Value) -> list[str | None]:
    found: list[str | None] = json.loads(string_of(path))
    return found


def _followed(value: Any, path: list[str | None]) -> tuple[bool, Any]:
    for step in path:
        if step is None:
            return False, None
        key: str | int = step
        if isinstance(value, list):
            if not re.fullmatch(r"[+-]?[0-9]{1,10}", step.strip()):
                return False, None
            key = int(step)
        found, value = _part(value, key)
        if not found:
            return False, None
    return True, value


def _at_path(value: Value, path: Value) -> str | None:
    found, part = _followed(load(value), _steps(path))
    return dump(part) if found else None


def _json_at_path(value: Value, path: Value) -> str | None:
    part: str | None = string_of(value)
    for step in _steps(path):
        if part is None or step is None:
            return None
        is_array = part.lstrip(" \t\n\r")[:1] == "["
        if is_array and not re.fullmatch(r"[+-]?[0-9]{1,10}", step.strip()):
            return None
        part = _json_part(part, int(step) if is_array else step)
    return part


def _contains(a: Any, b: Any, *, is_top: bool = True) -> bool:
    """Whether jsonb `a` contains `b`; at the top an array contains a scalar that is its element."""
    if isinstance(a, dict) and isinstance(b, dict):
        return all(key in a and _contains(a[key], b[key], is_top=False) for key in b)
    if isinstance(a, list) and isinstance(b, list):
        return all(any(_contains(x, y, is_top=False) for x in a) for y in b)
    if isinstance(a, list) and is_top and not isinstance(b, dict):
        return any(_contains(x, b, is_top=False) for x in a)
    if isinstance(a, dict | list) or isinstance(b, dict | list):
        return False
    return _compare(a, b) == 0


def _has(value: Value, key: Value) -> bool:
    whole = load(value)
    if isinstance(whole, dict | list):
        return any(type(part) is str and part == key for part in whole)
    return type(whole) is str and whole == key


def _each_has(value: Value, keys: Value) -> Iterator[bool]:
    return (_has(value, key) for key in _steps(keys) if key is not None)


def _joined(a: Value, b: Value) -> str:
    left, right = load(a), load(b)
    if isinstance(left, dict) and isinstance(right, dict):
        return dump({**left, **right})
    if isinstance(left, dict | list) or isinstance(right, dict | list):
        parts = [side if isinstance(side, list) else [side] for side in (left, right)]
        return dump(parts[0] + parts[1])
    return dump([left, right])


def _without(value: Value, key: Value) -> str:
    whole = load(value)
    if not isinstance(whole, dict | list):
        raise FunctionError("22023", "cannot delete from scalar")
    if type(key) is int:
        if isinstance(whole, dict):
            raise FunctionError("22023", "cannot delete from object using integer index")
        at = key + len(whole) if key < 0 else key
        return dump([part for i, part in enumerate(whole) if i != at])
    return _without_keys(whole, {string_of(key)})


def _without_keys(whole: Any, keys: set[str | None]) -> str:
    if isinstance(whole, dict):
        return dump({name: part for name, part in whole.items() if name not in keys})
    return dump([part for part in whole if type(part) is not str or part not in keys])


def _without_all(value: Value, keys: Value) -> str:
    whole = load(value)
    if not isinstance(whole, dict | list):
        raise FunctionError("22023", "cannot delete from scalar")
    return _without_keys(whole, set(_steps(keys)))


def _scalar(value: Value, target: str) -> Any:
    """A scalar cast to a number or boolean."""
    whole = load(value)
    names = {0: "null", 1: "string", 2: "numeric", 3: "boolean", 4: "array", 5: "object"}
    wanted = 3 if target == "boolean" else 2
    if _rank(whole) != wanted:
        found = names[_rank(whole)]
        found = "array or object" if found in ("array", "object") else found
        raise FunctionError("22023", f"cannot cast jsonb {found} to type {target}")
    return whole if wanted == 3 else str(whole)


def _number_cast(short: str, name: str) -> Function:
    def cast(value: Value) -> Value:
        number = _scalar(value, name)
        if short == "numeric":
            return str(number)
        name_of_cast = f"pg_cast_{short}_numeric"
        casts = floats.FUNCTIONS if short == "float4" else numerics.FUNCTIONS
        return casts[name_of_cast].call(number)

    return Function(1, cast)


def _kind_of(value: Value) -> str:
    names = ("null", "string", "number", "boolean", "array", "object")
    return names[_rank(load(value))]


def _array_length(value: Value) -> int:
    whole = load(value)
    if not isinstance(whole, list):
        what = "non-array" if isinstance(whole, dict) else "scalar"
        raise FunctionError("22023", f"cannot get array length of a {what}")
    return len(whole)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_cast_json": Function(1, lambda a: parse_json(string_of(a))),
    "pg_cast_jsonb": Function(1, lambda a: parse_jsonb(string_of(a))),
    "pg_text_json": Function(1, string_of),
    "pg_text_jsonb": Function(1, string_of),
    "pg_get_json": Function(2, _json_part),
    "pg_gettext_json": Function(2, lambda a, k: text_of_part(_json_part(a, k))),
    "pg_path_json": Function(2, _json_at_path),
    "pg_pathtext_json": Function(2, lambda a, p: text_of_part(_json_at_path(a, p))),
    "pg_get_jsonb": Function(2, _field),
    "pg_gettext_jsonb": Function(2, _field_text),
    "pg_path_jsonb": Function(2, _at_path),
    "pg_pathtext_jsonb": Function(2, lambda a, p: _as_text(_followed(load(a), _steps(p))[1])),
    "pg_contains_jsonb": Function(2, lambda a, b: _contains(load(a), load(b))),
    "pg_contained_jsonb": Function(2, lambda a, b: _contains(load(b), load(a))),
    "pg_has_jsonb": Function(2, _has),
    "pg_hasany_jsonb": Function(
        2, lambda a, k: any(_has(a, s) for s in _steps(k) if s is not None)
    ),
    "pg_hasall_jsonb": Function(
        2, lambda a, k: all(_has(a, s) for s in _steps(k) if s is not None)
    ),
    "pg_concat_jsonb": Function(2, _joined),
    "pg_delete_jsonb": Function(2, _without),
    "pg_deleteall_jsonb": Function(2, _without_all),
    "pg_typeof_jsonb": Function(1, _kind_of),
    "pg_length_jsonb": Function(1, _array_length),
    "pg_cast_bool_jsonb": Function(1, lambda a: _scalar(a, "boolean")),
    "pg_cast_int2_jsonb": _number_cast("int2", "smallint"),
    "pg_cast_int4_jsonb": _number_cast("int4", "integer"),
    "pg_cast_int8_jsonb": _number_cast("int8", "bigint"),
    "pg_cast_float4_jsonb": _number_cast("float4", "real"),
    "pg_cast_float8_jsonb": _number_cast("float8", "double precision"),
    "pg_cast_numeric_jsonb": _number_cast("numeric", "numeric"),
}
