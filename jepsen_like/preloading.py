"""The library of the harness in a database's processes, where a fault asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jepsen_like.adapters.database import Database, Offer, PreloadableDatabase
from jepsen_like.faults.demands import demands
from jepsen_like.faults.fault import Planned
from jepsen_like.interpose import Instruments, build
from jepsen_like.kernel import kernel

__all__ = ["preloaded"]


def preloaded(
    db: Database, schedule: Sequence[Planned], directory: Path
) -> tuple[Database, Instruments | None]:
    """The database to start for this schedule, and the instruments that it then has.

    Without such a fault it runs as it is: nothing stands between it and its system. Raises
    InterposeError.
    """
    wanted = demands(schedule)
    if Offer.PRELOAD not in wanted:
        return db, None
    assert isinstance(db, PreloadableDatabase), "it offers what it cannot do"
    place = directory / "interpose"
    # In a simulation there is nothing to load: `jepsen_like.sim.shown_clock` reads the same page
    library = place if kernel().simulates else build(place)
    instruments = Instruments(
        library, place, records=Offer.JOURNAL in wanted, power_cut=kernel().power_cut()
    )
    return db.preloaded(instruments), instruments
