"""Entries that change the schema: foreign keys outlive a rebuilt table, and are kept otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes.engine import Answers
from nodes.protocol import Done, EntryBody, SetVersion, SqlFailure
from tests.nodes.replica import Replica, committed, encode, statement

PARENT = "CREATE TABLE p (id INTEGER NOT NULL, PRIMARY KEY (id)) STRICT, WITHOUT ROWID"
CHILD = (
    "CREATE TABLE c (id INTEGER NOT NULL, p INTEGER, PRIMARY KEY (id), "
    "FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE) STRICT, WITHOUT ROWID"
)
REBUILD = (
    PARENT.replace("TABLE p", 'TABLE "_rebuild"').replace("NOT NULL,", "NOT NULL CHECK (id < 9),"),
    'INSERT INTO "_rebuild" (id) SELECT id FROM p',
    "DROP TABLE p",
    'ALTER TABLE "_rebuild" RENAME TO "p"',
)
CHILDREN = "SELECT id, p FROM c ORDER BY id"


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[Replica]:
    replica = Replica(tmp_path)
    replica.write(statement(PARENT), statement(CHILD), sets=(SetVersion("table:p", 1),))
    replica.write(statement("INSERT INTO p VALUES (1), (2)"))
    replica.write(statement("INSERT INTO c VALUES (10, 1), (11, 2), (12, NULL)"))
    yield replica
    await replica.machine.close()


def test_a_rebuilt_parent_keeps_its_children(replica: Replica) -> None:
    replica.write(*map(statement, REBUILD), sets=(SetVersion("table:p", 2),))
    assert replica.rows(CHILDREN) == [(10, 1), (11, 2), (12, None)]
    assert replica.failure(statement("INSERT INTO p VALUES (9)")).sqlstate == "23514"
    replica.write(statement("DELETE FROM p WHERE id = 1"))
    assert replica.rows(CHILDREN) == [(11, 2), (12, None)], "foreign keys are on again"


def test_a_foreign_key_is_kept_outside_of_schema_entries(replica: Replica) -> None:
    assert replica.failure(statement("INSERT INTO c VALUES (13, 7)")).sqlstate == "23503"
    assert replica.failure(statement("UPDATE c SET p = 7 WHERE id = 10")).sqlstate == "23503"


def test_an_entry_that_leaves_a_row_without_its_parent_is_refused_whole(replica: Replica) -> None:
    for sql in ("DROP TABLE p", "DELETE FROM p"):
        refused = replica.failure(statement(sql), sets=(SetVersion("table:p", 2),))
        assert refused.sqlstate == "23503"
        assert replica.rows("SELECT id FROM p ORDER BY id") == [(1,), (2,)]
    assert replica.rows(CHILDREN) == [(10, 1), (11, 2), (12, None)]


def test_entries_before_and_after_it_in_a_batch_keep_their_foreign_keys(replica: Replica) -> None:
    bodies: list[EntryBody] = [
        replica.command(statement("DELETE FROM p WHERE id = 2")),
        replica.command(*map(statement, REBUILD), sets=(SetVersion("table:p", 2),)),
        replica.command(statement("INSERT INTO c VALUES (14, 2)")),
        replica.command(statement("DELETE FROM p WHERE id = 1")),
    ]
    first = replica.machine.applied + 1
    batch = [committed(first + i, encode(body)) for i, body in enumerate(bodies)]
    answers: list[Answers] = replica.machine.apply(batch)
    kinds = [type(answer) for (answer,) in answers]
    assert kinds == [Done, Done, SqlFailure, Done]
    assert replica.rows(CHILDREN) == [(12, None)]
