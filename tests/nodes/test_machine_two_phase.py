"""Two-phase commit in a replica: what is prepared is a promise that a restart, a snapshot and a
later entry keep, and nobody gets in its way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace as replaced

from nodes.bounds import Stop
from nodes.machine import Machine, ReplicaFault
from nodes.outcome_digest import digest_of
from nodes.protocol import (
    Abort,
    Aborted,
    AnswerNotKept,
    Busy,
    Commit,
    Decided,
    Defined,
    Done,
    End,
    EntryBody,
    ExpireSessions,
    Fence,
    Guard,
    Locked,
    NewIncarnation,
    Opened,
    OpenSession,
    Participant,
    Prepare,
    Prepared,
    Ran,
    Read,
    ResponseBody,
    SessionId,
    SetVersion,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
    SwitchFingerprint,
    Transaction,
    TransactionId,
    TransactionOutcome,
    UnknownSession,
    Unstage,
    Write,
)
from nodes.two_phase import KNOWN_MAX
from tests.nodes.block import LIMITS, Block
from tests.nodes.replica import INSERT, Replica, content, statement
from tests.nodes.test_snapshot_files import finish, identity, receive
from tests.nodes.test_stages import ROWS, Staging

T = Guard("table:t", 1)
ID = TransactionId(1_000, 7, 1)
YOUNGER = TransactionId(2_000, 7, 2)
ELSEWHERE = Participant("s2", SessionId(1, 9), 4)
ALL = Read((statement("SELECT id, name FROM t ORDER BY id"),), (T,))


class Group(Replica):
    """A replica, and the transactions over several groups that it takes part in."""

    def prepare(
        self,
        *statements: Statement,
        id_: TransactionId = ID,
        guards: tuple[Guard, ...] = (T,),
        anchor: str = "s2",
        tied: tuple[str, ...] = (),
        write: Write | None = None,
    ) -> Prepare:
        write = write or self.command(*statements, guards=guards)
        own = Participant("s1", write.session, write.seq)
        return Prepare(id_, write, tied, anchor, (own, ELSEWHERE))

    def prepared(self, body: Prepare, **stamp: int) -> Prepared:
        """It has to be."""
        answer = self.apply(body, **stamp)
        assert isinstance(answer, Prepared), answer
        return answer

    def commit(
        self,
        *statements: Statement,
        id_: TransactionId = ID,
        guards: tuple[Guard, ...] = (T,),
        write: Write | None = None,
    ) -> Commit:
        """What the router sends to the anchor when all others are prepared."""
        body = self.prepare(*statements, id_=id_, guards=guards, write=write)
        return Commit(body.id, body.write, body.tied, body.participants)

    def outcome(self, body: Prepare, *, commit: bool) -> ResponseBody:
        """What the anchor has decided comes here."""
        return self.apply(TransactionOutcome(body.id, commit, body.participants[0]))


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    group = Group(tmp_path)
    group.write(statement(INSERT, 1, "old"))
    yield group
    await group.machine.close()


OLD = [(1, "old", 0)]
NEW = [(1, "new", 0)]
UPDATE = statement("UPDATE t SET name = 'new' WHERE id = 1 RETURNING name")


def test_what_is_prepared_is_done_when_that_is_decided_and_not_before(group: Group) -> None:
    body = group.prepare(UPDATE)
    assert group.machine.check(body, 1000) is None
    answer = group.prepared(body)
    assert answer.results == (StatementResult(1, values=(("new",),)),)
    assert content(group.directory)["t"] == OLD
    assert isinstance(group.outcome(body, commit=True), Done)
    assert content(group.directory)["t"] == NEW


@pytest.mark.parametrize("commit", [True, False])
def test_an_outcome_of_elsewhere_is_done_once(group: Group, commit: bool) -> None:
    body = group.prepare(UPDATE)
    group.prepared(body)
    for _ in range(2):
        assert isinstance(group.outcome(body, commit=commit), Done)
        assert group.rows() == (NEW if commit else OLD)


def test_the_anchor_does_its_part_and_decides_in_one_entry(group: Group) -> None:
    body = group.commit(UPDATE)
    assert group.check(body) is None
    done = Done((StatementResult(1, values=(("new",),)),), group.machine.applied + 1)
    assert group.apply(body) == done
    assert group.rows() == NEW
    assert group.apply(body) == done, "once"
    known = Decided(True, done.index)
    assert group.apply(Abort(ID, body.participants)) == known, "the first is the outcome"
    group.apply(ExpireSessions((group.session,)))
    assert group.apply(body) == known, "nobody knows any more what it answered"
    group.apply(End(ID))
    assert group.apply(body) == UnknownSession()
    assert not group.machine.prepared.is_open


def test_an_anchor_that_cannot_do_its_part_decides_nothing(group: Group) -> None:
    held = group.prepare(UPDATE)
    group.prepared(held)
    body = group.commit(statement(INSERT, 2, "a"), id_=YOUNGER)
    assert group.apply(body) == group.check(body) == Locked(ID)
    group.outcome(held, commit=False)
    stale = group.commit(UPDATE, id_=YOUNGER, guards=(Guard("table:t", 7),))
    assert group.apply(stale) == Stale("table:t", 1, 7)
    refused = group.apply(failing := group.commit(statement(INSERT, 1, "x"), id_=YOUNGER))
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "23505"
    assert group.apply(failing) == refused, "it is remembered"
    assert group.rows() == OLD
    assert not group.machine.prepared.is_open
    assert isinstance(group.apply(body), Done), "the same command, sent again"


def test_a_commit_that_comes_after_its_abort_does_nothing(group: Group) -> None:
    body = group.commit(UPDATE)
    assert isinstance(group.apply(Abort(ID, body.participants)), Decided)
    assert group.apply(body) == Aborted()
    group.apply(End(ID))
    assert group.apply(body) == Aborted()
    assert group.rows() == OLD
    assert not group.machine.prepared.is_open


def test_a_prepare_that_comes_after_its_outcome_prepares_nothing(group: Group) -> None:
    body = group.prepare(UPDATE)
    group.outcome(body, commit=False)
    assert group.apply(body) == Aborted()
    assert not group.machine.prepared.held


@pytest.mark.parametrize("commit", [True, False])
def test_who_comes_behind_an_outcome_is_not_kept_out_of_the_log(group: Group, commit: bool) -> None:
    """A leader that proposes the outcome lets in what follows: it is applied after that. Should
    the outcome not come to be in the log, the lock is still there."""
    body = group.prepare(UPDATE)
    group.prepared(body)
    write = group.command(statement(INSERT, 2, "a"), guards=(T,))
    younger = group.prepare(statement(INSERT, 3, "a"), id_=YOUNGER)
    assert group.check(write) == group.check(younger) == Locked(ID)
    assert group.check(TransactionOutcome(ID, commit, body.participants[0])) is None
    assert group.check(write) is None
    assert group.check(younger) is None
    assert group.apply(write) == Locked(ID)
    group.outcome(body, commit=commit)
    assert isinstance(group.apply(write), Done)
    held = group.prepare(statement(INSERT, 4, "a"), id_=TransactionId(1_500, 7, 3))
    group.prepared(held)
    assert group.check(younger) == Locked(held.id), "another one is none the less"


def test_it_keeps_out_who_touches_what_it_touched_and_is_not_their_answer(group: Group) -> None:
    slots = (T, Guard("slot:1", 0))
    body = group.prepare(UPDATE, guards=slots, tied=("table:parent",))
    group.prepared(body)
    kept_out = [
        group.command(statement(INSERT, 2, "a"), guards=slots),
        group.command(statement(INSERT, 3, "a"), guards=(T,)),
        group.command(statement(INSERT, 4, "a")),
        group.command(statement(INSERT, 5, "a"), guards=(Guard("table:parent", 0),)),
        group.command(statement("SELECT 1"), guards=slots, sets=(SetVersion("table:new", 1),)),
        group.command(statement("SELECT 1"), sets=(SetVersion("table:parent", 0),)),
        group.command(statement("SELECT 1"), sets=(SetVersion("slot:7", 1),)),
    ]
    for write in kept_out:
        assert group.apply(write) == Locked(ID)
        assert group.check(write) == Locked(ID), "the leader need not ask the log"
    younger = group.prepare(statement(INSERT, 6, "a"), id_=YOUNGER)
    assert group.apply(younger) == Locked(ID)
    let_in: list[EntryBody] = [
        group.command(statement(INSERT, 7, "a"), guards=(T, Guard("slot:2", 0))),
        group.command(statement("SELECT 1"), guards=(Guard("table:other", 0), Guard("slot:1", 0))),
        group.command(statement("SELECT 1"), guards=(Guard("table:o", 0), Guard("home", 0))),
        group.command(statement("SELECT 1"), sets=(SetVersion("table:newer", 1),)),
        Fence(group.session, 900, 0),
        OpenSession("r2"),
    ]
    for entry in let_in:
        assert isinstance(group.apply(entry), Done | Aborted | Opened)
    assert isinstance(group.outcome(body, commit=True), Done)
    for write in kept_out:
        assert isinstance(group.apply(write), Done), "the same command, sent again"
    assert isinstance(group.apply(younger), Prepared)
    assert [key for key, *_ in content(group.directory)["t"]] == [1, 2, 3, 4, 5, 7]


def test_tables_of_the_home_do_not_share_their_place(group: Group) -> None:
    home = Guard("home", 0)
    group.prepared(group.prepare(UPDATE, guards=(T, home)))
    other = group.command(statement("SELECT 1"), guards=(Guard("table:other", 0), home))
    assert isinstance(group.apply(other), Done)


def test_reads_and_open_transactions_meet_the_lock_but_those_of_any_state(group: Group) -> None:
    body = group.prepare(UPDATE)
    group.prepared(body)
    assert group.machine.read(ALL) == Locked(ID)
    block = Block("b")
    assert block.answered(group.machine, "SELECT name FROM t") == Locked(ID)
    assert not group.machine.is_speculating
    stale = group.machine.read(replaced(ALL, consistency="any"))
    assert isinstance(stale, Done)
    assert stale.results[0].values == ((1, "old"),)
    other = group.machine.read(Read((statement("SELECT 1"),), (Guard("table:other", 0),)))
    assert isinstance(other, Done)


async def test_long_reads_and_dry_runs_meet_it_as_well(group: Group) -> None:
    group.prepared(group.prepare(UPDATE))
    assert await group.machine.read_long(ALL, 5.0) == Locked(ID)
    assert await group.machine.read_stream(ALL, 5.0) == Locked(ID)
    write = group.command(statement("DELETE FROM t"), guards=(T,))
    assert await group.machine.dry_run(write, LIMITS, 5.0, Stop()) == Locked(ID)


async def test_a_restart_forgets_neither_promise_nor_outcome(group: Group) -> None:
    body = group.prepare(UPDATE)
    index = group.prepared(body).index
    await group.reopen()
    assert group.apply(group.command(statement(INSERT, 2, "a"), guards=(T,))) == Locked(ID)
    assert group.apply(body) == Prepared(index, (StatementResult(1, values=(("new",),)),))
    assert isinstance(group.outcome(body, commit=True), Done)
    await group.reopen()
    assert group.rows() == NEW
    commit = group.commit(statement(INSERT, 3, "a"), id_=YOUNGER)
    done = group.apply(commit)
    await group.reopen()
    assert group.apply(commit) == done
    known = group.apply(Abort(YOUNGER, commit.participants))
    assert isinstance(done, Done)
    assert known == Decided(True, done.index)
    group.apply(End(YOUNGER))
    await group.reopen()
    assert not content(group.directory)["_outcomes"]
    assert not content(group.directory)["_prepared"]


def test_it_is_run_again_from_the_same_time_chance_and_row_ids(tmp_path: Path) -> None:
    """However much later its outcome comes, it is what its client was told."""
    made = (
        "CREATE TABLE r (id INTEGER NOT NULL PRIMARY KEY DEFAULT (pg_row_id()), "
        "a INTEGER DEFAULT (random()), at TEXT DEFAULT current_timestamp) STRICT, WITHOUT ROWID"
    )
    draw = statement("INSERT INTO r (a) VALUES (random()) RETURNING id, a, at")
    found = []
    for between in (0, 3):
        group = Group(tmp_path / str(between))
        group.write(statement(made), sets=(SetVersion("table:r", 1),))
        body = group.prepare(draw, guards=(Guard("table:r", 1),))
        told = group.prepared(body, now_us=5_000_000_000_000, seed=99)
        for key in range(between):
            group.apply(group.command(statement(INSERT, key, "x"), guards=(T,)), now_us=9, seed=key)
        group.outcome(body, commit=True)
        assert told.results is not None
        assert tuple(content(group.directory)["r"]) == told.results[0].values
        found.append(told.results)
        group.machine.close_files()
    assert found[0] == found[1]


def test_a_replica_that_cannot_keep_the_promise_stops(group: Group) -> None:
    body = group.prepare(UPDATE)
    index = group.prepared(body).index
    group.machine._state.writer.raw.execute("DELETE FROM t")
    with pytest.raises(ReplicaFault, match=f"entry {index} has prepared answers otherwise"):
        group.outcome(body, commit=True)
    assert not group.machine.is_sound


def test_a_refusal_is_remembered_and_holds_nothing(group: Group) -> None:
    body = group.prepare(statement(INSERT, 1, "again"))
    refused = group.apply(body)
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "23505"
    group.write(statement("DELETE FROM t"))
    assert group.apply(body) == refused
    stale = group.apply(group.prepare(UPDATE, guards=(Guard("table:t", 7),)))
    assert stale == Stale("table:t", 1, 7)
    assert not group.machine.prepared.held


async def test_steps_of_a_block_are_held_to_their_digests(group: Group) -> None:
    def steps(*told: tuple[str, StatementResult]) -> Write:
        ran = tuple(Ran(Statement(sql), digest_of(result)) for sql, result in told)
        write = group.command(guards=(T,))
        return replaced(write, transaction=Transaction(5_000_000, 11, ran))

    read = ("SELECT name FROM t WHERE id = 1", StatementResult(1, values=(("old",),)))
    change = ("UPDATE t SET name = 'new' WHERE id = 1", StatementResult(1))
    body = group.prepare(write=steps(read, change))
    group.prepared(body)
    await group.reopen()
    assert isinstance(group.outcome(body, commit=True), Done)
    assert group.rows() == NEW
    refused = group.apply(group.prepare(write=steps(read, change), id_=YOUNGER))
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "40001"


def test_of_the_steps_that_were_compared_only_those_that_change_run_again(group: Group) -> None:
    told = [
        (Statement("SELECT name FROM t"), StatementResult(1, values=(("old",),))),
        (UPDATE, StatementResult(1, values=(("new",),))),
        (Statement("SELECT count(*) FROM t"), StatementResult(1, values=((1,),))),
    ]
    steps = tuple(Ran(each, digest_of(result)) for each, result in told)

    def block(id_: TransactionId) -> Prepare:
        write = replaced(group.command(guards=(T,)), transaction=Transaction(5_000_000, 11, steps))
        return group.prepare(write=write, id_=id_)

    body = block(ID)
    ran: list[str] = []
    raw = group.machine._state.writer.raw
    raw.set_trace_callback(ran.append)
    group.prepared(body)
    assert [sql for sql in ran if "FROM t" in sql] == [
        steps[0].statement.sql,
        steps[2].statement.sql,
    ]
    ran.clear()
    assert isinstance(group.outcome(body, commit=True), Done)
    raw.set_trace_callback(None)
    assert group.rows() == NEW
    assert [sql for sql in ran if sql.startswith(("SELECT", "UPDATE t"))] == [UPDATE.sql]
    refused = group.apply(block(YOUNGER))
    assert isinstance(refused, SqlFailure), "what was read is compared when it is prepared"
    assert refused.sqlstate == "40001"


@pytest.mark.parametrize("commit", [True, False])
async def test_a_change_of_the_schema_comes_with_its_version(group: Group, commit: bool) -> None:
    made = "CREATE TABLE n (id INTEGER NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID"
    step = Defined((Statement(made),), digest_of(StatementResult(0)))
    write = replaced(
        group.command(guards=(T, Guard("slot:1", 0)), sets=(SetVersion("table:n", 1),)),
        transaction=Transaction(5_000_000, 11, (step,)),
    )
    body = group.prepare(write=write, tied=("table:parent",))
    group.prepared(body)
    for name in ("t", "n", "parent"):
        touching = (Guard(f"table:{name}", 0), Guard("slot:2", 0))
        assert group.apply(group.command(statement("SELECT 1"), guards=touching)) == Locked(ID)
    other = group.command(statement("SELECT 1"), guards=(Guard("table:other", 0),))
    assert isinstance(group.apply(other), Done), "what it does not change goes on"
    assert "n" not in content(group.directory)
    group.outcome(body, commit=commit)
    assert ("n" in content(group.directory)) is commit
    there = Guard("table:n", 1)
    answer = group.apply(group.command(statement("SELECT 1"), guards=(there,)))
    assert isinstance(answer, Done if commit else Stale)


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("end", ["unstage", "session", "stage", "incarnation"])
async def test_what_it_names_is_kept_until_its_outcome(
    group: Group, end: str, commit: bool
) -> None:
    staging = Staging(group, *ROWS)
    group.write(statement("DELETE FROM t"))
    staging.send()
    body = group.prepare(staging.statement())
    group.prepared(body)
    session = group.session
    ends: dict[str, EntryBody] = {
        "unstage": Unstage(session, 1),
        "session": ExpireSessions((session,)),
        "stage": ExpireSessions((), ((session, 1),)),
        "incarnation": NewIncarnation(5),
    }
    group.apply(ends[end])
    assert content(group.directory)["_stages"]
    await group.reopen()
    group.outcome(body, commit=commit)
    assert len(content(group.directory)["t"]) == (5 if commit else 0)
    assert not staging.is_kept
    late = group.apply(body)
    assert isinstance(late, UnknownSession if end == "incarnation" else Prepared)


async def test_a_snapshot_has_what_is_prepared(group: Group, tmp_path: Path) -> None:
    body = group.prepare(UPDATE)
    group.prepared(body)
    sent = group.machine.make_snapshot()
    finish(receive(sent, tmp_path / "b", identity(2)), sent)
    machine = Machine.open(
        tmp_path / "b", group="s1", replica=2, cluster_id="c1", generation=2, must_exist=True
    )
    assert machine.prepared == group.machine.prepared
    taken, group.machine = group.machine, machine
    assert machine.read(ALL) == Locked(ID)
    assert isinstance(group.outcome(body, commit=True), Done)
    assert group.rows() == NEW
    await machine.close()
    group.machine = taken


def test_only_what_prepared_it_may_finish_it_unless_it_is_aborted(group: Group) -> None:
    body = group.prepare(UPDATE)
    group.apply(SwitchFingerprint("sqlite 1", ""))
    group.machine._state._own_fingerprint = "sqlite 1"
    group.machine._state._note_halted()
    group.prepared(body)
    refused = group.apply(SwitchFingerprint("sqlite 2", "sqlite 1"))
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "55000"
    group.machine._state._own_fingerprint = "sqlite 2"
    group.machine._state._note_halted()
    outcome = TransactionOutcome(ID, True, body.participants[0])
    assert isinstance(group.check(outcome), Busy)
    assert isinstance(group.check(group.commit(UPDATE, id_=YOUNGER)), Busy)
    assert group.check(Abort(YOUNGER, body.participants)) is None
    abort = replaced(outcome, commit=False)
    assert group.check(abort) is None
    assert isinstance(group.apply(abort), Done)
    assert isinstance(group.apply(SwitchFingerprint("sqlite 2", "sqlite 1")), Done)


def test_what_is_malformed_never_enters_the_log(group: Group) -> None:
    body = group.prepare(UPDATE)
    own, other = body.participants
    stranger = replaced(own, group="s3")
    for wrong in (
        replaced(body, participants=(other,)),
        replaced(body, participants=(own, own, other)),
        replaced(body, participants=(replaced(own, seq=99), other)),
        replaced(body, anchor="s3"),
        Abort(ID, (other,)),
        replaced(group.commit(UPDATE), participants=(other,)),
        TransactionOutcome(ID, True, stranger),
    ):
        refused = group.check(wrong)
        assert isinstance(refused, SqlFailure), wrong
        assert refused.sqlstate == "08P01"
    write = group.command(statement("DROP TABLE t"), sets=(SetVersion("table:t", 2),))
    refused = group.check(group.prepare(write=write))
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "0A000"


def test_there_is_a_limit_to_what_a_group_promises(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.two_phase.KNOWN_MAX", 2)
    assert KNOWN_MAX > 2
    for number in range(2):
        slot = (T, Guard(f"slot:{number}", 0))
        group.prepared(group.prepare(id_=TransactionId(1, 1, number), guards=slot))
    last = group.prepare(guards=(T, Guard("slot:9", 0)))
    assert isinstance(group.apply(last), Busy)
    assert isinstance(group.apply(group.commit(guards=last.write.guards)), Busy)
    assert isinstance(group.apply(Abort(ID, last.participants)), Busy)
    first = TransactionId(1, 1, 0)
    group.apply(TransactionOutcome(first, False, last.participants[0]))
    group.prepared(group.prepare(id_=YOUNGER, guards=(T, Guard("slot:9", 0))))


def test_whether_it_is_quick_is_as_its_write_is(group: Group) -> None:
    slow = group.prepare(UPDATE)
    quick = replaced(slow, write=replaced(slow.write, quick=True))
    machine = group.machine
    assert machine.is_quick(quick)
    assert not machine.is_quick(slow)
    assert machine.needs_dry_run(slow)
    assert not machine.needs_dry_run(quick)
    commit = group.commit(UPDATE)
    assert not machine.is_quick(commit)
    assert machine.is_quick(replaced(commit, write=quick.write))
    assert machine.needs_dry_run(commit)
    outcome = TransactionOutcome(ID, True, slow.participants[0])
    assert machine.is_quick(outcome)
    group.prepared(slow)
    assert not machine.is_quick(outcome)
    assert machine.is_quick(End(ID))


def test_what_was_too_large_to_keep_is_known_to_be_prepared(group: Group) -> None:
    body = group.prepare(statement("SELECT printf('%09000d', 1)"))
    index = group.prepared(body).index
    assert group.apply(body) == Prepared(index, None)
    assert isinstance(group.outcome(body, commit=True), Done)
    assert group.apply(body) == AnswerNotKept()
    commit = group.commit(statement("SELECT printf('%09000d', 1)"), id_=YOUNGER)
    assert isinstance(group.apply(commit), Done)
    assert group.apply(commit) == AnswerNotKept()
