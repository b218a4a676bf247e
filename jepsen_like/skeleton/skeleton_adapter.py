"""The adapter: how a member of the database is started, and what a call is to it.

All else (addresses, cuts, restarts, deadlines, outcomes) is the harness's. See
`jepsen_like.adapters.members` for what may be overridden.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from jepsen_like.adapters.members import MemberDatabase, MemberStatus, Place, Refused
from jepsen_like.backends.backend import Endpoint
from jepsen_like.load import Call

SERVER = Path(__file__).with_name("skeleton_server.py")


@dataclass(frozen=True)
class Skeleton(MemberDatabase):
    """What a test names. Fields are settings of the database; `describe` puts them into reports."""

    members: int = 3

    group: ClassVar[str] = "skeleton"  # faults are aimed at leader_of("skeleton")
    program: ClassVar[str] = sys.executable  # what has to be installed
    package: ClassVar[str] = "python3"  # and where it is from

    def version(self) -> str:
        return "1"  # ask the program: it is in every report

    def argv(self, me: Place, peers: Mapping[str, Endpoint]) -> Sequence[str]:
        """The command line of the member `me`: it must listen at me.clients and me.peers, keep its
        data below me.directory, and dial the others at `peers`, or no cut will cut it."""
        first = self.hosts[0]
        options = {
            "clients": me.clients,
            "peers": me.peers,
            "file": f"{me.directory}.json",
            "leader": None if me.host == first else peers[first],
        }
        return (sys.executable, str(SERVER), json.dumps(options))

    async def open(self, at: Endpoint) -> Connection:
        return await Connection.open(*at)


class Connection:
    """One connection of one client, one call at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        return cls(*await asyncio.open_connection(host, port))

    @property
    def is_usable(self) -> bool:
        return not (self._writer.is_closing() or self._reader.at_eof())

    def abort(self) -> None:
        """End it at once: a call under way must end with an OSError."""
        self._writer.transport.abort()

    async def perform(self, call: Call) -> Any:
        """What the call answers: the value for a read, None for a write, whether it matched for a
        compare-and-set, whose value is (expected, new).

        Raise Refused only for what has certainly not happened and never will: if a later read
        shows it, the run is `unknown` and says that this adapter was wrong. Anything else, an
        OSError or a ValueError, means that nobody knows.
        """
        key = f"{call.workload}/{call.key}"
        answer = await self._ask({"f": call.f, "key": key, "value": call.value})
        return None if call.f == "write" else answer

    async def status(self) -> MemberStatus:
        """Whether this member leads, by its own word, and in which term if there are terms."""
        return MemberStatus(**await self._ask({"f": "status"}))

    async def _ask(self, question: dict[str, Any]) -> Any:
        self._writer.write(json.dumps(question).encode() + b"\n")
        line = await self._reader.readline()
        if not line:
            self.abort()
            raise ConnectionResetError("the member hung up")
        said = json.loads(line)
        if "refused" in said:
            raise Refused(said["refused"])
        return said["ok"]
