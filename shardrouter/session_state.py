"""What the parts of one session share: who it is, its settings, and what is open for it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakSet

from msgspec import structs

from shardrouter.admitting import Gate
from shardrouter.block import Block
from shardrouter.catalog import Catalog
from shardrouter.catalogs.asking import Catalogs
from shardrouter.errors import NotSupported
from shardrouter.execution import Execution, Outcome, Prepared, outcome_of
from shardrouter.finishing import Finishing
from shardrouter.meter import Meter
from shardrouter.plan_cache import PlanCache
from shardrouter.planned import OneShard
from shardrouter.replica_choice import Choice
from shardrouter.role_store import RoleStore
from shardrouter.roles import Role
from shardrouter.row_stream import RowStream
from shardrouter.schema import Schema
from shardrouter.session_sequences import SessionSequences
from shardrouter.session_token import SessionToken
from shardrouter.settings import Settings, duration_shown
from shardrouter.shards import Shards, Streamed
from shardrouter.slow_statements import SlowStatements
from shardrouter.statement_log import StatementLog
from shardrouter.tasks import Tasks
from shardrouter.temporary_schemas import lost
from shardrouter.transaction_host import Host
from shardrouter.transactions import Transactions

__all__ = ["Backend", "SessionState"]


@dataclass(frozen=True)
class Backend:
    """What all sessions of a router share."""

    shards: Shards
    schema: Schema
    tasks: Tasks
    plans: PlanCache
    roles: RoleStore
    catalogs: Catalogs
    finishing: Finishing
    statement_log: StatementLog | None = None
    gate: Gate = field(default_factory=Gate)
    meter: Meter = field(default_factory=Meter)
    slow_statements: SlowStatements = field(default_factory=SlowStatements)
    slow_ms: int = -1  # from when on they are logged; -1: never. Sessions may say otherwise


class SessionState:
    """Of one session. `host` is what its transaction blocks ask of it."""

    def __init__(self, backend: Backend, role: Role, host: Host, *, shared: bool) -> None:
        self.backend = backend
        self.token = SessionToken()
        self.shards = backend.shards.of_session(self.token)
        self.schema = backend.schema
        self.role = role
        self.is_shared = shared
        self.loop = asyncio.get_running_loop()
        self.settings = Settings(  # as they are now: read often, changed by `change_settings`
            facts={
                "session_authorization": role.name,
                "is_superuser": "on" if role.is_superuser else "off",
                "shardrouter.replica_choice": backend.shards.replica_choice,
                "log_min_duration_statement": duration_shown(backend.slow_ms),
            },
            token=self.token.__str__,
        )
        self.client = client_of(role, self.settings)
        """Whose places it takes (`shardrouter.admission`): those of all who say the same of
        themselves."""
        self.pid = os.getpid()
        """What pg_backend_pid() answers: of a client, the number that it may be cancelled by."""
        self.units = 0
        """That have begun."""
        self.is_closed = False
        self.temporary = ""  # where it has, or had, temporary tables
        self.streams: WeakSet[RowStream] = WeakSet()
        self.transactions = Transactions(host)
        self.statements: dict[str, Prepared] = {}
        """By the name that PREPARE, or the client's protocol, has given them."""
        self.sequences = SessionSequences(backend.schema.sequences)

    def change_settings(self, settings: Settings) -> None:
        """From now on they are these."""
        if settings is self.settings:
            return
        if settings.added_token != self.settings.added_token:
            self.token.add(settings.added_token)
        if settings.lock_timeout_s != self.settings.lock_timeout_s:
            self.shards.bound_locks(settings.lock_timeout_s)
        if settings.application_name != self.settings.application_name:
            self.client = client_of(self.role, settings)
        self.settings = settings

    @property
    def request(self) -> str:
        """What the unit that began last is called in the log: by its client, and counted."""
        return f"{self.pid}.{self.units}"

    @property
    def choice(self) -> Choice:
        """Among replicas that may answer. A client is who it says in `application_name`, and if it
        does not say, this session."""
        settings = self.settings
        client = settings.application_name or f"{self.pid}"
        return Choice(settings.get("shardrouter.replica_choice"), client)

    @property
    def block(self) -> Block | None:
        """The transaction block, if one is open."""
        return self.transactions.block

    @property
    def status(self) -> Literal["I", "T", "E"]:
        """Idle, in a transaction block, or in one that has failed."""
        block = self.transactions.block
        return "I" if block is None else block.status

    @property
    def catalog(self) -> Catalog:
        """As this router knows it, as the open block has changed it, and as this session looks for
        names in it. Raises StatementError 57P05 if its temporary tables are gone."""
        temporary = self.settings.temporary
        if temporary and not self.schema.temporary.is_held(temporary):
            raise lost()
        return self.schema_now.searched(self.settings.search_path)

    @property
    def schema_now(self) -> Catalog:
        """The same, wherever names are looked for."""
        return self.drafted or self.schema.catalog

    @property
    def drafted(self) -> Catalog | None:
        """The catalog as the open block has changed it, if it has."""
        block = self.transactions.block
        return None if block is None or block.draft is None else block.draft.catalog

    async def temporary_schema(self, deadline: float) -> str:
        """Where the session's temporary tables are. Raises RouterError."""
        if self.is_shared:
            raise NotSupported(
                "temporary tables of a session that others share are not supported",
                hint="Use a connection of your own: router.acquire().",
            )
        if not self.temporary:
            self.temporary = await self.schema.temporary.take(deadline)
        return self.temporary

    @property
    def clears_at_commit(self) -> bool:
        """Whether it has temporary tables of which a commit makes something else."""
        own = self.settings.temporary
        return bool(own) and any(
            table.on_commit and table.schema == own for table in self.schema_now.tables.values()
        )

    def leave(self) -> None:
        """The session is over."""
        self.is_closed = True
        if self.temporary:
            self.schema.temporary.leave(self.temporary)

    async def look_again(self, deadline: float) -> None:
        """Something is unknown, or not as it should be: read the catalog."""
        await self.schema.refresh(deadline)
        self.transactions.rebase()

    def keep(self, stream: RowStream) -> None:
        """It ends with the session, at the latest."""
        self.streams.add(stream)
        if self.is_closed:
            stream.close()

    def streamed(self, plan: OneShard, execution: Execution, answer: Streamed) -> Outcome:
        """The first of many rows; who takes them sees to the rest, or the end of the session."""
        self.keep(answer.stream)
        return structs.replace(outcome_of(plan, execution, answer.result), more=answer.stream)


def client_of(role: Role, settings: Settings) -> str:
    """What of a session's places are shared by all who say the same of themselves."""
    return f"{role.name}\0{settings.application_name}"
