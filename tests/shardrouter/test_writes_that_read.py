"""Writes that read other rows leave three shards with the same rows as one, and say the same."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from nodes.protocol import Value
from nodes.values import slot_finder
from shardrouter.errors import RouterError
from shardrouter.placing import key_type
from tests.shardrouter.planning import PlannedCluster

TABLES = (
    "CREATE TABLE a (k int, id int, v text, n bigint, PRIMARY KEY (k, id))",
    "CREATE TABLE b (k int, id int, w text, m bigint, PRIMARY KEY (k, id))",
    "CREATE TABLE c (name text PRIMARY KEY, n bigint)",
    "CREATE TABLE r (id int PRIMARY KEY, name text) WITH (reference = true)",
    "CREATE TABLE h (id int PRIMARY KEY, name text, n bigint) WITH (home = true)",
    "CREATE TABLE s (id serial PRIMARY KEY, v text)",
    "CREATE TABLE k (id int, v text) WITH (home = true)",
    "CREATE TABLE p (id int PRIMARY KEY)",
    "CREATE TABLE q (id int PRIMARY KEY REFERENCES p ON DELETE CASCADE)",
)
NAMES = "abchr"

LOCAL = """
INSERT INTO b SELECT k, id + 100, v, n FROM a;
INSERT INTO b SELECT k, id, v, n FROM a ON CONFLICT DO NOTHING RETURNING k, id;
INSERT INTO b SELECT k, id, v, n FROM a ON CONFLICT (k, id) DO UPDATE SET m = excluded.m;
INSERT INTO b (k, id, m) SELECT a.k, -1, sum(n) FROM a GROUP BY a.k;
INSERT INTO b SELECT a.k, a.id - 50, r.name FROM a JOIN r ON r.id = a.id WHERE a.k IN (1, 2);
INSERT INTO a SELECT k, id + 1000, v, n FROM a RETURNING *;
UPDATE a SET v = b.w FROM b WHERE b.k = a.k AND b.id = a.id RETURNING a.k, a.v;
UPDATE a SET n = m FROM b, r WHERE b.k = a.k AND b.id = a.id AND r.id = b.id AND a.k < 9;
UPDATE a SET v = r.name FROM r WHERE r.id = a.id;
UPDATE a SET n = (SELECT sum(m) FROM b WHERE b.k = a.k);
UPDATE a SET n = 7 WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.m > a.n);
DELETE FROM a USING b WHERE b.k = a.k AND b.id > a.id RETURNING a.k, a.id;
DELETE FROM a USING r WHERE r.id = a.id AND r.name = 'r1';
DELETE FROM b WHERE NOT EXISTS (SELECT 1 FROM a WHERE a.k = b.k AND a.id = b.id)
"""

APART = """
INSERT INTO b SELECT id + 50, k, v, n FROM a;
INSERT INTO b SELECT id + 50, k, v, n FROM a ORDER BY n DESC, k, id RETURNING *;
INSERT INTO b (id, k) SELECT k, 5 FROM a WHERE n > 2 ON CONFLICT DO NOTHING RETURNING id, k;
INSERT INTO a SELECT 5, id + k * 100, v, NULL FROM a WHERE k IN (1, 2, 3);
INSERT INTO b (k, id, m) SELECT n, -1, count(*) FROM a GROUP BY n;
INSERT INTO b SELECT k, id, v, n FROM (SELECT * FROM a ORDER BY n, k, id LIMIT 7) q ON CONFLICT
    (k, id) DO UPDATE SET w = excluded.w || b.w RETURNING k, id, w;
INSERT INTO c SELECT v || 'x', sum(n) FROM a GROUP BY v HAVING sum(n) > 0 RETURNING name;
INSERT INTO c SELECT name || 'r', 7 FROM r;
INSERT INTO c (name) SELECT 'x' || g FROM generate_series(1, 40) g;
INSERT INTO h SELECT k + 10, v, n FROM a WHERE id = 0 RETURNING id;
INSERT INTO b SELECT id, -7, name, n FROM h;
INSERT INTO r SELECT k + 10, v FROM a WHERE id = 0 RETURNING id, name;
WITH q AS (SELECT k, max(n) AS m FROM a GROUP BY k) INSERT INTO b (k, id, m) SELECT q.m, -q.k,
    x.m FROM q JOIN q AS x ON x.k = q.m;
INSERT INTO b (k, id, w) SELECT id, -id, (SELECT v FROM a WHERE k = 1 LIMIT 1) FROM r;
UPDATE a SET v = c.name FROM c WHERE c.n = a.n RETURNING a.k, a.id, a.v;
UPDATE a SET n = x.n + 1 FROM c AS x WHERE x.name = a.v AND a.id < 2;
UPDATE a SET n = h.n * 100, v = DEFAULT FROM h WHERE h.id = a.id;
UPDATE a SET n = (SELECT max(m) FROM b), v = 'all';
UPDATE a SET n = 0 WHERE n < (SELECT avg(n) FROM c) RETURNING *;
UPDATE h SET n = q.n FROM (SELECT v, sum(n) AS n FROM a GROUP BY v) q WHERE q.v = h.name;
UPDATE r SET name = c.name FROM c WHERE c.n = r.id RETURNING r.*;
UPDATE a SET v = 'twice' FROM c WHERE c.n > 3 AND a.id = 0 AND c.name = 'a7';
UPDATE a SET v = 'x' FROM c WHERE c.n > a.n;
DELETE FROM a USING c WHERE c.n = a.n RETURNING a.k, a.id;
DELETE FROM a WHERE n > (SELECT avg(m) FROM b);
DELETE FROM b USING h WHERE h.id = b.id;
DELETE FROM h USING a WHERE a.v = h.name RETURNING h.id;
DELETE FROM r USING c WHERE c.n = r.id
"""

MOVING = """
UPDATE a SET k = k + 100;
UPDATE a SET k = 77, id = k * 10 + id, v = 'moved' WHERE n > 2 RETURNING *;
UPDATE a SET k = 3, id = 9 WHERE k = 7 AND id = 0 RETURNING k, id, v, n;
UPDATE a SET k = k WHERE n < 5;
UPDATE a SET k = CASE WHEN n > 4 THEN k + 50 ELSE k END, n = n + 1 RETURNING k, n;
UPDATE a SET k = b.m + 200, id = b.k * 10 + b.id FROM b WHERE b.k = a.k AND b.id = a.id;
UPDATE c SET name = name || 'z', n = DEFAULT WHERE n < 6 RETURNING name, n;
UPDATE c SET name = 'k' || r.id FROM r WHERE r.id = c.n
"""

TWO_KEYS = """
INSERT INTO b SELECT 5, id + 40, v, n FROM a WHERE k = 7;
UPDATE a SET v = b.w FROM b WHERE a.k = 7 AND b.k = 3 AND b.id = 0;
UPDATE a SET v = b.w FROM b WHERE a.k IN (1, 7) AND b.k IN (3, 2) AND b.id * 3 + b.k = 3;
DELETE FROM a USING b WHERE a.k = 7 AND b.k = 3
"""
"""Keys of two tables that differ: no shard finds the rows that its own are to meet."""

STATEMENTS = [sql for some in (LOCAL, APART, MOVING, TWO_KEYS) for sql in some.strip().split(";\n")]


@pytest.fixture(scope="module")
def filled() -> tuple[PlannedCluster, PlannedCluster]:
    """On three shards and on one."""
    made = PlannedCluster(3), PlannedCluster(1)
    for cluster in made:
        for sql in TABLES:
            cluster.execute(sql)
        rng = random.Random(3)
        rows: dict[str, list[str]] = {name: [] for name in NAMES}
        for k in range(1, 13):
            for name, most in (("a", 3), ("b", 2)):
                some = range(rng.randint(1, most))
                rows[name] += [f"({k}, {i}, '{name}{k}', {rng.randrange(9)})" for i in some]
            rows["c"].append(f"('a{k}', {k})")
        for i in range(4):
            rows["r"].append(f"({i}, 'r{i}')")
            rows["h"].append(f"({i}, 'a{i}', {i})")
        for name, values in rows.items():
            cluster.execute(f"INSERT INTO {name} VALUES {', '.join(values)}")
    return made


@pytest.fixture
def clusters(
    filled: tuple[PlannedCluster, PlannedCluster],
) -> Iterator[tuple[PlannedCluster, PlannedCluster]]:
    """The same, for a test that may change what it likes."""
    connections = [group.connection for cluster in filled for group in cluster.shards.values()]
    for connection in connections:
        connection.execute("BEGIN")
    yield filled
    for connection in connections:
        connection.execute("ROLLBACK")


def rows_of(cluster: PlannedCluster, name: str) -> list[list[tuple[Value, ...]]]:
    """Of each shard."""
    table = cluster.catalog.tables[name]
    shards = cluster.catalog.shards_of(table)
    return [sorted(cluster.shards[s].run(f'SELECT * FROM "{name}"', ())[1]) for s in shards]


@pytest.mark.parametrize("sql", STATEMENTS)
def test_three_shards_come_to_what_one_does(
    clusters: tuple[PlannedCluster, PlannedCluster], sql: str
) -> None:
    many, one = clusters
    columns, rows, count = many.execute(sql)
    wanted_columns, wanted, wanted_count = one.execute(sql)
    assert (columns, sorted(map(repr, rows)), count) == (
        wanted_columns,
        sorted(map(repr, wanted)),
        wanted_count,
    )
    assert count > 0
    catalog = many.catalog
    for name, key in (("a", 0), ("b", 0), ("c", 0), ("h", -1), ("r", -1)):
        each = rows_of(many, name)
        [there] = rows_of(one, name)
        if key < 0:
            assert each == [there] * len(each)
            continue
        assert sorted(row for some in each for row in some) == there
        find = slot_finder(key_type(catalog.tables[name]))
        for shard, some in zip(catalog.shards, each, strict=True):
            assert {catalog.owner(find(row[key]))[0] for row in some} <= {shard}


def test_rows_are_numbered_in_the_order_of_the_query(
    clusters: tuple[PlannedCluster, PlannedCluster],
) -> None:
    many, _ = clusters
    wanted = [v for (v,) in many.execute("SELECT v FROM a ORDER BY n, k, id")[1]]
    sql = "INSERT INTO s (v) SELECT v FROM a ORDER BY n, k, id RETURNING id, v"
    assert many.execute(sql)[1] == list(enumerate(wanted, 1))
    assert many.execute("SELECT count(*), max(id) FROM s")[1] == [(len(wanted), len(wanted))]


def test_a_row_of_from_that_is_not_the_only_one_is_an_error(
    clusters: tuple[PlannedCluster, PlannedCluster],
) -> None:
    for cluster in clusters:
        with pytest.raises(RouterError) as caught:
            cluster.execute("UPDATE a SET n = c.n FROM c WHERE c.n < 3")
        assert caught.value.sqlstate == "21000"


def test_what_cannot_be_done_right_is_refused(
    clusters: tuple[PlannedCluster, PlannedCluster],
) -> None:
    many, _ = clusters
    for sql, word in (
        ("UPDATE a SET k = 1 WHERE k = 2 RETURNING (SELECT max(m) FROM b)", "RETURNING"),
        ("UPDATE k SET v = a.v FROM a WHERE a.k = k.id", "by rows of other shards"),
        ("INSERT INTO b SELECT n, 1, relname FROM a, pg_class", "catalogs"),
        ("UPDATE p SET id = 5 WHERE id = 4", "shard key"),
    ):
        with pytest.raises(RouterError, match=word) as caught:
            many.execute(sql)
        assert caught.value.sqlstate == "0A000"
