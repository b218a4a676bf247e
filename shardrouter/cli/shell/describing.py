"""The commands that begin with d, and l: what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardrouter.cli.shell.arguments import ArgumentError
from shardrouter.cli.shell.result import print_rows

if TYPE_CHECKING:
    from shardrouter.cli.shell.shell import Shell

__all__ = ["describe"]


async def describe(shell: Shell, name: str, pattern: str | None) -> None:
    """Raises ArgumentError, QueryFailed, ConnectionLost."""
    client = await shell.ready()
    if name in ("d", "dt") and pattern is None:
        rows = await client.rows("SHOW TABLES")
        print_rows(shell.output, shell.settings, ["Name"], [row[:1] for row in rows])
    elif name == "d" and pattern is not None:
        rows = await client.rows(f"SHOW COLUMNS FROM {pattern}")
        print_rows(shell.output, shell.settings, ["Column", "Type"], [row[:2] for row in rows])
    else:
        raise ArgumentError("this router has no catalogs to ask.")
