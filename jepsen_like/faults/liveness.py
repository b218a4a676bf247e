"""The phase that demands progress: a quorum is healthy and connected, the rest stays broken.

A database that answers nobody keeps every promise of safety. So when the faults of a test are over,
all but a minority of the hosts is well, and stays so: what the others have (nothing, a cut, a
kill, a pause) is drawn from the seed, for a cluster that only goes on when everything is mended
has not tolerated anything. Who is well must serve, every group of which a majority of voters is
well, from every such host, within the time stated (`checks.liveness`).

    faults=[..., faults.liveness("10s")]

That hosts are well is verified as well: by the kernel's word of their processes and by probes over
every link between them, at the start and at the end. A process that is gone by itself, or a link
that does not carry, leaves nobody that is known to be well, and then nothing is demanded. Whether
the broken ones were broken as drawn decides nothing: a quorum was well in any case.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from jepsen_like.adapters.database import DatabaseError, OperableDatabase
from jepsen_like.backends.abilities import CUT
from jepsen_like.faults.cuts import Split
from jepsen_like.faults.fault import Fault, Site
from jepsen_like.faults.partitions import Partition
from jepsen_like.faults.processes import ProcessFault
from jepsen_like.faults.signals import Kill, Pause
from jepsen_like.faults.targets import Hosts
from jepsen_like.kernel import kernel
from jepsen_like.load import seconds
from jepsen_like.result import LIVENESS, FaultRecord

__all__ = ["Liveness", "liveness"]

CARRY_S: Final = 2.0
"""How long a probe over an open link may take on a busy machine."""

NOTHING: Final = "nothing"
WAYS: Final = (NOTHING, "cut off", "killed", "paused")


@dataclass(frozen=True)
class Liveness:
    """`broken` stays as `way` says; both are drawn. Empty: everything is well."""

    within_s: float
    way: str = ""
    broken: tuple[str, ...] = ()
    kind: ClassVar[str] = LIVENESS
    rest_s: ClassVar[float] = 0.0
    needs: ClassVar[frozenset[str]] = frozenset({CUT})

    @property
    def hold_s(self) -> float:
        """No field: what is demanded is not made simpler by shrinking it."""
        return self.within_s

    @property
    def name(self) -> str:
        left = f", {' '.join(self.broken)} {self.way}" if self.broken else ""
        return f"liveness within {self.within_s:g} s{left}"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Liveness:
        way = rng.choice(WAYS)
        most = (len(hosts) - 1) // 2
        if way == NOTHING or not most:
            return replace(self, way=NOTHING, broken=())
        broken = rng.sample(list(hosts), rng.randint(1, most))
        return replace(self, way=way, broken=tuple(sorted(broken)))

    async def run(self, site: Site) -> FaultRecord:
        healthy = tuple(host for host in site.backend.hosts if host not in self.broken)
        fault = self._fault(healthy)
        leaders = await site.db.leaders()
        voters = await _voters(site)
        served = tuple(
            group
            for group, members in sorted(voters.items())
            if 2 * len(set(members) & set(healthy)) > len(members)
        )
        site.say(self.name)
        breaking = None if fault is None else asyncio.ensure_future(fault.run(site))
        try:
            start_ns = site.clock.now_ns()
            at_start = await _well(site, healthy, "at the start")
            await site.clock.sleep_until(start_ns + round(self.within_s * 1e9))
            end_ns = site.clock.now_ns()
            at_end = await _well(site, healthy, "at the end")
            record = None if breaking is None else await breaking
        finally:
            if breaking is not None:
                breaking.cancel()
                await asyncio.gather(breaking, return_exceptions=True)
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=" ".join(self.broken) or "nobody",
            role_before="; ".join(sorted(f"{group}: {host}" for group, host in leaders.items())),
            role_after="; ".join(
                sorted(f"{group}: {host}" for group, host in (await site.db.leaders()).items())
            ),
            start_ns=start_ns,
            end_ns=end_ns,
            cut=() if record is None else record.cut,
            healthy=healthy if at_start[0] and at_end[0] else (),
            served=served,
            verified_start=at_start[0] and (record is None or record.verified_start),
            verified_end=at_end[0] and (record is None or record.verified_end),
            evidence=(at_start[1], at_end[1], *(() if record is None else record.evidence)),
        )

    def _fault(self, healthy: tuple[str, ...]) -> Fault | None:
        """What the broken ones have, for as long as the phase lasts."""
        if not self.broken:
            return None
        if self.way == "cut off":
            return Partition(Split((self.broken, healthy)), self.within_s, 0.0)
        deed = Kill() if self.way == "killed" else Pause()
        return ProcessFault(deed, Hosts(self.broken), self.within_s, 0.0)


def liveness(within: str | float = "10s") -> Liveness:
    """The last of a test's faults: so long after those before it, whoever is well must serve."""
    return Liveness(seconds(within))


async def _voters(site: Site) -> Mapping[str, Sequence[str]]:
    """Of each group, by the word of the processes now; by that of when the load began, if none is
    heard now; all hosts, of a database that says nothing about it."""
    found: dict[str, Sequence[str]] = {}
    for group, known in site.voters.items():
        now: Sequence[str] = ()
        if isinstance(site.db, OperableDatabase):
            try:
                now = await site.db.voters(group)
            except DatabaseError:
                now = ()
        found[group] = now or known
    return found


async def _well(site: Site, healthy: Sequence[str], when: str) -> tuple[bool, str]:
    """Whether their processes run and the links between them carry."""
    states = {host: kernel().state(site.db.pid(host)) for host in healthy}
    down = [host for host, state in states.items() if state in ("", "T")]
    pairs = [(a, b) for a, b in site.backend.pairs if a in states and b in states]
    sent = await site.prober.send(pairs)
    arrived = await site.prober.wait_for(sent, CARRY_S)
    good = not down and len(arrived) == len(sent)
    ended = f", no process runs on {' '.join(down)}" if down else ", their processes run"
    words = (
        f"{when}: {len(arrived)} of {len(sent)} probes arrived over the links among "
        f"{' '.join(healthy)}{ended}"
    )
    return good, words if good else f"NOT VERIFIED: {words}"
