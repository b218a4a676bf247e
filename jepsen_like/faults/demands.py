"""What a schedule asks of a database and of the network, held against what they offer.

Asked before anything starts: a fault that could not happen would leave the run `unknown` after all
its time was spent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final

from jepsen_like.adapters.database import Database, GroupedDatabase, Offer, OfferingDatabase
from jepsen_like.faults.fault import Planned
from jepsen_like.faults.targets import RouterOf

__all__ = ["Offer", "demands", "needs_of", "refusal"]

MISSING: Final = {
    Offer.MOVES: "its leaders and replicas cannot be told to move",
    Offer.ROOM: "every host has a replica of every group, so none can move; give it more nodes "
    "than replicas",
    Offer.ROUTERS: "it has no routers",
    Offer.FILES: "it does not say where its files are",
    Offer.PRELOAD: "no library can be loaded into its processes, as into no static binary",
    Offer.JOURNAL: "what its processes write cannot be followed, as in no static binary",
}


def demands(schedule: Sequence[Planned]) -> set[Offer]:
    """What the faults ask for, those inside of others too."""
    return {offer for planned in schedule for part in _parts(planned) for offer in _asked(part)}


def needs_of(schedule: Sequence[Planned]) -> frozenset[str]:
    """What the links between hosts must allow: names of `backends.abilities.CAN`."""
    found = (getattr(part, "needs", frozenset[str]()) for part in _parts(tuple(schedule)))
    return frozenset[str]().union(*found)


def refusal(schedule: Sequence[Planned], db: Database) -> str:
    """Why a schedule cannot be carried out on `db`, in a sentence; "" if it can."""
    offers = db.offers if isinstance(db, OfferingDatabase) else frozenset[Offer]()
    groups = db.groups if isinstance(db, GroupedDatabase) else None
    for planned in schedule:
        for part in _parts(planned):
            for offer in sorted(_asked(part), key=list(Offer).index):
                if offer not in offers:
                    return f"{planned.name} is impossible with this database: {MISSING[offer]}."
            group = getattr(part, "group", None)
            if groups is not None and group is not None and group not in groups:
                return f"{planned.name}: there is no group {group}; there are {', '.join(groups)}."
    return ""


def _asked(part: Any) -> frozenset[Offer]:
    if isinstance(part, RouterOf):
        return frozenset([Offer.ROUTERS])
    found: frozenset[Offer] = getattr(part, "demands", frozenset())
    return found


def _parts(value: Any) -> Iterator[Any]:
    """The value and every value inside of it: faults, deeds, targets."""
    if isinstance(value, tuple):
        for each in value:
            yield from _parts(each)
    elif dataclasses.is_dataclass(value):
        yield value
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))
