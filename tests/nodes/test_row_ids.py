"""The hidden keys of rows without a primary key: the same on every replica, never given twice."""

from __future__ import annotations

import random
from pathlib import Path

from nodes.engine import Answers
from nodes.protocol import EntryBody, OpenSession, SessionId, SetVersion, Statement, Write
from tests.nodes.replica import Replica, batches, content, encode, statement

TABLE = (
    'CREATE TABLE h ("a" INTEGER UNIQUE, "b" TEXT, "ctid" INTEGER NOT NULL DEFAULT (pg_row_id()), '
    'PRIMARY KEY ("ctid")) STRICT, WITHOUT ROWID'
)
ROWS = "SELECT a, b, ctid FROM h ORDER BY ctid"


def random_log(rng: random.Random, length: int) -> list[bytes]:
    """Inserts of one and of several rows, some refused half way, deletions, commands of several
    statements, and entries of several commands."""
    log = [encode(OpenSession("r1")), b""]
    session = SessionId(1, 1)
    log[1] = encode(Write(session, 1, 0, (statement(TABLE),), (), (SetVersion("table:h", 1),)))
    seq = 1
    while len(log) < length:
        bodies: list[EntryBody] = []
        for _ in range(rng.randint(1, 3)):
            seq += 1
            statements = tuple(_statement(rng) for _ in range(rng.randint(1, 3)))
            bodies.append(Write(session, seq, seq - 1, statements))
        log.append(encode(*bodies, now_us=rng.randrange(1 << 40), seed=rng.getrandbits(40)))
    return log


def _statement(rng: random.Random) -> Statement:
    chance = rng.random()
    if chance < 0.2:
        return statement("DELETE FROM h WHERE a = ?1", rng.randrange(20))
    if chance < 0.4:
        return statement("INSERT INTO h (a, b) SELECT a + 100, 'copy' FROM h WHERE a < ?1", 5)
    values = ", ".join(f"({rng.randrange(60)}, 'x')" for _ in range(rng.randint(1, 4)))
    return statement(f"INSERT INTO h (a, b) VALUES {values}")


def applied(directory: Path, log: list[bytes], cuts: list[int]) -> list[Answers]:
    replica = Replica(directory, setup=False)
    answers = [a for batch in batches(log, cuts) for a in replica.machine.apply(batch)]
    replica.machine.close_files()
    return answers


def test_replicas_agree_on_the_keys_however_the_log_was_cut(tmp_path: Path) -> None:
    rng = random.Random(11)
    log = random_log(rng, 60)
    first = applied(tmp_path / "a", log, [])
    second = applied(tmp_path / "b", log, sorted(rng.sample(range(60), 20)))
    assert first == second
    one, other = content(tmp_path / "a"), content(tmp_path / "b")
    assert one == other
    assert len(one["h"]) > 10, "the log has to leave rows"


async def test_keys_go_on_after_a_restart_and_after_deletions(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.write(statement(TABLE), sets=(SetVersion("table:h", 1),))
    replica.write(statement("INSERT INTO h (a, b) VALUES (2, 'x'), (1, 'y')"))
    before = replica.rows(ROWS)
    assert [row[:2] for row in before] == [(2, "x"), (1, "y")], "in the order of insertion"
    replica.write(statement("DELETE FROM h"))
    await replica.reopen()
    replica.write(statement("INSERT INTO h (a, b) VALUES (3, 'z')"))
    ((_, _, key),) = replica.rows(ROWS)
    assert key not in {row[2] for row in before}
    assert isinstance(key, int)
    assert key > max(row[2] for row in before if isinstance(row[2], int))
    await replica.machine.close()


async def test_two_commands_of_one_entry_get_different_keys(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.write(statement(TABLE), sets=(SetVersion("table:h", 1),))
    insert = statement("INSERT INTO h (a) VALUES (NULL), (NULL)")
    replica.together(replica.command(insert), replica.command(insert, insert))
    assert len({row[2] for row in replica.rows(ROWS)}) == 6
    await replica.machine.close()
