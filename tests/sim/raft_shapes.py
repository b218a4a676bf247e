"""What kinds of runs of the core there are: a seed decides which one it is.

Each kind hunts other rules, by its faults, their pace and the load of the clients. Within a kind
everything is drawn.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

from tests.sim.raft_cluster import Options
from tests.sim.raft_faults import FAULTS_OF_CLOCKS

__all__ = ["KINDS", "shape"]


def shape(rng: random.Random, base: Options) -> Options:
    """The run that a seed stands for."""
    options = _weather(rng, base)
    return KINDS[rng.choice(list(KINDS))](rng, options)


def _weather(rng: random.Random, base: Options) -> Options:
    """Groups of all sizes under all faults: it finds most."""
    options = dataclasses.replace(
        base,
        replicas=rng.choice([3, 3, 4, 5, 7]),
        fault_ticks=rng.choice([6, 12, 30]),
        tail_entries_max=rng.choice([4, 4096]),
        delay=rng.choice([3.0, 3.0, 10.0, 30.0]),
        compact_ticks=rng.choice([0, 3, 20]),
        leases=rng.random() < 0.4,
        quiesce_ticks=rng.choice([0, 0, 2]),
        late=rng.choice([0.03, 0.03, 0.15]),
    )
    options = dataclasses.replace(options, idle=0.6 if options.quiesce_ticks else 0.0)
    return _with_leases(options) if options.leases else options


def _with_leases(options: Options) -> Options:
    """Clocks keep what leases are promised of them."""
    faults = tuple(fault for fault in options.faults if fault not in FAULTS_OF_CLOCKS)
    return dataclasses.replace(options, faults=faults, leases=True)


def _as_drawn(rng: random.Random, options: Options) -> Options:
    return options


def _strikes(rng: random.Random, options: Options) -> Options:
    """An adversary who strikes at elections and commits finds figure 3.7."""
    return dataclasses.replace(
        options, replicas=5, fault_ticks=30, delay=3.0, strike=rng.choice([0.3, 1.0])
    )


def _duels(rng: random.Random, options: Options) -> Options:
    """Candidates whose voters crash and whose votes come late find votes that count twice."""
    faults = (*options.faults, *["duel"] * len(options.faults))
    if rng.random() < 0.6:
        faults = ("duel", "duel", "heal", "replay", "split")
    return dataclasses.replace(
        options,
        replicas=rng.choice([3, 3, 5]),
        fault_ticks=rng.choice([2, 3]),
        delay=rng.choice([3.0, 10.0, 30.0, 30.0]),
        faults=faults,
        leases=False,
        quiesce_ticks=0,
        idle=0.0,
        vote_crash=rng.choice([0.0, 0.5]),
        late=rng.choice([0.03, 0.3]),
    )


def _members(rng: random.Random, options: Options) -> Options:
    """A busy administrator finds wrong majorities."""
    changes = ("add replica", "promote", "remove replica", "transfer", "isolate leader")
    return dataclasses.replace(
        options,
        replicas=rng.choice([2, 3, 4]),
        fault_ticks=rng.choice([1.5, 4]),
        delay=rng.choice([3.0, 10.0]),
        faults=(*options.faults, *changes * 5, *["heal"] * 6),
        strike=rng.choice([0.0, 0.3]),
    )


def _haste(rng: random.Random, options: Options) -> Options:
    """One who asks whoever has just been elected finds majorities that do not meet."""
    grow = ("promote", "add replica")
    return dataclasses.replace(
        options,
        replicas=4,
        fault_ticks=rng.choice([6, 30]),
        delay=3.0,
        faults=rng.choice([grow, (*options.faults, *grow * 5)]),
        hasty=rng.choice([0.5, 1.0]),
    )


def _impatience(rng: random.Random, options: Options) -> Options:
    """One who asks for several changes at once finds memberships that were rolled back."""
    return dataclasses.replace(
        options,
        replicas=rng.choice([4, 5]),
        fault_ticks=rng.choice([3, 6]),
        delay=3.0,
        faults=("many changes", "many changes", "heal", "heal", "strand leader", "strand leader"),
    )


def _snapshots(rng: random.Random, options: Options) -> Options:
    """Replicas that are away while logs are cut find snapshots that say the wrong thing."""
    away = ("isolate", "crash", "crash some", "slow disk", "corrupt chunks", "heal", "heal")
    return dataclasses.replace(
        options,
        replicas=rng.choice([3, 3, 5]),
        fault_ticks=rng.choice([3, 6]),
        delay=rng.choice([1.0, 3.0, 10.0]),
        faults=options.faults + away * 4,
        compact_ticks=rng.choice([1, 3]),
    )


def _flapping(rng: random.Random, options: Options) -> Options:
    """Replicas that crash in a loop, on a slow network, find answers to an earlier life."""
    return dataclasses.replace(
        options,
        replicas=3,
        fault_ticks=rng.choice([3, 6]),
        delay=rng.choice([10.0, 30.0]),
        faults=("crash loop", "crash loop", "heal", "isolate leader", "replay"),
        quiesce_ticks=0,
        idle=0.0,
    )


def _leases(rng: random.Random, options: Options) -> Options:
    """Leaders that are not told of their successors find leases that last too long."""
    often: tuple[str, ...] = ("isolate leader", "one way", "transfer", "crash some")
    often += ("pause leader", "heal", "heal", "promote", "remove replica")
    if rng.random() < 0.6:
        often = ("estrange", "abandon", "mute leader", "slow answers") * 2
        often += ("transfer", "transfer", "heal", "heal", "deafen leader")
    return dataclasses.replace(
        options,
        replicas=3,
        fault_ticks=rng.choice([1.5, 3, 6, 12]),
        delay=rng.choice([1.0, 3.0, 10.0, 20.0]),
        faults=often,
        leases=True,
        drift=rng.choice([0.0, 0.2, 1.0, 3.0]),
        quiesce_ticks=0,
        idle=0.0,
        late=rng.choice([0.0, 0.1]),
        writes=rng.choice([0.5, 0.02]),
    )


def _few_writes(options: Options) -> Options:
    """Under a load of reads by lease whoever lost the leader has the whole log, and what is read
    of the old one is stale as soon as the new one has served who waited for it."""
    return dataclasses.replace(
        options,
        replicas=3,
        leases=True,
        quiesce_ticks=0,
        idle=0.0,
        late=0.0,
        writes=0.02,
        pent_up=True,
    )


def _restarts(rng: random.Random, options: Options) -> Options:
    """Replicas that restart find promises that a replica forgets with its memory."""
    return dataclasses.replace(
        _few_writes(options),
        fault_ticks=rng.choice([3, 6]),
        delay=rng.choice([1.0, 3.0]),
        faults=("estrange", "abandon", "heal"),
        drift=rng.choice([0.0, 0.2]),
    )


def _moves(rng: random.Random, options: Options) -> Options:
    """Leaders that are moved, and answers that come late, find leases that count from them."""
    return dataclasses.replace(
        _few_writes(options),
        fault_ticks=rng.choice([3, 6, 12]),
        delay=rng.choice([1.0, 3.0, 10.0]),
        faults=("migrate leader", "slow answers", "mute leader", "heal"),
        drift=rng.choice([0.0, 0.2]),
    )


def _handover(rng: random.Random, options: Options) -> Options:
    """Leaders that hand over, soon lead again and are told nothing find leases that outlive the
    office, and heartbeats of one term that are counted in another."""
    return dataclasses.replace(
        _few_writes(options),
        fault_ticks=rng.choice([1.5, 3]),
        delay=rng.choice([1.0, 3.0]),
        faults=("transfer", "transfer", "deafen leader", "heal", "replay", "replay"),
        drift=rng.choice([0.0, 0.2]),
    )


def _clocks(rng: random.Random, options: Options) -> Options:
    """Clocks of which one runs much faster find leases that take them to be equal: who is
    fast is elected first, so leadership is often handed to who is slow."""
    return dataclasses.replace(
        _few_writes(options),
        fault_ticks=rng.choice([3, 6]),
        delay=rng.choice([1.0, 3.0]),
        faults=("mute leader", "isolate leader", "transfer", "transfer", "heal", "heal"),
        drift=rng.choice([3.0, 6.0]),
    )


KINDS: dict[str, Callable[[random.Random, Options], Options]] = {
    "weather": _as_drawn,
    "strikes": _strikes,
    "duels": _duels,
    "members": _members,
    "haste": _haste,
    "impatience": _impatience,
    "snapshots": _snapshots,
    "flapping": _flapping,
    "leases": _leases,
    "restarts": _restarts,
    "moves": _moves,
    "handover": _handover,
    "clocks": _clocks,
}
