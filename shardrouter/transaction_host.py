"""What a transaction block asks of the session that it belongs to."""

from __future__ import annotations

from typing import Protocol

from shardrouter.catalog import Catalog
from shardrouter.execution import (
    Execution,
    Outcome,
    Prepared,
)
from shardrouter.finishing import Finishing
from shardrouter.planned import (
    SetSetting,
)
from shardrouter.row_stream import RowStream
from shardrouter.schema import Schema
from shardrouter.session_sequences import SessionSequences
from shardrouter.settings import Settings
from shardrouter.shards import Shards

__all__ = ["Host"]


class Host(Protocol):
    """The session whose block it is."""

    settings: Settings

    @property
    def shards(self) -> Shards: ...

    @property
    def schema(self) -> Schema: ...

    @property
    def finishing(self) -> Finishing: ...

    @property
    def sequences(self) -> SessionSequences: ...

    @property
    def catalog(self) -> Catalog:
        """As statements see it now: with what the block has changed, if it has."""

    async def current(self, execution: Execution, deadline: float) -> Execution:
        """The execution, planned again if its tables have changed."""

    async def prepare(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared:
        """Parse and plan one statement."""

    async def catch_up(self, deadline: float, attempt: int) -> None:
        """A shard knows a newer catalog: read it."""

    async def temporary_schema(self, deadline: float) -> str:
        """Where the session's temporary tables are."""

    async def ask_catalogs(
        self, execution: Execution, settings: Settings, deadline: float
    ) -> tuple[Outcome, tuple[SetSetting, ...]]:
        """A query of the system catalogs, and the settings that it sets."""

    async def run_locally(self, execution: Execution, deadline: float) -> Outcome:
        """A statement that needs no shard."""

    def keep(self, stream: RowStream) -> None:
        """It ends with the session, at the latest."""
