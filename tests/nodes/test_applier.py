"""The data file is lent to one borrower at a time, who may give up waiting for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nodes.applier import Applier
from nodes.machine import Machine
from nodes.raft.log import RaftLog
from tests.nodes.raft.group import Disk


def nothing(*_: object) -> None:
    pass


async def test_a_borrower_who_has_just_given_up_is_passed_over(tmp_path: Path) -> None:
    """Given up, and not told it yet: whoever lends the file next meets what is left of it."""
    machine = Machine.open(tmp_path, group="shard-1", replica=1, cluster_id="c1")
    applier = Applier(
        "shard-1", machine, RaftLog(Disk()), applied=nothing, more=lambda: None, failed=nothing
    )
    await applier.rest()
    borrowing = asyncio.ensure_future(applier.lend(lambda: None))
    await asyncio.sleep(0)
    borrowing.cancel()
    applier.resume()
    with pytest.raises(asyncio.CancelledError):
        await borrowing
    assert applier.lend_now(lambda: None), "it is there for the next one"
    machine.close_files()
