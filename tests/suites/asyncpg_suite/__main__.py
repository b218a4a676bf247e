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

from tests.suites.asyncpg_suite.reasons import BASELINE, REASONS, reason_of, reasons
from tests.suites.asyncpg_suite.running import Outcome, run_tests
from tests.suites.postgres import running_postgres
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
        BASELINE.write_text("".join(f"{test}\n" for test in passed), encoding="utf-8")
        print(f"asyncpg's tests: PostgreSQL passes {len(passed)} of {len(found)}")
        return
    found, audit = asyncio.run(_served(only))
    expected = set(BASELINE.read_text(encoding="utf-8").split())
    known = reasons(REASONS.read_text(encoding="utf-8"))
    ours = [outcome for outcome in found if outcome.test in expected]
    if not only:
        missing = expected - {outcome.test for outcome in found}
        ours += [Outcome(test, "failed", "it did not run") for test in sorted(missing)]
    failed = [outcome for outcome in ours if outcome.result != "passed"]
    unexplained = [outcome for outcome in failed if not reason_of(outcome.test, known)]
    for outcome in failed:
        print(f"{outcome.test}: {reason_of(outcome.test, known) or 'NO REASON'}")
        if not reason_of(outcome.test, known) or only:
            print(f"    {outcome.message[:300]}")
    for outcome in _gained(ours, known):
        print(f"{outcome.test} passes, and has a reason for failing")
    print(audit)
    print(
        f"asyncpg's tests: {len(ours) - len(failed)} pass of the {len(expected)} that PostgreSQL "
        f"passes, {len(failed)} fail, {len(unexplained)} of them without a reason; "
        f"{time.monotonic() - began:.0f} s"
    )
    sys.exit(1 if unexplained or audit.startswith("!") else 0)


def _gained(ours: list[Outcome], known: list[tuple[str, str]]) -> list[Outcome]:
    return [o for o in ours if o.result == "passed" and reason_of(o.test, known)]


async def _served(only: str) -> tuple[list[Outcome], str]:
    """On a cluster of one shard, where every table is whole."""
    async with served(shards=("shard-1",)) as database:
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
