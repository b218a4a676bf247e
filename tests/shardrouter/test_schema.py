"""Making a cluster's catalog and changing it, by several routers at once and dying ones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from nodes.config import META_GROUP
from nodes.protocol import Done, Guard, SetVersion, Statement
from shardrouter import schema_change
from shardrouter.catalog import CATALOG_FORMAT, OLDEST_FORMAT, Catalog, Parts
from shardrouter.definition_changes import begin
from shardrouter.errors import StatementError, Unavailable
from shardrouter.locate import load_cluster
from shardrouter.schema import Schema
from shardrouter.shards import Shards
from shardrouter.tasks import Tasks
from tests.shardrouter.catalogs import definition_of
from tests.shardrouter.cluster import GROUPS, one_node

SHARDS = GROUPS[1:]


class Opened:
    """One router's schema, without a router around it."""

    def __init__(self, shards: Shards, schema: Schema) -> None:
        self.shards = shards
        self.schema = schema

    @property
    def deadline(self) -> float:
        return asyncio.get_running_loop().time() + 20

    async def change(self, sql: str) -> tuple[str, ...]:
        definition = definition_of(sql, self.schema.catalog)
        notices = await self.schema.change(definition, "sharded", self.deadline)
        return tuple(notice.message for notice in notices)

    async def refresh(self) -> Catalog:
        return await self.schema.refresh(self.deadline)


@asynccontextmanager
async def opened(path: Path, name: str) -> AsyncIterator[Opened]:
    config = load_cluster(path)
    tasks = Tasks()
    shards = Shards(config, name=name, rng=random.Random(name))
    schema = Schema(shards, config.shards, tasks)
    try:
        router = Opened(shards, schema)
        await schema.open(router.deadline, lambda _text: None)
        yield router
    finally:
        await shards.close()
        await tasks.wait()


@asynccontextmanager
async def routers(directory: Path, count: int) -> AsyncIterator[list[Opened]]:
    """Routers that open a new cluster all at the same time."""
    async with one_node(directory) as path, AsyncExitStack() as stack:
        contexts = [opened(path, f"r{i}") for i in range(count)]
        yield list(await asyncio.gather(*map(stack.enter_async_context, contexts)))


T = "CREATE TABLE t (id bigint PRIMARY KEY, n integer)"


async def test_routers_that_race_for_a_new_cluster_agree_on_its_catalog(tmp_path: Path) -> None:
    async with routers(tmp_path, 3) as opened_routers:
        first, *others = [router.schema.catalog for router in opened_routers]
        assert first.shards == SHARDS
        assert all(c == first for c in others)
        assert set(first.slots) == {0, 1, 2}


async def test_a_cluster_that_does_not_answer_is_waited_for_in_time_and_aloud(
    tmp_path: Path,
) -> None:
    async with one_node(tmp_path) as path:
        pass
    config = load_cluster(path)
    tasks = Tasks()
    shards = Shards(config, name="r", rng=random.Random(1))
    said: list[str] = []
    try:
        schema = Schema(shards, config.shards, tasks)
        with pytest.raises(Unavailable) as caught:
            await schema.open(asyncio.get_running_loop().time() + 0.2, said.append)
    finally:
        await shards.close()
    assert caught.value.definite
    assert str(config.nodes["n1"].address) in caught.value.detail


async def test_a_file_with_other_shards_is_refused(tmp_path: Path) -> None:
    async with one_node(tmp_path) as path:
        async with opened(path, "r"):
            pass
        text = path.read_text()
        path.write_text(text[: text.index("[groups.shard-3]")])
        with pytest.raises(Unavailable, match="shard-3"):
            async with opened(path, "other"):
                pass


async def test_one_of_many_creations_of_a_table_wins(tmp_path: Path) -> None:
    async with routers(tmp_path, 2) as (a, b):
        results = await asyncio.gather(
            *(router.change(T) for router in (a, b, a, b)), return_exceptions=True
        )
        lost = [r for r in results if isinstance(r, BaseException)]
        assert [r for r in results if r == ()] == [()]
        assert all(isinstance(error, StatementError) for error in lost)
        assert len(lost) == 3
        assert {error.sqlstate for error in lost if isinstance(error, StatementError)} == {"42P07"}
        assert (await a.refresh()).tables == (await b.refresh()).tables


async def test_if_exists_and_if_not_exists_say_what_they_skipped(tmp_path: Path) -> None:
    async with routers(tmp_path, 1) as (a,):
        assert await a.change(T) == ()
        [notice] = await a.change(T.replace("TABLE", "TABLE IF NOT EXISTS"))
        assert "already exists" in notice
        [notice] = await a.change("DROP TABLE IF EXISTS t, nowhere")
        assert "nowhere" in notice
        assert (await a.refresh()).tables == {}
        with pytest.raises(StatementError, match="does not exist"):
            await a.change("DROP TABLE t")


async def test_a_table_created_again_has_a_version_that_was_never_used(tmp_path: Path) -> None:
    async with routers(tmp_path, 1) as (a,):
        versions = []
        for _ in range(3):
            await a.change(T)
            versions.append(a.schema.catalog.tables["t"].version)
            await a.change("DROP TABLE t")
        assert versions == sorted(set(versions))


@pytest.mark.parametrize("shards_done", [0, 1, 3])
@pytest.mark.parametrize("kind", ["create", "drop"])
async def test_a_change_whose_router_died_is_finished_by_the_next_one(
    tmp_path: Path, kind: str, shards_done: int
) -> None:
    async with one_node(tmp_path) as path:
        async with opened(path, "dies") as dies:
            if kind == "drop":
                await dies.change(T)
            catalog = dies.schema.catalog
            change = begin(catalog, definition_of("DROP TABLE t" if kind == "drop" else T)).change
            assert change is not None
            for group, parts in [
                (META_GROUP, schema_change.mark(catalog, change)),
                *[(s, schema_change.shard_parts(catalog, change, s)) for s in SHARDS[:shards_done]],
            ]:
                await dies.shards.write(
                    group, parts.statements, parts.guards, parts.sets, deadline=dies.deadline
                )
        async with opened(path, "next") as alive:
            assert str(alive.schema.catalog.pending) == str(change)
            if kind == "drop":
                assert await alive.change(T) == ()
            else:
                with pytest.raises(StatementError) as caught:
                    await alive.change(T)
                assert caught.value.sqlstate == "42P07"
            assert not alive.schema.catalog.pending
            assert "t" in alive.schema.catalog.tables


async def test_a_refresh_sees_what_happened_before_it_was_asked_for(tmp_path: Path) -> None:
    """Reads of meta are shared, but never one that began too early."""
    async with routers(tmp_path, 2) as (a, b):
        early = [asyncio.ensure_future(b.refresh()) for _ in range(3)]
        await a.change(T)
        late = await asyncio.gather(*(b.refresh() for _ in range(3)))
        assert all("t" in catalog.tables for catalog in late)
        await asyncio.gather(*early)


@pytest.mark.parametrize("format", range(OLDEST_FORMAT, CATALOG_FORMAT))
async def test_an_older_catalog_is_made_a_new_one_by_the_first_router(
    tmp_path: Path, format: int
) -> None:
    async with one_node(tmp_path) as path:
        async with opened(path, "old") as old:
            await old.change("CREATE TABLE t (id int PRIMARY KEY)")
            back = Parts(
                (Statement('DROP TABLE "catalog_schemas"'),) if format == OLDEST_FORMAT else (),
                (Guard("catalog_format", CATALOG_FORMAT),),
                (SetVersion("catalog_format", format),),
            )
            await old.shards.write(
                META_GROUP, back.statements, back.guards, back.sets, deadline=old.deadline
            )
        async with opened(path, "r1") as r1, opened(path, "r2") as r2:
            assert set(r1.schema.catalog.tables) == {"t"}
            await r1.change("CREATE SCHEMA s")
            await r1.change("CREATE TABLE s.t (id int PRIMARY KEY)")
            catalog = await r2.refresh()
            assert set(catalog.schemas) == {"public", "s"}
            assert {(t.schema, t.relname) for t in catalog.tables.values()} == {
                ("public", "t"),
                ("s", "t"),
            }


@pytest.mark.parametrize(
    ("format", "hint"), [(CATALOG_FORMAT + 1, "newer release"), (OLDEST_FORMAT - 1, "in between")]
)
async def test_a_router_says_that_it_does_not_know_the_format_of_the_catalog(
    tmp_path: Path, format: int, hint: str
) -> None:
    """Also one that has run since before another release upgraded it; and it changes nothing."""
    async with one_node(tmp_path) as path, opened(path, "runs") as runs:
        await runs.change("CREATE TABLE t (id int PRIMARY KEY)")
        other = Parts(
            (),
            (Guard("catalog_format", CATALOG_FORMAT),),
            (SetVersion("catalog_format", format),),
        )
        await runs.schema.write(META_GROUP, other, runs.deadline)
        for asked in (runs.refresh(), runs.change("CREATE TABLE u (id int PRIMARY KEY)")):
            with pytest.raises(Unavailable, match=f"format {format}, this router reads") as told:
                await asked
            assert hint in told.value.hint
            assert told.value.sqlstate == "57P03"
        with pytest.raises(Unavailable, match=f"format {format}, this router reads"):
            async with opened(path, "comes"):
                pass
        found = await runs.shards.read(
            META_GROUP,
            (Statement('SELECT "name" FROM "catalog_tables"'),),
            (Guard("catalog_format", format),),
            deadline=runs.deadline,
        )
        assert isinstance(found, Done)
        assert found.results[0].values == (("t",),)


async def test_a_change_that_another_router_has_taken_back_is_not_reported_as_made(
    tmp_path: Path,
) -> None:
    async with routers(tmp_path, 2) as (slow, other):
        await slow.change("CREATE TABLE t (id bigint, n integer, PRIMARY KEY (id, n))")
        rows = Statement('INSERT INTO "t" VALUES (1, 1), (1, 2)')
        await slow.shards.write("shard-1", (rows,), deadline=slow.deadline)
        catalog = slow.schema.catalog
        change = begin(catalog, definition_of("CREATE UNIQUE INDEX u ON t (id)", catalog)).change
        assert change is not None
        mark = schema_change.mark(catalog, change)
        assert await slow.schema.write(META_GROUP, mark, slow.deadline) is None
        assert (await other.schema.settled(other.deadline)).pending is None
        with pytest.raises(StatementError, match="taken it back"):
            await slow.schema._finish(schema_change.marked(catalog, change), slow.deadline)
        assert slow.schema.catalog.tables["t"].indexes == ()
