"""Clients: one connection each, one call in flight, which ends when the client is aborted.

A client never raises for what the database does: its answer is an outcome. The default is
`info` (it may have happened, it may happen yet); `fail` only where nothing can have happened
(DESIGN section 10); `jepsen_like.outcomes` is the table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import asyncpg

from jepsen_like.history import Outcome
from jepsen_like.load import Call
from jepsen_like.outcomes import (
    CONNECTION_ERRORS,
    STUMBLES,
    Stage,
    outcome_of_error,
    stage_of,
    words_of,
)
from jepsen_like.workloads.workload import SqlCall, SqlTransaction, Statements

__all__ = [
    "Answer",
    "Client",
    "ClientError",
    "SqlClient",
    "connect_sql",
]

CONNECT_TIMEOUT_S: Final = 2.0


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
        except (*CONNECTION_ERRORS, *STUMBLES) as exc:
            stage = stage_of(call)
            return self._answer_of(exc, "begun" if answers and stage == "sent" else stage)

    async def _transact(self, call: Call, transaction: SqlTransaction) -> Answer:
        """BEGIN ... COMMIT. What fails before the COMMIT is sent has certainly not happened, even
        if the connection is lost."""
        stage: Stage = "uncommitted"
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
            stage = stage_of(call)
            await self._connection.execute("COMMIT")
            return Answer("ok", output)
        except (*CONNECTION_ERRORS, *STUMBLES) as exc:
            answer = self._answer_of(exc, stage)
        await self._roll_back()
        return answer

    def _answer_of(self, error: Exception, stage: Stage) -> Answer:
        if isinstance(error, STUMBLES) and not self._connection.is_closed():
            raise error
        outcome = outcome_of_error(error, stage=stage, definite_codes=self._definite_codes)
        return Answer(outcome, error=words_of(error, stage))

    async def _roll_back(self) -> None:
        """Leave the transaction that failed; without it, leave the connection."""
        try:
            if self._connection.is_in_transaction():
                await self._connection.execute("ROLLBACK")
        except (*CONNECTION_ERRORS, *STUMBLES):
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
        except CONNECTION_ERRORS as exc:
            raise ClientError(f"{sql.text}: {words_of(exc)}") from exc

    def abort(self) -> None:
        if not self._connection.is_closed():
            self._connection.terminate()


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
    except CONNECTION_ERRORS as exc:
        raise ClientError(f"no connection to {host}:{port}: {words_of(exc)}") from exc
    return SqlClient(connection, to_sql, definite_codes=definite_codes)
