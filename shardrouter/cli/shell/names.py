"""The names there are to complete, asked of the server when somebody wants to complete one."""

from __future__ import annotations

import asyncio
from typing import Final

from shardrouter.cli.shell.completion import Names
from shardrouter.cli.shell.shell import Shell
from shardrouter.pgclient import Client, ConnectionLost, QueryFailed

__all__ = ["KnownNames"]

WAIT_S: Final = 2.0
"""Who presses Tab gets what is known after so long."""

RELATIONS_MAX: Final = 500


class KnownNames:
    """What was asked last. Asks anew after a change of the schema, and never in a transaction: it
    would become part of it."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._names = Names()
        self._stale = True
        shell.on_schema = self.forget

    def forget(self) -> None:
        self._stale = True

    async def get(self) -> Names:
        client = self._shell.client
        if self._stale and client is not None and not client.is_lost and client.status == "I":
            self._stale = False
            try:
                async with asyncio.timeout(WAIT_S):
                    self._names = await _ask(client)
            except (QueryFailed, ConnectionLost):
                return self._names
            except TimeoutError:
                await client.cancel()
                await client.finish()
        return self._names


async def _ask(client: Client) -> Names:
    relations: dict[str, list[str]] = {}
    for name, *_ in (await client.rows("SHOW TABLES"))[:RELATIONS_MAX]:
        quoted = '"' + (name or "").replace('"', '""') + '"'
        rows = await client.rows(f"SHOW COLUMNS FROM {quoted}")
        relations[name or ""] = [row[0] or "" for row in rows]
    return Names(relations)
