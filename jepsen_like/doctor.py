"""`jepsen-like doctor`: what this machine can do, found out by doing it.

Each fault of links is tried on every backend, and each fault of a process on a process made for
it (`dummy_faults`), with the verification of a run. What does not work says why, in a sentence;
nothing is concluded from versions or from who the user is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import cast

from jepsen_like.adapters.database import RunningDatabase
from jepsen_like.backends.abilities import CAN, NETNS, PROXY, ROUTERS_APART, SHAPING
from jepsen_like.backends.backend import BackendError
from jepsen_like.backends.choose import open_backend
from jepsen_like.backends.probe import Prober
from jepsen_like.dispatch import Clock
from jepsen_like.dummy_faults import try_faults
from jepsen_like.faults.demands import needs_of
from jepsen_like.faults.fault import Site
from jepsen_like.faults.trials import HOSTS, TRIALS

__all__ = ["Finding", "examine", "in_words"]


@dataclass(frozen=True)
class Finding:
    """What was tried, and how it went."""

    kind: str  # "backend", "fault" (of a process) or "link" (a fault of links)
    name: str
    works: bool
    why: str  # what was seen, or what is missing
    backend: str = ""  # on which a fault of links was tried


async def examine() -> tuple[Finding, ...]:
    """Everything, the backends side by side: some ten seconds."""
    backends, faults = await asyncio.gather(
        asyncio.gather(*(_backend(name) for name in (NETNS, PROXY))), try_faults()
    )
    of_links = (finding for found in backends for finding in found)
    return (*of_links, *(Finding("fault", *each) for each in faults))


# ------------------------------------------------------------------------------ backends


class _Nobody:
    """A database that does nothing: the links are examined, with probes."""

    async def leaders(self) -> Mapping[str, str]:
        return {}


async def _backend(name: str) -> list[Finding]:
    """The backend, and each fault of links on it; those that shape links, and those of routers,
    each on a network of their own, since they need what cuts do not."""
    needs = {trial: needs_of((fault,)) for trial, fault in TRIALS.items()}
    shaping = [trial for trial in TRIALS if needs[trial] & SHAPING]
    of_routers = [trial for trial in TRIALS if ROUTERS_APART in needs[trial]]
    cutting = [trial for trial in TRIALS if trial not in (*shaping, *of_routers)]
    found = await asyncio.gather(*(_tries(name, some) for some in (cutting, of_routers, shaping)))
    first = found[0][0]
    backend = Finding("backend", name, first.works, first.why)
    return [backend, *(finding for some in found for finding in some)]


async def _tries(name: str, trials: Sequence[str]) -> list[Finding]:
    able = [trial for trial in trials if needs_of((TRIALS[trial],)) <= CAN[name]]
    needs = needs_of([TRIALS[trial] for trial in able])
    found: dict[str, Finding] = {
        trial: Finding("link", trial, False, f"the backend {name} cannot do that", name)
        for trial in trials
    }
    try:
        async with AsyncExitStack() as stack:
            backend = await open_backend(name, HOSTS, needs)
            stack.push_async_callback(backend.close)
            prober = await stack.enter_async_context(Prober(backend))
            nobody = cast("RunningDatabase", _Nobody())
            site = Site(nobody, backend, prober, Clock(), lambda _: None)
            for trial in able:
                found[trial] = await _try(site, trial)
    except (BackendError, OSError) as exc:
        for trial in able:
            found[trial] = Finding("link", trial, False, str(exc), name)
    return list(found.values())


async def _try(site: Site, trial: str) -> Finding:
    record = await TRIALS[trial].drawn(HOSTS, random.Random(1)).run(site)
    failed = [line for line in record.evidence if line.startswith("NOT VERIFIED")]
    why = failed[0] if failed else "made, verified and over"
    return Finding("link", trial, record.verified, why, site.backend.name)


# ------------------------------------------------------------------------------ in words


def in_words(findings: Sequence[Finding]) -> list[str]:
    """A table of the faults of links by backend, and a line for everything else."""
    others = [finding for finding in findings if finding.kind != "link"]
    width = max(len(finding.name) for finding in others)
    lines = [f"{f.kind:8} {f.name:{width}} {_mark(f):6} {f.why}" for f in others]
    backends = list(dict.fromkeys(f.backend for f in findings if f.backend))
    by_place = {(f.name, f.backend): f for f in findings if f.kind == "link"}
    heading = "".join(f"{backend:8}" for backend in backends)
    left = max(len(name) for name, _ in by_place) + 2
    lines += ["", f"{'faults of links':{left}}{heading}".rstrip()]
    for name in dict.fromkeys(name for name, _ in by_place):
        marks = "".join(f"{_mark(by_place[name, backend]):8}" for backend in backends)
        lines.append(f"{name:{left}}{marks}".rstrip())
    failed = [f for f in by_place.values() if not f.works]
    lines += [f"{f.name} on {f.backend}: {f.why}" for f in failed]
    return lines


def _mark(finding: Finding) -> str:
    return "works" if finding.works else "no"
