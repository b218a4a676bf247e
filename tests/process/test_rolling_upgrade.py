"""What docs/damage.md says of nodes that get a new release one by one while clients write: nothing
is answered wrongly or lost, and `upgrade` names what has to be rebuilt.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from jepsen_like import checks, faults, load, workloads
from jepsen_like.adapters.shardrouter import RunningShardRouter, ShardRouter
from jepsen_like.runner import record
from jepsen_like.spec import Test
from tests.process.test_moves_under_load import Script, Tool, is_well

pytestmark = [pytest.mark.slow, pytest.mark.long]

NODE = str(Path(__file__).with_name("released_node.py"))
NODES = ("n1", "n2", "n3")

UPGRADE_S = 60.0
"""How long `upgrade` may have to be run again, while leaderships go round."""


async def run(tool: Tool, *words: str) -> tuple[int, str]:
    """Exit code, and everything it said."""
    process = await tool.begin(*words)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (out + err).decode()


async def upgrade_one_after_the_other(db: RunningShardRouter, tool: Tool) -> str:
    for node in NODES:
        (db.direct_file.parent / node / "release").write_text("release-2")
        os.kill(db.pid(node), signal.SIGTERM)
        await db.restart(node)
        code, said = await run(tool, "upgrade", "--check")
        assert code == 1, said
        if node != NODES[-1]:
            assert "start all nodes with the same release" in said
    async with asyncio.timeout(UPGRADE_S):
        while (upgraded := await run(tool, "upgrade"))[0] != 0:
            pass  # each is a process of its own
    rebuilds = re.findall(r"shardrouter (replica rebuild [\w-]+ \w+)", upgraded[1])
    assert rebuilds, "the first node was restarted under load, and fell behind"
    for rebuild in rebuilds:
        code, said = await run(tool, *rebuild.split())
        assert code == 0, said
    status = await tool.run("status")
    assert not status["missing"], status
    code, said = await run(tool, "verify")
    assert code == 0, said
    return f"{len(rebuilds)} replicas had to be rebuilt"


async def test_nodes_get_a_new_release_one_by_one_under_load(tmp_path: Path) -> None:
    test = Test(
        name="rolling upgrade",
        db=ShardRouter(nodes=3, shards=2, replicas=3, node_command=(sys.executable, NODE)),
        workloads=[workloads.register(keys=12)],
        load=load.open_loop(rate=60, deadline="2s"),
        faults=[faults.healthy("1s"), Script("rolling upgrade", upgrade_one_after_the_other)],
        checks=[checks.linearizable(), checks.recovery()],
        seed=5,
    )
    recording = await record(test, directory=tmp_path)
    is_well(recording, silence_s=UPGRADE_S)
    print(recording.faults[0].evidence[0])
