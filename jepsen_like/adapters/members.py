"""What databases with one process per host have in common: an adapter says only what is its own.

That is: the command line of a member, and a connection that performs a call and tells the member's
status. Where the processes listen and whom they dial, starting and asking them, restarts, deadlines
and outcomes are here. `adapters.etcd` is an example.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from jepsen_like.adapters.database import DatabaseError
from jepsen_like.adapters.links import Links, make_links
from jepsen_like.adapters.program import PORTS, Program, ProgramError, ending_with_us, free_port
from jepsen_like.backends.backend import Backend, Endpoint
from jepsen_like.clients import Answer, ClientError
from jepsen_like.kernel import kernel
from jepsen_like.load import Call
from jepsen_like.outcomes import outcome_of_silence, stage_of, words_of
from jepsen_like.workloads.register import Register
from jepsen_like.workloads.workload import Workload

__all__ = [
    "AskedGroup",
    "Companions",
    "Connection",
    "Known",
    "MemberDatabase",
    "MemberPrograms",
    "MemberStatus",
    "MembersDidNotStart",
    "Place",
    "Refused",
    "RunningGroup",
]

START_TIMEOUT_S: Final = 30.0

STATUS_TIMEOUT_S: Final = 1.0

POLL_S: Final = 0.05

LOADERS: Final = 8
"""Connections that load keys side by side, so that one fsync serves several."""


class Refused(Exception):
    """The database says that the call was not and will not be done. A sentence."""


@dataclass(frozen=True)
class Place:
    """Where a member keeps its data and listens, and its companion, if there are any."""

    host: str
    directory: Path
    clients: Endpoint
    peers: Endpoint
    companion: Endpoint


@dataclass(frozen=True)
class Known:
    """By host: the addresses under which all processes know the members and the companions."""

    peers: Mapping[str, Endpoint]
    companions: Mapping[str, Endpoint]


@dataclass(frozen=True)
class MemberStatus:
    """What a member says of itself."""

    leads: bool
    term: int = 0  # a leader that was cut off believes to be one still, in an older term


class Connection(Protocol):
    """To one member. Lost connections raise OSError, what the member says raises ValueError."""

    @property
    def is_usable(self) -> bool: ...

    async def perform(self, call: Call) -> Any:
        """Its answer. Raises Refused if nothing of it has happened or will."""

    async def status(self) -> MemberStatus: ...

    def abort(self) -> None:
        """End the connection at once; what waits on it raises OSError."""


class MemberDatabase(ABC):
    """A database of `members` processes of one group. A subclass is a frozen dataclass.

    One whose clients speak to the leader alone has a *companion* beside each member, a process
    that tells the clients of its host who leads: a sentinel of Redis.
    """

    group: ClassVar[str]
    program: ClassVar[str]
    package: ClassVar[str]  # Debian's, with the program
    has_one_port: ClassVar[bool] = False  # for clients and for the other members
    has_companions: ClassVar[bool] = False
    members: int

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def argv(self, me: Place, peers: Mapping[str, Endpoint]) -> Sequence[str]:
        """How a member is started; `peers` are the addresses under which all know each other."""

    @abstractmethod
    async def open(self, at: Endpoint) -> Connection:
        """Raises OSError."""

    def files(self, me: Place, known: Known) -> Mapping[str, str]:
        """Text that is in the member's directory before it starts, by the name of the file."""
        return {}

    def companion_argv(self, me: Place) -> Sequence[str]:
        """How the companion of a member is started."""
        raise NotImplementedError(f"{self.group} has companions and does not say how they start")

    async def leader_by(self, companion: Endpoint) -> Endpoint | None:
        """As whom all know the member that leads, by the word of that companion; None: by its
        word nobody does, or it does not know all members yet. Raises OSError or ValueError."""
        return None

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(f"n{i}" for i in range(1, self.members + 1))

    @property
    def groups(self) -> tuple[str, ...]:
        return (self.group,)

    def describe(self) -> dict[str, Any]:
        return {"database": self.group, "members": self.members}

    def versions(self) -> dict[str, str]:
        return {self.group: self.version()}

    async def start(
        self, backend: Backend, directory: Path, say: Callable[[str], None]
    ) -> RunningMembers:
        if shutil.which(self.program) is None:
            raise DatabaseError(f"{self.program} is missing: apt-get install {self.package}")
        ports = iter(random.sample(PORTS, len(PORTS)))
        places = [self._place(backend, host, directory, ports) for host in self.hosts]
        known = Known(
            {p.host: await backend.advertise(p.host, self.group, p.peers) for p in places},
            {
                p.host: await backend.advertise(p.host, f"{self.group} aside", p.companion)
                for p in places
                if self.has_companions
            },
        )
        for place in places:
            for name, text in self.files(place, known).items():
                place.directory.mkdir(exist_ok=True)
                (place.directory / name).write_text(text, encoding="utf-8")
        processes = {
            place.host: Program(
                f"{self.group} on {place.host}",
                backend.command(place.host, ending_with_us(self.argv(place, known.peers))),
                directory / f"{place.host}.log",
            )
            for place in places
        }
        reached = {place.host: await backend.reach(place.host, place.clients) for place in places}
        programs = MemberPrograms(processes, {place.host: place.clients[1] for place in places})
        if self.has_companions:
            aside = await self._companions(backend, directory, places, known)
            running = RunningMembers(self, programs, reached, aside)
        else:
            running = RunningMembers(self, programs, reached)
        say(f"starting {self.group} on {', '.join(self.hosts)}")
        try:
            await running.boot()
        except MembersDidNotStart as exc:
            await running.stop()
            raise DatabaseError(f"{self.group} did not start: {exc}") from exc
        except BaseException:
            await running.stop()
            raise
        say(f"ready; led by {(await running.leaders()).get(self.group, 'nobody')}")
        return running

    def _place(self, backend: Backend, host: str, directory: Path, ports: Iterator[int]) -> Place:
        address = backend.address(host)
        clients = (address, free_port(backend, host, ports))
        peers = clients if self.has_one_port else (address, free_port(backend, host, ports))
        companion = (address, free_port(backend, host, ports))
        return Place(host, directory / host, clients, peers, companion)

    async def _companions(
        self, backend: Backend, directory: Path, places: Sequence[Place], known: Known
    ) -> Companions:
        processes = {
            p.host: Program(
                f"the companion of {self.group} on {p.host}",
                backend.command(p.host, ending_with_us(self.companion_argv(p))),
                directory / f"{p.host}-companion.log",
            )
            for p in places
        }
        return Companions(
            MemberPrograms(processes, {p.host: p.companion[1] for p in places}),
            {p.host: await backend.reach(p.host, p.companion) for p in places},
            {at: host for host, at in known.peers.items()},
            await make_links(backend, f"{self.group} clients", {p.host: p.clients for p in places}),
        )


class MembersDidNotStart(Exception):
    """A sentence."""


class AskedGroup(ABC):
    """What is found out about the members of one group by asking them, past all links."""

    def __init__(self, group: str, hosts: Sequence[str]) -> None:
        self.group = group
        self.hosts = tuple(hosts)

    @abstractmethod
    async def status(self, host: str) -> MemberStatus | None:
        """What the member of the host says; None: it does not answer."""

    def check(self, hosts: Sequence[str]) -> None:
        """Raises MembersDidNotStart if one of these cannot answer any more."""
        return

    async def until_ready(self) -> None:
        """Until one leads and all answer. Raises MembersDidNotStart."""
        await self.until(self.is_ready, "nobody leads", self.hosts)

    async def until_answers(self, host: str) -> None:
        await self.until(lambda: self.answers(host), "it does not answer", [host])

    async def until(
        self,
        condition: Callable[[], Awaitable[bool]],
        otherwise: str,
        needed: Sequence[str] = (),
    ) -> None:
        """Until it holds. Raises MembersDidNotStart, with the words `otherwise` after
        START_TIMEOUT_S, and at once if one of the hosts that are `needed` has no process."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await condition():
                    self.check(needed)
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise MembersDidNotStart(f"{otherwise} after {START_TIMEOUT_S:g} s.") from None

    async def is_ready(self) -> bool:
        answers = [await self.status(host) for host in self.hosts]
        return all(answers) and any(answer.leads for answer in answers if answer)

    async def answers(self, host: str) -> bool:
        return await self.status(host) is not None

    async def leaders(self) -> Mapping[str, str]:
        answers = await asyncio.gather(*map(self.status, self.hosts))
        led = [
            (answer.term, host)
            for host, answer in zip(self.hosts, answers, strict=True)
            if answer is not None and answer.leads
        ]
        return {self.group: max(led)[1]} if led else {}

    async def groups_of(self, workload: Workload, keys: Collection[int]) -> Mapping[int, str]:
        return dict.fromkeys(keys, self.group)


class RunningGroup(AskedGroup):
    """Members that hold registers, each reached by a `Connection`. How one is reached, ended and
    started again a subclass says."""

    @abstractmethod
    async def open(self, host: str) -> Connection:
        """To the member of the host. Raises OSError."""

    async def open_for(self, host: str) -> Connection:
        """What a client of the host speaks to: here its own member. Raises OSError."""
        return await self.open(host)

    async def status(self, host: str) -> MemberStatus | None:
        try:
            async with asyncio.timeout(STATUS_TIMEOUT_S):
                connection = await self.open(host)
                try:
                    return await connection.status()
                finally:
                    connection.abort()
        except (OSError, ValueError, TimeoutError):
            return None

    async def prepare(self, workload: Workload, keys: Sequence[int]) -> None:
        if not isinstance(workload, Register):
            raise DatabaseError(
                f"{self.group} is asked for registers here, and {workload.name} is none; write "
                "workloads.register()."
            )

        async def load(some: Sequence[int]) -> None:
            connection = await self.open_for(self.hosts[0])
            try:
                for key in some:
                    await connection.perform(Call("write", key, workload.initial, workload.name))
            finally:
                connection.abort()

        try:
            async with asyncio.TaskGroup() as loading:
                for number in range(LOADERS):
                    loading.create_task(load(keys[number::LOADERS]))
        except* (OSError, ValueError, Refused) as exc:
            raise DatabaseError(f"the keys cannot be loaded: {exc.exceptions[0]}") from exc

    async def connect(
        self, host: str, workloads: Sequence[Workload], deadline_s: float
    ) -> MemberClient:
        try:
            return MemberClient(await self.open_for(host))
        except OSError as exc:
            raise ClientError(f"no connection to {self.group} on {host}: {exc}") from exc


class MemberPrograms:
    """The processes that the harness has started, one on each host."""

    def __init__(self, processes: Mapping[str, Program], ports: Mapping[str, int]) -> None:
        self._processes = processes
        self._ports = ports  # on which members listen for clients

    def __getitem__(self, host: str) -> Program:
        return self._processes[host]

    async def start(self) -> None:
        """All. Raises MembersDidNotStart."""
        try:
            for process in self._processes.values():
                await process.start()
        except ProgramError as exc:
            raise MembersDidNotStart(str(exc)) from exc

    def check(self, hosts: Sequence[str]) -> None:
        """Raises MembersDidNotStart if one of theirs has ended."""
        try:
            for host in hosts:
                self._processes[host].check()
        except ProgramError as exc:
            raise MembersDidNotStart(str(exc)) from exc

    def listens(self, host: str) -> bool:
        """Whether it is its process that has the port, by the word of the kernel."""
        return kernel().listens(self._processes[host].pid, self._ports[host])

    async def start_again(self, host: str) -> None:
        """The process that ends or has ended. Raises MembersDidNotStart."""
        await self._processes[host].wait()
        try:
            await self._processes[host].start()
        except ProgramError as exc:
            raise MembersDidNotStart(str(exc)) from exc

    async def stop(self) -> None:
        await asyncio.gather(*(process.terminate() for process in self._processes.values()))


@dataclass(frozen=True)
class Companions:
    """The processes beside the members."""

    programs: MemberPrograms
    reached: Mapping[str, Endpoint]
    members: Mapping[Endpoint, str]  # whom they mean
    links: Links  # on which clients dial the members


class RunningMembers(RunningGroup):
    """A group whose processes the harness has started."""

    def __init__(
        self,
        database: MemberDatabase,
        programs: MemberPrograms,
        reached: Mapping[str, Endpoint],
        aside: Companions | None = None,
    ) -> None:
        super().__init__(database.group, database.hosts)
        self._database = database
        self._programs = programs
        self._reached = reached
        self._aside = aside

    async def open(self, host: str) -> Connection:
        return await self._database.open(self._reached[host])

    async def open_for(self, host: str) -> Connection:
        """A client of a host with a companion speaks to whom that one names, over its links."""
        if self._aside is None:
            return await self.open(host)
        leader = await self._leader_by(host)
        if leader is None:
            raise OSError(f"nobody leads, by the word of {host}")
        return await self._database.open(self._aside.links.reach[host, leader])

    async def boot(self) -> None:
        """Start all; returns when one leads and all answer. Raises MembersDidNotStart."""
        await self._programs.start()
        if self._aside is not None:
            await self._aside.programs.start()
        await self.until_ready()

    async def is_ready(self) -> bool:
        """And all companions agree who leads."""
        if self._aside is None:
            return await super().is_ready()
        named = await asyncio.gather(*map(self._leader_by, self.hosts))
        return len(set(named)) == 1 and None not in named and await super().is_ready()

    async def leaders(self) -> Mapping[str, str]:
        """Where there are companions, by the word of most: one that was cut off does not know."""
        if self._aside is None:
            return await super().leaders()
        named = await asyncio.gather(*map(self._leader_by, self.hosts))
        found = Counter(host for host in named if host is not None).most_common(1)
        return {self.group: found[0][0]} if found else {}

    async def _leader_by(self, host: str) -> str | None:
        assert self._aside is not None
        try:
            async with asyncio.timeout(STATUS_TIMEOUT_S):
                at = await self._database.leader_by(self._aside.reached[host])
        except (OSError, ValueError):
            return None
        return None if at is None else self._aside.members.get(at)

    def check(self, hosts: Sequence[str]) -> None:
        self._programs.check(hosts)

    def pid(self, host: str) -> int:
        return self._programs[host].pid

    async def answering_pid(self, host: str) -> int | None:
        """It answers, and whose port that is the kernel says."""
        pid = self.pid(host)
        return pid if await self.answers(host) and self._programs.listens(host) else None

    async def restart(self, host: str) -> None:
        try:
            await self._programs.start_again(host)
            await self.until_answers(host)
        except MembersDidNotStart as exc:
            raise DatabaseError(f"{host} did not start again: {exc}") from exc

    async def stop(self) -> None:
        if self._aside is not None:
            await self._aside.programs.stop()
        await self._programs.stop()


class MemberClient:
    """A client of the harness; what is not known to be refused is indefinite."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def is_usable(self) -> bool:
        return self._connection.is_usable

    async def invoke(self, call: Call) -> Answer:
        try:
            return Answer("ok", await self._connection.perform(call))
        except Refused as exc:
            return Answer("fail", error=str(exc))
        except (OSError, ValueError) as exc:
            return Answer(outcome_of_silence(stage_of(call)), error=words_of(exc))

    def abort(self) -> None:
        self._connection.abort()
