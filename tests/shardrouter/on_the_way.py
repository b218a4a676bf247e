"""Statements of a session on their way to scripted nodes, and what is heard of them."""

from __future__ import annotations

import asyncio
import random
from typing import Final, cast

from bench.hot_path import SQL, KnownSchema
from nodes.protocol import Value
from shardrouter.catalogs.asking import Catalogs
from shardrouter.errors import RouterError
from shardrouter.execution import Execution, Outcome
from shardrouter.finishing import Finishing
from shardrouter.plan_cache import PlanCache
from shardrouter.role_store import RoleStore
from shardrouter.schema import Schema
from shardrouter.session import Backend, Session
from shardrouter.shards import Shards
from shardrouter.tasks import Tasks

ARGUMENTS: Final[dict[str, tuple[Value, ...]]] = {
    "select": (1,),
    "insert": (1, "a"),
    "update": (1, "a"),
}


class Heard:
    """What became of one statement, of which one is heard at most."""

    def __init__(self) -> None:
        self.results: list[list[Outcome] | RouterError] = []
        self.done = asyncio.Event()

    def hear(self, result: list[Outcome] | RouterError) -> None:
        self.results.append(result)
        self.done.set()

    async def result(self) -> list[Outcome] | RouterError:
        await self.done.wait()
        await asyncio.sleep(0)
        [result] = self.results
        return result

    async def error(self) -> RouterError:
        result = await self.result()
        assert isinstance(result, RouterError)
        return result

    async def outcome(self) -> Outcome:
        result = await self.result()
        assert not isinstance(result, RouterError), result
        return result[0]


def session_on(shards: Shards) -> Session:
    """A session of a router that knows the one table there is."""
    schema, roles = cast("Schema", KnownSchema()), RoleStore(shards, b"")
    catalogs = Catalogs(schema, roles)
    backend = Backend(
        shards, schema, Tasks(), PlanCache(), roles, catalogs, Finishing(random.Random(1))
    )
    return Session(backend)


async def sent(session: Session, statement: str) -> Heard:
    """One of the statements of `SQL`, or another text, that was prepared, on its way."""
    heard = Heard()
    prepared = await session.prepare(SQL.get(statement, statement))
    session.execute_unit([Execution(prepared, ARGUMENTS.get(statement, ()))], heard.hear)
    return heard
