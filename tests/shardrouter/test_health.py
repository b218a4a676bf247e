"""What `shardrouter status` finds to say."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec

from nodes.config import ClusterConfig
from nodes.local_cluster import new_cluster_config
from nodes.protocol import (
    Avoided,
    MemberStatus,
    PreparedStatus,
    Refusal,
    ReplicaStatus,
    RouterReport,
    Status,
    TransactionId,
)
from shardrouter.health import ClusterHealth, health_of

NODES = ("a", "b", "c", "d")


def cluster(*, draining: str = "") -> ClusterConfig:
    config = new_cluster_config(
        placement={"meta": ["a", "b", "c"], "shard-1": ["b", "a", "c"]},
        nodes=NODES,
        ports=range(7001, 7005),
        router_port=7000,
    )
    nodes = {n: replace(node, drain=n == draining) for n, node in config.nodes.items()}
    return replace(config, nodes=nodes)


SILENT = "127.0.0.1:7003 refused the connection: it has its reasons."


def statuses(
    members: tuple[MemberStatus, ...], *, down: str = "", leader: str | None = "a"
) -> dict[str, Status | str]:
    """Every group alike: `members` by the word of its leader."""
    found: dict[str, Status | str] = dict.fromkeys(NODES, SILENT)
    for name in NODES:
        if name in down:
            continue
        own = next((m for m in members if m.node == name), None)
        replicas = [
            ReplicaStatus(
                group,
                own.replica,
                "leader" if name == leader else "follower",
                leader,
                3,
                *(100, 100, own.match or 0),
                members=members,
                last_id=9,
            )
            for group in ("meta", "shard-1")
            if own is not None
        ]
        found[name] = Status(name, 1, tuple(replicas))
    return found


ABC = tuple(MemberStatus(i, node, True, 100, True) for i, node in enumerate("abc", 1))


def test_a_cluster_that_is_well_misses_nothing() -> None:
    health = health_of(cluster(), statuses(ABC))
    assert health.missing == ()
    assert health.is_led
    assert health.nodes["a"].leads == 2
    assert health.nodes["d"].replicas == 0
    assert [r.lag for r in health.groups["meta"].replicas] == [0, 0, 0]
    assert json.loads(json.dumps(health.to_json()))["groups"]["meta"]["leader"] == "a"


def test_a_new_node_is_started_or_taken_out_again() -> None:
    health = health_of(cluster(), statuses(ABC, down="d"))
    (line,) = health.missing
    assert line == (
        f"node d does not answer: {SILENT[:-1]}; it has no replica: start it (shardrouter node d), "
        "or take it out (shardrouter node remove d)"
    )


def test_a_silent_node_leaves_its_groups_under_replicated() -> None:
    members = (*ABC[:2], MemberStatus(3, "c", True, 90, False))
    health = health_of(cluster(), statuses(members, down="c"))
    assert health.is_led
    assert health.groups["meta"].under_replicated
    assert health.missing == (
        f"node c does not answer: {SILENT}",
        "meta is under-replicated: 2 of 3 voters are up: start c",
        "shard-1 is under-replicated: 2 of 3 voters are up: start c",
    )


def test_a_group_with_too_few_members_says_how_it_gets_one() -> None:
    health = health_of(cluster(), statuses(ABC[:2]))
    assert health.missing[0] == (
        "meta is under-replicated: 2 of 3 voters are up: shardrouter replica add meta NODE"
    )


def test_a_learner_is_no_voter_and_its_lag_is_shown() -> None:
    members = (*ABC, MemberStatus(4, "d", False, 40, True))
    health = health_of(cluster(), statuses(members))
    learner = health.groups["meta"].replicas[-1]
    assert (learner.voter, learner.lag) == (False, 60)
    assert not health.groups["meta"].under_replicated
    assert health.missing[0].startswith("meta has learner 4 on d, 60 entries behind: ")


def test_a_draining_node_says_how_to_go_on_and_when_it_is_empty() -> None:
    busy = health_of(cluster(draining="a"), statuses(ABC))
    (line,) = busy.missing
    assert line.startswith("node a is draining and still hosts 2 replicas: shardrouter node drain")
    empty = health_of(cluster(draining="d"), statuses(ABC))
    assert empty.missing == ("node d is drained: shardrouter node remove d",)


def test_without_any_answer_the_founders_stand_for_the_members() -> None:
    health = health_of(cluster(), dict.fromkeys(NODES, SILENT))
    assert not health.is_led
    assert [r.node for r in health.groups["shard-1"].replicas] == ["b", "a", "c"]
    assert health.groups["shard-1"].replicas[0].role is None


def test_a_node_whose_files_are_refused_is_told_with_the_cure() -> None:
    found = statuses(ABC)
    of_c = found["c"]
    assert isinstance(of_c, Status)
    reason = "the files of node c were put back; run `shardrouter replica rebuild`."
    found["c"] = msgspec.structs.replace(of_c, refusals=(Refusal("a", reason),))
    assert health_of(cluster(), found).missing == (f"node a does not listen to c: {reason}",)


def test_what_routers_avoid_is_told_once_and_is_nobodys_task() -> None:
    avoided = Avoided("shard-1", "b", "open", "b is behind")
    report = (RouterReport("router-7", (avoided,)),)
    said = {
        name: msgspec.structs.replace(status, routers=report, requests=3, late_ms=1.5)
        if isinstance(status, Status)
        else status
        for name, status in statuses(ABC).items()
    }
    health = health_of(cluster(), said)
    assert health.missing == ()
    [seen] = health.avoided
    assert (seen.router, seen.group, seen.node, seen.state) == ("router-7", "shard-1", "b", "open")
    assert (health.nodes["a"].requests, health.nodes["a"].late_ms) == (3, 1.5)
    assert health.to_json()["avoided"][0]["reason"] == "b is behind"


def test_a_transaction_that_waits_for_its_outcome_is_named_with_what_it_blocks() -> None:
    def health(age_ms: int) -> ClusterHealth:
        said = statuses(ABC)
        leading = said["a"]
        assert isinstance(leading, Status)
        meta, shard = leading.replicas
        held = PreparedStatus(TransactionId(1, 0xAF, 7), age_ms, "meta", ("table:t", "table:u"))
        held_here = msgspec.structs.replace(shard, prepared=(held,), prepared_count=3)
        said["a"] = msgspec.structs.replace(leading, replicas=(meta, held_here))
        return health_of(cluster(), said)

    brief = health(1500)
    assert brief.missing == ()
    assert brief.groups["shard-1"].prepared == 3
    assert brief.groups["shard-1"].blocked[0].touches == ("t", "u")
    assert brief.groups["meta"].prepared == 0
    (line,) = health(12_000).missing
    assert line == (
        "shard-1 waits for the outcome of 3 transactions over several shards; the oldest, af-7, "
        "has blocked t, u for 12 s: meta decides it, and has to have a leader"
    )
