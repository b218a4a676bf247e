"""Faults of processes: one way to strike them, whatever is done to them.

A fault of this kind says what is done (`Deed`) to whom (`Target`), and for how long. What it does
to one process is a `Lasting`: it begins, is looked at again at the end of the window, and heals.
The looking is from outside: what the kernel says of the process id, and whether the process at
the database's address answers, and with which process id. Each look is a sentence of the ledger.
"""

from __future__ import annotations

import asyncio
import random
import signal
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

from jepsen_like.adapters.database import DatabaseError, Processes, RoutedDatabase
from jepsen_like.backends.stations import router_name
from jepsen_like.faults.fault import Site, find_hosts
from jepsen_like.faults.targets import RouterOf, Target, TargetError, draw_target, role, roles
from jepsen_like.interpose.instruments import Instrument
from jepsen_like.kernel import kernel
from jepsen_like.result import FaultRecord

__all__ = ["Deed", "Lasting", "Look", "ProcessFault", "Victim"]

SETTLE_S: Final = 2.0
"""How long the kernel may take until a signal has its effect, on a busy machine."""

END_WAIT_S: Final = 30.0
"""How long a process may take to end after SIGTERM."""

RESTART_WAIT_S: Final = 60.0
"""How long a process may take until it listens again; a database has its own, shorter limit."""

ANSWER_WAIT_S: Final = 10.0
"""How long a process that was started or woken may take until it answers."""

POLL_S: Final = 0.01

Look: TypeAlias = tuple[bool, str]
"""Whether it was as it should be, and what was seen, as a sentence."""


@dataclass(frozen=True)
class Victim:
    """The process of one host that a fault strikes, as it was then."""

    site: Site
    host: str
    processes: Processes
    process: str  # its name among the instruments
    pid: int
    title: str  # "n1 (pid 12), leader of shard-1"

    @property
    def instrument(self) -> Instrument:
        """The harness's library in it. Raises TargetError if it was not asked for, or was and is
        not there: a static binary does not load it."""
        instruments = self.site.instruments
        found = instruments.of(self.process) if instruments is not None else None
        if found is None or found.control.get("PID") != self.pid:
            raise TargetError(
                f"the library of the harness is not in process {self.pid} of {self.host}: it was "
                "not loaded, as into no static binary."
            )
        return found

    def signal(self, number: signal.Signals) -> None:
        """A process that is gone already shows in what is looked at afterwards."""
        try:
            kernel().signal(self.pid, number)
        except ProcessLookupError:
            return

    async def becomes(self, *states: str, timeout_s: float | None = None) -> bool:
        """Whether the kernel says one of these of the process, now or soon."""
        timeout_s = SETTLE_S if timeout_s is None else timeout_s
        return await until(lambda: kernel().state(self.pid) in states, timeout_s)

    async def answers(self, pid: int | None = None) -> bool:
        """Whether process `pid`, or the victim, answers at the host's address, now or soon."""
        wanted = self.pid if pid is None else pid
        try:
            async with asyncio.timeout(ANSWER_WAIT_S):
                while await self.processes.answering_pid(self.host) != wanted:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            return False
        return True

    async def end(self) -> bool:
        """SIGTERM; SIGKILL if that is not heard. Whether it has ended."""
        self.signal(signal.SIGTERM)
        if await self.becomes("", timeout_s=END_WAIT_S):
            return True
        self.signal(signal.SIGKILL)
        return await self.becomes("")

    async def start_again(self) -> Look:
        """Start the process, which is dead; whether a new one answers. Of several faults at once
        the first that heals starts it, and the others look at what was started."""
        try:
            async with self.site.restarting(self.process), asyncio.timeout(RESTART_WAIT_S):
                if kernel().state(self.processes.pid(self.host)) == "":
                    await self.processes.restart(self.host)
        except TimeoutError:
            return False, f"after the restart: nothing was ready within {RESTART_WAIT_S:g} s"
        except DatabaseError as exc:  # a finding about the database, not the end of the run
            return False, f"after the restart: {exc}"
        pid = self.processes.pid(self.host)
        back = pid != self.pid and await self.answers(pid)
        self.site.say(f"{self.host} is {'back' if back else 'not back'}")
        return back, f"after the restart: process {pid} answered at {self.host}"


async def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it holds, now or soon."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return False
    return True


class Lasting(ABC):
    """What is done to one process, for as long as it lasts. Each step says what it saw."""

    def __init__(self, victim: Victim) -> None:
        self.victim = victim
        self.struck_ns = 0
        """When it was done, if it is known: a little later than it was asked for."""

    def struck(self) -> None:
        self.struck_ns = self.victim.site.clock.now_ns()

    @abstractmethod
    async def begin(self) -> Sequence[Look]:
        """Do it."""

    async def still(self) -> Sequence[Look]:
        """At the end of the window, before it heals."""
        return ()

    async def heal(self) -> Sequence[Look]:
        """Make it well. The window ends when this returns."""
        self.undo()
        return ()

    async def healed(self) -> Sequence[Look]:
        """Whether it is well."""
        return ()

    def undo(self) -> None:  # noqa: B027 -- there may be nothing to take back
        """Take it back at once and for sure: the run ends. May come at any time, and again."""


class Deed(Protocol):
    """What is done to a process: a value."""

    @property
    def kind(self) -> str: ...

    def drawn(self, rng: random.Random) -> Deed:
        """The same with every lot drawn."""

    def on(self, victim: Victim) -> Lasting: ...


@dataclass(frozen=True)
class ProcessFault:
    """A deed, done to the processes of a target for `hold_s`."""

    deed: Deed
    target: Target
    hold_s: float
    rest_s: float

    @property
    def kind(self) -> str:
        return self.deed.kind

    @property
    def name(self) -> str:
        return f"{self.deed} {self.target}"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> ProcessFault:
        target = draw_target(self.target, hosts, rng)
        return replace(self, target=target, deed=self.deed.drawn(rng))

    async def run(self, site: Site) -> FaultRecord:
        hosts, leaders = await find_hosts(site, self.target)
        lasting = [self.deed.on(self._victim(site, host, leaders)) for host in hosts]
        start_ns = site.clock.now_ns()
        try:
            for one in lasting:
                site.say(f"{self.deed} {one.victim.title}")
            at_start = await _all(one.begin() for one in lasting)
            start_ns = max([start_ns, *(one.struck_ns for one in lasting)])
            await site.clock.sleep_until(start_ns + round(self.hold_s * 1e9))
            at_end = await _all(one.still() for one in lasting)
            at_end += await _all(one.heal() for one in lasting)
            end_ns = site.clock.now_ns()
        finally:
            for one in lasting:
                one.undo()
        at_end += await _all(one.healed() for one in lasting)
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=" ".join(hosts),
            role_before=roles(hosts, leaders),
            role_after=roles(hosts, await site.db.leaders()),
            start_ns=start_ns,
            end_ns=end_ns,
            verified_start=all(good for good, _ in at_start),
            verified_end=all(good for good, _ in at_end),
            evidence=tuple(
                text if good else f"NOT VERIFIED: {text}" for good, text in at_start + at_end
            ),
        )

    def _victim(self, site: Site, host: str, leaders: Mapping[str, str]) -> Victim:
        processes: Processes = site.db
        process = host
        if isinstance(self.target, RouterOf):
            if not isinstance(site.db, RoutedDatabase):
                raise TargetError("this database has no routers.")
            processes, process = site.db.routers, router_name(host)
        pid = processes.pid(host)
        title = f"{host} (pid {pid}), {role(host, leaders)}"
        return Victim(site, host, processes, process, pid, title)


async def _all(steps: Iterable[Awaitable[Sequence[Look]]]) -> list[Look]:
    """Side by side; every one has ended when this returns or raises."""
    looks: list[Look] = []
    for found in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(found, BaseException):
            raise found
        looks += found
    return looks
