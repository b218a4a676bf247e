"""One node process: the replicas it hosts, and the turns in which they make progress together.

A turn is what happens between two looks at the sockets. It gathers what every replica with
news has to do, sends what depends on nothing, makes everything durable in ONE transaction,
sends what depended on that, and applies what is committed:

    messages of all groups      -> one frame for each peer, with the kernel before the fsync
    entries and hard states     -> one LogStore.write
    acknowledgements and votes  -> one frame for each peer
    committed entries           -> each replica's machine, a bounded piece

So one fsync and few system calls serve all groups, and the busier the node the more of them.

Failures end as little as possible. A replica that breaks (a damaged log, an SQL error that
others would not have, a broken invariant) stops alone and says why in its status. If the log
cannot be written, nothing this node promises would hold: all its replicas stop, before another
acknowledgement leaves.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias, TypeVar
from weakref import WeakSet

from msgspec.structs import replace

from nodes.client import NodeClient
from nodes.clocks import SystemClock
from nodes.config import Address, ClusterConfig, ConfigError
from nodes.description import Description
from nodes.farewell import hand_over, until_read
from nodes.fingerprint import own_fingerprint
from nodes.handshake import NONCE_BYTES, Dialing
from nodes.hosting import Hosting
from nodes.leader_balance import PAUSE_S, Balance, choose_handover
from nodes.log_store import GroupWrite, LogStore, StoreError
from nodes.metrics import Family
from nodes.metrics_page import MetricsPage
from nodes.neighbours import Neighbours, beat_ticks
from nodes.node_metrics import node_families
from nodes.pace import Pace
from nodes.peers import Peers
from nodes.protocol import (
    Beat,
    Busy,
    Changed,
    ChangeReplicas,
    CloseCursor,
    CloseGate,
    ConfirmGate,
    Denied,
    Envelope,
    Fetch,
    Forget,
    GetChecksum,
    GetCluster,
    GetStatus,
    MoveLeadership,
    NoSuchGroup,
    NotLeader,
    OpenGate,
    PeerBatch,
    Piece,
    Pinned,
    Read,
    RecoverGroup,
    Refusal,
    Request,
    RequestBody,
    ResponseBody,
    SetCluster,
    Speculate,
    Speculated,
    Status,
    Write,
)
from nodes.raft.messages import RaftMessage
from nodes.raft.ready import Ready
from nodes.raft_engine import RaftEngine
from nodes.resolver import Resolver
from nodes.router_reports import RouterReports
from nodes.server import Server
from nodes.service import decode_body
from nodes.verifier import Verifier
from nodes.work import Work

__all__ = ["Node"]

GATHER_S: Final = 1.0
"""A started node lets no time pass for its groups before all nodes with a member of one of them
are connected both ways, or this is over: votes sent into the void would leave the leadership to
chance."""

TIMER_GRAIN_S: Final = 0.0005
"""Half of what uvloop rounds timers to: a tick is better a little late than tried twice."""

LATE_WEIGHT: Final = 0.1
"""Of the last tick, in how late they are on the average: half a second is remembered."""

NO_PROGRESS_ELECTIONS: Final = 2
"""A connection to a peer is given up after so many election timeouts without progress."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Node:
    """The node `name` of the cluster, with its data in `data`.

        async with Node(config, name, data) as node:    # raises StoreError, ListenError, ...
            print(node.address)
            await something that ends it

    `file` is the cluster.toml that `config` was read from; what the cluster changes in it is
    written there. `rng` seeds election timeouts, redials and the random numbers of statements.
    `fingerprint` is what statements are executed with, this process's by default. `metrics` is
    where it answers /metrics, else where `config` says.
    """

    def __init__(
        self,
        config: ClusterConfig,
        name: str,
        data: Path,
        *,
        file: Path | None = None,
        rng: random.Random | None = None,
        fingerprint: str | None = None,
        metrics: Address | None = None,
    ) -> None:
        if name not in config.nodes:
            raise ConfigError(
                f"there is no node {name} in the cluster; its nodes are {', '.join(config.nodes)}."
            )
        self.name = name
        self.address: Address = config.nodes[name].address
        self._config = config
        self._data = data
        self._rng = rng or random.Random()
        self._fingerprint = own_fingerprint() if fingerprint is None else fingerprint
        self._metrics = metrics or config.nodes[name].metrics
        self._requests: defaultdict[type, int] = defaultdict(int)  # that came, by their type
        self._dirty: dict[RaftEngine, None] = {}  # in the order of their news
        self._awake: dict[RaftEngine, None] = {}  # time passes for them
        self._leading: dict[RaftEngine, None] = {}
        self._stopped: WeakSet[RaftEngine] = WeakSet()
        self._life = self._rng.getrandbits(62)
        self._neighbours = Neighbours(config.raft.election_ticks)
        self._last_beat: Beat | None = None
        self._beat_ticks = 0  # left until the next one
        pause_ticks = round(PAUSE_S * 1000 / config.raft.tick_ms)
        self._balance = Balance(pause_ticks, random.Random(self._rng.getrandbits(64)))
        self._turn_due = False
        self._tick_timer: asyncio.TimerHandle | None = None
        self._late_s = 0.0  # by which ticks came too late, smoothed
        self._is_draining = False
        self._reports = RouterReports()
        self._tick_s = config.raft.tick_ms / 1000
        self._clock = SystemClock()
        self._gathered = False
        self._description = Description(config, name, path=file, changed=self._described)
        others = _others(config, name)
        self._peers = Peers(
            addresses=others,
            greeting=self._greeting,
            rng=self._rng,
            no_progress_s=NO_PROGRESS_ELECTIONS * config.raft.election_ticks * self._tick_s,
            welcomed=self._description.greeted,
        )
        self._server = Server(
            node=name,
            cluster_id=config.cluster_id,
            secret=config.secret,
            peers=others,
            handler=self,
        )
        self._verifier = Verifier(
            config.verify_every_s, hosted=lambda: self.status().replicas, client=self._client
        )
        self._store: LogStore | None = None
        self._hosting: Hosting
        self._resolver: Resolver
        self._exit = AsyncExitStack()

    # ------------------------------------------------------------------ start and stop

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._data.mkdir(parents=True, exist_ok=True)
            self._store = LogStore.open(
                self._data / "log.db", cluster_id=self._config.cluster_id, node=self.name
            )
            stack.callback(self._store.close)
            self._store.acquaintances.accepted = _accepted(self._config)
            self._server.acquaintances = self._store.acquaintances
            self._server.revision = self._config.revision
            self._hosting = Hosting(
                self._config,
                self.name,
                self._data,
                self._store,
                fingerprint=self._fingerprint,
                rng=self._rng,
                wake=self._wake,
                send=self._send,
                tell=self._peers.send,
                guard=self._guard,
                broken_store=lambda error: self._stop_all(str(error)),
            )
            stack.push_async_callback(self._hosting.close)
            self._resolver = Resolver(
                self._hosting, client=self._client, clock=self._clock.monotonic
            )
            self._hosting.open_all()
            stack.push_async_callback(self._verifier.close)
            stack.callback(self._stop_ticking)
            self.address = await self._server.listen(self.address)
            stack.push_async_callback(self._server.close)
            self._peers.start()
            stack.push_async_callback(self._peers.close)
            stack.push_async_callback(self._description.close)
            stack.push_async_callback(self._finish_requests)
            stack.push_async_callback(self._resolver.close)
            stack.push_async_callback(self._drain)
            if self._metrics is not None:
                await stack.enter_async_context(MetricsPage(self._metrics, self._families))
            self._start_ticking()
            self._verifier.start()
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    def _greeting(self, node: str) -> Dialing:
        assert self._store is not None
        return Dialing(
            kind="peer",
            name=self.name,
            node=node,
            cluster_id=self._config.cluster_id,
            secret=self._config.secret,
            nonce=os.urandom(NONCE_BYTES),
            files=self._store.acquaintances.mine,
            revision=self._config.revision,
        )

    def _described(self, config: ClusterConfig) -> None:
        """The cluster's description has changed: other nodes may have come, moved or gone."""
        assert self._store is not None
        self._config = self._hosting.config = config
        self._store.acquaintances.accepted = _accepted(config)
        others = _others(config, self.name)
        self._server.revision = config.revision
        self._server.set_peers(others)
        self._peers.set_addresses(others)

    def _client(self, name: str) -> NodeClient | None:
        """A connection as a client to a node of the cluster, this one as well."""
        if name not in self._config.nodes:
            return None
        return NodeClient.to(name, self._config, name=self.name)

    async def _drain(self) -> None:
        """Let others lead what is led here, and results that are being read come to their end."""
        self._is_draining = True
        if self._leading and self._server.heard():
            self._beat()
            await asyncio.sleep(self._tick_s)  # nodes that stop as well say so
            stopping = [node for node, beat in self._neighbours.beats().items() if beat.stops]
            engines, leads = list(self._leading), self._leads()
            await hand_over(self.name, engines, leads, stopping, self._rng, self._guard)
        running = self._hosting.running.values()
        await until_read(lambda: sum(hosted.machine.results_open for hosted in running))

    async def _finish_requests(self) -> None:
        """Take no more requests, let those under way end while the replicas still work, and
        answer the rest while their clients are still connected."""
        self._server.refuse_requests()
        await self._server.drain()
        await self._hosting.finish_requests()

    # ------------------------------------------------------------------ time

    def _start_ticking(self) -> None:
        loop = asyncio.get_running_loop()
        self._started_at = loop.time()
        self._pace = Pace(self._tick_s, self._clock.monotonic())
        self._tick_timer = loop.call_later(self._tick_s, self._tick)

    def _stop_ticking(self) -> None:
        if self._tick_timer is not None:
            self._tick_timer.cancel()
            self._tick_timer = None

    def _tick(self) -> None:
        """One tick for all groups, so that their heartbeats to a peer share one frame. Leases
        build on `Pace`, so it is the clock that says whether it is time: a loop's timer may come
        early. While all groups are quiet ticks are put off until there is a beat to send, or a
        neighbour to miss."""
        loop = asyncio.get_running_loop()
        now = self._clock.monotonic()
        if now < self._pace.due:
            self._time_tick(now)
            return
        self._late_s += LATE_WEIGHT * (now - self._pace.due - self._late_s)
        ticks = self._pace.put_off + 1
        self._pace.ticked(now)
        if self._gathered or self._has_gathered(loop.time()):
            for node in self._neighbours.tick(ticks):
                self._wake_groups_of(node)
            for engine in list(self._awake):
                if engine.is_quiet:
                    del self._awake[engine]
                else:
                    self._guard(engine, engine.tick)
            self._hosting.tick(ticks)
            self._resolver.tick(self._leading)
            if self._config.raft.spread_leaders:
                self._spread_leaders(ticks)
        self._beat_ticks -= ticks
        if self._beat_ticks <= 0 or not self._gathered or self._beats() != self._last_beat:
            self._beat()
        if not self._awake and self._gathered and not self._resolver.is_at_work:
            until_something = min(self._beat_ticks, self._neighbours.ticks_left())
            self._pace.put_off_by(max(1, until_something) - 1)
        self._time_tick(now)

    def _time_tick(self, now: float) -> None:
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        after = self._pace.due - now + TIMER_GRAIN_S
        self._tick_timer = asyncio.get_running_loop().call_later(after, self._tick)

    def _beats(self) -> Beat:
        return Beat(self._life, len(self._leading), self._is_draining)

    def _beat(self) -> None:
        """At the latest when so many ticks have passed; at once when there is news."""
        self._beat_ticks = beat_ticks(self._config.raft.election_ticks)
        self._last_beat = self._beats()
        self._peers.beat(self._last_beat)

    def _leads(self) -> dict[str, int]:
        """How many groups each node leads that is heard, and this one."""
        leads = {node: beat.leads for node, beat in self._neighbours.beats().items()}
        leads[self.name] = len(self._leading)
        return leads

    def _spread_leaders(self, ticks: int) -> None:
        """So many ticks have passed: hand a group over to a node that leads fewer, if it is time
        and there is one."""
        leads = self._leads()
        if not self._balance.tick(leads, ticks) or self._is_draining:
            return
        beats = self._neighbours.beats()
        nodes = self._hosting.config.nodes.values()
        engines = {engine.group: engine for engine in self._leading if engine.leads}
        handover = choose_handover(
            self.name,
            leads,
            [engine.led() for engine in engines.values()],
            {
                *(node.name for node in nodes if node.drain),
                *(node for node, beat in beats.items() if beat.stops),
            },
            self._rng,
        )
        if handover is not None:
            _log.info(
                "hands group %s over to node %s",
                handover.group,
                handover.node,
                extra={"group": handover.group},
            )
            self._balance.begun()
            engine = engines[handover.group]
            request = MoveLeadership(handover.replica)
            self._guard(engine, partial(engine.change, request, self._handed_over))

    def _handed_over(self, answer: ResponseBody) -> None:
        """It may have come to nothing: the counts tell, and the next time will come."""
        if not isinstance(answer, Changed):
            _log.info("the handover did not take place: %s", answer)
        self._balance.ended()

    def _wake_groups_of(self, node: str) -> None:
        """That node has died, or another one lives there: see `nodes.neighbours`."""
        for hosted in self._hosting.running.values():
            if node in hosted.engine.member_nodes():
                self._guard(hosted.engine, hosted.engine.wake)

    def _has_gathered(self, now: float) -> bool:
        members = (hosted.engine.member_nodes() for hosted in self._hosting.running.values())
        others = set[str]().union(*members) - {self.name}
        everyone = others <= self._peers.connected() & self._server.heard()
        self._gathered = everyone or now - self._started_at > GATHER_S
        return self._gathered

    # ------------------------------------------------------------------ a turn

    def _wake(self, engine: RaftEngine) -> None:
        self._dirty[engine] = None
        self._awake[engine] = None
        if self._tick_timer is not None and self._pace.put_off:
            now = self._clock.monotonic()
            self._pace.resume(now)
            self._time_tick(now)
        if not self._turn_due:
            self._turn_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        dirty, self._dirty = self._dirty, {}
        readies: list[tuple[RaftEngine, Ready]] = []
        writes: list[GroupWrite] = []
        first: _Outgoing = {}
        after: _Outgoing = {}
        # `_guard` thrice, without its calls: a turn is what a single statement pays for.
        for engine in dirty:
            try:
                ready = engine.collect()  # of one that has stopped: None
            except Exception as exc:
                engine.fail(exc)
                continue
            if ready is None:
                continue
            readies.append((engine, ready))
            if ready.messages:
                _gather(first, engine, ready.messages)
            if ready.messages_after:
                _gather(after, engine, ready.messages_after)
            if (write := engine.group_write(ready)) is not None:
                writes.append(write)
        if writes:
            if first:
                _send_gathered(first, self._peers)  # peers write while this node does
            if not self._write(writes):
                return
        elif first:
            for node, envelopes in after.items():
                first.setdefault(node, []).extend(envelopes)
            after = first
        for engine, ready in readies:
            if not engine.stopped:
                try:
                    engine.persisted(ready)
                except Exception as exc:
                    engine.fail(exc)
        if after:
            _send_gathered(after, self._peers)
        for engine in dirty:
            if not engine.stopped:
                try:
                    engine.apply()
                except Exception as exc:
                    engine.fail(exc)
            self._note(engine)

    def _note(self, engine: RaftEngine) -> None:
        """What this node's beats say of it."""
        if engine.stopped and engine not in self._stopped:
            self._stopped.add(engine)
            self._life += 1
        if engine.leads:
            self._leading[engine] = None
        else:
            self._leading.pop(engine, None)

    def _send(self, engine: RaftEngine, message: RaftMessage) -> None:
        if (node := engine.place(message.receiver)) is not None:
            self._peers.send(node, [Envelope(engine.group, message)])

    def _write(self, writes: list[GroupWrite]) -> bool:
        assert self._store is not None
        try:
            self._store.write(writes)
        except StoreError as exc:
            self._stop_all(str(exc))
            return False
        return True

    def _stop_all(self, reason: str) -> None:
        """The log cannot be written any more: nothing that this node promises would hold."""
        for hosted in self._hosting.running.values():
            hosted.engine.stop(reason)

    def _guard(self, engine: RaftEngine, work: Callable[[], _T]) -> _T | None:
        """Do `work` of one replica; if it fails that replica stops, and only that one."""
        if engine.stopped:
            return None
        try:
            return work()
        except Exception as exc:
            engine.fail(exc)
            return None

    # ------------------------------------------------------------------ server.Handler

    def on_peer_batch(self, node: str, batch: PeerBatch) -> None:
        self._peers.heard(node)
        if self._neighbours.heard(node, batch.beat):
            self._wake_groups_of(node)
        self._hosting.receive(node, batch.envelopes)

    def on_request(self, request: Request, answer: Callable[[ResponseBody], None]) -> Work | None:
        body: RequestBody = decode_body(request.body)
        self._requests[type(body)] += 1
        hosted = self._hosting.running.get(request.group)
        if isinstance(body, Write) and hosted is not None:  # nearly all there is
            return hosted.service.on_command(request, body, answer)
        if isinstance(body, GetStatus):
            if body.router:
                self._reports.note(asyncio.get_running_loop().time(), body)
            answer(self.status())
        elif isinstance(body, GetCluster):
            answer(self._description.text())
        elif isinstance(body, SetCluster):
            answer(self._description.take(body.text))
        elif isinstance(body, RecoverGroup):
            self._hosting.start_recovery(request.group, body, answer)
        elif hosted is None:
            answer(NotLeader(None) if self._hosting.hosts(request.group) else NoSuchGroup())
        elif isinstance(body, GetChecksum):
            answer(hosted.machine.checksum(body))
        elif isinstance(body, Read):
            if body.stream:
                if self._is_draining:
                    answer(Busy(f"node {self.name} is stopping"))
                    return None
                answer = partial(self._name_piece, answer)
            return hosted.service.on_read(request, body, answer)
        elif isinstance(body, Fetch):
            return hosted.service.on_fetch(request, body, partial(self._name_piece, answer))
        elif isinstance(body, CloseCursor):
            hosted.service.on_close_cursor(body, answer)
        elif isinstance(body, CloseGate):
            if self._is_draining:
                answer(Busy(f"node {self.name} is stopping"))
                return None
            return hosted.service.on_close_gate(request, body, partial(self._name_pin, answer))
        elif isinstance(body, ConfirmGate):
            hosted.service.instants.on_confirm(body, answer)
        elif isinstance(body, OpenGate):
            hosted.service.instants.on_open(body, answer)
        elif isinstance(body, Speculate):
            return hosted.service.on_speculate(request, body, partial(self._name_rest, answer))
        elif isinstance(body, Forget):
            hosted.service.on_forget(body, answer)
        elif isinstance(body, MoveLeadership):
            hosted.service.on_change(body, answer)
        elif isinstance(body, ChangeReplicas):
            if body.step == "learner" and body.node not in self._config.nodes:
                known = ", ".join(self._config.nodes)
                answer(Denied(f"Node {self.name} knows no node {body.node}, only {known}."))
            else:
                hosted.service.on_change(body, answer)
        else:
            return hosted.service.on_command(request, body, answer)
        return None

    def _name_piece(self, answer: Callable[[ResponseBody], None], body: ResponseBody) -> None:
        """The rest of the rows is to be asked for here."""
        answer(replace(body, node=self.name) if isinstance(body, Piece) else body)

    def _name_pin(self, answer: Callable[[ResponseBody], None], body: ResponseBody) -> None:
        """It is to be read here."""
        answer(replace(body, node=self.name) if isinstance(body, Pinned) else body)

    def _name_rest(self, answer: Callable[[ResponseBody], None], body: ResponseBody) -> None:
        """The same, of a step."""
        has_more = isinstance(body, Speculated) and body.cursor
        answer(replace(body, node=self.name) if has_more else body)

    async def _families(self) -> list[Family]:
        """What /metrics shows."""
        assert self._store is not None
        return node_families(self._hosting, self._server, self._peers, self._store, self._requests)

    def status(self) -> Status:
        return Status(
            self.name,
            os.getpid(),
            tuple(self._verifier.noted(each) for each in self._hosting.statuses()),
            self._fingerprint,
            self._config.revision,
            "" if self._store is None else self._store.acquaintances.data_id,
            tuple(Refusal(node, why) for node, why in sorted(self._peers.refusals().items())),
            self._is_draining,
            self._server.outstanding,
            round(self._late_s * 1000, 3),
            self._reports.lately(asyncio.get_running_loop().time()),
        )


def _others(config: ClusterConfig, name: str) -> dict[str, Address]:
    return {node.name: node.address for node in config.nodes.values() if node.name != name}


def _accepted(config: ClusterConfig) -> dict[str, str]:
    return {node.name: node.data_id for node in config.nodes.values() if node.data_id}


_Outgoing: TypeAlias = dict[str, list[Envelope]]
"""Messages gathered in a turn, by the node they go to."""


def _gather(outgoing: _Outgoing, engine: RaftEngine, messages: list[RaftMessage]) -> None:
    for message in messages:
        if (node := engine.place(message.receiver)) is not None:
            outgoing.setdefault(node, []).append(Envelope(engine.group, message))


def _send_gathered(outgoing: _Outgoing, peers: Peers) -> None:
    for node, envelopes in outgoing.items():
        peers.send(node, envelopes)
