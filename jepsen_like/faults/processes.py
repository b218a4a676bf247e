"""Faults of processes: killed (SIGKILL, then started again) and paused (SIGSTOP, SIGCONT).

Verified from outside: what the kernel says of the process id, and whether the process at the
database's address answers, and with which process id.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

from jepsen_like.adapters.database import DatabaseError
from jepsen_like.faults.fault import Site, find
from jepsen_like.faults.targets import Target, draw_target, role
from jepsen_like.load import seconds
from jepsen_like.result import FaultRecord

__all__ = ["Kill", "Pause", "kill", "pause", "process_state"]

SETTLE_S: Final = 2.0
"""How long the kernel may take until a signal has its effect, on a busy machine."""

ANSWER_WAIT_S: Final = 10.0
"""How long a process that was started or woken may take until it answers."""

POLL_S: Final = 0.01


def process_state(pid: int) -> str:
    """The kernel's letter for a process ("R", "S", "T" stopped, ...); "" if there is none.

    A zombie counts as none: it runs no more and holds no file or port. From /proc; where that
    is missing every answer is "?", so nothing is ever verified by it.
    """
    if not Path("/proc/self/stat").exists():
        return "?"
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    letter = text.rpartition(")")[2].split()[0]  # the name before it may hold any character
    return "" if letter in "ZX" else letter


def _signal(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone already shows in what is looked at afterwards."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


async def _until(condition: Callable[[], bool], timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return False
    return True


async def _answering(site: Site, host: str, pid: int) -> bool:
    """Whether process `pid` answers at the host's address, now or soon."""
    try:
        async with asyncio.timeout(ANSWER_WAIT_S):
            while await site.db.answering_pid(host) != pid:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return False
    return True


async def _start_again(site: Site, host: str, old_pid: int) -> tuple[bool, str]:
    """Whether a new process answers at the host's address, and that in words."""
    try:
        await site.db.restart(host)
    except DatabaseError as exc:  # a finding about the database, not the end of the run
        return False, f"after the restart: {exc}"
    pid = site.db.pid(host)
    back = pid != old_pid and await _answering(site, host, pid)
    return back, f"after the restart: process {pid} answered at {host}"


def _sentence(good: bool, text: str) -> str:
    return text if good else f"NOT VERIFIED: {text}"


@dataclass(frozen=True)
class Kill:
    """SIGKILL the host's database process; start it again after `hold_s`."""

    target: Target
    hold_s: float
    rest_s: float
    kind: ClassVar[str] = "kill"

    @property
    def name(self) -> str:
        return f"kill -9 {self.target}"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Kill:
        return replace(self, target=draw_target(self.target, hosts, rng))

    async def run(self, site: Site) -> FaultRecord:
        host, leaders = await find(site, self.target)
        pid = site.db.pid(host)
        answered = await _answering(site, host, pid)

        start_ns = site.clock.now_ns()
        _signal(pid, signal.SIGKILL)
        site.say(f"kill -9 {host} (pid {pid}), {role(host, leaders)}")
        gone = await _until(lambda: process_state(pid) == "", SETTLE_S)
        await site.clock.sleep_until(start_ns + round(self.hold_s * 1e9))
        silent = process_state(pid) == "" and await site.db.answering_pid(host) is None
        back, words = await _start_again(site, host, pid) if gone else (False, "it still runs")
        end_ns = site.clock.now_ns()
        site.say(f"{host} is {'back' if back else 'not back'}")
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=host,
            role_before=role(host, leaders),
            role_after=role(host, await site.db.leaders()),
            start_ns=start_ns,
            end_ns=end_ns,
            verified_start=answered and gone,
            verified_end=silent and back,
            evidence=(
                _sentence(answered, f"before: process {pid} answered at {host}"),
                _sentence(gone, f"after SIGKILL: there is no process {pid}"),
                _sentence(silent, f"before the restart: nobody answered at {host}"),
                _sentence(back, words),
            ),
        )


@dataclass(frozen=True)
class Pause:
    """SIGSTOP the host's database process, SIGCONT after `hold_s`: a long garbage collection."""

    target: Target
    hold_s: float
    rest_s: float
    kind: ClassVar[str] = "pause"

    @property
    def name(self) -> str:
        return f"pause {self.target}"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Pause:
        return replace(self, target=draw_target(self.target, hosts, rng))

    async def run(self, site: Site) -> FaultRecord:
        host, leaders = await find(site, self.target)
        pid = site.db.pid(host)

        start_ns = site.clock.now_ns()
        _signal(pid, signal.SIGSTOP)
        try:
            site.say(f"pause {host} (pid {pid}), {role(host, leaders)}")
            stopped = await _until(lambda: process_state(pid) == "T", SETTLE_S)
            await site.clock.sleep_until(start_ns + round(self.hold_s * 1e9))
            still_stopped = process_state(pid) == "T"
        finally:
            _signal(pid, signal.SIGCONT)
        end_ns = site.clock.now_ns()
        woken = await _until(lambda: process_state(pid) not in ("T", "", "?"), SETTLE_S)
        answers = woken and await _answering(site, host, pid)
        site.say(f"{host} goes on")
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=host,
            role_before=role(host, leaders),
            role_after=role(host, await site.db.leaders()),
            start_ns=start_ns,
            end_ns=end_ns,
            verified_start=stopped,
            verified_end=still_stopped and answers,
            evidence=(
                _sentence(stopped, f"after SIGSTOP: process {pid} is stopped (state T)"),
                _sentence(still_stopped, f"before SIGCONT: process {pid} is still stopped"),
                _sentence(answers, f"after SIGCONT: process {pid} runs and answered at {host}"),
            ),
        )


def kill(target: Target, hold: str | float = "2s", rest: str | float = "3s") -> Kill:
    return Kill(target, seconds(hold), seconds(rest))


def pause(target: Target, hold: str | float = "5s", rest: str | float = "3s") -> Pause:
    return Pause(target, seconds(hold), seconds(rest))
