"""A SQLite connection as a replica uses it: functions, authorizer and limits in place.

It runs one routers' statement at a time and turns what comes of it into a result, or into
`Refused` with PostgreSQL's error. Faults of the machine pass through as they are.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import structs

from nodes import violations
from nodes.authorizer import DDL, Authorizer, Mode, text_refusal
from nodes.functions import Environment, install
from nodes.protocol import (
    ANSWER_BYTES_MAX,
    OutputColumn,
    SqlFailure,
    Staged,
    Statement,
    StatementResult,
    Value,
)
from nodes.shortage import of_opening
from nodes.sql_errors import SQL_ERRORS, as_result
from nodes.stage_content import StageError
from nodes.staged_rows import staged_rows
from nodes.values import encode_data_rows

__all__ = ["LIMITS", "ROW_CHUNK", "Answer", "Collector", "Refused", "SqlConnection"]

CACHED_STATEMENTS: Final = 512
"""Compiled statements per connection: point statements then compile once."""

WRITER_CACHE_KIB: Final = 1024
READER_CACHE_KIB: Final = 512
"""Page caches. Small: a node hosts many replicas, and the operating system caches too."""

WAL_PAGES_MAX: Final = 1000
WAL_BYTES_MAX: Final = 16 * 1024 * 1024
"""A commit checkpoints past so many frames; the -wal file is cut to this size afterwards."""

LOCK_WAIT_S: Final = 1.0
"""Nobody else writes to the file; this only bridges a process that is just ending."""

VALUE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Largest value or row SQLite builds. The same everywhere, for beyond it is an answer."""

STATEMENT_BYTES_MAX: Final = 1024 * 1024
PARAMETERS_MAX: Final = 65_535  # PostgreSQL's wire has 16 bits for their number

LIMITS: Final = (
    (sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, STATEMENT_BYTES_MAX),
    (sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, PARAMETERS_MAX),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)

_QUERIES: Final = ("select ", "with ", "values ")
"""How statements begin that return rows, whoever asks for them."""

ROW_CHUNK: Final = 256
"""Rows fetched and encoded at once: bounds what a refused answer costs."""

_OWN, _WRITE = Mode.OWN, Mode.WRITE  # looking a member up in its enum costs as much as a call

_encode = msgspec.msgpack.Encoder().encode


class Refused(Exception):
    """The statement failed as SQL does; `failure` is the answer."""

    def __init__(self, failure: SqlFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Answer:
    """Collects the results of the statements of one unit, up to `ANSWER_BYTES_MAX` in all.

    For each statement: take(rows) any number of times, then finish; or add_count.
    """

    __slots__ = ("_count", "_encoded", "_left", "_values", "results")

    def __init__(self) -> None:
        self.results: list[StatementResult] = []
        self._left = ANSWER_BYTES_MAX
        self._count = 0
        self._encoded: list[bytes] = []
        self._values: list[tuple[Value, ...]] = []

    def take(self, rows: list[tuple[Value, ...]], columns: tuple[OutputColumn, ...]) -> None:
        """Some rows of the current statement. Raises Refused if they are too many."""
        self._count += len(rows)
        if columns:
            encoded = encode_data_rows(rows, columns)
            self._encoded.append(encoded)
            self._left -= len(encoded)
        else:
            self._values += rows
            self._left -= len(_encode(rows))
        if self._left < 0:
            raise Refused(
                SqlFailure(
                    "54000",
                    f"the answer is larger than {ANSWER_BYTES_MAX} bytes",
                    len(self.results),
                    "Add a LIMIT or a narrower WHERE.",
                )
            )

    def finish(self) -> None:
        """The current statement has ended; its rows are complete."""
        self.results.append(
            StatementResult(self._count, b"".join(self._encoded), tuple(self._values))
        )
        self._count, self._encoded, self._values = 0, [], []

    def add_count(self, count: int) -> None:
        """The current statement has ended; it returned no rows and changed `count`."""
        self.results.append(StatementResult(count))


class Collector(Protocol):
    """What a statement gives its rows to: an `Answer`, or who does something else with them."""

    results: list[StatementResult]

    def take(self, rows: list[tuple[Value, ...]], columns: tuple[OutputColumn, ...], /) -> None: ...

    def finish(self) -> None: ...

    def add_count(self, count: int) -> None: ...


class _RowFailed(Exception):
    """A row of a stage failed: `row` of its frame, from 1, with its values; 0 if unknown."""

    def __init__(self, row: int, values: tuple[Value, ...], error: Exception) -> None:
        super().__init__(row)
        self.row = row
        self.values = values
        self.error = error


def _check(statement: Statement, ordinal: int) -> None:
    """What SQLite would not see. Raises Refused."""
    reason = text_refusal(statement.sql)
    if reason is not None:
        raise Refused(SqlFailure("42501", reason, ordinal))
    for value in statement.parameters:
        if value != value:  # NaN, which SQLite would store as NULL
            raise Refused(SqlFailure("0A000", "NaN is not supported as a parameter", ordinal))


class SqlConnection:
    """One connection. Used by one thread at a time. A `read_only` one leaves the files as they
    are, whatever it finds in them. Making one raises sqlite3.Error, OSError; NoDescriptor if only
    that is missing."""

    def __init__(self, path: Path, *, is_writer: bool, read_only: bool = False) -> None:
        self._calculator = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            self.raw = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}",
                uri=True,
                timeout=LOCK_WAIT_S,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=CACHED_STATEMENTS,
            )
        except sqlite3.Error as exc:
            self._calculator.close()
            raise of_opening(exc, path) from exc
        self._cursor = self.raw.cursor()  # of the statements that return no rows
        self._authorizer = Authorizer()
        self._environment = Environment()
        try:
            self._configure(is_writer=is_writer)
        except sqlite3.Error as exc:
            self.close()
            raise of_opening(exc, path) from exc
        except BaseException:
            self.close()
            raise

    def _configure(self, *, is_writer: bool) -> None:
        raw = self.raw
        # The calculator only computes dates: one page is plenty.
        self._calculator.execute("PRAGMA cache_size = 1").fetchall()
        pragmas: tuple[str, ...] = (
            "query_only = ON",
            f"cache_size = -{READER_CACHE_KIB}",
        )
        if is_writer:
            (mode,) = raw.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise OSError(f"the file system allows no write-ahead log, only {mode}")
            pragmas = (
                "synchronous = NORMAL",  # the Raft log is what is durable
                f"wal_autocheckpoint = {WAL_PAGES_MAX}",
                f"journal_size_limit = {WAL_BYTES_MAX}",
                f"cache_size = -{WRITER_CACHE_KIB}",
            )
        # A trusted schema may call our functions in its DEFAULTs and CHECKs.
        always = ("temp_store = MEMORY", "trusted_schema = ON", "foreign_keys = ON")
        for pragma in (*pragmas, *always):
            raw.execute(f"PRAGMA {pragma}").fetchall()
        for limit, value in LIMITS:
            raw.setlimit(limit, value)
        install(raw, self._environment, self._calculator)
        # SQLite declares a table-valued function when it is first used, with leave to write its
        # schema: before there is an authorizer to ask.
        raw.execute("SELECT value FROM json_each('[]')").fetchall()
        raw.set_authorizer(self._authorizer)

    def enforce_foreign_keys(self, is_on: bool) -> None:
        """Outside of a transaction, where alone SQLite lets it be changed."""
        self.raw.execute(f"PRAGMA foreign_keys = {'ON' if is_on else 'OFF'}")
        (is_now,) = self.raw.execute("PRAGMA foreign_keys").fetchone()
        assert bool(is_now) is is_on, "a transaction is open"

    def close(self) -> None:
        # A cursor that Python 3.11 leaves a statement in, after one that failed and after
        # executemany, keeps SQLite's side open, and its files, for as long as it lives.
        with suppress(sqlite3.ProgrammingError):  # `raw` is closed: by who did not use the cursor
            self._cursor.close()
        self.raw.close()
        self._calculator.close()

    # ----------------------------------------------------------------------- statements

    def begin_entry(self, index: int) -> None:
        """What runs from here on is applied as part of this entry of the log."""
        self._environment.begin_entry(index)

    def begin(self, statement: Statement, ordinal: int, now_us: int, seed: int, mode: Mode) -> str:
        """Get ready for `statement`; returns the text to execute. Raises Refused."""
        _check(statement, ordinal)
        self._environment.begin(now_us, seed, ordinal)
        self._authorizer.mode = mode
        return DDL + statement.sql if mode in (Mode.DDL, Mode.RENAME) else statement.sql

    def end(self) -> None:
        """The statement has ended, one way or the other."""
        self._authorizer.mode = _OWN

    def refusal(self, error: BaseException, sql: str, ordinal: int) -> Refused | None:
        """What `error` of the current statement is to the client; None: a fault."""
        if isinstance(error, Refused):
            return error
        found = as_result(
            error, sql, self._environment.take_error(), self._authorizer.take_denied()
        )
        if found is None:
            return None
        return Refused(SqlFailure(found.sqlstate, found.message, ordinal, found.detail))

    def _explained(self, refused: Refused, statement: Statement, error: BaseException) -> Refused:
        """With the row that a constraint refused. The statement has been undone."""
        failure = refused.failure
        if failure.sqlstate[:2] != "23" or not isinstance(error, sqlite3.IntegrityError):
            return refused
        self._authorizer.mode = _OWN
        self._environment.begin(*self._environment.stamp)  # the same time and chance again
        found = violations.find(self.raw, statement.sql, statement.parameters, error)
        return Refused(msgspec.structs.replace(failure, violation=found))

    def run(
        self,
        statement: Statement,
        answer: Collector,
        now_us: int,
        seed: int,
        mode: Mode,
        ordinal: int | None = None,
    ) -> None:
        """Run a statement and add its result to `answer`; its ordinal is its place there, unless
        the caller knows better. Raises Refused, or a fault."""
        if ordinal is None:
            ordinal = len(answer.results)
        if statement.staged is not None:
            self._run_staged(statement, statement.staged, answer, now_us, seed, mode, ordinal)
            return
        sql = self.begin(statement, ordinal, now_us, seed, mode)
        cursor = self._cursor
        try:
            changes = self.raw.total_changes
            cursor.execute(sql, statement.parameters)
            if cursor.description is None:
                count = cursor.rowcount
                if count < 0:  # sqlite3 does not recognise WITH ... INSERT; DDL changes no rows
                    count = self.raw.total_changes - changes if mode is Mode.WRITE else 0
                answer.add_count(count)
                return
            self._cursor = self.raw.cursor()
            try:
                more = True
                while more:
                    rows = cursor.fetchmany(ROW_CHUNK)
                    answer.take(rows, statement.columns)
                    more = len(rows) == ROW_CHUNK
            finally:
                cursor.close()
            answer.finish()
        except SQL_ERRORS as exc:
            refused = self.refusal(exc, statement.sql, ordinal)
            if refused is None:
                raise
            raise self._explained(refused, statement, exc) from exc
        finally:
            self._authorizer.mode = _OWN

    def _run_staged(
        self,
        statement: Statement,
        staged: Staged,
        answer: Collector,
        now_us: int,
        seed: int,
        mode: Mode,
        ordinal: int,
    ) -> None:
        """`run`, once for each row of a stage. It is one statement: of what was done before a row
        that fails, nothing stays, for the caller's savepoint is around it."""
        sql = self.begin(statement, ordinal, now_us, seed, mode)
        text = sql.lower()
        returns = bool(statement.columns) or "returning" in text or text.startswith(_QUERIES)
        is_insert = text.startswith("insert ") and not returns
        run_many = self._insert_many if is_insert else self._run_each
        count = row = 0
        self._authorizer.mode = _OWN
        try:
            with closing(staged_rows(self.raw, staged)) as frames:
                for rows in frames:
                    self._authorizer.mode = mode
                    count += run_many(sql, rows, answer, statement.columns)
                    self._authorizer.mode = _OWN
                    row += len(rows)
            if returns:
                answer.finish()
            else:
                answer.add_count(count)
        except StageError as exc:
            raise Refused(SqlFailure(exc.sqlstate, exc.message, ordinal)) from exc
        except _RowFailed as exc:
            refused = self.refusal(exc.error, statement.sql, ordinal)
            if refused is None:
                raise exc.error from None
            if not exc.row:
                raise refused from exc
            of_row = Statement(statement.sql, exc.values)
            refused = self._explained(refused, of_row, exc.error)
            raise Refused(structs.replace(refused.failure, row=row + exc.row)) from exc
        finally:
            self._authorizer.mode = _OWN

    def _insert_many(
        self,
        sql: str,
        rows: list[tuple[Value, ...]],
        _answer: Collector,
        _columns: tuple[OutputColumn, ...],
    ) -> int:
        """An INSERT that returns nothing, row after row without a step of Python between them."""
        before = self.raw.total_changes
        try:
            self._cursor.executemany(sql, rows)
        except SQL_ERRORS as exc:
            # Each row that went in was one change, unless it could go in otherwise, or not at all.
            done = self.raw.total_changes - before
            if len(rows) == 1:
                done = 0
            elif "conflict" in sql.lower() or done >= len(rows):
                raise _RowFailed(0, (), exc) from exc
            raise _RowFailed(done + 1, rows[done], exc) from exc
        return self._cursor.rowcount

    def _run_each(
        self,
        sql: str,
        rows: list[tuple[Value, ...]],
        answer: Collector,
        columns: tuple[OutputColumn, ...],
    ) -> int:
        count = 0
        for number, parameters in enumerate(rows, 1):
            cursor = self.raw.cursor()
            try:
                cursor.execute(sql, parameters)
                if cursor.description is not None:
                    more = True
                    while more:
                        returned = cursor.fetchmany(ROW_CHUNK)
                        answer.take(returned, columns)
                        more = len(returned) == ROW_CHUNK
                else:
                    count += cursor.rowcount
            except SQL_ERRORS as exc:
                raise _RowFailed(number, parameters, exc) from exc
            finally:
                cursor.close()
        return count

    def change(self, statement: Statement, now_us: int, seed: int) -> int:
        """Run the only statement of a write, which starts with INSERT, UPDATE, DELETE or REPLACE
        and returns no rows; how many it changed. Raises Refused, or a fault."""
        sql, parameters = statement.sql, statement.parameters
        if text_refusal(sql) is not None:
            _check(statement, 0)
        for value in parameters:
            if value != value:
                _check(statement, 0)
        self._environment.stamp = (now_us, seed, 0)
        self._authorizer.mode = _WRITE
        cursor = self._cursor
        try:
            cursor.execute(sql, parameters)
            return cursor.rowcount
        except SQL_ERRORS as exc:
            refused = self.refusal(exc, sql, 0)
            if refused is None:
                raise
            raise self._explained(refused, statement, exc) from exc
        finally:
            self._authorizer.mode = _OWN

    def compile(self, statement: Statement, ordinal: int, mode: Mode) -> None:
        """Compile a statement without running it. Raises Refused, or a fault."""
        self.begin(statement, ordinal, 0, 0, mode)
        try:
            # The mode is in the text: see authorizer.OWN on cached statements.
            if statement.staged is not None:  # to be run with rows that are not looked at here
                self.raw.executemany(f"/*_{mode.name}*/{statement.sql}", ()).close()
            else:
                sql = f"/*_{mode.name}*/EXPLAIN {statement.sql}"
                self.raw.execute(sql, statement.parameters).close()
        except SQL_ERRORS as exc:
            refused = self.refusal(exc, statement.sql, ordinal)
            if refused is None:
                raise
            raise refused from exc
        finally:
            self._authorizer.mode = _OWN
