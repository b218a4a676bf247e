"""Replicas stay equal through changes of the schema, refused rows and cascades, however the log was
cut into batches, and after a restart in the middle."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from nodes.engine import Answers
from nodes.protocol import Done, EntryBody, OpenSession, SessionId, SetVersion, SqlFailure, Write
from tests.nodes.replica import Replica, batches, content, encode, statement

PARENT = (
    'CREATE TABLE "{name}" ("id" INTEGER NOT NULL, "v" TEXT DEFAULT (hex(randomblob(3))), '
    'CONSTRAINT "small" CHECK ("id" < {limit}), PRIMARY KEY ("id")) STRICT, WITHOUT ROWID'
)
CHILD = (
    'CREATE TABLE "c" ("p" INTEGER, "n" INTEGER NOT NULL DEFAULT 3, "ctid" INTEGER NOT NULL '
    'DEFAULT (pg_row_id()), PRIMARY KEY ("ctid"), FOREIGN KEY ("p") REFERENCES "p" ("id") '
    "ON DELETE {action}) STRICT, WITHOUT ROWID"
)


def random_log(rng: random.Random, length: int) -> list[bytes]:
    session = SessionId(1, 1)
    actions = ["CASCADE", "SET NULL", "NO ACTION"]
    first = (PARENT.format(name="p", limit=40), CHILD.format(action=rng.choice(actions)))
    log = [encode(OpenSession("r1"))]
    version = seq = 0
    while len(log) < length:
        seq += 1
        change: list[str] = []
        if len(log) == 1:
            change = list(first)
        elif rng.random() < 0.15:
            change = _change(rng, actions)
        if change:
            version += 1
            sets = (SetVersion("table:p", version), SetVersion("table:c", version))
            body: EntryBody = Write(session, seq, 0, tuple(map(statement, change)), (), sets)
        else:
            texts = [_dml(rng) for _ in range(rng.randint(1, 2))]
            body = Write(session, seq, 0, tuple(map(statement, texts)))
        log.append(encode(body, now_us=seq * 1000, seed=rng.getrandbits(40)))
    return log


def _change(rng: random.Random, actions: list[str]) -> list[str]:
    rebuilt = PARENT.format(name="_rebuild", limit=rng.choice((30, 40, 50)))
    return rng.choice(
        [
            [
                rebuilt,
                'INSERT INTO "_rebuild" ("id", "v") SELECT "id", "v" FROM "p"',
                'DROP TABLE "p"',
                'ALTER TABLE "_rebuild" RENAME TO "p"',
            ],
            ['DROP TABLE "c"', CHILD.format(action=rng.choice(actions))],
            ['CREATE UNIQUE INDEX "i" ON "c" ("n", "p")'],
            ['DROP INDEX "i"'],
            ['DELETE FROM "c"', 'DELETE FROM "p"'],
            ['DELETE FROM "p"'],  # leaves children behind, unless there are none
        ]
    )


def _dml(rng: random.Random) -> str:
    a, b = rng.randrange(50), rng.randrange(50)
    return rng.choice(
        [
            f'INSERT INTO "p" ("id") VALUES ({a}), ({b})',
            f'INSERT INTO "p" ("id", "v") VALUES ({a}, \'x\')',
            f'INSERT INTO "c" ("p") VALUES ({a}), (NULL)',
            f'INSERT INTO "c" ("p", "n") SELECT "id", {b} FROM "p" WHERE "id" < {a}',
            f'UPDATE "c" SET "p" = {a} WHERE "p" = {b}',
            f'UPDATE "c" SET "n" = NULL WHERE "p" < {a}',
            f'UPDATE "p" SET "id" = "id" + {a} WHERE "id" = {b}',
            f'DELETE FROM "p" WHERE "id" < {a // 4}',
        ]
    )


async def applied(directory: Path, log: list[bytes], cuts: list[int]) -> list[Answers]:
    replica = Replica(directory, setup=False)
    answers = []
    for number, batch in enumerate(batches(log, cuts)):
        answers += replica.machine.apply(batch)
        if number % 7 == 6:
            await replica.reopen()
    await replica.machine.close()
    return answers


@pytest.mark.parametrize("seed", range(4))
async def test_replicas_are_equal_after_any_mix_of_changes(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    log = random_log(rng, 120)
    first = await applied(tmp_path / "a", log, [])
    second = await applied(tmp_path / "b", log, sorted(rng.sample(range(120), 40)))
    assert first == second
    assert content(tmp_path / "a") == content(tmp_path / "b")
    kinds = [answer for answers in first for answer in answers]
    refused = {answer.sqlstate for answer in kinds if isinstance(answer, SqlFailure)}
    assert {"23505", "23503"} <= refused
    assert any(isinstance(a, SqlFailure) and a.violation is not None for a in kinds)
    assert sum(isinstance(answer, Done) for answer in kinds) > 20
