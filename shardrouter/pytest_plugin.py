"""Fixtures for the tests of applications; pytest finds them where this package is installed.

    def test_orders(shardrouter_dsn):
        with psycopg.connect(shardrouter_dsn) as connection: ...

shardrouter_cluster   a `shardrouter.blocking.LocalCluster`, one for the whole run
shardrouter_dsn       its URL; tables that the test made are dropped when it ends
shardrouter_db        a `shardrouter.blocking.Router` on it, with the same promise

The ini options `shardrouter_nodes` (1) and `shardrouter_shards` (3) say how large it is. The
cluster runs on a thread and in processes of its own, so any test may use it, with an event loop or
without. Its files are kept in memory where the system has a place for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from shardrouter.blocking import LocalCluster, Router

__all__: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("shardrouter_nodes", "Nodes of the cluster for tests.", default="1")
    parser.addini("shardrouter_shards", "Shards of the cluster for tests.", default="3")


@pytest.fixture(scope="session")
def shardrouter_cluster(pytestconfig: pytest.Config) -> Iterator[LocalCluster]:
    """A cluster for the whole run."""
    from shardrouter.blocking import LocalCluster
    from shardrouter.local import MEMORY

    cluster = LocalCluster(
        nodes=int(pytestconfig.getini("shardrouter_nodes")),
        shards=int(pytestconfig.getini("shardrouter_shards")),
        in_memory=MEMORY.is_dir(),
    )
    with cluster:
        yield cluster


@pytest.fixture
def shardrouter_db(shardrouter_cluster: LocalCluster) -> Iterator[Router]:
    """The router of that cluster; the tables that are there afterwards are dropped."""
    router = shardrouter_cluster.router
    yield router
    for row in router.fetch("SHOW TABLES"):
        name = row["name"].replace('"', '""')
        router.execute(f'DROP TABLE "{name}" CASCADE')


@pytest.fixture
def shardrouter_dsn(shardrouter_cluster: LocalCluster, shardrouter_db: Router) -> str:
    """The URL of that cluster for any PostgreSQL driver; tables do not outlive the test."""
    return shardrouter_cluster.dsn
