"""Home and reference tables, on the planned cluster: where they are made, what writes them."""

from __future__ import annotations

import sqlite3

import pytest

from shardrouter.errors import NotSupported
from tests.shardrouter.planning import PlannedCluster


def test_a_home_table_is_on_the_home_shard_alone() -> None:
    cluster = PlannedCluster(3)
    cluster.execute("CREATE TABLE h (a int, b text)")
    home = cluster.catalog.home
    cluster.execute("INSERT INTO h VALUES (1, 'x'), (1, 'x')")
    cluster.execute("UPDATE h SET b = 'y' WHERE a = 1")
    assert cluster.execute("SELECT * FROM h")[1] == [(1, "y"), (1, "y")]
    assert cluster.shards[home].connection.execute("SELECT count(*) FROM h").fetchone() == (2,)
    for name in cluster.shards.keys() - {home}:
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            cluster.shards[name].connection.execute("SELECT 1 FROM h")
    cluster.execute("DELETE FROM h")
    assert cluster.execute("SELECT count(*) FROM h")[1] == [(0,)]
    cluster.execute("DROP TABLE h")


def test_a_reference_table_is_on_every_shard_and_changed_on_every_shard() -> None:
    for count in (3, 1):
        cluster = PlannedCluster(count)
        cluster.execute("CREATE TABLE r (id int PRIMARY KEY, b text) WITH (reference = true)")
        for group in cluster.shards.values():
            assert group.connection.execute("SELECT * FROM r").fetchall() == []
        assert cluster.execute("SELECT * FROM r")[1] == []
        assert cluster.execute("INSERT INTO r VALUES (1, 'x'), (2, 'x')")[2] == 2
        assert cluster.execute("UPDATE r SET b = 'y' WHERE id = 1")[2] == 1
        assert cluster.execute("DELETE FROM r WHERE b = 'x' RETURNING id")[1] == [(2,)]
        for group in cluster.shards.values():
            assert group.connection.execute("SELECT * FROM r").fetchall() == [(1, "y")]


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO r VALUES (1, gen_random_uuid()::text)",
    ],
)
def test_what_the_shards_may_not_do_alike_is_refused(change: str) -> None:
    cluster = PlannedCluster(3)
    cluster.execute("CREATE TABLE r (id int PRIMARY KEY, b text) WITH (reference = true)")
    cluster.execute("CREATE TABLE h (id int PRIMARY KEY, b text) WITH (home = true)")
    with pytest.raises(NotSupported, match="reference table"):
        cluster.execute(change)
