"""One worker of `make differential`: its own two databases, and the programs of its seeds."""

from __future__ import annotations

import faulthandler
import multiprocessing
import random
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Final

from tests.suites.compatibility import PAGE, supported_in
from tests.suites.differential.grammar import Grammar
from tests.suites.differential.measure import measure
from tests.suites.differential.over_shards import OverShards
from tests.suites.differential.pair import Pair, running_pair, running_shards
from tests.suites.differential.programs import Tally, explore, minimal

__all__ = ["Share", "all_worked", "work"]

LENGTH: Final = 30
"""Statements of a program."""

LENGTH_OVER_SHARDS: Final = 90
"""They begin with rows."""

SHOWN_MAX: Final = 20
"""Differences that each worker makes small and shows."""


@dataclass
class Share:
    """What one worker is to do, and what it found."""

    seeds: range
    statements: int
    over_shards: bool = False
    """This database over several shards against itself over one, instead of PostgreSQL."""
    tally: Tally = field(default_factory=Tally)
    programs: int = 0
    different: int = 0
    known: int = 0


def work(share: Share) -> Share:
    """Run programs until the share's statements are done."""
    faulthandler.enable()
    with running_shards() if share.over_shards else running_pair() as pair:
        if share.over_shards:
            known = supported_in(PAGE.read_text(encoding="utf-8"))
            share.known = len(known)
            _explore(pair, known, share)
            return share
        findings = measure(pair)
        for finding in findings:
            if finding.different:
                share.different += 1
                print(f"-- {finding.name}\n{finding.different}\n", flush=True)
        known = {finding.name for finding in findings if finding.is_supported}
        share.known = len(known)
        _explore(pair, known, share)
    return share


def _explore(pair: Pair, known: Set[str], share: Share) -> None:
    for seed in share.seeds:
        if share.tally.statements >= share.statements:
            break
        rng = random.Random(seed)
        grammar = OverShards(rng, known) if share.over_shards else Grammar(rng, known)
        length = LENGTH_OVER_SHARDS if share.over_shards else LENGTH
        found = explore(pair, grammar, length, share.tally)
        share.programs += 1
        if found is not None:
            share.different += 1
            if share.different <= SHOWN_MAX:
                print(f"-- seed {seed}\n{minimal(pair, found)}\n", flush=True)


def all_worked(shares: Sequence[Share]) -> list[Share]:
    """Each by a process of its own. Raises RuntimeError if one ends without an answer."""
    context = multiprocessing.get_context("spawn")
    started = []
    for share in shares:
        answer, sender = context.Pipe(duplex=False)
        process = context.Process(target=_send_worked, args=(share, sender), daemon=True)
        process.start()
        sender.close()  # the worker's is the only one, so that its end is seen here
        started.append((process, answer))
    done = []
    for process, answer in started:
        try:
            done.append(answer.recv())
        except EOFError:
            process.join()
            message = f"a worker ended with exit code {process.exitcode}; what it said is above"
            raise RuntimeError(message) from None
        process.join()
    return done


def _send_worked(share: Share, sender: Connection) -> None:
    sender.send(work(share))
    sender.close()
