"""The listening side of the PostgreSQL port: who may connect, how many, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import hmac
import ipaddress
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Final

from nodes.config import Address
from shardrouter.errors import Unavailable
from shardrouter.pgserver.client import Client
from shardrouter.pgserver.client_metrics import ClientCounts
from shardrouter.pgserver.dialogue import Session
from shardrouter.pgserver.login import Authenticator
from shardrouter.pgserver.tls import Encryption
from shardrouter.pgwire import messages as m
from shardrouter.roles import Role
from shardrouter.router_port import WORKER_SHIFT, ListenError

__all__ = ["CLIENTS_MAX", "PgServer"]

log = logging.getLogger(__name__)

CLIENTS_MAX: Final = 1000
"""Connections at once; one more is told 53300. Each holds some buffers (see `client`)."""

ENTERING_MAX: Final = 256
"""Connections at once that have not logged in. One more makes the oldest of them go: whoever
opens connections and says nothing must not keep those out that say who they are."""

_CROWDED: Final = m.Report(
    "FATAL", "53300", "sorry, too many clients are logging in already", hint="Try again."
)

HELD_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of messages that are arriving, in all connections together: each may have 16 MiB, but not all
of them at once."""

COMPLAINT_INTERVAL_S: Final = 60.0
"""Garbage from one address is logged once in this time: the log must not be its next victim."""

COMPLAINTS_MAX: Final = 1024
"""Addresses remembered for that."""


class PgServer:
    """Serves the PostgreSQL protocol; one session from `new_session` for each client.

    Without an `authenticator` whoever reaches the port can do everything, so it listens on
    loopback only (DESIGN section 11).
    """

    def __init__(
        self,
        new_session: Callable[[Role], Session],
        *,
        host: str,
        port: int,
        authenticator: Authenticator | None = None,
        encryption: Encryption | None = None,
        worker: int = 0,
        forward: Callable[[int, bytes], None] | None = None,
    ) -> None:
        """worker: of the processes that share the port, which this one is; 0: it is alone. A
        CancelRequest may come to any of them; the pid in it names the one that can do something,
        and `forward` tells that one."""
        self.authenticator = authenticator
        self.encryption = encryption
        self._make_session = new_session
        self._worker = worker
        self._forward = forward
        self._address = Address(host, port)
        self._listener: asyncio.Server | None = None
        self._clients: set[Client] = set()
        self._entering: dict[Client, None] = {}  # those that have not logged in, oldest first
        self._work: set[asyncio.Task[None]] = set()  # for clients; cancelled past the grace
        self._closing: set[asyncio.Task[None]] = set()  # of sessions; always waited for
        self._empty: asyncio.Event | None = None  # while closing: set when no client is left
        self._number = 0  # of the client that came last
        self._accepted = self._refused = self._cancels = 0
        self._greeted: dict[int, tuple[bytes, Client]] = {}  # by pid: its key, and itself
        self._complaints: dict[str, float] = {}
        self._held: dict[Client, int] = {}  # bytes of large messages that are not yet whole
        self._held_bytes = 0  # their sum

    async def start(self) -> Address:
        """Listen; returns the address with the port that was chosen. Raises ListenError."""
        address = self._address
        if self.authenticator is None and not _is_loopback(address.host):
            raise ListenError(
                f"the router will not listen on {address}: without passwords only loopback is "
                "safe; use 127.0.0.1."
            )
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                self.accept,
                address.host,
                address.port,
                backlog=512,
                reuse_port=True if self._worker else None,
            )
        except OSError as exc:
            why = (
                "the port is in use by another process; stop that one or choose another port"
                if exc.errno == errno.EADDRINUSE
                else str(exc.strerror or exc)
            )
            raise ListenError(f"the router cannot listen on {address}: {why}.") from exc
        host, port = self._listener.sockets[0].getsockname()[:2]
        return Address(host, port)

    async def close(self, grace_s: float) -> None:
        """Accept nobody, let what is running end for `grace_s` seconds, cut what is left.

        When it returns every session is closed and no task is left.
        """
        if self._listener is not None:
            self._listener.close()
        for client in list(self._clients):
            client.stop()
        if self._clients:
            self._empty = asyncio.Event()
            try:
                await asyncio.wait_for(self._empty.wait(), grace_s)
            except TimeoutError:
                log.warning("%d clients were cut off in the middle of work", len(self._clients))
        for task in self._work:
            task.cancel()
        for client in list(self._clients):
            client.abandon()
        while tasks := self._work | self._closing:
            await asyncio.wait(tasks)
        if self._listener is not None:
            await self._listener.wait_closed()

    @property
    def counts(self) -> ClientCounts:
        return ClientCounts(
            len(self._clients) - len(self._entering),
            len(self._entering),
            self._accepted,
            self._refused,
            self._cancels,
        )

    # ---------------------------------------------------------------- for its clients

    def accept(self) -> Client:
        client = Client(self)
        self._accepted += 1
        self._clients.add(client)
        if len(self._entering) >= ENTERING_MAX:
            oldest = next(iter(self._entering))
            del self._entering[oldest]
            self._refused += 1
            oldest.refuse(_CROWDED)
        self._entering[client] = None
        return client

    def admit(self) -> None:
        if len(self._clients) > CLIENTS_MAX:
            self._refused += 1
            raise Unavailable("sorry, too many clients already", sqlstate="53300")

    def new_session(self, role: Role) -> Session:
        return self._make_session(role)

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        _keep(asyncio.get_running_loop().create_task(work), self._work)

    def retire(self, client: Client, session: Session | None) -> None:
        self.hold(client, 0)

        async def close() -> None:
            try:
                if session is not None:
                    await session.close()
            except Exception:
                log.exception("a client's session could not be closed")
            self._clients.discard(client)
            self._entering.pop(client, None)
            if not self._clients and self._empty is not None:
                self._empty.set()

        _keep(asyncio.get_running_loop().create_task(close()), self._closing)

    def enter(self, client: Client, key_bytes: int) -> tuple[int, bytes]:
        self._entering.pop(client, None)
        while True:
            self._number = self._number % ((1 << WORKER_SHIFT) - 1) + 1
            pid = self._worker << WORKER_SHIFT | self._number
            if pid not in self._greeted:
                break
        key = secrets.token_bytes(key_bytes)
        self._greeted[pid] = (key, client)
        return pid, key

    def leave(self, pid: int) -> None:
        self._greeted.pop(pid, None)

    def cancel(self, pid: int, key: bytes) -> None:
        self._cancels += 1
        if pid >> WORKER_SHIFT != self._worker and self._forward is not None:
            self._forward(pid, key)
        else:
            self.cancel_own(pid, key)

    def cancel_own(self, pid: int, key: bytes) -> None:
        """The same of a client of this very process."""
        # As long for a pid that nobody has as for a wrong key: who guesses learns nothing.
        known, client = self._greeted.get(pid, (secrets.token_bytes(len(key)), None))
        if hmac.compare_digest(known, key) and client is not None:
            client.cancel()

    def hold(self, client: Client, size: int) -> bool:
        self._held_bytes += size - self._held.pop(client, 0)
        if size:
            self._held[client] = size
        return self._held_bytes <= HELD_BYTES_MAX

    def complain(self, address: str, what: str) -> None:
        now = asyncio.get_running_loop().time()
        last = self._complaints.pop(address, None)
        if last is not None and now - last < COMPLAINT_INTERVAL_S:
            self._complaints[address] = last
            return
        if len(self._complaints) >= COMPLAINTS_MAX:
            self._complaints.pop(next(iter(self._complaints)))
        self._complaints[address] = now
        log.warning(
            "%s sent what is not the PostgreSQL protocol (%s); its connection is closed",
            address,
            what,
        )


def _keep(task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
    """Hold a task until it has ended: the loop itself holds tasks weakly."""
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
