"""Transactions on a real data file: what speculation answers, and what COMMIT makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes import bounds
from nodes.bounds import Stop, Stopped
from nodes.protocol import (
    TRANSACTION_STEPS_MAX,
    Done,
    Guard,
    Mark,
    NotOpen,
    Ran,
    SetVersion,
    Speculate,
    Speculated,
    SqlFailure,
    Stale,
    Statement,
    Transaction,
)
from tests.nodes.block import LIMITS, Block
from tests.nodes.replica import INSERT, Replica, content, statement

READ = "SELECT n FROM t WHERE id = ?1"
ADD = "UPDATE t SET n = n + ?2 WHERE id = ?1"
ENDLESS = "SELECT count(*) FROM t a, t b, t c, t d, t e, t f, t g, t h"


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    replica = Replica(tmp_path)
    replica.write(*(statement(INSERT, key, f"name {key}") for key in range(20)))
    yield replica
    replica.machine.close_files()


def commit(replica: Replica, block: Block, guards: tuple[Guard, ...] = ()) -> object:
    replica.machine.give_up_speculation()  # as the applier has it done
    replica.seq += 1
    return replica.apply(block.commit(replica.session, replica.seq, guards))


def test_a_transaction_sees_its_own_writes_and_nobody_else_does(replica: Replica) -> None:
    machine = replica.machine
    before = content(replica.directory)
    block = Block("t1")
    assert block.rows(machine, READ, 1) == [(0,)]
    assert block.rows(machine, ADD, 1, 5) == []
    assert block.rows(machine, READ, 1) == [(5,)]
    assert machine.is_speculating
    assert replica.rows("SELECT n FROM t WHERE id = 1") == [(0,)]
    machine.give_up_speculation()
    assert content(replica.directory) == before
    answer = commit(replica, block)
    assert isinstance(answer, Done)
    assert answer.results == ()
    assert replica.rows("SELECT n FROM t WHERE id = 1") == [(5,)]


def test_what_was_given_up_is_run_again_and_held_to_its_answers(replica: Replica) -> None:
    machine = replica.machine
    one, two = Block("one"), Block("two")
    one.rows(machine, ADD, 1, 1)
    two.rows(machine, READ, 2)  # takes the place of the first
    assert one.rows(machine, READ, 1) == [(1,)]
    machine.give_up_speculation()
    replica.write(statement(ADD, 2, 7))
    assert one.rows(machine, READ, 1) == [(1,)]  # what it saw is as it was
    machine.give_up_speculation()
    refused = two.answered(machine, READ, 3)
    assert isinstance(refused, SqlFailure)
    assert (refused.sqlstate, refused.statement) == ("40001", 0)
    assert not machine.is_speculating
    assert isinstance(commit(replica, one), Done)


def test_commit_of_what_would_be_answered_otherwise_changes_nothing(replica: Replica) -> None:
    machine = replica.machine
    block = Block("b")
    block.rows(machine, ADD, 3, 1)
    [(seen,)] = block.rows(machine, READ, 1)
    block.rows(machine, ADD, 2, seen)
    machine.give_up_speculation()
    replica.write(statement(ADD, 1, 1))
    before = replica.rows()
    refused = commit(replica, block)
    assert isinstance(refused, SqlFailure)
    assert (refused.sqlstate, refused.statement) == ("40001", 1)
    assert replica.rows() == before
    again = block.commit(replica.session, replica.seq)
    assert replica.apply(again) == refused  # remembered like any answer


def test_counts_of_rows_are_compared_but_sums_commute(replica: Replica) -> None:
    machine = replica.machine
    one, two, three = Block("one"), Block("two"), Block("three")
    one.rows(machine, ADD, 1, 1)
    two.rows(machine, ADD, 1, 10)
    three.rows(machine, "UPDATE t SET n = 9 WHERE n = 0")
    machine.give_up_speculation()
    assert isinstance(commit(replica, one), Done)
    assert isinstance(commit(replica, two), Done)
    assert replica.rows("SELECT n FROM t WHERE id = 1") == [(11,)]
    refused = commit(replica, three)  # it changed 20 rows, and would change 19
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "40001"


def test_savepoints_and_failures_are_steps(replica: Replica) -> None:
    machine = replica.machine
    block = Block("b")
    block.rows(machine, ADD, 1, 1)
    block.mark(Mark("savepoint", 1))
    block.rows(machine, ADD, 1, 100)
    block.mark(Mark("savepoint", 2))
    assert block.fails(machine, INSERT, 2, "there is one") == "23505"
    block.mark(Mark("rollback", 2))
    block.rows(machine, ADD, 4, 4)
    block.mark(Mark("release", 2))
    block.mark(Mark("rollback", 1))
    block.rows(machine, ADD, 5, 5)
    assert block.rows(machine, READ, 1) == [(1,)]
    machine.give_up_speculation()
    assert isinstance(commit(replica, block), Done)
    rows = replica.rows("SELECT id, n FROM t WHERE n <> 0 ORDER BY id")
    assert rows == [(1, 1), (5, 5)]


def test_a_failure_that_would_not_happen_any_more_is_a_difference(replica: Replica) -> None:
    machine = replica.machine
    block = Block("b")
    block.mark(Mark("savepoint", 1))
    assert block.fails(machine, INSERT, 2, "there is one") == "23505"
    block.mark(Mark("rollback", 1))
    block.rows(machine, ADD, 1, 1)
    machine.give_up_speculation()
    replica.write(statement("DELETE FROM t WHERE id = 2"))
    refused = commit(replica, block)
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "40001"
    assert replica.rows("SELECT id FROM t WHERE id = 2") == []


def test_steps_may_be_left_out_while_the_leader_has_them(replica: Replica) -> None:
    machine = replica.machine
    block = Block("b")
    block.rows(machine, ADD, 1, 1)
    asked = block.ask(READ, 1, leave_out=True)
    assert len(asked.transaction.steps) == 1
    answer = machine.speculate_now(asked, LIMITS, 10.0)
    assert isinstance(answer, Speculated)
    assert answer.result is not None
    assert answer.result.values == ((1,),)
    block.took(asked, answer.result)
    machine.give_up_speculation()
    assert machine.speculate_now(block.ask(READ, 2, leave_out=True), LIMITS, 10.0) == NotOpen()
    assert block.rows(machine, READ, 2) == [(0,)]


def test_a_statement_that_its_client_gave_up_is_no_step(replica: Replica) -> None:
    """A copy that came late has run; the next statement comes without it."""
    machine = replica.machine
    block = Block("b")
    block.rows(machine, ADD, 1, 1)
    machine.speculate_now(block.ask(ADD, 1, 100), LIMITS, 10.0)
    assert block.rows(machine, READ, 1) == [(1,)]


def test_time_and_chance_are_those_of_begin(replica: Replica) -> None:
    machine = replica.machine
    sql = "SELECT random(), datetime('now')"
    block = Block("b", now_us=1_600_000_000_000_000, seed=3)
    first, second = block.rows(machine, sql), block.rows(machine, sql)
    assert first != second  # each draws for itself
    assert first[0][1] == second[0][1]
    assert str(first[0][1]).startswith("2020-09-13")
    machine.give_up_speculation()
    block.rows(machine, ADD, 1, 1)  # runs both again, or it would be refused
    assert isinstance(commit(replica, block), Done)


def test_guards_hold_for_the_whole_transaction(replica: Replica) -> None:
    machine = replica.machine
    block = Block("b")
    block.guards = (Guard("table:t", 1),)
    block.rows(machine, ADD, 1, 1)
    machine.give_up_speculation()
    replica.write(
        statement("CREATE TABLE u (id INTEGER PRIMARY KEY) STRICT, WITHOUT ROWID"),
        sets=(SetVersion("table:t", 2),),
    )
    assert block.answered(machine, READ, 1) == Stale("table:t", 2, 1)
    assert commit(replica, block, block.guards) == Stale("table:t", 2, 1)


def test_limits(replica: Replica) -> None:
    machine = replica.machine

    def refused(sql: str, **limits: int) -> SqlFailure:
        block = Block(sql)
        asked = msgspec.structs.replace(block.ask(sql), quick=False)
        answer = machine.speculate_now(asked, replace(LIMITS, **limits), 10.0)
        assert isinstance(answer, SqlFailure), answer
        assert not machine.is_speculating
        return answer

    assert refused(ENDLESS, write_ms=30).sqlstate == "57014"
    assert refused("UPDATE t SET n = 1", write_rows=19).sqlstate == "54000"
    grow = "INSERT INTO t (id, name) SELECT 100 + 20 * a.id + b.id, b.name FROM t a, t b"
    assert refused(grow, write_bytes=4096).sqlstate == "54000"
    # Rows count over the transaction.
    block = Block("b")
    limits = replace(LIMITS, write_rows=30)
    every = block.ask("UPDATE t SET n = n + 1")
    assert isinstance(machine.speculate_now(every, limits, 10.0), Speculated)
    twice = replace_steps(every, 2)
    assert isinstance(machine.speculate_now(twice, limits, 10.0), SqlFailure)
    replica.write(statement(ADD, 1, 1))  # the file is free


MANY = "SELECT a.id, c.name FROM t a, t b, t c"  # 8000 rows


class Ticking:
    """A clock on which 20 ms pass whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.02
        return self.now


@pytest.mark.parametrize(
    ("sql", "timeout_s", "refusal"),
    [
        (MANY, 1000.0, ""),
        (MANY, 0.06, "canceling statement due to statement timeout"),
        (ENDLESS, 1000.0, "the write ran for more than 100 ms on the leader and was not proposed"),
    ],
)
def test_a_large_read_behind_a_write_has_the_time_that_its_rows_take(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, sql: str, timeout_s: float, refusal: str
) -> None:
    machine, limits = replica.machine, replace(LIMITS, write_ms=100)
    monkeypatch.setattr(bounds, "time", Ticking())
    block = Block("b")
    block.rows(machine, ADD, 1, 1)
    asked = block.ask(sql)
    *before, new = asked.transaction.steps
    assert isinstance(new, Ran)
    steps = (*before, msgspec.structs.replace(new, stream=True))
    transaction = msgspec.structs.replace(asked.transaction, steps=steps)
    asked = msgspec.structs.replace(asked, transaction=transaction, quick=False)
    answer = asyncio.run(machine.speculate(asked, limits, timeout_s, Stop()))
    if refusal:
        assert isinstance(answer, SqlFailure)
        assert answer.message == refusal
        return
    assert isinstance(answer, Speculated)
    # COMMIT compares as many, and is tried before it is proposed.
    replica.machine.give_up_speculation()
    block.steps.append(Ran(Statement(sql), answer.digest, stream=True))
    write = block.commit(replica.session, replica.seq + 1, ())
    assert asyncio.run(machine.dry_run(write, limits, timeout_s, Stop())) is None
    late = asyncio.run(machine.dry_run(write, limits, 0.06, Stop()))
    assert isinstance(late, SqlFailure)
    assert late.sqlstate == "57014"


def replace_steps(asked: Speculate, times: int) -> Speculate:
    new = asked.transaction.steps[-1]
    assert isinstance(new, Ran)
    steps = (*(Ran(new.statement, b"?"),) * (times - 1), new)
    return Speculate(asked.id, Transaction(0, 0, steps), (), b"", asked.quick)


def test_a_transaction_of_too_many_steps_is_not_proposed(replica: Replica) -> None:
    block = Block("b")
    block.steps = [Ran(Statement("SELECT 1"), b"")] * (TRANSACTION_STEPS_MAX + 1)
    refused = replica.check(block.commit(replica.session, 9))
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "54000"


def test_a_request_that_no_router_sends_stops_nothing(replica: Replica) -> None:
    machine = replica.machine
    for steps in ((), (Mark("savepoint", 1),), (Mark("release", 3), Ran(Statement(READ, (1,))))):
        asked = Speculate(b"x", Transaction(0, 0, steps))
        answer = machine.speculate_now(asked, LIMITS, 10.0)
        assert isinstance(answer, SqlFailure), answer
        assert not machine.is_speculating
    block = Block("b")
    block.mark(Mark("release", 3))
    refused = commit(replica, block)
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "3B001"
    assert machine.is_sound


async def test_a_statement_on_the_thread_is_stopped(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.write(*(statement(INSERT, key, f"name {key}") for key in range(20)))
    stop = Stop()
    asked = Block("b").ask(ENDLESS)
    work = asyncio.ensure_future(replica.machine.speculate(asked, LIMITS, 10.0, stop))
    await asyncio.sleep(0)
    stop.set()
    assert isinstance(await work, Stopped)
    replica.write(statement(ADD, 1, 1))
    await replica.machine.close()


STATEMENTS = st.one_of(
    st.tuples(st.just(READ), st.integers(0, 5)),
    st.tuples(st.just(ADD), st.integers(0, 5), st.integers(-3, 3)),
    st.tuples(st.just("SELECT id, n FROM t WHERE n > ?1 ORDER BY n, id"), st.integers(-2, 2)),
    st.tuples(st.just("UPDATE t SET n = n * 2 WHERE id >= ?1 RETURNING id, n"), st.integers(0, 5)),
    st.tuples(st.just("INSERT INTO t (id, name, n) VALUES (?1, ?2, random() % 5)"),
              st.integers(0, 9), st.just("x")),
    st.tuples(st.just("DELETE FROM t WHERE id = ?1"), st.integers(0, 9)),
    st.tuples(st.just("savepoint")),
    st.tuples(st.just("rollback"), st.integers(0, 3)),
    st.tuples(st.just("release"), st.integers(0, 3)),
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(STATEMENTS, max_size=25), st.sets(st.integers(0, 24)))
def test_what_speculation_answered_is_what_apply_does(
    tmp_path_factory: pytest.TempPathFactory,
    statements: list[tuple[object, ...]],
    given_up: set[int],
) -> None:
    """Whenever the open transaction was given up, the replica that applies comes to the same
    answers, and to the same rows that the transaction itself saw last."""
    replica = Replica(tmp_path_factory.mktemp("replica"))
    replica.write(*(statement(INSERT, key, f"name {key}") for key in range(6)))
    machine, block, depth, failed = replica.machine, Block("b"), 0, False
    for number, (sql, *parameters) in enumerate(statements):
        assert isinstance(sql, str)
        if number in given_up:
            machine.give_up_speculation()
        if sql == "savepoint" and not failed:
            depth += 1
            block.mark(Mark("savepoint", depth))
        elif sql in ("rollback", "release"):
            [to] = parameters
            assert isinstance(to, int)
            if 0 < to <= depth and (sql == "rollback" or not failed):
                block.mark(Mark(sql, to))  # type: ignore[arg-type]
                depth, failed = (to if sql == "rollback" else to - 1), False
        elif sql != "savepoint" and not failed:
            answer = block.answered(machine, sql, *parameters)  # type: ignore[arg-type]
            assert isinstance(answer, Speculated), answer
            failed = answer.failure is not None
    if not failed:
        seen = block.rows(machine, "SELECT id, name, n FROM t ORDER BY id")
        machine.give_up_speculation()
        assert isinstance(commit(replica, block), Done)
        assert replica.rows() == seen
    replica.machine.close_files()
