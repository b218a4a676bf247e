"""Networks to try faults on, each as it is or with something wrong about it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping
from typing import Any, cast

import pytest

from jepsen_like import faults
from jepsen_like.adapters.database import RunningDatabase
from jepsen_like.backends.backend import Backend, Pair
from jepsen_like.backends.choose import open_backend
from jepsen_like.backends.namespaces import PROGRAMS
from jepsen_like.backends.probe import Prober
from jepsen_like.dispatch import Clock
from jepsen_like.result import FaultRecord

BACKENDS = ("proxy", "netns")


def require_namespaces() -> None:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        packages = " ".join(sorted({PROGRAMS[name] for name in missing}))
        pytest.skip(f"{', '.join(missing)} is missing: apt-get install {packages}")
    probe = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net"]
    if subprocess.run([*probe, "true"], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces are not allowed here: run as root")


async def opened(name: str, hosts: Collection[str], needs: Collection[str] = ()) -> Backend:
    if name == "netns":
        require_namespaces()
    return await open_backend(name, tuple(hosts), needs)


class IdleDatabase:
    """Only its leaders are asked for: these faults are about links."""

    def __init__(self, leader: str) -> None:
        self._leader = leader

    async def leaders(self) -> Mapping[str, str]:
        return {"g": self._leader}


async def run_on(
    backend: Backend, fault: faults.Fault, leader: str = "b", clock: Clock | None = None
) -> FaultRecord:
    """The fault as a run would do it, on a network without a database."""
    async with Prober(backend) as prober:
        database = cast("RunningDatabase", IdleDatabase(leader))
        site = faults.Site(database, backend, prober, clock or Clock(), lambda _: None)
        record = await fault.run(site)
    assert record is not None
    return record


class Twisted:
    """A network that does something else than it is asked."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class Leaky(Twisted):
    """Leaves some of the cuts undone."""

    leaks: Collection[Pair] = ()

    async def cut(self, pairs: Collection[Pair]) -> None:
        await self._backend.cut([pair for pair in pairs if pair not in self.leaks])


class Closing(Twisted):
    """Cuts everything, also what should stay open."""

    async def cut(self, pairs: Collection[Pair]) -> None:
        await self._backend.cut(self._backend.pairs)


class Symmetric(Twisted):
    """Cuts both directions where one was asked for."""

    async def cut(self, pairs: Collection[Pair]) -> None:
        await self._backend.cut([*pairs, *((b, a) for a, b in pairs)])


class Forgetful(Twisted):
    """Never heals one link."""

    keeps: Pair = ("b", "a")

    async def heal(self, pairs: Collection[Pair]) -> None:
        await self._backend.heal([pair for pair in pairs if pair != self.keeps])


class Talkative(Twisted):
    """Counts more bytes at every look, as a link would that is cut for the probes only."""

    asked = 0

    async def delivered(self) -> dict[Pair, int]:
        self.asked += 1
        counts = await self._backend.delivered()
        return {pair: count + self.asked for pair, count in counts.items()}


class Steady(Twisted):
    """Cuts, and never heals before the end."""

    async def heal(self, pairs: Collection[Pair]) -> None:
        return


class Timed(Twisted):
    """Says when it was cut."""

    clock = Clock()
    cut_ns = 0

    async def cut(self, pairs: Collection[Pair]) -> None:
        await self._backend.cut(pairs)
        self.cut_ns = self.clock.now_ns()
