"""What a client asks for when it connects: who it is, and the settings it wants.

Pure: turns a StartupMessage into values, by the rules of PostgreSQL's `ProcessStartupPacket`
and `process_postgres_switches`. It does not know which settings exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shardrouter.errors import NotSupported, StatementError
from shardrouter.pgwire.messages import StartupMessage

__all__ = ["Startup", "read_startup", "set_statement"]

_SETTING_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*\Z")


@dataclass(frozen=True)
class Startup:
    user: str
    database: str
    settings: tuple[tuple[str, str], ...]  # in the order in which they take effect


def read_startup(message: StartupMessage) -> Startup:
    """Raises StatementError, NotSupported: what the client asks for cannot be had."""
    parameters = dict(message.parameters)
    user = parameters.pop("user", "")
    if not user:
        raise StatementError(
            "no PostgreSQL user name specified in startup packet", sqlstate="28000"
        )
    database = parameters.pop("database", "") or user
    if parameters.pop("replication", "false").lower() not in ("false", "off", "no", "0"):
        raise NotSupported("replication connections are not supported")
    options = parameters.pop("options", "")
    settings = [*_read_options(options)]
    settings += [(k, v) for k, v in parameters.items() if not k.startswith("_pq_.")]
    return Startup(user, database, tuple(settings))


def set_statement(name: str, value: str) -> str:
    """The SQL that gives a setting a value. Raises StatementError for what is no name."""
    if not _SETTING_NAME.match(name):
        raise StatementError(f'unrecognized configuration parameter "{name}"', sqlstate="42704")
    return f"SET {name} = '{value.replace(chr(39), chr(39) * 2)}'"


def _read_options(options: str) -> Iterator[tuple[str, str]]:
    """`-c name=value`, `-cname=value` and `--name=value`; a backslash takes the next character
    as it is, also a space."""
    words = [re.sub(r"\\(.)", r"\1", w) for w in re.findall(r"(?:\\.|[^\\\s])+", options)]
    rest = iter(words)
    for word in rest:
        if word == "-c":
            setting = next(rest, "")
        elif word.startswith("-c"):
            setting = word[2:]
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            setting = name.replace("-", "_") + equals + value
        else:
            raise StatementError(
                f"invalid command-line argument for server process: {word}",
                sqlstate="42601",
                hint="Write options as -c name=value.",
            )
        name, equals, value = setting.partition("=")
        if not equals:
            raise StatementError(f'"{setting}" requires a value: {word}', sqlstate="42601")
        yield name.strip(), value
