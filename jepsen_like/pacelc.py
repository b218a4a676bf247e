"""The standard PACELC experiment: every level of consistency in one run, under the same faults.

A healthy phase; cuts that isolate the leader of a group, with leaders of others, if there are any,
on the other side; then, healed, a sweep of round-trip times. Reads of every level and writes of
the default one go to the same few keys from clients on every host. The table compares the corner
that each class of operations was found in with the one that the database promises.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table

from jepsen_like import faults, load
from jepsen_like.adapters.database import LevelledDatabase, Promise
from jepsen_like.backends.abilities import AUTO, SIM
from jepsen_like.checks.corners import OperationClass
from jepsen_like.checks.experiment import Pacelc, pacelc
from jepsen_like.checks.values import availability, recovery
from jepsen_like.faults import leader_of
from jepsen_like.result import ClassLabel, Validity
from jepsen_like.spec import Test
from jepsen_like.workloads.levels import LevelledRegister, levelled_register, read_at
from jepsen_like.workloads.register import RegisterMix

__all__ = ["as_json", "in_words", "labels_of", "pacelc_test", "simulated_test", "table"]

RATE: Final = 240.0
RATE_PER_LEVEL: Final = 60.0
"""Behind the second: each level's reads are evidence of their own."""

CLIENTS: Final = 70
CLIENTS_PER_LEVEL: Final = 45
"""Per host: on one that is cut off, of 140 calls a second of five levels 100 wait for their whole
deadline; the rest is for a machine that stands still for a moment."""

DEADLINE: Final = "1s"
"""A router notices in half a second that nodes fell silent."""

SWEEP: Final = ("5ms", "20ms", "50ms")

SIMULATED_RATE: Final = 175.0
SIMULATED_CLIENTS: Final = 75
SIMULATED_WRITES: Final = 0.14
SIMULATED_CALLS_PER_KEY: Final = 300
SIMULATED_CUT: Final = "50.5s"
SIMULATED_SWEEP: Final = ("10ms", "40ms", "100ms")
SIMULATED_STEPS: Final = ("1500ms", "1500ms", "40s")
"""In a simulation: what finds all letters, and a little to spare. What was said into a cut is sent
again 0.2, 0.6, 1.4... 25.4 and 51 s after that, so this cut ends shortly before it is."""

SHARE_OF_PC: Final = 3.0
SHARE_OF_PA: Final = 1.9
"""Of the reads: C in a partition takes a thousand on the majority, A some three hundred, all of
them answered, on the minority."""


def labels_of(db: LevelledDatabase, *, in_short: bool = False) -> Pacelc:
    """The check that labels all levels of a database, the weakest one as the control; `in_short`:
    the first and the last."""
    default, *weaker = db.levels
    if in_short:
        weaker = weaker[-1:]
    classes = (
        OperationClass("read", default, db.levels[default]),
        OperationClass("write", default, db.writes, witness="read"),
        *(_reads_at(db, level) for level in weaker),
    )
    return pacelc(classes, control=read_at(weaker[-1]), in_short=in_short)


def _reads_at(db: LevelledDatabase, level: str) -> OperationClass:
    promise = db.promises.get(level, Promise())
    return OperationClass(
        read_at(level),
        level,
        db.levels[level],
        max_staleness_ns=promise.max_staleness_ns,
        keeps_sessions=promise.keeps_sessions,
    )


def pacelc_test(db: LevelledDatabase, seed: int = 1, *, quick: bool = False) -> Test:
    """`quick`: two cuts for three, and shorter steps; enough evidence if the machine is idle."""
    _, *weaker = db.levels
    more = len(weaker) - 1  # reads are spread over more levels: what shows something takes longer
    hold, rest, cuts = (16 + more, "3s", 2) if quick else (15 + more, "4s", 3)
    short, long = ("3s", 28 + 3 * more) if quick else ("5s", 30 + 3 * more)
    return _test(
        db,
        seed,
        levelled_register(weaker, share=max(0.6, len(weaker) / (len(weaker) + 1))),
        load.open_loop(
            rate=RATE + more * RATE_PER_LEVEL,
            deadline=DEADLINE,
            clients=CLIENTS + more * CLIENTS_PER_LEVEL,
        ),
        [
            faults.healthy("4s"),
            *(_cut(db, hold=f"{hold}s", rest=rest) for _ in range(cuts)),
            *(faults.slow(rtt, hold=short, rest="500ms") for rtt in SWEEP[:-1]),
            faults.slow(SWEEP[-1], hold=f"{long}s", rest="1s"),
        ],
    )


def simulated_test(db: LevelledDatabase, seed: int = 1) -> Test:
    """The same experiment where a call costs time of the processor and a pause costs none: as few
    calls as the letters need, and no more.

    One key, so that nearly every read is close behind a write; few writes, the dearest of all
    calls; few connections, which cost as much as many calls; and one long cut, of which a failover
    and what a lease still answers are little.
    """
    _, *weaker = db.levels
    shares = {"PC": SHARE_OF_PC, "PA": SHARE_OF_PA}
    own, *weights = (shares[db.levels[level][:2]] for level in db.levels)
    register = LevelledRegister(
        1,
        SIMULATED_CALLS_PER_KEY,
        mix=RegisterMix(reads=1 - SIMULATED_WRITES, writes=SIMULATED_WRITES),
        levels=tuple(weaker),
        weights=tuple(weights),
        weaker=sum(weights) / (sum(weights) + own),
        name="levelled-register",
    )
    return _test(
        db,
        seed,
        register,
        load.open_loop(rate=SIMULATED_RATE, deadline=DEADLINE, clients=SIMULATED_CLIENTS),
        [
            faults.healthy("1s"),
            _cut(db, hold=SIMULATED_CUT, rest="1s"),
            *(
                faults.slow(rtt, hold=hold, rest="200ms")
                for rtt, hold in zip(SIMULATED_SWEEP, SIMULATED_STEPS, strict=True)
            ),
        ],
        backend=SIM,
    )


def _cut(db: LevelledDatabase, hold: str, rest: str) -> faults.Planned:
    return faults.partition(faults.isolate(leader_of(db.group)), hold=hold, rest=rest)


def _test(
    db: LevelledDatabase,
    seed: int,
    register: LevelledRegister,
    calls: load.OpenLoop,
    planned: Sequence[faults.Planned],
    backend: str = AUTO,
) -> Test:
    return Test(
        name="pacelc",
        db=db,
        workloads=[register],
        load=calls,
        faults=planned,
        checks=[labels_of(db), availability(), recovery()],
        seed=seed,
        backend=backend,
    )


def table(labels: Sequence[ClassLabel]) -> Table:
    """Level, class, predicted and measured corner; what differs is marked."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("level", "class", "predicted", "measured", ""):
        drawn.add_column(heading, overflow="fold")
    for one in labels:
        mark = {True: "", False: "DIFFERS", None: "?"}[one.agrees]
        drawn.add_row(one.level, one.f, one.predicted, one.measured, mark)
    return drawn


def in_words(labels: Sequence[ClassLabel]) -> list[str]:
    """For each class its figures with their intervals, and what is missing."""
    lines = []
    for one in labels:
        lines += ["", f"{one.level}, {one.f}: {one.measured}"]
        lines += [f"  {line}" for line in figures_in_words(one.figures)]
        lines += [f"  missing for {why}" for why in one.missing]
    return lines


def figures_in_words(figures: dict[str, Any]) -> list[str]:
    lines = [
        f"yield, {side}: {_estimate(figure)} of {figure['count']}"
        for side, figure in figures["yields"].items()
    ]
    if figures["after_failover"]:
        lines.append(f"yield, majority after failover: {_estimate(figures['after_failover'])}")
    lines += [
        f"stale in cuts, {side}: {reads['stale']} of {reads['reads']}{_worst(reads)}"
        for side, reads in figures["in_cuts"].items()
    ]
    reads = figures["within_rtt"]
    if reads:
        lines.append(
            f"stale within {figures['rtt_ns'] / 1e6:g} ms of a write: "
            f"{reads['stale']} of {reads['reads']}{_worst(reads)}"
        )
    if figures["slope"]:
        lines.append(f"round trips per operation: {_estimate(figures['slope'])}")
    return lines


def _estimate(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _worst(reads: dict[str, Any]) -> str:
    if not reads["stale"]:
        return ""
    return f", up to {reads['versions_max']} versions and {reads['stale_ns_max'] / 1e9:.2f} s"


def as_json(labels: Sequence[ClassLabel], validity: Validity) -> str:
    """For machines; everything else of a run is in results.json."""
    rows = [
        {
            "level": one.level,
            "class": one.f,
            "predicted": one.predicted,
            "measured": one.measured,
            "agrees": one.agrees,
            "missing": list(one.missing),
            "figures": one.figures,
        }
        for one in labels
    ]
    return json.dumps({"format": 1, "validity": validity, "labels": rows}, indent=1)
