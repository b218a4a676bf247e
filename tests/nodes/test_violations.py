"""The row that a constraint refused: found again, the same everywhere, without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.protocol import SetVersion, Violation
from tests.nodes.replica import Replica, content, statement

PARENT = "CREATE TABLE p (id INTEGER NOT NULL, PRIMARY KEY (id)) STRICT, WITHOUT ROWID"
CHILD = (
    'CREATE TABLE c (id INTEGER NOT NULL, v TEXT DEFAULT (hex(randomblob(2))), "odd "" name" TEXT '
    "NOT NULL DEFAULT 'RETURNING', p INTEGER, CONSTRAINT \"v\"\"s\" CHECK (v <> 'bad'), "
    "PRIMARY KEY (id), UNIQUE (v), FOREIGN KEY (p) REFERENCES p (id)) STRICT, WITHOUT ROWID"
)
REFUSED = {
    'INSERT INTO "c" ("id", "v") VALUES (?1, \'x\') RETURNING "id"': Violation(
        "unique", "c", ("id",), "", (1,)
    ),
    'INSERT INTO "c" ("id", "v", "p") SELECT id + 5, \'a\', ?1 FROM p': Violation(
        "unique", "c", ("v",), "", ("a",)
    ),
    'INSERT INTO "c" ("id", "v") VALUES (?1 + 8, \'bad\') ON CONFLICT ("id") DO NOTHING': Violation(
        "check", "c", (), 'v"s', (9, "bad", "RETURNING", None)
    ),
    'INSERT INTO "c" AS t0 ("id", "v") VALUES (7, \'q\'), (?1 + 8, \'a\') '
    'ON CONFLICT ("id") DO UPDATE SET "v" = excluded."v"': Violation(
        "unique", "c", ("v",), "", ("a",)
    ),
    'UPDATE "c" SET "v" = \'bad\' WHERE "id" = ?1': Violation(
        "check", "c", (), 'v"s', (1, "bad", "RETURNING", 1)
    ),
    'UPDATE "c" SET "odd "" name" = NULL WHERE "id" = ?1': Violation(
        "not null", "c", ('odd " name',), "", (1, "a", None, 1)
    ),
    'UPDATE "c" SET "p" = ?1 + 6 RETURNING "v"': Violation("reference", "c", ("p",), "", (7,), "p"),
    'DELETE FROM "p" WHERE "id" = ?1': Violation("referenced", "c", ("p",), "", (1,), "p"),
}


@pytest.mark.parametrize(("sql", "violation"), REFUSED.items(), ids=range(len(REFUSED)))
async def test_the_row_is_found_and_nothing_else_is_left(
    tmp_path: Path, sql: str, violation: Violation
) -> None:
    replicas = [Replica(tmp_path / name) for name in "ab"]
    contents = []
    for replica in replicas:
        replica.write(statement(PARENT), statement(CHILD), sets=(SetVersion("table:c", 1),))
        replica.write(
            statement("INSERT INTO p VALUES (1)"),
            statement("INSERT INTO c (id, v, p) VALUES (1, 'a', 1), (2, 'b', NULL)"),
        )
        before = content(replica.directory)
        refused = replica.failure(statement(sql, 1))
        assert refused.violation == violation
        after = content(replica.directory)
        contents.append(after)
        for name in ("p", "c", "schema"):
            assert after[name] == before[name]
        replica.write(statement("INSERT INTO c (id, p) VALUES (3, 1)"))
        await replica.machine.close()
    assert contents[0] == contents[1]
