"""Log replication and commitment, as the thesis words them (sections 3.5, 3.6, 10.2.1)."""

from __future__ import annotations

import itertools

import pytest

from nodes.raft.core import RaftCore, Role
from nodes.raft.log import MESSAGE_BYTES_MAX
from nodes.raft.messages import (
    AppendRequest,
    AppendResponse,
    HardState,
    LogEntry,
    Membership,
    RaftMessage,
)
from nodes.raft.progress import WINDOW_BYTES_MAX, WINDOW_MESSAGES_MAX
from tests.nodes.raft.group import ELECTION_TICKS, Group


def appends(messages: list[RaftMessage], receiver: int) -> list[AppendRequest]:
    return [m for m in messages if isinstance(m, AppendRequest) and m.receiver == receiver]


def answers(messages: list[RaftMessage]) -> list[AppendResponse]:
    return [m for m in messages if isinstance(m, AppendResponse)]


def test_a_new_leader_appends_a_no_op_of_its_term() -> None:
    group = Group(3, logs={1: [1, 1], 2: [1, 1], 3: [1, 1]})

    group.elect(1)

    assert group.terms(1) == [1, 1, 2]
    assert group.cores[1].log.entries(3, 3) == [LogEntry(2, b"")]
    assert group.cores[1].commit == 3


def test_an_entry_is_committed_once_a_majority_has_it_and_followers_hear_of_it() -> None:
    group = Group(3)
    leader = group.elect(1)

    assert leader.propose(b"x") == 2
    group.settle()
    assert [entry.data for entry in group.committed[1]] == [b"", b"x"]
    group.tick(numbers=[1])

    assert group.committed[2] == group.committed[3] == group.committed[1]


def test_only_a_leader_takes_proposals() -> None:
    group = Group(3)
    group.elect(1)

    assert group.cores[2].propose(b"x") is None


def test_appends_travel_while_the_leader_writes_and_count_only_when_it_has_written() -> None:
    group = Group(3)
    leader = group.elect(1)
    leader.propose(b"x")

    ready = leader.ready()
    assert [m.entries for m in appends(ready.messages, 2)] == [(LogEntry(1, b"x"),)]
    assert not leader.has_ready()
    group.deliver(appends(ready.messages, 2))
    group.deliver(group.take(2))
    assert leader.commit == 1, "one of three has it durably: the follower"
    group.disks[1].write(ready)
    leader.persisted(ready)

    assert leader.commit == 2
    assert leader.ready().committed == range(2, 3)


def test_a_majority_of_followers_commits_what_the_leader_has_not_written_yet() -> None:
    """And the leader does not hand it out before it is durable in its own log."""
    group = Group(3)
    leader = group.elect(1)
    leader.propose(b"x")
    ready = leader.ready()

    for number in (2, 3):
        group.deliver(appends(ready.messages, number))
        group.deliver(group.take(number))

    assert leader.commit == 2
    assert not leader.has_ready()
    group.disks[1].write(ready)
    leader.persisted(ready)
    assert leader.ready().committed == range(2, 3)


def test_a_follower_acknowledges_only_what_is_durable() -> None:
    group = Group(3)
    group.elect(1)

    group.cores[2].step(AppendRequest(1, 2, 1, 1, 1, 1, 9, (LogEntry(1, b"x"),)))

    ready = group.cores[2].ready()
    assert ready.entries == [LogEntry(1, b"x")]
    assert ready.messages == []
    assert [m.match_index for m in answers(ready.messages_after)] == [2]


def test_the_leader_never_overwrites_or_deletes_entries_in_its_own_log() -> None:
    group = Group(3)
    leader = group.elect(1)
    leader.propose(b"x")
    group.settle()

    with pytest.raises(AssertionError, match="two leaders"):
        leader.step(AppendRequest(2, 1, 1, 1, 1, 1, 9, (LogEntry(1, b"y"),)))


FIGURE_3_6 = {
    "a": [1, 1, 1, 4, 4, 5, 5, 6, 6],
    "b": [1, 1, 1, 4],
    "c": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    "d": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    "e": [1, 1, 1, 4, 4, 4, 4],
    "f": [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
}


@pytest.mark.parametrize("case", FIGURE_3_6)
@pytest.mark.parametrize("has_restarted", [False, True])
def test_the_leader_forces_followers_logs_to_duplicate_its_own(
    case: str, has_restarted: bool
) -> None:
    """The six followers of figure 3.6, each with the leader and a third that elects it."""
    leader_log = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
    group = Group(3, logs={1: leader_log, 2: FIGURE_3_6[case], 3: [1]}, terms={1: 7, 3: 7})
    group.cut = {2}
    leader = group.elect(1)
    if has_restarted:
        group.start(2)

    group.cut = set()
    group.tick(2, numbers=[1])

    assert leader.role is Role.LEADER
    assert group.terms(2) == [*leader_log, 8]
    assert [entry.term for entry in group.disks[2].log] == [*leader_log, 8]
    assert group.terms(3) == [*leader_log, 8]


def test_hints_skip_a_whole_term_per_exchange() -> None:
    """A thousand divergent entries cost a few exchanges, not a thousand."""
    group = Group(3, logs={1: [1] * 5 + [3], 2: [1] * 5 + [2] * 1000, 3: [1]}, terms={3: 3})
    group.cut = {2}
    leader = group.elect(1)
    group.cut = set()

    leader.tick()
    exchanges = 0
    while group.terms(2) != group.terms(1):
        group.deliver(group.take(1))
        group.deliver(group.take(2))
        exchanges += 1
        assert exchanges < 6


def test_a_hint_above_the_leaders_commit_index_does_not_stop_the_search() -> None:
    """The follower's entry that the hint names may be one that lost; what the leader has
    committed at that index says nothing about the follower's log."""
    group = Group(3, logs={1: [1, 3, 3, 3], 2: [1, 2, 2, 2], 3: [1, 3, 3, 3]}, terms={2: 3})
    group.cut = {2}
    leader = group.elect(1)
    assert leader.commit == 5
    group.cut = set()

    group.tick(2, numbers=[1])

    assert group.terms(2) == [1, 3, 3, 3, 4]


def test_an_entry_of_an_older_term_is_not_committed_by_counting() -> None:
    """Figure 3.7: S1 leads again in term 4 and spreads its entry of term 2 to a majority; it
    is not committed by that, for S5 could still win and overwrite it."""
    logs = {1: [1, 2], 2: [1, 2], 3: [1], 4: [1], 5: [1, 3]}
    group = Group(5, logs=logs, terms=dict.fromkeys(logs, 3))
    group.cut = {5}
    leader = group.cores[1]
    assert elect_without_replicating(group, leader)
    assert leader.term == 4

    for number in (2, 3, 4):
        leader.step(AppendResponse(number, 1, 4, success=True, match_index=2, round=1))
    assert leader.commit == 0, "index 2 is on a majority, and of term 2"
    for number in (2, 3):
        leader.step(AppendResponse(number, 1, 4, success=True, match_index=3, round=1))

    assert leader.commit == 3, "the no-op of term 4, and with it what is before"


def elect_without_replicating(group: Group, core: RaftCore) -> list[RaftMessage]:
    """Let it win and keep its first AppendRequests back."""
    while core.role is Role.FOLLOWER:
        core.tick()
    sent = group.take(core.replica)
    while core.role is not Role.LEADER:
        group.deliver(sent)
        for number in group.cores:
            if number != core.replica:
                group.deliver(group.take(number))
        sent = group.take(core.replica)
    return sent


def test_a_follower_does_not_commit_beyond_what_the_request_matched() -> None:
    """Figure 3.1, AppendEntries 5: entries behind may be those of a deposed leader."""
    group = Group(3, logs={2: [1, 1, 1]})

    group.cores[2].step(AppendRequest(1, 2, 2, 1, 1, commit=3, round=1))

    assert group.cores[2].commit == 1


def test_a_delayed_request_neither_truncates_nor_acknowledges_less() -> None:
    group = Group(3)
    leader = group.elect(1)
    messages = []
    for data in (b"a", b"b"):
        leader.propose(data)
        messages.append(appends(group.take(1), 2)[-1])

    group.deliver(messages)
    group.take(2)
    group.deliver(messages[:1])

    assert group.cores[2].log.last == 3
    assert [m.match_index for m in answers(group.take(2))] == [2]
    assert group.cores[2].log.last == 3


def test_requests_are_pipelined_up_to_the_window() -> None:
    group = Group(3)
    leader = group.elect(1)
    sent = []
    for number in range(WINDOW_MESSAGES_MAX + 10):
        leader.propose(b"%d" % number)
        sent += appends(group.take(1), 2)

    assert len(sent) == WINDOW_MESSAGES_MAX
    group.deliver(sent)
    group.deliver(group.take(2))
    rest = appends(group.take(1), 2)

    assert [len(m.entries) for m in rest] == [10], "what waited travels together"


def test_a_silent_peer_costs_a_bounded_number_of_bytes() -> None:
    group = Group(3)
    leader = group.elect(1)
    group.take(1)

    sent = 0
    for _ in range(20):
        leader.propose(b"x" * MESSAGE_BYTES_MAX)
        sent += sum(len(e.data) for m in appends(group.take(1), 2) for e in m.entries)

    assert sent == WINDOW_BYTES_MAX


def test_lost_requests_are_found_by_the_next_heartbeat() -> None:
    group = Group(3)
    leader = group.elect(1)
    for number in range(5):
        leader.propose(b"%d" % number)
        group.take(1)  # all lost

    group.tick(numbers=[1])

    assert group.cores[2].log.last == leader.log.last == 6
    assert leader.commit == 6


def test_a_peer_that_lost_what_it_acknowledged_is_not_asked_without_end() -> None:
    group = Group(3)
    leader = group.elect(1)
    leader.propose(b"x")
    group.settle()

    for _ in range(100):
        leader.step(
            AppendResponse(2, 1, 1, False, 0, 1, rejected_index=2, hint_index=0, hint_term=0)
        )

    assert not leader.has_ready()


def test_every_tick_is_a_heartbeat() -> None:
    group = Group(3)
    leader = group.elect(1)
    group.settle()

    leader.tick()
    assert len(group.take(1)) == 2
    assert not leader.has_ready()


def test_the_commit_index_is_written_only_along_with_something_else() -> None:
    group = Group(3)
    leader = group.elect(1)
    leader.propose(b"x")
    group.settle()
    group.tick(numbers=[1])
    written = [group.disks[number].hard_state.commit for number in (1, 2, 3)]
    assert leader.commit == 2
    assert written == [1, 1, 1], "written along with x, and nothing since"

    leader.propose(b"y")
    group.settle()

    assert [group.disks[number].hard_state for number in (1, 2)] == [
        HardState(1, 1, 2),
        HardState(1, 1, 2),
    ]
    restarted = group.start(2)
    assert restarted.commit == 2
    assert restarted.ready().committed == range(1, 3)


def test_entries_already_applied_are_not_handed_out_again() -> None:
    group = Group(1)
    core = group.elect(1)
    for data in (b"a", b"b"):
        core.propose(data)
    group.settle()
    disk = group.disks[1]

    restarted = RaftCore(
        replica=1,
        memberships=[(0, Membership.of({1}))],
        rng=core._timer._rng,
        election_ticks=ELECTION_TICKS,
        hard_state=disk.hard_state,
        log=type(core.log)(disk, last=3, last_term=1),
        applied=3,
    )

    assert restarted.commit == 3
    assert not restarted.has_ready()


def test_a_log_that_ends_before_what_was_applied_is_refused() -> None:
    group = Group(1)
    core = group.cores[1]

    with pytest.raises(AssertionError, match="lost"):
        RaftCore(
            replica=1,
            memberships=[(0, Membership.of({1}))],
            rng=core._timer._rng,
            election_ticks=ELECTION_TICKS,
            hard_state=HardState(),
            log=core.log,
            applied=1,
        )


def test_a_tail_replaced_while_it_is_written_is_written_again() -> None:
    """A follower takes entries, and while they are being written a new leader replaces them:
    the write must not count for the entries that stand there now."""
    group = Group(3)
    core = group.cores[2]
    core.step(AppendRequest(1, 2, 1, 0, 0, 0, 1, (LogEntry(1, b"a"), LogEntry(1, b"b"))))
    first = core.ready()
    core.step(AppendRequest(3, 2, 2, 0, 0, 0, 1, (LogEntry(2, b"c"), LogEntry(2, b"d"))))
    group.disks[2].write(first)
    core.persisted(first)

    assert core.log.saved_index == 0
    second = core.ready()
    assert (second.first_index, second.entries) == (1, [LogEntry(2, b"c"), LogEntry(2, b"d")])


def test_one_ready_at_a_time() -> None:
    group = Group(1)
    core = group.cores[1]
    for _ in range(2 * ELECTION_TICKS):
        core.tick()
    ready = core.ready()

    assert not core.has_ready()
    with pytest.raises(AssertionError, match="not persisted"):
        core.ready()
    core.persisted(ready)
    with pytest.raises(AssertionError, match="outstanding"):
        core.persisted(ready)


def test_any_order_of_delivery_ends_in_equal_logs() -> None:
    """All orders of four pipelined requests, each delivered, then a heartbeat."""
    for order in itertools.permutations(range(4)):
        group = Group(3)
        leader = group.elect(1)
        requests = []
        for number in range(4):
            leader.propose(b"%d" % number)
            requests += appends(group.take(1), 2)
        group.deliver(requests[position] for position in order)
        group.tick(2, numbers=[1])
        assert group.terms(2) == group.terms(1)
        assert leader.commit == 5
