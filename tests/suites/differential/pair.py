"""This database and a real PostgreSQL, or this database over several shards and over one, side by
side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from shardrouter.identity import DATABASE
from tests.suites.in_process import serving
from tests.suites.pgclient import Answer, Client
from tests.suites.postgres import running_postgres

__all__ = ["Pair", "Sharded", "running_pair", "running_shards"]

TIMEOUT_S: Final = 20
"""Of a statement; a client waits longer."""

LEFT: Final = (
    ("VIEW", "SELECT viewname FROM pg_views WHERE schemaname = 'public'"),
    ("TABLE", "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"),
    ("TYPE", "SELECT typname FROM pg_type WHERE typtype = 'e'"),
    ("SEQUENCE", "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'"),
)
"""What stands in the schema public, which is always there."""


@dataclass
class Pair:
    """A connection to each."""

    ours: Client
    theirs: Client

    def reset(self) -> None:
        """No transaction, no tables, no settings of before."""
        for client in (self.ours, self.theirs):
            if client.status != "I":
                client.query("ROLLBACK")
            client.query("DISCARD ALL")
            client.query("DROP SCHEMA IF EXISTS s CASCADE")
        self.theirs.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        _drop_all(self.ours)
        self.place()
        self.limit()

    def place(self) -> None:
        """Tables without a shard key of their own are whole on one shard."""
        self.ours.query("SET default_placement = 'home'")

    def limit(self) -> None:
        """A statement that takes long on both is no difference, and holds nothing up."""
        self.both(f"SET statement_timeout = '{TIMEOUT_S}s'")

    def both(self, sql: str) -> tuple[list[Answer], list[Answer]]:
        return self.ours.query(sql), self.theirs.query(sql)


class Sharded(Pair):
    """This database over several shards, and over one."""

    def reset(self) -> None:
        for client in (self.ours, self.theirs):
            if client.status != "I":
                client.query("ROLLBACK")
            client.query("DISCARD ALL")
            client.query("DROP SCHEMA IF EXISTS s CASCADE")
            _drop_all(client)
        self.place()
        self.limit()

    def place(self) -> None:
        """The rows of a table are on all shards."""
        self.both("SET default_placement = 'sharded'")


def _drop_all(client: Client) -> None:
    """Of this database, whose schema public stays."""
    for kind, sql in LEFT:
        [answer] = client.query(sql)
        names = b", ".join(name for (name,) in answer.rows if name is not None)
        if names:
            client.query(f"DROP {kind} {names.decode()} CASCADE")


@contextmanager
def running_shards() -> Iterator[Sharded]:
    """The same database over three shards, `ours`, and over one."""
    with (
        serving() as many,
        serving(["shard-1"]) as one,
        Client(many, database=DATABASE) as ours,
        Client(one, database=DATABASE) as theirs,
    ):
        yield Sharded(ours, theirs)


@contextmanager
def running_pair() -> Iterator[Pair]:
    """Both are made, and removed at the end. Raises postgres.PostgresMissing."""
    with (
        running_postgres() as postgres,
        serving() as port,
        Client(postgres.port) as first,
    ):
        first.query(f"CREATE DATABASE {DATABASE}")
        with (
            Client(postgres.port, database=DATABASE) as theirs,
            Client(port, database=DATABASE) as ours,
        ):
            yield Pair(ours, theirs)
