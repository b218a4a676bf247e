"""A database that was started elsewhere: all that is done to it is a step of its author's.

    External(
        "registers",
        hosts=("n1", "n2", "n3"),
        open=connect,  # a coroutine function: a connection to the member on a host
        steps=Steps(
            start="ssh {host} systemctl start registers",
            stop="ssh {host} systemctl stop registers",
            kill="ssh {host} systemctl kill -s KILL registers",
            cut="ssh {target} iptables -A INPUT -s {source} -j DROP",
            heal="ssh {target} iptables -D INPUT -s {source} -j DROP",
            probe="ssh {source} nc -z -w 1 {target} 7000",
        ),
    )

A step is a command line or a coroutine function (`adapters.steps`). Nothing is believed of it:
cuts are verified with `probe`, ends and starts by asking the members.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jepsen_like.adapters.database import DatabaseError
from jepsen_like.adapters.members import Connection, MembersDidNotStart, RunningGroup
from jepsen_like.adapters.steps import Step, StepFailed, take
from jepsen_like.backends.backend import Backend
from jepsen_like.backends.external import ExternalNetwork, ExternalProber
from jepsen_like.faults.targets import TargetError

__all__ = ["External", "Steps"]


@dataclass(frozen=True)
class Steps:
    """`cut`, `heal` and `probe` are told `source` and `target`, the others `host`. Without `start`
    all members run already, without `stop` they are left running."""

    cut: Step
    heal: Step
    probe: Step
    start: Step | None = None
    stop: Step | None = None
    kill: Step | None = None


@dataclass(frozen=True)
class External:
    """The database `group`: one group, with a member on each host."""

    group: str
    hosts: tuple[str, ...]
    open: Callable[[str], Awaitable[Connection]]
    steps: Steps
    version: str = "not known"

    @property
    def groups(self) -> tuple[str, ...]:
        return (self.group,)

    def describe(self) -> dict[str, Any]:
        return {"database": self.group, "hosts": list(self.hosts), "external": True}

    def versions(self) -> dict[str, str]:
        return {self.group: self.version}

    def network(self) -> tuple[ExternalNetwork, ExternalProber]:
        network = ExternalNetwork(self.hosts, self.steps.cut, self.steps.heal)
        return network, ExternalProber(network, self.steps.probe)

    async def start(
        self, backend: Backend, directory: Path, say: Callable[[str], None]
    ) -> RunningExternal:
        running = RunningExternal(self)
        try:
            await running.boot(say)
        except BaseException:
            await running.stop()
            raise
        return running


class RunningExternal(RunningGroup):
    def __init__(self, database: External) -> None:
        super().__init__(database.group, database.hosts)
        self._open_at = database.open
        self._steps = database.steps

    async def open(self, host: str) -> Connection:
        return await self._open_at(host)

    async def boot(self, say: Callable[[str], None]) -> None:
        say(f"starting {self.group} on {', '.join(self.hosts)}, elsewhere")
        await self._take_all(self._steps.start)
        try:
            await self.until_ready()
        except MembersDidNotStart as exc:
            raise DatabaseError(f"{self.group} did not start: {exc}") from exc
        say(f"ready; led by {(await self.leaders()).get(self.group, 'nobody')}")

    async def _take_all(self, step: Step | None) -> None:
        """On all hosts; all steps have ended when this returns or raises."""
        if step is None:
            return
        taken = await asyncio.gather(
            *(take(step, host=host) for host in self.hosts), return_exceptions=True
        )
        for found in taken:
            if isinstance(found, BaseException):
                raise DatabaseError(f"{self.group}: {found}") from found

    def pid(self, host: str) -> int:
        raise TargetError(
            f"the process of {host} is elsewhere, and no signal goes there; write faults.outage()."
        )

    async def answering_pid(self, host: str) -> int | None:
        return None

    async def kill(self, host: str) -> None:
        if self._steps.kill is None:
            raise TargetError(f"{self.group} has no step kill; give it one in its Steps.")
        try:
            await take(self._steps.kill, host=host)
        except StepFailed as exc:
            raise DatabaseError(str(exc)) from exc

    async def restart(self, host: str) -> None:
        if self._steps.start is None:
            raise DatabaseError(f"{self.group} has no step start; give it one in its Steps.")
        try:
            await take(self._steps.start, host=host)
            await self.until_answers(host)
        except (StepFailed, MembersDidNotStart) as exc:
            raise DatabaseError(f"{host} did not start again: {exc}") from exc

    async def stop(self) -> None:
        await self._take_all(self._steps.stop)
