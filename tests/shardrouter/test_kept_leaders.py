"""A leader that was chosen by hand stays where it is while the others are spread."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.protocol import Changed, MoveLeadership, leader_of
from shardrouter.mover import Mover
from shardrouter.moves import Goal
from tests.nodes.test_fingerprint import until
from tests.nodes.test_node import config_of, running

pytestmark = pytest.mark.slow

CHOSEN = ("s1", "s2", "s3")
OTHERS = ("meta", "s4", "s5")


async def test_only_leaders_that_nobody_chose_are_spread(tmp_path: Path) -> None:
    config = config_of({group: ["n1", "n2"] for group in CHOSEN + OTHERS})
    config = replace(config, raft=replace(config.raft, spread_leaders=True))
    async with (
        running(config, tmp_path) as nodes,
        Mover(config, report=lambda group, move: None) as mover,
        asyncio.timeout(60),
    ):
        deadline = asyncio.get_running_loop().time() + 30
        ends = await asyncio.gather(*(mover.reach(g, Goal(leader="n1"), deadline) for g in CHOSEN))
        assert all(end.reached for end in ends), ends
        assert all(nodes.replica("n1", group).is_kept for group in CHOSEN)

        def leaders() -> dict[str, str | None]:
            statuses = [node.status() for node in nodes.running.values()]
            return {group: leader_of(group, statuses) for group in CHOSEN + OTHERS}

        await until(lambda: Counter(leaders().values()) == {"n1": 3, "n2": 3})
        assert {group for group, leader in leaders().items() if leader == "n1"} == set(CHOSEN)

        there = nodes.replica("n2", "s1").replica
        assert isinstance(await nodes.call("s1", MoveLeadership(there), "n1"), Changed)
        assert not nodes.replica("n1", "s1").is_kept
        assert not nodes.replica("n2", "s1").is_kept, "a handover alone keeps nothing"
