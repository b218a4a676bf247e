"""The library pysyncobj as its authors ship it under test: a small program that keeps registers.

Raft by its word, with a journal that is never synced and snapshots that are believed unseen: a
piece of a snapshot moves the commit index of whoever gets it, so what a former leader has in its
log alone is acknowledged after the heal, and is nowhere (docs/engines.md). `compact_every`: entries
after which the log is cut, so that a member that comes back needs a snapshot (the library's default
is 5 000). Its own engine in this project is another matter.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar, Final, Self

from jepsen_like.adapters.members import MemberDatabase, MemberStatus, Place, Refused
from jepsen_like.backends.backend import Endpoint
from jepsen_like.load import Call

__all__ = ["PySyncObj"]

PROGRAM: Final = "jepsen_like.adapters.pysyncobj_program"


@dataclass(frozen=True)
class PySyncObj(MemberDatabase):
    members: int = 3
    compact_every: int = 5_000
    snapshot_piece_bytes: int = 65_536

    group: ClassVar[str] = "pysyncobj"
    program: ClassVar[str] = sys.executable
    package: ClassVar[str] = "python3"

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "compact_every": self.compact_every,
            "snapshot_piece_bytes": self.snapshot_piece_bytes,
        }

    def version(self) -> str:
        return version("pysyncobj")

    def argv(self, me: Place, peers: Mapping[str, Endpoint]) -> Sequence[str]:
        options = {
            "clients": me.clients,
            "bind": _text(me.peers),
            "me": _text(peers[me.host]),
            "others": [_text(at) for host, at in peers.items() if host != me.host],
            "directory": str(me.directory),
            "conf": {
                "logCompactionMinEntries": self.compact_every,
                "logCompactionBatchSize": self.snapshot_piece_bytes,
                "connectionRetryTime": 0.5,
            },
        }
        return (sys.executable, "-m", PROGRAM, json.dumps(options))

    async def open(self, at: Endpoint) -> LineConnection:
        return await LineConnection.open(*at)


class LineConnection:
    """Lines of JSON, one question at a time. `await LineConnection.open(host, port)`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        return cls(*await asyncio.open_connection(host, port))

    @property
    def is_usable(self) -> bool:
        return not (self._writer.is_closing() or self._reader.at_eof())

    def abort(self) -> None:
        self._writer.transport.abort()

    async def perform(self, call: Call) -> Any:
        key = f"{call.workload}/{call.key}"
        return await self._ask({"f": call.f, "key": key, "value": call.value})

    async def status(self) -> MemberStatus:
        return MemberStatus(**await self._ask({"f": "status"}))

    async def _ask(self, question: dict[str, Any]) -> Any:
        """Raises Refused, ValueError, or OSError; the connection is aborted if it was lost."""
        self._writer.write(json.dumps(question).encode() + b"\n")
        try:
            line = await self._reader.readline()
        except BaseException:
            self.abort()
            raise
        if not line:
            self.abort()
            raise ConnectionResetError("the member hung up")
        said = json.loads(line)
        if "refused" in said:
            raise Refused(said["refused"])
        if "ok" not in said:
            raise ValueError(said.get("unknown", f"{said!r} is no answer"))
        return said["ok"]


def _text(at: Endpoint) -> str:
    return f"{at[0]}:{at[1]}"
