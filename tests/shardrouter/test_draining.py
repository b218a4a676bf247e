"""Emptying a node: where its replicas go, and that a second look finishes what the first began."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.config import ClusterConfig
from nodes.local_cluster import new_cluster_config
from shardrouter.draining import drain_goals, leave_goals
from shardrouter.moves import Goal, GroupView, Impossible, Seat
from shardrouter.placement import place_replicas


def cluster(nodes: int, shards: int, replicas: int, draining: str = "") -> ClusterConfig:
    names = [f"n{i}" for i in range(1, nodes + 1)]
    groups = ["meta", *(f"shard-{i}" for i in range(1, shards + 1))]
    config = new_cluster_config(
        placement=place_replicas(dict.fromkeys(names, 1), groups, replicas),
        nodes=names,
        ports=range(7001, 7001 + nodes),
        router_port=7000,
    )
    if draining:
        node = replace(config.nodes[draining], drain=True)
        config = replace(config, nodes={**config.nodes, draining: node})
    return config


def views(config: ClusterConfig, up: frozenset[str] | None = None) -> dict[str, GroupView]:
    up = frozenset(config.nodes) if up is None else up
    return {
        name: GroupView(
            name,
            tuple(Seat(r.id, r.node, True, r.node in up, 9) for r in group.replicas),
            group.preferred_leader.node,
            9,
            len(group.replicas),
            up,
        )
        for name, group in config.groups.items()
    }


def with_seat(view: GroupView, *seats: Seat) -> GroupView:
    return replace(view, seats=(*view.seats, *seats))


def goal(node: str, to: str) -> Goal:
    return Goal(on=frozenset([to]), off=frozenset([node]))


def test_each_replica_goes_to_a_node_that_has_none_of_its_group() -> None:
    config = cluster(4, 1, 3, draining="n1")
    goals = drain_goals(config, views(config), "n1")
    assert goals["meta"] == goal("n1", "n4")


def test_only_groups_that_are_there_move() -> None:
    config = cluster(4, 3, 2, draining="n1")
    there = [g for g, group in config.groups.items() if group.replica_on("n1")]
    assert list(drain_goals(config, views(config), "n1")) == there


def test_a_learner_on_its_way_is_finished_and_no_other_begun() -> None:
    config = cluster(6, 1, 3, draining="n1")
    seen = views(config)
    seen["meta"] = with_seat(seen["meta"], Seat(4, "n6", False, True, 3))
    assert drain_goals(config, seen, "n1")["meta"] == goal("n1", "n6")


def test_a_learner_on_a_dead_node_is_not_waited_for() -> None:
    config = cluster(6, 1, 3, draining="n1")
    seen = views(config, frozenset({"n1", "n2", "n3", "n4", "n5"}))
    seen["meta"] = with_seat(seen["meta"], Seat(4, "n6", False, False, 3))
    found = drain_goals(config, seen, "n1")["meta"]
    assert isinstance(found, Goal)
    assert found.on <= {"n4", "n5"}


def test_a_move_that_was_interrupted_before_its_last_step_is_ended() -> None:
    config = cluster(4, 1, 3, draining="n1")
    seen = views(config)
    seen["meta"] = with_seat(seen["meta"], Seat(4, "n4", True, True, 9))
    assert drain_goals(config, seen, "n1")["meta"] == Goal(off=frozenset({"n1"}))


def test_without_a_place_it_says_what_to_do() -> None:
    config = cluster(3, 1, 3, draining="n1")
    found = drain_goals(config, views(config), "n1")["meta"]
    assert isinstance(found, Impossible)
    assert "shardrouter node add" in found.why
    config = cluster(4, 1, 3, draining="n1")
    found = drain_goals(config, views(config, frozenset({"n1", "n2", "n3"})), "n1")["meta"]
    assert isinstance(found, Impossible)
    assert "n4 does not answer" in found.why


def test_it_leads_no_group_that_another_voter_could_lead() -> None:
    config = cluster(3, 3, 3)
    led = [g for g, group in config.groups.items() if group.preferred_leader.node == "n1"]
    goals = leave_goals(views(config).values(), "n1")
    assert goals == dict.fromkeys(led, Goal(not_led_by=frozenset({"n1"})))
    alone = cluster(2, 2, 1)
    assert leave_goals(views(alone).values(), "n1") == {}


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 8), st.integers(1, 20), st.integers(1, 5))
def test_what_leaves_is_spread_and_nothing_else_moves(
    nodes: int, shards: int, replicas: int
) -> None:
    replicas = min(replicas, nodes - 1)
    config = cluster(nodes, shards, replicas, draining="n1")
    load = Counter(r.node for group in config.groups.values() for r in group.replicas)
    chosen = {}
    for group, found in drain_goals(config, views(config), "n1").items():
        assert isinstance(found, Goal), found
        (target,) = found.on
        assert config.groups[group].replica_on(target) is None
        assert target != "n1"
        load[target] += 1
        chosen[group] = target
    for group, target in chosen.items():
        others = [n for n in config.nodes if n != "n1" and not config.groups[group].replica_on(n)]
        assert load[target] - min(load[n] for n in others) <= 2, "there was a freer node"
