"""Do the replicas of a group hold the same rows, and does the log alone make them again?

After a suite every replica computes a CHECKSUM at one index. Then the nodes are stopped, and a
replica that never existed applies the log of the leader from its first entry to that index: its
CHECKSUM must be the leader's. What a statement did by chance, by the time of day or by what a
process remembered would show here.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nodes.client import NodeClient
from nodes.comparison import compare, describe
from nodes.config import ClusterConfig
from nodes.engine import Committed
from nodes.log_store import LogStore
from nodes.machine import Machine
from nodes.protocol import Checksum, Checksums, Entry, GetChecksum, NoChecksum, RangeSum
from nodes.raft.messages import MEMBERSHIP_MARK

__all__ = ["Agreement", "Disagreement", "compare_replicas", "replay_log"]

TIMEOUT_S = 300.0

BATCH = 500
"""Entries applied in one transaction."""


class Disagreement(Exception):
    """Replicas differ, or could not be compared; the message says where."""


@dataclass(frozen=True)
class Agreement:
    """All replicas of a group are equal at an index of its log."""

    group: str
    index: int
    replicas: int
    rows: int
    roots: Mapping[str, bytes]
    """The root of the tree over each table's rows."""


async def compare_replicas(config: ClusterConfig) -> list[Agreement]:
    """One for each group. Raises Disagreement."""
    clients = {name: NodeClient.to(name, config, name="suite") for name in config.nodes}
    try:
        return [await _compare(group, clients) for group in config.groups]
    finally:
        await asyncio.gather(*(client.close() for client in clients.values()))


async def _compare(group: str, clients: Mapping[str, NodeClient]) -> Agreement:
    found = await compare(group, clients, timeout_s=TIMEOUT_S)
    if isinstance(found, str):
        raise Disagreement(found)
    if found.differences:
        raise Disagreement(describe(group, found.differences[0]))
    if found.silent:
        node, reason = next(iter(found.silent.items()))
        raise Disagreement(f"{group}: the replica on {node} was not compared: {reason}")
    client = clients[found.compared[0]]
    answer = await client.call(group, GetChecksum(found.index), TIMEOUT_S)
    assert isinstance(answer, Checksums), answer
    return Agreement(group, found.index, len(found.compared), found.rows, _by_table(answer.ranges))


def replay_log(
    config: ClusterConfig, node: str, data: Path, scratch: Path, agreed: Sequence[Agreement]
) -> int:
    """Apply the logs that the stopped `node` has in `data` to new replicas in `scratch`; returns
    how many entries that were. Raises Disagreement."""
    scratch.mkdir()
    for path in data.glob("log.db*"):
        shutil.copy(path, scratch / path.name)
    store = LogStore.open(scratch / "log.db", cluster_id=config.cluster_id, node=node)
    try:
        return sum(_replay(config, node, store, scratch, agreement) for agreement in agreed)
    finally:
        store.close()


def _replay(
    config: ClusterConfig, node: str, store: LogStore, scratch: Path, agreed: Agreement
) -> int:
    group = agreed.group
    replica = store.hosted()[group].replica
    loaded = store.load(group, replica)
    if loaded.pointer.index:
        raise Disagreement(
            f"{group}: the log of {node} begins at {loaded.first_index}, not at the first entry"
        )
    machine = Machine.open(
        scratch / group, group=group, replica=replica, cluster_id=config.cluster_id
    )
    try:
        decode = msgspec.msgpack.Decoder(Entry).decode
        batch: list[Committed] = []
        for first in range(1, agreed.index + 1, BATCH):
            last = min(first + BATCH - 1, agreed.index)
            for index, stored in enumerate(store.read(group, first, last), first):
                entry = decode(stored.data) if _is_commands(stored.data) else None
                if index < agreed.index and entry is not None and entry.bodies == (Checksum(),):
                    entry = None  # changes nothing, and is not asked for
                batch.append((index, stored.term, entry))
            machine.apply(batch)
            batch.clear()
        found = _by_table(_sums(machine, agreed.index))
    finally:
        machine.close_files()
    if found != agreed.roots:
        tables = sorted(
            table
            for table in found.keys() | agreed.roots.keys()
            if found.get(table) != agreed.roots.get(table)
        )
        raise Disagreement(
            f"{group}: a replica that replays the log of {node} up to {agreed.index} differs from "
            f"it in {', '.join(tables)}"
        )
    return agreed.index


def _is_commands(data: bytes) -> bool:
    return bool(data) and data[:1] != MEMBERSHIP_MARK


def _sums(machine: Machine, index: int) -> Sequence[RangeSum]:
    """The roots at `index`, once the machine's own thread has computed them. Raises
    Disagreement if that takes longer than TIMEOUT_S."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        answer = machine.checksum(GetChecksum(index))
        if isinstance(answer, Checksums):
            return answer.ranges
        if not (isinstance(answer, NoChecksum) and answer.pending):
            raise Disagreement(f"no checksum at {index}: {answer}")
        time.sleep(0.02)
    raise Disagreement(f"no checksum at {index} within {TIMEOUT_S:.0f} s")


def _by_table(roots: Sequence[RangeSum]) -> dict[str, bytes]:
    return {root.table: root.hash for root in roots}
