"""Clients: one connection each, one call in flight, which ends when the client is aborted.

A client never raises for what the database does: its answer is an outcome. The default is
`info` (it may have happened, it may happen yet); `fail` only where nothing can have happened
(DESIGN section 10). A read that failed is `fail`: it has no effect that could come later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import asyncpg

from jepsen_like.history import Outcome
from jepsen_like.load import Call
from jepsen_like.workloads.workload import SqlCall, SqlTransaction, Statements

__all__ = [
    "Answer",
    "Client",
    "ClientError",
    "SqlClient",
    "outcome_of_error",
    "connect_sql",
]

CONNECT_TIMEOUT_S: Final = 2.0

TRANSACTION_ABORTED: Final = "08007"
"""SQLSTATE for "the outcome is unknown": indefinite whatever a list of definite codes says."""


class ClientError(Exception):
    """No connection, or data could not be loaded; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    outcome: Outcome
    output: Any = None
    error: str = ""


class Client(Protocol):
    """One connection. Used by one task at a time."""

    @property
    def is_usable(self) -> bool:
        """Whether a call could be sent now."""

    async def invoke(self, call: Call) -> Answer:
        """Never raises for what the database does. The dispatcher keeps the deadline: it calls
        `abort`, and this has to return then."""

    def abort(self) -> None:
        """End the connection at once, without waiting for anybody, and with it a call under way."""


def outcome_of_error(
    error: Exception,
    *,
    is_read: bool,
    definite_codes: Collection[str],
    is_begun: bool = False,
) -> Outcome:
    """`fail` if nothing of the call has happened or ever will; else `info`.

    `is_begun`: an earlier statement of the same call was carried out.
    A definite code is a whole SQLSTATE or its class (the first two characters).
    """
    if is_read:
        return "fail"
    if is_begun:
        return "info"
    code = getattr(error, "sqlstate", None)
    if not isinstance(error, asyncpg.PostgresError) or code is None or code == TRANSACTION_ABORTED:
        return "info"
    return "fail" if code in definite_codes or code[:2] in definite_codes else "info"


class SqlClient:
    """A client of a database that speaks the PostgreSQL wire."""

    def __init__(
        self,
        connection: asyncpg.Connection[asyncpg.Record],
        to_sql: Callable[[Call], Statements],
        *,
        definite_codes: Collection[str],
    ) -> None:
        self._connection = connection
        self._to_sql = to_sql
        self._definite_codes = definite_codes

    @property
    def is_usable(self) -> bool:
        return not self._connection.is_closed()

    async def invoke(self, call: Call) -> Answer:
        found = self._to_sql(call)
        if isinstance(found, SqlTransaction):
            return await self._transact(call, found)
        statements = found if isinstance(found, tuple) else (found,)
        answers: list[Any] = []
        try:
            for statement in statements:
                answers.append(await self._run(statement))  # noqa: PERF401 - kept if one fails
            return Answer("ok", tuple(answers) if isinstance(found, tuple) else answers[0])
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, AttributeError) as exc:
            if isinstance(exc, AttributeError) and not self._connection.is_closed():
                raise  # else it was aborted while asyncpg went from preparing to executing
            outcome = outcome_of_error(
                exc,
                is_read=call.f.startswith("read"),
                definite_codes=self._definite_codes,
                is_begun=bool(answers),
            )
            return Answer(outcome, error=words_of(exc))

    async def _transact(self, call: Call, transaction: SqlTransaction) -> Answer:
        """BEGIN ... COMMIT. What fails before the COMMIT is sent has certainly not happened, even
        if the connection is lost."""
        commits = False
        try:
            await self._connection.execute("BEGIN")
            steps = transaction.run()
            answer = None
            while True:
                try:
                    statement = steps.send(answer)
                except StopIteration as end:
                    output = end.value
                    break
                answer = await self._run(statement)
            commits = True
            await self._connection.execute("COMMIT")
            return Answer("ok", output)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, AttributeError) as exc:
            if isinstance(exc, AttributeError) and not self._connection.is_closed():
                raise
            outcome = outcome_of_error(
                exc,
                is_read=not commits or call.f.startswith("read"),
                definite_codes=self._definite_codes,
            )
            answer = Answer(outcome, error=words_of(exc))
        await self._roll_back()
        return answer

    async def _roll_back(self) -> None:
        """Leave the transaction that failed; without it, leave the connection."""
        try:
            if self._connection.is_in_transaction():
                await self._connection.execute("ROLLBACK")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, AttributeError):
            self.abort()

    async def _run(self, sql: SqlCall) -> Any:
        try:
            if sql.answer == "value":
                return await self._connection.fetchval(sql.text, *sql.arguments)
            if sql.answer == "column":
                rows = await self._connection.fetch(sql.text, *sql.arguments)
                return tuple(row[0] for row in rows)
            tag = await self._connection.execute(sql.text, *sql.arguments)
        except asyncpg.PostgresError as exc:
            if exc.sqlstate in sql.refusals:
                return sql.refusals[exc.sqlstate]
            raise
        if sql.answer == "done":
            return None
        is_changed = int(tag.split()[-1]) > 0
        if sql.answer == "claimed":
            return sql.arguments[-1] if is_changed else None
        return is_changed

    async def load(self, sql: SqlCall) -> None:
        """Run a statement before the test starts. Raises ClientError."""
        try:
            await self._run(sql)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:
            raise ClientError(f"{sql.text}: {words_of(exc)}") from exc

    def abort(self) -> None:
        if not self._connection.is_closed():
            self._connection.terminate()


def words_of(error: Exception) -> str:
    """An error for the history: its SQLSTATE if it has one, and its first line."""
    code = getattr(error, "sqlstate", None)
    text = str(error).split("\n", 1)[0] or type(error).__name__
    return f"{code} {text}" if code and isinstance(error, asyncpg.PostgresError) else text


async def connect_sql(
    host: str,
    port: int,
    to_sql: Callable[[Call], Statements],
    *,
    user: str,
    database: str,
    deadline_s: float,
    definite_codes: Collection[str],
    settings: Mapping[str, str] | None = None,
    password: str | None = None,
) -> SqlClient:
    """A new connection whose statements have `deadline_s`; `settings` are those of its session.

    Raises ClientError.
    """
    try:
        connection = await asyncpg.connect(
            host=host,
            port=port,
            user=user,
            password=password,
            database=database,
            ssl=False,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={
                "statement_timeout": f"{round(deadline_s * 1000)}ms",
                "default_transaction_isolation": "serializable",
                **(settings or {}),
            },
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as exc:
        raise ClientError(f"no connection to {host}:{port}: {words_of(exc)}") from exc
    return SqlClient(connection, to_sql, definite_codes=definite_codes)
