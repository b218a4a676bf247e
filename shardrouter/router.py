"""The router inside your process, with asyncpg's names.

    async with Router.open("cluster.toml") as db:
        await db.execute("INSERT INTO t (id, name) VALUES ($1, $2)", 1, "Ada")
        row = await db.fetchrow("SELECT * FROM t WHERE id = $1", 1)
        print(row["name"])

A router keeps no state of its own: any number of them, in any number of processes, serve the
same cluster. Calls may overlap; each statement commits by itself. Exceptions are those of
`shardrouter.errors`, with `.sqlstate` and `.definite`, by asyncpg's names in
`shardrouter.exceptions`.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from nodes.client import NodeClient
from nodes.config import META_GROUP, ClusterConfig
from nodes.metrics import Family
from nodes.protocol import GetStatus, Statement, Status, Value, leader_of
from nodes.values import ValueFormatError, canonical_key, decode_text, slot_of
from shardrouter.admitting import Gate
from shardrouter.catalogs.asking import Catalogs
from shardrouter.connection import Connection, Queries
from shardrouter.errors import StatementError
from shardrouter.exceptions import SerializationError
from shardrouter.finishing import Finishing
from shardrouter.locate import find_cluster, load_cluster
from shardrouter.plan import UnknownTable
from shardrouter.plan_cache import PlanCache
from shardrouter.role_store import EMBEDDED, RoleStore
from shardrouter.roles import Role
from shardrouter.router_metrics import router_families
from shardrouter.schema import Schema
from shardrouter.session import Backend, Session
from shardrouter.shards import Shards
from shardrouter.statement_log import Level, StatementLog
from shardrouter.tasks import Tasks
from shardrouter.types import of_column

__all__ = ["Place", "Router", "node_answers", "node_statuses"]

OPEN_TIMEOUT_S: Final = 30.0
"""How long `Router.open` waits for a cluster that is starting."""

STATUS_TIMEOUT_S: Final = 2.0
"""How long a node may take to say how it is."""

RETRIES_MAX: Final = 20
"""How often `Router.transaction_with_retry` runs a transaction, unless it is told."""

RETRY_PAUSE_S_MIN: Final = 0.001
RETRY_PAUSE_S_MAX: Final = 0.25

T = TypeVar("T")

PROBE: Final = (Statement("SELECT 1"),)
"""A read that touches nothing: answered when the group has a leader with a quorum."""


@dataclass(frozen=True)
class Place:
    """Where the row of a shard-key value lives."""

    slot: int | None  # None: the table is not placed by slots
    shard: str
    leader: str | None  # name of the node; None if nobody leads the shard now


class Router(Queries):
    """An open router; made by `Router.open` only.

    It has the shape of an asyncpg pool: `execute` and the `fetch`es run a statement by itself,
    `acquire` gives a connection with settings of its own.
    """

    def __init__(self, config: ClusterConfig, backend: Backend, rng: random.Random) -> None:
        super().__init__(Session(backend, shared=True))
        self._rng = rng
        self._config = config
        self._backend = backend

    @staticmethod
    @asynccontextmanager
    async def open(
        cluster: str | Path | None = None,
        *,
        name: str | None = None,
        timeout: float = OPEN_TIMEOUT_S,  # noqa: ASYNC109 -- asyncpg's name; it covers many steps
        progress: Callable[[str], None] | None = None,
        rng: random.Random | None = None,
        log_statements: Level = "none",
        slow_statement_ms: int = -1,
        refuse_above: int | None = None,
        replica_choice: str | None = None,
        zone: str = "",
    ) -> AsyncIterator[Router]:
        """Open a router for the cluster that `cluster` (a cluster.toml) describes.

        cluster: None looks at $SHARDROUTER_CLUSTER, ./cluster.toml,
        ./shardrouter-data/cluster.toml. name: of this router, for the nodes' logs. timeout:
        seconds to wait for the cluster; `progress` is told what it waits for. rng: seeds the
        pauses between retries. log_statements: `text` or `values` writes what is executed to the
        logger `shardrouter.statement_log`, level INFO. slow_statement_ms: what takes so long is
        written to `shardrouter.slow_statements`, level WARNING, without values; -1: nothing.
        replica_choice: how sessions choose among replicas that may answer, if not as cluster.toml
        says; zone: where this router is. refuse_above: of more units of
        statements than that, in progress and waiting, those that would be late are refused with
        53300; None: all wait. Raises nodes.config.ConfigError if there is no such file,
        and Unavailable if the cluster does not answer in time.
        """
        config = load_cluster(find_cluster(cluster))
        if replica_choice is not None:
            config = replace(config, replica_choice=replica_choice)
        loop = asyncio.get_running_loop()
        tasks = Tasks()
        rng = rng or random.Random()
        shards = Shards(config, name=name or f"router-{os.getpid()}", rng=rng, zone=zone)
        try:
            schema = Schema(shards, config.shards, tasks)
            await schema.open(loop.time() + timeout, progress or (lambda _text: None))
            roles = RoleStore(shards, config.secret)
            log = None if log_statements == "none" else StatementLog(log_statements)
            with (
                closing(Catalogs(schema, roles)) as catalogs,
                closing(Finishing(rng, schema.sequences)) as finishing,
            ):
                backend = Backend(
                    *(shards, schema, tasks, PlanCache(), roles, catalogs, finishing, log),
                    slow_ms=slow_statement_ms,
                    gate=Gate(shards.stalled, refuse_above),
                )
                try:
                    yield Router(config, backend, rng)
                finally:
                    backend.gate.close()
                    await schema.temporary.close()
        finally:
            await shards.close()
            await tasks.wait()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection of its own, handed back when the context is left. It costs nothing: there
        is no limit on how many are out."""
        connection = Connection(Session(self._backend))
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> AsyncIterator[Connection]:
        """A transaction on a connection of its own, committed when the context is left without an
        exception.

        async with db.transaction() as t:
            await t.execute("UPDATE accounts SET balance = balance - 5 WHERE id = $1", 1)
        """
        async with (
            self.acquire() as connection,
            connection.transaction(isolation=isolation, readonly=readonly, deferrable=deferrable),
        ):
            yield connection

    async def transaction_with_retry(
        self, work: Callable[[Connection], Awaitable[T]], *, attempts: int = RETRIES_MAX
    ) -> T:
        """Run `work` in a transaction, again from its beginning as long as it ends with 40001,
        which says that it had no effect: at most `attempts` times, with growing pauses. Any other
        error is raised at once, 08007 first of all: that transaction may have been committed."""
        for attempt in range(1, attempts + 1):
            try:
                async with self.transaction() as connection:
                    return await work(connection)
            except SerializationError:
                if attempt == attempts:
                    raise
            longest = min(RETRY_PAUSE_S_MAX, RETRY_PAUSE_S_MIN * 2**attempt)
            await asyncio.sleep(self._rng.uniform(0.0, longest))
        raise ValueError("attempts has to be 1 or more")

    def new_session(self, role: Role = EMBEDDED) -> Session:
        """A session with settings of its own; what a PostgreSQL connection is given."""
        return Session(self._backend, role)

    @property
    def roles(self) -> RoleStore:
        """Who may connect; for a server in front of this router."""
        return self._backend.roles

    # ------------------------------------------------------------------ the cluster

    def metrics(self) -> list[Family]:
        """What it counts, as /metrics shows it."""
        shards = self._backend.shards
        return router_families(
            self._backend.meter, shards.counts, self._backend.gate.places, shards.instants.counts
        )

    async def wait_ready(self, *, timeout: float = OPEN_TIMEOUT_S) -> None:  # noqa: ASYNC109 -- as in `open`
        """Return when every group answers a linearizable read. Raises DeadlineExceeded, whose
        detail names the group."""
        deadline = asyncio.get_running_loop().time() + timeout
        reads = [
            self._backend.shards.read(group, PROBE, quick=True, deadline=deadline)
            for group in (META_GROUP, *self._config.shards)
        ]
        for answer in await asyncio.gather(*reads, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def status(self, *, timeout: float = STATUS_TIMEOUT_S) -> dict[str, Status | None]:  # noqa: ASYNC109 -- as in `open`
        """What each node says of itself and its replicas; None if it does not answer."""
        return await self._backend.shards.statuses(timeout)

    async def where(self, table: str, key: Value) -> Place:
        """Where rows of `table` with the shard key `key` live; a text is read as the type of
        the key. Rows of a home table are all on one shard, those of a reference table on every
        one. Raises StatementError (22P02, 42P01)."""
        loop = asyncio.get_running_loop()
        catalog = await self._backend.schema.refresh(loop.time() + OPEN_TIMEOUT_S)
        known = catalog.table(table) or catalog.tables.get(table)  # as "schema.table"
        if known is None:
            raise UnknownTable(table)
        if known.placement != "sharded":
            leader = leader_of(catalog.home, (await self.status()).values())
            shard = catalog.home if known.placement == "home" else "every shard"
            return Place(None, shard, leader)
        column = known.column(known.shard_key)
        assert column is not None
        kind = of_column(column.type)
        try:
            if isinstance(key, str):
                key = decode_text(key.encode(), kind.oid)
            slot = slot_of(canonical_key(key, kind.name))
        except ValueFormatError as exc:
            raise StatementError(exc.message, sqlstate=exc.sqlstate) from exc
        except ValueError as exc:
            raise StatementError(str(exc), sqlstate="42804") from exc
        shard = catalog.shard_of(slot)
        return Place(slot, shard, leader_of(shard, (await self.status()).values()))


async def node_answers(
    config: ClusterConfig,
    *,
    timeout: float = STATUS_TIMEOUT_S,  # noqa: ASYNC109 -- as in `Router.open`
) -> dict[str, Status | str]:
    """What each node of a cluster says of itself, or why it says nothing: needs no leader and
    no catalog, so it works when nothing else does."""

    async def ask(node: str) -> Status | str:
        client = NodeClient.to(node, config, name="status")
        try:
            answer = await client.call("", GetStatus(), timeout)
        except ConnectionError as exc:
            return str(exc)
        finally:
            await client.close()
        return answer if isinstance(answer, Status) else f"it answers {answer}"

    answers = await asyncio.gather(*map(ask, config.nodes))
    return dict(zip(config.nodes, answers, strict=True))


async def node_statuses(
    config: ClusterConfig,
    *,
    timeout: float = STATUS_TIMEOUT_S,  # noqa: ASYNC109 -- as in `Router.open`
) -> dict[str, Status | None]:
    """As `node_answers`, with None for a node that says nothing."""
    answers = await node_answers(config, timeout=timeout)
    return {node: said if isinstance(said, Status) else None for node, said in answers.items()}
