"""The catalogs answer what clients ask as PostgreSQL 15 does, whose answers were recorded."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from nodes.values import encode_text
from shardrouter.catalog import Catalog
from shardrouter.catalogs.database import CatalogDatabase
from shardrouter.catalogs.world import World
from shardrouter.errors import RouterError
from shardrouter.plan import bind, make_plan
from shardrouter.planned import Answer, CatalogQuery
from shardrouter.roles import Role
from shardrouter.settings import Settings
from tests.shardrouter.catalog_queries import (
    CLIENTS,
    DIRECTORY,
    NAMES_OF_OIDS,
    filled,
    in_order,
    queries,
    renamed,
    statements,
)
from tests.shardrouter.catalogs import EMPTY, changed


@cache
def library() -> Catalog:
    catalog = EMPTY
    for sql in statements((DIRECTORY / "schema.sql").read_text(encoding="utf-8")):
        catalog = changed(catalog, sql, "home")
    return catalog


@cache
def database() -> CatalogDatabase:
    return CatalogDatabase()


def asked(sql: str, catalog: Catalog) -> tuple[list[list[Any]], list[list[str | None]]]:
    """Columns with their types, and rows of texts."""
    plan = make_plan(sql, catalog)
    settings = Settings()
    if isinstance(plan, Answer):
        rows = list(plan.rows)
    else:
        assert isinstance(plan, CatalogQuery), plan
        world = World(
            catalog,
            user="postgres",
            roles=(Role("postgres", may_log_in=True, is_superuser=True),),
            settings=settings.all(),
        )
        formats = (False,) * len(plan.columns)
        answered = database().run(plan, bind(plan, ()), world, settings, formats, 0, lambda: False)
        rows = answered.rows
    texts = [
        [
            None if value is None else encode_text(value, column.oid).decode()
            for value, column in zip(row, plan.columns, strict=True)
        ]
        for row in rows
    ]
    return [[column.name, column.oid] for column in plan.columns], texts


@cache
def numbers() -> dict[str, int]:
    _, rows = asked(NAMES_OF_OIDS, library())
    return {str(name): int(oid or "0") for oid, name in rows}


def answer(query: str) -> dict[str, Any]:
    names = {str(oid): name for name, oid in numbers().items()}
    try:
        columns, rows = asked(filled(query, numbers()), library())
    except RouterError as exc:
        return {"error": exc.sqlstate, "message": exc.message}
    return {"columns": columns, "rows": in_order(query, renamed(rows, names))}


def expected(client: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DIRECTORY / f"{client}.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("client", CLIENTS)
def test_what_clients_ask_is_answered_as_postgresql_answers(client: str) -> None:
    for query, wanted in zip(queries(client), expected(client), strict=True):
        assert answer(query) == wanted, query


def test_what_is_built_in_stays_when_the_catalog_is_another_one() -> None:
    sql = (
        "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_attribute), "
        "(SELECT count(*) FROM pg_type), (SELECT count(*) FROM pg_class WHERE relname = 'seen')"
    )
    _, [before] = asked(sql, EMPTY)
    one = changed(EMPTY, "CREATE TABLE seen (a int, b int)", "home")
    _, [after] = asked(sql, one)
    added = [int(b or 0) - int(a or 0) for a, b in zip(before, after, strict=True)]
    assert added == [1, 8, 2, 1]  # with six columns of the system, and the array of the row type
    assert asked(sql, EMPTY)[1] == [before]
    assert asked(sql, changed(one, "DROP TABLE seen"))[1] == [before]
