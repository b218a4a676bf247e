"""Many rows in few statements make the same table as one statement each."""

from __future__ import annotations

import sqlite3

import pytest

from nodes.row_insert import ROWS, RowInsert

INSERT = "INSERT INTO t VALUES (?,?)"


def table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB) STRICT, WITHOUT ROWID")
    return connection


@pytest.mark.parametrize("count", [0, 1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS, 3 * ROWS + 5])
def test_all_rows_are_there(count: int) -> None:
    rows = [(n, None if n % 3 else b"%d" % n) for n in range(count)]
    connection = table()
    RowInsert(INSERT).run(connection, rows)
    assert connection.execute("SELECT * FROM t ORDER BY a").fetchall() == rows


@pytest.mark.parametrize("place", [0, ROWS + 3, 3 * ROWS])
def test_a_row_that_is_there_already_is_an_error(place: int) -> None:
    connection = table()
    connection.execute("INSERT INTO t VALUES (?, NULL)", (place,))
    with pytest.raises(sqlite3.IntegrityError):
        RowInsert(INSERT).run(connection, [(n, None) for n in range(3 * ROWS + 1)])
