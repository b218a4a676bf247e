"""PostgreSQL under test: a primary and one or two streaming standbys, Debian's package.

    PostgreSQL()                            asynchronous, as it comes: what a failover loses is lost
    PostgreSQL(synchronous=True)            a commit waits for one standby (ANY 1)
    PostgreSQL(synchronous=True, fence_after="1500ms")   and a primary that is cut off stops itself
    PostgreSQL(reads="standby")             clients read from the member of their own host

PostgreSQL itself elects nobody. The failover is the harness's own (`adapters.failover`): a primary
that a majority of the standbys has not heard for `failover_after` is replaced by the standby that
has most of its log. Without `fence_after`, the usual setup, nobody stops the old primary: it serves
its own side until it hears of the new one; then what only it had is thrown away, and it is made a
standby anew. Clients write to the member that an agent on their host believes to be the primary.

Errors: an answer of the server in place of a commit is definite where DEFINITE_CODES has its code;
57P01 and 57P02 (the server ends) may come after a commit, and are not.
"""

from __future__ import annotations

import asyncio
import datetime
import random
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeAlias

from jepsen_like.adapters.database import DatabaseError
from jepsen_like.adapters.failover import Action, Fence, Policy, Promote, Rejoin, Resume
from jepsen_like.adapters.links import Links, make_links
from jepsen_like.adapters.members import (
    AskedGroup,
    MemberPrograms,
    MembersDidNotStart,
    MemberStatus,
)
from jepsen_like.adapters.postgresql_agents import Agents, ask
from jepsen_like.adapters.postgresql_programs import USER, Programs, carry_out, find_programs
from jepsen_like.adapters.program import PORTS, Program, free_port
from jepsen_like.adapters.sql_loading import LOAD_DEADLINE_S, LOADERS, load
from jepsen_like.backends.backend import Backend, Endpoint
from jepsen_like.backends.leftovers import claimed
from jepsen_like.clients import Answer, ClientError, SqlClient, connect_sql
from jepsen_like.load import Call, seconds
from jepsen_like.outcomes import is_read
from jepsen_like.workloads.workload import Workload, sql_of

__all__ = ["PostgreSQL", "RunningPostgreSQL"]

GROUP: Final = "postgresql"

Reads: TypeAlias = Literal["primary", "standby"]

DEFINITE_CODES: Final = frozenset(
    {
        "25006",  # a standby, or a primary that is one no more, takes no writes
        "40001",
        "40P01",
        "57014",  # the time of the statement was over; a commit that waits has no such time
        "57P03",  # it starts, or ends, and takes nobody
        "53300",
        "55P03",
        "0A000",
        "22",
        "23",
        "42",
    }
)

DECIDE_S: Final = 0.1

CANCEL_S: Final = 0.5


@dataclass(frozen=True)
class PostgreSQL:
    """`settings`: more of postgresql.conf, for every member. Raises ValueError."""

    members: int = 3
    synchronous: bool = False
    reads: Reads = "primary"
    failover_after: str = "3s"
    fence_after: str | None = None
    settings: Mapping[str, str] | None = None

    groups: ClassVar[tuple[str, ...]] = (GROUP,)

    def __post_init__(self) -> None:
        if self.members not in (2, 3):
            raise ValueError("PostgreSQL has a primary and one or two standbys here: 2 or 3.")
        if self.reads not in ("primary", "standby"):
            raise ValueError(f"reads={self.reads!r} is neither 'primary' nor 'standby'.")
        self.policy  # noqa: B018 -- refuses what cannot be

    @property
    def policy(self) -> Policy:
        fence = self.fence_after
        return Policy(seconds(self.failover_after), None if fence is None else seconds(fence))

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(f"n{i}" for i in range(1, self.members + 1))

    def describe(self) -> dict[str, Any]:
        return {
            "database": GROUP,
            "members": self.members,
            "replication": "synchronous" if self.synchronous else "asynchronous",
            "reads": self.reads,
            "failover_after": self.failover_after,
            "fence_after": self.fence_after or "never",
            "settings": dict(self.settings or {}),
        }

    def versions(self) -> dict[str, str]:
        return {GROUP: find_programs().version()}

    async def start(
        self, backend: Backend, directory: Path, say: Callable[[str], None]
    ) -> RunningPostgreSQL:
        async with AsyncExitStack() as stack:
            # Whom PostgreSQL runs as may not reach the directory of the run.
            scratch = Path(tempfile.mkdtemp(prefix="postgresql-"))
            stack.enter_context(claimed(scratch))
            stack.callback(shutil.rmtree, scratch)
            programs = replace(
                find_programs(secrets.token_hex(16)), password_file=scratch / "pgpass"
            )
            programs.own(scratch)
            programs.keep_password()
            ports = iter(random.sample(PORTS, len(PORTS)))
            listens = {
                host: (backend.address(host), free_port(backend, host, ports))
                for host in self.hosts
            }
            links = await make_links(backend, GROUP, listens)
            place = _Places(programs, scratch, directory, listens, links, backend)
            say(f"making {GROUP} on {', '.join(self.hosts)}")
            await place.make_all(self.hosts, self.settings or {})
            running = RunningPostgreSQL(self, place, say)
            stack.push_async_callback(running.end)
            await running.boot()
            running.resources = stack.pop_all()
        say(f"ready; led by {running.state.primary}")
        return running


@dataclass(frozen=True)
class _Places:
    """Where the members keep their data, listen, and are dialed."""

    programs: Programs
    scratch: Path
    directory: Path  # of logs
    listens: Mapping[str, Endpoint]
    links: Links
    backend: Backend

    def data(self, host: str) -> Path:
        return self.scratch / host

    async def make_all(self, hosts: Sequence[str], settings: Mapping[str, str]) -> None:
        """A database on the first, and copies of it that follow it. Raises DatabaseError."""
        first, *others = hosts
        await self.programs.make(self.data(first), settings)
        for host in others:
            await self.programs.copy(self.data(first), self.data(host))
            self.programs.make_standby(self.data(host), host, self.links.dial[host, first])

    async def make_anew(self, host: str, primary: str) -> None:
        """The member's files as a copy of the primary's. Raises DatabaseError."""
        await asyncio.to_thread(shutil.rmtree, self.data(host))
        at = self.links.dial[host, primary]
        await carry_out(self.backend.command(host, self.programs.base_backup(self.data(host), at)))
        self.programs.make_standby(self.data(host), host, at)

    def is_standby(self, host: str) -> bool:
        return (self.data(host) / "standby.signal").exists()


class RunningPostgreSQL(AskedGroup):
    """The members, an agent beside each, and what does what they agree on."""

    resources: AsyncExitStack

    def __init__(self, database: PostgreSQL, places: _Places, say: Callable[[str], None]) -> None:
        super().__init__(GROUP, database.hosts)
        self._database = database
        self._places = places
        self._say_aloud = say
        self._log = places.directory / "failover.log"
        self._server = places.programs.server
        processes = {host: self._process(host) for host in database.hosts}
        ports = {host: port for host, (_, port) in places.listens.items()}
        self._programs = MemberPrograms(processes, ports)
        self._changing = asyncio.Lock()  # who is primary, and what runs as what
        password = places.programs.password
        self.agents = Agents(database.hosts, places.links, password, database.policy)
        self.state = self.agents.state
        self._tasks: list[asyncio.Task[None]] = []

    def _process(self, host: str) -> Program:
        places, database = self._places, self._database
        settings: dict[str, str] = {}
        if database.synchronous:
            others = ", ".join(other for other in database.hosts if other != host)
            settings["synchronous_standby_names"] = f"ANY 1 ({others})"
        argv = self._server(places.data(host), places.listens[host], settings)
        return Program(
            f"{GROUP} on {host}",
            places.backend.command(host, argv),
            places.directory / f"{host}.log",
            signal.SIGQUIT,  # a smart shutdown would wait for every client
        )

    async def boot(self) -> None:
        """Raises DatabaseError."""
        try:
            await self._programs.start()
            await self.until_ready()
            self._tasks.append(asyncio.ensure_future(self.agents.watch()))
            await self.until(self.is_replicating, "the standbys do not follow it", self.hosts)
        except MembersDidNotStart as exc:
            raise DatabaseError(f"{GROUP} did not start: {exc}") from exc
        self._tasks.append(asyncio.ensure_future(self._operate()))

    async def is_replicating(self) -> bool:
        return self.agents.sees_all and await self._followers() == len(self.hosts) - 1

    async def _followers(self) -> int:
        text = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        return int(await self._tell(self.state.primary, text))

    async def _tell(self, host: str, text: str) -> Any:
        """Asks the member directly. Raises OSError."""
        return await ask(self._reached(host), self._places.programs.password, text)

    def _reached(self, host: str) -> Endpoint:
        return self._places.links.reach[host, host]

    async def status(self, host: str) -> MemberStatus | None:
        return await self.agents.status_at(self._reached(host))

    def check(self, hosts: Sequence[str]) -> None:
        self._programs.check(hosts)

    # ------------------------------------------------------------------------ failover

    async def _operate(self) -> None:
        """Do what the agents agree on, for ever."""
        while True:
            async with self._changing:
                for action in self.agents.decide():
                    try:
                        await self._do(action)
                    except (DatabaseError, MembersDidNotStart, OSError) as exc:
                        self._say(f"{action} failed: {exc}")  # and is decided again
            await asyncio.sleep(DECIDE_S)

    async def _do(self, action: Action) -> None:
        host = action.host
        if isinstance(action, Fence):
            await self._fence(host)
        elif isinstance(action, Promote):
            missing = ", ".join(action.blind)
            policy = self._database.policy
            await self._tell(host, "SELECT pg_promote(true, 10)")
            self._say(
                f"{self.state.primary} has not answered {missing} for {policy.failover_s:g} s: "
                f"{host} is primary now"
            )
            self.state.primary = host
            self.state.fenced.discard(host)
        elif isinstance(action, (Rejoin, Resume)):
            await self._programs[host].terminate()
            await self._start_as_it_should_be(host)
            self.state.fenced.discard(host)
        else:
            await self._follow(host)

    async def _fence(self, host: str) -> None:
        process = self._programs[host]
        if not process.is_running:
            return  # somebody else has ended it, and will start it
        self.state.fenced.add(host)
        self._say(f"{host} cannot tell whether it is primary still: its agent stops it")
        await process.terminate()

    async def _follow(self, host: str) -> None:
        primary = self.state.primary
        conninfo = self._places.programs.conninfo(host, self._places.links.dial[host, primary])
        await self._tell(host, f"ALTER SYSTEM SET primary_conninfo = '{conninfo}'")
        await self._tell(host, "SELECT pg_reload_conf()")
        self.state.upstream[host] = primary
        self._say(f"{host} follows {primary} now")

    async def _start_as_it_should_be(self, host: str) -> None:
        """A dead member: as it was, or, if it was primary and another one is now, made anew.
        Raises DatabaseError or MembersDidNotStart."""
        primary = self.state.primary
        if host != primary and not self._places.is_standby(host):
            self._say(f"{host} was primary: what only it has is thrown away, to follow {primary}")
            await self._places.make_anew(host, primary)
            self.state.upstream[host] = primary
        await self._programs.start_again(host)

    def _say(self, text: str) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="milliseconds")
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"{now} {text}\n")
        self._say_aloud(text)

    # ------------------------------------------------------------------------ the harness's side

    async def prepare(self, workload: Workload, keys: Sequence[int]) -> None:
        async with AsyncExitStack() as stack:
            clients = []
            for _ in range(LOADERS):
                client = await self._connect(
                    self._reached(self.state.primary), [workload], LOAD_DEADLINE_S
                )
                stack.callback(client.abort)
                clients.append(client)
            await load(clients, workload, keys)
        await self.until(self.has_replicated, "the standbys did not get the keys")

    async def has_replicated(self) -> bool:
        caught_up = "replay_lsn >= pg_current_wal_flush_lsn()"
        text = f"SELECT count(*) FROM pg_stat_replication WHERE {caught_up}"  # noqa: S608 - our own
        return int(await self._tell(self.state.primary, text)) == len(self.hosts) - 1

    async def connect(
        self, host: str, workloads: Sequence[Workload], deadline_s: float
    ) -> HostClient:
        primary = self.agents.primary_seen_by(host)
        links = self._places.links.reach
        if self._database.reads == "primary":
            if primary is None:
                raise ClientError(f"{host} sees no primary")
            return HostClient(await self._connect(links[host, primary], workloads, deadline_s))
        own = await self._connect(links[host, host], workloads, deadline_s, "repeatable read")
        main = None
        try:
            with suppress(ClientError):  # without a primary it can be read from
                if primary is not None:
                    main = await self._connect(links[host, primary], workloads, deadline_s)
        except BaseException:
            own.abort()
            raise
        return HostClient(main, own)

    async def _connect(
        self,
        at: Endpoint,
        workloads: Sequence[Workload],
        deadline_s: float,
        isolation: str = "serializable",
    ) -> SqlClient:
        return await connect_sql(
            *at,
            sql_of(workloads),
            user=USER,
            password=self._places.programs.password,
            database=USER,
            deadline_s=deadline_s,
            definite_codes=DEFINITE_CODES,
            settings={"default_transaction_isolation": isolation},
        )

    def data_directory(self, host: str) -> Path:
        return self._places.data(host)

    def pid(self, host: str) -> int:
        return self._programs[host].pid

    async def answering_pid(self, host: str) -> int | None:
        pid = self.pid(host)
        return pid if await self.answers(host) and self._programs.listens(host) else None

    async def restart(self, host: str) -> None:
        try:
            async with self._changing:
                if not self._programs[host].is_running:  # else it was started as something else
                    await self._start_as_it_should_be(host)
            await self.until(lambda: self.answers(host), "it does not answer")
        except MembersDidNotStart as exc:
            raise DatabaseError(f"{host} did not start again: {exc}") from exc

    async def end(self) -> None:
        """Operator, agents and processes."""
        while waiting := [task for task in self._tasks if not task.done()]:
            for task in waiting:  # again and again: a driver that connects may lose it
                task.cancel()
            await asyncio.wait(waiting, timeout=CANCEL_S)
        await self._programs.stop()

    async def stop(self) -> None:
        await self.resources.aclose()


class HostClient:
    """A client that writes to the primary, and reads there or from its own host's member."""

    def __init__(self, primary: SqlClient | None, own: SqlClient | None = None) -> None:
        self._primary, self._own = primary, own

    @property
    def _clients(self) -> Collection[SqlClient]:
        return [client for client in (self._primary, self._own) if client is not None]

    @property
    def is_usable(self) -> bool:
        return all(client.is_usable for client in self._clients)

    async def invoke(self, call: Call) -> Answer:
        client = self._own if self._own is not None and is_read(call) else self._primary
        if client is None:
            self.abort()  # the next one may see a primary
            return Answer("fail", error="no primary is seen from here; nothing was sent")
        return await client.invoke(call)

    def abort(self) -> None:
        for client in self._clients:
            client.abort()
