"""What an application runs statements with, under asyncpg's names.

A `Connection` has settings and a transaction of its own, as a connection to a server has; a
`Queries` without them is what `Router` offers directly, where every call is its own transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from shardrouter.errors import StatementError
from shardrouter.execution import Execution, Outcome, Prepared
from shardrouter.python_values import to_stored
from shardrouter.record import Record
from shardrouter.session import Session
from shardrouter.statement import split

__all__ = ["Connection", "PreparedStatement", "Queries"]


class Queries:
    """Statements over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

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


class PreparedStatement:
    """A statement that is parsed and planned once; made by `Connection.prepare`."""

    def __init__(self, queries: Queries, prepared: Prepared) -> None:
        self._queries = queries
        self._prepared = prepared

    def get_query(self) -> str:
        """Its text."""
        return self._prepared.text

    def get_parameters(self) -> tuple[int, ...]:
        """The type OIDs of $1, $2, ..."""
        return self._prepared.parameter_oids

    def get_attributes(self) -> tuple[tuple[str, int], ...]:
        """Name and type OID of each column of its answer."""
        return tuple((column.name, column.oid) for column in self._prepared.columns)

    async def fetch(self, *args: Any, timeout: float | None = None) -> list[Record]:  # noqa: ASYNC109 -- asyncpg's name
        """Run it; returns its rows."""
        return await self._queries.fetch(self._prepared.text, *args, timeout=timeout)

    async def fetchrow(self, *args: Any, timeout: float | None = None) -> Record | None:  # noqa: ASYNC109 -- asyncpg's name
        """Run it; returns its first row, None if there is none."""
        return await self._queries.fetchrow(self._prepared.text, *args, timeout=timeout)

    async def fetchval(
        self,
        *args: Any,
        column: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109 -- asyncpg's name
    ) -> Any:
        """Run it; returns one value of its first row, None if there is none."""
        return await self._queries.fetchval(
            self._prepared.text, *args, column=column, timeout=timeout
        )

    async def executemany(
        self,
        args: Iterable[Sequence[Any]],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 -- asyncpg's name
    ) -> None:
        """Run it once for each sequence of arguments: all of them or none."""
        await self._queries.executemany(self._prepared.text, args, timeout=timeout)


class Connection(Queries):
    """A session of its own: what it SETs holds for it alone. Given out by `Router.acquire`."""

    async def prepare(self, query: str) -> PreparedStatement:
        """Parse and plan a statement, to run it many times. Raises RouterError."""
        return PreparedStatement(self, await self._prepare(query))

    def is_closed(self) -> bool:
        """Whether it was handed back."""
        return self._session.is_closed

    async def close(self) -> None:
        """Hand it back; what it began and did not commit is undone."""
        await self._session.close()


def _execution(prepared: Prepared, arguments: Sequence[Any]) -> Execution:
    """Of arguments as Python has them."""
    return Execution(prepared, to_stored(prepared.parameter_oids, arguments))
