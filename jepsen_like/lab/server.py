"""A lab: a database, its network, a gentle load and the faults at work, until it is told to end.

One process owns them, on one event loop, as in a run (`runner`): the same backend, the same
database, the same dispatcher and faults. What commands ask comes over a socket (`control`).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from jepsen_like import faults
from jepsen_like.adapters.database import LevelledDatabase, RunningDatabase, WatchedDatabase
from jepsen_like.backends.abilities import CUT, DELAY, PROXY, RESET
from jepsen_like.backends.choose import open_backend
from jepsen_like.backends.probe import Prober
from jepsen_like.backends.proxy import Mesh
from jepsen_like.clients import Client
from jepsen_like.dispatch import Clock, Dispatcher
from jepsen_like.faults import written
from jepsen_like.faults.fault import Site
from jepsen_like.history import Recorder, Unserved
from jepsen_like.kernel import kernel
from jepsen_like.lab.control import listening
from jepsen_like.lab.figures import Live
from jepsen_like.lab.hands import KEYS, Hands
from jepsen_like.lab.status import AtWork, HostNow, Leads, Status
from jepsen_like.lab.strikes import Refused, Strikes
from jepsen_like.load import arrivals
from jepsen_like.preloading import preloaded
from jepsen_like.reigns import Reigns, watch
from jepsen_like.workloads.levels import levelled_register
from jepsen_like.workloads.workload import with_name

__all__ = ["Lab", "Setting", "opened"]

DEADLINE_S: Final = 1.0
"""A router notices in half a second that nodes fell silent."""

CLIENTS_MIN: Final = 6

LOAD_KEYS: Final = 4
CALLS_PER_KEY: Final = 1 << 40
"""The same few registers for as long as the lab lasts."""

STATES: Final = {"": "dead", "T": "stopped"}
"""What a kernel says of a process, in words; all others are "running"."""


@dataclass(frozen=True)
class Setting:
    """What a lab is made of."""

    db: LevelledDatabase
    load: float  # calls per second over all hosts
    window_s: float
    power_cuts: bool  # whether a kill may lose what was not synced
    seed: int


class _Claims(Reigns):
    """Of each host what it said last."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, Mapping[str, int] | None] = {}

    def saw(self, host: str, at_ns: int, claims: Mapping[str, int] | None) -> None:
        self.last[host] = claims


class Lab:
    def __init__(
        self,
        setting: Setting,
        directory: Path,
        mesh: Mesh,
        site: Site,
        hands: Hands,
        groups: Mapping[int, str],
    ) -> None:
        self.is_over = asyncio.Event()
        self._setting = setting
        self._directory = directory
        self._mesh = mesh
        self._site = site
        self._hands = hands
        self._groups = groups
        self._claims = _Claims()
        self.live = Live(hands.workload.initial, round(setting.window_s * 1e9))
        rng = random.Random(f"{setting.seed}/lab")
        self.strikes = Strikes(setting.db, site, rng, over=lambda record: None)

    async def watch(self) -> None:
        """Ask every host whom it leads, until cancelled."""
        db = self._site.db
        assert isinstance(db, WatchedDatabase)
        await watch(db, self._setting.db.hosts, self._site.clock.now_ns, self._claims)

    async def load(self, running: RunningDatabase) -> None:
        """Calls at every level from every host, until the lab is over."""
        setting, hosts = self._setting, self._setting.db.hosts
        _, *weaker = setting.db.levels
        workload = levelled_register(
            weaker, keys=LOAD_KEYS, calls_per_key=CALLS_PER_KEY, share=_share(len(weaker))
        )
        keys = workload.keys(1)
        await running.prepare(workload, keys)
        unserved: list[Unserved] = []

        async def connect(host: str) -> Client:
            return await running.connect(host, [workload], DEADLINE_S)

        recorder = Recorder(clock=self._site.clock.now_ns, start_ns=0, watch=self.live.saw)
        rng = random.Random(f"{setting.seed}/load")
        calls = with_name(workload.name, workload.calls(rng, keys))
        async with Dispatcher(
            connect,
            hosts=hosts,
            clients_per_host=CLIENTS_MIN + round(2 * setting.load * DEADLINE_S / len(hosts)),
            deadline_s=DEADLINE_S,
            clock=self._site.clock,
            recorder=recorder,
            unserved=unserved,
        ) as dispatcher:
            await dispatcher.connect()
            planned = arrivals(calls, hosts=hosts, rate=setting.load, rng=rng)
            await dispatcher.run(planned, self.is_over)

    # -------------------------------------------------------------------------- questions

    async def answer(self, question: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
        """What came of it, as plain data. Raises ValueError, a sentence."""
        try:
            match question:
                case {"do": "status"}:
                    return self.status().as_data()
                case {"do": "strike", "fault": fault}:
                    return await self._strike(fault, say)
                case {"do": "heal"}:
                    return await self._heal(question.get("numbers"), question.get("kind"))
                case {"do": "read", "key": int(key), "hosts": list(names)}:
                    said = await self._hands.read(self._key(key), self._hosts(names))
                    return {"key": key, "group": self._groups[key], "said": list(map(asdict, said))}
                case {"do": "write", "key": int(key), "value": int(value), "host": str(name)}:
                    (host,) = self._hosts([name])
                    one = await self._hands.write(self._key(key), value, host)
                    return {"key": key, "group": self._groups[key], "said": [asdict(one)]}
                case {"do": "down"}:
                    self.is_over.set()
                    return {}
        except Refused as exc:
            raise ValueError(str(exc)) from exc
        raise ValueError("this lab knows no such question; it may be of another version.")

    def _key(self, key: int) -> int:
        if key not in KEYS:
            raise Refused(f"there is no register {key}; there are {KEYS[0]} to {KEYS[-1]}.")
        return key

    def _hosts(self, names: list[str]) -> list[str]:
        """All, if none is named."""
        hosts = self._setting.db.hosts
        for name in names:
            if name not in hosts:
                raise Refused(f"there is no host {name}; there are {', '.join(hosts)}.")
        return names or list(hosts)

    async def _strike(self, fault: Any, say: Callable[[str], None]) -> dict[str, Any]:
        def tell(text: str) -> None:
            say(text)
            self._site.say(text)

        found = await self.strikes.strike(written.read(fault), tell)
        return {"number": found.number, "name": found.fault.name}

    async def _heal(self, numbers: list[int] | None, kind: str | None) -> dict[str, Any]:
        """These; or all, or all of a kind."""
        if numbers is None:
            active = self.strikes.active.values()
            numbers = [one.number for one in active if kind in (None, one.fault.kind)]
        records = await self.strikes.heal(numbers)
        return {
            "healed": [
                {
                    "name": record.name,
                    "seconds": ((record.end_ns or record.start_ns) - record.start_ns) / 1e9,
                    "target": record.target,
                    "role_before": record.role_before,
                    "role_after": record.role_after,
                    "verified": record.verified_start and record.verified_end,
                    "evidence": list(record.evidence),
                }
                for record in records
            ]
        }

    def status(self) -> Status:
        setting, now_ns = self._setting, self._site.clock.now_ns()
        claims = self._claims.last
        links = self._mesh.links
        hosts = []
        for name in setting.db.hosts:
            pid = self._site.db.pid(name)
            state = STATES.get(kernel().state(pid), "running")
            if state == "running" and claims.get(name) is None:
                state = "silent"
            led = claims.get(name) or {}
            slow = {
                other: _added_ms(self._mesh, name, other)
                for other in setting.db.hosts
                if other != name and _added_ms(self._mesh, name, other)
            }
            hosts.append(
                HostNow(
                    name,
                    state,
                    pid,
                    tuple(Leads(group, led[group]) for group in sorted(led)),
                    tuple(b for (a, b), link in links.items() if a == name and link.is_cut),
                    slow,
                )
            )
        return Status(
            directory=str(self._directory),
            pid=os.getpid(),
            seconds=now_ns / 1e9,
            groups=tuple(sorted({*self._groups.values()})),
            keys={str(key): group for key, group in self._groups.items()},
            levels=self._hands.levels,
            load=setting.load,
            window_s=setting.window_s,
            hosts=tuple(hosts),
            faults=tuple(
                AtWork(one.number, one.fault.name, one.fault.kind, (now_ns - one.since_ns) / 1e9)
                for one in self.strikes.active.values()
            ),
            figures=self.live.figures(now_ns),
            operations=self.live.operations,
            stale=dict(self.live.stale),
            errors=self.live.errors(now_ns),
        )


def _added_ms(mesh: Mesh, a: str, b: str) -> float:
    shapes = [mesh.links[pair].shape for pair in ((a, b), (b, a))]
    return round(sum(one.shape.delay_s for one in shapes if one is not None) * 1000, 3)


def _share(weaker: int) -> float:
    """Of reads, so that each level has as many."""
    return weaker / (weaker + 1)


@asynccontextmanager
async def opened(
    setting: Setting, directory: Path, say: Callable[[str], None]
) -> AsyncIterator[Lab]:
    """A lab in `directory`, which exists and is empty; nothing of it runs after the block.

    Raises BackendError, DatabaseError, ClientError or InterposeError, each a sentence.
    """
    db = setting.db
    async with AsyncExitStack() as stack:
        mesh = await open_backend(PROXY, db.hosts, {CUT, DELAY, RESET}, say)
        assert isinstance(mesh, Mesh)
        stack.push_async_callback(mesh.close)
        asked = [faults.kill("one", lose_unsynced=True)] if setting.power_cuts else []
        database, instruments = preloaded(db, asked, directory)
        if instruments is not None:
            stack.callback(instruments.close)
        running = await database.start(mesh, directory, say)
        stack.push_async_callback(running.stop)
        prober = await stack.enter_async_context(Prober(mesh))
        clock = Clock()
        hands = await stack.enter_async_context(Hands(db, running, clock, DEADLINE_S))
        groups = await running.groups_of(hands.workload, KEYS)
        site = Site(running, mesh, prober, clock, say, instruments)
        lab = Lab(setting, directory, mesh, site, hands, groups)
        stack.push_async_callback(lab.strikes.end)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        watching = tasks.create_task(lab.watch())
        if setting.load:
            tasks.create_task(lab.load(running))
        try:
            async with listening(directory, lab.answer):
                yield lab
        finally:
            lab.is_over.set()  # the load ends by itself
            watching.cancel()
