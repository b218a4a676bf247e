"""`shardrouter init`: two files and what to do with them, or one sentence and nothing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nodes.cluster_file import load_cluster
from nodes.config import Address
from shardrouter.cli import main

THREE = ("--node", "a=10.0.0.1:6434", "--node", "b=10.0.0.2:6434", "--node", "c=db3.example:6434")


def init(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["init", *words, str(directory)])


def test_it_writes_both_files_and_says_what_is_next(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    done = init(directory, *THREE, "--shards", "4", "--router", "127.0.0.1:7000")
    assert done.exit_code == 0, done.output
    config = load_cluster(directory / "cluster.toml")
    assert {name: str(node.address) for name, node in config.nodes.items()} == {
        "a": "10.0.0.1:6434",
        "b": "10.0.0.2:6434",
        "c": "db3.example:6434",
    }
    assert list(config.groups) == ["meta", "shard-1", "shard-2", "shard-3", "shard-4"]
    assert all(len(group.replicas) == 3 for group in config.groups.values())
    assert config.router == Address("127.0.0.1", 7000)
    assert len(config.secret) == 32
    assert stat.S_IMODE((directory / "cluster.secret").stat().st_mode) == 0o600
    for words in ("scp -p", "cluster.secret", "shardrouter node b", "shardrouter serve"):
        assert words in done.output
    assert config.secret.hex() not in done.output


def test_two_clusters_have_nothing_in_common(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert init(tmp_path / name, *THREE).exit_code == 0
    one, two = (load_cluster(tmp_path / name / "cluster.toml") for name in ("one", "two"))
    assert one.cluster_id != two.cluster_id
    assert one.secret != two.secret


@pytest.mark.parametrize("file", ["cluster.toml", "cluster.secret"])
def test_nothing_is_overwritten(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("mine")
    done = init(tmp_path, *THREE)
    assert done.exit_code == 1
    assert f"{tmp_path / file} exists" in done.output
    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert (tmp_path / file).read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--node", "a"), "write NAME=HOST:PORT"),
        (("--node", "a=10.0.0.1"), "write HOST:PORT"),
        (("--node", "A=10.0.0.1:1"), "is not a name"),
        (("--node", "drain=10.0.0.1:1"), "is a verb"),
        (("--node", "a=h:1", "--node", "a=h:2"), "two nodes a"),
        (("--node", "a=h:1", "--node", "b=h:1"), "two nodes are at h:1"),
        (("--node", "a=h:1", "--replicas", "3"), "3 replicas need 3 nodes, there are 1"),
        (("--node", "a=h:1", "--router", "nowhere"), "write HOST:PORT"),
    ],
)
def test_a_mistake_gets_one_sentence_and_leaves_nothing(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    done = init(tmp_path / "new", *words)
    assert done.exit_code == 1
    assert sentence in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_without_a_node_it_is_wrong_usage(tmp_path: Path) -> None:
    done = init(tmp_path)
    assert done.exit_code == 2
    assert "--node" in done.output
