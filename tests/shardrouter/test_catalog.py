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
    Change,
    Column,
    Default,
    Table,
    bootstrap,
    decode,
    decode_table,
    encode_table,
    ownership,
    slot_guard,
    table_guard,
)
from shardrouter.errors import NotSupported, StatementError
from shardrouter.placement import assign_slots
from shardrouter.plan import make_plan
from shardrouter.planned import CreateTable, DropTable
from shardrouter.schema_change import abandon, begin_create, begin_drop, publish, shard_parts
from tests.shardrouter.planning import Group, PlannedCluster, StaleVersionError

KV = "CREATE TABLE kv (k bigint PRIMARY KEY, v text)"


def create_plan(sql: str) -> CreateTable:
    plan = make_plan(sql, Catalog(1, {}, (), (), ()))
    assert isinstance(plan, CreateTable)
    return plan


def raised(catalog: Catalog) -> Catalog:
    return dataclasses.replace(catalog, version=catalog.version + 1)


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
            Column("id", "bigint", True),
            Column("é", "text", False, Default("'it''s'", value="it's")),
            Column("f", "double precision", False, Default("9e999", value=float("inf"))),
            Column("ok", "boolean", True, Default("1", value=True)),
            Column("raw", "bytea", True, Default("x'00ff'", value=b"\x00\xff")),
            Column("at", "bigint", False, Default("pg_clock()", is_constant=False)),
        ),
        ("id", "é"),
        "é",
        (("é", "f"),),
        "reference",
    )
    assert decode_table("t", 7, encode_table(table)) == table


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


def test_a_table_is_invisible_until_every_shard_has_it() -> None:
    cluster = PlannedCluster(2)
    begun = begin_create(cluster.catalog, create_plan(KV))
    assert begun is not None
    mark, (change,) = begun
    cluster.meta.write(mark)
    assert "kv" not in cluster.catalog.tables
    assert cluster.catalog.pending == (change,)


@pytest.mark.parametrize("shards_done", [0, 1, 2])
def test_whoever_finds_a_pending_change_finishes_it(shards_done: int) -> None:
    """The router that began it died after some shards; another one only has the catalog."""
    cluster = PlannedCluster(2)
    begun = begin_create(cluster.catalog, create_plan(KV))
    assert begun is not None
    mark, (change,) = begun
    cluster.meta.write(mark)
    for group in list(cluster.shards.values())[:shards_done]:
        group.write(shard_parts(change))
    catalog = cluster.catalog
    for found in catalog.pending:
        for group in cluster.shards.values():
            try:
                group.write(shard_parts(found))
            except StaleVersionError as stale:
                assert stale.have == found.version  # noqa: PT017 -- the refusal says it is done
    cluster.meta.write(publish(catalog, catalog.pending))
    assert cluster.catalog.pending == ()
    cluster.execute("INSERT INTO kv VALUES (1, 'one')")


def test_two_routers_do_not_change_the_schema_at_once() -> None:
    cluster = PlannedCluster(1)
    catalog = cluster.catalog
    first = begin_create(catalog, create_plan(KV))
    second = begin_create(catalog, create_plan("CREATE TABLE other (id int PRIMARY KEY)"))
    assert first is not None
    assert second is not None
    cluster.meta.write(first[0])
    with pytest.raises(StaleVersionError):
        cluster.meta.write(second[0])


def test_a_creation_that_arrives_late_does_not_bring_a_dropped_table_back() -> None:
    cluster = PlannedCluster(1)
    begun = begin_create(cluster.catalog, create_plan(KV))
    assert begun is not None
    mark, changes = begun
    cluster.meta.write(mark)
    late = shard_parts(changes[0])
    cluster.shards["s1"].write(late)
    cluster.meta.write(publish(cluster.catalog, changes))
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
    _, _, missing = begin_drop(cluster.catalog, DropTable(("a", "b"), True))
    assert missing == ("a",)
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
    with pytest.raises(NotSupported, match="differ only by case"):
        cluster.execute('CREATE TABLE "KV" (id int PRIMARY KEY)')


def test_a_creation_that_no_shard_takes_is_abandoned() -> None:
    cluster = PlannedCluster(1)
    begun = begin_create(cluster.catalog, create_plan(KV))
    assert begun is not None
    mark, (change,) = begun
    cluster.meta.write(mark)
    cluster.meta.write(abandon(cluster.catalog, change))
    assert not cluster.catalog.pending
    cluster.execute(KV)
    assert cluster.catalog.tables["kv"].version > change.version


def test_a_stale_plan_is_refused_by_the_shard() -> None:
    cluster = PlannedCluster(1)
    cluster.execute(KV)
    old = cluster.catalog.tables["kv"]
    cluster.execute("DROP TABLE kv")
    cluster.execute(KV)
    with pytest.raises(StaleVersionError) as stale:
        cluster.shards["s1"].check([table_guard(old)])
    assert stale.value.guard == Guard("table:kv", old.version)


def test_a_change_is_a_value() -> None:
    table = Table("t", 2, (Column("id", "integer", True),), ("id",), "id")
    change = Change("t", "create", 0, 2, "CREATE ...", table)
    assert change == dataclasses.replace(change)
    assert raised(Catalog(4, {}, (), (), ())).version == 5
