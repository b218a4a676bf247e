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
from shardrouter.errors import DeadlineExceeded
from shardrouter.mover import Mover
from shardrouter.router import Router
from shardrouter.upgrades import Refused, Same, Switch, upgrade_of
from shardrouter.upgrading import follow_release
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
    assert found.behind == ()
    found = decided(said(1, OLD), said(2, OLD), None)
    assert isinstance(found, Same)
    assert "all its nodes do but n3, which cannot be asked" in found.what


def test_what_a_former_switch_has_left_behind_is_named() -> None:
    found = decided(said(1, NEW, NEW), said(2, NEW, OLD, applied=7), said(3, NEW, NEW))
    assert isinstance(found, Same)
    assert found.behind == ("n2",)


@pytest.mark.parametrize(
    ("statuses", "why"),
    [
        ((said(1), said(2), None), "the replica on n3 does not answer"),
        ((said(1), said(2, stopped="It broke."), said(3)), "the replica on n2 does not answer"),
        ((said(1), said(2, OLD), said(3)), f"n1 runs {NEW}, but n2 runs {OLD}"),
        ((said(1, OLD), said(2), said(3)), f"n1 runs {OLD}, but n2 runs {NEW}, n3 runs {NEW}"),
        ((None, said(2), said(3)), "no leader that answers"),
        (tuple(said(number, group="") for number in (1, 2, 3)), "has executed nothing yet"),
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


@pytest.mark.slow
async def test_a_cluster_follows_its_release_by_itself(tmp_path: Path) -> None:
    """As under `up`: one line for the switch, and what it left behind is made anew."""
    config = three()
    path = tmp_path / "cluster.toml"
    path.write_text(format_cluster(config), encoding="utf-8")
    said: list[str] = []

    async def follow() -> list[str]:
        said.clear()
        async with Mover(config, report=lambda group, move: None) as mover:
            await follow_release(mover, config, said.append, patience_s=1)
        return said

    async with running(config, tmp_path, dict.fromkeys(config.nodes, OLD)) as nodes:
        session = await make_table(nodes, "s1")
        async with Router.open(path, timeout=10):
            pass  # it makes the catalog
        assert await follow() == []
        await until(level(nodes))
        await nodes.running.pop("n1").__aexit__(None, None, None)
        assert isinstance(await nodes.call("s1", insert(session, 2, 1)), Done)
        await until(level(nodes))
    some = dict.fromkeys(config.nodes, NEW) | {"n3": OLD}
    async with running(config, tmp_path, some) as nodes:
        await nodes.leader("meta")
        await nodes.leader("s1")
        refusals = await follow()
        assert refusals
        assert all("start all nodes with the same release" in line for line in refusals)
    async with running(config, tmp_path, dict.fromkeys(config.nodes, NEW)) as nodes:
        await nodes.leader("s1")
        async with Router.open(path, timeout=10) as router:
            with pytest.raises(DeadlineExceeded) as caught:
                await router.execute("CREATE TABLE u (id bigint PRIMARY KEY)", timeout=1)
        assert "shardrouter upgrade" in caught.value.hint
        assert OLD in caught.value.detail
        assert await follow() == [
            "s1: the replica on n1 fell behind the switch to a new release; rebuilding it",
            f"new release: meta, s1 execute with {NEW} from now on",
        ]
        assert isinstance(await nodes.call("s1", insert(session, 3, 2)), Done)
        await until(level(nodes))
        assert nodes.replica("n1", "s1").replica == 4
        found = await compare("s1", nodes.clients, timeout_s=20)
        assert not isinstance(found, str)
        assert not found.differences
        assert len(found.compared) == 3
        assert await follow() == []
