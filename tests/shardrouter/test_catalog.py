"""The catalog: what is written is what is read, and schema changes that stop half way."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from nodes.protocol import ENTRY_BYTES_MAX, Guard, StatementResult
from nodes.values import SLOTS
from shardrouter.catalog import (
    FIRST_VERSION,
    LOAD_GUARDS,
    Catalog,
    CatalogError,
    bootstrap,
    decode,
    ownership,
    slot_guard,
    table_guard,
)
from shardrouter.definition_changes import begin
from shardrouter.errors import StatementError
from shardrouter.placement import assign_slots
from shardrouter.schema_change import mark, publish, shard_parts, take_back, undo_parts
from shardrouter.tables import (
    Change,
    Check,
    Column,
    Default,
    ForeignKey,
    Index,
    Key,
    Table,
    TableChange,
)
from tests.shardrouter.catalogs import definition_of
from tests.shardrouter.planning import Group, PlannedCluster, StaleVersionError

KV = "CREATE TABLE kv (k bigint PRIMARY KEY, v text)"


# --------------------------------------------------------------------------- bootstrap


def test_a_fresh_catalog_says_who_owns_each_slot() -> None:
    catalog = PlannedCluster(3).catalog
    assert catalog.version == FIRST_VERSION
    assert catalog.shards == ("s1", "s2", "s3")
    assert list(catalog.slots) == assign_slots(["s1", "s2", "s3"])
    assert set(catalog.slot_versions) == {FIRST_VERSION}
    assert not catalog.tables
    assert not catalog.pending


def test_exactly_the_owner_of_a_slot_has_its_version() -> None:
    cluster = PlannedCluster(3)
    for slot in range(0, SLOTS, 997):
        guard = slot_guard(cluster.catalog, slot)
        for name, group in cluster.shards.items():
            if name == cluster.catalog.shard_of(slot):
                group.check([guard])
            else:
                with pytest.raises(StaleVersionError):
                    group.check([guard])


def test_a_bootstrap_is_refused_the_second_time() -> None:
    cluster = PlannedCluster(2)
    names, slots = ["s1", "s2"], assign_slots(["s1", "s2"])
    with pytest.raises(StaleVersionError) as stale:
        cluster.meta.write(bootstrap(names, slots))
    assert stale.value.have == FIRST_VERSION
    parts = ownership("s1", names, slots)
    assert parts is not None
    with pytest.raises(StaleVersionError):
        cluster.shards["s1"].write(parts)


def test_the_load_tells_a_new_cluster_and_another_format() -> None:
    meta = Group()
    with pytest.raises(StaleVersionError) as stale:
        meta.check(LOAD_GUARDS)
    assert stale.value.have == 0
    PlannedCluster(1).meta.check(LOAD_GUARDS)


def test_one_entry_holds_the_bootstrap_of_any_cluster() -> None:
    for count in (1, 1000):
        names = [f"shard{i}" for i in range(count)]
        slots = assign_slots(names)
        largest = max((ownership(name, names, slots) for name in names[:3]), key=repr)
        assert largest is not None
        for parts in (largest, bootstrap(names, slots)):
            body = (parts.statements, parts.guards, parts.sets)
            assert len(msgspec.msgpack.encode(body)) < ENTRY_BYTES_MAX // 2


def test_a_shard_without_slots_needs_no_ownership() -> None:
    assert ownership("s2", ["s1", "s2"], [0] * SLOTS) is None


def test_garbage_in_meta_is_named() -> None:
    empty = StatementResult(0)
    for results in ([empty, empty, empty], [], [StatementResult(1, values=((1, b"", b""),))] * 3):
        with pytest.raises(CatalogError, match="cannot be read"):
            decode(results)


def test_a_table_survives_its_definition() -> None:
    table = Table(
        "t",
        7,
        (
            Column("id", "bigint", True, identity="always"),
            Column("é", "text", False, Default("'it''s'", value="it's")),
            Column("f", "double precision", False, Default("9e999", value=float("inf"))),
            Column("ok", "boolean", True, Default("1", value=True)),
            Column("raw", "bytea", True, Default("x'00ff'", value=b"\x00\xff")),
            Column("at", "bigint", False, Default("pg_clock()", is_constant=False), 7),
        ),
        ("id", "é"),
        "é",
        "reference",
        "t_pkey",
        (Key("t_key", ("é", "f")),),
        (Check("t_check", '"id" > 0', "id > 0"),),
        (ForeignKey("t_fkey", ("id",), "u", ("id",), "CASCADE", "SET NULL"),),
        (Index("i", True, "CREATE ...", ("ok",), ("ok",), ""),),
        ("u",),
    )
    change = Change(8, (TableChange("t", 7, 0, ("x",), ("y",), table, None),), (), ("s",), 9)
    for value in (table, change):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=type(value)) == value


# --------------------------------------------------------------------------- changes


def test_a_created_table_is_published_with_a_version_that_shards_check() -> None:
    cluster = PlannedCluster(3)
    cluster.execute(KV)
    table = cluster.catalog.tables["kv"]
    assert table.columns == (Column("k", "bigint", True), Column("v", "text"))
    for group in cluster.shards.values():
        group.check([table_guard(table)])
    cluster.execute("INSERT INTO kv VALUES (1, 'one')")
    assert cluster.execute("SELECT v FROM kv WHERE k = 1")[1] == [("one",)]


def begun(catalog: Catalog, sql: str) -> Change:
    change = begin(catalog, definition_of(sql)).change
    assert change is not None
    return change


def test_a_table_is_invisible_until_every_shard_has_it() -> None:
    cluster = PlannedCluster(2)
    change = begun(cluster.catalog, KV)
    cluster.meta.write(mark(cluster.catalog, change))
    assert "kv" not in cluster.catalog.tables
    assert cluster.catalog.pending == change


@pytest.mark.parametrize("shards_done", [0, 1, 2])
def test_whoever_finds_a_pending_change_finishes_it(shards_done: int) -> None:
    """The router that began it died after some shards; another one only has the catalog."""
    cluster = PlannedCluster(2)
    catalog = cluster.catalog
    change = begun(catalog, KV)
    cluster.meta.write(mark(catalog, change))
    for name in list(cluster.shards)[:shards_done]:
        cluster.shards[name].write(shard_parts(catalog, change, name))
    catalog = cluster.catalog
    found = catalog.pending
    assert found == change
    for name, group in cluster.shards.items():
        try:
            group.write(shard_parts(catalog, found, name))
        except StaleVersionError as stale:
            assert stale.have == found.version  # noqa: PT017 -- the refusal says it is done
    cluster.meta.write(publish(catalog))
    assert cluster.catalog.pending is None
    cluster.execute("INSERT INTO kv VALUES (1, 'one')")


def test_two_routers_do_not_change_the_schema_at_once() -> None:
    cluster = PlannedCluster(1)
    catalog = cluster.catalog
    first = begun(catalog, KV)
    second = begun(catalog, "CREATE TABLE other (id int PRIMARY KEY)")
    cluster.meta.write(mark(catalog, first))
    with pytest.raises(StaleVersionError):
        cluster.meta.write(mark(catalog, second))


def test_a_creation_that_arrives_late_does_not_bring_a_dropped_table_back() -> None:
    cluster = PlannedCluster(1)
    catalog = cluster.catalog
    change = begun(catalog, KV)
    cluster.meta.write(mark(catalog, change))
    late = shard_parts(catalog, change, "s1")
    cluster.shards["s1"].write(late)
    cluster.meta.write(publish(cluster.catalog))
    cluster.execute("DROP TABLE kv")
    with pytest.raises(StaleVersionError):
        cluster.shards["s1"].write(late)
    assert "kv" not in cluster.catalog.tables


def test_a_table_that_comes_again_has_a_version_of_its_own() -> None:
    cluster = PlannedCluster(2)
    versions = []
    for _ in range(3):
        cluster.execute(KV)
        versions.append(cluster.catalog.tables["kv"].version)
        cluster.execute("DROP TABLE kv")
    assert versions == sorted(set(versions))
    assert cluster.catalog.dropped["kv"] > versions[-1]


def test_several_tables_are_dropped_at_once() -> None:
    cluster = PlannedCluster(2)
    for name in ("a", "b", "c"):
        cluster.execute(f"CREATE TABLE {name} (id int PRIMARY KEY)")
    cluster.execute("DROP TABLE IF EXISTS a, c, nope, a")
    assert set(cluster.catalog.tables) == {"b"}
    (notice,) = begin(cluster.catalog, definition_of("DROP TABLE IF EXISTS a, b")).notices
    assert notice.message == 'table "a" does not exist, skipping'
    with pytest.raises(StatementError, match='table "nope" does not exist') as error:
        cluster.execute("DROP TABLE b, nope")
    assert error.value.sqlstate == "42P01"
    assert set(cluster.catalog.tables) == {"b"}


def test_a_table_that_exists_is_an_error_or_nothing_to_do() -> None:
    cluster = PlannedCluster(1)
    cluster.execute(KV)
    cluster.execute(KV.replace("TABLE", "TABLE IF NOT EXISTS"))
    with pytest.raises(StatementError) as error:
        cluster.execute(KV)
    assert error.value.sqlstate == "42P07"


def test_tables_whose_names_differ_only_by_case_are_two() -> None:
    cluster = PlannedCluster(1)
    cluster.execute(KV)
    cluster.execute('CREATE TABLE "KV" (id int PRIMARY KEY)')
    cluster.execute('INSERT INTO "KV" VALUES (7)')
    assert cluster.execute('SELECT * FROM "KV"')[1] == [(7,)]
    assert cluster.execute("SELECT * FROM kv")[1] == []


@pytest.mark.parametrize("shards_done", [0, 1, 2])
def test_a_change_that_a_shard_refuses_is_taken_back_from_those_that_made_it(
    shards_done: int,
) -> None:
    cluster = PlannedCluster(2)
    cluster.execute(KV)
    before = cluster.catalog
    change = begun(before, "CREATE INDEX i ON kv (v)")
    cluster.meta.write(mark(before, change))
    for name in list(cluster.shards)[:shards_done]:
        cluster.shards[name].write(shard_parts(before, change, name))
    cluster.meta.write(take_back(cluster.catalog)[0])
    catalog = cluster.catalog
    found = catalog.pending
    assert isinstance(found, Change)
    assert found.undone > found.version
    for name, group in cluster.shards.items():
        try:
            group.write(undo_parts(catalog, found, name, made=True))
        except StaleVersionError:
            group.write(undo_parts(catalog, found, name, made=False))
        with pytest.raises(StaleVersionError):  # the change itself, arriving late
            group.write(shard_parts(before, change, name))
        assert not group.connection.execute(
            "SELECT 1 FROM sqlite_schema WHERE name = 'i'"
        ).fetchall()
    cluster.meta.write(publish(catalog))
    table = cluster.catalog.tables["kv"]
    assert table == dataclasses.replace(before.tables["kv"], version=found.undone)
    cluster.execute("CREATE INDEX i ON kv (v)")


def test_a_stale_plan_is_refused_by_the_shard() -> None:
    cluster = PlannedCluster(1)
    cluster.execute(KV)
    old = cluster.catalog.tables["kv"]
    cluster.execute("DROP TABLE kv")
    cluster.execute(KV)
    with pytest.raises(StaleVersionError) as stale:
        cluster.shards["s1"].check([table_guard(old)])
    assert stale.value.guard == Guard("table:kv", old.version)
