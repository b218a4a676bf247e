"""Who a session is: current_user, and plans that are for one role only."""

from __future__ import annotations

import pytest

from shardrouter.errors import NotSupported
from shardrouter.identity import Identity
from shardrouter.plan import make_plan
from shardrouter.plan_cache import PlanCache
from shardrouter.planned import Answer, Constant, OneShard
from tests.shardrouter.planning import PlannedCluster

CLUSTER = PlannedCluster()
CLUSTER.execute("CREATE TABLE t (owner name NOT NULL, id text PRIMARY KEY)")
CATALOG = CLUSTER.catalog


async def test_a_plan_that_names_its_role_is_made_for_each() -> None:
    cache = PlanCache()
    for text in ("SELECT current_user", "SELECT session_user, id FROM t WHERE id = 'x'"):
        for user in ("ann", "ben"):
            prepared = await cache.make(text, (), CATALOG, user)
            shown = (
                prepared.plan.rows if isinstance(prepared.plan, Answer) else (prepared.plan.sql,)  # type: ignore[union-attr]
            )
            assert user in str(shown)
            assert cache.get(text, (), CATALOG, CATALOG.search_path) is None
    await cache.make("SELECT current_database()", (), CATALOG, "ann")
    assert cache.get("SELECT current_database()", (), CATALOG, CATALOG.search_path) is not None


def test_the_role_can_be_the_key_that_finds_the_shard() -> None:
    plan = make_plan("SELECT owner FROM t WHERE id = current_user", CATALOG, (), Identity("ann"))
    assert isinstance(plan, OneShard)
    assert plan.keys == (Constant("ann"),)


@pytest.mark.parametrize(
    "definition",
    [
        "CREATE TABLE n (id int PRIMARY KEY, w text DEFAULT current_user)",
        "CREATE TABLE n (id int PRIMARY KEY, w text CHECK (w <> current_user))",
    ],
)
def test_a_definition_is_for_all_roles(definition: str) -> None:
    with pytest.raises(NotSupported, match="current_user is not supported in the definition"):
        CLUSTER.execute(definition)
