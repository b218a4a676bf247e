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
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from jepsen_like.adapters.database import DatabaseError
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
    "Connection",
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
    """Where a member keeps its data and listens."""

    host: str
    directory: Path
    clients: Endpoint
    peers: Endpoint


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
    """A database of `members` processes of one group. A subclass is a frozen dataclass."""

    group: ClassVar[str]
    program: ClassVar[str]
    package: ClassVar[str]  # Debian's, with the program
    members: int

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def argv(self, me: Place, peers: Mapping[str, Endpoint]) -> Sequence[str]:
        """How a member is started; `peers` are the addresses under which all know each other."""

    @abstractmethod
    async def open(self, at: Endpoint) -> Connection:
        """Raises OSError."""

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
        places = [
            Place(
                host,
                directory / host,
                clients=(backend.address(host), free_port(backend, host, ports)),
                peers=(backend.address(host), free_port(backend, host, ports)),
            )
            for host in self.hosts
        ]
        peers = {
            place.host: await backend.advertise(place.host, self.group, place.peers)
            for place in places
        }
        processes = {
            place.host: Program(
                f"{self.group} on {place.host}",
                backend.command(place.host, ending_with_us(self.argv(place, peers))),
                directory / f"{place.host}.log",
            )
            for place in places
        }
        reached = {place.host: await backend.reach(place.host, place.clients) for place in places}
        programs = MemberPrograms(processes, {place.host: place.clients[1] for place in places})
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


class RunningMembers(RunningGroup):
    """A group whose processes the harness has started."""

    def __init__(
        self,
        database: MemberDatabase,
        programs: MemberPrograms,
        reached: Mapping[str, Endpoint],
    ) -> None:
        super().__init__(database.group, database.hosts)
        self._database = database
        self._programs = programs
        self._reached = reached

    async def open(self, host: str) -> Connection:
        return await self._database.open(self._reached[host])

    async def boot(self) -> None:
        """Start all; returns when one leads and all answer. Raises MembersDidNotStart."""
        await self._programs.start()
        await self.until_ready()

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
