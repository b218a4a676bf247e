"""`jepsen-like doctor`: what this machine can do, found out by doing it.

Each backend is opened, cut and healed, and each fault of a process is done to a process made
for it (`dummy_faults`), with the verification of a run. What does not work says why, in a
sentence; nothing is concluded from versions or from who the user is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, cast

from jepsen_like.adapters.database import RunningDatabase
from jepsen_like.backends.backend import Backend, BackendError
from jepsen_like.backends.netns import Netns
from jepsen_like.backends.probe import Prober
from jepsen_like.backends.proxy import Mesh
from jepsen_like.dispatch import Clock
from jepsen_like.dummy_faults import try_faults
from jepsen_like.faults.cuts import split
from jepsen_like.faults.fault import Site
from jepsen_like.faults.partitions import partition

__all__ = ["Finding", "examine"]

HOSTS: Final = ("a", "b", "c")

HOLD_S: Final = 0.3


@dataclass(frozen=True)
class Finding:
    """What was tried, and how it went."""

    kind: str  # "backend" or "fault"
    name: str
    works: bool
    why: str  # what was seen, or what is missing


async def examine() -> tuple[Finding, ...]:
    """Everything, side by side: some seconds."""
    tries: Sequence[Coroutine[Any, Any, Finding]] = (
        _backend("proxy", _mesh()),
        _backend("netns", Netns.open(HOSTS)),
    )
    backends, found = await asyncio.gather(asyncio.gather(*tries), try_faults())
    return (*backends, *(Finding("fault", *each) for each in found))


# ------------------------------------------------------------------------------ backends


class _Nobody:
    """A database that does nothing: the links are examined, with probes."""

    async def leaders(self) -> Mapping[str, str]:
        return {}


async def _mesh() -> Backend:
    return Mesh(HOSTS)


async def _backend(name: str, opening: Coroutine[Any, Any, Backend]) -> Finding:
    try:
        async with AsyncExitStack() as stack:
            backend = await opening
            stack.push_async_callback(backend.close)
            prober = await stack.enter_async_context(Prober(backend))
            nobody = cast("RunningDatabase", _Nobody())
            site = Site(nobody, backend, prober, Clock(), lambda _: None)
            record = await partition(split([HOSTS[0]]), hold=HOLD_S, rest=0.0).run(site)
    except (BackendError, OSError) as exc:
        return Finding("backend", name, False, str(exc))
    failed = [line for line in record.evidence if line.startswith("NOT VERIFIED")]
    why = failed[0] if failed else "a partition was made, verified and healed"
    return Finding("backend", name, record.verified, why)
