"""The whole stack with one rule less, simulated: what `jepsen-like sim` must convict.

    jepsen-like sim tests/sim/stack_mutants.py:stale_leader_reads --seeds 200

Each name is a test whose nodes and routers are this project's, but for what its function in `RULES`
replaces; `intact_NAME` is the same test without that. Where a rule only matters after a long time
(sessions expire after a quarter of an hour), both have that time shortened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any, ClassVar, Final

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.checks.values import Evidence, Findings, Scope
from jepsen_like.pacelc import labels_of
from jepsen_like.sim.children import Programs
from jepsen_like.sim.processes import CURRENT
from jepsen_like.workloads.levels import levelled_register
from nodes import raft_engine, sessions, two_phase
from nodes.config import RaftConfig
from nodes.engine import Barrier
from nodes.log_store import GroupWrite, LogStore
from nodes.machine import Machine
from nodes.protocol import (
    AtLeast,
    CloseGate,
    ConfirmGate,
    Consistency,
    Pinned,
    Prepare,
    RequestBody,
    SessionId,
    UnknownSession,
)
from shardrouter.delivery import Answer
from shardrouter.instants import Instant, Instants

__all__ = ["MUTANTS"]


def stale_leader_reads() -> None:
    """A leader answers reads without asking whether it still leads, and never steps down."""
    from tests.process.stale_reads_node import break_the_core

    break_the_core()


def retry_without_dedupe() -> None:
    """A command that comes again is done again."""
    as_it_is = sessions.Sessions.recall

    def recall(self: sessions.Sessions, *place: Any) -> Any:
        answer = as_it_is(self, *place)
        return answer if isinstance(answer, UnknownSession) else None

    replace_in(sessions.Sessions, "recall", recall)
    replace_in(sessions.Sessions, "knows", lambda *_: False)


def unknown_session_created() -> None:
    """A command of a session that nobody knows is done, in a new session of that number."""
    as_it_is = sessions.Sessions.recall

    def recall(self: sessions.Sessions, session: SessionId, seq: int, watermark: int) -> Any:
        if session.index not in self._sessions and session.incarnation == self._incarnation:
            self._sessions[session.index] = sessions._Session(0, session.index)
            self._opened[session.index] = "nobody knows"
        return as_it_is(self, session, seq, watermark)

    replace_in(sessions.Sessions, "recall", recall)


SYNC_EVERY_S: Final = 0.5


def ack_before_durable() -> None:
    """The log is synced twice a second; acknowledgements do not wait for it."""
    as_it_is = LogStore.write
    synced_at: dict[int, float] = {}

    def write(self: LogStore, writes: Sequence[GroupWrite]) -> None:
        now = time.monotonic()
        is_due = now - synced_at.get(id(self), -1.0) >= SYNC_EVERY_S
        if is_due:
            synced_at[id(self)] = now
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if is_due else 'NORMAL'}")
        as_it_is(self, writes)

    replace_in(LogStore, "write", write)


def compaction_past_durable() -> None:
    """The log gives up what is applied, durable or not."""
    replace_in(Machine, "make_durable", lambda self: self._state.applied)


def prepared_only_at_the_leader() -> None:
    """Of what is prepared only the replica that leads keeps anything."""
    leads: set[tuple[object, str]] = set()
    notice, apply = raft_engine.RaftEngine._notice_office, two_phase.TwoPhase._prepare

    def notice_office(self: raft_engine.RaftEngine) -> None:
        place = (CURRENT.get(), self.group)
        (leads.add if self.leads else leads.discard)(place)
        notice(self)

    def prepare(
        self: two_phase.TwoPhase, index: int, now_us: int, seed: int, body: Prepare, *rest: Any
    ) -> Any:
        answer = apply(self, index, now_us, seed, body, *rest)
        if (CURRENT.get(), self._group) not in leads and body.id in self._held:
            del self._held[body.id], self._touched[body.id], self._bytes[body.id]
        return answer

    replace_in(raft_engine.RaftEngine, "_notice_office", notice_office)
    replace_in(two_phase.TwoPhase, "_prepare", prepare)


def snapshot_torn_over_shards() -> None:
    """Each shard is pinned at a moment of its own, and nobody asks whether its gate held."""

    async def send(
        self: Instants, bodies: Mapping[str, RequestBody], deadline: float
    ) -> dict[str, Answer]:
        found: dict[str, Answer] = {}
        for group, body in bodies.items():
            found |= await together(self, {group: body}, deadline)
            if isinstance(body, CloseGate):
                pin = found[group]
                if isinstance(pin, Pinned):
                    # Opens the gate and keeps what is pinned, which OpenGate would give up.
                    ask = partial(self._delivery.ask, pin.node, group, ConfirmGate(body.id), 1.0)
                    ask(lambda _: None)
                await asyncio.sleep(0.05)
        return found

    async def holds(_self: Instant) -> bool:
        return True

    together = Instants._send
    replace_in(Instants, "_send", send)
    replace_in(Instant, "holds", holds)


def token_lost() -> None:
    """Every read of a session is taken for one that has seen nothing."""
    with_token = raft_engine.RaftEngine.read_barrier

    def read_barrier(
        self: raft_engine.RaftEngine,
        consistency: Consistency,
        done: Barrier,
        *,
        at_follower: bool = False,
    ) -> None:
        if isinstance(consistency, AtLeast):
            consistency = "any"
        with_token(self, consistency, done, at_follower=at_follower)

    replace_in(raft_engine.RaftEngine, "read_barrier", read_barrier)


def replace_in(owner: type | ModuleType, name: str, instead: Any) -> None:
    assert hasattr(owner, name), f"{owner.__name__} has no {name} to replace"
    setattr(owner, name, instead)


# ------------------------------------------------------------------------------ the tests


def forget_sessions_soon() -> None:
    """Of the mutant and of the intact one: sessions expire within a second."""
    replace_in(raft_engine, "SESSION_IDLE_S", 0.4)
    replace_in(raft_engine, "SESSION_SAMPLE_S", 0.1)


@dataclass(frozen=True)
class Changed(ShardRouter):
    """This database, changed in the interpreter that simulates it before anything starts."""

    changes: tuple[Callable[[], None], ...] = ()

    def programs(self) -> Programs:
        for change in self.changes:
            if change not in _done:
                _done.append(change)
                change()
        return super().programs()


_done: list[Callable[[], None]] = []

LEADER = leader_of("shard-1")

REGISTERS = Test(
    name="registers",
    db=Changed(nodes=3, shards=1, replicas=3),
    workloads=[workloads.register(keys=3)],
    load=load.open_loop(rate=40, deadline="1s", clients=4),
    faults=[
        faults.healthy("500ms"),
        faults.partition(faults.isolate(LEADER), hold="2s", rest="1s"),
    ],
    checks=[checks.linearizable()],
    backend="sim",
)

AGAIN_AND_AGAIN = faults.package(faults.reset(faults.isolate(LEADER), rest="150ms"), times=12)

COUNTERS = replace(
    REGISTERS,
    name="counters",
    workloads=[workloads.counter(keys=2)],
    faults=[faults.together(faults.slow("40ms", hold="4s", rest="500ms"), AGAIN_AND_AGAIN)],
    checks=None,
)

SILENT_SESSIONS = replace(
    COUNTERS,
    name="silent-sessions",
    load=load.open_loop(rate=40, deadline="4s", clients=4),
    faults=[
        faults.together(
            faults.partition(
                faults.one_way(LEADER, faults.follower_of("shard-1")), hold="2s", rest="1s"
            ),
            faults.package(
                faults.healthy("1500ms"), faults.reset(faults.isolate(LEADER), rest="100ms")
            ),
        )
    ],
)

POWER_CUT = replace(
    REGISTERS,
    name="power-cut",
    faults=[faults.healthy("1500ms"), faults.kill("all", hold="500ms", lose_unsynced=True)],
)

STANDS = replace(
    POWER_CUT,
    name="stands",
    db=Changed(nodes=3, shards=1, replicas=3, raft=RaftConfig(log_entries=10)),
    faults=[*POWER_CUT.faults, faults.liveness("5s")],
)

LISTS = Test(
    name="lists",
    db=Changed(nodes=3, shards=2, replicas=3, snapshot=True),
    workloads=[
        workloads.append(keys=3, over_shards=True),
        workloads.bank(keys=1, over_shards=True),
    ],
    load=load.open_loop(rate=40, deadline="1s", clients=6),
    faults=[
        faults.healthy("500ms"),
        faults.kill(LEADER, hold="500ms", rest="1s"),
        faults.pause(LEADER, hold="1s", rest="1s"),
    ],
    checks=[checks.strict_serializable(), checks.total_kept()],
    backend="sim",
)

INSTANTS = Test(
    name="instants",
    db=Changed(nodes=3, shards=2, replicas=3, snapshot=True),
    workloads=[workloads.bank(keys=2, over_shards=True), workloads.long_fork(keys=3)],
    load=load.open_loop(rate=80, deadline="1s", clients=6),
    faults=[faults.healthy("5s")],
    checks=[checks.total_kept(), checks.long_fork()],
    backend="sim",
)


@dataclass(frozen=True)
class Promises:
    """What the levels of this database promise, without the labels: those need cuts and many
    reads, and are unknown here."""

    name: ClassVar[str] = "pacelc"  # as workloads name who can judge them
    scope: ClassVar[Scope] = "workload"

    def judge(self, evidence: Evidence) -> Findings:
        found = labels_of(ShardRouter()).judge(evidence).verdicts
        return Findings(tuple(verdict for verdict in found if verdict.check != "pacelc"))


TOKENS = replace(
    REGISTERS,
    name="tokens",
    workloads=[levelled_register(["session"], share=0.9)],
    load=load.open_loop(rate=80, deadline="1s", clients=3),
    faults=[faults.slow("20ms", hold="3s", rest="500ms")],
    checks=[Promises()],
)

MUTANTS: Final[Mapping[str, tuple[Test, Callable[[], None], tuple[Callable[[], None], ...]]]] = {
    "stale_leader_reads": (REGISTERS, stale_leader_reads, ()),
    "retry_without_dedupe": (COUNTERS, retry_without_dedupe, ()),
    "unknown_session_created": (SILENT_SESSIONS, unknown_session_created, (forget_sessions_soon,)),
    "ack_before_durable": (POWER_CUT, ack_before_durable, ()),
    "compaction_past_durable": (STANDS, compaction_past_durable, ()),
    "prepared_only_at_the_leader": (LISTS, prepared_only_at_the_leader, ()),
    "snapshot_torn_over_shards": (INSTANTS, snapshot_torn_over_shards, ()),
    "token_lost": (TOKENS, token_lost, ()),
}
"""Of each name: what is run, the rule that is left out, and what both change."""

for _name, (_test, _rule, _both) in MUTANTS.items():
    _intact = replace(_test.db, changes=_both)  # type: ignore[type-var]
    _broken = replace(_test.db, changes=(*_both, _rule))  # type: ignore[type-var]
    globals()[f"intact_{_name}"] = replace(_test, name=f"intact-{_name}", db=_intact)
    globals()[_name] = replace(_test, name=_name.replace("_", "-"), db=_broken)
