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


def test_a_reference_table_is_on_every_shard_and_changed_only_where_there_is_one() -> None:
    for count in (3, 1):
        cluster = PlannedCluster(count)
        cluster.execute("CREATE TABLE r (id int PRIMARY KEY, b text) WITH (reference = true)")
        for group in cluster.shards.values():
            assert group.connection.execute("SELECT * FROM r").fetchall() == []
        assert cluster.execute("SELECT * FROM r")[1] == []
        changes = ("INSERT INTO r VALUES (1, 'x')", "UPDATE r SET b = 'y'", "DELETE FROM r")
        for change in changes:
            if count == 1:
                cluster.execute(change)
            else:
                with pytest.raises(NotSupported, match="reference table"):
                    cluster.execute(change)
