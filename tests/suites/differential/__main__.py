"""`make differential`: programs at random on this database and on a real PostgreSQL;
`make differential-shards`: on this database over three shards, and over one.

A program is made from a seed. What is different is shown as the smallest program that shows it;
the exit code is 1 then. The last line says how much was compared. Workers, each with databases of
its own, take the seeds in turn.
"""

from __future__ import annotations

import sys
import time

import click

from tests.suites.differential.programs import Tally
from tests.suites.differential.worker import Share, all_worked, work
from tests.suites.postgres import PostgresMissing, find_programs

REFUSALS_SHOWN = 12


@click.command()
@click.option("--statements", default=20_000, show_default=True, help="How many to compare.")
@click.option("--seed", default=0, show_default=True, help="Of the first program.")
@click.option("--workers", default=2, show_default=True, help="Processes that compare.")
@click.option("--shards", "over_shards", is_flag=True, help="Three shards against one.")
def main(statements: int, seed: int, workers: int, *, over_shards: bool) -> None:
    """Compare answers, types, names and SQLSTATEs of statements made at random."""
    began = time.monotonic()
    if not over_shards:
        try:
            find_programs()
        except PostgresMissing as exc:
            print(exc)
            sys.exit(2)
    each = -(-statements // workers)
    shares = [
        Share(range(seed + at, seed + statements + at, workers), each, over_shards)
        for at in range(workers)
    ]
    done = [work(share) for share in shares] if workers == 1 else all_worked(shares)
    tally = Tally()
    for share in done:
        tally.add(share.tally)
    different = sum(share.different for share in done)
    for said, count in tally.refusals.most_common(REFUSALS_SHOWN):
        print(f"refused {count} times: {said}")
    print(
        f"differential: {tally.statements} statements in {sum(s.programs for s in done)} programs, "
        f"{different} different; {tally.refused} refused here, {tally.failed} with the same error, "
        f"{tally.explained} with another one for a known reason; "
        f"{len(tally.constructs)} of {done[0].known} constructs, {time.monotonic() - began:.0f} s"
    )
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
