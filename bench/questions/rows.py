"""A million rows: what they take on disk and in memory, and how soon a replica that has them serves
again after SIGKILL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.clusters import Running, routed
from bench.contestants import MAJORITY
from bench.costs import costs_of, memory_mb, peak_memory_mb
from bench.question import Answer, Line, Question, Setting, Spread, Verdict, line_of, spread_of
from nodes.protocol import ReplicaStatus

ROWS: Final = 1_000_000
QUICK_ROWS: Final = 200_000
GROUP: Final = "shard-1"
FILLER: Final = "f" * 84
PAYLOAD_BYTES: Final = 8 + 8 + len(FILLER)
"""Of a row as a user sees it: two bigints and a text."""

CHECKPOINT_S: Final = 20.0
"""After a load: then SQLite's WAL, which held all of it once more, has been copied and cut."""

RESTART_S: Final = 3.0
OVERHEAD_BYTES: Final = 100.0
SERVES_S: Final = 120.0
POLL_S: Final = 0.01
MINE: Final = "shardrouter"


def records(rows: int) -> Iterator[tuple[int, int, str]]:
    return ((key, key % 97, FILLER) for key in range(rows))


async def measure(setting: Setting) -> Answer:
    rows = QUICK_ROWS if setting.quick else ROWS
    case = f"{rows:,} rows"
    async with routed(setting.directory, shards=1) as (running, db):
        await db.execute("CREATE TABLE big (id bigint PRIMARY KEY, n bigint, filler text)")
        empty = memory_mb(running.pids)
        await db.copy_records_to_table("big", records=records(rows))
        full = memory_mb(running.pids)
        loaded = _overhead(running, setting, rows)
        await asyncio.sleep(CHECKPOINT_S)
        overhead = _overhead(running, setting, rows)
        grown = [(full[name] - empty[name]) / rows * 1e6 for name in full]
        at_rest = {
            "overhead_bytes_per_row": overhead,
            "overhead_bytes_per_row_just_loaded": loaded,
            "memory_mb": spread_of(list(full.values())),
            "memory_mb_per_million_rows": spread_of(grown),
        }
        restarts = [await _restart(running, setting) for _ in range(setting.rounds)]
    seconds = spread_of([run["serving_s"] for run in restarts])
    return Answer(
        [
            line_of(MINE, f"restart of a replica with {case}, after SIGKILL", restarts, MAJORITY),
            Line(MINE, f"a node with {case} of {PAYLOAD_BYTES} bytes", at_rest, MAJORITY),
        ],
        [
            Verdict(f"s of a restart with {case}", seconds.median, "<=", RESTART_S),
            Verdict(f"bytes of overhead per row, {case}", overhead.median, "<=", OVERHEAD_BYTES),
        ],
        {MINE: "1 shard of 3 replicas: log fsynced by a majority, applied to SQLite"},
    )


def _overhead(running: Running, setting: Setting, rows: int) -> Spread:
    """Bytes a row of each node's files, beyond what a user sees."""
    sizes = [_file_bytes(setting.directory / name / "data") for name in running.pids]
    return spread_of([size / rows - PAYLOAD_BYTES for size in sizes])


def _file_bytes(directory: Path) -> float:
    """On disk, the log and what is not checkpointed yet included."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


async def _restart(running: Running, setting: Setting) -> dict[str, float]:
    """SIGKILL for a follower of the shard; from its start to where it has all that is committed."""
    cluster = running.cluster
    leader = (await cluster.wait_for_leaders())[GROUP]
    follower = next(name for name in cluster.config.nodes if name != leader)
    cluster.kill_node(follower)
    await cluster.node(follower).wait()
    on_wire, began = costs_of({}).wire_bytes, time.perf_counter()
    await cluster.start_node(follower)
    ready = time.perf_counter() - began
    async with asyncio.timeout(SERVES_S):
        while True:
            mine, theirs = await _replica(running, follower), await _replica(running, leader)
            if mine and theirs and mine.leader and mine.applied >= theirs.commit:
                break
            await asyncio.sleep(POLL_S)
    serving = time.perf_counter() - began
    roots = {follower: running.pids[follower]}
    cost, peak = costs_of(roots), peak_memory_mb(roots)[follower]
    setting.say(f"{follower} listens after {ready:.2f} s and serves after {serving:.2f} s")
    return {
        "listening_s": ready,
        "serving_s": serving,
        "cpu_s": cost.cpu_s[follower],
        "disk_bytes": cost.disk_bytes,
        "wire_bytes": cost.wire_bytes - on_wire,
        "peak_memory_mb": peak,
    }


async def _replica(running: Running, node: str) -> ReplicaStatus | None:
    status = await running.cluster.status_of(node)
    if status is None:
        return None
    return next((replica for replica in status.replicas if replica.group == GROUP), None)


QUESTION: Final = Question(
    "rows",
    "What do a million rows take on disk and in memory, and how long does a restart with them?",
    "serving_s",
    measure,
)
