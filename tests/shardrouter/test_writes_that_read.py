"""Writes that read other rows leave three shards with the same rows as one, and say the same."""

from __future__ import annotations

import random

import pytest

from nodes.protocol import Value
from nodes.values import slot_finder
from shardrouter.errors import NotSupported
from shardrouter.placing import key_type
from tests.shardrouter.planning import PlannedCluster

TABLES = (
    "CREATE TABLE a (k int, id int, v text, n bigint, PRIMARY KEY (k, id))",
    "CREATE TABLE b (k int, id int, w text, m bigint, PRIMARY KEY (k, id))",
    "CREATE TABLE c (name text PRIMARY KEY, n bigint)",
    "CREATE TABLE r (id int PRIMARY KEY, name text) WITH (reference = true)",
    "CREATE TABLE h (id int PRIMARY KEY, name text, n bigint) WITH (home = true)",
)
NAMES = "abchr"

LOCAL = (
    "INSERT INTO b SELECT k, id + 100, v, n FROM a",
    "INSERT INTO b SELECT k, id, v, n FROM a ON CONFLICT DO NOTHING RETURNING k, id",
    "INSERT INTO b SELECT k, id, v, n FROM a ON CONFLICT (k, id) DO UPDATE SET m = excluded.m",
    "INSERT INTO b (k, id, m) SELECT a.k, -1, sum(n) FROM a GROUP BY a.k",
    "INSERT INTO b SELECT a.k, a.id - 50, r.name FROM a JOIN r ON r.id = a.id WHERE a.k IN (1, 2)",
    "INSERT INTO a SELECT k, id + 1000, v, n FROM a RETURNING *",
    "UPDATE a SET v = b.w FROM b WHERE b.k = a.k AND b.id = a.id RETURNING a.k, a.v",
    "UPDATE a SET n = m FROM b, r WHERE b.k = a.k AND b.id = a.id AND r.id = b.id AND a.k < 9",
    "UPDATE a SET v = r.name FROM r WHERE r.id = a.id",
    "UPDATE a SET n = (SELECT sum(m) FROM b WHERE b.k = a.k)",
    "UPDATE a SET n = 7 WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.m > a.n)",
    "DELETE FROM a USING b WHERE b.k = a.k AND b.id > a.id RETURNING a.k, a.id",
    "DELETE FROM a USING r WHERE r.id = a.id AND r.name = 'r1'",
    "DELETE FROM b WHERE NOT EXISTS (SELECT 1 FROM a WHERE a.k = b.k AND a.id = b.id)",
)


@pytest.fixture(scope="module")
def clusters() -> tuple[PlannedCluster, PlannedCluster]:
    made = PlannedCluster(3), PlannedCluster(1)
    for cluster in made:
        for sql in TABLES:
            cluster.execute(sql)
    return made


def fill(cluster: PlannedCluster) -> None:
    rng = random.Random(3)
    rows: dict[str, list[str]] = {name: [] for name in NAMES}
    for k in range(1, 13):
        rows["a"] += [f"({k}, {i}, 'a{k}', {rng.randrange(9)})" for i in range(rng.randrange(4))]
        rows["b"] += [f"({k}, {i}, 'b{k}', {rng.randrange(9)})" for i in range(rng.randrange(3))]
        rows["c"].append(f"('a{k}', {k})")
    for i in range(4):
        rows["r"].append(f"({i}, 'r{i}')")
        rows["h"].append(f"({i}, 'a{i}', {i})")
    for name, values in rows.items():
        cluster.execute(f"DELETE FROM {name}")
        cluster.execute(f"INSERT INTO {name} VALUES {', '.join(values)}")


def state(cluster: PlannedCluster, name: str) -> list[tuple[Value, ...]]:
    return sorted(cluster.execute(f"SELECT * FROM {name}")[1], key=repr)


@pytest.mark.parametrize("sql", LOCAL)
def test_three_shards_come_to_what_one_does(
    clusters: tuple[PlannedCluster, PlannedCluster], sql: str
) -> None:
    many, one = clusters
    for cluster in clusters:
        fill(cluster)
    columns, rows, count = many.execute(sql)
    wanted_columns, wanted, wanted_count = one.execute(sql)
    assert (columns, sorted(map(repr, rows)), count) == (
        wanted_columns,
        sorted(map(repr, wanted)),
        wanted_count,
    )
    assert count > 0
    for name in NAMES:
        assert state(many, name) == state(one, name)
    catalog = many.catalog
    for name, key in (("a", "k"), ("b", "k"), ("c", "name")):  # each row is where its key says
        find = slot_finder(key_type(catalog.tables[name]))
        for shard, group in many.shards.items():
            for (value,) in group.run(f'SELECT "{key}" FROM "{name}"', ())[1]:
                assert catalog.owner(find(value))[0] == shard


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO b SELECT 5, id, v, n FROM a WHERE k = 1",
        "INSERT INTO b VALUES (1, 1, (SELECT v FROM a WHERE k = 2 AND id = 0), 1)",
        "UPDATE a SET v = b.w FROM b WHERE a.k = 1 AND b.k = 2",
        "UPDATE a SET v = b.w FROM b WHERE a.k IN (1, 2) AND b.k IN (1, 2)",
        "DELETE FROM a USING b WHERE a.k = 1 AND b.k = 2",
    ],
)
def test_keys_of_two_tables_that_differ_are_not_local(
    clusters: tuple[PlannedCluster, PlannedCluster], sql: str
) -> None:
    """Each shard would find none of the rows that its own are to meet."""
    with pytest.raises(NotSupported, match="rows of several shards"):
        clusters[0].execute(sql)
