"""The commands that begin with d, and l: what there is, as far as a router says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardrouter.cli.shell.arguments import ArgumentError
from shardrouter.cli.shell.layout import Column
from shardrouter.cli.shell.result import print_rows

if TYPE_CHECKING:
    from shardrouter.cli.shell.shell import Shell

__all__ = ["describe"]


async def describe(shell: Shell, name: str, text: str | None) -> bool:
    """Raises ArgumentError, QueryFailed, ConnectionLost, ConnectError."""
    client = await shell.ready()
    if name in ("d", "dt") and text is None:
        rows = await client.rows("SHOW TABLES")
        print_rows(shell.output, shell.settings, [Column("Name")], [row[:1] for row in rows])
    elif name == "d" and text is not None:
        rows = await client.rows(f"SHOW COLUMNS FROM {text}")
        columns = [Column("Column"), Column("Type")]
        print_rows(shell.output, shell.settings, columns, [row[:2] for row in rows])
    else:
        raise ArgumentError("this router has no catalogs to ask.")
    return True
