"""The replicas of one node: which it hosts, and how they come and go while it runs.

What a node hosts is what its log store says. Founders (`cluster.toml`) are looked at only for
groups of which this node never hosted a replica. Everything after that comes from the groups
themselves (docs/membership.md):

- A replica is made by the first message of a leader, append or snapshot, to an id above every id
  that this node has hosted for the group. It begins with an empty log and knows nobody.
- A replica that hears no leader asks whether it still belongs to its group (`nodes.belonging`).
  Members that apply a removal say so at once: a quiet replica (`nodes.neighbours`) misses no
  leader.
- A message to a higher id says the same of the lower one: leaders add no second replica of a
  group on a node, and ids are never given again.

Making: the log store notes the id, durably; then there is a data file; then entries. Removing:
the replica comes to rest; the log store notes that it is removed, durably, and its log is gone;
then its files are deleted. A crash between any two of these leaves what the next start goes on
from, and no way back: a removed id is never loaded again, and its files are deleted at start.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from nodes.belonging import Belonging
from nodes.clocks import SystemClock
from nodes.config import ClusterConfig
from nodes.consensus import EngineRefused
from nodes.engines import new_consensus
from nodes.incarnations import MARKS, first_id_after, succeeds
from nodes.log_store import LogStore, ReplicaDamaged, StoreError
from nodes.machine import Machine, ReplicaFault
from nodes.pace import lease_rule
from nodes.protocol import (
    Changed,
    Denied,
    Envelope,
    RecoverGroup,
    ReplicaStatus,
    ResponseBody,
    UnknownOutcome,
)
from nodes.raft.log import RaftLog
from nodes.raft.messages import (
    AppendRequest,
    InstallSnapshot,
    Membership,
    RaftMessage,
    Removed,
)
from nodes.raft_engine import RaftEngine
from nodes.recovery import renew_data, renew_log
from nodes.replica_files import (
    close_replica,
    open_replica,
    put_aside,
    remove_files,
    stored_memberships,
)
from nodes.service import GroupService
from nodes.snapshot_files import SnapshotRefused

__all__ = ["Hosted", "Hosting"]

FIRST_TIMEOUT_TICKS: Final = 2
"""After a start the preferred leader of a group stands for election so soon, the others after an
ordinary timeout: leaders end up where they were placed. In a running cluster it has no effect,
since nobody votes against a leader that is heard."""

UNKNOWN_MAX: Final = 64
"""Groups that are not in cluster.toml, each logged once."""

_NOBODY: Final = Membership((), 0)
"""What a replica knows that was made by a leader's message, until its log tells."""

_RECOVERING: Final = "Its group is being recovered without its majority."

_REMOVED: Final = "It was removed from its group; its files are being deleted."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hosted:
    """A replica that was opened."""

    engine: RaftEngine
    service: GroupService
    machine: Machine


class Hosting:
    """The replicas of the node `node`, with their files in `data`, which execute statements with
    `fingerprint`.

    `wake` asks for a turn in which a replica takes part, `send` sends a message of a replica
    between turns, `tell` sends some to a node, `guard` does a replica's work and stops it if
    that fails, `broken_store` is told when the log can be written no more.
    """

    def __init__(
        self,
        config: ClusterConfig,
        node: str,
        data: Path,
        store: LogStore,
        *,
        fingerprint: str,
        rng: random.Random,
        wake: Callable[[RaftEngine], None],
        send: Callable[[RaftEngine, RaftMessage], None],
        tell: Callable[[str, Sequence[Envelope]], None],
        guard: Callable[[RaftEngine, Callable[[], None]], object],
        broken_store: Callable[[StoreError], None],
    ) -> None:
        self.config = config
        """May be replaced by a newer one of the same cluster."""
        self.running: dict[str, Hosted] = {}
        """The replicas that were opened, by group; one that stopped later is among them."""
        self._node = node
        self._data = data
        self._store = store
        self._fingerprint = fingerprint
        self._rng = rng
        self._wake = wake
        self._send = send
        self._guard = guard
        self._broken_store = broken_store
        self._broken: dict[str, ReplicaStatus] = {}
        self._leaving: dict[str, ReplicaStatus] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ids: dict[str, int] = {}  # the highest that this node has hosted, by group
        self._unknown: set[str] = set()
        self._belonging = Belonging(node, tell=tell)

    # ------------------------------------------------------------------ start and stop

    def open_all(self) -> None:
        """Open what this node hosts, and found what is new here. One replica that is damaged
        does not keep the others from starting. Raises StoreError, OSError."""
        known = self._store.hosted()
        for group, hosted in known.items():
            self._ids[group] = hosted.replica
            if hosted.is_removed:
                remove_files(self._data / group)
            else:
                self._open(group, hosted.replica)
        for founded in self.config.groups_on(self._node):
            founder = founded.replica_on(self._node)
            assert founder is not None
            if founded.name not in known:
                self._open(founded.name, founder.id)

    async def finish_requests(self) -> None:
        """Answer what waits; replicas do nothing after that."""
        for hosted in list(self.running.values()):
            await hosted.service.close()
            await hosted.engine.close()

    async def close(self) -> None:
        """Close all files."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        await self.finish_requests()
        for group, hosted in self.running.items():
            try:
                await close_replica(self._store, group, hosted.machine)
            except (StoreError, OSError) as exc:
                _log.error(
                    "the data of group %s is not sealed: %s", group, exc, extra={"group": group}
                )
        self.running.clear()

    # ------------------------------------------------------------------ coming

    def _open(self, group: str, replica: int) -> None:
        """Open one replica's log and data, made if they are new."""
        self._ids[group] = replica
        machine: Machine | None = None
        founders, is_preferred = self._founders(group, replica)
        try:
            loaded, machine = open_replica(
                self._store,
                self._data / group,
                group=group,
                replica=replica,
                cluster_id=self.config.cluster_id,
                fingerprint=self._fingerprint,
            )
            log = RaftLog(
                self._store.reader(group),
                first=loaded.first_index,
                base_term=loaded.pointer.term,
                last=loaded.last_index,
                last_term=loaded.last_term,
            )
            core = new_consensus(
                self.config.engine,
                replica=replica,
                memberships=stored_memberships(self._store, group, loaded, founders),
                rng=random.Random(self._rng.getrandbits(64)),
                election_ticks=self.config.raft.election_ticks,
                hard_state=loaded.hard_state,
                log=log,
                applied=machine.applied,
                first_timeout_ticks=FIRST_TIMEOUT_TICKS if is_preferred else None,
                lease_rule=lease_rule(self.config.raft),
            )
        except (ReplicaDamaged, ReplicaFault, EngineRefused) as exc:
            if machine is not None:
                machine.close_files()
            _log.error(
                "replica %d of group %s stopped: %s", replica, group, exc, extra={"group": group}
            )
            self._broken[group] = _stopped(group, replica, str(exc))
            return
        engine = RaftEngine(
            group=group,
            core=core,
            log=log,
            machine=machine,
            rng=random.Random(self._rng.getrandbits(64)),
            clock=SystemClock(),
            log_entries=self.config.raft.log_entries,
            wake=self._wake,
            send=self._send,
        )
        service = GroupService(engine, machine, limits=self.config.limits, failed=engine.fail)
        self.running[group] = Hosted(engine, service, machine)
        self._wake(engine)  # entries that were committed before the start can be applied

    def _founders(self, group: str, replica: int) -> tuple[Membership, bool]:
        """Who the group begins with, as far as this replica may know it; and whether it is the
        one that should lead."""
        founded = self.config.groups.get(group)
        founder = founded.replica_on(self._node) if founded is not None else None
        if founded is None or founder is None or founder.id != replica:
            return _NOBODY, False
        places = {member.id: member.node for member in founded.replicas}
        return Membership.of(places, places), founder == founded.preferred_leader

    # ------------------------------------------------------------------ messages

    def receive(self, node: str, envelopes: Iterable[Envelope]) -> None:
        """Messages have come from another node."""
        running = self.running
        for envelope in envelopes:
            message = envelope.message
            hosted = running.get(envelope.group)
            if hosted is None or hosted.engine.replica != message.receiver:
                self._receive_for_another(node, envelope.group, message)
            elif isinstance(message, Removed):
                if not self._is_rival(node, envelope.group, message):
                    self.remove(envelope.group, message.receiver, by=message.sender)
            else:
                engine = hosted.engine
                self._guard(engine, partial(engine.step, message, node))

    def _receive_for_another(self, node: str, group: str, message: RaftMessage) -> None:
        """A message to no replica that runs here."""
        if self._is_rival(node, group, message):
            return
        if isinstance(message, Removed):
            if group in self._broken and self._broken[group].replica == message.receiver:
                self.remove(group, message.receiver, by=message.sender)
            return
        if (hosted := self.running.get(group)) is not None:
            self._belonging.answer(node, group, hosted.engine, message)
        if isinstance(message, AppendRequest | InstallSnapshot):
            self._receive_from_leader(node, group, message)

    def _is_rival(self, node: str, group: str, message: RaftMessage) -> bool:
        return self._belonging.is_rival(node, group, self._ids.get(group, 0), message.sender)

    def _receive_from_leader(
        self, node: str, group: str, message: AppendRequest | InstallSnapshot
    ) -> None:
        """A leader writes to a replica that does not run here: to one of the past, or to a new
        one. What is dropped here comes again."""
        replica, highest = message.receiver, self._ids.get(group, 0)
        if replica <= highest or group in self._leaving or self.config.engine != "core":
            return
        if group not in self.config.groups:
            if len(self._unknown) < UNKNOWN_MAX and group not in self._unknown:
                self._unknown.add(group)
                _log.warning(
                    "node %s writes to a replica of group %s, which this node does not know; "
                    "compare their cluster.toml (it is dropped)",
                    node,
                    group,
                    extra={"group": group},
                )
            return
        if group in self.running or group in self._broken:
            self.remove(group, highest, by=message.sender)
            return
        _log.info(
            "replica %d of group %s begins, written to by node %s",
            replica,
            group,
            node,
            extra={"group": group},
        )
        try:
            self._open(group, replica)
        except StoreError as exc:
            self._broken_store(exc)
        except Exception as exc:
            _log.exception(
                "replica %d of group %s cannot begin", replica, group, extra={"group": group}
            )
            self._broken[group] = _stopped(group, replica, f"It could not begin: {exc}.")
        if (hosted := self.running.get(group)) is not None:
            self._guard(hosted.engine, partial(hosted.engine.step, message, node))

    # ------------------------------------------------------------------ going

    def remove(self, group: str, replica: int, *, by: int = 0) -> None:
        """The replica `replica`, which is hosted here, is removed from its group for ever, as
        replica `by` says. One of a later incarnation decided without this one's consent: then
        the data may be the only copy of something, and is kept beside."""
        assert self._ids[group] == replica, f"replica {replica} of {group} is not hosted"
        _log.info("replica %d of group %s is removed", replica, group, extra={"group": group})
        hosted = self.running.pop(group, None)
        self._broken.pop(group, None)
        self._leaving[group] = _stopped(group, replica, _REMOVED)
        if hosted is not None:
            hosted.engine.stop(_REMOVED)
        keep = bool(by) and succeeds(by, replica)
        task = asyncio.get_running_loop().create_task(
            self._remove(group, replica, hosted, keep=keep)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _remove(self, group: str, replica: int, hosted: Hosted | None, *, keep: bool) -> None:
        if hosted is not None:
            await self._close_removed(group, hosted)
        try:
            if keep:
                kept = await asyncio.to_thread(put_aside, self._data / group, replica)
                _log.warning(
                    "group %s was recovered without replica %d, whose data is kept in %s",
                    group,
                    replica,
                    kept,
                    extra={"group": group},
                )
            self._store.remove(group, replica)
            await asyncio.to_thread(remove_files, self._data / group)
        except StoreError as exc:
            self._broken_store(exc)
        except OSError as exc:
            _log.error(
                "the files of group %s cannot be deleted: %s", group, exc, extra={"group": group}
            )
            self._leaving[group] = _stopped(
                group,
                replica,
                f"It was removed from its group, but {self._data / group} cannot be deleted "
                f"({exc}); delete it and restart the node.",
            )
        else:
            del self._leaving[group]

    async def _close_removed(self, group: str, hosted: Hosted) -> None:
        """Return when nothing works on the replica's files any more."""
        try:
            await hosted.service.close()
            await hosted.engine.close()
            await hosted.machine.close()
        except Exception:  # a replica that was broken before; its files are of no use any more
            _log.exception(
                "group %s: the removed replica did not close in order",
                group,
                extra={"group": group},
            )

    # ------------------------------------------------------------------ without a majority

    def start_recovery(
        self, group: str, asked: RecoverGroup, answer: Callable[[ResponseBody], None]
    ) -> None:
        """`_recover` as a task; `answer` is called once."""

        async def recover() -> None:
            try:
                answer(await self._recover(group, asked.replica, asked.mark))
            except StoreError as exc:
                self._broken_store(exc)
                answer(UnknownOutcome(str(exc)))

        task = asyncio.get_running_loop().create_task(recover())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _recover(self, group: str, replica: int, mark: int) -> Changed | Denied:
        """Go on with the replica `replica` alone, in a new incarnation of its group: see
        `nodes.recovery`. Raises StoreError."""
        if not 0 <= mark < MARKS:
            return Denied(f"The mark of a recovery is a number below {MARKS}.")
        hosted = self.running.get(group)
        if hosted is None or hosted.engine.stopped:
            return Denied(f"Node {self._node} has no replica of {group} that works; try another.")
        engine, machine = hosted.engine, hosted.machine
        if succeeds(engine.replica, replica):
            return Changed(engine.log.last)  # it was asked for before
        if engine.replica != replica or self.config.engine != "core":
            return Denied(
                f"Node {self._node} has replica {engine.replica} of {group}, not {replica}; "
                "look again."
            )
        _log.warning(
            "group %s goes on with replica %d alone", group, replica, extra={"group": group}
        )
        status = engine.status()
        new = first_id_after(max(engine.last_id, replica), mark)
        del self.running[group]
        self._leaving[group] = _stopped(group, replica, _RECOVERING)
        try:
            engine.stop(_RECOVERING)
            await hosted.service.close()
            await engine.close()
            identity = machine.identity.of_replica(new, machine.generation + 1)
            await asyncio.to_thread(renew_data, machine.path, identity)
            await machine.close()
            index = renew_log(
                self._store,
                engine.log,
                group,
                new,
                self._node,
                term=status.term,
                commit=status.commit,
                now_us=SystemClock().now_us(),
            )
        except (SnapshotRefused, sqlite3.Error, OSError) as exc:
            _log.exception("group %s is not recovered", group, extra={"group": group})
            self._broken[group] = _stopped(
                group, replica, f"It could not be recovered: {exc}; restart the node."
            )
            return Denied(f"Node {self._node} could not recover {group}: {exc}.")
        finally:
            del self._leaving[group]
        self._open(group, new)
        return Changed(index)

    # ------------------------------------------------------------------ time

    def tick(self, ticks: int = 1) -> None:
        """So many ticks have passed. From time to time replicas that hear no leader ask whether
        they are members, unless their own logs say so."""
        if not self._belonging.is_time(self.config.raft.election_ticks, ticks):
            return
        for group, hosted in list(self.running.items()):
            if hosted.engine.has_lost(hosted.engine.replica, self._node):
                self.remove(group, hosted.engine.replica)
        self._belonging.ask(
            {group: hosted.engine for group, hosted in self.running.items()},
            {group: status.replica for group, status in self._broken.items()},
            self.config.nodes,
        )

    # ------------------------------------------------------------------ status

    def hosts(self, group: str) -> bool:
        """Whether there is a replica of the group here, be it stopped."""
        return group in self.running or group in self._broken or group in self._leaving

    def statuses(self) -> tuple[ReplicaStatus, ...]:
        """Of all replicas, by group."""
        now_us = SystemClock().now_us()
        found = {group: _status_of(hosted, now_us) for group, hosted in self.running.items()}
        found |= self._broken | self._leaving
        return tuple(found[group] for group in sorted(found))


def _status_of(hosted: Hosted, now_us: int) -> ReplicaStatus:
    status, prepared = hosted.engine.status(), hosted.machine.prepared
    if not prepared.is_open:
        return status
    return replace(
        status,
        prepared=prepared.oldest(now_us),
        prepared_count=len(prepared.held),
        outcomes=len(prepared.decided),
    )


def _stopped(group: str, replica: int, reason: str) -> ReplicaStatus:
    return ReplicaStatus(group, replica, "stopped", None, 0, 0, 0, 0, reason)
