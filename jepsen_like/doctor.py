"""`jepsen-like doctor`: what this machine can do, found out by doing it.

Each backend is opened, cut and healed, and each fault of a process is done to a process made
for it, with the verification of a run. What does not work says why, in a sentence; nothing is
concluded from versions or from who the user is.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, cast

from jepsen_like.adapters.database import RunningDatabase
from jepsen_like.backends.backend import Backend, BackendError
from jepsen_like.backends.leftovers import marked
from jepsen_like.backends.netns import Netns
from jepsen_like.backends.probe import Prober
from jepsen_like.backends.proxy import Mesh
from jepsen_like.dispatch import Clock
from jepsen_like.faults.cuts import split
from jepsen_like.faults.fault import Site
from jepsen_like.faults.partitions import partition
from jepsen_like.faults.processes import process_state

__all__ = ["Finding", "examine"]

HOSTS: Final = ("a", "b", "c")

HOLD_S: Final = 0.3

SETTLE_S: Final = 2.0

POLL_S: Final = 0.01

SLEEPER: Final = "import sys; print(flush=True); sys.stdin.read()"


@dataclass(frozen=True)
class Finding:
    """What was tried, and how it went."""

    kind: str  # "backend" or "fault"
    name: str
    works: bool
    why: str  # what was seen, or what is missing


async def examine() -> tuple[Finding, ...]:
    """Everything, side by side: about a second."""
    tries: Sequence[Coroutine[Any, Any, Finding]] = (
        _backend("proxy", _mesh()),
        _backend("netns", Netns.open(HOSTS)),
        _kill(),
        _pause(),
    )
    return tuple(await asyncio.gather(*tries))


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


# ------------------------------------------------------------------------------ processes


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
