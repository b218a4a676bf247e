"""Replicas and leaders move while clients read and write: nobody sees anything but answers.

Real nodes, a router beside each, real tools; the harness's own load, recorder and checker. The
history has to be linearizable, and no class of operations may go unanswered for longer than an
election would take.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from jepsen_like import checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import RunningShardRouter, ShardRouter
from jepsen_like.backends.backend import Backend
from jepsen_like.faults.fault import Site
from jepsen_like.judge import judge
from jepsen_like.recording import Recording
from jepsen_like.result import FaultRecord
from jepsen_like.runner import record
from jepsen_like.spec import Test
from nodes.config import RaftConfig
from nodes.local_cluster import ManagedProcess, free_ports
from shardrouter.router import Router

pytestmark = [pytest.mark.slow, pytest.mark.long]

GROUP = "shard-1"
SPARE = "n4"

ELECTION_S = 2 * RaftConfig().election_ticks * RaftConfig().tick_ms / 1000
"""The longest timeout after which a follower stands; the election itself adds messages."""

MARGIN_S = 3.0
"""What a busy machine may add to an election: seven processes and a load on few cores. Without
other work the silences are a fifth of a second, and it prints what they were."""


def moving_test(*schedule: faults.Fault, seed: int = 11) -> Test:
    return Test(
        name="moves",
        db=ShardRouter(nodes=4, shards=1, replicas=3, spares=1),
        workloads=[workloads.register(keys=12)],
        load=load.open_loop(rate=120, deadline="2s"),
        faults=[faults.healthy("1s"), *schedule],
        checks=[checks.linearizable(), checks.recovery()],
        seed=seed,
    )


def longest_silence_s(recording: Recording, f: str) -> float:
    """The longest time between two answers to operations of class `f`, during the faults."""
    start = min(fault.start_ns for fault in recording.faults)
    end = max(fault.end_ns for fault in recording.faults)
    times = sorted(
        operation.returned_ns
        for operation in recording.history
        if operation.f == f and operation.outcome == "ok" and start <= operation.returned_ns <= end
    )
    return max(b - a for a, b in zip([start, *times], [*times, end], strict=True)) / 1e9


def is_well(recording: Recording, silence_s: float = ELECTION_S + MARGIN_S) -> None:
    result = judge(recording, command="")
    assert all(fault.verified for fault in recording.faults), recording.faults
    assert result.validity == "valid", result.verdicts
    outcomes = [operation.outcome for operation in recording.history]
    silences = {f: longest_silence_s(recording, f) for f in ("read", "write", "cas")}
    print(
        f"{len(outcomes)} operations, {outcomes.count('ok')} ok; longest silence "
        + ", ".join(f"{f} {s:.2f} s" for f, s in silences.items())
    )
    assert max(silences.values()) < silence_s, silences


async def test_a_move_and_a_transfer_go_unnoticed(tmp_path: Path) -> None:
    recording = await record(
        moving_test(
            faults.transfer(GROUP, rest="1s"),
            faults.move_replica(GROUP, leader_of(GROUP), faults.host(SPARE), rest="1s"),
        ),
        directory=tmp_path,
    )
    is_well(recording)
    assert [fault.kind for fault in recording.faults] == ["transfer", "move"]
    assert SPARE in recording.faults[1].evidence[1]


# ------------------------------------------------------------------------------ killed half-way


@dataclass(frozen=True)
class Script:
    """Something an operator does while the load runs; it asserts for itself what it did."""

    name: str
    play: Callable[[RunningShardRouter, Tool], Awaitable[str]]
    rest_s: float = 1.0
    hold_s: float = 0.0
    kind: ClassVar[str] = "script"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Script:
        return self

    async def run(self, site: Site) -> FaultRecord:
        assert isinstance(site.db, RunningShardRouter)
        start_ns = site.clock.now_ns()
        evidence = await self.play(site.db, Tool(site.db, site.backend))
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=SPARE,
            role_before="",
            role_after="",
            start_ns=start_ns,
            end_ns=site.clock.now_ns(),
            verified_start=True,
            verified_end=True,
            evidence=(evidence,),
        )


class Tool:
    """The command line, as a process of its own on the last host: an operator is on the network
    of the nodes, so a node that joins there can be reached too."""

    def __init__(self, db: RunningShardRouter, backend: Backend) -> None:
        self._backend = backend
        self._host = backend.hosts[-1]
        self.address = backend.address(self._host)
        self.file = db.direct_file.with_name("operator.toml")
        shutil.copyfile(self.file.parent / self._host / "cluster.toml", self.file)

    def command(self, argv: Sequence[str]) -> tuple[str, ...]:
        """The command line that runs `argv` on the operator's host."""
        return self._backend.command(self._host, argv)

    async def begin(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self.command((sys.executable, "-m", "shardrouter.cli", *words)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"SHARDROUTER_CLUSTER": str(self.file)},
        )

    async def run(self, *words: str) -> dict[str, Any]:
        """What it prints with --json; it has to end well."""
        process = await self.begin(*words, "--json")
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        found: dict[str, Any] = json.loads(out)
        return found

    async def group(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.run("status"))["groups"][GROUP]
        return found

    async def members(self) -> dict[str, bool]:
        """Whether it is a voter, of each node with a replica of the group."""
        return {replica["node"]: replica["voter"] for replica in (await self.group())["replicas"]}


async def line_with(process: asyncio.subprocess.Process, text: str) -> None:
    """Return when the process has said `text` on stderr."""
    assert process.stderr is not None
    said = b""
    while line := await process.stderr.readline():
        said += line
        if text in line.decode():
            return
    pytest.fail(f"it never said {text!r}: {said.decode()}")


async def kill_the_tool(db: RunningShardRouter, tool: Tool) -> str:
    """kill -9 after the first step, again after the second; the third run ends the work."""
    source = (await tool.group())["leader"]
    command = ("replica", "move", GROUP, source, SPARE)
    for step in ("add learner", "make it a voter"):
        process = await tool.begin(*command)
        await line_with(process, step)
        process.kill()
        await process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert source in await tool.members(), "the old replica goes last"
    end = await tool.run(*command)
    assert end["done"]
    members = await tool.members()
    assert len(members) == 3
    assert members[SPARE]
    assert source not in members
    assert (await tool.run(*command))["groups"][GROUP]["steps"] == [], "done is done"
    return f"the third run took {end['groups'][GROUP]['steps']}"


async def test_a_tool_that_is_killed_is_run_again(tmp_path: Path) -> None:
    script = Script("kill -9 of the tool", kill_the_tool)
    recording = await record(moving_test(script), directory=tmp_path)
    is_well(recording)
    print(recording.faults[0].evidence[0])


PAD_ROWS = 70
PAD = "x" * 800_000
"""So many rows of so many bytes are more than a log keeps: a new replica needs a snapshot."""

PIECE_BYTES = 4 * 1024 * 1024


async def kill_the_new_node(db: RunningShardRouter, tool: Tool) -> str:
    """kill -9 of the node that gets the replica, once it has a part of the snapshot."""
    async with Router.open(db.direct_file, name="pad") as router:
        await router.execute("CREATE TABLE pad (id bigint PRIMARY KEY, t text)")
        for row in range(PAD_ROWS):
            await router.execute("INSERT INTO pad VALUES ($1, $2)", row, PAD, timeout=20)
    source = (await tool.group())["leader"]
    process = await tool.begin("replica", "move", GROUP, source, SPARE)
    received = db.direct_file.parent / SPARE / "data" / GROUP / "data-2.db"
    async with asyncio.timeout(60):
        while not received.exists() or received.stat().st_size < PIECE_BYTES:
            assert process.returncode is None
            await asyncio.sleep(0.002)
    os.kill(db.pid(SPARE), signal.SIGKILL)
    size = received.stat().st_size
    assert size < PAD_ROWS * len(PAD), "it had the whole snapshot before it was killed"
    await db.restart(SPARE)
    _, err = await process.communicate()
    if process.returncode != 0:  # it may have lost patience, which is no harm
        assert "Run" in err.decode() or "start" in err.decode(), err.decode()
        await tool.run("replica", "move", GROUP, source, SPARE)
    members = await tool.members()
    assert members[SPARE]
    assert source not in members
    return f"killed with {size} bytes of the snapshot; {err.decode()}"


async def test_a_new_node_that_is_killed_during_its_snapshot_gets_it_again(tmp_path: Path) -> None:
    script = Script("kill -9 of the new node", kill_the_new_node)
    recording = await record(moving_test(script), directory=tmp_path)
    is_well(recording)
    print(recording.faults[0].evidence[0])


# ------------------------------------------------------------------------------ a node joins


async def test_a_node_joins_and_takes_over_a_replica(tmp_path: Path) -> None:
    """A node that did not exist when the cluster was made: added, started, given the leader's
    replica and then the leadership."""
    (port,) = free_ports(1)
    joining: list[ManagedProcess] = []

    async def join(db: RunningShardRouter, tool: Tool) -> str:
        added = await tool.begin("node", "add", f"n5={tool.address}:{port}")
        _, err = await added.communicate()
        assert added.returncode == 0, err.decode()
        argv = [sys.executable, "-m", "nodes", "--cluster", str(tool.file), "--name", "n5"]
        argv += ["--data", str(tmp_path / "n5" / "data"), "--exit-with-stdin"]
        (tmp_path / "n5").mkdir()
        command = tool.command(argv)
        process = ManagedProcess("n5", command, log_path=tmp_path / "n5" / "node.log")
        joining.append(process)
        await process.start()
        await process.wait_ready()
        source = (await tool.group())["leader"]
        moved = await tool.run("replica", "move", GROUP, source, "n5")
        await tool.run("leader", "transfer", GROUP, "n5")
        members = await tool.members()
        assert members["n5"]
        assert source not in members
        return str(moved["groups"][GROUP]["steps"])

    try:
        recording = await record(moving_test(Script("a node joins", join)), directory=tmp_path)
        is_well(recording)
        print(recording.faults[0].evidence[0])
    finally:
        for process in joining:
            await process.terminate()
