"""Entries in, rows and answers out: SQL, errors, versions, faults, files of others."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes.machine import Machine, ReplicaFault
from nodes.protocol import (
    ANSWER_BYTES_MAX,
    ENTRY_BYTES_MAX,
    Done,
    Fence,
    Guard,
    OpenSession,
    OutputColumn,
    SetVersion,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
    Write,
)
from nodes.values import INT4, TEXT, encode_data_rows
from tests.nodes.replica import INSERT, TABLE, Replica, committed, content, encode, statement


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[Replica]:
    replica = Replica(tmp_path)
    yield replica
    await replica.machine.close()


# --------------------------------------------------------------------------- statements


def test_rows_are_counted_as_postgresql_counts_them(replica: Replica) -> None:
    done = replica.write(
        statement("INSERT INTO t (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')"),
        statement("UPDATE t SET name = 'x' WHERE id > ?1", 1),
        statement("UPDATE t SET name = name"),
        statement("DELETE FROM t WHERE id = 9"),
        statement("SELECT id FROM t ORDER BY id"),
        statement("DELETE FROM t WHERE id = 1 RETURNING name"),
        statement("INSERT INTO t (id) VALUES (2) ON CONFLICT DO NOTHING"),
        statement("INSERT INTO t (id) VALUES (2) ON CONFLICT (id) DO UPDATE SET n = 5"),
        statement("WITH x (n) AS (SELECT 7) INSERT INTO t (id) SELECT n FROM x"),
    )
    assert [result.row_count for result in done.results] == [3, 2, 3, 0, 3, 1, 0, 1, 1]
    assert done.results[4].values == ((1,), (2,), (3,))
    assert done.results[5].values == (("a",),)
    assert done.index == replica.machine.applied == 3
    assert replica.rows() == [(2, "x", 5), (3, "x", 0), (7, None, 0)]


def test_rows_go_out_encoded_if_columns_are_given(replica: Replica) -> None:
    columns = (OutputColumn(INT4, True), OutputColumn(TEXT, False))
    rows = Statement("SELECT id, name FROM t", (), columns)
    done = replica.write(statement(INSERT, 1, "a"), statement(INSERT, 2, None), rows)
    expected = encode_data_rows([(1, "a"), (2, None)], columns)
    assert done.results[2] == StatementResult(2, expected)


def test_a_value_that_does_not_fit_its_column_undoes_the_write(replica: Replica) -> None:
    failure = replica.failure(
        statement(INSERT, 1, "a"), Statement("SELECT name FROM t", (), (OutputColumn(INT4, False),))
    )
    assert (failure.sqlstate, failure.statement) == ("42804", 1)
    assert replica.rows() == []


def test_all_statements_or_none(replica: Replica) -> None:
    replica.write(statement(INSERT, 1, "kept"))
    failure = replica.failure(
        statement(INSERT, 2, "a"),
        statement("UPDATE t SET name = 'changed'"),
        statement(INSERT, 1, "again"),
    )
    assert failure.statement == 2
    assert replica.rows() == [(1, "kept", 0)]


LEAST = "-9223372036854775808"  # abs of it is an error, where a row is computed
LONG = "'a name of more than twenty letters'"  # a CHECK refuses it


@pytest.mark.parametrize(
    "failing",
    [
        statement("INSERT INTO t (id) VALUES (10), (11), (1)"),
        statement(f"INSERT INTO t (id, n) SELECT id + 10, abs(iif(id = 3, {LEAST}, 1)) FROM t"),
        statement(f"INSERT OR REPLACE INTO t (id, name) VALUES (1, 'new'), (2, {LONG})"),
        statement(
            f"INSERT INTO t (id) VALUES (10), (1) ON CONFLICT (id) DO UPDATE SET name = {LONG}"
        ),
        statement("UPDATE t SET n = 9, id = iif(id = 3, 5, id)"),
        statement(f"UPDATE t SET n = 9, name = iif(id = 3, {LONG}, 'b')"),
        statement(f"UPDATE t SET n = abs(iif(id = 3, {LEAST}, 9))"),
        statement(f"DELETE FROM t WHERE abs(iif(id = 3, {LEAST}, 1)) = 1"),
        statement(f"UPDATE t SET n = 9 RETURNING abs(iif(id = 3, {LEAST}, 1))"),
        Statement("UPDATE t SET n = 9 RETURNING name", (), (OutputColumn(INT4, False),)),
        Statement("DELETE FROM t returning name", (), (OutputColumn(INT4, False),)),
    ],
    ids=lambda failing: failing.sql,
)
def test_a_single_statement_that_fails_halfway_leaves_nothing(
    replica: Replica, failing: Statement
) -> None:
    """And the other commands of its batch stay: it is not in a savepoint where SQLite undoes
    the statement."""
    rows = [(id, "a", 0) for id in range(1, 6)]
    replica.write(*(statement(INSERT, id, name) for id, name, _ in rows))
    first = replica.machine.applied + 1
    commands = (statement(INSERT, 6, "a"), failing, statement(INSERT, 7, "a"))
    answers = replica.machine.apply(
        [
            committed(index, encode(replica.command(one)))
            for index, one in enumerate(commands, first)
        ]
    )
    assert [type(answer) for (answer,) in answers] == [Done, SqlFailure, Done]
    assert replica.rows() == [*rows, (6, "a", 0), (7, "a", 0)]


@pytest.mark.parametrize(
    ("failing", "sqlstate", "message"),
    [
        (
            statement(INSERT, 1, "b"),
            "23505",
            'duplicate key value violates unique constraint "t_pkey"',
        ),
        (
            statement(INSERT, None, "b"),
            "23502",
            'null value in column "id" of relation "t" violates not-null constraint',
        ),
        (statement(INSERT, 1 << 31, "b"), "22003", "integer out of range"),
        (
            statement(INSERT, 2, "x" * 20),
            "23514",
            'new row for relation "t" violates check constraint "short_name"',
        ),
        (
            statement(INSERT, "two", "b"),
            "42804",
            'column "id" is of type bigint but expression is of type text',
        ),
        (statement("SELECT pg_div_int4(1, 0)"), "22012", "division by zero"),
        (
            statement("UPDATE t SET n = pg_add_int8(9223372036854775807, id)"),
            "22003",
            "bigint out of range",
        ),
        (
            statement("SELECT pg_cast_int4(name) FROM t WHERE id = 1"),
            "22P02",
            'invalid input syntax for type integer: "a"',
        ),
        (statement("SELECT * FROM nowhere"), "42P01", 'relation "nowhere" does not exist'),
        (statement("SELECT absent FROM t"), "42703", 'column "absent" does not exist'),
        (
            statement("INSERT INTO t (absent) VALUES (1)"),
            "42703",
            'column "absent" of relation "t" does not exist',
        ),
        (statement("SELEC 1"), "42601", 'syntax error at or near "SELEC"'),
        (statement("SELECT 1 FROM"), "42601", "syntax error at end of input"),
        (statement(INSERT, float("nan"), "b"), "0A000", "NaN is not supported as a parameter"),
        (statement("SELECT sum(9223372036854775807) FROM t, t AS u"), "", ""),
    ],
)
def test_errors_are_postgresqls_and_change_nothing(
    replica: Replica, failing: Statement, sqlstate: str, message: str
) -> None:
    replica.write(statement(INSERT, 1, "a"), statement(INSERT, -1, "c"))
    before = replica.rows()
    failure = replica.failure(statement(INSERT, 50, "gone"), failing)
    if sqlstate:
        assert (failure.sqlstate, failure.message) == (sqlstate, message)
    else:
        assert (failure.sqlstate, failure.message) == ("22003", "bigint out of range")
    assert failure.statement == 1
    assert replica.rows() == before


@pytest.mark.parametrize(
    "statement_",
    [
        statement(INSERT, 1),
        statement(INSERT, 1, "a", "b"),
        statement("SELECT 1; SELECT 2"),
        statement("SELECT '\0'"),
        statement(INSERT, 1 << 63, "a"),
    ],
)
def test_what_sqlite3_itself_refuses_is_an_answer_too(
    replica: Replica, statement_: Statement
) -> None:
    assert replica.failure(statement_).sqlstate in ("08P01", "22003")
    replica.write(statement(INSERT, 1, "goes on"))


def test_a_failure_is_remembered_like_any_answer(replica: Replica) -> None:
    command = replica.command(statement(INSERT, None, "a"))
    first = replica.apply(command)
    replica.write(statement("UPDATE t SET n = 1"))
    assert replica.apply(command) == first


def test_an_answer_that_is_too_large_undoes_the_write(replica: Replica) -> None:
    block = "x" * (ANSWER_BYTES_MAX // 4)
    for columns in ((), (OutputColumn(TEXT, False),)):
        failure = replica.failure(
            statement(INSERT, 1, "a"),
            *(Statement("SELECT ?1", (block[:900_000],), columns) for _ in range(9)),
        )
        assert (failure.sqlstate, failure.statement) == ("54000", 9)
        assert "LIMIT" in failure.detail
    assert replica.rows() == []


# --------------------------------------------------------------------------- versions


def test_guards_are_checked_and_a_refusal_is_not_remembered(replica: Replica) -> None:
    command = replica.command(statement(INSERT, 1, "a"), guards=(Guard("slot:5", 2),))
    assert replica.apply(command) == Stale("slot:5", 0, 2)
    assert replica.rows() == []
    replica.write(sets=(SetVersion("slot:5", 2),))
    assert isinstance(replica.apply(command), Done), "the same command, now at the right version"
    assert replica.rows() == [(1, "a", 0)]
    assert replica.apply(replica.command(guards=(Guard("table:t", 0),))) == Stale("table:t", 1, 0)


def test_versions_belong_to_their_write(replica: Replica) -> None:
    replica.failure(statement(INSERT, None, "a"), sets=(SetVersion("table:t", 9),))
    replica.write(guards=(Guard("table:t", 1),))


async def test_versions_survive_a_restart(replica: Replica) -> None:
    await replica.reopen()
    replica.write(statement(INSERT, 1, "a"), guards=(Guard("table:t", 1),))


# --------------------------------------------------------------------------- what SQL may do

REFUSED = [
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT x",
    "RELEASE unit",
    "ATTACH 'x.db' AS x",
    "VACUUM",
    "ANALYZE",
    "PRAGMA user_version = 3",
    "PRAGMA table_info(t)",
    "SELECT * FROM pragma_table_info('t')",
    "SELECT last_insert_rowid()",
    "SELECT changes()",
    "SELECT total_changes()",
    "SELECT load_extension('x')",
    "SELECT sqlite_version()",
    "SELECT * FROM sqlite_schema",
    "DELETE FROM sqlite_master",
    "SELECT * FROM _sessions",
    'UPDATE "_applied" SET idx = 0',
    "DELETE FROM _answers",
    "INSERT INTO t (id) SELECT session FROM _sessions",
    "CREATE TEMP TABLE x (id INTEGER PRIMARY KEY) STRICT",
    "CREATE VIEW v AS SELECT 1",
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE v USING fts5(x)",
    "ALTER TABLE t RENAME TO u",
    "SELECT datetime('now', 'localtime')",
    "INSERT OR ROLLBACK INTO t (id) VALUES (1)",
    "insert /* . */ or\nfail into t (id) values (1)",
    "/*_own*/COMMIT",
    "DROP TABLE _answers",
    "CREATE TABLE _x (id INTEGER PRIMARY KEY) STRICT, WITHOUT ROWID",
    "CREATE INDEX _i ON t (n)",
    "CREATE INDEX i ON _answers (answers)",
    "CREATE TABLE loose (id INTEGER PRIMARY KEY)",
    "CREATE TABLE loose (id INTEGER PRIMARY KEY) STRICT",
    "CREATE TABLE loose AS SELECT 1 AS one",
    "CREATE TABLE f (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK) STRICT, WITHOUT ROWID",
]
SCHEMA_CHANGES = [
    "CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT UNIQUE) STRICT, WITHOUT ROWID",
    "CREATE INDEX t_n ON t (n)",
    "CREATE UNIQUE INDEX t_n ON t (n)",
    "DROP TABLE t",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_sql_may_not_do(replica: Replica, sql: str) -> None:
    before = content(replica.directory)["schema"]
    for sets in ((), (SetVersion("table:x", 1),)):
        failure = replica.failure(statement(INSERT, 1, "a"), statement(sql), sets=sets)
        assert failure.sqlstate in ("42501", "0A000", "42000"), failure
        assert failure.statement in (0, 1)
    assert replica.rows() == []
    assert content(replica.directory)["schema"] == before


@pytest.mark.parametrize("sql", SCHEMA_CHANGES)
def test_the_schema_changes_only_with_a_version(replica: Replica, sql: str) -> None:
    before = content(replica.directory)["schema"]
    assert replica.failure(statement(sql)).sqlstate == "42501"
    assert content(replica.directory)["schema"] == before
    replica.write(statement(sql), sets=(SetVersion("table:t", 2),))
    assert content(replica.directory)["schema"] != before


async def test_a_cached_statement_gives_no_rights(replica: Replica) -> None:
    """A replica that has the text compiled would obey where one that just started refuses."""
    create = statement("CREATE TABLE u (id INTEGER PRIMARY KEY) STRICT, WITHOUT ROWID")
    replica.write(create, sets=(SetVersion("table:u", 1),))
    replica.write(statement("DROP TABLE u"), sets=(SetVersion("table:u", 2),))
    assert replica.failure(create).sqlstate == "42501"
    assert replica.failure(statement("SELECT * FROM _sessions")).sqlstate == "42501"
    await replica.reopen()
    assert replica.failure(create).sqlstate == "42501"


def test_words_in_strings_and_names_are_no_conflict_clauses(replica: Replica) -> None:
    replica.write(statement("INSERT INTO t (id, name) VALUES (1, 'insert or fail into')"))
    replica.write(statement('SELECT 1 AS "on conflict fail" -- insert or fail'))
    replica.write(statement("INSERT OR IGNORE INTO t (id) VALUES (1)"))


def test_check_refuses_before_the_log_what_no_state_would_take(replica: Replica) -> None:
    check = replica.check

    def write(*statements: Statement, sets: tuple[SetVersion, ...] = ()) -> Write:
        return replica.command(*statements, sets=sets)

    assert check(write(statement(INSERT, 1, "a"))) is None
    assert check(write(statement(INSERT, 1, "a"))) is None
    failure = check(write(statement(INSERT, 1, "a"), statement("ATTACH 'x' AS x")))
    assert isinstance(failure, SqlFailure)
    assert (failure.sqlstate, failure.statement) == ("42501", 1)
    failure = check(write(statement("SELEC")))
    assert isinstance(failure, SqlFailure)
    assert failure.sqlstate == "42601"
    big = "x" * (ENTRY_BYTES_MAX - 10)
    failure = check(write(statement(INSERT, 1, big)))
    assert isinstance(failure, SqlFailure)
    assert failure.sqlstate == "54000"
    assert check(OpenSession("r")) is None
    assert check(Fence(replica.session, 1, 0)) is None


def test_check_leaves_to_the_log_what_depends_on_the_state(replica: Replica) -> None:
    """The table may be made by an entry that is committed and not applied here yet."""
    check = replica.check
    assert check(replica.command(statement("INSERT INTO later (id) VALUES (1)"))) is None
    assert check(replica.command(statement("SELECT later FROM t"))) is None
    assert check(replica.command(statement(TABLE), sets=(SetVersion("table:t", 1),))) is None
    drop = statement("DROP TABLE t")
    assert check(replica.command(drop, sets=(SetVersion("table:t", 2),))) is None
    failure = check(replica.command(drop))
    assert isinstance(failure, SqlFailure)
    assert failure.sqlstate == "42501"
    assert replica.rows() == [], "nothing ran"


def test_quick_is_what_the_router_promises_without_schema_changes(replica: Replica) -> None:
    is_quick = replica.machine.is_quick
    write = replica.command(statement(INSERT, 1, "a"))
    assert not is_quick(write)
    assert is_quick(Write(write.session, 1, 0, write.statements, quick=True))
    ddl = Write(write.session, 1, 0, (), (), (SetVersion("a", 1),), quick=True)
    assert not is_quick(ddl)
    assert is_quick(Fence(write.session, 1, 0))
    assert is_quick(OpenSession("r"))


# --------------------------------------------------------------------------- faults


async def test_a_full_disk_is_no_answer(replica: Replica) -> None:
    """Another replica may have room: an answer here would be another state there."""
    replica.write(statement(INSERT, 1, "a"))
    before = content(replica.directory)
    raw = replica.machine._state.writer.raw
    pages = raw.execute("PRAGMA page_count").fetchone()[0]
    raw.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    applied = replica.machine.applied
    batch = [
        committed(applied + 1, encode(replica.command(statement(INSERT, 2, "b")))),
        committed(
            applied + 2,
            encode(
                replica.command(
                    statement("INSERT INTO t (id) SELECT 3 + 1000 * a.id + b.id FROM t a, t b"),
                    *(statement(INSERT, 100 + n, "x" * 19) for n in range(500)),
                )
            ),
        ),
    ]
    with pytest.raises(ReplicaFault, match=r"replica 1 of group s1 stopped: .*full"):
        replica.machine.apply(batch)
    assert replica.machine.applied == applied
    assert content(replica.directory) == before, "nothing of the batch was applied"
    for call in (
        lambda: replica.machine.apply(batch),
        lambda: replica.rows(),
        lambda: replica.check(OpenSession("r")),
    ):
        with pytest.raises(ReplicaFault):
            call()
    await replica.reopen()
    answers = replica.machine.apply(batch)
    assert all(isinstance(answer, Done) for (answer,) in answers)


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_a_function_that_fails_for_this_machine_only_is_no_answer(
    replica: Replica, error: type[Exception]
) -> None:
    def fail(_value: object) -> None:
        raise error

    replica.machine._state.writer.raw.create_function("pg_neg_int4", 1, fail)
    with pytest.raises(ReplicaFault, match=r"MemoryError|user-defined function"):
        replica.write(statement("SELECT pg_neg_int4(1)"))


def test_a_gap_in_the_log_stops_the_replica(replica: Replica) -> None:
    with pytest.raises(ReplicaFault, match="entry 3 is missing before 4"):
        replica.machine.apply([committed(4, b"")])


async def test_a_replica_that_is_closed_says_so(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    await replica.machine.close()
    with pytest.raises(ReplicaFault, match="is closed"):
        replica.machine.apply([committed(3, b"")])
    with pytest.raises(ReplicaFault, match="is closed"):
        replica.rows()


# --------------------------------------------------------------------------- files of others


async def test_files_of_others_are_refused(tmp_path: Path) -> None:
    await Replica(tmp_path).machine.close()
    for change, match in (
        ({"cluster_id": "c2"}, r"data-1\.db belongs to cluster c1, not to c2"),
        ({"group": "s2"}, "belongs to group s1, not to s2"),
        ({"replica": 2}, "belongs to replica 1, not to 2"),
    ):
        identity = {"cluster_id": "c1", "group": "s1", "replica": 1} | change
        with pytest.raises(ReplicaFault, match=match):
            Machine.open(tmp_path, **identity)  # type: ignore[arg-type]  # keywords by table
    connection = sqlite3.connect(tmp_path / "data-1.db")
    connection.execute("UPDATE _machine SET value = '7' WHERE key = 'format'")
    connection.commit()
    connection.close()
    with pytest.raises(ReplicaFault, match="has format 7, this version reads format 5"):
        Replica(tmp_path)


def test_what_is_no_data_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "data-1.db"
    path.write_bytes(b"somebody's notes" * 100)
    with pytest.raises(ReplicaFault, match="cannot be opened"):
        Replica(tmp_path)
    assert path.read_bytes() == b"somebody's notes" * 100
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (x)")
    connection.close()
    with pytest.raises(ReplicaFault, match="is not a data file of this database"):
        Replica(tmp_path)
