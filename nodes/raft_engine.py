"""Replication of one group: `engine.Engine` for a group's replica, whoever decides its log.

It joins consensus (`nodes.consensus`: our Raft core, or another), applier and the waiting
callers, and knows no socket, no file and no SQL. The node drives it: inputs (`step`, `tick`,
`propose`, `read_barrier`) only mark it dirty, and once per turn of the loop the node takes
`collect`, makes durable and sends what that lists, calls `persisted`, and then `apply`.

Who waits for what:
- Commands wait for the next turn, and those that may share an entry do: log, messages and
  transactions are then paid for once for all of them. One that has not entered the log when the
  office is lost is answered NotLeader, definitely.
- A proposal waits for its entry to be applied here with the term it was proposed in. A leader
  that loses its office answers UnknownOutcome to all: others may still commit their entries.
- A new leader proposes nothing for clients before its own no-op is applied (DESIGN section 8:
  until then it may not know what is committed). Proposals that come in between are held, a
  round trip usually, and answered NotLeader, definitely, if the office is lost before.
- What begins something waits while a gate is closed (`nodes.gatekeeping`), as if the office were
  not open yet.
- A read barrier waits for its ReadIndex to be confirmed and then to be applied here. Once it
  is confirmed the loss of office does no harm. At a follower the leader confirms it, and the
  wait for its being applied here is what keeps the answer from being stale.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

import msgspec

from nodes import gates
from nodes.applier import Applier
from nodes.consensus import Consensus
from nodes.engine import (
    HALTED_HINT,
    Answers,
    Barrier,
    Committed,
    Proposed,
    Refuse,
    StateMachine,
)
from nodes.gatekeeping import Gatekeeper
from nodes.leader_balance import Led
from nodes.log_store import GroupWrite
from nodes.member_changes import MemberChanges
from nodes.metrics import Latencies
from nodes.office import Office, Proposal
from nodes.protocol import (
    ENTRY_BYTES_MAX,
    AtLeast,
    Busy,
    ChangeReplicas,
    Consistency,
    Entry,
    EntryBody,
    MemberStatus,
    MoveLeadership,
    NotLeader,
    ReplicaStatus,
    ResponseBody,
    SqlFailure,
)
from nodes.raft.core import Role
from nodes.raft.log import RaftLog
from nodes.raft.membership import is_removed
from nodes.raft.messages import (
    AppendRequest,
    InstallSnapshot,
    Membership,
    Quiesce,
    RaftMessage,
    Removed,
)
from nodes.raft.ready import Ready
from nodes.read_barriers import ReadBarriers
from nodes.snapshot_transfer import SnapshotMachine, SnapshotTransfer
from nodes.two_phase import Touched, TwoPhaseView

__all__ = ["Clock", "RaftEngine", "ReplicatedMachine"]

PROPOSALS_MAX: Final = 4096
"""Proposals of one group under way; more are answered Busy."""

PROPOSAL_BYTES_MAX: Final = 32 * 1024 * 1024
"""Their bytes: they are held in memory until they are durable and sent."""

YIELD_TICKS: Final = 60
"""Ticks, 3 s, after which a leader that may execute no write hands its office to the next one."""

SESSION_IDLE_S: Final = 900.0
"""A session that no entry used for so long is expired. Its router lost it long before."""

SESSION_SAMPLE_S: Final = 30.0
"""How often the log's position is noted, to tell later how long ago a session was used."""

SUCCESSOR_LAG_ENTRIES: Final = 1000
"""A successor has to be this close to the end of the log: until it is there, nothing is written."""

SENDERS_MAX: Final = 64
"""Replicas that write to this one and are not in its log, whose nodes are remembered."""

_LEADER: Final = Role.LEADER  # looking a member up in its enum costs as much as a call

_OF_LEADERS: Final = (AppendRequest, InstallSnapshot, Quiesce)

_log = logging.getLogger(__name__)


class ReplicatedMachine(StateMachine, SnapshotMachine, Protocol):
    """What the engine asks of the state machine besides applying."""

    def idle(self, since: int) -> EntryBody | None:
        """What to propose to forget what no entry after log index `since` has used."""

    @property
    def fingerprint(self) -> str:
        """What the group's writes are executed with, in its state."""

    @property
    def incarnation(self) -> int:
        """Of the group, in its state."""

    @property
    def prepared(self) -> TwoPhaseView:
        """What of transactions over several groups is in the committed state."""

    def opening(self) -> EntryBody | None:
        """What a new leader proposes before any client's command, once its state is up to its
        office."""


class Clock(Protocol):
    """The node's clocks: two that never jump, and one that says what time it is."""

    def monotonic(self) -> float:
        """Seconds."""

    def lease_now(self) -> float:
        """Seconds, also of the machine's sleep."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""


class RaftEngine:
    """The replica of one group on this node.

    `wake` asks the node for a turn in which this replica takes part. `send` sends a message
    between turns. `log_entries` stay in the log behind what is applied.
    """

    def __init__(
        self,
        *,
        group: str,
        core: Consensus,
        log: RaftLog,
        machine: ReplicatedMachine,
        rng: random.Random,
        clock: Clock,
        log_entries: int,
        wake: Callable[[RaftEngine], None],
        send: Callable[[RaftEngine, RaftMessage], None],
    ) -> None:
        self.group = group
        self.replica = core.replica
        self.has_heard = False
        """A leader has written to this replica, or it leads, since this was set to False."""
        self.elections_won = 0
        self.commits = Latencies()
        """Of the entries that were proposed here, until they were applied."""
        self._core = core
        self._log = log
        self._machine = machine
        self._rng = rng
        self._clock = clock
        self._wake = wake
        self._send = send
        self.stopped = ""
        """Why this replica does nothing more, a full sentence; empty: it goes on."""
        self._applier = Applier(
            group,
            machine,
            log,
            applied=self._on_applied,
            more=lambda: wake(self),
            failed=self.fail,
            known=self._known_entry,
        )
        self._snapshots = SnapshotTransfer(
            group,
            core,
            machine,
            self._applier,
            log_entries=log_entries,
            send=lambda message: send(self, message),
            wake=lambda: wake(self),
            failed=self.fail,
        )
        self._office = Office()
        self._changes = MemberChanges(core, machine)
        self._placed = core.membership
        self._places = _places_in(self._placed)
        self._senders: dict[int, str] = {}  # nodes of replicas that our log does not know (yet)
        self._committed = core.committed_membership
        self._is_holding = False
        self._halted_ticks = 0  # how long this leader has been halted
        self._reads = ReadBarriers(
            group,
            core,
            machine,
            now=clock.lease_now,
            wake=lambda: wake(self),
            not_leader=self._not_leader,
        )
        self._keeper = Gatekeeper(
            machine,
            now=clock.monotonic,
            enter=self._enter,
            let_in=self._propose_held,
            lasts_s=gates.GATE_S_MAX,
        )
        self._last_now_us = 0
        self._positions: deque[tuple[float, int]] = deque()  # (monotonic, applied then)
        self._encoder = msgspec.msgpack.Encoder()
        self.turned: Callable[[], None] = _nothing

    # ------------------------------------------------------------------ Engine

    def propose(
        self,
        body: bytes | msgspec.Raw,
        done: Proposed,
        *,
        command: EntryBody | None = None,
        refuse: Refuse | None = None,
    ) -> None:
        if self.stopped or self._core.role is not _LEADER:
            self._look_for_leader()
            done(self._not_leader())
            return
        if self._applier.is_halted:
            done(Busy(self._machine.halted, HALTED_HINT))
            return
        size = len(body)
        if size > ENTRY_BYTES_MAX:
            done(
                SqlFailure(
                    "54000",
                    f"the command has {size} bytes, one entry holds {ENTRY_BYTES_MAX}; "
                    "split it into smaller ones",
                )
            )
            return
        if self._office.term != self._core.term:
            self._notice_office()
        office = self._office
        if office.proposals >= PROPOSALS_MAX or office.bytes + size > PROPOSAL_BYTES_MAX:
            done(Busy(f"group {self.group} has {office.proposals} proposals under way"))
            return
        proposal = Proposal(body, size, done, command)
        is_kept_out = self._keeper.gates.is_closed and self._keeper.keeps_out(command)
        if is_kept_out or not office.is_open or self._is_holding:
            office.hold(proposal, refuse)
        elif refuse is None or (refusal := refuse()) is None:
            if office.queue(proposal):
                self._wake(self)
        else:
            self._refused(done, refusal)

    def hold_proposals(self) -> None:
        self._is_holding = True

    def release_proposals(self) -> None:
        self._is_holding = False
        self._notice_office()
        self._propose_held()

    def _propose_held(self) -> None:
        office = self._office
        if not office.is_open or self._is_holding:
            return
        gate = self._keeper.gates
        for proposal, refuse in office.take_held():
            if gate.keeps_out(proposal.command):
                office.hold(proposal, refuse)
            elif refuse is not None and (refusal := refuse()) is not None:
                self._refused(proposal.done, refusal)
            else:
                self._queue(proposal)

    def _queue(self, proposal: Proposal) -> None:
        if self._office.queue(proposal):
            self._wake(self)

    def _refused(self, done: Proposed, refusal: ResponseBody) -> None:
        done(refusal)
        if self._machine.halted:
            self._core.wake()  # somebody writes: the office has to go round

    async def borrow_file(self, stop: Callable[[], None]) -> bool:
        return await self._applier.lend(stop)

    def borrow_file_now(self, stop: Callable[[], None]) -> bool:
        return self._applier.lend_now(stop)

    def return_file(self) -> None:
        self._applier.take_back()
        self._wake(self)

    def _propose_queued(self) -> None:
        """Put into the log what was queued, commands that may share an entry into one."""
        office = self._office
        while shared := office.take_shared():
            now_us = max(self._clock.now_us(), self._last_now_us + 1)
            self._last_now_us = now_us + len(shared) - 1
            seed = self._rng.getrandbits(63)
            # The encoder copies Raw where the type says a body: the bytes of the requests, as
            # they came.
            spliced = tuple([msgspec.Raw(proposal.body) for proposal in shared])
            entry = Entry(now_us, seed, cast("tuple[EntryBody, ...]", spliced))
            index = self._core.propose(self._encoder.encode(entry))
            if index is not None:
                office.await_entry(index, now_us, seed, shared, self._clock.monotonic())
            else:  # the office is being handed over
                office.refuse(shared, self._not_leader())

    def _known_entry(self, index: int, term: int) -> Entry | None:
        return self._office.entry(index) if term == self._office.term else None

    def read_barrier(
        self, consistency: Consistency, done: Barrier, *, at_follower: bool = False
    ) -> None:
        if self.stopped:
            done(self._not_leader())
        elif consistency == "any":
            done(None)
        elif (
            self._applier.is_halted
            and (at_follower or self._core.role is _LEADER)
            and not isinstance(consistency, AtLeast)
        ):
            done(Busy(self._machine.halted, HALTED_HINT))
        else:
            self._reads.ask(consistency, done, at_follower=at_follower)

    def _enter(self) -> int:
        """Put into the log what was let in; its last index."""
        self._propose_queued()
        return self._log.last

    def close_gate(
        self, id: bytes, touched: Touched, pin: Callable[[], None], done: Barrier
    ) -> None:
        self._notice_office()
        if self.stopped or not self._office.term:
            self._look_for_leader()
            done(self._not_leader())
        elif self._applier.is_halted:
            done(Busy(self._machine.halted, HALTED_HINT))
        elif not self._office.is_open:
            done(Busy(f"the leader of group {self.group} has just been elected"))
        else:
            self._keeper.close(id, touched, pin, done)

    def confirm_gate(self, id: bytes, done: Barrier) -> None:
        self._notice_office()
        if (refusal := self._keeper.confirm(id)) is not None:
            done(refusal)
        else:
            self.read_barrier("linearizable", done)

    def open_gate(self, id: bytes) -> None:
        self._keeper.open(id)

    def look_at_gates(self) -> float | None:
        return self._keeper.look()

    def change(self, request: ChangeReplicas | MoveLeadership, done: Proposed) -> None:
        if self.stopped or self._core.role is not _LEADER:
            done(self._not_leader())
            return
        if isinstance(request, MoveLeadership) and request.replica == self.replica:
            self._notice_office()
            self._office.is_kept = True
        self._changes.ask(request, done)
        self._wake(self)

    def status(self) -> ReplicaStatus:
        core = self._core
        progress = {} if self.stopped else core.progress()
        return ReplicaStatus(
            group=self.group,
            replica=core.replica,
            role="stopped" if self.stopped else core.role.value,
            leader=None if self.stopped else self.place(core.leader),
            term=core.term,
            commit=core.commit,
            applied=self._machine.applied,
            last=self._log.last,
            stopped=self.stopped,
            members=tuple(
                MemberStatus(
                    member.id,
                    member.place,
                    member.is_voter,
                    *progress.get(member.id, (None, None)),
                )
                for member in core.membership.members
            ),
            last_id=core.membership.last_id,
            is_changing=core.is_changing,
            last_term=self._log.last_term,
            fingerprint=self._machine.fingerprint,
            halted=self._machine.halted,
            is_kept=self._office.is_kept,
        )

    def _look_for_leader(self) -> None:
        """Somebody needs the leader of a group that may have lost it in its sleep: its replica
        may have stopped. One that is well answers the call for an election with a heartbeat."""
        if not self.stopped and self._core.is_quiescent:
            self.wake()

    def _not_leader(self) -> NotLeader:
        leader = self._core.successor or self._core.leader
        return NotLeader(None if self.stopped else self.place(leader))

    # ------------------------------------------------------------------ the node's side

    def place(self, replica: int) -> str | None:
        """The node of a replica: as the membership says, or as it wrote to us. A voter that our
        log does not know yet may need our vote."""
        membership = self._core.membership
        if membership is not self._placed:
            self._placed, self._places = membership, _places_in(membership)
        return self._places.get(replica) or self._senders.get(replica)

    def step(self, message: RaftMessage, node: str) -> None:
        """A message has come from `node`."""
        if self.stopped:
            return
        if message.sender not in self._places:
            if len(self._senders) >= SENDERS_MAX:
                self._senders.clear()
            self._senders[message.sender] = node
        if isinstance(message, _OF_LEADERS):
            self.has_heard = True
        self._core.step(message)
        self._wake(self)

    @property
    def proposals(self) -> int:
        """Commands that wait here."""
        return self._office.proposals

    @property
    def reads(self) -> int:
        """Reads that wait for their barrier."""
        return len(self._reads)

    @property
    def log(self) -> RaftLog:
        """Its log, durable and not yet durable."""
        return self._log

    @property
    def term(self) -> int:
        """The highest that it has met."""
        return self._core.term

    @property
    def last_id(self) -> int:
        """The highest id that its group has ever given, as far as it knows."""
        return self._core.membership.last_id

    def has_lost(self, replica: int, node: str) -> bool:
        """Whether it is certain that no replica of that id belongs to the group at that node,
        now or ever."""
        committed = self._core.committed_membership
        return not self.stopped and is_removed(committed, replica, node)

    @property
    def leads(self) -> bool:
        return not self.stopped and self._core.role is _LEADER

    def led(self) -> Led:
        """This group, which is led here, and who could lead it in this replica's place."""
        core = self._core
        progress = core.progress()
        return Led(
            self.group,
            tuple(
                (member.id, member.place)
                for member in core.membership.members
                if member.is_voter
                and member.id != core.replica
                and progress.get(member.id, (0, False))[1]
                and self._log.last - progress[member.id][0] <= SUCCESSOR_LAG_ENTRIES
            ),
            self._office.is_kept,
        )

    @property
    def is_quiet(self) -> bool:
        """Ticks would do nothing, before the next input."""
        return bool(self.stopped) or (
            self._core.is_quiescent
            and not self._office.proposals
            and self._snapshots.is_at_rest
            and not self._changes.is_waiting
        )

    def member_nodes(self) -> set[str]:
        """Names of the nodes with a member of the group."""
        return {member.place for member in self._core.membership.members}

    def wake(self) -> None:
        """End the quiet of the group, if it is quiet."""
        if not self.stopped:
            self._core.wake()
            self._wake(self)

    def tick(self) -> None:
        if not self.stopped:
            self._core.tick(self._clock.lease_now())
            self._changes.tick()
            self._reads.tick()
            if self._keeper.gates.is_closed:
                self._keeper.look()
            self._expire_sessions()
            self._snapshots.tick()
            self._yield_office()
            self._wake(self)

    def _yield_office(self) -> None:
        """A leader whose process may not execute the group's writes is in the way of one that
        may. It cannot tell who that is, so from time to time the office goes to the next."""
        core = self._core
        if core.role is not _LEADER or not self._machine.halted:
            self._halted_ticks = 0
            return
        self._halted_ticks += 1
        if self._applier.is_halted:
            core.wake()  # a group that falls asleep behind such a write would keep this leader
        if self._halted_ticks % YIELD_TICKS:
            return
        able = [voter for voter, (_, is_active) in core.progress().items() if is_active]
        others = sorted(set(able) & set(core.membership.voters) - {core.replica})
        if others:
            core.transfer(next((each for each in others if each > core.replica), others[0]))

    def collect(self) -> Ready | None:
        """What the node has to make durable and to send now, if anything. Confirmed reads are
        answered here, for they wait for no disk."""
        if self.stopped:
            return None
        self._notice_office()
        self._propose_queued()
        if not self._core.has_ready():
            return None
        ready = self._core.ready()
        self._snapshots.take(ready)
        for index, contexts in ready.reads:
            self._reads.confirmed(index, contexts)
        self._reads.failed(ready.reads_failed)
        self._reads.answer()
        return ready

    def group_write(self, ready: Ready) -> GroupWrite | None:
        """What of `ready` has to be durable before `persisted`."""
        if not ready.is_durable_work:
            return None
        pointer = self._snapshots.pointer(ready)
        return GroupWrite(self.group, ready.hard_state, ready.first_index, ready.entries, pointer)

    def persisted(self, ready: Ready) -> None:
        self._core.persisted(ready)
        self._snapshots.persisted(ready)
        if ready.committed:
            self._applier.commit_to(ready.committed[-1])

    def apply(self) -> None:
        """Apply a piece of what is committed, and ask for another turn if there is more."""
        self._applier.step()
        self.turned()
        if self._applier.is_halted and (self._reads or self._office.proposals):
            self._refuse_all(self._machine.halted)
        if self._applier.due or (not self.stopped and self._core.has_ready()):
            self._wake(self)

    def fail(self, error: Exception) -> None:
        """Stop because of an error nobody expected, or one that is a sentence itself."""
        sentence = str(error)
        if not sentence.endswith("."):
            sentence = f"{type(error).__name__}: {sentence}."
        _log.error(
            "group %s",
            self.group,
            exc_info=error,
            extra={"group": self.group, "term": self._core.term},
        )
        self.stop(sentence)

    def stop(self, reason: str) -> None:
        """This replica must do nothing more: `reason` is the sentence that status shows. The
        other replicas of the node go on."""
        if self.stopped:
            return
        self.stopped = reason
        _log.error(
            "replica %d of group %s stopped: %s",
            self._core.replica,
            self.group,
            reason,
            extra={"group": self.group, "term": self._core.term},
        )
        self._refuse_all(f"its replica stopped: {reason}")
        self._wake(self)  # the node has to tell the others

    async def close(self) -> None:
        """Answer what waits, and return when nothing is being applied any more."""
        self.stopped = self.stopped or "The node is stopping."
        self._refuse_all("the node is stopping")
        await self._snapshots.close()
        await self._applier.close()

    def _refuse_all(self, reason: str) -> None:
        self._office.lose(self._not_leader(), reason)
        self._keeper.drop(self._not_leader())
        self._changes.end(reason)
        self._reads.refuse_all()

    # ------------------------------------------------------------------ consequences

    def _notice_office(self) -> None:
        core, office = self._core, self._office
        self._changes.look()
        if core.role is _LEADER and core.term == office.term:
            self.has_heard = True
            return
        if office.term:
            office.lose(self._not_leader(), "the leader lost its office")
            self._keeper.drop(self._not_leader())
        if core.role is _LEADER:
            _log.info(
                "leads group %s in term %d",
                self.group,
                core.term,
                extra={"group": self.group, "term": self._core.term},
            )
            self._office = Office(core.term)
            self.elections_won += 1

    def _on_applied(self, batch: Sequence[Committed], answers: Sequence[Answers]) -> None:
        self._notice_office()
        office = self._office
        for _, _, entry in batch:
            if entry is not None:
                last_us = entry.now_us + len(entry.bodies) - 1
                self._last_now_us = max(self._last_now_us, last_us)
        if office.term:
            office.applied(batch, answers, self._clock.monotonic(), self.commits)
        if office.term and not office.is_open and batch[-1][1] == office.term:
            office.is_open = True
            if (first := self._machine.opening()) is not None:
                body = self._encoder.encode(first)
                self._queue(Proposal(body, len(body), lambda answer: None))
            self._propose_held()
        self._part_from_removed()
        self._reads.answer()
        if self._keeper.gates.is_closed:
            self._keeper.look()

    def _part_from_removed(self) -> None:
        """Tell who was removed. A hint for speed, except to one whose group is quiet: it misses
        nobody, and does not ask."""
        before, self._committed = self._committed, self._core.committed_membership
        if self._committed is before:
            return
        for member in before.members:
            if member.id not in self._committed and member.id != self.replica:
                self._senders[member.id] = member.place
                self._send(self, Removed(self.replica, member.id, 0))

    # ------------------------------------------------------------------ sessions

    def _expire_sessions(self) -> None:
        """Propose to forget sessions that were not used since a position of the log that is
        SESSION_IDLE_S old by this replica's own monotonic clock (DESIGN section 8)."""
        now = self._clock.monotonic()
        positions = self._positions
        if positions and now - positions[-1][0] < SESSION_SAMPLE_S:
            return
        positions.append((now, self._machine.applied))
        if now - positions[0][0] < SESSION_IDLE_S:
            return
        _, since = positions.popleft()
        if not self._office.is_open or self._office.proposals or self._applier.busy:
            return  # a session may be in use again by a write that is not applied yet
        if (expiry := self._machine.idle(since)) is not None:
            self.propose(self._encoder.encode(expiry), lambda answer: None)


def _places_in(membership: Membership) -> dict[int, str]:
    return {member.id: member.place for member in membership.members}


def _nothing() -> None:
    pass
