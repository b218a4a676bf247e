"""Free pages of a data file are given back, a little at a time, and its -wal with the last."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nodes.free_pages import PAGES_AT_ONCE, FreePages
from nodes.sql_connection import SqlConnection

BYTES_MAX = 1024 * 1024
PIECE = 16 * 1024
PIECES = 4 * BYTES_MAX // PIECE
PAGE = 4096


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[SqlConnection]:
    """What was sent ahead lies before the rows that are made of it, in one transaction."""
    with closing(SqlConnection(tmp_path / "data.db", is_writer=True)) as connection:
        load(connection)
        yield connection


def load(connection: SqlConnection) -> None:
    raw = connection.raw
    raw.execute("BEGIN")
    for table in ("ahead", "rows"):
        raw.execute(f"CREATE TABLE {table} (k INTEGER PRIMARY KEY, v BLOB) STRICT, WITHOUT ROWID")
        raw.executemany(
            f"INSERT INTO {table} VALUES (?, ?)",
            ((number, number.to_bytes(4) * (PIECE // 4)) for number in range(PIECES)),
        )
    raw.execute("COMMIT")


def is_due(pages: FreePages) -> bool:
    return pages.is_due  # asked again, for each answer may be another


def size_of(connection: SqlConnection, suffix: str = "") -> int:
    (_, _, path) = connection.raw.execute("PRAGMA database_list").fetchone()
    return Path(path + suffix).stat().st_size


def checkpoint(connection: SqlConnection) -> None:
    connection.raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def test_what_was_sent_ahead_is_given_back(loaded: SqlConnection) -> None:
    pages = FreePages(loaded.raw, BYTES_MAX)
    assert not is_due(pages)
    loaded.raw.execute("DELETE FROM ahead")
    pages.freed(PIECES * PIECE)
    assert is_due(pages)
    before = size_of(loaded)
    turns = 0
    while is_due(pages):
        pages.give_back()
        turns += 1
    free = PIECES * PIECE - BYTES_MAX
    assert free // (PAGES_AT_ONCE * PAGE) <= turns <= free // (PAGES_AT_ONCE * PAGE) + 2
    assert size_of(loaded, "-wal") == 0
    assert before - size_of(loaded) >= free - PAGES_AT_ONCE * PAGE
    assert loaded.raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    rows = loaded.raw.execute("SELECT k, v FROM rows ORDER BY k").fetchall()
    assert rows == [(number, number.to_bytes(4) * (PIECE // 4)) for number in range(PIECES)]


def test_a_start_finds_what_is_free(loaded: SqlConnection) -> None:
    loaded.raw.execute("DELETE FROM ahead")
    assert FreePages(loaded.raw, BYTES_MAX).is_due


def test_few_are_left_for_the_next_load(loaded: SqlConnection) -> None:
    loaded.raw.execute("DELETE FROM ahead WHERE k < 3")
    pages = FreePages(loaded.raw, BYTES_MAX)
    pages.freed(3 * PIECE)
    assert not is_due(pages)


def test_who_reads_keeps_the_wal_and_nobody_waits(loaded: SqlConnection, tmp_path: Path) -> None:
    pages = FreePages(loaded.raw, BYTES_MAX)
    with closing(sqlite3.connect(tmp_path / "data.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        (count,) = reader.execute("SELECT count(*) FROM ahead").fetchone()
        loaded.raw.execute("DELETE FROM ahead")
        pages.freed(PIECES * PIECE)
        while is_due(pages):
            pages.give_back()
        assert reader.execute("SELECT count(*) FROM ahead").fetchone() == (count,)
        assert size_of(loaded, "-wal") > 0
    (waits_ms,) = loaded.raw.execute("PRAGMA busy_timeout").fetchone()
    assert waits_ms == 1000


def test_a_file_that_was_made_without_is_left_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "data.db", isolation_level=None)) as old:
        old.execute("CREATE TABLE old (k INTEGER PRIMARY KEY) STRICT, WITHOUT ROWID")
    with closing(SqlConnection(tmp_path / "data.db", is_writer=True)) as connection:
        load(connection)
        connection.raw.execute("DELETE FROM ahead")
        pages = FreePages(connection.raw, BYTES_MAX)
        assert not is_due(pages)
        pages.freed(PIECES * PIECE)
        assert is_due(pages), "its -wal is as large as that of others"
        assert size_of(connection, "-wal") > PIECES * PIECE
        checkpoint(connection)
        before = size_of(connection)
        pages.give_back()
        assert not is_due(pages)
        assert size_of(connection, "-wal") == 0
        assert size_of(connection) == before
