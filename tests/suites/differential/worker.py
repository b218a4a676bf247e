"""One worker of `make differential`: its own two databases, and the programs of its seeds."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from tests.suites.differential.grammar import Grammar
from tests.suites.differential.measure import measure
from tests.suites.differential.pair import running_pair
from tests.suites.differential.programs import Tally, explore, minimal

__all__ = ["Share", "work"]

LENGTH: Final = 30
"""Statements of a program."""

SHOWN_MAX: Final = 20
"""Differences that each worker makes small and shows."""


@dataclass
class Share:
    """What one worker is to do, and what it found."""

    seeds: range
    statements: int
    tally: Tally = field(default_factory=Tally)
    programs: int = 0
    different: int = 0
    known: int = 0


def work(share: Share) -> Share:
    """Run programs until the share's statements are done."""
    with running_pair() as pair:
        findings = measure(pair)
        for finding in findings:
            if finding.different:
                share.different += 1
                print(f"-- {finding.name}\n{finding.different}\n", flush=True)
        known = {finding.name for finding in findings if finding.is_supported}
        share.known = len(known)
        for seed in share.seeds:
            if share.tally.statements >= share.statements:
                break
            grammar = Grammar(random.Random(seed), known)
            found = explore(pair, grammar, LENGTH, share.tally)
            share.programs += 1
            if found is not None:
                share.different += 1
                if share.different <= SHOWN_MAX:
                    print(f"-- seed {seed}\n{minimal(pair, found)}\n", flush=True)
    return share
