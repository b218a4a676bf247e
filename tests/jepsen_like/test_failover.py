"""Who becomes primary, by what agents on hosts saw: cases of one moment, and a search for two."""

from __future__ import annotations

import random

import pytest

from jepsen_like.adapters.failover import (
    Fence,
    Follow,
    Group,
    Policy,
    Promote,
    Rejoin,
    Resume,
    Seen,
    decide,
)

HOSTS = ("n1", "n2", "n3")
FENCED = Policy(3.0, 1.5)
PLAIN = Policy(3.0)
NOW = 100.0


def all_seen(primary: str = "n1", at: float = NOW) -> dict[tuple[str, str], Seen]:
    return {
        (agent, member): Seen(at, member == primary, 100) for agent in HOSTS for member in HOSTS
    }


def cut_off(
    seen: dict[tuple[str, str], Seen], host: str, since: float
) -> dict[tuple[str, str], Seen]:
    """Nobody has heard `host` since, nor it anybody."""
    return {
        pair: Seen(since, s.is_primary, s.position) if (pair[0] == host) != (pair[1] == host) else s
        for pair, s in seen.items()
    }


def fresh(primary: str = "n1") -> Group:
    return Group(primary, {host: primary for host in HOSTS if host != primary})


def test_nothing_is_done_while_all_hear_each_other() -> None:
    assert decide(HOSTS, fresh(), all_seen(), NOW, PLAIN) == []
    assert decide(HOSTS, fresh(), all_seen(), NOW, FENCED) == []


def test_a_primary_that_both_standbys_miss_is_replaced_by_the_one_that_has_most() -> None:
    seen = cut_off(all_seen(), "n1", NOW - 3.1)
    seen["n2", "n2"] = Seen(NOW, False, 170)
    assert decide(HOSTS, fresh(), seen, NOW, PLAIN) == [Promote("n2", ("n2", "n3"))]
    assert decide(HOSTS, fresh(), cut_off(all_seen(), "n1", NOW - 2.9), NOW, PLAIN) == []


def test_a_standby_that_is_cut_off_alone_replaces_nobody() -> None:
    seen = cut_off(all_seen(), "n3", NOW - 60)
    for policy in (PLAIN, FENCED):
        assert decide(HOSTS, fresh(), seen, NOW, policy) == []


def test_standbys_that_do_not_hear_each_other_replace_nobody() -> None:
    seen = cut_off(cut_off(all_seen(), "n1", NOW - 60), "n2", NOW - 60)
    assert decide(HOSTS, fresh(), seen, NOW, PLAIN) == []


def test_a_primary_that_is_alone_is_stopped_before_it_is_replaced() -> None:
    assert decide(HOSTS, fresh(), cut_off(all_seen(), "n1", NOW - 1.4), NOW, FENCED) == []
    seen = cut_off(all_seen(), "n1", NOW - 1.6)
    assert decide(HOSTS, fresh(), seen, NOW, FENCED) == [Fence("n1")]
    late = cut_off(all_seen(), "n1", NOW - 3.1)
    assert decide(HOSTS, fresh(), late, NOW, FENCED) == [Fence("n1"), Promote("n3", ("n2", "n3"))]
    one_left = cut_off(all_seen(), "n3", NOW - 60)
    assert decide(HOSTS, fresh(), one_left, NOW, FENCED) == []


def test_a_primary_that_was_stopped_and_not_replaced_is_started_again() -> None:
    group = fresh()
    group.fenced.add("n1")
    seen = all_seen()
    for agent in HOSTS:
        seen[agent, "n1"] = Seen(NOW - 2, True, 100)
    assert decide(HOSTS, group, seen, NOW, FENCED) == []
    for agent in HOSTS:
        seen[agent, "n1"] = Seen(NOW - 10, True, 100)
    seen["n2", "n3"] = Seen(NOW - 10, False, 100)  # one of two that would have to agree
    seen["n3", "n2"] = Seen(NOW - 10, False, 100)
    assert decide(HOSTS, group, seen, NOW, FENCED) == [Resume("n1")]


def test_after_the_heal_the_old_primary_rejoins_and_the_other_standby_follows() -> None:
    group = Group("n2", {"n2": "n1", "n3": "n1"})
    seen = all_seen("n2")
    seen["n1", "n1"] = Seen(NOW, True, 200)
    assert decide(HOSTS, group, seen, NOW, PLAIN) == [Rejoin("n1"), Follow("n3")]
    cut = cut_off(seen, "n1", NOW - 9)
    assert decide(HOSTS, group, cut, NOW, PLAIN) == [Follow("n3")]


def test_a_member_that_somebody_has_killed_is_left_to_them() -> None:
    group = Group("n2", {"n3": "n2"})
    seen = all_seen("n2")
    for agent in HOSTS:
        seen[agent, "n1"] = Seen(NOW - 20, True, 100)
    assert decide(HOSTS, group, seen, NOW, PLAIN) == []


def test_a_fence_that_would_come_too_late_is_refused() -> None:
    with pytest.raises(ValueError, match="give a smaller fence_s"):
        Policy(2.0, 2.0)


@pytest.mark.parametrize("fence_s", [1.5, None])
def test_two_primaries_at_a_time_are_there_without_a_fence_and_never_with_one(
    fence_s: float | None,
) -> None:
    """Links fail and heal at random, each direction for itself; a question needs both."""
    policy = Policy(3.0, fence_s)
    doubled = promoted = 0
    for seed in range(30):
        rng = random.Random(seed)
        both, new = _primaries(rng, policy)
        doubled += both
        promoted += new
    assert promoted > 30
    assert bool(doubled) == (fence_s is None)


def _primaries(rng: random.Random, policy: Policy) -> tuple[int, int]:
    """(moments with two running primaries that have each another's clients, promotions)."""
    group, seen = fresh(), all_seen(at=0.0)
    serving = {"n1"}
    standing = dict.fromkeys(HOSTS, False)
    standing["n1"] = True
    cut: set[tuple[str, str]] = set()
    doubled = promoted = 0
    for tick in range(1, 600):
        now = tick / 10
        if rng.random() < 0.04:
            cut = {(a, b) for a in HOSTS for b in HOSTS if a != b and rng.random() < 0.5}
        elif rng.random() < 0.02:
            cut = set()
        for agent in HOSTS:
            for member in HOSTS:
                is_up = member in serving or not standing[member]
                if is_up and not {(agent, member), (member, agent)} & cut and rng.random() < 0.6:
                    seen[agent, member] = Seen(now, member in serving, rng.randrange(100))
        for action in decide(HOSTS, group, seen, now, policy):
            match action:
                case Fence(host):
                    serving.discard(host)
                    group.fenced.add(host)
                case Resume(host):
                    serving.add(host)
                    group.fenced.discard(host)
                case Promote(host):
                    promoted += 1
                    serving.add(host)
                    standing[host] = True
                    group.primary = host
                case Rejoin(host):
                    serving.discard(host)
                    standing[host] = False
                    group.fenced.discard(host)
                    group.upstream[host] = group.primary
                case Follow(host):
                    group.upstream[host] = group.primary
        doubled += len(serving) > 1
    return doubled, promoted
