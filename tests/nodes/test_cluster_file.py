"""cluster.toml and the secret beside it, as files."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.cluster_file import load_cluster, new_secret, secret_path, write_cluster
from nodes.config import ClusterConfig, ConfigError
from nodes.local_cluster import new_cluster_config


def config(secret: bytes) -> ClusterConfig:
    return new_cluster_config(
        placement={"meta": ["a"], "s1": ["a"]}, ports=[7001], router_port=7000, secret=secret
    )


@pytest.mark.parametrize("secret", [b"", new_secret()], ids=["none", "secret"])
def test_what_is_written_is_read_again(tmp_path: Path, secret: bytes) -> None:
    path = tmp_path / "cluster.toml"
    write_cluster(path, config(bytes(32)))
    written = config(secret)
    secret_path(path).unlink()
    write_cluster(path, written)  # over the other one
    assert load_cluster(path) == written
    names = {"cluster.toml", "cluster.secret"} if secret else {"cluster.toml"}
    assert {file.name for file in tmp_path.iterdir()} == names


def test_the_secret_is_for_its_owner_only_and_in_no_other_place(tmp_path: Path) -> None:
    path, secret = tmp_path / "cluster.toml", new_secret()
    write_cluster(path, config(secret))
    assert stat.S_IMODE(secret_path(path).stat().st_mode) == 0o600
    assert secret_path(path).read_text() == secret.hex() + "\n"
    assert secret.hex() not in path.read_text()
    assert secret.hex() not in repr(load_cluster(path))
    assert repr(secret) not in repr(load_cluster(path))


def test_no_two_secrets_are_alike() -> None:
    assert len({new_secret() for _ in range(8)}) == 8


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_secret_that_others_can_read_is_not_taken(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "cluster.toml"
    write_cluster(path, config(new_secret()))
    secret_path(path).chmod(mode)
    with pytest.raises(ConfigError, match=rf"by others on this host: chmod 600 {tmp_path}"):
        load_cluster(path)


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32, "\u00e9" * 64, "00" * 4096])
def test_what_is_no_secret_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cluster.toml"
    write_cluster(path, replace(config(new_secret())))
    secret_path(path).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"cluster\.secret ") as caught:
        load_cluster(path)
    assert "\n" not in str(caught.value)
