"""`make differential`: programs at random on this database and on a real PostgreSQL.

A program is made from a seed. What is different is shown as the smallest program that shows it;
the exit code is 1 then. The last line says how much was compared.
"""

from __future__ import annotations

import random
import sys
import time

import click

from tests.suites.differential.measure import measure
from tests.suites.differential.pair import running_pair
from tests.suites.differential.programs import Tally, make_program, minimal, run_program
from tests.suites.postgres import PostgresMissing

LENGTH = 30
"""Statements of a program."""

SHOWN_MAX = 20
"""Differences that are made small and shown."""


@click.command()
@click.option("--statements", default=20_000, show_default=True, help="How many to compare.")
@click.option("--seed", default=0, show_default=True, help="Of the first program.")
def main(statements: int, seed: int) -> None:
    """Compare answers, types, names and SQLSTATEs of statements made at random."""
    began = time.monotonic()
    tally = Tally()
    different = programs = 0
    try:
        with running_pair() as pair:
            known = {finding.name for finding in measure(pair) if finding.is_supported}
            while tally.statements < statements:
                program = make_program(random.Random(seed + programs), known, LENGTH)
                found = run_program(pair, program, tally)
                if found is not None:
                    different += 1
                    if different <= SHOWN_MAX:
                        print(f"-- seed {seed + programs}\n{minimal(pair, found)}\n", flush=True)
                programs += 1
    except PostgresMissing as exc:
        print(exc)
        sys.exit(2)
    print(
        f"differential: {tally.statements} statements in {programs} programs, {different} "
        f"different; {tally.refused} refused here, {tally.failed} with the same error, "
        f"{tally.explained} with another one for a known reason; "
        f"{len(tally.constructs)} of {len(known)} constructs, {time.monotonic() - began:.0f} s"
    )
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
