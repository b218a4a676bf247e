"""After how many seeds of the ordinary search is each broken Raft convicted, and by what?

    python -m tests.sim.raft_mutant_table [--jobs 2] [--out docs/raft-mutants.md] [NAME ...]

The seeds are those of `raft_sim`, the same for all, with 150 ticks of faults; the unbroken core
passes them. Exit code 1 if one escapes. A mutant that overrides nothing is refused.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.sim.raft_cluster import Options
from tests.sim.raft_mutants import MUTANTS
from tests.sim.raft_sim import find_violation

__all__ = ["main"]

SEEDS: Final = 3000
TICKS: Final = 150

_HEADER: Final = """# Broken Rafts

`make raft-mutants` breaks the core's rules one by one (`tests/sim/raft_mutants.py`) and lets the
ordinary random search of `make raft-sim` look for a broken promise, with {ticks} ticks of faults
for each seed, from seed 0 on. No schedule is made for any of them.

Made {day} at {commit} with CPython {python}.

| broken rule | convicted after seeds | by |
|---|---|---|
"""


def convict(name: str) -> tuple[str, int, str]:
    """(name, seeds that were needed or 0, what was broken). In a process of its own."""
    mutant = MUTANTS[name]
    mutant.check()
    found = find_violation(range(SEEDS), Options(ticks=TICKS), mutant)
    return (name, 0, "") if found is None else (name, found[0] + 1, str(found[1]))


def row(name: str, seeds: int, by: str) -> str:
    return f"| {name} | {seeds or f'escaped {SEEDS}'} | {by} |"


def header() -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return _HEADER.format(
        ticks=TICKS,
        day=datetime.now(UTC).date(),
        commit=commit or "an unknown commit",
        python=platform.python_version(),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Convict broken Rafts.")
    parser.add_argument("names", nargs="*", choices=[[], *MUTANTS], help="of mutants; default all")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, help="write the table there as well")
    arguments = parser.parse_args()
    lines = header()
    print(lines, end="", flush=True)
    escaped = 0
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for result in pool.map(convict, arguments.names or MUTANTS):
            escaped += not result[1]
            line = row(*result) + "\n"
            print(line, end="", flush=True)
            lines += line
    if arguments.out is not None:
        arguments.out.write_text(lines, encoding="utf-8")
    return int(escaped > 0)


if __name__ == "__main__":
    sys.exit(main())
