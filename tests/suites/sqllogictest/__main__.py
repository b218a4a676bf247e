"""`make sqllogictest`: files of sqllogictest through psycopg and asyncpg, by the extended protocol.

Exit code 1 if an answer was wrong, or the replicas differ afterwards.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from tests.suites.environment import ROOT, environment
from tests.suites.postgres import running_postgres
from tests.suites.replay import Disagreement
from tests.suites.served import served

DRIVERS = ("psycopg", "asyncpg")
REQUIREMENTS = ("psycopg[binary]>=3.2,<4", "asyncpg>=0.30,<1")


class Totals:
    """What all clients have found."""

    def __init__(self) -> None:
        self.right = self.queries = self.wrong = self.runs = 0

    async def run(self, python: Path, driver: str, dsn: str, setup: str, file: Path) -> None:
        """One file through one driver; prints what was wrong."""
        client = await asyncio.create_subprocess_exec(
            *(str(python), "-m", "tests.suites.sqllogictest.client"),
            *(driver, dsn, setup, str(file)),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        out, _ = await client.communicate()
        self.runs += 1
        if client.returncode:
            print(f"{driver} {file.name}: the client ended with {client.returncode}")
            self.wrong += 1
            return
        found = json.loads(out)
        for line in found["told"]:
            print(f"{driver} {line}")
        print(f"{driver} {file.name}: {found['right']} right, {found['wrong']} wrong", flush=True)
        self.right += found["right"]
        self.wrong += found["wrong"]
        self.queries += found["queries"]


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, resolve_path=True))
@click.option("--oracle", is_flag=True, help="Ask a real PostgreSQL instead: are the files right?")
@click.option("--shards", default=3, help="How many the cluster has.")
@click.option(
    "--placement",
    type=click.Choice(["home", "sharded"]),
    default="home",
    help="Where tables are that do not say it.",
)
def main(files: Sequence[Path], oracle: bool, shards: int, placement: str) -> None:
    """Run FILES of sqllogictest through psycopg and asyncpg."""
    if not files:
        raise click.UsageError(
            "there is no file to run: make sqllogictest FILES='select1.test ...' (SQLite's test "
            "suite has them: https://sqlite.org/sqllogictest)."
        )
    python = environment("drivers", REQUIREMENTS)
    began = time.monotonic()
    totals = Totals()
    if oracle:
        with running_postgres() as postgres:
            asyncio.run(_all(totals, python, postgres.dsn, "", files))
    else:
        asyncio.run(_served(totals, python, files, shards, placement))
    print(
        f"sqllogictest: {len(files)} files x {len(DRIVERS)} drivers, {totals.right} records right "
        f"({totals.queries} queries), {totals.wrong} wrong, {time.monotonic() - began:.0f} s"
    )
    sys.exit(1 if totals.wrong else 0)


async def _served(
    totals: Totals, python: Path, files: Sequence[Path], shards: int, placement: str
) -> None:
    async with served(shards, placement) as database:
        await _all(totals, python, database.dsn, database.setup, files)
        try:
            print(await database.audit())
        except Disagreement as exc:
            print(exc)
            totals.wrong += 1


async def _all(totals: Totals, python: Path, dsn: str, setup: str, files: Sequence[Path]) -> None:
    for driver in DRIVERS:
        for file in files:
            await totals.run(python, driver, dsn, setup, file)


if __name__ == "__main__":
    main()
