"""`make asyncpg-suite`: asyncpg's own tests, and which of them fail here for which reason.

`baseline.txt` names the tests that PostgreSQL passes (`--oracle` writes it anew), `reasons.txt`
says why a test of these does not pass here. Exit code 1 if one fails without a reason, or the
replicas differ afterwards.
"""

from __future__ import annotations

import asyncio
import sys
import time

import click

from tests.suites.asyncpg_suite.running import HERE, run_tests
from tests.suites.outcomes import Outcome
from tests.suites.postgres import running_postgres
from tests.suites.reasons import compare
from tests.suites.replay import Disagreement
from tests.suites.served import served


@click.command()
@click.option("--oracle", is_flag=True, help="Ask a real PostgreSQL, and renew baseline.txt.")
@click.option("--only", default="", help="Tests whose names have this.")
def main(oracle: bool, only: str) -> None:
    """Run asyncpg's own tests."""
    began = time.monotonic()
    if oracle:
        with running_postgres(max_connections="200") as postgres:
            found = run_tests(postgres.port, user="postgres", database="postgres", only=only)
        passed = [outcome.test for outcome in found if outcome.result == "passed"]
        baseline = "".join(f"{test}\n" for test in passed)
        (HERE / "baseline.txt").write_text(baseline, encoding="utf-8")
        print(f"asyncpg's tests: PostgreSQL passes {len(passed)} of {len(found)}")
        return
    found, audit = asyncio.run(_served(only))
    result = compare(found, HERE)
    for line in result.lines(messages=bool(only)):
        print(line)
    print(audit)
    print(f"asyncpg's tests: {result}; {time.monotonic() - began:.0f} s")
    sys.exit(1 if result.unexplained or audit.startswith("!") else 0)


async def _served(only: str) -> tuple[list[Outcome], str]:
    """On a cluster of one shard, where every table is whole."""
    async with served(shards=1) as database:
        found = await asyncio.to_thread(
            run_tests,
            database.port,
            user="shardrouter",
            database="shardrouter",
            password=database.password,
            only=only,
            tables="SHOW TABLES",
        )
        try:
            return found, await database.audit()
        except Disagreement as exc:
            return found, f"! {exc}"


if __name__ == "__main__":
    main()
