"""Tables with rows that go to other shards: what is where afterwards, what may not go, and who
dies in the middle."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from nodes.config import META_GROUP
from nodes.protocol import Statement
from shardrouter import NotSupported, Router, StatementError, relocation, relocator
from shardrouter.definition_changes import begin
from shardrouter.errors import RouterError, Unavailable
from shardrouter.schema_change import mark, marked
from shardrouter.tables import Change
from shardrouter.upload import Upload
from tests.shardrouter.catalogs import definition_of
from tests.shardrouter.cluster import GROUPS, one_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHARDS = GROUPS[1:]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def path(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    async with one_node(tmp_path_factory.mktemp("relocation")) as cluster:
        yield cluster


@asynccontextmanager
async def opened(path: Path, name: str = "other") -> AsyncIterator[Router]:
    async with Router.open(path, name=name, rng=random.Random(name)) as router:
        yield router


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def db(path: Path) -> AsyncIterator[Router]:
    async with opened(path, "db") as router:
        yield router


async def rows_on(db: Router, table: str) -> dict[str, int]:
    """How many rows of the table each shard has; -1: it has no such table."""
    found = {}
    deadline = asyncio.get_running_loop().time() + 10
    for shard in SHARDS:
        count = Statement(f'SELECT count(*) FROM "{table}"')
        try:
            answer = await db._backend.shards.read(shard, (count,), deadline=deadline)
        except StatementError:
            found[shard] = -1
        else:
            found[shard] = int(str(answer.results[0].values[0][0]))  # type: ignore[union-attr]
    return found


MADE = (
    "CREATE TABLE {name} (id serial PRIMARY KEY, team int NOT NULL, said text DEFAULT 'x', "
    "long int GENERATED ALWAYS AS (team * 2) STORED, f double precision, b bytea, ok boolean, "
    "j jsonb, CHECK (team >= 0)) WITH (home = true)"
)


async def make(db: Router, name: str, rows: int = 60) -> None:
    await db.execute(MADE.format(name=name))
    await db.execute(f"CREATE INDEX ON {name} (said)")
    await db.execute(f"CREATE UNIQUE INDEX ON {name} (id, (team + 1))")
    values = ", ".join(
        f"({n % 7}, 't{n}', {n} / 3.0, NULLIF('\\x{n:04x}'::bytea, '\\x0003'), {n % 2 == 0}, "
        f"'[{n}]')"
        for n in range(rows)
    )
    await db.execute(f"INSERT INTO {name} (team, said, f, b, ok, j) VALUES {values}")


async def all_rows(db: Router, name: str) -> list[tuple[object, ...]]:
    rows = await db.fetch(f"SELECT id, team, said, long, f, b, ok, j FROM {name} ORDER BY id")
    return [tuple(row) for row in rows]


async def test_rows_go_where_they_are_asked_to_and_nothing_else_changes(
    db: Router, path: Path
) -> None:
    await make(db, "t")
    before = await all_rows(db, "t")
    assert await rows_on(db, "t") == {"shard-1": 60, "shard-2": -1, "shard-3": -1}
    assert await db.fetchval("SELECT create_distributed_table('t', 'id')") == ""
    found = await rows_on(db, "t")
    assert sum(found.values()) == 60
    assert all(count > 5 for count in found.values())
    assert await all_rows(db, "t") == before
    assert await db.fetchval("SELECT said FROM t WHERE id = 17") == "t16"
    assert await db.fetchval("INSERT INTO t (team) VALUES (3) RETURNING id") == 61
    for sql, code in (
        ("INSERT INTO t (id, team) VALUES (5, 1)", "23505"),
        ("INSERT INTO t (id, team) VALUES (500, -1)", "23514"),
    ):
        with pytest.raises(StatementError) as caught:
            await db.execute(sql)
        assert caught.value.sqlstate == code
    await db.execute("DELETE FROM t WHERE id = 61")
    await db.execute("SELECT create_reference_table('t')")
    assert set((await rows_on(db, "t")).values()) == {60}
    assert await all_rows(db, "t") == before
    names = await db.fetch("SELECT indexname FROM pg_indexes WHERE tablename = 't' ORDER BY 1")
    assert [row[0] for row in names] == ["t_id_expr_idx", "t_pkey", "t_said_idx"]
    async with opened(path) as other:  # knows only what meta says
        await other.execute("SELECT create_distributed_table('t', 'id')")
    assert await rows_on(db, "t") == found
    assert await all_rows(db, "t") == before


async def test_tables_that_refer_to_each_other_go_one_after_the_other(db: Router) -> None:
    await db.execute("CREATE TABLE kinds (id int PRIMARY KEY, name text) WITH (home = true)")
    await db.execute("INSERT INTO kinds SELECT n, 'k' || n FROM generate_series(1, 9) AS g (n)")
    await db.execute(
        "CREATE TABLE things (id int, part int, kind int REFERENCES kinds, above int, "
        "PRIMARY KEY (id, part), FOREIGN KEY (id, above) REFERENCES things) WITH (home = true)"
    )
    await db.execute(
        "INSERT INTO things SELECT n / 4, n % 4, 1 + n % 9, CASE WHEN n % 4 > 0 THEN 0 END "
        "FROM generate_series(0, 99) AS g (n)"
    )
    with pytest.raises(NotSupported, match='from "things"') as caught:
        await db.execute("SELECT create_distributed_table('things', 'id')")
    assert "Drop the constraint" in caught.value.hint
    await db.execute("SELECT create_reference_table('kinds')")
    await db.execute("SELECT create_distributed_table('things', 'id')")
    found = await rows_on(db, "things")
    assert sum(found.values()) == 100
    assert min(found.values()) > 0
    for values, message in (("(3, 9, 77, 0)", "kinds"), ("(3, 9, 1, 8)", "things")):
        with pytest.raises(StatementError, match="foreign key") as refused:
            await db.execute(f"INSERT INTO things VALUES {values}")
        assert f'table "{message}"' in refused.value.detail
    with pytest.raises(StatementError, match="foreign key"):
        await db.execute("DELETE FROM things WHERE id = 3 AND part = 0")
    assert await db.execute("DELETE FROM things WHERE id = 3 AND part = 1") == "DELETE 1"


async def test_statements_meanwhile_wait_and_none_is_lost(db: Router, path: Path) -> None:
    await make(db, "busy")
    async with opened(path) as other:
        ended = asyncio.Event()
        written: list[int] = []
        reached = {20: asyncio.Event(), 40: asyncio.Event()}

        async def write(router: Router) -> None:
            while not ended.is_set():
                written.append(
                    await router.fetchval("INSERT INTO busy (team) VALUES (5) RETURNING id")
                )
                if len(written) in reached:
                    reached[len(written)].set()
                await asyncio.sleep(0.002)

        async def read(router: Router) -> None:
            while not ended.is_set():
                known = len(written)
                assert await router.fetchval("SELECT count(*) FROM busy") >= 60 + known

        async def place() -> None:
            try:
                await reached[20].wait()
                await db.execute("SELECT create_distributed_table('busy', 'id')")
                await reached[40].wait()
            finally:
                ended.set()

        await asyncio.gather(place(), write(db), write(other), read(other))
        assert await other.fetchval("SELECT count(*) FROM busy") == 60 + len(written)


async def steps_of(router: Router, sql: str, count: int) -> None:
    """The first so many writes of a move, by a router that dies then."""
    shards = router._backend.shards
    deadline = asyncio.get_running_loop().time() + 20
    catalog = await router._backend.schema.settled(deadline)
    change = begin(catalog, definition_of(sql, catalog)).change
    assert change is not None
    now = marked(catalog, change)
    mover = relocator.Relocator(router._backend.schema)
    rows = {shard: Upload(shards, shard, 5.0) for shard in SHARDS}
    decided, taken = relocation.take(now)
    assert isinstance(taken.pending, Change)
    still = relocation.stand_still(now, change, "shard-1")
    assert still is not None
    staged = {}
    writes = [(META_GROUP, mark(catalog, change)), ("shard-1", still)]
    for number, (group, parts) in enumerate(writes):
        if number < count:
            await router._backend.schema.write(group, parts, deadline)
    if count > len(writes):
        await mover._send(now, change, "shard-1", rows, deadline)
        staged = {shard: await upload.finish() for shard, upload in rows.items()}
        writes = [(s, relocation.laid(now, change, s, staged[s])) for s in SHARDS]
        writes += [(META_GROUP, decided)]
        writes += [(s, relocation.put(taken, taken.pending, s)) for s in SHARDS]
        for group, parts in writes[: count - 2]:
            assert await router._backend.schema.write(group, parts, deadline) is None


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7, 9])
async def test_a_move_whose_router_dies_is_taken_back_or_carried_to_its_end(
    db: Router, path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocator, "SILENCE_S", 0.3)
    name = f"dies{count}"
    await make(db, name)
    before = await all_rows(db, name)
    async with opened(path, "dead") as dead:
        await steps_of(dead, f"SELECT create_distributed_table('{name}', 'id')", count)
    assert await db.execute(f"UPDATE {name} SET said = 'new' WHERE id = 9") == "UPDATE 1"
    rows = await all_rows(db, name)
    assert [r for r in rows if r[0] != 9] == [r for r in before if r[0] != 9]
    table = db._backend.schema.catalog.tables[name]
    assert table.placement == ("sharded" if count > 5 else "home")
    if table.placement == "home":
        assert await rows_on(db, name) == {"shard-1": 60, "shard-2": -1, "shard-3": -1}
        await db.execute(f"SELECT create_distributed_table('{name}', 'id')")
    assert sum((await rows_on(db, name)).values()) == 60
    assert -1 in (await rows_on(db, "_placed")).values()


async def test_a_router_that_was_silent_for_too_long_has_moved_nothing(
    db: Router, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(db, "slow")
    before = await all_rows(db, "slow")
    send, may_go, is_there = relocator.Relocator._send, asyncio.Event(), asyncio.Event()

    async def sleepy(*args: Any) -> None:
        is_there.set()
        await may_go.wait()
        await send(*args)

    monkeypatch.setattr(relocator.Relocator, "_send", sleepy)
    monkeypatch.setattr(relocator, "BEAT_S", 0.05)
    async with opened(path) as other, AsyncExitStack() as stack:
        stack.callback(may_go.set)
        # While it says that it is at work, the others wait.
        monkeypatch.setattr(relocator, "SILENCE_S", 30.0)
        move = asyncio.ensure_future(db.execute("SELECT create_distributed_table('slow', 'id')"))
        await is_there.wait()
        with pytest.raises(RouterError) as caught:
            await other.execute("UPDATE slow SET said = 'w' WHERE id = 1", timeout=0.5)
        assert caught.value.sqlstate == "57014"
        beats = 0
        while beats < 2:
            loop = asyncio.get_running_loop()
            pending = (await other._backend.schema.refresh(loop.time() + 10)).pending
            assert isinstance(pending, Change)
            beats = pending.beat
        may_go.set()
        await move
        assert await other.fetchval("SELECT count(*) FROM slow") == 60
        # When it does not, they go on without it.
        monkeypatch.setattr(relocator, "BEAT_S", 60.0)
        monkeypatch.setattr(relocator, "SILENCE_S", 0.2)
        may_go.clear()
        is_there.clear()
        move = asyncio.ensure_future(db.execute("SELECT create_reference_table('slow')"))
        await is_there.wait()
        assert await all_rows(other, "slow") == before
        may_go.set()
        with pytest.raises(Unavailable, match="taken back"):
            await move
        assert await all_rows(db, "slow") == before
        assert sum((await rows_on(db, "slow")).values()) == 60


async def test_too_many_rows_and_too_little_time_leave_the_rows_where_they_are(
    db: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(db, "large", 300)
    before = await all_rows(db, "large")
    with monkeypatch.context() as small:
        small.setattr(db._backend.shards, "transaction_bytes_max", 1000)
        with pytest.raises(StatementError, match="transaction_bytes_max") as caught:
            await db.execute("SELECT create_distributed_table('large', 'id')")
        assert caught.value.sqlstate == "54000"
    assert await all_rows(db, "large") == before

    begun = asyncio.Event()

    async def never(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as slow:
        slow.setattr(relocator.Relocator, "_send", never)
        async with db.acquire() as connection:
            move = asyncio.ensure_future(
                connection.execute("SELECT create_distributed_table('large', 'id')")
            )
            await begun.wait()
            connection._session.cancel()
            with pytest.raises(RouterError) as ended:
                await move
            assert ended.value.sqlstate == "57014"
    assert await all_rows(db, "large") == before
    await db.execute("SELECT create_distributed_table('large', 'id')")
    assert await all_rows(db, "large") == before


async def test_a_call_is_answered_alone(db: Router) -> None:
    await make(db, "alone", 3)
    async with db.acquire() as connection:
        await connection.execute("BEGIN")
        with pytest.raises(NotSupported, match="inside a transaction"):
            await connection.execute("SELECT create_reference_table('alone')")
        await connection.execute("ROLLBACK")
    assert await db.fetchval("SELECT count(*) FROM alone") == 3
