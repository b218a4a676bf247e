"""pysyncobj decides the log (`nodes.consensus.Consensus`): its election, its commit rule, its loop.

Everything around it is ours: journal (`pysyncobj_journal`), transport (`pysyncobj_link`), time,
chance and the turns. It is never left alone: no thread (`autoTick=False`), no socket, no file, no
pickle, and `doTick` is called once per turn of the node's loop, in `ready`.

- Time is ticks. It stands still while pysyncobj works, and moves by a grain for a turn that has
  something to send, because pysyncobj sends when a period is over and its period is smaller than
  a grain.
- A proposal is in the log, or refused, when `propose` returns; pysyncobj's queue is empty
  between turns, so nothing is ever forwarded to a leader elsewhere.
- Reads: pysyncobj has no ReadIndex and answers from a leader that may have been deposed. A read
  waits for an entry that is proposed after it arrived, a no-op if no command comes along: who
  commits in this term was the leader at that moment, and has all that was acknowledged before.
  All reads of a turn share one.
- Outcomes: what pysyncobj calls SUCCESS is an entry that our applier reaches with the term it
  was proposed in. All it calls otherwise (LEADER_CHANGED, DISCARDED, silence on a leader that
  was cut off) is a lost office here, and UnknownOutcome; NotLeader is answered only to what
  never entered the log.
"""

from __future__ import annotations

import importlib.util
import random
from collections import deque
from typing import Any, Final

from nodes.consensus import EngineRefused, FixedGroup
from nodes.pysyncobj_journal import COMMAND, Journal
from nodes.pysyncobj_link import Link
from nodes.pysyncobj_messages import NextIndex
from nodes.raft.core import NO_REPLICA, Role
from nodes.raft.log import MESSAGE_BYTES_MAX, RaftLog
from nodes.raft.messages import ForeignMessage, HardState, Membership, RaftMessage
from nodes.raft.ready import Ready

__all__ = ["PysyncobjConsensus"]

_GRAIN: Final = 2.0**-20
"""Ticks by which a turn moves time on; a million of them pass for one tick."""

_NEVER: Final = 2.0**60
"""Ticks, or entries, until pysyncobj would compact."""

_ROLES: Final = (Role.FOLLOWER, Role.CANDIDATE, Role.LEADER)
"""By pysyncobj's numbers."""


class _Clock:
    """Stands in for pysyncobj's clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class _Chance:
    """Stands in for the module `random`. `first`, if set, is drawn first."""

    def __init__(self, rng: random.Random, first: float | None) -> None:
        self._rng = rng
        self._first = first

    def random(self) -> float:
        first, self._first = self._first, None
        return self._rng.random() if first is None else first


class _NoPickle:
    """Stands in for the module `pickle`: nothing on the network or in the log is one."""

    def loads(self, data: bytes) -> object:
        raise AssertionError("pysyncobj wants to unpickle")

    def dumps(self, value: object) -> bytes:
        raise AssertionError("pysyncobj wants to pickle")


def _private_copy(journal: Journal, clock: _Clock, chance: _Chance) -> Any:
    """A copy of pysyncobj's main module for one replica.

    The library takes journal, clock and chance from its module's names and offers no other way.
    Names changed in a copy concern this replica only: not the next one in this process, which
    has another clock, and no other user of pysyncobj.
    """
    spec = importlib.util.find_spec("pysyncobj.syncobj")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.createJournal = lambda file: journal
    module.monotonicTime = clock
    module.random = chance
    module.pickle = _NoPickle()
    return module


class PysyncobjConsensus(FixedGroup):
    """One replica of one group. The arguments mean what they mean to `RaftCore`."""

    def __init__(
        self,
        *,
        replica: int,
        membership: Membership,
        rng: random.Random,
        election_ticks: int,
        hard_state: HardState,
        log: RaftLog,
        applied: int = 0,
        first_timeout_ticks: int | None = None,
    ) -> None:
        super().__init__("pysyncobj", membership)
        voters = membership.voters
        assert replica in voters, f"replica {replica} is not among the voters {voters}"
        assert max(applied, hard_state.commit) <= log.last, "the log lost committed entries"
        if log.first > 1:
            raise EngineRefused(
                f"engine is 'pysyncobj', which needs its log from the beginning, but this one was "
                f'cut before index {log.first}; use engine = "core".'
            )
        self.replica = replica
        self.role = Role.FOLLOWER
        self.log = log
        log.commit = max(applied, hard_state.commit)
        self._journal = Journal(log, hard_state)
        self._clock = _Clock()
        chance = _Chance(rng, None if first_timeout_ticks is None else 0.0)
        module = _private_copy(self._journal, self._clock, chance)
        self._link = Link(replica, [v for v in voters if v != replica], self._journal)
        conf = module.SyncObjConf(
            autoTick=False,
            raftMinTimeout=float(election_ticks),
            raftMaxTimeout=2.0 * election_ticks,
            connectionTimeout=2.0 * election_ticks,
            leaderFallbackTimeout=float(election_ticks),
            appendEntriesPeriod=_GRAIN / 4,
            appendEntriesUseBatch=True,
            appendEntriesBatchSizeBytes=MESSAGE_BYTES_MAX,
            commandsQueueSize=0,
            dynamicMembershipChange=False,
            logCompactionMinEntries=_NEVER,
            logCompactionMinTime=_NEVER,
            onStateChanged=self._on_role,
        )
        self._library = module.SyncObj(
            module.Node(replica),
            self._link.nodes,
            conf,
            transport=self._link,
        )
        if first_timeout_ticks is not None:  # its first timeout was drawn as the shortest
            self._clock.now = float(max(0, election_ticks - first_timeout_ticks))
        self._link.term = lambda: self.term
        self._link.leads = lambda: self.role is Role.LEADER
        self._link.connect()
        self._saved = HardState(hard_state.term, hard_state.vote, hard_state.commit)
        self._handed_out = applied
        self._outstanding: Ready | None = None
        self._has_news = True
        self._must_send = False
        self._new_reads: list[object] = []
        self._new_reads_after = 0  # where the log ended when the last of them came
        self._reads: deque[tuple[int, list[object]]] = deque()  # (entry they wait for, contexts)

    def _on_role(self, old: int, new: int) -> None:
        self.role = _ROLES[new]
        self._has_news = True
        self._must_send = True

    @property
    def term(self) -> int:
        term: int = self._library.raftCurrentTerm
        return term

    @property
    def leader(self) -> int:
        node = self._library._getLeader()  # noqa: SLF001 - it has no other name
        return NO_REPLICA if node is None else int(node.id)

    @property
    def commit(self) -> int:
        return self.log.commit

    # ---------------------------------------------------------------- inputs

    def step(self, message: RaftMessage) -> None:
        if not isinstance(message, ForeignMessage):
            return
        given = self._link.deliver(message)
        if given is None:
            return
        self._has_news = True
        if isinstance(given, NextIndex) and self._link.has_more_for(message.sender):
            self._must_send = True

    def tick(self, now: float) -> None:
        self._clock.now += 1
        self._has_news = True

    def propose(self, data: bytes) -> int | None:
        if self.role is not Role.LEADER:
            return None
        before = self.log.last
        self._library._applyCommand(data, None, COMMAND[0])  # noqa: SLF001 - for subclasses
        self._library._checkCommandsToApply()  # noqa: SLF001 - what a tick does with its queue
        self._has_news = self._must_send = True
        return self.log.last if self.log.last > before else None

    def read_index(self, context: object) -> bool:
        if self.role is not Role.LEADER:
            return False
        self._new_reads.append(context)
        self._new_reads_after = self.log.last
        self._has_news = True
        return True

    # ---------------------------------------------------------------- outputs

    def has_ready(self) -> bool:
        if self._outstanding is not None:
            return False
        link = self._link
        return bool(
            self._has_news
            or link.outbox
            or link.appends
            or self.log.saved_index < self.log.last
            or self._handed_out < self.log.commit
        )

    def ready(self) -> Ready:
        assert self._outstanding is None, "the last Ready is not persisted yet"
        self._has_news = False
        term = self.term
        failed = self._reads_of_a_lost_office()
        self._open_reads()
        if self._must_send:
            self._must_send = False
            self._clock.now += _GRAIN
        self._link.connect()
        self._library.doTick()
        if self.term != term or self._library.raftLastApplied < self._library.raftCommitIndex:
            self._has_news = True
        failed += self._reads_of_a_lost_office()
        ready = self._take(failed)
        self._outstanding = ready
        return ready

    def _open_reads(self) -> None:
        """Let the reads that came wait for an entry that came later."""
        if not self._new_reads:
            return
        if self.log.last == self._new_reads_after:
            self.propose(b"")
        self._reads.append((self.log.last, self._new_reads))
        self._new_reads = []

    def _reads_of_a_lost_office(self) -> list[object]:
        """Reads are refused once this replica does not lead. (It cannot lose its office and win
        another one unseen: winning begins in `doTick`, which only `ready` calls.)"""
        if self.role is Role.LEADER:
            return []
        failed = [context for _, contexts in self._reads for context in contexts]
        failed += self._new_reads
        self._reads.clear()
        self._new_reads = []
        return failed

    def _take(self, reads_failed: list[object]) -> Ready:
        log, link = self.log, self._link
        reads: list[tuple[int, list[object]]] = []
        while self._reads and self._reads[0][0] <= log.commit:
            reads.append(self._reads.popleft())
        entries = log.unsaved()
        term_is_durable = self._journal.term == self._saved.term
        hard_state = self._hard_state_to_save(bool(entries))
        # An AppendEntries depends on the leader's term only, and travels while the entries are
        # written: no answer to it is looked at before they are.
        messages: list[RaftMessage] = [*link.appends] if term_is_durable else []
        messages_after: list[RaftMessage] = [*link.outbox]
        if not term_is_durable:
            messages_after += link.appends
        link.appends, link.outbox = [], []
        committed = range(self._handed_out + 1, log.commit + 1)
        self._handed_out = max(self._handed_out, log.commit)
        return Ready(
            messages=messages,
            hard_state=hard_state,
            first_index=log.saved_index + 1,
            entries=entries,
            messages_after=messages_after,
            committed=committed,
            reads=reads,
            reads_failed=reads_failed,
        )

    def _hard_state_to_save(self, with_entries: bool) -> HardState | None:
        """As in the core: term and vote at once, the commit index along with another write."""
        state = HardState(self._journal.term, self._journal.vote, self.log.commit)
        saved = self._saved
        is_changed = (state.term, state.vote) != (saved.term, saved.vote)
        if not is_changed and (not with_entries or state.commit == saved.commit):
            return None
        self._saved = state
        return state

    def persisted(self, ready: Ready) -> None:
        assert ready is self._outstanding, "not the Ready that is outstanding"
        self._outstanding = None
        if ready.entries:
            self.log.saved(ready.first_index, ready.entries)
