"""Agents beside the members of PostgreSQL: each asks every member, over the links of its host."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import asyncpg

from jepsen_like.adapters.failover import RECENT_S, Action, Group, Policy, Seen, decide
from jepsen_like.adapters.links import Links
from jepsen_like.adapters.members import MemberStatus
from jepsen_like.adapters.postgresql_programs import USER
from jepsen_like.backends.backend import Endpoint
from jepsen_like.outcomes import CONNECTION_ERRORS, STUMBLES

__all__ = ["Agents", "ask"]

PERIOD_S: Final = 0.2
"""Between two questions of an agent to one member."""

ANSWER_S: Final = 1.0
"""How long a member may take to answer an agent."""

TELL_S: Final = 15.0
"""How long it may take to do what it is told: a promotion takes longest."""

STATUS: Final = """
SELECT NOT pg_is_in_recovery(),
  CASE WHEN pg_is_in_recovery() THEN 0
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  CASE WHEN pg_is_in_recovery() THEN
    greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'
    ELSE pg_current_wal_lsn() - '0/0' END
"""
"""Whether it is primary, its timeline if it is, and how much of the log it has, in bytes."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Agents:
    """`watch` keeps `seen` up to date until it is cancelled."""

    def __init__(self, hosts: Sequence[str], links: Links, password: str, policy: Policy) -> None:
        self.hosts = tuple(hosts)
        self.seen: dict[tuple[str, str], Seen] = {}
        first, *others = hosts
        self.state = Group(first, dict.fromkeys(others, first))
        self._timelines: dict[tuple[str, str], int] = {}
        self._links = links
        self._password = password
        self._policy = policy

    @property
    def sees_all(self) -> bool:
        return len(self.seen) == len(self.hosts) ** 2

    def decide(self) -> list[Action]:
        now = asyncio.get_running_loop().time()
        return decide(self.hosts, self.state, self.seen, now, self._policy)

    def primary_seen_by(self, host: str) -> str | None:
        """Of several that say so the one of the newest timeline."""
        now = asyncio.get_running_loop().time()
        found = [
            (self._timelines[host, member], member)
            for member in self.hosts
            if (seen := self.seen.get((host, member))) is not None
            and seen.is_primary
            and now - seen.at <= RECENT_S
        ]
        return max(found)[1] if found else None

    async def watch(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for host in self.hosts:
                for member in self.hosts:
                    tasks.create_task(self._watch(host, member))

    async def _watch(self, host: str, member: str) -> None:
        loop = asyncio.get_running_loop()
        connection: Connection | None = None
        try:
            while True:
                at = loop.time()
                try:
                    if connection is None or connection.is_closed():
                        endpoint = self._links.reach[host, member]
                        connection = await _connected(endpoint, self._password, ANSWER_S)
                    row = await _patiently(connection, STATUS, ANSWER_S)
                    self.seen[host, member] = Seen(at, bool(row[0]), int(row[2] or 0))
                    self._timelines[host, member] = int(row[1])
                except (*CONNECTION_ERRORS, *STUMBLES):
                    if connection is not None and not connection.is_closed():
                        connection.terminate()
                    connection = None
                await asyncio.sleep(PERIOD_S)
        finally:
            if connection is not None and not connection.is_closed():
                connection.terminate()

    async def status_at(self, endpoint: Endpoint) -> MemberStatus | None:
        """What the member there says now."""
        try:
            row = await _asked(endpoint, self._password, STATUS, ANSWER_S)
        except OSError:
            return None
        return MemberStatus(bool(row[0]), int(row[1]))


async def ask(endpoint: Endpoint, password: str, text: str) -> Any:
    """The first value that the member there answers. Raises OSError."""
    row = await _asked(endpoint, password, text, TELL_S)
    return None if row is None else row[0]


async def _asked(endpoint: Endpoint, password: str, text: str, timeout_s: float) -> Any:
    try:
        connection = await _connected(endpoint, password, timeout_s)
        try:
            return await _patiently(connection, text, timeout_s)
        finally:
            if not connection.is_closed():
                connection.terminate()
    except (*CONNECTION_ERRORS, *STUMBLES) as exc:
        raise OSError(f"{endpoint[0]}:{endpoint[1]}: {exc}") from exc


async def _connected(endpoint: Endpoint, password: str, timeout_s: float) -> Connection:
    host, port = endpoint
    return await asyncpg.connect(
        host=host,
        port=port,
        user=USER,
        password=password,
        database=USER,
        ssl=False,
        timeout=timeout_s,
        server_settings={"application_name": "agent"},
    )


async def _patiently(connection: Connection, text: str, timeout_s: float) -> Any:
    """By ending the connection: cancelled, asyncpg would dial the server to ask for leave."""
    timer = asyncio.get_running_loop().call_later(timeout_s, connection.terminate)
    try:
        return await connection.fetchrow(text)
    finally:
        timer.cancel()
