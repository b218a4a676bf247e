"""One connection to one node: requests out, answers in, matched by id.

`NodeClient` knows no SQL, no leaders and no retries; whoever holds several of them decides
where a request goes. Its one promise is about certainty: `done` is called exactly once, with
the node's answer, with `NotSent` (nothing of the request left this process: definite) or with
`ConnectionLost` (it may have arrived: indefinite).

Hot path: a request is one dictionary entry and no task. All requests of one turn of the event
loop leave in one write, so that sixteen busy connections of a router cost one system call. One that
nobody waits for may wait for the next that somebody does, so that it costs no write of its own, nor
the node an entry of its own where both go into the same log (`within_s`).

A connection through which nothing comes any more is given up: a partition makes established
connections silent, and after it heals the kernel may wait for seconds before it sends again.
So while answers are awaited and nothing arrives, the client asks for the node's status, which
a running node answers at once; if that stays unanswered too, the connection is closed.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias, cast

import msgspec

from nodes.config import Address, ClusterConfig
from nodes.frames import ITEMS_MAX, FrameDecoder, array_frames, encode_frame
from nodes.handshake import NONCE_BYTES, Dialing
from nodes.protocol import (
    FRAME_BYTES_MAX,
    GREETING_BYTES_MAX,
    GetStatus,
    Hello,
    Proof,
    ProtocolError,
    Refused,
    Request,
    RequestBody,
    Response,
    ResponseBody,
    Welcome,
)

__all__ = ["NotSent", "ConnectionLost", "Outcome", "CallFailed", "NodeClient"]

OUTSTANDING_MAX: Final = 8192
"""Requests without an answer, waiting ones included; more are refused. Bounds the memory."""

DIAL_TIMEOUT_S: Final = 1.0
"""From dialing to Welcome. Longer than a busy node needs; a dead link must not eat deadlines."""

REDIAL_AFTER_S: Final = 0.05
"""Pause after a failed dial, so that a caller that retries at once does not spin."""

PROBE_AFTER_S: Final = 0.5
"""Silence, with answers awaited, after which the node's status is asked for."""

SILENT_AFTER_S: Final = 1.5
"""Silence, with answers awaited, after which the connection is given up."""

STEP_S: Final = 0.02
"""How often deadlines are looked at while answers are awaited; idle clients have no timer."""

_NOTHING: Final = msgspec.Raw(msgspec.msgpack.encode(None))

_PROBE_ID: Final = 0
"""Request id of the status probe; requests of callers count from 1."""


@dataclass(frozen=True)
class NotSent:
    """Nothing of the request left this process. Definite: it was not and will not be done."""

    reason: str


@dataclass(frozen=True)
class ConnectionLost:
    """The request was handed to the network and no answer came. Indefinite."""

    reason: str


Outcome: TypeAlias = ResponseBody | NotSent | ConnectionLost


class CallFailed(ConnectionError):
    """`NodeClient.call` got no answer; `sent` says whether the request may have arrived."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class _Waiting(msgspec.Struct, eq=False):
    """A request whose `done` has not been called."""

    number: int
    group: str
    body: RequestBody
    deadline: float
    done: Callable[[Outcome], None]


class NodeClient:
    """A connection to the node at `address`, made when first needed and again after a loss.

    Used from one event loop, which must be running when it is made. `name` is this process's
    name, for the node's log; `secret` the cluster's, empty if it has none.
    """

    def __init__(
        self, address: Address, *, cluster_id: str, name: str, secret: bytes = b""
    ) -> None:
        self.address = address
        self.refusal = ""
        """What the node said when it last refused this connection; empty since it welcomed it."""
        self._cluster_id = cluster_id
        self._name = name
        self._secret = secret
        self._loop = asyncio.get_running_loop()
        self._encoder = msgspec.msgpack.Encoder()
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: list[_Waiting] = []
        self._sent = 0  # the number of the last request that was sent; those before it were too
        self._look_at = math.inf
        """No deadline of those that wait is earlier."""
        self._last_id = 0
        self._link: _Link | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._dial_not_before = 0.0
        self._flush_due = False
        self._flush_later: asyncio.TimerHandle | None = None  # for requests that may wait
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @staticmethod
    def to(node: str, config: ClusterConfig, *, name: str) -> NodeClient:
        """A connection to a node of the cluster that `config` describes."""
        address = config.nodes[node].address
        return NodeClient(address, cluster_id=config.cluster_id, name=name, secret=config.secret)

    @property
    def connected(self) -> bool:
        """The node has welcomed this connection and it has not been lost since."""
        return self._link is not None

    @property
    def outstanding(self) -> int:
        """Requests that have not ended yet."""
        return len(self._waiting)

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing has been heard for so long although something was asked: also when
        there is no connection yet."""
        link = self._link
        if link is None:
            return True
        asked_at = link.asked_at
        return asked_at is not None and self._loop.time() - asked_at >= seconds

    # ------------------------------------------------------------------ requests

    def request(
        self,
        group: str,
        body: RequestBody,
        *,
        deadline: float,
        done: Callable[[Outcome], None],
        within_s: float = 0.0,
    ) -> int:
        """Send `body` to `group`; `done` is called exactly once, never from within this call, and
        not later than the `deadline`, of the loop's clock. It leaves with the next request that may
        not wait, at the latest after `within_s`, before any that is made later. Returns what
        `give_up` takes."""
        outstanding = self._waiting
        if self._closed:
            self._loop.call_soon(done, NotSent("the client is closed"))
            return 0
        if len(outstanding) >= OUTSTANDING_MAX:
            reason = f"{OUTSTANDING_MAX} requests to {self.address} await their answers"
            self._loop.call_soon(done, NotSent(reason))
            return 0
        self._last_id = number = self._last_id + 1
        waiting = outstanding[number] = _Waiting(number, group, body, deadline, done)
        self._unsent.append(waiting)
        if deadline < self._look_at:
            self._look_at = deadline
        if self._timer is None:
            self._timer = self._loop.call_later(STEP_S, self._look_at_clock)
        if self._link is None:
            self._dial()
        elif within_s:
            if self._flush_later is None:
                self._flush_later = self._loop.call_later(within_s, self._flush)
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)
        return number

    def give_up(self, number: int) -> None:
        """Nobody needs the answer to a request: the node ends what it does for it, if that has
        had no effect, and `done` hears of it as of any end."""
        waiting = self._waiting.get(number)
        if waiting is None:
            return
        if number > self._sent:
            del self._waiting[number]
            self._unsent = [other for other in self._unsent if other is not waiting]
            unsent = NotSent("nobody waits for the answer")
            self._loop.call_soon(waiting.done, unsent)
        elif self._link is not None:
            said = Request(number, "", 0, _NOTHING)
            self._link.transport.write(b"".join(array_frames([said], self._encoder)))

    async def call(self, group: str, body: RequestBody, timeout_s: float) -> ResponseBody:
        """`request`, awaited. Raises CallFailed, a ConnectionError, if no answer came."""
        future: asyncio.Future[Outcome] = self._loop.create_future()

        def done(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        self.request(group, body, deadline=self._loop.time() + timeout_s, done=done)
        outcome = await future
        if isinstance(outcome, NotSent | ConnectionLost):
            raise CallFailed(outcome.reason, sent=isinstance(outcome, ConnectionLost))
        return outcome

    async def close(self) -> None:
        """Answer what waits, close the connection, and return when both have ended. What nobody
        waits for leaves first."""
        self._closed = True
        if self._flush_later is not None:
            self._flush()
        if self._dialing is not None:
            self._dialing.cancel()
            await asyncio.wait([self._dialing])
        link = self._link
        self._lost("the client was closed")
        if link is not None:
            link.transport.abort()
            await asyncio.wait({link.closed})
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ------------------------------------------------------------------ the connection

    def _dial(self) -> None:
        if self._dialing is None:
            self._dialing = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        loop = self._loop
        link: _Link | None = None
        reason = ""
        try:
            await asyncio.sleep(max(0.0, self._dial_not_before - loop.time()))
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                _, link = await loop.create_connection(
                    lambda: _Link(self, self._greeting(), self._waiting),
                    self.address.host,
                    self.address.port,
                )
                reason = await link.welcome
            if not reason:
                self._link, link = link, None
        except TimeoutError:
            reason = f"{self.address} did not answer within {DIAL_TIMEOUT_S:g} s"
        except OSError as exc:
            reason = f"{self.address} cannot be reached: {exc}"
        finally:
            if link is not None:
                link.transport.abort()
                await asyncio.wait({link.closed})
            self._dialing = None
        if reason:
            self._dial_not_before = loop.time() + REDIAL_AFTER_S
            self._lost(reason)
        else:
            self._flush()

    def _greeting(self) -> Dialing:
        return Dialing(
            kind="client",
            name=self._name,
            cluster_id=self._cluster_id,
            secret=self._secret,
            nonce=os.urandom(NONCE_BYTES),
        )

    def _flush(self) -> None:
        """Write every unsent request, unless the node does not read what it already has."""
        self._flush_due = False
        if self._flush_later is not None:
            self._flush_later.cancel()
            self._flush_later = None
        link = self._link
        if link is None or link.paused:
            return
        now = self._loop.time()
        if link.probed_at is not None and link.is_dead(now):  # nothing more is entrusted to it
            self._link = None
            link.transport.abort()
            for number in list(self._waiting):
                if number <= self._sent:
                    self._answer(number, ConnectionLost(_silent(self.address)))
            self._dial()
            return
        requests: list[Request] = []
        unsent, self._unsent = self._unsent, []
        for waiting in unsent:
            left_ms = int((waiting.deadline - now) * 1000)
            timeout_ms = left_ms if left_ms > 0 else 1
            # The encoder writes a struct where the type says Raw: the same bytes, one pass less.
            requests.append(Request(waiting.number, waiting.group, timeout_ms, waiting.body))  # type: ignore[arg-type]
        if unsent:
            self._sent = unsent[-1].number
        if requests and (frames := self._frames(requests)):
            link.transport.write(b"".join(frames))
            if link.asked_at is None:
                link.asked_at = now

    def _frames(self, requests: list[Request]) -> list[bytes]:
        """Of those that can be encoded; the others are answered."""
        try:
            return array_frames(requests, self._encoder)
        except (ProtocolError, TypeError, ValueError, OverflowError) as exc:
            if len(requests) == 1:
                self._answer(requests[0].id, NotSent(f"the request cannot be encoded: {exc}"))
                return []
            half = len(requests) // 2
            return self._frames(requests[:half]) + self._frames(requests[half:])

    # ------------------------------------------------------------------ ends of a request

    def _answer(self, number: int, outcome: Outcome) -> None:
        """End a request that still waits."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            self._tell(waiting, outcome)

    def _tell(self, waiting: _Waiting, outcome: Outcome) -> None:
        """A caller's error must not keep the other callers of the same turn from their answers:
        it goes to the loop's handler."""
        try:
            waiting.done(outcome)
        except Exception as exc:
            self._failed(exc)

    def _failed(self, exc: Exception) -> None:
        self._loop.call_exception_handler(
            {"message": "the callback of a request failed", "exception": exc}
        )

    def _lost(self, reason: str) -> None:
        """The connection, or the attempt to make one, has ended: so have all requests."""
        self._link = None
        self._unsent.clear()
        for number in list(self._waiting):
            sent = number <= self._sent
            self._answer(number, ConnectionLost(reason) if sent else NotSent(reason))

    def _look_at_clock(self) -> None:
        """End requests whose time is over, and a connection that has gone silent."""
        loop = self._loop
        self._timer = None
        now = loop.time()
        if self._look_at <= now:
            self._end_late(now)
        link = self._link
        if link is not None and self._waiting:
            if link.is_dead(now):
                link.transport.abort()
                self._lost(_silent(self.address))
            elif link.is_doubtful(now):
                link.probed_at = now
                probe = Request(_PROBE_ID, "", 1000, GetStatus())  # type: ignore[arg-type]  # as above
                link.transport.write(b"".join(array_frames([probe], self._encoder)))
        if self._waiting and self._timer is None:
            self._timer = loop.call_later(STEP_S, self._look_at_clock)

    def _end_late(self, now: float) -> None:
        """End those whose deadline has passed, the earliest first. The earliest of the others is
        looked for only here: most are answered long before, and cost nothing."""
        late = [waiting for waiting in self._waiting.values() if waiting.deadline <= now]
        self._unsent = [waiting for waiting in self._unsent if waiting.deadline > now]
        for waiting in sorted(late, key=lambda waiting: waiting.deadline):
            if waiting.number <= self._sent:
                outcome: Outcome = ConnectionLost(f"no answer from {self.address} in time")
            else:
                outcome = NotSent(f"{self.address} could not be reached in time")
            self._answer(waiting.number, outcome)
        deadlines = (waiting.deadline for waiting in self._waiting.values())
        self._look_at = min(deadlines, default=math.inf)

    # ------------------------------------------------------------------ called by the link

    def on_responses(self, responses: list[Response]) -> None:
        waiting = self._waiting
        for response in responses:
            asked = waiting.pop(response.id, None)
            if asked is None:  # the answer to a probe, or one behind its deadline
                continue
            try:  # `_tell`, without the call
                done = asked.done
                done(response.body)
            except Exception as exc:
                self._failed(exc)

    def on_writable(self) -> None:
        self._flush()

    def on_lost(self, link: _Link, reason: str) -> None:
        if link is self._link:
            self._lost(reason)


def _silent(address: Address) -> str:
    return f"{address} was silent for {SILENT_AFTER_S:g} s"


class _Link(asyncio.Protocol):
    """One TCP connection of a NodeClient."""

    transport: asyncio.Transport

    def __init__(self, owner: NodeClient, greeting: Dialing, waiting: Mapping[int, object]) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._owner = owner
        self._waiting = waiting  # the owner's requests that have not ended
        self._greeting = greeting
        self._frames = FrameDecoder(GREETING_BYTES_MAX)
        self._responses = msgspec.msgpack.Decoder(
            Annotated[list[Response], msgspec.Meta(max_length=ITEMS_MAX)]
        )
        self.welcome: asyncio.Future[str] = loop.create_future()
        """Empty, or the reason why the node did not welcome this connection."""
        self.closed: asyncio.Future[None] = loop.create_future()
        """To be waited for by asyncio.wait, which leaves it alone when the waiter is cancelled."""
        self.paused = False  # the node does not read what was written
        self.asked_at: float | None = None
        """Since when, or since which sign of life, an answer is due. Requests end at their
        deadlines and new ones come: a link that answers none of them is dead all the same."""
        self.probed_at: float | None = None  # its status was asked for since it was last heard

    def is_doubtful(self, now: float) -> bool:
        """Whether it should be asked for a sign of life."""
        silent = self.asked_at is not None and now - self.asked_at > PROBE_AFTER_S
        return silent and self.probed_at is None

    def is_dead(self, now: float) -> bool:
        """Whether it was asked for one, and gave none for so long."""
        return self.probed_at is not None and now - self.probed_at > SILENT_AFTER_S - PROBE_AFTER_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._send(self._greeting.hello)

    def data_received(self, data: bytes) -> None:
        self.probed_at = None
        try:
            for frame in self._frames.feed(data):
                if self.welcome.done():
                    self._owner.on_responses(self._responses.decode(frame))
                else:
                    self._greet(self._greeting.receive(frame))
            self.asked_at = self._loop.time() if self._waiting else None
        except (ProtocolError, msgspec.DecodeError) as exc:
            self._end(f"{self._owner.address} does not speak the node protocol: {exc}")
            self.transport.abort()

    def _greet(self, said: Proof | Welcome | Refused) -> None:
        if isinstance(said, Proof):
            self._send(said)
        elif isinstance(said, Refused):
            self._owner.refusal = f"{self._owner.address} refused the connection: {said.reason}"
            self._end(self._owner.refusal)
        else:
            self._frames.limit = FRAME_BYTES_MAX
            self._owner.refusal = ""
            self.welcome.set_result("")

    def _send(self, message: Hello | Proof) -> None:
        self.transport.write(encode_frame(msgspec.msgpack.encode(message)))

    def _end(self, reason: str) -> None:
        if not self.welcome.done():
            self.welcome.set_result(reason)
        self._owner.on_lost(self, reason)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._owner.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        cause = f": {exc}" if exc is not None else ""
        self._end(f"{self._owner.address} closed the connection{cause}")
        self.closed.set_result(None)
