"""`make differential`: programs at random on this database and on a real PostgreSQL;
`make differential-sweep`: single expressions of all types, on both;
with `--sweep --every` all that there are, which takes hours if `--share` does not take some;
`make differential-shards`: on this database over three shards, and over one.

A program is made from a seed. What is different is shown as the smallest program that shows it;
the exit code is 1 then. The last line says how much was compared. Workers, each with databases of
its own, take the seeds in turn.
"""

from __future__ import annotations

import sys
import time

import click

from tests.suites.compatibility import PAGE, supported_in
from tests.suites.differential.combinations import compare_all
from tests.suites.differential.pair import running_pair
from tests.suites.differential.worker import Share, all_worked
from tests.suites.postgres import PostgresMissing, find_programs

REFUSALS_SHOWN = 12


@click.command()
@click.option("--statements", default=20_000, show_default=True, help="How many to compare.")
@click.option("--seed", default=0, show_default=True, help="Of the first program.")
@click.option("--workers", default=2, show_default=True, help="Processes that compare.")
@click.option("--shards", "over_shards", is_flag=True, help="Three shards against one.")
@click.option("--sweep", is_flag=True, help="Single expressions of every type, not programs.")
@click.option("--every", is_flag=True, help="Of --sweep: all combinations of types and values.")
@click.option("--share", default=1.0, show_default=True, help="Of --every: how much, by the seed.")
def main(
    statements: int,
    seed: int,
    workers: int,
    share: float,
    *,
    over_shards: bool,
    sweep: bool,
    every: bool,
) -> None:
    """Compare answers, types, names and SQLSTATEs of statements made at random."""
    if every and (over_shards or not sweep):
        raise click.UsageError("--every is one of --sweep: give both, without --shards")
    began = time.monotonic()
    if not over_shards:
        try:
            find_programs()
        except PostgresMissing as exc:
            print(exc)
            sys.exit(2)
    if every:
        sys.exit(_compared(seed, share))
    each = -(-statements // workers)
    known = frozenset(supported_in(PAGE.read_text(encoding="utf-8"))) if over_shards else None
    shares = [
        Share(range(seed + at, seed + statements + at, workers), each, over_shards, sweep, known)
        for at in range(workers)
    ]
    found = all_worked(shares)
    tally = found.tally
    for said, count in tally.refusals.most_common(REFUSALS_SHOWN):
        print(f"refused {count} times: {said}")
    counts = ", ".join(f"{count} by {why}" for why, count in tally.explained.most_common())
    reasons = f" ({counts})" if counts else ""
    print(
        f"differential: {tally.statements} statements in {found.programs} programs of the seeds "
        f"from {seed}, {found.different} different; {tally.refused} refused here, "
        f"{tally.failed} with the same error, {tally.explained.total()} with another one for a "
        f"known reason{reasons}, {tally.uncompared} not compared (PostgreSQL took too long); "
        f"{len(tally.constructs)} of {len(found.known or known or ()) or 'all'} constructs, "
        f"{time.monotonic() - began:.0f} s"
    )
    sys.exit(1 if found.different else 0)


def _compared(seed: int, share: float) -> int:
    """Every combination; the exit code is 1 if one is different."""
    code = 0
    with running_pair() as pair:
        for line in compare_all(pair, seed, share):
            print(line, flush=True)
            code = 1 if line.startswith("--") else code
    return code


if __name__ == "__main__":
    main()
