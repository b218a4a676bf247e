"""The embedded API for code without an event loop: the same names, without `await`.

    from shardrouter import blocking

    with blocking.Router.open("cluster.toml") as db:
        db.execute("INSERT INTO t (id) VALUES ($1)", 1)
        print(db.fetchval("SELECT count(*) FROM t"))

Each class here stands for its twin with an event loop, which runs on a thread of its own and does
all the work: a method's arguments, answers and errors are its twin's. Objects may be used from
several threads; calls of one connection wait for each other as its twin's do.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from nodes.config import ClusterConfig
from shardrouter import connection, local, router

__all__ = ["Connection", "LocalCluster", "PreparedStatement", "Router"]

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")
P = ParamSpec("P")


class _Portal:
    """A thread with an event loop, on which other threads have coroutines run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="shardrouter", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run it and wait; whoever interrupts the wait (Ctrl-C) cancels the work."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a blocking call on the event loop would wait for itself")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def _portal() -> Iterator[_Portal]:
    portal = _Portal()
    try:
        yield portal
    finally:
        portal.close()


@contextmanager
def _entered(portal: _Portal, context: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """An asynchronous context, entered and left on the portal's loop, by one task: what it
    opened may insist on that."""
    stay = _Stay(context)
    portal.run(stay.begin())
    try:
        value = portal.run(stay.entered())
    except BaseException:
        portal.run(stay.give_up())
        raise
    try:
        yield value
    except BaseException as exc:
        portal.run(stay.end(exc))
        raise
    portal.run(stay.end(None))


class _Stay(Generic[T]):
    """A task that enters a context, waits, and leaves it."""

    _value: asyncio.Future[T]
    _error: asyncio.Future[BaseException | None]
    _task: asyncio.Task[None]

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        self._context = context

    async def begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._value, self._error = loop.create_future(), loop.create_future()
        self._task = loop.create_task(self._hold())

    async def entered(self) -> T:
        """What entering gave. Raises what it raised."""
        either: list[asyncio.Future[Any]] = [self._value, self._task]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._value.done():
            await self._task
        return self._value.result()

    async def end(self, error: BaseException | None) -> None:
        """Leave the context with `error`, which is raised again."""
        self._error.set_result(error)
        await self._task

    async def give_up(self) -> None:
        """Enter no further, and leave."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _hold(self) -> None:
        async with self._context as value:
            self._value.set_result(value)
            error = await self._error
            if error is not None:
                raise error


class _Twin(Generic[S]):
    """Stands for an object that lives on a portal's loop."""

    def __init__(self, portal: _Portal, original: S) -> None:
        self._portal = portal
        self._original = original


def _call(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[_Twin[Any], P], R]:
    """The method of a twin that waits for `method` of the original."""

    @functools.wraps(method)
    def call(self: _Twin[S], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._portal.run(method(self._original, *args, **kwargs))

    return call


def _plain(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[_Twin[Any], P], R]:
    """The method of a twin that asks the original what it knows without waiting."""

    @functools.wraps(method)
    def call(self: _Twin[S], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self._original, *args, **kwargs)

    return call


class PreparedStatement(_Twin[connection.PreparedStatement]):
    """`shardrouter.PreparedStatement`, waited for."""

    get_query = _plain(connection.PreparedStatement.get_query)
    get_parameters = _plain(connection.PreparedStatement.get_parameters)
    get_attributes = _plain(connection.PreparedStatement.get_attributes)
    fetch = _call(connection.PreparedStatement.fetch)
    fetchrow = _call(connection.PreparedStatement.fetchrow)
    fetchval = _call(connection.PreparedStatement.fetchval)
    executemany = _call(connection.PreparedStatement.executemany)


class _Queries(_Twin[S]):
    execute = _call(connection.Queries.execute)
    executemany = _call(connection.Queries.executemany)
    fetch = _call(connection.Queries.fetch)
    fetchrow = _call(connection.Queries.fetchrow)
    fetchval = _call(connection.Queries.fetchval)


class Connection(_Queries[connection.Connection]):
    """`shardrouter.Connection`, waited for."""

    is_closed = _plain(connection.Connection.is_closed)
    close = _call(connection.Connection.close)

    is_in_transaction = _plain(connection.Connection.is_in_transaction)

    @contextmanager
    def transaction(self, **options: Any) -> Iterator[None]:
        """As `shardrouter.Connection.transaction`, with its options."""
        with _entered(self._portal, self._original.transaction(**options)):
            yield

    def prepare(self, query: str) -> PreparedStatement:
        """Parse and plan a statement, to run it many times. Raises RouterError."""
        return PreparedStatement(self._portal, self._portal.run(self._original.prepare(query)))


class Router(_Queries[router.Router]):
    """`shardrouter.Router`, waited for; made by `Router.open` only."""

    @staticmethod
    @contextmanager
    def open(cluster: str | Path | None = None, **options: Any) -> Iterator[Router]:
        """As `shardrouter.Router.open`, with its options."""
        with (
            _portal() as portal,
            _entered(portal, router.Router.open(cluster, **options)) as original,
        ):
            yield Router(portal, original)

    @contextmanager
    def acquire(self) -> Iterator[Connection]:
        """A connection with settings of its own, handed back when the context is left."""
        with _entered(self._portal, self._original.acquire()) as original:
            yield Connection(self._portal, original)

    @contextmanager
    def transaction(self, **options: Any) -> Iterator[Connection]:
        """A transaction on a connection of its own, as `shardrouter.Router.transaction`."""
        with _entered(self._portal, self._original.transaction(**options)) as original:
            yield Connection(self._portal, original)

    wait_ready = _call(router.Router.wait_ready)
    status = _call(router.Router.status)
    where = _call(router.Router.where)


class LocalCluster:
    """`shardrouter.LocalCluster`, waited for: the arguments and attributes are its own, but that
    `router` is a `blocking.Router`. Its event loop runs on a thread as long as the block does."""

    dsn: str
    router: Router
    file: Path
    config: ClusterConfig

    def __init__(self, *args: Any, **options: Any) -> None:
        self._original = local.LocalCluster(*args, **options)
        self._running: AbstractContextManager[None] | None = None

    def __enter__(self) -> Self:
        self._running = self._run()
        self._running.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._running is not None
        self._running.__exit__(kind, error, trace)

    @contextmanager
    def _run(self) -> Iterator[None]:
        with _portal() as portal, _entered(portal, self._original) as original:
            self.dsn, self.file, self.config = original.dsn, original.file, original.config
            self.router = Router(portal, original.router)
            yield
