"""Writes what a real PostgreSQL 15 answers to the queries of clients.

    python -m tests.testdata.catalog_queries.record PORT

A server of tests.suites.postgres, or one like it, listens there; the database `shardrouter` is
dropped and made.
"""

from __future__ import annotations

import json
import sys

from tests.shardrouter.catalog_queries import (
    CLIENTS,
    DIRECTORY,
    NAMES_OF_OIDS,
    Answer,
    filled,
    in_order,
    queries,
    renamed,
    statements,
)
from tests.suites.pgclient import Answer as Answered
from tests.suites.pgclient import Client

__all__ = ["answer", "make_database", "names_of", "record"]


def _texts(answered: Answered) -> list[list[str | None]]:
    return [[None if cell is None else cell.decode() for cell in row] for row in answered.rows]


def names_of(client: Client) -> dict[str, int]:
    """What each number is called that is this server's own."""
    (answered,) = client.query(NAMES_OF_OIDS)
    assert answered.error is None, answered.error
    return {str(name): int(oid or "0") for oid, name in _texts(answered)}


def answer(client: Client, query: str, oids: dict[str, int]) -> Answer:
    names = {str(oid): name for name, oid in oids.items()}
    (answered,) = client.query(filled(query, oids))
    if answered.error is not None:
        return {"error": answered.sqlstate, "message": answered.error["M"]}
    return {
        "columns": [[column.name, column.type] for column in answered.columns or ()],
        "rows": in_order(query, renamed(_texts(answered), names)),
    }


def make_database(port: int) -> Client:
    """A connection to a database that has the tables of schema.sql."""
    with Client(port, user="postgres", database="postgres") as client:
        client.query("DROP DATABASE IF EXISTS shardrouter")
        client.query("CREATE DATABASE shardrouter TEMPLATE template0")
    client = Client(port, user="postgres", database="shardrouter")
    for statement in statements((DIRECTORY / "schema.sql").read_text(encoding="utf-8")):
        (answered,) = client.query(statement)
        assert answered.error is None, (statement, answered.error)
    return client


def record(client: Client) -> dict[str, list[Answer]]:
    oids = names_of(client)
    return {name: [answer(client, query, oids) for query in queries(name)] for name in CLIENTS}


if __name__ == "__main__":
    with make_database(int(sys.argv[1])) as connected:
        recorded = record(connected)
    for name, answers in recorded.items():
        text = "[\n" + ",\n".join(json.dumps(a, ensure_ascii=False) for a in answers) + "\n]\n"
        (DIRECTORY / f"{name}.json").write_text(text, encoding="utf-8")
