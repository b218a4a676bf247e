"""`jepsen-like doctor`: what this machine can do, found out by doing it.

Each fault of links is tried on every backend, and each fault of a process on a process made for
it, with the verification of a run. What does not work says why, in a sentence; nothing is
concluded from versions or from who the user is.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, cast

from jepsen_like.adapters.database import RunningDatabase
from jepsen_like.backends.abilities import CAN, NETNS, PROXY, SHAPING
from jepsen_like.backends.backend import BackendError
from jepsen_like.backends.choose import open_backend
from jepsen_like.backends.leftovers import marked
from jepsen_like.backends.probe import Prober
from jepsen_like.dispatch import Clock
from jepsen_like.faults.fault import Site
from jepsen_like.faults.processes import process_state
from jepsen_like.faults.trials import HOSTS, TRIALS

__all__ = ["Finding", "examine", "in_words"]

SETTLE_S: Final = 2.0

POLL_S: Final = 0.01

SLEEPER: Final = "import sys; print(flush=True); sys.stdin.read()"


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
    tries: Sequence[Coroutine[Any, Any, list[Finding]]] = (
        *(_backend(name) for name in (NETNS, PROXY)),
        _processes(),
    )
    found = await asyncio.gather(*tries)
    return tuple(finding for some in found for finding in some)


# ------------------------------------------------------------------------------ backends


class _Nobody:
    """A database that does nothing: the links are examined, with probes."""

    async def leaders(self) -> Mapping[str, str]:
        return {}


async def _backend(name: str) -> list[Finding]:
    """The backend, and each fault of links on it; those that shape links on a network of their
    own, since they may need what cuts do not."""
    shaping = [trial for trial, fault in TRIALS.items() if fault.needs & SHAPING]
    cutting = [trial for trial in TRIALS if trial not in shaping]
    cuts, shapes = await asyncio.gather(_tries(name, cutting), _tries(name, shaping))
    first = cuts[0]
    backend = Finding("backend", name, first.works, first.why)
    return [backend, *cuts, *shapes]


async def _tries(name: str, trials: Sequence[str]) -> list[Finding]:
    able = [trial for trial in trials if TRIALS[trial].needs <= CAN[name]]
    needs = frozenset[str]().union(*(TRIALS[trial].needs for trial in able))
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


# ------------------------------------------------------------------------------ processes


async def _processes() -> list[Finding]:
    return [await _kill(), await _pause()]


async def _victim() -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *marked((sys.executable, "-I", "-S", "-c", SLEEPER)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    await process.stdout.readline()  # it runs
    return process


async def _becomes(pid: int, states: Collection[str]) -> bool:
    try:
        async with asyncio.timeout(SETTLE_S):
            while process_state(pid) not in states:  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return False
    return True


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _kill() -> Finding:
    process = await _victim()
    try:
        process.kill()
        if await _becomes(process.pid, [""]):
            return Finding("fault", "kill", True, "a process was killed and seen to be gone")
        return Finding("fault", "kill", False, _unseen(process.pid))
    finally:
        await _end(process)


async def _pause() -> Finding:
    process = await _victim()
    try:
        process.send_signal(signal.SIGSTOP)
        stopped = await _becomes(process.pid, ["T"])
        process.send_signal(signal.SIGCONT)
        if stopped and await _becomes(process.pid, ["R", "S"]):
            return Finding("fault", "pause", True, "a process was stopped, and went on")
        return Finding("fault", "pause", False, _unseen(process.pid))
    finally:
        await _end(process)


def _unseen(pid: int) -> str:
    if process_state(pid) == "?":
        return (
            "the state of a process cannot be seen here, so nothing is verified: /proc is missing"
        )
    return f"the process is in state {process_state(pid)!r} after the signal"


# ------------------------------------------------------------------------------ in words


def in_words(findings: Sequence[Finding]) -> list[str]:
    """A table of the faults of links by backend, and a line for everything else."""
    lines = [
        f"{finding.kind:8} {finding.name:8} {_mark(finding):6} {finding.why}"
        for finding in findings
        if finding.kind != "link"
    ]
    backends = list(dict.fromkeys(f.backend for f in findings if f.backend))
    by_place = {(f.name, f.backend): f for f in findings if f.kind == "link"}
    heading = "".join(f"{backend:8}" for backend in backends)
    lines += ["", f"{'faults of links':16}{heading}".rstrip()]
    for name in dict.fromkeys(name for name, _ in by_place):
        marks = "".join(f"{_mark(by_place[name, backend]):8}" for backend in backends)
        lines.append(f"{name:16}{marks}".rstrip())
    failed = [f for f in by_place.values() if not f.works]
    lines += [f"{f.name} on {f.backend}: {f.why}" for f in failed]
    return lines


def _mark(finding: Finding) -> str:
    return "works" if finding.works else "no"
