"""`make sqlalchemy-suite`: SQLAlchemy's suite for dialects, and why what fails here fails.

`baseline.txt` names the tests that PostgreSQL passes with both drivers (`--oracle` writes it
anew), `reasons.txt` says why one of these does not pass here; over several shards it is
`reasons-home.txt` and `reasons-sharded.txt`, by the placement of tables that do not say it.
Exit code 1 if one fails without a reason, or the replicas differ afterwards.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

import asyncpg
import click

from tests.suites.outcomes import Outcome
from tests.suites.postgres import running_postgres
from tests.suites.reasons import compare
from tests.suites.replay import Disagreement
from tests.suites.served import served
from tests.suites.sqlalchemy_suite.running import DRIVERS, HERE, SCHEMAS, run_tests


@click.command()
@click.option("--oracle", is_flag=True, help="Ask a real PostgreSQL, and renew baseline.txt.")
@click.option("--only", default="", help="Tests whose names have this.")
@click.option(
    "--driver", "drivers", multiple=True, type=click.Choice(DRIVERS), help="By default both."
)
@click.option("--shards", default=1, help="How many the cluster has.")
@click.option(
    "--placement",
    type=click.Choice(["home", "sharded"]),
    default="home",
    help="Where tables are that do not say it.",
)
def main(oracle: bool, only: str, drivers: Sequence[str], shards: int, placement: str) -> None:
    """Run SQLAlchemy's suite for dialects."""
    if oracle:
        _renew_baseline()
        return
    is_whole = True
    for driver in drivers or DRIVERS:
        began = time.monotonic()
        found, audit = asyncio.run(_served(driver, only, shards, placement))
        result = compare(found, HERE, f"reasons-{placement}.txt" if shards > 1 else "reasons.txt")
        for line in result.lines(messages=bool(only)):
            print(line)
        print(audit)
        print(f"SQLAlchemy's suite, {driver}: {result}; {time.monotonic() - began:.0f} s")
        is_whole &= not result.unexplained and not audit.startswith("!")
    sys.exit(0 if is_whole else 1)


def _renew_baseline() -> None:
    passed = []
    for driver in DRIVERS:
        with running_postgres() as postgres:
            asyncio.run(_make_schemas(postgres.dsn))
            found = run_tests(driver, postgres.port, user="postgres", database="postgres")
        passed.append({outcome.test for outcome in found if outcome.result == "passed"})
        print(f"SQLAlchemy's suite, {driver}: PostgreSQL passes {len(passed[-1])} of {len(found)}")
    both = sorted(set.intersection(*passed))
    (HERE / "baseline.txt").write_text("".join(f"{test}\n" for test in both), encoding="utf-8")


async def _make_schemas(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    for schema in SCHEMAS:
        await connection.execute(f"CREATE SCHEMA {schema}")
    await connection.close()


async def _served(driver: str, only: str, shards: int, placement: str) -> tuple[list[Outcome], str]:
    async with served(shards, placement) as database:
        await _make_schemas(database.dsn)
        found = await asyncio.to_thread(
            run_tests,
            driver,
            database.port,
            user="shardrouter",
            database="shardrouter",
            password=database.password,
            setup=database.setup,
            only=only,
        )
        try:
            return found, await database.audit()
        except Disagreement as exc:
            return found, f"! {exc}"


if __name__ == "__main__":
    main()
