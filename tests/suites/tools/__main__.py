"""`make tools`: Django, Alembic, pgcli, psql and JDBC, each step beside what PostgreSQL answers.

`--oracle` asks a real PostgreSQL 15 and renews expected/. Exit code 1 if a step prints something
else than there and differences.txt does not say why.
"""

from __future__ import annotations

import asyncio
import difflib
import sys
import time
from collections.abc import Sequence

import click

from tests.suites.pgclient import Client
from tests.suites.postgres import running_postgres
from tests.suites.served import served
from tests.suites.tools.running import TOOLS, Server, run_tool
from tests.suites.tools.transcripts import (
    EXPECTED,
    compare,
    known_differences,
    read,
    written,
)

SETUP = (
    "CREATE ROLE shardrouter SUPERUSER CREATEDB CREATEROLE LOGIN",
    "CREATE DATABASE shardrouter OWNER shardrouter TEMPLATE template0",
)


@click.command()
@click.option("--oracle", is_flag=True, help="Ask a real PostgreSQL, and renew expected/.")
@click.option("--shards", default=3, show_default=True, help="Of the database.")
@click.argument("tools", nargs=-1, type=click.Choice(TOOLS))
def main(oracle: bool, shards: int, tools: Sequence[str]) -> None:
    """Run these tools, by default all."""
    is_whole = True
    for tool in tools or TOOLS:
        began = time.monotonic()
        if oracle:
            steps = _on_postgresql(tool)
            (EXPECTED / f"{tool}.txt").write_text(written(steps), encoding="utf-8")
            print(f"{tool}: {len(steps)} steps of PostgreSQL written")
            continue
        found, audit = asyncio.run(_here(tool, shards))
        expected = read((EXPECTED / f"{tool}.txt").read_text(encoding="utf-8"))
        result = compare(found, expected, known_differences(tool))
        for step in result.unexplained:
            _show(step, expected.get(step, ""), found.get(step, ""))
        for step, why in result.explained:
            print(f"{tool}, {step}: {why}")
        for step in result.stale:
            print(f"! {tool}, {step}: is as on PostgreSQL now; take it out of differences.txt")
        print(audit)
        print(f"{tool}: {result}; {time.monotonic() - began:.0f} s")
        is_whole &= not result.unexplained and not result.stale
    sys.exit(0 if is_whole else 1)


def _show(step: str, expected: str, found: str) -> None:
    print(f"! {step}")
    lines = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), "PostgreSQL", "here", lineterm="", n=1
    )
    for line in lines:
        print(f"  {line[:400]}")


def _on_postgresql(tool: str) -> dict[str, str]:
    with running_postgres() as postgres:
        with Client(postgres.port) as client:
            for statement in SETUP:
                client.query(statement)
        with Client(postgres.port, database="shardrouter") as client:
            client.query("DROP EXTENSION plpgsql")
        return run_tool(tool, Server(postgres.port, "shardrouter", "shardrouter"))


async def _here(tool: str, shards: int) -> tuple[dict[str, str], str]:
    async with served(shards) as database:
        server = Server(
            database.port,
            "shardrouter",
            "shardrouter",
            database.password,
            "-c default_placement=home",
        )
        found = await asyncio.to_thread(run_tool, tool, server)
        return found, await database.audit()


if __name__ == "__main__":
    main()
