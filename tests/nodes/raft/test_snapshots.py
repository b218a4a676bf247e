"""Compaction and snapshots, as the thesis words them (chapter 5)."""

from __future__ import annotations

import pytest

from nodes.raft import snapshots
from nodes.raft.core import Role
from nodes.raft.messages import (
    AppendResponse,
    InstallSnapshot,
    LogBase,
    LogEntry,
    Membership,
    RaftMessage,
    Snapshot,
    SnapshotResponse,
)
from nodes.raft.snapshots import CHUNK_BYTES, CHUNKS_MAX
from tests.nodes.raft.group import ELECTION_TICKS, Group

FILE = b"0123456789"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "CHUNK_BYTES", 4)


def chunks(messages: list[RaftMessage]) -> list[InstallSnapshot]:
    return [message for message in messages if isinstance(message, InstallSnapshot)]


def group_with_one_behind() -> Group:
    """1 leads, 2 follows; 3 was away while seven entries were written and compacted."""
    group = Group(3)
    leader = group.elect(1)
    group.cut = {3}
    for number in range(6):
        leader.propose(b"%d" % number)
    group.settle()
    group.compact(1, 5)
    group.cut = set()
    return group


def test_a_follower_behind_the_logs_beginning_gets_a_snapshot_and_then_the_rest() -> None:
    group = group_with_one_behind()
    leader = group.cores[1]
    group.tick(numbers=[1])
    assert group.wants_snapshot == {1}

    leader.offer_snapshot(group.snapshot(1, FILE))
    leader.propose(b"later")
    group.tick(2, numbers=[1])

    assert group.committed[3] == group.committed[1]
    assert group.committed[1][-1].data == b"later"
    assert group.disks[3].received == FILE
    assert group.disks[3].base.index == 7
    assert group.cores[3].log.first == 8


def test_a_peer_is_given_the_snapshot_under_way_even_if_a_newer_one_is_offered() -> None:
    group = group_with_one_behind()
    leader = group.cores[1]
    group.tick(numbers=[1])
    first = group.snapshot(1, FILE)
    leader.offer_snapshot(first)
    sent = chunks(group.take(1))

    leader.propose(b"later")
    group.cut = {3}
    group.settle()
    leader.offer_snapshot(group.snapshot(1, FILE + FILE))

    assert {message.snapshot for message in sent} == {first}
    assert [message.offset for message in sent] == [0, 4, 8]
    assert leader.compaction_limit == first.index
    assert not leader.forget_snapshot(first)


def test_chunks_under_way_are_bounded_and_sent_again_from_where_the_peer_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = group_with_one_behind()
    leader = group.cores[1]
    group.tick(numbers=[1])
    leader.offer_snapshot(group.snapshot(1, FILE * 10))

    sent = chunks(group.take(1))
    assert [message.offset for message in sent] == [4 * k for k in range(CHUNKS_MAX)]
    group.deliver(sent[:2])  # the others are lost
    group.deliver(group.take(3))
    more = chunks(group.take(1))
    assert [message.offset for message in more] == [16, 20]
    group.tick(ELECTION_TICKS + 1, numbers=[1])

    assert group.disks[3].received == FILE * 10
    assert group.committed[3] == group.committed[1]


def test_a_repeated_or_overtaken_chunk_is_harmless() -> None:
    group = group_with_one_behind()
    leader = group.cores[1]
    group.tick(numbers=[1])
    leader.offer_snapshot(group.snapshot(1, FILE))
    first, second, third = chunks(group.take(1))

    group.deliver([third, first, first, third, second, first])
    answers = [m for m in group.take(3) if isinstance(m, SnapshotResponse)]
    assert [answer.received for answer in answers] == [0, 4, 4, 4, 8, 8]
    group.deliver([third, first, second])
    group.settle()
    before = list(group.committed[3])
    group.deliver([first, second, third])
    group.settle()

    assert group.committed[3] == before == group.committed[1]


def test_a_snapshot_with_a_wrong_hash_changes_nothing_and_is_sent_again() -> None:
    group = group_with_one_behind()
    leader = group.cores[1]
    group.tick(numbers=[1])
    snapshot = group.snapshot(1, FILE)
    leader.offer_snapshot(snapshot)
    sent = chunks(group.take(1))
    damaged = [InstallSnapshot(1, 3, 1, snapshot, m.offset, b"x" * len(m.data)) for m in sent]

    group.deliver(damaged)
    answers = group.take(3)
    assert answers[-1] == SnapshotResponse(3, 1, 1, snapshot.index, snapshot.hash, 0)
    assert (group.cores[3].commit, group.cores[3].log.last) == (0, 1)
    group.deliver(answers)
    group.tick(2 * ELECTION_TICKS, numbers=[1])

    assert group.committed[3] == group.committed[1]


def test_a_snapshot_does_not_move_the_commit_index_before_it_is_installed() -> None:
    group = group_with_one_behind()
    leader = group.cores[1]
    group.tick(numbers=[1])
    leader.offer_snapshot(group.snapshot(1, FILE))

    for message in chunks(group.take(1)):
        group.cores[3].step(message)
    follower = group.cores[3]
    ready = follower.ready()
    assert follower.commit == 0
    follower.persisted(ready)
    follower.snapshot_received(intact=True)
    assert follower.commit == 0
    ready = follower.ready()
    assert ready.install is not None
    assert ready.messages == []
    assert [m.match_index for m in ready.messages_after if isinstance(m, AppendResponse)] == [7]


def test_if_the_log_has_the_snapshots_last_entry_what_follows_it_is_retained() -> None:
    """Section 5.3: such entries may be acknowledged, and nothing needs to be installed."""
    group = Group(3, logs={2: [1, 1, 1, 1]})
    follower = group.cores[2]
    snapshot = Snapshot(LogBase(2, 1, Membership.of((1, 2, 3))), 10, b"h")

    follower.step(InstallSnapshot(1, 2, 1, snapshot, 0, b"0123"))

    ready = follower.ready()
    assert ready.chunks == []
    assert follower.commit == 2
    assert follower.log.last == 4
    assert [m.match_index for m in ready.messages_after if isinstance(m, AppendResponse)] == [2]


def test_a_snapshot_replaces_a_log_that_conflicts_with_it() -> None:
    group = Group(3, logs={1: [1, 3, 3], 2: [1, 3, 3], 3: [1, 2, 2, 2, 2, 2, 2]}, terms={3: 3})
    group.cut = {3}
    leader = group.elect(1)
    group.compact(1, 4)
    group.cut = set()
    group.tick(numbers=[1])

    leader.offer_snapshot(group.snapshot(1, FILE))
    group.tick(2, numbers=[1])

    assert group.cores[3].log.first == 5
    assert group.disks[3].log == []
    assert group.committed[3] == group.committed[1]


def test_a_snapshot_of_an_older_leader_is_refused_with_the_newer_term() -> None:
    group = Group(3, terms={2: 7})
    snapshot = Snapshot(LogBase(2, 1, Membership.of((1, 2, 3))), 10, b"h")

    group.cores[2].step(InstallSnapshot(1, 2, 6, snapshot, 0, b"0123"))

    ready = group.cores[2].ready()
    assert ready.chunks == []
    (answer,) = ready.messages_after
    assert isinstance(answer, AppendResponse)
    assert (answer.term, answer.success) == (7, False)


def test_chunks_of_a_snapshot_keep_a_follower_from_standing() -> None:
    group = group_with_one_behind()
    follower = group.cores[3]
    snapshot = Snapshot(LogBase(7, 1, follower.membership), 1000, b"h")
    for number in range(100):
        follower.tick()
        follower.step(InstallSnapshot(1, 3, 1, snapshot, 4 * number, b"0123"))
        group.take(3)
    assert follower.role is Role.FOLLOWER
    assert follower.leader == 1


def test_a_peer_that_catches_up_by_itself_needs_no_snapshot_any_more() -> None:
    """Its answers were lost, and the leader compacted what it believed missing."""
    group = Group(3)
    leader = group.elect(1)
    group.settle()
    for number in range(3):
        leader.propose(b"%d" % number)
    sent = group.take(1)
    group.deliver(sent)
    group.deliver(group.take(2))
    group.take(3)  # lost
    group.take(1)
    leader._leadership.peers[3].probe(1)  # type: ignore[union-attr]  # it leads
    group.compact(1, 4)

    leader.propose(b"more")
    group.tick(2, numbers=[1])

    assert group.wants_snapshot <= {1}
    assert group.committed[3] == group.committed[1]
    assert group.disks[3].base.index == 0


def test_a_snapshot_that_became_too_old_is_asked_for_again() -> None:
    group = group_with_one_behind()
    leader = group.cores[1]
    group.tick(numbers=[1])
    snapshot = group.snapshot(1, FILE)
    leader.propose(b"x")
    group.cut = {3}
    group.settle()
    group.compact(1, 8)
    group.cut = set()
    group.wants_snapshot.clear()

    leader.offer_snapshot(snapshot)
    assert chunks(group.take(1)) == []
    assert group.wants_snapshot == {1}
    leader.offer_snapshot(group.snapshot(1, FILE))
    group.tick(2, numbers=[1])

    assert group.committed[3] == group.committed[1]


def test_a_replica_restarts_behind_its_base() -> None:
    group = group_with_one_behind()
    restarted = group.start(1)

    assert restarted.commit >= 5
    assert restarted.log.first == 6
    group.elect(2)
    group.tick(numbers=[2])
    assert group.committed[1] == group.committed[2]


def test_a_candidate_whose_log_is_compacted_says_the_bases_term() -> None:
    group = Group(3)
    leader = group.elect(1)
    leader.propose(b"x")
    group.settle()
    group.tick(numbers=[1])
    for number in (1, 2, 3):
        group.compact(number, 2)
        assert group.start(number).log.last_term == 1

    group.elect(2)

    assert group.terms(2) == [2]


def test_only_what_was_handed_out_as_committed_can_be_compacted() -> None:
    group = Group(3)
    leader = group.elect(1)
    group.settle()
    group.cut = {2, 3}
    leader.propose(b"x")
    group.settle()

    with pytest.raises(AssertionError, match="not applied"):
        leader.compact(2)
    base = leader.compact(1)

    assert base == LogBase(1, 1, Membership.of((1, 2, 3)))
    assert leader.log.entries(2, 2) == [LogEntry(1, b"x")]


def test_sizes_are_bounded() -> None:
    assert CHUNK_BYTES * CHUNKS_MAX <= 4 * 1024 * 1024
