"""How a verb that takes steps ends when it cannot take them: no node of the cluster runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from nodes.config import format_cluster
from nodes.local_cluster import free_ports, new_cluster_config
from tests.process.conftest import shardrouter

pytestmark = pytest.mark.slow

MOVE = ("replica", "move", "shard-1", "n1", "n3")


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a tool whose cluster is down."""
    *ports, router_port = free_ports(4)
    config = new_cluster_config(
        placement={"meta": ["n1", "n2"], "shard-1": ["n1", "n2"]},
        nodes=["n1", "n2", "n3"],
        ports=ports,
        router_port=router_port,
    )
    path = tmp_path / "cluster.toml"
    path.write_text(format_cluster(config))
    return os.environ | {"SHARDROUTER_CLUSTER": str(path)}


def test_the_time_is_over(nowhere: dict[str, str]) -> None:
    argv = shardrouter(*MOVE, "--timeout", "0.5", "--json")
    ended = subprocess.run(argv, env=nowhere, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    found = json.loads(ended.stdout)
    assert not found["done"]
    assert found["groups"]["shard-1"]["steps"] == []
    assert "Run the same command again to go on." in ended.stderr


def test_ctrl_c_says_that_nothing_is_lost(nowhere: dict[str, str]) -> None:
    process = subprocess.Popen(
        shardrouter(*MOVE),
        env=nowhere,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A shell starts what is in the background with Ctrl-C ignored, and so it would stay
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    assert "start its nodes" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert "every step that was taken holds. Run the same command again" in told
