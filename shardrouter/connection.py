"""What an application runs statements with, under asyncpg's names.

A `Connection` has settings and a transaction of its own, as a connection to a server has; a
`Queries` without them is what `Router` offers directly, where every call is its own transaction.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from itertools import islice
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeAlias

from msgspec import structs

from shardrouter.copy_in import CopyIn
from shardrouter.copying.output import CopyWriter, content_of
from shardrouter.errors import StatementError
from shardrouter.execution import Execution, Outcome, Prepared, piece_outcome
from shardrouter.planned import CopyTo, SchemaChange, TransactionControl
from shardrouter.python_values import to_stored
from shardrouter.record import Record
from shardrouter.session import Session
from shardrouter.statement import split
from shardrouter.transaction_answers import in_failed_block

__all__ = ["Connection", "PreparedStatement", "Queries", "Transaction"]


BATCH_ROWS: Final = 512
PIECE_BYTES: Final = 64 * 1024
"""Handed on at once by the copy methods."""


Progress: TypeAlias = Callable[[int], object]
"""Told how many rows were read so far."""


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
        texts = [query] if args or prepared is not None else split(query)
        unit: list[Execution] = []
        for text in texts:
            prepared = self._session.prepared(text) or await self._session.prepare(text)
            if isinstance(prepared.plan, SchemaChange) and len(texts) > 1:
                return await self._run_script(texts, timeout)
            unit.append(_execution(prepared, args))
        outcomes = await self._session.run(unit, timeout)
        return outcomes[-1].tag if outcomes else ""

    async def _run_script(self, texts: Sequence[str], timeout_s: float | None) -> str:
        """Statements of which one changes the schema, and what comes behind it means something
        only then: one by one, and one unit of commit between one BEGIN or COMMIT and the next."""
        session = self._session
        tag = ""
        try:
            for text in texts:
                prepared = session.prepared(text) or await session.prepare(text)
                if not isinstance(prepared.plan, TransactionControl):
                    session.open_unit()
                [outcome] = await session.run([_execution(prepared, ())], timeout_s)
                tag = outcome.tag
            await session.close_unit()
        except BaseException:
            session.note_failure()
            raise
        return tag

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

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]],
        columns: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> str:
        """Write many rows at once, all of them or none; returns the tag ("COPY 3"). The table has
        to be whole on one shard; else NotSupported (0A000). `progress` is told now and then how
        many rows were read so far."""
        async with self._copying(table_name, columns, "") as copy:
            oids = tuple(column.oid for column in copy.plan.columns)
            async for some in _batches(records):
                copy.add_rows([to_stored(oids, record) for record in some])
                await copy.room()
                if progress is not None:
                    progress(copy.rows)
            outcome = await copy.finish()
        return outcome.tag

    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: SupportsRead | AsyncIterable[bytes],
        columns: Sequence[str] | None = None,
        progress: Progress | None = None,
        **options: str | bool,
    ) -> str:
        """COPY FROM: write the rows of `source`, a binary file or an asynchronous iterable, all of
        them or none. `options` are asyncpg's and COPY's: format="csv", header=True. `progress` is
        told now and then how many rows were read so far."""
        async with self._copying(table_name, columns, _options(options)) as copy:
            async for data in _pieces(source):
                copy.feed(data)
                await copy.room()
                if progress is not None:
                    progress(copy.rows)
            outcome = await copy.finish()
        return outcome.tag

    async def copy_from_query(
        self,
        query: str,
        *,
        output: Callable[[bytes], Awaitable[None]] | SupportsWrite,
        **options: str | bool,
    ) -> str:
        """COPY TO: write the answer of a SELECT into `output`, a binary file or a coroutine
        function, a piece at a time. `options` are asyncpg's and COPY's: format="csv"."""
        text = f"COPY ({query}) TO STDOUT{_options(options)}"
        plan = (await self._prepare(text)).plan
        assert isinstance(plan, CopyTo)
        is_binary = plan.options.format == "binary"
        names = [column.name for column in plan.plan.columns]
        writer = CopyWriter(names, plan.options)
        inner = await self._prepare(plan.query)
        formats = (is_binary,) * len(names)
        count = 0
        await _write(output, content_of(writer.begin()))
        async for outcome in self._pieces(Execution(inner, (), formats, stream=True)):
            count += outcome.row_count
            await _write(output, content_of(writer.rows(outcome.rows)))
        await _write(output, content_of(writer.end()))
        return f"COPY {count}"

    async def cursor(self, query: str, *args: Any) -> AsyncIterator[Record]:
        """The rows of a SELECT one by one, of one state, read a piece at a time:

        async for row in db.cursor("SELECT * FROM big"): ...
        """
        prepared = await self._prepare(query)
        columns = {column.name: i for i, column in enumerate(prepared.columns)}
        execution = structs.replace(_execution(prepared, args), stream=True)
        async for outcome in self._pieces(execution):
            for values in outcome.values:
                yield Record(columns, values)

    async def _pieces(self, execution: Execution) -> AsyncIterator[Outcome]:
        """What a statement answers, in as many pieces as it comes in."""
        [outcome] = await self._session.run([execution])
        more = outcome.more
        try:
            yield outcome
            while more is not None and (piece := await more.next()) is not None:
                yield piece_outcome(execution, piece)
        finally:
            if more is not None:
                more.close()

    @asynccontextmanager
    async def _copying(
        self, table: str, columns: Sequence[str] | None, options: str
    ) -> AsyncIterator[CopyIn]:
        """A COPY FROM that is abandoned if it is not finished."""
        names = f" ({', '.join(map(_quote, columns))})" if columns else ""
        text = f"COPY {_quote(table)}{names} FROM STDIN{options}"
        copy = self._session.copy_in(await self._prepare(text))
        try:
            yield copy
        finally:
            copy.abandon()

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


class Transaction:
    """BEGIN ... COMMIT of a connection, as asyncpg's; one begun within another is a savepoint.

        async with connection.transaction(readonly=True):
            ...

    It commits when the block ends, and rolls back if an exception leaves it. Made by
    `Connection.transaction`.
    """

    def __init__(self, connection: Connection, begin: str) -> None:
        self._connection = connection
        self._begin = begin
        self._savepoint = ""
        self._ended = False

    async def start(self) -> None:
        """Begin. Raises RouterError."""
        if self._connection.is_in_transaction():
            self._savepoint = self._connection.new_savepoint_name()
            await self._connection.execute(f"SAVEPOINT {self._savepoint}")
        else:
            await self._connection.execute(self._begin)

    async def commit(self) -> None:
        """Raises RouterError: 40001 if the transaction, which had no effect, is to be repeated;
        08007 if it may have had one."""
        self._ended = True
        if self._savepoint:
            await self._connection.execute(f"RELEASE {self._savepoint}")
        elif await self._connection.execute("COMMIT") != "COMMIT":
            raise in_failed_block()

    async def rollback(self) -> None:
        """Undo it. Nothing is sent to a shard."""
        self._ended = True
        if self._savepoint:
            await self._connection.execute(f"ROLLBACK TO {self._savepoint}")
            await self._connection.execute(f"RELEASE {self._savepoint}")
        elif self._connection.is_in_transaction():
            await self._connection.execute("ROLLBACK")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ended:
            return  # the block did it itself
        if kind is None:
            await self.commit()
        elif not self._connection.is_closed():
            await self.rollback()


class Connection(Queries):
    """A session of its own: what it SETs holds for it alone. Given out by `Router.acquire`."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._savepoints = 0

    def transaction(
        self,
        *,
        isolation: str | None = None,
        readonly: bool = False,
        deferrable: bool = False,
    ) -> Transaction:
        """A transaction to be entered by `async with`, or by `start`. isolation: named as
        asyncpg names them; what is given is strict serializability."""
        words = ["BEGIN"]
        if isolation is not None:
            words.append(f"ISOLATION LEVEL {isolation.replace('_', ' ')}")
        if readonly:
            words.append("READ ONLY")
        if deferrable:
            words.append("DEFERRABLE")
        return Transaction(self, " ".join(words))

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open, failed or not."""
        return self._session.status != "I"

    def new_savepoint_name(self) -> str:
        """One that this connection has not used."""
        self._savepoints += 1
        return f"shardrouter_{self._savepoints}"

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
    if prepared.bound is not None:
        to_stored((), arguments)
        return Execution(prepared, prepared.bound)
    return Execution(prepared, to_stored(prepared.parameter_oids, arguments))


class SupportsRead(Protocol):
    """A binary file."""

    def read(self, size: int, /) -> bytes: ...


class SupportsWrite(Protocol):
    """A binary file."""

    def write(self, data: bytes, /) -> object: ...


async def _batches(
    records: Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]],
) -> AsyncIterator[list[Sequence[Any]]]:
    """Some records at a time."""
    if isinstance(records, AsyncIterable):
        batch: list[Sequence[Any]] = []
        async for record in records:
            batch.append(record)
            if len(batch) == BATCH_ROWS:
                yield batch
                batch = []
        if batch:
            yield batch
        return
    iterator = iter(records)
    while some := list(islice(iterator, BATCH_ROWS)):
        yield some


async def _pieces(source: SupportsRead | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(source, AsyncIterable):
        async for data in source:
            yield data
        return
    while data := source.read(PIECE_BYTES):
        yield data


async def _write(output: Callable[[bytes], Awaitable[None]] | SupportsWrite, data: bytes) -> None:
    if not data:
        return
    if callable(output):
        await output(data)
    else:
        output.write(data)


def _options(given: Mapping[str, str | bool]) -> str:
    """As COPY wants them."""
    words = []
    for name, value in given.items():
        said = str(value).lower() if isinstance(value, bool) else str(value).replace("'", "''")
        words.append(f"{name} '{said}'")
    return f" ({', '.join(words)})" if words else ""


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
