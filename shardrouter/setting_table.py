"""What a setting is, those that clients send and that change no answer here, and clients' own.

Pure. A setting of `WITHOUT_EFFECT` says how PostgreSQL should do something that this database does
in one way, or not at all: a value that asks for that way is taken, another one refused. Any
name with a dot is a client's own setting, as in PostgreSQL: kept, and shown when asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shardrouter.errors import StatementError
from shardrouter.lexer import fold

__all__ = [
    "WITHOUT_EFFECT",
    "Setting",
    "custom_value",
    "invalid",
    "is_custom",
    "one_of",
    "schemas_listed",
]

CUSTOM_MAX: Final = 64
"""Settings of its own that a session may have ..."""

CUSTOM_BYTES_MAX: Final = 8 * 1024
"""... and how long a value may be."""


def invalid(name: str, value: str, hint: str = "") -> StatementError:
    return StatementError(
        f'invalid value for parameter "{name}": "{value}"', sqlstate="22023", hint=hint
    )


def one_of(name: str, values: Sequence[str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value.strip().lower() not in values:
            raise invalid(name, value, f"Available values: {', '.join(values)}.")
        return value.strip().lower()

    return check


_SCHEMA: Final = re.compile(r"""\s*(?:"((?:[^"]|"")*)"|([^",\s]+))\s*(?:,|\Z)""")


def schemas_listed(value: str) -> tuple[str, ...]:
    """The schemas of a search_path: names, in quotes where they need them. Raises 22023."""
    names: list[str] = []
    at = 0
    while at < len(value.rstrip()):
        match = _SCHEMA.match(value, at)
        if match is None:
            raise StatementError(
                f'invalid value for parameter "search_path": "{value}"',
                sqlstate="22023",
                detail="List syntax is invalid.",
            )
        quoted, plain = match.groups()
        names.append(quoted.replace('""', '"') if quoted is not None else fold(plain))
        at = match.end()
    return tuple(names)


@dataclass(frozen=True)
class Setting:
    name: str  # as SHOW and ParameterStatus spell it
    default: str
    check: Callable[[str], str] | None = None  # a valid value as it is stored; None: read-only
    announced: bool = False  # clients are told of it and of its changes (ParameterStatus)
    superuser: bool = False  # only superusers may set it


_BOOLEAN: Final = ("on", "off", "true", "false", "yes", "no", "1", "0")


def _taken(name: str, default: str, values: Sequence[str]) -> Setting:
    return Setting(name, default, one_of(name, values))


WITHOUT_EFFECT: Final = (
    _taken("array_nulls", "on", ["on"]),
    _taken("backslash_quote", "safe_encoding", ["safe_encoding"]),
    _taken("bytea_output", "hex", ["hex"]),
    _taken("check_function_bodies", "on", _BOOLEAN),  # there are none
    _taken("default_table_access_method", "heap", ["heap"]),
    _taken("default_tablespace", "", [""]),
    _taken("escape_string_warning", "on", _BOOLEAN),
    _taken("jit", "off", _BOOLEAN),
    _taken("lc_messages", "C", ["c", "c.utf-8", "en_us.utf-8", ""]),
    _taken("lc_monetary", "C", ["c"]),
    _taken("lc_numeric", "C", ["c"]),
    _taken("lc_time", "C", ["c"]),
    _taken("plan_cache_mode", "auto", ["auto", "force_custom_plan", "force_generic_plan"]),
    _taken("role", "none", ["none"]),
    _taken("row_security", "on", _BOOLEAN),  # there are no policies
    # A commit is always on the disks of a majority, which is more than any of these asks for.
    _taken("synchronous_commit", "on", [*_BOOLEAN, "local", "remote_write", "remote_apply"]),
    _taken("xmloption", "content", ["content", "document"]),
    # What clients only read.
    Setting("in_hot_standby", "off", announced=True),
    Setting("lc_collate", "C"),
    Setting("lc_ctype", "C.UTF-8"),
    Setting("max_identifier_length", "63"),
    Setting("max_index_keys", "32"),
)

_OWN: Final = re.compile(r"(?!shardrouter\.)[a-z_][\w$]*(\.[a-z_][\w$]*)+\Z", re.ASCII)


def is_custom(name: str) -> bool:
    """Whether a setting of this name is a client's own."""
    return _OWN.match(name.lower()) is not None


def custom_value(name: str, value: str, present: Mapping[str, str]) -> str:
    """`value`, if a session that has `present` may have it too. Raises StatementError."""
    if len(value.encode()) > CUSTOM_BYTES_MAX:
        raise StatementError(
            f'the value of "{name}" has more than {CUSTOM_BYTES_MAX} bytes', sqlstate="54000"
        )
    if name.lower() not in present and sum(map(is_custom, present)) >= CUSTOM_MAX:
        raise StatementError(
            f"a session may have {CUSTOM_MAX} settings of its own",
            sqlstate="54000",
            hint="RESET ALL forgets them.",
        )
    return value
