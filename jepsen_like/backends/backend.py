"""What the harness asks of the network between hosts, whichever way it is made.

A host is what a partition keeps together: the processes started on it and the clients bound to
it. Mostly it is one station of the network, and three where routers and clients stand apart
(`stations`). A backend gives stations addresses, says how a process is started on one, and owns the
links between them, one for each direction of each pair. Nothing but the backend knows how a link is
made: the runner, the probes, the faults and the databases are written against this interface.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from jepsen_like.backends.shape import Shape
from jepsen_like.backends.stations import Layout, Pair

__all__ = [
    "Endpoint",
    "Pair",
    "Backend",
    "BackendError",
    "PROBE_SERVICE",
    "connected",
]

Endpoint: TypeAlias = tuple[str, int]
"""Host and port as sockets name them."""

PROBE_SERVICE: Final = "probe"
"""The harness's own service on every station; its bytes are not the database's."""


class BackendError(Exception):
    """The network cannot be made or changed here; a sentence that says what to do."""


class Backend(Protocol):
    """All links between the stations of `hosts`. What is said here of a host holds of each station.

    `close` ends what was made; processes on the hosts are ended before it.
    """

    @property
    def name(self) -> str:
        """As in `--backend`, for the report."""

    @property
    def hosts(self) -> tuple[str, ...]: ...

    @property
    def layout(self) -> Layout:
        """The stations of the hosts, and the links between them."""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every link."""

    @property
    def has_own_ports(self) -> bool:
        """Whether nobody but the database and the harness can have a port on the hosts."""

    def address(self, host: str) -> str:
        """The IP address on which processes of `host` listen."""

    def command(self, host: str, argv: Sequence[str]) -> tuple[str, ...]:
        """The command line that runs `argv` on `host`, under the process id it is started with."""

    def socket(self, host: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A new TCP or UDP socket of `host`, neither bound nor connected."""

    async def expose(self, host: str, service: str, endpoint: Endpoint) -> Mapping[str, Endpoint]:
        """Make `endpoint` of `host`, which may be one of its own loopback, reachable over every
        link to it; returns where each station dials."""

    async def advertise(self, host: str, service: str, endpoint: Endpoint) -> Endpoint:
        """Like `expose`, but with one address for all: for databases whose processes tell each
        other under which address they are reached. Only processes that were started by `command`
        reach it. Raises BackendError."""

    async def reach(self, host: str, endpoint: Endpoint) -> Endpoint:
        """Where the harness dials `endpoint` as a process of `host` would. What the host itself
        listens on is reached so past all links, and answers during a cut too."""

    async def cut(self, pairs: Collection[Pair]) -> None:
        """From now on nothing passes these links. All at once."""

    async def heal(self, pairs: Collection[Pair]) -> None:
        """These links carry again. All at once."""

    async def shape(self, pairs: Collection[Pair], shape: Shape, seed: int) -> None:
        """What is sent over these links from now on is treated so, with lots of `seed`; PLAIN:
        as before. Asked only of what the backend can do."""

    async def reset(self, pairs: Collection[Pair]) -> None:
        """Every connection between these hosts is ended by the host that its pair names first, and
        the other end learns it by a reset."""

    async def delivered(self) -> Mapping[Pair, int]:
        """Bytes of the database that each link has handed to its target so far, counted there;
        those of PROBE_SERVICE are left out."""

    async def close(self) -> None: ...


async def connected(sock: socket.socket, endpoint: Endpoint) -> socket.socket:
    """The socket, once it is connected; closed if it cannot be. Raises OSError."""
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, endpoint)
    except BaseException:
        sock.close()
        raise
    return sock
