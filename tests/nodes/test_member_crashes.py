"""A node is killed between any two durable steps of a replica's coming and going.

What a crash leaves is what is on the disk at that moment: the directory is copied there, and the
node is started from the copy. Each step has a cluster of its own.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nodes import hosting, replica_files, snapshot_transfer
from nodes.config import RaftConfig
from nodes.log_store import GroupWrite, Loaded, LogStore
from tests.nodes.test_members import Cluster, cluster, members, rows, write
from tests.nodes.test_node import make_table

pytestmark = pytest.mark.slow  # real elections and files

MAKING = ("its id is noted", "its data file is made", "entries are written")
INSTALLING = ("a snapshot is received", "the pointer names it")
REMOVING = (
    "it is closed",
    "its removal is noted",
    "its first file is deleted",
    "its files are deleted",
    "its directory is deleted",
)


class Crash:
    """Copies the directory of node n4 the first time that a step is reached."""

    def __init__(self, directory: Path, step: str) -> None:
        self.directory = directory
        self.step = step
        self.is_armed = False
        self.happened = asyncio.Event()

    @property
    def copy(self) -> Path:
        return self.directory / "crashed"

    def reached(self, step: str, where: Path) -> None:
        if step != self.step or not self.is_armed or "n4" not in where.parts:
            return
        if not self.copy.exists():
            shutil.copytree(self.directory / "n4", self.copy)
            self.happened.set()

    async def restart(self, nodes: Cluster) -> None:
        """Start node n4 from what the crash left."""
        async with asyncio.timeout(20):
            await self.happened.wait()
        await nodes.down("n4")
        shutil.rmtree(self.directory / "n4")
        self.copy.rename(self.directory / "n4")
        self.is_armed = False
        await nodes.up("n4")


@pytest.fixture
def crash_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Crash]:
    def arm(step: str) -> Crash:
        crash = Crash(tmp_path, step)
        create, store_write, remove = LogStore._create, LogStore.write, LogStore.remove
        open_replica = replica_files.open_replica
        remove_files = replica_files.remove_files
        is_intact = snapshot_transfer.SnapshotTransfer._is_intact

        def creating(
            store: LogStore, group: str, replica: int, number: int | None = None
        ) -> Loaded:
            loaded = create(store, group, replica, number)
            crash.reached("its id is noted", store.path)
            return loaded

        def opening(store: LogStore, directory: Path, **rest: object) -> object:
            opened = open_replica(store, directory, **rest)  # type: ignore[arg-type]
            crash.reached("its data file is made", store.path)
            return opened

        def writing(store: LogStore, writes: Sequence[GroupWrite]) -> None:
            store_write(store, writes)
            if any(write.group == "s1" and write.entries for write in writes):
                crash.reached("entries are written", store.path)
            if any(w.pointer is not None and w.pointer.generation > 1 for w in writes):
                crash.reached("the pointer names it", store.path)

        def receiving(
            transfer: snapshot_transfer.SnapshotTransfer, received: object, snapshot: object
        ) -> bool:
            result = is_intact(transfer, received, snapshot)  # type: ignore[arg-type]
            path = tmp_path / "n4"
            if (path / "s1" / "data-2.db").exists():
                crash.reached("a snapshot is received", path)
            return result

        def removing(store: LogStore, group: str, replica: int) -> None:
            crash.reached("it is closed", store.path)
            remove(store, group, replica)
            crash.reached("its removal is noted", store.path)

        def deleting(directory: Path) -> None:
            files = sorted(directory.iterdir(), reverse=True) if crash.is_armed else []
            for number, file in enumerate(files):
                file.unlink()
                if number == 0:
                    crash.reached("its first file is deleted", directory)
            crash.reached("its files are deleted", directory)
            remove_files(directory)
            crash.reached("its directory is deleted", directory)

        monkeypatch.setattr(LogStore, "_create", creating)
        monkeypatch.setattr(LogStore, "write", writing)
        monkeypatch.setattr(LogStore, "remove", removing)
        monkeypatch.setattr(hosting, "open_replica", opening)
        monkeypatch.setattr(hosting, "remove_files", deleting)
        monkeypatch.setattr(snapshot_transfer.SnapshotTransfer, "_is_intact", receiving)
        return crash

    return arm


@pytest.mark.parametrize("step", [*MAKING, *INSTALLING])
async def test_a_replica_that_was_being_made_goes_on(
    tmp_path: Path, crash_at: Callable[[str], Crash], step: str
) -> None:
    log_entries = 10 if step in INSTALLING else RaftConfig().log_entries
    async with cluster(tmp_path, log_entries=log_entries) as nodes:
        crash = crash_at(step)
        opened = await make_table(nodes, "s1")
        for key in range(40):
            await write(nodes, opened, key)
            await asyncio.sleep(0.002)  # cuts happen with ticks
        crash.is_armed = True
        await nodes.must_change("s1", "learner", 4, "n4")
        await crash.restart(nodes)
        await nodes.must_change("s1", "voter", 4)
        last = await write(nodes, opened, 40)
        await nodes.is_applied_by("s1", last, "n4")
        assert rows(nodes, "n4") == 41
        assert (nodes.replica("n4", "s1").replica, nodes.replica("n4", "s1").stopped) == (4, "")


@pytest.mark.parametrize("step", REMOVING)
async def test_a_replica_that_was_being_removed_is_removed_and_does_not_come_back(
    tmp_path: Path, crash_at: Callable[[str], Crash], step: str
) -> None:
    async with cluster(tmp_path) as nodes:
        crash = crash_at(step)
        opened = await make_table(nodes, "s1")
        await nodes.add("s1", 4, "n4")
        last = await write(nodes, opened, 1)
        await nodes.is_applied_by("s1", last, "n4")
        crash.is_armed = True
        await nodes.must_change("s1", "remove", 4)
        await crash.restart(nodes)
        if step != "it is closed":  # it knows; nobody had to say it again
            assert nodes.find("n4", "s1") is None
        await nodes.until(lambda: nodes.find("n4", "s1") is None)
        assert not (tmp_path / "n4" / "s1").exists()
        await nodes.down("n4")
        await nodes.up("n4")
        assert nodes.find("n4", "s1") is None
        await write(nodes, opened, 2)
        assert members(await nodes.leading("s1")) == [(n, f"n{n}", True) for n in (1, 2, 3)]
        await nodes.add("s1", 5, "n4")
        last = await write(nodes, opened, 3)
        await nodes.is_applied_by("s1", last, "n4")
        assert rows(nodes, "n4") == 3
