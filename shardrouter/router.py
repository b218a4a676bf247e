"""The router inside your process, with asyncpg's names.

    async with Router.open("cluster.toml") as db:
        await db.execute("INSERT INTO t (id, name) VALUES ($1, $2)", 1, "Ada")
        row = await db.fetchrow("SELECT * FROM t WHERE id = $1", 1)
        print(row["name"])

A router keeps no state of its own: any number of them, in any number of processes, serve the
same cluster. Calls may overlap; each statement commits by itself. Exceptions are those of
`shardrouter.errors`, with `.sqlstate` and `.definite`.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, overload

from nodes.client import NodeClient
from nodes.config import META_GROUP, ClusterConfig
from nodes.protocol import GetStatus, Statement, Status, Value, leader_of
from nodes.values import ValueFormatError, canonical_key, decode_text, slot_of
from shardrouter.errors import StatementError
from shardrouter.locate import find_cluster, load_cluster
from shardrouter.plan import UnknownTable
from shardrouter.python_values import to_stored
from shardrouter.schema import Schema
from shardrouter.session import Backend, Execution, Outcome, PlanCache, Prepared, Session
from shardrouter.shards import Shards
from shardrouter.statement import split
from shardrouter.tasks import Tasks
from shardrouter.types import of_column

__all__ = ["Place", "Record", "Router", "node_answers", "node_statuses"]

OPEN_TIMEOUT_S: Final = 30.0
"""How long `Router.open` waits for a cluster that is starting."""

STATUS_TIMEOUT_S: Final = 2.0
"""How long a node may take to say how it is."""

PROBE: Final = (Statement("SELECT 1"),)
"""A read that touches nothing: answered when the group has a leader with a quorum."""


class Record(Sequence[Value]):
    """One row: by position, by column name, iterable over its values, as asyncpg's Record."""

    __slots__ = ("_columns", "_values")

    def __init__(self, columns: dict[str, int], values: tuple[Value, ...]) -> None:
        self._columns = columns  # name -> position, shared by all rows of an answer
        self._values = values

    @overload
    def __getitem__(self, key: int | str) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Any:
        if isinstance(key, str):
            return self._values[self._columns[key]]
        return self._values[key]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __contains__(self, name: object) -> bool:
        """Whether there is a column of that name, as in asyncpg."""
        return name in self._columns

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Record):
            return self._values == other._values
        return self._values == other

    def __hash__(self) -> int:
        return hash(self._values)

    def __repr__(self) -> str:
        return f"<Record {' '.join(f'{name}={value!r}' for name, value in self.items())}>"

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a column, `default` if there is none of that name."""
        return self._values[self._columns[name]] if name in self._columns else default

    def keys(self) -> Iterator[str]:
        return iter(self._columns)

    def values(self) -> Iterator[Any]:
        return iter(self._values)

    def items(self) -> Iterator[tuple[str, Any]]:
        return ((name, self._values[index]) for name, index in self._columns.items())


@dataclass(frozen=True)
class Place:
    """Where the row of a shard-key value lives."""

    slot: int
    shard: str
    leader: str | None  # name of the node; None if nobody leads the shard now


class Router:
    """An open router; made by `Router.open` only."""

    def __init__(self, config: ClusterConfig, backend: Backend) -> None:
        self._config = config
        self._backend = backend
        self._session = Session(backend)

    @staticmethod
    @asynccontextmanager
    async def open(
        cluster: str | Path | None = None,
        *,
        name: str | None = None,
        timeout: float = OPEN_TIMEOUT_S,  # noqa: ASYNC109 -- asyncpg's name; it covers many steps
        progress: Callable[[str], None] | None = None,
        rng: random.Random | None = None,
    ) -> AsyncIterator[Router]:
        """Open a router for the cluster that `cluster` (a cluster.toml) describes.

        cluster: None looks at $SHARDROUTER_CLUSTER, ./cluster.toml,
        ./shardrouter-data/cluster.toml. name: of this router, for the nodes' logs. timeout:
        seconds to wait for the cluster; `progress` is told what it waits for. rng: seeds the
        pauses between retries. Raises nodes.config.ConfigError if there is no such file, and
        Unavailable if the cluster does not answer in time.
        """
        config = load_cluster(find_cluster(cluster))
        loop = asyncio.get_running_loop()
        tasks = Tasks()
        shards = Shards(config, name=name or f"router-{os.getpid()}", rng=rng or random.Random())
        try:
            schema = Schema(shards, config.shards, tasks)
            await schema.open(loop.time() + timeout, progress or (lambda _text: None))
            yield Router(config, Backend(shards, schema, tasks, PlanCache()))
        finally:
            await shards.close()
            await tasks.wait()

    # ------------------------------------------------------------------ statements

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109 -- asyncpg's name
        """Run a statement; returns its command tag ("INSERT 0 1").

        Without arguments `query` may hold several statements: they are one unit of commit, and
        the tag is the last one's. timeout: seconds, instead of statement_timeout.
        """
        prepared = self._session.prepared(query)
        if prepared is not None:
            unit = [_execution(prepared, args)]
        else:
            texts = [query] if args else split(query)
            unit = [_execution(await self._session.prepare(text), args) for text in texts]
        outcomes = await self._session.run(unit, timeout)
        return outcomes[-1].tag if outcomes else ""

    async def executemany(
        self,
        command: str,
        args: Iterable[Sequence[Any]],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 -- asyncpg's name
    ) -> None:
        """Run a statement once for each sequence of arguments: all of them or none, as asyncpg
        does. They have to be on one shard; else NotSupported (0A000)."""
        prepared = await self._prepare(command)
        unit = [_execution(prepared, values) for values in args]
        if unit:
            await self._session.run(unit, timeout)

    async def fetch(
        self,
        query: str,
        *args: Any,
        timeout: float | None = None,  # noqa: ASYNC109 -- asyncpg's name
    ) -> list[Record]:
        """Run a statement; returns its rows."""
        columns, outcome = await self._fetch(query, args, timeout)
        return [Record(columns, values) for values in outcome.values]

    async def fetchrow(
        self,
        query: str,
        *args: Any,
        timeout: float | None = None,  # noqa: ASYNC109 -- asyncpg's name
    ) -> Record | None:
        """Run a statement; returns its first row, None if there is none."""
        columns, outcome = await self._fetch(query, args, timeout)
        return Record(columns, outcome.values[0]) if outcome.values else None

    async def fetchval(
        self,
        query: str,
        *args: Any,
        column: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109 -- asyncpg's name
    ) -> Any:
        """Run a statement; returns one value of its first row, None if there is none."""
        _, outcome = await self._fetch(query, args, timeout)
        return outcome.values[0][column] if outcome.values else None

    async def _fetch(
        self, query: str, args: tuple[Any, ...], timeout_s: float | None
    ) -> tuple[dict[str, int], Outcome]:
        prepared = await self._prepare(query)
        [outcome] = await self._session.run([_execution(prepared, args)], timeout_s)
        # Of columns with one name the last is found by it, as in asyncpg.
        return {column.name: i for i, column in enumerate(prepared.columns)}, outcome

    async def _prepare(self, query: str) -> Prepared:
        """One statement; only `execute` without arguments takes several."""
        prepared = self._session.prepared(query)
        if prepared is not None:
            return prepared
        if len(split(query)) > 1:
            raise StatementError(
                "cannot insert multiple commands into a prepared statement", sqlstate="42601"
            )
        return await self._session.prepare(query)

    def new_session(self) -> Session:
        """A session with settings of its own; what a PostgreSQL connection is given."""
        return Session(self._backend)

    # ------------------------------------------------------------------ the cluster

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
        the key. Raises StatementError (22P02, 42P01)."""
        loop = asyncio.get_running_loop()
        catalog = await self._backend.schema.refresh(loop.time() + OPEN_TIMEOUT_S)
        known = catalog.tables.get(table)
        if known is None:
            raise UnknownTable(table)
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


def _execution(prepared: Prepared, arguments: Sequence[Any]) -> Execution:
    """Of arguments as Python has them."""
    return Execution(prepared, to_stored(prepared.parameter_oids, arguments))


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
