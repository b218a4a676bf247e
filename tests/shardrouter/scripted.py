"""Nodes whose answers a test writes down, behind the real server of the node protocol.

Time is the test's: `AdvancingLoop` runs on the wall clock plus what the test has added, so
that a deadline of ten seconds passes in no time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import msgspec

from nodes.config import Address, ClusterConfig, GroupConfig, NodeConfig, Replica
from nodes.protocol import (
    GetStatus,
    MemberStatus,
    NotLeader,
    Opened,
    OpenSession,
    PeerBatch,
    Read,
    ReplicaStatus,
    Request,
    RequestBody,
    ResponseBody,
    SessionId,
    Status,
)
from nodes.server import Server
from shardrouter.shards import Shards

TIMEOUT_S: Final = 30.0
"""A test that hangs fails after this long."""

_bodies = msgspec.msgpack.Decoder(RequestBody)


class AdvancingLoop(asyncio.SelectorEventLoop):
    """The wall clock, which a test can put forward."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


def advance(seconds: float) -> None:
    """Let time pass, for everything that looks at the loop's clock."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, AdvancingLoop)
    loop.ahead_s += seconds


def run(scenario: Coroutine[Any, Any, None]) -> None:
    bugs: list[dict[str, Any]] = []  # exceptions in callbacks

    async def bounded() -> None:
        # Advancing the clock must not end the test: bound its steps by the wall clock.
        loop = asyncio.get_running_loop()
        assert isinstance(loop, AdvancingLoop)
        loop.set_exception_handler(lambda _loop, context: bugs.append(context))
        task = asyncio.ensure_future(scenario)
        start = loop.time() - loop.ahead_s
        while not task.done():
            await asyncio.wait({task}, timeout=1.0)
            if loop.time() - loop.ahead_s - start > TIMEOUT_S:
                task.cancel()
        await task

    with asyncio.Runner(loop_factory=AdvancingLoop) as runner:
        runner.run(bounded())
    assert not bugs


class Hold:
    """No answer for now; `ScriptedNode.release` gives it."""


class Cut:
    """The connection is lost after the request has arrived."""


Reply: TypeAlias = ResponseBody | type[Hold] | type[Cut]
Script: TypeAlias = Callable[[str, RequestBody], Reply]


class ScriptedNode:
    """A listening node. It answers status requests by itself, opens sessions by itself unless
    the script does, and everything else as `script(group, body)` says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.script: Script | None = None
        self.got: list[RequestBody] = []  # without status requests
        self.held: list[Callable[[ResponseBody], None]] = []
        self.arrived = asyncio.Event()
        self.sessions = 0
        self.asked_status = 0
        self.last_asked: GetStatus | None = None
        self.draining = False  # as its status says
        self.answers_after_s = 0.0  # as a node that is far away
        self._owed = 0  # answers that are on their way
        self.is_silent = False  # answers nothing at all, not even status requests
        self.leads: dict[str, int] = {}  # group -> term, as its status says
        self.members: tuple[str, ...] = ()  # nodes of the groups that it leads, in the same way
        self._server = Server(node=name, cluster_id="test", peers=(), handler=self)
        self.address: Address

    async def start(self) -> None:
        self.address = await self._server.listen(Address("127.0.0.1", 0))

    async def restart(self) -> None:
        """Listen again at the same address."""
        self._server = Server(node=self.name, cluster_id="test", peers=(), handler=self)
        await self._server.listen(self.address)

    async def stop(self) -> None:
        for connection in list(self._server.connections):
            connection.abort()
        await self._server.close()

    def on_peer_batch(self, node: str, batch: PeerBatch) -> None:
        raise AssertionError("a router is no peer")

    def on_request(self, request: Request, answer: Callable[[ResponseBody], None]) -> None:
        body = _bodies.decode(request.body)
        if self.answers_after_s:
            answer = self._far(answer)
        if self.is_silent:
            self.got.append(body)
            self.arrived.set()
            return
        if isinstance(body, GetStatus):
            members = tuple(MemberStatus(i, node, True) for i, node in enumerate(self.members, 1))
            replicas = (
                ReplicaStatus(group, 1, "leader", self.name, term, 1, 1, 1, "", members)
                for group, term in self.leads.items()
            )
            answer(Status(self.name, 1, tuple(replicas), draining=self.draining))
            self.asked_status += 1
            self.last_asked = body
            self.arrived.set()
            return
        self.got.append(body)
        assert self.script is not None
        reply = self.script(request.group, body)
        if reply is Hold:
            self.held.append(answer)
        elif reply is Cut:
            for connection in list(self._server.connections):
                connection.abort()
        else:
            assert not isinstance(reply, type)
            answer(reply)
        self.arrived.set()

    def _far(self, answer: Callable[[ResponseBody], None]) -> Callable[[ResponseBody], None]:
        def arrive(body: ResponseBody) -> None:
            self._owed -= 1
            answer(body)
            self.arrived.set()

        def later(body: ResponseBody) -> None:
            self._owed += 1
            asyncio.get_running_loop().call_later(self.answers_after_s, arrive, body)

        return later

    async def until_answered(self) -> None:
        """Wait until nothing that it answered is on its way."""
        while self._owed:
            self.arrived.clear()
            await self.arrived.wait()

    async def until_got(self, count: int) -> None:
        """Wait until that many requests have arrived."""
        while len(self.got) < count:
            self.arrived.clear()
            await self.arrived.wait()

    async def until_asked_status(self) -> None:
        """Wait until one more status request has arrived."""
        before = self.asked_status
        while self.asked_status == before:
            self.arrived.clear()
            await self.arrived.wait()

    def open_session(self) -> Opened:
        self.sessions += 1
        return Opened(SessionId(1, self.sessions))

    def of(self, kind: type[RequestBody]) -> list[Any]:
        return [body for body in self.got if isinstance(body, kind)]

    def plays(self, *replies: Reply) -> None:
        """Answer with these, in order, whatever is asked (except opening sessions); the last
        one stands for all further requests."""
        pending = list(replies)

        def script(_group: str, body: RequestBody) -> Reply:
            if isinstance(body, OpenSession):
                return self.open_session()
            return pending.pop(0) if len(pending) > 1 else pending[0]

        self.script = script

    def follows(self, leader: str, answer: ResponseBody) -> None:
        """Name the leader, and give `answer` to reads that a follower may answer."""

        def script(_group: str, body: RequestBody) -> Reply:
            may_answer = isinstance(body, Read) and body.at_follower
            return answer if may_answer else NotLeader(leader)

        self.script = script


@asynccontextmanager
async def scripted(
    count: int, founders: int | None = None
) -> AsyncIterator[tuple[Shards, list[ScriptedNode]]]:
    """A router's Shards and `count` nodes, of which the first or all have a replica of `shard-1`
    in cluster.toml; n1 is preferred."""
    nodes = [ScriptedNode(f"n{i}") for i in range(1, count + 1)]
    for node in nodes:
        await node.start()
    replicas = tuple(Replica(i, node.name) for i, node in enumerate(nodes[:founders], 1))
    config = ClusterConfig(
        cluster_id="test",
        nodes={node.name: NodeConfig(node.name, node.address) for node in nodes},
        groups={name: GroupConfig(name, replicas) for name in ("meta", "shard-1")},
        router=Address("127.0.0.1", 1),
    )
    shards = Shards(config, name="router", rng=random.Random(1))
    try:
        yield shards, nodes
    finally:
        await shards.close()
        for node in nodes:
            await node.stop()
