"""`shardrouter upgrade`: who is in the way is named, and what it switches goes on equal."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from nodes.comparison import compare
from nodes.config import format_cluster
from nodes.protocol import (
    Busy,
    Done,
    MemberStatus,
    ReplicaStatus,
    Status,
    SwitchFingerprint,
)
from shardrouter.upgrades import Refused, Same, Switch, upgrade_of
from tests.nodes.test_fingerprint import NEW, OLD, level, until
from tests.nodes.test_node import insert, make_table, running, three

MEMBERS = tuple(MemberStatus(number, f"n{number}", True) for number in (1, 2, 3))


def said(
    number: int,
    own: str = NEW,
    group: str = OLD,
    *,
    applied: int = 9,
    commit: int = 9,
    stopped: str = "",
) -> Status:
    """What node n1, n2 or n3 says; n1 leads."""
    role = "stopped" if stopped else "leader" if number == 1 else "follower"
    replica = ReplicaStatus(
        "s1",
        number,
        role,
        "n1",
        3,
        commit,
        applied,
        commit,
        stopped,
        MEMBERS,
        3,
        fingerprint=group,
    )
    return Status(f"n{number}", 1, (replica,), own)


def decided(*statuses: Status | None) -> Refused | Same | Switch:
    return upgrade_of("s1", {f"n{number}": status for number, status in enumerate(statuses, 1)})


def test_all_nodes_run_the_new_release() -> None:
    assert decided(said(1), said(2), said(3)) == Switch("n1", SwitchFingerprint(NEW, OLD), ())
    assert decided(said(1), said(2, applied=7), said(3)) == Switch(
        "n1", SwitchFingerprint(NEW, OLD), ("n2",)
    )


def test_nothing_is_to_be_done() -> None:
    found = decided(*(said(number, OLD) for number in (1, 2, 3)))
    assert isinstance(found, Same)


@pytest.mark.parametrize(
    ("statuses", "why"),
    [
        ((said(1), said(2), None), "the replica on n3 does not answer"),
        ((said(1), said(2, stopped="It broke."), said(3)), "the replica on n2 does not answer"),
        ((said(1), said(2, OLD), said(3)), f"n1 runs {NEW}, but n2 runs {OLD}"),
        ((said(1, OLD), said(2), said(3)), f"n1 runs {OLD}, but n2 runs {NEW}, n3 runs {NEW}"),
        ((None, said(2), said(3)), "no leader that answers"),
        (
            (said(1, applied=7), said(2), said(3, applied=8)),
            "shardrouter leader transfer s1 n2",
        ),
        (
            tuple(said(number, applied=7) for number in (1, 2, 3)),
            f"Start a node with {OLD} once more, until it has applied index 9",
        ),
    ],
)
def test_who_is_in_the_way_is_named(statuses: tuple[Status | None, ...], why: str) -> None:
    found = decided(*statuses)
    assert isinstance(found, Refused)
    assert why in found.why


async def command(directory: Path, *words: str) -> tuple[int, str, str]:
    """Run `shardrouter WORDS` beside the nodes of this process: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "shardrouter.cli",
        *words,
        env=os.environ | {"SHARDROUTER_CLUSTER": str(directory / "cluster.toml")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.slow
async def test_a_cluster_is_upgraded(tmp_path: Path) -> None:
    config = three()
    (tmp_path / "cluster.toml").write_text(format_cluster(config), encoding="utf-8")
    async with running(config, tmp_path, dict.fromkeys(config.nodes, OLD)) as nodes:
        session = await make_table(nodes, "s1")
        await until(level(nodes))
        code, out, _ = await command(tmp_path, "upgrade", "--check")
        assert code == 0
        assert f"s1 executes with {OLD}" in out
    some = dict.fromkeys(config.nodes, NEW) | {"n3": OLD}
    async with running(config, tmp_path, some) as nodes:
        await nodes.leader("s1")
        await nodes.leader("meta")
        code, _, err = await command(tmp_path, "upgrade")
        assert code == 1
        assert f"n3 runs {OLD}" in err
    async with running(config, tmp_path, dict.fromkeys(config.nodes, NEW)) as nodes:
        await nodes.leader("meta")
        assert isinstance(await nodes.call("s1", insert(session, 2, 1)), Busy)
        code, out, err = await command(tmp_path, "upgrade", "--check")
        assert (code, err) == (1, "")
        assert f"s1 would be switched from {OLD} to {NEW}" in out
        assert isinstance(await nodes.call("s1", insert(session, 2, 1)), Busy)
        code, out, err = await command(tmp_path, "upgrade")
        assert (code, err) == (0, "")
        assert f"s1 executes with {NEW} from index" in out
        assert isinstance(await nodes.call("s1", insert(session, 2, 1)), Done)
        found = await compare("s1", nodes.clients, timeout_s=20)
        assert not isinstance(found, str)
        assert not found.differences
        assert len(found.compared) == 3
