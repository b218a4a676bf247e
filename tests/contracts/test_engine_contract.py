"""What every engine promises to its callers (nodes/engine.py), each engine in turn.

A test that an engine cannot pass is marked, with the reason, and strictly: once it passes, the
mark has to go. docs/engines.md lists what these marks say.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from nodes import raft_engine
from nodes.log_store import GroupWrite, SnapshotPointer
from nodes.protocol import (
    ENTRY_BYTES_MAX,
    Busy,
    Done,
    NotLeader,
    ResponseBody,
    SqlFailure,
    UnknownOutcome,
)
from nodes.raft.messages import ForeignMessage
from tests.contracts.engines import ELECTION_TICKS, Call, Group, command

ENGINES = ("core", "local", "pysyncobj")
REPLICATED = tuple(engine for engine in ENGINES if engine != "local")

SEEDS = 25
"""Of the random search, for each engine."""

NewGroup = Callable[..., Group]


@pytest.fixture
def new_group(tmp_path: Path) -> Iterator[NewGroup]:
    groups: list[Group] = []

    def new(engine: str, seed: int = 0, replicas: int = 3) -> Group:
        directory = tmp_path / str(len(groups))
        directory.mkdir()
        group = Group(engine, directory, replicas=1 if engine == "local" else replicas, seed=seed)
        groups.append(group)
        return group

    yield new
    for group in groups:
        group.close()


each_engine = pytest.mark.parametrize("engine", ENGINES)
each_replicated = pytest.mark.parametrize("engine", REPLICATED)


def failing(engine: str, reason: str, engines: Sequence[str] = REPLICATED) -> pytest.MarkDecorator:
    """Each of `engines`, and `engine` is expected to fail for `reason`."""
    mark = pytest.mark.xfail(strict=True, reason=reason, raises=AssertionError)
    return pytest.mark.parametrize(
        "engine", [pytest.param(e, marks=[mark] if e == engine else []) for e in engines]
    )


# ------------------------------------------------------------------ answers


@each_engine
def test_proposals_are_answered_once_applied_in_order(engine: str, new_group: NewGroup) -> None:
    group = new_group(engine)
    leader = group.elect()
    calls = [group.propose(leader, seq) for seq in range(10)]
    assert all(call.answers == [] for call in calls)  # nothing is durable yet
    group.settle()
    indexes = [call.answer.index for call in calls if isinstance(call.answer, Done)]
    assert indexes == list(range(indexes[0], indexes[0] + 10))
    group.ticks(2)
    assert [machine.seqs for machine in group.machines.values()] == [list(range(10))] * len(
        group.ids
    )


@each_engine
def test_a_term_begins_with_a_no_op_and_holds_proposals_until_it_is_applied(
    engine: str, new_group: NewGroup
) -> None:
    group = new_group(engine)
    for _ in range(100 * ELECTION_TICKS):
        if group.leader():
            break
        for member in group.members.values():
            member.engine.tick()
        group.round()
    leader = group.leader()
    applied_when_asked: list[int] = []

    def refuse() -> ResponseBody | None:
        applied_when_asked.append(group.machines[leader].applied)
        return None

    answers: list[ResponseBody] = []
    body = msgspec.msgpack.encode(command(7))
    group.engine(leader).propose(body, answers.append, refuse=refuse)
    group.settle()
    group.ticks(1)
    assert len(answers) == 1
    assert group.machines[leader].seqs == [7]
    assert group.machines[leader].terms[0] == group.members[leader].consensus.term
    assert applied_when_asked == [1]


@each_engine
def test_what_is_refused_does_not_enter_the_log(
    engine: str, new_group: NewGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = new_group(engine)
    leader = group.elect()
    last = group.engine(leader).status().last
    failure = SqlFailure("42601", "syntax error")
    refused: list[ResponseBody] = []
    body = msgspec.msgpack.encode(command(1))
    group.engine(leader).propose(body, refused.append, refuse=lambda: failure)
    group.engine(leader).propose(bytes(ENTRY_BYTES_MAX + 1), refused.append)
    monkeypatch.setattr(raft_engine, "PROPOSALS_MAX", 2)
    calls = [group.propose(leader, seq) for seq in range(3)]
    assert refused[0] == failure
    assert isinstance(refused[1], SqlFailure)
    assert isinstance(calls[2].answer, Busy)
    group.settle()
    assert [isinstance(call.answer, Done) for call in calls[:2]] == [True, True]
    group.ticks(2)
    assert group.machines[leader].seqs == [0, 1]
    assert group.engine(leader).status().last <= last + 3  # an engine may add a no-op


@each_engine
def test_closing_answers_everything_once(engine: str, new_group: NewGroup) -> None:
    group = new_group(engine)
    leader = group.elect()
    write, read = group.propose(leader, 1), group.read(leader)
    asyncio.run(group.engine(leader).close())
    assert isinstance(write.answer, NotLeader)  # it waited for a turn
    assert isinstance(read.answer, NotLeader)
    assert isinstance(group.propose(leader, 2).answer, NotLeader)


@each_replicated
def test_closing_says_that_nobody_knows_of_what_is_in_the_log(
    engine: str, new_group: NewGroup
) -> None:
    group = new_group(engine)
    leader = group.elect()
    write = group.propose(leader, 1)
    group.turn(leader)
    asyncio.run(group.engine(leader).close())
    assert isinstance(write.answer, UnknownOutcome)


@each_engine
def test_a_message_of_another_engine_changes_nothing(engine: str, new_group: NewGroup) -> None:
    group = new_group(engine)
    leader = group.elect()
    before = group.engine(leader).status()
    sender = group.ids[-1]
    group.engine(leader).step(
        ForeignMessage(sender, leader, before.term + 5, b"\x93\xc1garbage"), "n9"
    )
    group.settle()
    assert group.engine(leader).status() == before


@each_replicated
def test_only_the_leader_takes_requests_and_others_name_it(
    engine: str, new_group: NewGroup
) -> None:
    group = new_group(engine)
    leader = group.elect()
    group.ticks(2)
    for replica in set(group.ids) - {leader}:
        assert group.propose(replica, 1).answer == NotLeader(f"n{leader}")
        assert group.read(replica).answer == NotLeader(f"n{leader}")


# ------------------------------------------------------------------ durability


@each_engine
def test_acknowledged_writes_survive_a_crash_of_all(engine: str, new_group: NewGroup) -> None:
    group = new_group(engine)
    terms: list[int] = []
    for seq in range(6):
        group.write(seq)
        terms.append(group.members[group.leader()].consensus.term)
        if seq == 3:
            for machine in group.machines.values():
                machine.flush()
        for replica in group.ids:
            group.crash(replica)
        for replica in group.ids:
            group.start(replica)
    leader = group.elect()
    assert group.machines[leader].seqs == list(range(6))
    assert terms == sorted(set(terms))  # a new run never answers in an old run's term


@each_replicated
def test_acknowledged_writes_survive_the_loss_of_the_leader(
    engine: str, new_group: NewGroup
) -> None:
    group = new_group(engine)
    for seq in range(5):
        group.write(seq)
        old = group.leader()
        group.crash(old)
        group.elect()
        group.start(old)
        group.ticks(2 * ELECTION_TICKS)
    group.elect()
    group.ticks(2)
    assert [machine.seqs for machine in group.machines.values()] == [list(range(5))] * 3


@each_engine
def test_nothing_is_acknowledged_before_it_is_durable(engine: str, new_group: NewGroup) -> None:
    """The store fails: the turn ends there, as the node ends it, and no answer may be out."""
    group = new_group(engine)
    leader = group.elect()
    call = group.propose(leader, 1)
    ready = group.engine(leader).collect()
    assert ready is not None
    assert ready.entries
    assert call.answers == []
    group.engine(leader).stop("the log cannot be written")
    assert isinstance(call.answer, UnknownOutcome)


# ------------------------------------------------------------------ an isolated leader


@each_replicated
def test_an_isolated_leader_acknowledges_nothing(engine: str, new_group: NewGroup) -> None:
    group = new_group(engine)
    group.write(0)
    old = group.leader()
    group.cut = {old}
    lost = [group.propose(old, seq) for seq in range(100, 110)]
    read = group.read(old)
    isolate = group.until(lambda: all(call.answers for call in lost))
    assert isolate <= 3 * ELECTION_TICKS  # it notices by itself, within about an election
    assert all(isinstance(call.answer, UnknownOutcome) for call in lost)
    assert isinstance(read.answer, NotLeader)
    assert isinstance(group.propose(old, 111).answer, NotLeader)
    group.elect()
    group.write(1)
    group.cut = set()
    group.ticks(4 * ELECTION_TICKS)
    group.write(2)
    group.ticks(2)
    assert [machine.seqs for machine in group.machines.values()] == [[0, 1, 2]] * 3
    assert all(len(call.answers) == 1 for call in lost)


@each_replicated
def test_an_isolated_leader_answers_no_read_that_misses_a_write(
    engine: str, new_group: NewGroup
) -> None:
    """At every tick of its isolation a read starts there; none of them may be answered."""
    group = new_group(engine)
    group.write(0)
    old = group.leader()
    group.cut = {old}
    reads: list[Call] = []
    for _ in range(4 * ELECTION_TICKS):
        reads.append(group.read(old))
        group.ticks(1)
    group.write(1)
    reads.append(group.read(old))
    group.cut = set()
    group.ticks(4 * ELECTION_TICKS)
    assert all(isinstance(call.answer, NotLeader) for call in reads)


@each_engine
def test_a_read_sees_every_write_acknowledged_before_it(engine: str, new_group: NewGroup) -> None:
    group = new_group(engine)
    for seq in range(5):
        group.write(seq)
        reads = [group.read(group.leader()) for _ in range(3)]
        group.settle()
        assert [read.answers for read in reads] == [[None]] * 3
        assert [read.seen for read in reads] == [tuple(range(seq + 1))] * 3


@each_replicated
def test_a_minority_elects_nobody(engine: str, new_group: NewGroup) -> None:
    group = new_group(engine, replicas=5)
    group.write(0)
    group.crash(1)
    group.crash(2)
    group.write(1)
    group.crash(3)
    group.ticks(10 * ELECTION_TICKS)
    assert group.leader() == 0
    group.start(3)
    group.write(2)


@each_replicated
def test_a_group_may_change_its_engine_while_it_is_down(engine: str, new_group: NewGroup) -> None:
    """Log and hard state mean the same to all, as long as the log is whole."""
    group = new_group("core")
    for seq, kind in enumerate((engine, "core", engine)):
        group.write(seq)
        for replica in group.ids:
            group.crash(replica)
        group.kind = kind
        for replica in group.ids:
            group.start(replica)
    group.elect()
    group.ticks(2)
    assert [machine.seqs for machine in group.machines.values()] == [[0, 1, 2]] * 3


@each_replicated
def test_a_group_may_change_its_engine_one_replica_after_the_other(
    engine: str, new_group: NewGroup
) -> None:
    """Two engines do not hear each other; whichever has a majority goes on, with everything that
    the other one acknowledged."""
    group = new_group("core")
    group.write(0)
    group.kind = engine
    for seq, replica in enumerate(group.ids, 1):
        group.crash(replica)
        group.start(replica)
        group.write(seq)
    group.ticks(4 * ELECTION_TICKS)
    group.write(4)
    group.ticks(2)
    assert [machine.seqs for machine in group.machines.values()] == [[0, 1, 2, 3, 4]] * 3


# ------------------------------------------------------------------ what not every engine does


@failing("pysyncobj", "pysyncobj makes no snapshots here, so its log is never cut", ENGINES)
def test_a_log_is_cut_and_started_from(engine: str, new_group: NewGroup) -> None:
    group = new_group(engine)
    for seq in range(5):
        group.write(seq)
    group.ticks(2)
    for replica, member in group.members.items():
        machine, consensus = group.machines[replica], member.consensus
        index = min(machine.make_durable(), consensus.compaction_limit)
        assert index > 3
        base = consensus.compact(index)
        pointer = SnapshotPointer(
            machine.generation, index, base.term, msgspec.msgpack.encode(base.membership)
        )
        member.store.write([GroupWrite("g", None, 0, [], pointer)])
    for replica in group.ids:
        group.crash(replica)
        group.start(replica)
    group.write(5)
    group.ticks(2)
    assert all(member.log.first > 3 for member in group.members.values())
    assert [machine.seqs for machine in group.machines.values()] == [list(range(6))] * len(
        group.ids
    )


@failing("pysyncobj", "pysyncobj goes back one entry per refusal, whatever the terms say")
def test_a_diverged_log_is_repaired_in_few_round_trips(engine: str, new_group: NewGroup) -> None:
    group = new_group(engine)
    group.write(0)
    old = group.leader()
    group.cut = {old}
    for seq in range(100, 160):
        group.propose(old, seq)
    group.ticks(4 * ELECTION_TICKS)
    for seq in range(1, 60):
        group.write(seq)
    leader, start = group.leader(), group.rounds
    group.cut = set()
    for _ in range(20 * ELECTION_TICKS):
        if group.members[old].consensus.commit == group.members[leader].log.last:
            break
        for member in group.members.values():
            member.engine.tick()
        group.round()
    assert group.rounds - start < 20, f"it took {group.rounds - start} rounds"


@failing("pysyncobj", "pysyncobj has no PreVote: who was cut off comes back with a higher term")
def test_a_follower_that_was_cut_off_deposes_nobody(engine: str, new_group: NewGroup) -> None:
    group = new_group(engine)
    leader = group.elect()
    term = group.members[leader].consensus.term
    group.cut = {min(set(group.ids) - {leader})}
    group.ticks(10 * ELECTION_TICKS)
    group.cut = set()
    group.ticks(10 * ELECTION_TICKS)
    assert group.leader() == leader
    assert group.members[leader].consensus.term == term


# ------------------------------------------------------------------ random search


@pytest.mark.slow
@each_engine
def test_random_faults_break_no_promise(engine: str, new_group: NewGroup) -> None:
    acknowledged = reads = 0
    for seed in range(SEEDS):
        try:
            history = run_random_faults(new_group(engine, seed))
        except Exception as exc:
            exc.add_note(f"engine {engine}, seed {seed}")
            raise
        acknowledged += history[0]
        reads += history[1]
    assert acknowledged > SEEDS
    assert reads > SEEDS


def run_random_faults(group: Group, steps: int = 120) -> tuple[int, int]:
    """Writes, reads, cuts, crashes and bad links by the group's seed, then quiet and a check of
    everything; returns (writes acknowledged, reads answered)."""
    rng = random.Random(group.rng.getrandbits(64))
    writes: list[Call] = []
    reads: list[tuple[Call, frozenset[int]]] = []
    for step in range(steps):
        _strike(group, rng)
        for replica in group.members:
            if group.role(replica) != "leader" or replica in group.paused:
                continue
            acknowledged = frozenset(c.seq for c in writes if _is_done(c))
            reads.append((group.read(replica), acknowledged))
            first = 100 * step + 10 * replica
            writes += [group.propose(replica, first + i) for i in range(rng.randint(0, 3))]
        for replica, member in group.members.items():
            if replica not in group.paused and rng.random() < 0.9:  # clocks drift
                member.engine.tick()
        for _ in range(rng.randint(0, 6)):
            group.round()
        for replica, machine in group.machines.items():
            if replica in group.members and rng.random() < 0.2:
                machine.flush()

    group.lost = group.delayed = group.repeated = 0.0
    group.cut = group.paused = set()
    for replica in set(group.ids) - group.members.keys():
        group.start(replica)
    group.ticks(4 * ELECTION_TICKS)  # who comes back may start an election more
    group.write(-1)
    group.ticks(2)

    final = group.machines[group.leader()].seqs
    assert all(machine.seqs == final for machine in group.machines.values())
    assert len(final) == len(set(final)), "a command was applied twice"
    for call in writes:
        assert len(call.answers) <= 1, "a proposal was answered twice"
        if _is_done(call):
            assert call.seq in final, f"the acknowledged command {call.seq} is lost"
        elif call.answers and isinstance(call.answer, NotLeader | Busy):
            assert call.seq not in final, f"command {call.seq} was refused, and applied"
    answered = [(call, known) for call, known in reads if call.answers == [None]]
    for call, known in answered:
        assert known <= set(call.seen), "a read misses an acknowledged write"
    return sum(map(_is_done, writes)), len(answered)


def _is_done(call: Call) -> bool:
    return bool(call.answers) and isinstance(call.answer, Done)


def _strike(group: Group, rng: random.Random) -> None:
    """Change something for the worse or the better."""
    dice = rng.random()
    running = sorted(group.members)
    down = sorted(set(group.ids) - group.members.keys())
    if dice < 0.08 and running:
        replica = rng.choice(running)
        group.crash(replica, in_turn=rng.random() < 0.5 and replica not in group.paused)
        if rng.random() < 0.5:
            group.start(replica)
    elif dice < 0.09:
        for replica in running:
            group.crash(replica)
    elif dice < 0.16 and down:
        group.start(rng.choice(down))
    elif dice < 0.20:
        group.cut = {rng.choice(group.ids)}
    elif dice < 0.26:
        group.cut = set()
    elif dice < 0.30 and running:
        group.paused = {group.leader() or rng.choice(running)}
    elif dice < 0.34:
        group.paused = set()
    elif dice < 0.38:
        group.lost, group.delayed, group.repeated = rng.random() / 3, rng.random(), rng.random()
    elif dice < 0.41:
        group.lost = group.delayed = group.repeated = 0.0
