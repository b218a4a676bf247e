"""What reads of each level wait for at a replica, in a group of three on a wire by hand."""

from __future__ import annotations

from nodes.engine import Barrier
from nodes.protocol import AtLeast, Behind, Bounded, Consistency, NotLeader, ResponseBody
from nodes.read_barriers import BEHIND_TICKS
from tests.nodes.test_raft_engine import ELECTION_TICKS, NODES, Group, command, group, leader_of

__all__ = ["group"]

SEEN = AtLeast(1, 2)


def write(group: Group, seq: int = 1) -> None:
    """Acknowledged, and followers learn of it with the next tick."""
    assert group.propose(1, command(seq)) == []
    group.settle()
    assert group[1].status().applied == 1 + seq


def test_a_read_of_what_was_seen_is_answered_by_any_replica_that_has_applied_it(
    group: Group,
) -> None:
    group.cut = {3}
    write(group)
    group.ticks(1)
    assert [group.read(replica, SEEN) for replica in (1, 2)] == [[None], [None]]
    behind = group.read(3, SEEN)
    assert behind == []
    group.ticks(BEHIND_TICKS)
    assert behind == [Behind(1, 1)]


def test_it_waits_for_what_is_on_its_way(group: Group) -> None:
    write(group)
    read = group.read(2, SEEN)
    assert read == [], "the follower does not know yet that it is committed"
    group.ticks(1)
    assert read == [None]
    group.ticks(BEHIND_TICKS)
    assert read == [None], "and its wait is over"


def test_what_was_never_seen_asks_for_nothing(group: Group) -> None:
    group.cut = {1, 2, 3}
    assert [group.read(replica, AtLeast(0, 0)) for replica in NODES] == [[None]] * 3


def test_an_index_of_another_incarnation_is_none_of_this_one(group: Group) -> None:
    """After an unsafe recovery the same number is another entry."""
    write(group)
    group.ticks(1)
    assert group.read(2, AtLeast(7, 1)) == [Behind(1, 2)]
    assert group.read(2, AtLeast(7, 99)) == [Behind(1, 2)]
    late = group.read(2, AtLeast(1, 3))
    group.members[2].machine.incarnation = 8  # by the entry that it waits for
    write(group, 2)
    group.ticks(1)
    assert late == [Behind(8, 3)]


def test_a_bounded_read_at_a_follower_asks_its_leader_once_in_a_while(group: Group) -> None:
    clock = group.members[2].clock
    first = group.read(2, Bounded(500))
    assert first == [], "nobody has said yet how new its state is"
    group.settle()
    assert first == [None]
    group.cut = {2}
    write(group)
    clock.time = 0.5
    assert group.read(2, Bounded(500)) == [None], "that write may be missing"
    clock.time = 0.501
    late = group.read(2, Bounded(500))
    assert late == []
    assert group.read(2, Bounded(600)) == [None]
    group.ticks(2 * ELECTION_TICKS)
    assert [type(answer) for answer in late] == [NotLeader]
    assert group.read(2, Bounded(500)) == [NotLeader(None)]


def test_a_bounded_read_waits_for_what_was_acknowledged_before_it_by_more_than_its_bound(
    group: Group,
) -> None:
    group.read(2, Bounded(100))
    group.settle()
    write(group)
    clock = group.members[2].clock
    clock.time = 0.2
    seen: list[int] = []

    def done(refusal: ResponseBody | None) -> None:
        assert refusal is None
        seen.append(group[2].status().applied)

    ask(group, 2, Bounded(100), done)
    group.settle()
    group.ticks(1)
    assert seen == [2]


def test_a_lease_is_asked_for_and_never_taken_by_other_reads(group: Group) -> None:
    """Without one, a read by lease is a linearizable one."""
    read = group.read(1, "lease")
    assert read == []
    group.settle()
    assert read == [None]
    assert group.read(2, "lease") == [NotLeader("n1")]


def test_reads_of_all_levels_end_with_the_replica(group: Group) -> None:
    group.cut = {2}
    waiting = [group.read(2, level) for level in (Bounded(100), AtLeast(1, 9))]
    group[2].stop("its disk is gone.")
    assert waiting == [[NotLeader(None)]] * 2
    assert leader_of(group) == 1


def ask(group: Group, replica: int, consistency: Consistency, done: Barrier) -> None:
    group[replica].read_barrier(consistency, done)
