"""One worker of `make differential`: its own two databases, and the programs of its seeds."""

from __future__ import annotations

import faulthandler
import multiprocessing
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final

from tests.suites.differential.grammar import Grammar
from tests.suites.differential.measure import measure
from tests.suites.differential.over_shards import OverShards
from tests.suites.differential.pair import Pair, Sharded, running_pair, running_shards
from tests.suites.differential.programs import Tally, each_alone, explore, minimal
from tests.suites.differential.sweep import Subject, Sweep, subjects
from tests.suites.pgclient import Gone

__all__ = ["Found", "Share", "all_worked", "work"]

LENGTH: Final = 30
"""Statements of a program."""

EXPRESSIONS_OF_A_SEED: Final = 200

LENGTH_OVER_SHARDS: Final = 90
"""They begin with rows."""

STUCK_S: Final = 300.0
"""A program that takes longer ends its worker, which says where it stood."""

SHOWN_MAX: Final = 20
"""Differences that each worker makes small and shows."""


@dataclass(frozen=True)
class Share:
    """What one worker is to do."""

    seeds: range
    statements: int
    over_shards: bool = False
    """This database over several shards against itself over one, instead of PostgreSQL."""
    sweeps: bool = False
    """Single expressions instead of programs."""
    known: frozenset[str] | None = None
    """The constructs that this database has; None: they are to be measured first."""


@dataclass
class Found:
    """What a program has found, or many."""

    tally: Tally = field(default_factory=Tally)
    programs: int = 0
    different: int = 0
    known: frozenset[str] = frozenset()

    def add(self, other: Found) -> None:
        """What came next, or from another worker."""
        self.tally.add(other.tally)
        self.programs += other.programs
        self.different += other.different
        self.known |= other.known


def work(share: Share) -> Iterator[Found]:
    """What the measurement has found if there is one, then each program, until the share's
    statements are done. A connection that breaks costs its own program and new databases."""
    faulthandler.enable()
    known = frozenset() if share.sweeps else share.known
    left, different = share.statements, 0
    seeds = iter(share.seeds)
    while left > 0:
        with running_shards() if share.over_shards else running_pair() as pair:
            if known is None:
                measured = _measured(pair)
                known = measured.known
                yield measured
            swept = subjects(pair) if share.sweeps else ()
            is_whole = True
            while is_whole and left > 0:
                seed = next(seeds, None)
                if seed is None:
                    return
                shows = different < SHOWN_MAX
                if share.sweeps:
                    found, is_whole = _of_sweep(pair, swept, seed, shows=shows)
                else:
                    found, is_whole = _of_program(pair, known, seed, shows=shows)
                left -= found.tally.statements
                different += found.different
                yield found


def _measured(pair: Pair) -> Found:
    findings = measure(pair)
    different = [finding for finding in findings if finding.different]
    for finding in different:
        print(f"-- {finding.name}\n{finding.different}\n", flush=True)
    known = frozenset(finding.name for finding in findings if finding.is_supported)
    return Found(different=len(different), known=known)


def _of_program(pair: Pair, known: frozenset[str], seed: int, *, shows: bool) -> tuple[Found, bool]:
    """And whether the two databases can be used on."""
    faulthandler.dump_traceback_later(STUCK_S, exit=True)
    found = Found(programs=1)
    rng = random.Random(seed)
    over_shards = isinstance(pair, Sharded)
    grammar = OverShards(rng, known) if over_shards else Grammar(rng, known)
    length = LENGTH_OVER_SHARDS if over_shards else LENGTH
    shown = ""
    try:
        difference = explore(pair, grammar, length, found.tally)
        if difference is not None:
            found.different = 1
            shown = str(difference)
        if difference is not None and shows:
            print(f"-- seed {seed}\n{minimal(pair, difference)}\n", flush=True)
    except (Gone, OSError) as exc:
        found.different = 1
        print(f"-- seed {seed}\n{shown}\n-- {type(exc).__name__}: {exc}\n", flush=True)
        return found, False
    finally:
        faulthandler.cancel_dump_traceback_later()
    return found, True


def _of_sweep(
    pair: Pair, swept: Sequence[Sequence[Subject]], seed: int, *, shows: bool
) -> tuple[Found, bool]:
    """Of the expressions of one seed; and whether the two databases can be used on."""
    faulthandler.dump_traceback_later(STUCK_S, exit=True)
    found = Found(programs=1)
    sweep = Sweep(random.Random(seed), swept)
    try:
        statements = (sweep.make() for _ in range(EXPRESSIONS_OF_A_SEED))
        for difference in each_alone(pair, statements, found.tally):
            found.different += 1
            if shows:
                print(f"-- seed {seed}\n{minimal(pair, difference)}\n", flush=True)
    except (Gone, OSError) as exc:
        found.different += 1
        print(f"-- seed {seed}\n-- {type(exc).__name__}: {exc}\n", flush=True)
        return found, False
    finally:
        faulthandler.cancel_dump_traceback_later()
    return found, True


def all_worked(shares: Sequence[Share]) -> Found:
    """Each share by a process of its own; one that dies costs its program, and the next process
    goes on behind it. Raises RuntimeError if one dies before its first."""
    running = dict(map(_started, shares))
    every = Found()
    while running:
        for answer in wait(list(running)):
            assert isinstance(answer, Connection)
            share, process, told = running.pop(answer)
            try:
                found: Found = answer.recv()
            except EOFError:
                process.join()
                if process.exitcode:
                    rest = _behind(share, told, process.exitcode)
                    every.different += 1
                    running.update([_started(rest)])
                continue
            every.add(found)
            told.add(found)
            running[answer] = (share, process, told)
    return every


def _started(share: Share) -> tuple[Connection, tuple[Share, BaseProcess, Found]]:
    context = multiprocessing.get_context("spawn")
    answer, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_worked, args=(share, sender), daemon=True)
    process.start()
    sender.close()  # the worker's is the only one, so that its end is seen here
    return answer, (share, process, Found())


def _behind(share: Share, told: Found, exitcode: int) -> Share:
    """What is left of a share whose worker has died in a program."""
    known = told.known or share.known
    if known is None or len(share.seeds) <= told.programs:
        message = f"a worker ended with exit code {exitcode}; what it said is above"
        raise RuntimeError(message)
    died = share.seeds[told.programs]
    print(f"-- seed {died}\n-- the worker ended with exit code {exitcode}\n", flush=True)
    left = share.statements - told.tally.statements
    return replace(share, seeds=share.seeds[told.programs + 1 :], statements=left, known=known)


def _send_worked(share: Share, sender: Connection) -> None:
    for found in work(share):
        sender.send(found)
    sender.close()
