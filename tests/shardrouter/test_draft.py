"""Drafts: catalogs as transactions have changed them, and what becomes of them at COMMIT."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from shardrouter.catalog import Catalog
from shardrouter.draft import (
    DRAFTED,
    Draft,
    begin_draft,
    committed,
    drafted,
    is_drafted,
    on_other_catalog,
)
from shardrouter.errors import RouterError, StatementError
from shardrouter.schema_change import publication, published, versions_on
from shardrouter.tables import Change
from tests.shardrouter.catalogs import definition_of
from tests.shardrouter.planning import PlannedCluster, StaleVersionError

A = "CREATE TABLE a (id serial PRIMARY KEY, n int) WITH (home = true)"
B = "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a) WITH (home = true)"
PATH = ("public",)
TEXTS = (
    A,
    B,
    "CREATE TABLE a (name text) WITH (home = true)",
    "DROP TABLE a",
    "DROP TABLE a CASCADE",
    "DROP TABLE IF EXISTS b",
    "CREATE INDEX i ON a (id)",
    "DROP INDEX i",
    "ALTER TABLE a ADD CONSTRAINT c CHECK (id > 0)",
    "CREATE SEQUENCE s START 7",
    "DROP SEQUENCE IF EXISTS s",
)


def draft_of(catalog: Catalog, *texts: str, version: int = DRAFTED) -> Draft:
    draft = begin_draft(catalog)
    for number, sql in enumerate(texts, version):
        draft, _ = drafted(draft, definition_of(sql, catalog), "sharded", PATH, number)
    return draft


def changes_of(catalog: Catalog, draft: Draft) -> tuple[Change, ...]:
    changes = committed(draft, catalog)
    assert changes is not None
    return changes


def plain(catalog: Catalog) -> tuple[object, ...]:
    """All but the catalog's own version, and what pends."""
    known = replace(catalog, version=0, pending=None)
    return known.tables, known.sequences, known.dropped, known.elsewhere


@pytest.mark.parametrize("seed", range(30))
def test_what_is_published_is_what_the_session_saw(seed: int) -> None:
    rng = random.Random(seed)
    cluster = PlannedCluster(2)
    for _ in range(3):  # transactions
        base = cluster.catalog
        draft = begin_draft(base)
        for number in range(rng.randrange(1, 6)):
            definition = definition_of(rng.choice(TEXTS), base)
            try:
                draft, _ = drafted(draft, definition, "sharded", PATH, DRAFTED + 2 * number)
            except RouterError:
                continue
        changes = changes_of(base, draft)
        made = publication(base, changes, ())
        cluster.meta.write(made)
        with pytest.raises(StaleVersionError):
            cluster.meta.write(made)
        seen = base
        for each in changes:
            seen = published(seen, each)
        assert plain(cluster.catalog) == plain(seen)
        versions = {table.version for table in cluster.catalog.tables.values()}
        versions |= set(cluster.catalog.dropped.values()) | set(cluster.catalog.elsewhere.values())
        assert not any(map(is_drafted, versions))
        names = {name: table.columns for name, table in draft.catalog.tables.items()}
        assert names == {n: table.columns for n, table in cluster.catalog.tables.items()}


def test_a_plain_change_is_published_as_it_is_seen() -> None:
    cluster = PlannedCluster(2)
    for sql in ("CREATE TABLE k (id int PRIMARY KEY)", A, B, "DROP TABLE k", "DROP TABLE b"):
        base = cluster.catalog
        _, begun = drafted(
            begin_draft(base), definition_of(sql, base), "sharded", PATH, base.version + 1
        )
        assert begun.change is not None
        cluster.execute(sql)
        assert plain(cluster.catalog) == plain(published(base, begun.change))


def test_versions_of_a_draft_stay_in_it() -> None:
    cluster = PlannedCluster(2)
    cluster.execute(A)
    base = cluster.catalog
    draft = draft_of(base, "CREATE INDEX i ON a (n)", B, "DROP TABLE b", B)
    assert is_drafted(draft.catalog.version)
    assert all(is_drafted(table.version) for table in draft.catalog.tables.values())
    assert draft.published_version("a") == base.tables["a"].version
    assert draft.published_version("b") == 0
    assert draft.published_version("other") is None
    changes = changes_of(base, draft)
    moves = [moved for each in changes for moved in each.tables]
    versions = [each.version for each in changes]
    versions += [number for moved in moves for number in (moved.previous, moved.elsewhere)]
    versions += [t.version for moved in moves for t in (moved.before, moved.after) if t]
    assert not any(map(is_drafted, versions))
    assert {each.version for each in changes} == {base.version + 1}
    assert {s.object: s.version for s in versions_on(base, changes, base.home)} == {
        "table:a": base.version + 1,
        "table:b": base.version + 1,
    }


def test_a_draft_on_another_catalog() -> None:
    cluster = PlannedCluster(2)
    cluster.execute(A)
    draft = draft_of(cluster.catalog, B, "CREATE INDEX i ON a (n)")
    cluster.execute("CREATE TABLE other (id int PRIMARY KEY)")
    moved = on_other_catalog(draft, cluster.catalog, DRAFTED + 100)
    assert moved is not None
    assert moved.catalog.version == DRAFTED + 100
    assert set(moved.catalog.tables) == {"a", "b", "other"}
    assert moved.catalog.tables["b"] == draft.catalog.tables["b"]
    for sql in ("CREATE INDEX j ON a (n)", "CREATE INDEX i ON other (id)", "DROP TABLE a CASCADE"):
        elsewhere = PlannedCluster(2)
        for before in (A, "CREATE TABLE other (id int PRIMARY KEY)", sql):
            elsewhere.execute(before)
        assert on_other_catalog(draft, elsewhere.catalog, DRAFTED + 100) is None, sql
        assert committed(draft, elsewhere.catalog) is None, sql


def test_what_was_skipped_has_to_be_skipped_again() -> None:
    cluster = PlannedCluster(2)
    cluster.execute(A)
    draft = draft_of(cluster.catalog, A.replace("TABLE", "TABLE IF NOT EXISTS"))
    assert draft.changes == ()
    cluster.execute("DROP TABLE a")
    assert committed(draft, cluster.catalog) is None


def test_numbers_of_a_sequence_are_published_as_far_as_they_were_given_out() -> None:
    cluster = PlannedCluster(2)
    base = cluster.catalog
    draft = draft_of(base, "CREATE SEQUENCE s", "CREATE SEQUENCE unused START 4")
    cluster.meta.write(publication(base, changes_of(base, draft), (("s", 12, True),)))
    rows = cluster.meta.connection.execute(
        'SELECT "name", "last", "is_called" FROM "catalog_sequences" ORDER BY 1'
    ).fetchall()
    assert rows == [("s", 12, 1), ("unused", 4, 0)]


def test_a_statement_that_cannot_be_leaves_the_draft_as_it_was() -> None:
    cluster = PlannedCluster(2)
    draft = draft_of(cluster.catalog, A)
    with pytest.raises(StatementError):
        drafted(draft, definition_of(A, cluster.catalog), "sharded", PATH, DRAFTED + 9)
    assert isinstance(draft.changes[0], Change)
    assert len(draft.steps) == 1
