"""Changes of the schema as steps of a transaction: foreign keys act on its other steps, and outlive
a table that is made anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.outcome_digest import digest_of
from nodes.protocol import (
    Defined,
    Done,
    Guard,
    Mark,
    SetVersion,
    Speculate,
    Speculated,
    SqlFailure,
    Statement,
    Transaction,
    Write,
)
from tests.nodes.block import LIMITS, Block
from tests.nodes.replica import Replica, content, statement

PARENT = 'CREATE TABLE "p" ("id" INTEGER NOT NULL, PRIMARY KEY ("id")) STRICT, WITHOUT ROWID'
CHILD = (
    'CREATE TABLE "c" ("id" INTEGER NOT NULL, "p" INTEGER, PRIMARY KEY ("id"), '
    'FOREIGN KEY ("p") REFERENCES "p" ("id") ON DELETE CASCADE) STRICT, WITHOUT ROWID'
)
TREE = (
    'CREATE TABLE "tree" ("id" INTEGER NOT NULL, "up" INTEGER, PRIMARY KEY ("id"), '
    'FOREIGN KEY ("up") REFERENCES "tree" ("id") ON DELETE CASCADE) STRICT, WITHOUT ROWID'
)
SETS = (SetVersion("table:p", 2),)
CHILDREN = "SELECT id, p FROM c ORDER BY id"


def rebuilt(text: str, name: str, columns: str, more: str) -> tuple[str, ...]:
    """The table, with one more constraint."""
    return (
        text.replace(f'TABLE "{name}"', 'TABLE "_rebuild"').replace("PRIMARY", f"{more}, PRIMARY"),
        f'INSERT INTO "_rebuild" ({columns}) SELECT {columns} FROM "{name}"',
        f'DROP TABLE "{name}"',
        f'ALTER TABLE "_rebuild" RENAME TO "{name}"',
    )


REBUILD = rebuilt(PARENT, "p", '"id"', "CHECK (id < 9)")


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    replica = Replica(tmp_path)
    replica.write(
        statement(PARENT), statement(CHILD), statement(TREE), sets=(SetVersion("table:p", 1),)
    )
    replica.write(statement("INSERT INTO p VALUES (1), (2)"))
    replica.write(statement("INSERT INTO c VALUES (10, 1), (11, 2), (12, NULL)"))
    replica.write(statement("INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2)"))
    yield replica
    replica.machine.close_files()


class Ddl(Block):
    """A block that changes the schema."""

    def define(self, replica: Replica, *texts: str) -> str:
        """The SQLSTATE of a change, empty if it was made."""
        step = Defined(tuple(map(Statement, texts)))
        transaction = Transaction(self.now_us, self.seed, (*self.steps, step))
        answer = replica.machine.speculate_now(Speculate(self.id, transaction), LIMITS, 10.0)
        assert isinstance(answer, Speculated), answer
        outcome = answer.result or answer.failure
        assert outcome is not None
        self.steps.append(Defined(step.statements, digest_of(outcome)))
        return outcome.sqlstate if isinstance(outcome, SqlFailure) else ""

    def ends(
        self, replica: Replica, sets: tuple[SetVersion, ...] = SETS, guards: tuple[Guard, ...] = ()
    ) -> object:
        """What COMMIT is answered."""
        replica.machine.give_up_speculation()
        replica.seq += 1
        transaction = Transaction(self.now_us, self.seed, tuple(self.steps))
        return replica.apply(
            Write(replica.session, replica.seq, 0, (), guards, sets, transaction=transaction)
        )


def test_a_parent_made_anew_keeps_its_children_and_foreign_keys_act_before_and_after(
    replica: Replica,
) -> None:
    block, machine = Ddl("b"), replica.machine
    assert block.fails(machine, "INSERT INTO c VALUES (13, 7)") == "23503"
    block = Ddl("b2")
    block.rows(machine, "DELETE FROM p WHERE id = 2")
    assert block.rows(machine, CHILDREN) == [(10, 1), (12, None)]
    assert block.define(replica, *REBUILD) == ""
    assert block.rows(machine, CHILDREN) == [(10, 1), (12, None)]
    block.mark(Mark("savepoint", 1))
    assert block.fails(machine, "INSERT INTO p VALUES (9)") == "23514"
    block.mark(Mark("rollback", 1))
    assert block.fails(machine, "INSERT INTO c VALUES (14, 8)") == "23503"
    block.mark(Mark("rollback", 1))
    block.rows(machine, "INSERT INTO p VALUES (8)")
    block.rows(machine, "INSERT INTO c VALUES (14, 8)")
    before = content(replica.directory)
    assert isinstance(block.ends(replica), Done)
    assert content(replica.directory) != before
    assert replica.rows(CHILDREN) == [(10, 1), (12, None), (14, 8)]
    replica.write(statement("DELETE FROM p WHERE id = 8"))
    assert replica.rows(CHILDREN) == [(10, 1), (12, None)], "the foreign key is there again"
    assert replica.failure(statement("INSERT INTO p VALUES (9)")).sqlstate == "23514"


def test_a_table_that_refers_to_itself_is_made_anew(replica: Replica) -> None:
    block, machine = Ddl("b"), replica.machine
    texts = rebuilt(TREE, "tree", '"id", "up"', "CHECK (id < 9)")
    assert block.define(replica, *texts) == ""
    everything = "SELECT id, up FROM tree ORDER BY id"
    assert block.rows(machine, everything) == [(1, None), (2, 1), (3, 2)]
    block.rows(machine, "DELETE FROM tree WHERE id = 2")
    assert block.rows(machine, everything) == [(1, None)]
    assert isinstance(block.ends(replica), Done)
    assert replica.rows(everything) == [(1, None)]
    assert replica.failure(statement("INSERT INTO tree VALUES (4, 2)")).sqlstate == "23503"


def test_rolled_back_to_a_savepoint_nothing_of_it_is_left(replica: Replica) -> None:
    block, machine = Ddl("b"), replica.machine
    block.mark(Mark("savepoint", 1))
    assert block.define(replica, *REBUILD) == ""
    assert block.define(replica, PARENT.replace('"p"', '"n"')) == ""
    block.rows(machine, "INSERT INTO n VALUES (1)")
    assert block.define(replica, 'CREATE UNIQUE INDEX "i" ON "c" ("p" IS NULL)') == "23505"
    block.mark(Mark("rollback", 1))
    block.rows(machine, "INSERT INTO p VALUES (9)")
    block.rows(machine, "DELETE FROM p WHERE id = 1")
    assert block.rows(machine, CHILDREN) == [(11, 2), (12, None)]
    assert isinstance(block.ends(replica), Done)
    assert replica.rows(CHILDREN) == [(11, 2), (12, None)]
    assert replica.failure(statement("SELECT 1 FROM n")).sqlstate == "42P01"


def test_what_was_given_up_leaves_the_schema_as_it_was(replica: Replica) -> None:
    block, machine = Ddl("b"), replica.machine
    before = content(replica.directory)
    assert block.define(replica, *REBUILD) == ""
    machine.give_up_speculation()
    assert content(replica.directory) == before
    replica.write(statement("DELETE FROM p WHERE id = 1"))
    assert replica.rows(CHILDREN) == [(11, 2), (12, None)]
    # It runs again, and is what it was.
    assert block.rows(machine, CHILDREN) == [(11, 2), (12, None)]
    assert block.fails(machine, "INSERT INTO p VALUES (9)") == "23514"


def test_what_was_given_up_is_not_taken_for_what_others_have_made(replica: Replica) -> None:
    """SQLite tells by the number of changes whether the schema that it has read is that of the
    file: after as many others as were given up that says nothing."""
    machine, made = replica.machine, 0
    for changes in range(1, 9):
        block = Ddl(f"given up {changes}")
        assert block.define(replica, *REBUILD) == ""
        assert block.fails(machine, "INSERT INTO p VALUES (9)") == "23514"
        machine.give_up_speculation()
        for _ in range(changes):
            made += 1
            replica.write(
                statement(PARENT.replace('"p"', f'"n{made}"')), sets=(SetVersion("table:n", made),)
            )
        block = Ddl(f"after {changes}")
        block.rows(machine, "INSERT INTO p VALUES (9)")
        assert block.rows(machine, "SELECT id FROM p ORDER BY id") == [(1,), (2,), (9,)], changes
        machine.give_up_speculation()


def test_a_parent_that_lost_rows_is_refused(replica: Replica) -> None:
    block = Ddl("b")
    fewer = REBUILD[1] + " WHERE id = 1"
    assert block.define(replica, REBUILD[0], fewer, *REBUILD[2:]) == "23503"


def test_a_text_that_was_not_foreseen_is_refused(replica: Replica) -> None:
    other = CHILD.replace('"c"', '"d"').replace('REFERENCES "p"', "REFERENCES p")
    replica.write(statement(other), sets=(SetVersion("table:d", 1),))
    assert Ddl("b").define(replica, *REBUILD) == "0A000"


def test_the_schema_changes_only_together_with_a_version(replica: Replica) -> None:
    block = Ddl("b")
    assert block.define(replica, *REBUILD) == ""
    answer = block.ends(replica, ())
    assert isinstance(answer, SqlFailure)
    assert answer.sqlstate == "42501"
    assert block.fails(replica.machine, 'DROP TABLE "c"') == "42501"
