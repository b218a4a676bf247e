"""Is anything that was acknowledged lost when the power goes?

    python -m tests.power.soak --crashes 200 --seed 1

Three node processes under load lose their power, one or all of them, again and again: at random
moments, and some disk operations after a log was cut or while a snapshot is taken over. Each
time the disk holds what the harness's model says that a power cut may leave, and the nodes start
from that.

At the end every acknowledged write must be there once, no replica may have refused to start,
and the replicas of each group must have the same rows. Prints the figures; exits with 1 if a
promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any

from jepsen_like.interpose import InterposeError, Survival, build
from nodes.client import NodeClient
from nodes.comparison import compare
from nodes.config import RaftConfig
from nodes.local_cluster import LocalCluster, ProcessFailed, free_ports, new_cluster_config
from nodes.protocol import ReplicaStatus
from tests.power.host import Host

__all__ = ["Cut", "Moment", "Outcome", "plan", "soak"]

HERE = Path(__file__).parent
NODES = ("n1", "n2", "n3")
GROUP = "s1"
LOG_ENTRIES = 300
"""So that logs are cut, and snapshots taken over, every second or so."""
DEADLINE_S = 60.0
"""For what takes a second on an idle machine."""

LOAD_S = (0.05, 0.5)
"""How long the load runs before a cut at a random moment."""

TRIGGER_S = 20.0
"""How long a trigger may take; then the power goes anyway."""


class Moment(Enum):
    """When the power goes."""

    RANDOM = "at a random moment"
    COMPACTION = "after the log was cut"
    SNAPSHOT = "while a snapshot is taken over"


@dataclass(frozen=True)
class Cut:
    """One power cut. `operations`: how many disk operations after the moment begins."""

    moment: Moment
    node: str
    everywhere: bool
    survival: Survival
    operations: int = 0


def plan(crashes: int, rng: Random) -> list[Cut]:
    """Each node in turn, in changing order, so that none runs long without a cut."""
    cuts: list[Cut] = []
    while len(cuts) < crashes:
        for node in rng.sample(NODES, len(NODES)):
            moment = rng.choices(list(Moment), (50, 25, 25))[0]
            most = {Moment.RANDOM: 1, Moment.COMPACTION: 16, Moment.SNAPSHOT: 120}[moment]
            survival = rng.choices(list(Survival), (15, 5, 10, 20, 50))[0]
            cuts.append(Cut(moment, node, rng.random() < 0.3, survival, rng.randrange(most)))
    return cuts[:crashes]


@dataclass
class Outcome:
    crashes: int = 0
    processes: int = 0  # that lost their power
    by_moment: Counter[Moment] = field(default_factory=Counter)
    by_trigger: int = 0  # where the library chose the operation
    acknowledged: int = 0
    lost: int = 0
    refused: list[str] = field(default_factory=list)
    """What nodes or replicas said that did not go on after a cut."""
    broken: list[str] = field(default_factory=list)
    """Every other broken promise."""
    equal_at: dict[str, int] = field(default_factory=dict)
    """Group -> the index at which its replicas were compared and found equal."""

    @property
    def is_good(self) -> bool:
        return not self.lost and not self.refused and not self.broken

    def __str__(self) -> str:
        moments = ", ".join(f"{self.by_moment[m]} {m.value}" for m in Moment)
        equal = ", ".join(f"{group} at index {i}" for group, i in self.equal_at.items())
        sentences = "".join(f"; {said}" for said in self.refused + self.broken)
        return (
            f"{self.crashes} power cuts ({moments}; {self.by_trigger} at a chosen operation; "
            f"{self.processes} processes): {self.acknowledged} acknowledged writes, "
            f"{self.lost} lost; {len(self.refused)} refusals to start; replicas equal: "
            f"{equal or 'not compared'}{sentences}"
        )


class Load:
    """The client process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @staticmethod
    @asynccontextmanager
    async def running(cluster_file: Path) -> AsyncIterator[Load]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(HERE / "client.py"), str(cluster_file)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield Load(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the client process has ended; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Soak:
    """One cluster, its disks and its load."""

    def __init__(self, cluster: LocalCluster, hosts: dict[str, Host], rng: Random) -> None:
        self._cluster = cluster
        self._hosts = hosts
        self._rng = rng
        self._load: Load
        self.outcome = Outcome()

    async def run(self, cuts: Sequence[Cut], *, progress: bool) -> None:
        await self._cluster.start()
        await self._cluster.wait_for_leaders()
        file = self._cluster.directory / NODES[0] / "cluster.toml"
        async with Load.running(file) as self._load:
            await self._more_writes(1)
            for number, cut in enumerate(cuts, 1):
                await self._cut(cut)
                if progress:
                    where = "everywhere" if cut.everywhere else f"of {cut.node}"
                    print(
                        f"{number:4}  {where:10} {cut.moment.value:30} "
                        f"kept: {cut.survival.value:35} {self.outcome.acknowledged:7} "
                        f"acknowledged, {self.outcome.lost} lost",
                        flush=True,
                    )
                if not self.outcome.is_good:
                    break
            await self._compare()
        await self._switch_off()

    # ------------------------------------------------------------------ one cut

    async def _cut(self, cut: Cut) -> None:
        outcome = self.outcome
        try:
            async with asyncio.timeout(DEADLINE_S):
                by_trigger = await self._wait_for_moment(cut)
                dead = list(NODES) if cut.everywhere else [cut.node]
                await self._lose_power(dead, cut.survival)
                outcome.crashes += 1
                outcome.processes += len(dead)
                outcome.by_moment[cut.moment] += 1
                outcome.by_trigger += by_trigger
                await asyncio.gather(*(self._start(name) for name in dead))
                outcome.refused += await self._stopped()
                if outcome.refused:
                    return
                await self._more_writes(20)
                outcome.lost = (await self._load.ask("check"))["lost"]
        except ProcessFailed as exc:
            outcome.refused.append(str(exc))
        except TimeoutError:
            statuses = await self._cluster.status()
            outcome.broken.append(f"no progress {DEADLINE_S:g} s after {cut}: {statuses}")
        outcome.refused += await self._stopped()

    async def _stopped(self) -> list[str]:
        """Why replicas do not serve that should: a node finds it out before it says it is ready."""
        statuses = (await self._cluster.status()).values()
        return [r.stopped for s in statuses if s for r in s.replicas if r.stopped]

    async def _wait_for_moment(self, cut: Cut) -> bool:
        """Whether the node has killed itself at the operation that the cut names."""
        host, process = self._hosts[cut.node], self._cluster.node(cut.node)
        if cut.moment is Moment.RANDOM:
            await asyncio.sleep(self._rng.uniform(*LOAD_S))
            return False
        if cut.moment is Moment.COMPACTION:
            # The directory is synced after the -wal, before the log gives entries up.
            host.arm("S", GROUP, cut.operations)
        else:
            await self._lose_power([cut.node], cut.survival)
            await self._leave_behind(cut.node)
            host.arm("O", host.next_generation(GROUP), cut.operations)
            try:
                await self._cluster.start_node(cut.node)
            except ProcessFailed:
                if process.running or await process.wait() != -signal.SIGKILL:
                    raise
                return True  # before it could say that it was ready
        ended = asyncio.ensure_future(process.wait())
        await asyncio.wait({ended}, timeout=TRIGGER_S)
        if not ended.done():
            ended.cancel()
            return False
        if ended.result() != -signal.SIGKILL:
            self.outcome.broken.append(f"{cut.node} ended with exit code {ended.result()}")
        return True

    async def _lose_power(self, names: Sequence[str], survival: Survival) -> None:
        for name in names:
            self._cluster.kill_node(name)
        for name in names:
            await self._cluster.node(name).wait()
        for name in names:
            self._hosts[name].lose_power(self._rng, survival)

    async def _start(self, name: str) -> None:
        await self._cluster.start_node(name)

    async def _leave_behind(self, name: str) -> None:
        """Until the others' logs begin after what `name` has."""
        target = 0
        while True:
            last = max((r.last for r in await self._replicas()), default=0)
            target = target or last + 2 * LOG_ENTRIES
            if last >= target:
                return
            await asyncio.sleep(0.02)

    async def _replicas(self) -> list[ReplicaStatus]:
        statuses = (await self._cluster.status()).values()
        return [r for s in statuses if s for r in s.replicas if r.group == GROUP]

    async def _more_writes(self, count: int) -> None:
        """Until so many more are acknowledged, or the client was given a wrong answer."""
        goal = 0
        while True:
            answer = await self._load.ask("count")
            self.outcome.acknowledged = answer["acknowledged"]
            goal = goal or self.outcome.acknowledged + count
            if answer["failure"]:
                self.outcome.broken.append(answer["failure"])
                return
            if self.outcome.acknowledged >= goal:
                return
            await asyncio.sleep(0.02)

    # ------------------------------------------------------------------ the end

    async def _compare(self) -> None:
        """Everything that was acknowledged with what is there, and the replicas."""
        outcome = self.outcome
        if outcome.refused or outcome.broken:
            return
        async with asyncio.timeout(DEADLINE_S):
            found = await self._load.ask("stop")
        outcome.acknowledged, outcome.lost = found["acknowledged"], found["lost"]
        if found["never_written"]:
            outcome.broken.append(f"{found['never_written']} rows that nobody wrote")
        config = self._cluster.config
        clients = {
            name: NodeClient(node.address, cluster_id=config.cluster_id, name="power-soak")
            for name, node in config.nodes.items()
        }
        try:
            for group in config.groups:
                comparison = await compare(group, clients, timeout_s=DEADLINE_S)
                if isinstance(comparison, str):
                    outcome.broken.append(comparison)
                elif comparison.differences or comparison.silent:
                    outcome.broken.append(f"replicas differ: {comparison}")
                else:
                    outcome.equal_at[group] = comparison.index
        finally:
            for client in clients.values():
                await client.close()

    async def _switch_off(self) -> None:
        """In order, to know that the journal missed nothing."""
        for name, host in self._hosts.items():
            process = self._cluster.node(name)
            was_running = process.running
            await process.terminate(DEADLINE_S)
            if was_running and await process.wait() == 0 and (missed := host.switch_off()):
                raise AssertionError(f"the journal of {name} is wrong: {missed}")


async def soak(
    cuts: Sequence[Cut],
    directory: Path,
    *,
    seed: int,
    synchronous: str = "full",
    progress: bool = False,
) -> Outcome:
    """Run the cuts, until one breaks a promise. `synchronous` is full, or off for the control.
    Raises InterposeError."""
    library = build(directory / "library")
    ports = free_ports(len(NODES) + 1)
    config = new_cluster_config(
        placement={"meta": NODES, GROUP: NODES},
        ports=ports[:-1],
        router_port=ports[-1],
        raft=RaftConfig(log_entries=LOG_ENTRIES),
    )
    hosts = {name: Host(directory / name, library) for name in NODES}
    async with LocalCluster(
        config,
        directory,
        node_command=(sys.executable, str(HERE / "node.py"), synchronous),
        command_on=lambda name, argv: hosts[name].command(argv),
    ) as cluster:
        run = Soak(cluster, hosts, Random(seed))
        await run.run(cuts, progress=progress)
        return run.outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--crashes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cuts = plan(options.crashes, Random(options.seed))
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-power-") as directory:
        try:
            outcome = asyncio.run(
                soak(cuts, Path(directory).resolve(), seed=options.seed, progress=True)
            )
        except InterposeError as exc:
            sys.exit(str(exc))
    print(f"{outcome}; {time.monotonic() - begin:.0f} s, seed {options.seed}")
    sys.exit(0 if outcome.is_good else 1)


if __name__ == "__main__":
    main()
