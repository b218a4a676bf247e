"""cluster.toml: what is written is read again, and every mistake gets one sentence."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.config import (
    ENGINES,
    NODE_VERBS,
    REPLICA_CHOICES,
    Address,
    ClusterConfig,
    ConfigError,
    GroupConfig,
    NodeConfig,
    RaftConfig,
    Replica,
    WriteLimits,
    format_cluster,
    parse_cluster,
)

GOOD = """
format = 1
cluster_id = "c1"
[nodes.n1]
address = "127.0.0.1:7001"
[nodes.n2]
address = "127.0.0.1:7002"
capacity = 2
[groups.meta]
replicas = [{ id = 1, node = "n1" }, { id = 2, node = "n2" }]
[groups.shard-1]
replicas = [{ id = 4, node = "n2" }]
"""

names = st.text(string.ascii_lowercase, min_size=1, max_size=8).filter(
    lambda name: name not in NODE_VERBS
)


PAGES = st.none() | st.builds(Address, st.just("127.0.0.1"), st.integers(1, 65535))


@st.composite
def clusters(draw: st.DrawFn) -> ClusterConfig:
    node_names = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    ports = st.integers(1, 65535)
    nodes = {
        name: NodeConfig(
            name,
            Address("127.0.0.1", draw(ports)),
            draw(st.integers(1, 9)),
            draw(st.booleans()),
            zone=draw(st.sampled_from(["", "a", "eu/paris/a-1"])),
            metrics=draw(PAGES),
        )
        for name in node_names
    }
    group_names = ["meta", *draw(st.lists(names, min_size=1, max_size=4, unique=True))]
    groups = {}
    for group in dict.fromkeys(group_names):
        members = draw(st.lists(st.sampled_from(node_names), min_size=1, unique=True))
        ids = draw(
            st.lists(st.integers(1, 99), min_size=len(members), max_size=len(members), unique=True)
        )
        groups[group] = GroupConfig(
            group, tuple(Replica(i, node) for i, node in zip(ids, members, strict=True))
        )
    if len(groups) == 1:
        groups["shard-1"] = GroupConfig("shard-1", groups["meta"].replicas)
    single = all(len(group.replicas) == 1 for group in groups.values())
    engine = draw(st.sampled_from([e for e in ENGINES if single or e != "local"]))
    raft = RaftConfig(
        draw(st.integers(1, 500)),
        draw(st.integers(4, 50)),
        lease_reads=engine == "core" and draw(st.booleans()),
        clock_drift=draw(st.floats(0, 0.5)),
        lease_margin_ms=draw(st.integers(1, 100)),
        spread_leaders=draw(st.booleans()),
        resolve_after_ms=draw(st.integers(1, 100_000)),
        log_entries=draw(st.sampled_from([10_000, 1, 300])),
    )
    limits = WriteLimits(*(draw(st.integers(1, 10**12)) for _ in range(4)))
    router = Address("localhost", draw(ports))
    revision = draw(st.integers(0, 9))
    choice = draw(st.sampled_from(REPLICA_CHOICES))
    return ClusterConfig(
        *("id", nodes, groups, router, raft, engine, limits),
        replica_choice=choice,
        router_metrics=draw(PAGES),
        revision=revision,
    )


@given(clusters())
def test_what_is_written_is_read_again(config: ClusterConfig) -> None:
    assert parse_cluster(format_cluster(config)) == config


def test_the_parts_of_a_cluster() -> None:
    config = parse_cluster(GOOD)
    assert config.shards == ("shard-1",)
    assert config.nodes["n2"].capacity == 2
    assert config.router == Address("127.0.0.1", 6433)
    assert config.groups["meta"].preferred_leader == Replica(1, "n1")
    assert [g.name for g in config.groups_on("n1")] == ["meta"]
    assert config.groups["shard-1"].replica_on("n1") is None


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("format = 1", "format = 2", "this version reads format 1"),
        ("format = 1", "format = ", "not valid TOML"),
        ('cluster_id = "c1"', "", "cluster_id is missing"),
        ("format = 1", 'format = 1\nengine = "raft"', "known are core, local, pysyncobj"),
        ("format = 1", 'format = 1\nengine = "local"', "[groups.meta] names 2"),
        ('"127.0.0.1:7001"', '"127.0.0.1"', "is not an address; write HOST:PORT"),
        ('"127.0.0.1:7001"', '"127.0.0.1:99999"', "is not an address"),
        ("[groups.meta]", "[limits]\nwrite_ms = 0\n[groups.meta]", "[limits] write_ms: 0 is not"),
        (
            "[groups.meta]",
            "[limits]\nrows = 1\n[groups.meta]",
            "known are transaction_bytes_max, write_b",
        ),
        ("[groups.meta]", "[raft]\nlease_reads = 1\n[groups.meta]", "neither true nor false"),
        ("[groups.meta]", "[raft]\nclock_drift = 1\n[groups.meta]", "from 0 to below 1"),
        (
            "[groups.meta]",
            "[raft]\nlease_reads = true\nelection_ticks = 3\n[groups.meta]",
            "leaves no time for a lease; make election_ticks 4",
        ),
        ("[groups.meta]", "[verify]\nevery_s = -1\n[groups.meta]", "0 is never"),
        ("capacity = 2", "capacity = 0", "not a whole number above 0"),
        ("capacity = 2", "drain = 1", "1 is neither true nor false"),
        (
            "capacity = 2",
            "weight = 2",
            "known are address, capacity, data_id, drain, metrics, zone",
        ),
        ("[groups.meta]", "[groups.other]", "[groups.meta] is missing"),
        ("[groups.shard-1]", "[groups.Shard]", "is not a name"),
        ("capacity = 2", 'zone = "eu//a"', "write names divided by slashes, the widest first"),
        (
            "[groups.meta]",
            '[router]\nreplica_choice = "first"\n[groups.meta]',
            "there is no 'first'; known are nearest, round_robin,",
        ),
        ("capacity = 2", 'metrics = "9434"', "[nodes.n2] metrics: '9434' is not an address"),
        ("capacity = 2", 'data_id = "x"', "does not name a node's files"),
        ("format = 1", "format = 1\nrevision = -1", "no whole number from 0 on"),
        ("[nodes.n1]", "[nodes.drain]", "for `shardrouter node drain` is a verb"),
        ('{ id = 4, node = "n2" }', '{ id = 4, node = "n3" }', "there is no [nodes.n3]"),
        ('{ id = 4, node = "n2" }', "", "a list that is not empty"),
        ('{ id = 2, node = "n2" }', '{ id = 1, node = "n2" }', "the same id"),
        ('{ id = 2, node = "n2" }', '{ id = 2, node = "n1" }', "on the same node"),
    ],
)
def test_a_mistake_gets_one_sentence(old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        parse_cluster(GOOD.replace(old, new), "some/cluster.toml")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("some/cluster.toml: ")
    assert "\n" not in str(caught.value)


def test_a_cluster_without_a_shard_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no shard"):
        parse_cluster(GOOD[: GOOD.index("[groups.shard-1]")])
