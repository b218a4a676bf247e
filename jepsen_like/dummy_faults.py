"""Every fault of a process, its clocks, its files and its resources, done to a dummy, with the
verification of a run."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from jepsen_like import faults
from jepsen_like.adapters.database import DatabaseError, Offer
from jepsen_like.dummy import HOST, dummy_site
from jepsen_like.faults.demands import demands
from jepsen_like.faults.processes import ProcessFault
from jepsen_like.interpose import InterposeError, build

__all__ = ["FAULTS", "try_faults"]

FAULTS: Final[Mapping[str, ProcessFault]] = {
    "kill": faults.kill(HOST, hold="50ms"),
    "kill, unsynced writes lost": faults.kill(HOST, hold="50ms", lose_unsynced=True),
    "pause": faults.pause(HOST, hold="50ms"),
    "restart": faults.restart(HOST, hold="50ms"),
    "clock jump": faults.clock(HOST, jump="+30s", hold="50ms"),
    "clock drift": faults.clock(HOST, drift="5%", hold="100ms"),
    "clock strobe": faults.clock(HOST, strobe="200ms", hold="100ms"),
    "monotonic clock": faults.clock(HOST, jump="+30s", monotonic=True, hold="50ms"),
    "slow fsync": faults.slow_fsync(HOST, "20ms", hold="100ms"),
    "fsync error": faults.fsync_error(HOST, hold="50ms"),
    "write error": faults.write_error(HOST, hold="50ms"),
    "disk full": faults.disk_full(HOST, hold="50ms"),
    "bit flip": faults.bit_flip(HOST, hold="50ms"),
    "torn write": faults.torn_write(HOST, hold="50ms"),
    "starve cpu": faults.starve_cpu(HOST, "20%", hold="500ms"),
    "exhaust files": faults.exhaust_files(HOST, hold="50ms"),
}

AT_ONCE: Final = 4
"""Dummies at a time: more of them would keep each other from their turns."""


async def try_faults() -> tuple[tuple[str, bool, str], ...]:
    """Name, whether it works here, and what was seen or is missing, of each; two seconds."""
    with tempfile.TemporaryDirectory(prefix="jepsen-like-doctor-") as text:
        directory = Path(text)
        library: Path | str
        try:
            library = await asyncio.to_thread(build, directory / "library")
        except InterposeError as exc:
            library = str(exc)
        gate = asyncio.Semaphore(AT_ONCE)

        async def attempt(number: int, name: str, fault: ProcessFault) -> tuple[str, bool, str]:
            async with gate:
                works, why = await _try(fault, directory / str(number), library)
            return name, works, why

        tries = (attempt(number, *item) for number, item in enumerate(FAULTS.items()))
        return tuple(await asyncio.gather(*tries))


async def _try(fault: ProcessFault, directory: Path, library: Path | str) -> tuple[bool, str]:
    """`library`: or why there is none."""
    needs_library = Offer.PRELOAD in demands([fault])
    if needs_library and isinstance(library, str):
        return False, library
    loaded = library if needs_library and isinstance(library, Path) else None
    try:
        async with dummy_site(directory, loaded) as (site, _):
            record = await fault.drawn([HOST], random.Random(1)).run(site)
    except (faults.TargetError, DatabaseError, OSError) as exc:
        return False, str(exc)
    failed = [line for line in record.evidence if line.startswith("NOT VERIFIED")]
    return record.verified, failed[0] if failed else "done to a process, verified and healed"
