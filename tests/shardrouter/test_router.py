"""The embedded API: asyncpg's names and habits, on a real cluster of one node."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nodes.config import ConfigError
from nodes.values import SLOTS
from shardrouter import Record, Router, RouterError, StatementError, Unavailable
from shardrouter.exceptions import UndefinedTableError
from shardrouter.locate import CLUSTER_VARIABLE, find_cluster, load_cluster
from shardrouter.router import node_statuses
from tests.shardrouter.cluster import GROUPS, one_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def path(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    async with one_node(tmp_path_factory.mktemp("router")) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(path: Path) -> AsyncIterator[Router]:
    async with Router.open(path, rng=random.Random(1)) as router:
        yield router


@pytest_asyncio.fixture(loop_scope="module")
async def db(opened: Router) -> Router:
    await opened.execute("DROP TABLE IF EXISTS t")
    await opened.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text, n integer)")
    return opened


async def test_execute_answers_the_tag_of_the_last_statement(db: Router) -> None:
    assert await db.execute("INSERT INTO t (id) VALUES ($1)", 1) == "INSERT 0 1"
    assert await db.execute("UPDATE t SET n = 1 WHERE id = 1; SELECT 1;") == "SELECT 1"
    assert await db.execute("DELETE FROM t WHERE id = 1") == "DELETE 1"
    assert await db.execute(" ; ") == ""


async def test_fetches_answer_rows_a_row_and_a_value(db: Router) -> None:
    for key in range(3):
        await db.execute("INSERT INTO t (id, name) VALUES ($1, $2)", key, f"name {key}")
    rows = await db.fetch("SELECT id, name FROM t ORDER BY id")
    assert [row["name"] for row in rows] == ["name 0", "name 1", "name 2"]
    row = await db.fetchrow("SELECT id, name, n FROM t WHERE id = $1", 1)
    assert isinstance(row, Record)
    assert (row[0], row["name"], row.get("n"), row.get("x", 7)) == (1, "name 1", None, 7)
    assert dict(row.items()) == {"id": 1, "name": "name 1", "n": None}
    assert list(row.keys()) == ["id", "name", "n"]
    assert tuple(row) == tuple(row.values()) == row[0:3] == (1, "name 1", None)
    assert "name" in row
    assert repr(row) == "<Record id=1 name='name 1' n=None>"
    assert await db.fetchrow("SELECT * FROM t WHERE id = 9") is None
    assert await db.fetchval("SELECT id, name FROM t WHERE id = 2", column=1) == "name 2"
    assert await db.fetchval("SELECT name FROM t WHERE id = 9") is None
    assert await db.fetch("DELETE FROM t WHERE id = 2") == []


async def test_only_execute_takes_several_statements(db: Router) -> None:
    with pytest.raises(StatementError, match="multiple commands"):
        await db.fetch("SELECT 1; SELECT 2")
    with pytest.raises(StatementError) as caught:
        await db.execute("INSERT INTO t (id) VALUES ($1); SELECT 1", 1)
    assert caught.value.sqlstate == "42601"


async def test_executemany_is_all_or_nothing(db: Router) -> None:
    insert = "INSERT INTO t (id, n) VALUES ($1, $2)"
    places: dict[str, list[int]] = {}
    for key in range(20):
        places.setdefault((await db.where("t", key)).shard, []).append(key)
    (a, b, *_), (other, *_) = sorted(places.values(), key=len, reverse=True)[:2]
    for keys in ((a, b, a), (a, other, a)):  # on one shard, and on two
        with pytest.raises(StatementError) as caught:
            await db.executemany(insert, [(key, 1) for key in keys])
        assert (caught.value.sqlstate, caught.value.statement) == ("23505", 2)
        assert await db.fetchval("SELECT count(*) FROM t") == 0
    await db.executemany(insert, [(a, 1), (b, 2)], timeout=10)
    await db.executemany(insert, [])
    await db.executemany(insert, [(other, 1)])
    assert await db.fetchval("SELECT count(*) FROM t") == 3


async def test_increments_from_many_callers_are_all_applied_once(db: Router) -> None:
    await db.execute("INSERT INTO t (id, n) VALUES (1, 0)")
    await asyncio.gather(
        *(db.execute("UPDATE t SET n = n + 1 WHERE id = $1", 1) for _ in range(200))
    )
    assert await db.fetchval("SELECT n FROM t WHERE id = 1") == 200


async def test_where_tells_slot_shard_and_leader(db: Router) -> None:
    place = await db.where("t", "4711")
    assert place == await db.where("t", 4711)
    assert place.slot is not None
    assert 0 <= place.slot < SLOTS
    assert place.shard in GROUPS[1:]
    assert place.leader == "n1"
    for table, key, sqlstate in [("nowhere", "1", "42P01"), ("t", "x", "22P02")]:
        with pytest.raises(StatementError) as caught:
            await db.where(table, key)
        assert caught.value.sqlstate == sqlstate
    with pytest.raises(StatementError):
        await db.where("t", 1.5)


async def test_status_is_what_the_nodes_say(db: Router, path: Path) -> None:
    await db.wait_ready(timeout=10)
    for statuses in (await db.status(), await node_statuses(load_cluster(path))):
        assert statuses.keys() == {"n1"}
        assert statuses["n1"] is not None
        assert {r.group: r.role for r in statuses["n1"].replicas} == dict.fromkeys(GROUPS, "leader")


async def test_sessions_have_settings_of_their_own(db: Router) -> None:
    session = db.new_session()
    await db.execute("SET application_name = 'mine'")
    assert session.setting("application_name") == ""
    await db.execute("RESET ALL")


# --------------------------------------------------------------------------- finding the cluster


async def test_the_cluster_file_is_looked_for_in_one_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CLUSTER_VARIABLE, raising=False)
    with pytest.raises(ConfigError) as caught:
        find_cluster(None)
    for part in (CLUSTER_VARIABLE, "./cluster.toml", "./shardrouter-data/cluster.toml", " up`"):
        assert part in str(caught.value)

    data = tmp_path / "shardrouter-data"
    data.mkdir()
    places = [data / "cluster.toml", tmp_path / "cluster.toml", tmp_path / "a.toml"]
    for place in places:
        place.write_text("format = 1")
        if place.name == "a.toml":
            monkeypatch.setenv(CLUSTER_VARIABLE, str(place))
        assert find_cluster(None).resolve() == place
    assert find_cluster(str(data)) == places[0]
    assert find_cluster(places[1]) == places[1]


async def test_a_file_that_was_named_has_to_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another cluster's file, found by falling back, would be worse than an error."""
    (tmp_path / "cluster.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CLUSTER_VARIABLE, "missing.toml")
    with pytest.raises(ConfigError, match=CLUSTER_VARIABLE):
        find_cluster(None)
    with pytest.raises(ConfigError, match=r"other\.toml"):
        find_cluster("other.toml")
    with pytest.raises(ConfigError, match=r"cluster\.toml"):
        load_cluster(find_cluster("cluster.toml"))


async def test_a_connection_has_settings_of_its_own(db: Router) -> None:
    async with db.acquire() as one, db.acquire() as other:
        await one.execute("SET shardrouter.consistency = 'any'")
        assert await one.fetchval("SHOW shardrouter.consistency") == "any"
        assert await other.fetchval("SHOW shardrouter.consistency") == "linearizable"
        assert await db.fetchval("SHOW shardrouter.consistency") == "linearizable"
        assert not one.is_closed()
    assert one.is_closed()
    with pytest.raises(Unavailable):
        await one.fetchval("SELECT 1")


async def test_a_prepared_statement_runs_many_times(db: Router) -> None:
    async with db.acquire() as connection:
        insert = await connection.prepare("INSERT INTO t (id, name) VALUES ($1, $2)")
        async with db.acquire() as another:
            select = await another.prepare("SELECT name, id FROM t WHERE id = $1")
            assert select.get_query() == "SELECT name, id FROM t WHERE id = $1"
            assert select.get_parameters() == (20,)
            assert select.get_attributes() == (("name", 25), ("id", 20))
            for key in range(3):
                await insert.executemany([(key, f"name {key}")])
                assert await select.fetchval(key) == f"name {key}"
            row = await select.fetchrow(1)
            assert row is not None
            assert dict(row.items()) == {"name": "name 1", "id": 1}
            assert await select.fetch(7) == []
        with pytest.raises(UndefinedTableError):
            await connection.prepare("SELECT * FROM nothing")


async def test_queries_recurse_and_make_rows(db: Router) -> None:
    sum_of = (
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {}) "
        "SELECT sum(n) FROM r"
    )
    assert await db.fetchval(sum_of.format(100)) == 5050
    with pytest.raises(RouterError) as caught:
        await db.fetchval(sum_of.format(10_000_000), timeout=0.3)
    assert caught.value.definite
    assert caught.value.sqlstate in ("57014", "54000")
    assert await db.fetchval("SELECT count(*) FROM generate_series(1, 1000) AS g") == 1000
    await db.execute("CREATE TABLE h (id bigint PRIMARY KEY) WITH (home = true)")
    inserted = "INSERT INTO h SELECT g FROM generate_series(1, 500) AS g"
    assert await db.execute(inserted) == "INSERT 0 500"
    assert await db.fetchval("SELECT max(id) FROM h") == 500
    await db.execute("DROP TABLE h")


async def test_a_name_may_come_back_with_another_placement(db: Router) -> None:
    """Shards that never had the home table know nothing of its versions."""
    kinds = ["home = true", "shard_key = 'id'", "home = true", "home = true", "shard_key = 'id'"]
    for kind in kinds:
        await db.execute(f"CREATE TABLE w (id bigint PRIMARY KEY, n integer) WITH ({kind})")
        for key in range(6):
            await db.execute("INSERT INTO w VALUES ($1, $1)", key)
        await db.execute("CREATE INDEX w_n ON w (n)")
        await db.execute("TRUNCATE w")
        await db.execute("INSERT INTO w VALUES (1, 1)")
        assert await db.fetchval("SELECT count(*) FROM w") == 1
        await db.execute("DROP TABLE w")


async def test_where_tells_of_tables_without_slots(db: Router) -> None:
    await db.execute("CREATE TABLE h (id bigint PRIMARY KEY) WITH (home = true)")
    place = await db.where("h", 1)
    assert (place.slot, place.shard, place.leader) == (None, "shard-1", "n1")
    await db.execute("DROP TABLE h")
    await db.execute("CREATE TABLE r (id bigint PRIMARY KEY) WITH (reference = true)")
    assert (await db.where("r", 1)).shard == "every shard"
    await db.execute("DROP TABLE r")
