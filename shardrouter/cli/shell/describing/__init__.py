"""The commands that begin with d, and l: what there is, asked of the catalogs as psql asks.

The queries are psql 15's own, as far as this needs them: what answers psql answers the shell.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from shardrouter.cli.shell.arguments import Pattern, read_pattern
from shardrouter.cli.shell.describing.lists import (
    list_databases,
    list_functions,
    list_relations,
    list_roles,
    list_schemas,
)
from shardrouter.cli.shell.describing.relation import describe_relations

if TYPE_CHECKING:
    from shardrouter.cli.shell.shell import Shell

__all__ = ["describe"]

_LISTS: Final[dict[str, Callable[[Shell, Pattern], Awaitable[bool]]]] = {
    "dn": list_schemas,
    "df": list_functions,
    "du": list_roles,
    "l": list_databases,
}

_KINDS: Final = {
    "d": ("r", "p", "v", "m", "S", "f"),
    "dt": ("r", "p"),
    "di": ("i", "I"),
    "ds": ("S",),
    "dv": ("v",),
}


async def describe(shell: Shell, name: str, text: str | None) -> bool:
    """False if there is nothing of that name. Raises ArgumentError, ConnectError, QueryFailed,
    ConnectionLost."""
    name = name.removesuffix("+")
    pattern = read_pattern(text)
    if name == "d" and text is not None:
        found = await describe_relations(shell, pattern)
    elif name in _KINDS:
        found = await list_relations(shell, _KINDS[name], pattern)
    else:
        found = await _LISTS[name](shell, pattern)
    if not found:
        named = "s" if text is None else f' named "{text}"'
        shell.output.say(f"Did not find any relation{named}.")
    return found
