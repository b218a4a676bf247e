"""The catalogs computed by the router: numbers that last, limits, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shardrouter.catalog import Catalog
from shardrouter.catalogs.database import CatalogDatabase
from shardrouter.catalogs.objects import Objects
from shardrouter.catalogs.world import World
from shardrouter.errors import NotSupported, RouterError
from shardrouter.plan import make_plan
from shardrouter.planned import CatalogQuery
from shardrouter.settings import Settings
from tests.shardrouter.catalogs import catalog_of, changed

CATALOG = catalog_of(
    "CREATE TABLE a (id int PRIMARY KEY, x text)", "CREATE TABLE b (id int PRIMARY KEY)"
)


def rows(sql: str, catalog: Catalog = CATALOG, *, is_over: bool = False) -> list[tuple[Any, ...]]:
    plan = make_plan(sql, catalog)
    assert isinstance(plan, CatalogQuery)
    database = CatalogDatabase()
    answered = database.run(plan, (), World(catalog), Settings(), None, 0, lambda: is_over)
    database.close()
    return answered.rows


def failure(sql: str, *, is_over: bool = False) -> tuple[str, str]:
    with pytest.raises(RouterError) as caught:
        rows(sql, is_over=is_over)
    return caught.value.sqlstate, caught.value.message


def test_a_number_stays_and_is_not_given_to_what_comes_later() -> None:
    before = Objects(CATALOG)
    after = Objects(changed(CATALOG, "CREATE INDEX i ON a (x)"))
    assert set(before.tables) == set(after.tables)
    a = CATALOG.tables["a"]
    anew = replace(CATALOG, tables={**CATALOG.tables, "a": replace(a, created=a.created + 7)})
    assert not set(Objects(anew).tables) & {before.find("a")}
    assert len(before.relations) == len({*before.relations, *before.by_name.values()})


def test_names_become_numbers_and_back() -> None:
    assert rows("SELECT 'a'::regclass, 'pg_class'::regclass::oid") == [("a", 1259)]
    assert rows("SELECT 'int4'::regtype, 'integer[]'::regtype::oid") == [("integer", 1007)]
    assert rows("SELECT to_regclass('nope')") == [(None,)]
    assert failure("SELECT 'nope'::regclass") == ("42P01", 'relation "nope" does not exist')
    assert failure("SELECT 'nope'::regtype") == ("42704", 'type "nope" does not exist')


def test_a_foreign_key_names_the_index_of_what_it_refers_to() -> None:
    catalog = catalog_of(
        "CREATE TABLE p (a int, b int, PRIMARY KEY (a, b), UNIQUE (b, a))",
        "CREATE TABLE u (id int PRIMARY KEY, v int, CONSTRAINT v_key UNIQUE (id, v))",
        "CREATE TABLE c (a int PRIMARY KEY, b int, FOREIGN KEY (a, b) REFERENCES p (a, b))",
        "CREATE TABLE d (a int PRIMARY KEY, b int, FOREIGN KEY (a, b) REFERENCES u (id, v))",
    )
    sql = "SELECT conindid::regclass FROM pg_constraint WHERE contype = 'f' ORDER BY conname"
    assert rows(sql, catalog) == [("p_pkey",), ("v_key",)]


def test_settings_are_read_and_set() -> None:
    assert rows("SELECT current_setting('jit'), set_config('jit', 'on', false)") == [("off", "on")]
    assert rows("SELECT current_setting('no.such', true)") == [(None,)]
    assert failure("SELECT current_setting('nope')")[0] == "42704"


def test_a_query_ends_when_nobody_waits() -> None:
    endless = "SELECT count(*) FROM pg_attribute a, pg_attribute b, pg_attribute c"
    assert failure(endless, is_over=True)[0] == "57014"


def test_an_answer_has_a_limit() -> None:
    sql = "SELECT a.*, b.* FROM pg_attribute a, pg_attribute b"
    assert failure(sql)[0] == "54000"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM a, pg_class",
        "SELECT * FROM a WHERE x = current_setting('jit')",
        "DELETE FROM a WHERE id = 'a'::regclass::oid::int",
        "INSERT INTO a SELECT 1, relname FROM pg_class",
        "SELECT relname FROM pg_class FOR UPDATE",
    ],
)
def test_tables_and_catalogs_do_not_mix(sql: str) -> None:
    with pytest.raises(NotSupported):
        make_plan(sql, CATALOG)


def test_a_table_is_not_defined_by_what_the_router_knows() -> None:
    with pytest.raises(NotSupported, match="definition of a table"):
        catalog_of("CREATE TABLE t (id int PRIMARY KEY, s text DEFAULT current_setting('jit'))")
    with pytest.raises(NotSupported, match='type "oid"'):
        catalog_of("CREATE TABLE t (id oid PRIMARY KEY)")


def test_sets_advance_together() -> None:
    sql = (
        "SELECT unnest(conkey), generate_subscripts(conkey, 1) FROM pg_constraint "
        "WHERE conrelid = 'a'::regclass"
    )
    assert rows(sql) == [(1, 1)]
    sql = (
        "SELECT k, n FROM pg_class, unnest(ARRAY[7, 8], ARRAY['x']) WITH ORDINALITY u(k, t, n) "
        "WHERE relname = 'a' ORDER BY n"
    )
    assert rows(sql) == [(7, 1), (8, 2)]
