"""Views over tables of several shards, on the planned cluster: where they run."""

from __future__ import annotations

import pytest

from shardrouter.errors import NotSupported
from tests.shardrouter.planning import PlannedCluster


def test_a_view_runs_where_its_tables_are() -> None:
    cluster = PlannedCluster(3)
    cluster.execute("CREATE TABLE a (k int PRIMARY KEY, n int)")
    cluster.execute("CREATE TABLE b (k int, i int, m text, PRIMARY KEY (k, i))")
    cluster.execute("CREATE TABLE h (n int)")
    cluster.execute("CREATE VIEW both_of AS SELECT a.k, n, m FROM a JOIN b ON a.k = b.k")
    cluster.execute("CREATE VIEW home_of AS SELECT n + 1 AS next FROM h")
    cluster.execute("CREATE VIEW mixed AS SELECT h.n FROM a, h")
    for k in range(20):
        cluster.execute(f"INSERT INTO a VALUES ({k}, {k * 10})")
        cluster.execute(f"INSERT INTO b VALUES ({k}, 1, 'm{k}')")
    cluster.execute("INSERT INTO h VALUES (1)")
    for k in range(20):
        found = cluster.execute(f"SELECT n, m FROM both_of WHERE k = {k}")[1]
        assert found == [(k * 10, f"m{k}")]
    assert cluster.execute("SELECT next FROM home_of")[1] == [(2,)]
    assert len(cluster.execute("SELECT * FROM both_of")[1]) == 20
    assert cluster.execute("SELECT * FROM mixed")[1] == [(1,)] * 20


def test_a_condition_pins_nothing_beneath_what_looks_at_other_rows() -> None:
    """The first of all rows, or their number, is not that of the rows of one key."""
    cluster = PlannedCluster(3)
    cluster.execute("CREATE TABLE a (k int PRIMARY KEY, n int)")
    for k in range(20):
        cluster.execute("INSERT INTO a VALUES ($1, $2)", k, 50 - k % 5)
    for inner, found in (
        ("SELECT k, n FROM a ORDER BY n, k LIMIT 1", [(46,)]),
        ("SELECT k, row_number() OVER (ORDER BY n, k) AS n FROM a", [(1,)]),
        ("SELECT DISTINCT ON (n) k, n FROM a ORDER BY n, k", [(46,)]),
        ("SELECT min(k) + 4 AS k, max(n) AS n FROM a", [(50,)]),
    ):
        assert cluster.execute(f"SELECT n FROM ({inner}) s WHERE k = 4")[1] == found
    assert cluster.execute("DELETE FROM a WHERE k = 5")[2] == 1
    cluster.execute("INSERT INTO a VALUES (5, 50)")
    assert cluster.execute("SELECT n FROM (SELECT k, n FROM a) s WHERE k = 5")[1] == [(50,)]


def test_a_router_that_has_not_heard_of_a_change_is_refused_by_the_shards() -> None:
    """The shards have the version of a view, and a command that relies on it says so."""
    cluster = PlannedCluster(3)
    cluster.execute("CREATE VIEW one AS SELECT 1 AS n")
    before = cluster.catalog.tables["one"].version
    guarded = [group for group in cluster.shards.values() if "table:one" in group.versions]
    assert [group.versions["table:one"] for group in guarded] == [before]
    cluster.execute("CREATE OR REPLACE VIEW one AS SELECT 2 AS n")
    assert guarded[0].versions["table:one"] == cluster.catalog.tables["one"].version > before
    assert cluster.execute("SELECT n FROM one")[1] == [(2,)]


def test_a_view_that_would_answer_otherwise_is_refused() -> None:
    cluster = PlannedCluster(1)
    cluster.execute("CREATE TABLE t (a int)")
    cluster.execute("CREATE VIEW v AS SELECT a FROM t")
    for refused, message in (
        ("CREATE VIEW w AS SELECT relname FROM pg_class", "a view of the system catalogs"),
        ("CREATE VIEW w AS SELECT row_to_json(t) FROM t", 'the row of "t" in a view'),
        ("CREATE OR REPLACE VIEW v AS SELECT a FROM v", "would read itself"),
        ("CREATE MATERIALIZED VIEW w AS SELECT 1", "CREATE MATERIALIZED"),
        ("CREATE VIEW w AS SELECT a FROM t WITH CHECK OPTION", "WITH CHECK OPTION"),
        ("INSERT INTO v VALUES (1)", "writing to the view"),
    ):
        with pytest.raises(NotSupported, match=message) as found:
            cluster.execute(refused)
        assert found.value.hint
