"""What a cluster does between two looks at it: rates and latencies, from its pages of metrics.

Pure. A process that has no page, or was started again between the looks, is known by what its
status says alone: what cannot be told is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from nodes.metrics import Samples
from shardrouter.health import ClusterHealth, GroupHealth

__all__ = ["Activity", "Look", "activity"]

SLOW_FSYNC_S: Final = 0.1
SLOW_TURN_MS: Final = 50.0
"""A node is called slow whose log or loop is: others wait for it."""


@dataclass(frozen=True)
class Look:
    """What was seen at one time: what nodes say, and the pages of routers and nodes by name."""

    at: float
    health: ClusterHealth
    routers: Mapping[str, Samples | str]
    """A text: why there is no page."""
    nodes: Mapping[str, Samples | str]


@dataclass(frozen=True)
class RouterActivity:
    why: str
    """It has no page; empty if it has one."""
    statements_s: float | None
    failed_s: float | None
    conflicts_s: float | None
    unknown_s: float | None
    p50_ms: float | None
    p99_ms: float | None
    clients: float | None


@dataclass(frozen=True)
class NodeActivity:
    answers: bool
    leads: int
    waiting: int | None
    late_ms: float | None
    requests_s: float | None
    fsync_p99_ms: float | None
    cpu: float | None
    """Cores in use."""
    memory_bytes: float | None
    slow: bool


@dataclass(frozen=True)
class GroupActivity:
    leader: str | None
    term: int | None
    entries_s: float | None
    lag: int | None
    """Of the member that is farthest behind."""
    commit_p99_ms: float | None
    prepared: int
    elections: float | None
    """That were won between the looks."""


@dataclass(frozen=True)
class Activity:
    seconds: float
    """Between the looks."""
    routers: Mapping[str, RouterActivity]
    nodes: Mapping[str, NodeActivity]
    groups: Mapping[str, GroupActivity]
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def activity(before: Look, now: Look) -> Activity:
    """What was done between two looks at the same cluster."""
    seconds = now.at - before.at
    routers = {
        name: _router(before.routers.get(name), page, seconds) for name, page in now.routers.items()
    }
    nodes = {name: _node(name, before, now, seconds) for name in now.health.nodes}
    groups = {name: _group(name, before, now, seconds) for name in now.health.groups}
    return Activity(seconds, routers, nodes, groups, now.health.missing)


def _router(before: Samples | str | None, now: Samples | str, seconds: float) -> RouterActivity:
    if isinstance(now, str):
        return RouterActivity(now, *[None] * 7)
    moved = _Moved(before, now, seconds)
    return RouterActivity(
        "",
        moved.rate("shardrouter_statements_total"),
        moved.rate("shardrouter_statements_total", outcome="failed"),
        moved.rate("shardrouter_errors_total", sqlstate="40001"),
        moved.rate("shardrouter_statements_total", outcome="unknown"),
        moved.quantile_ms(0.5, "shardrouter_statement_seconds"),
        moved.quantile_ms(0.99, "shardrouter_statement_seconds"),
        moved.gauge("shardrouter_clients", state="in"),
    )


def _node(name: str, before: Look, now: Look, seconds: float) -> NodeActivity:
    health = now.health.nodes[name]
    moved = _Moved(before.nodes.get(name), now.nodes.get(name), seconds)
    fsync = moved.quantile_ms(0.99, "shardrouter_log_fsync_seconds")
    is_slow = (fsync or 0) > SLOW_FSYNC_S * 1000 or (health.late_ms or 0) > SLOW_TURN_MS
    return NodeActivity(
        health.answers,
        health.leads,
        health.requests,
        health.late_ms,
        moved.rate("shardrouter_node_requests_total"),
        fsync,
        moved.rate("process_cpu_seconds_total"),
        moved.gauge("process_resident_memory_bytes"),
        is_slow,
    )


def _group(name: str, before: Look, now: Look, seconds: float) -> GroupActivity:
    health = now.health.groups[name]
    lags = [replica.lag for replica in health.replicas if replica.lag is not None]
    leader_page = now.nodes.get(health.leader or "")
    at_leader = _Moved(before.nodes.get(health.leader or ""), leader_page, seconds)
    won = [
        _Moved(before.nodes.get(node), page, seconds).by(
            "shardrouter_raft_elections_won_total", group=name
        )
        for node, page in now.nodes.items()
    ]
    known = [count for count in won if count is not None]
    was, is_now = _applied(before.health.groups.get(name)), _applied(health)
    entries = None if was is None or is_now is None else max(0, is_now - was) / seconds
    return GroupActivity(
        health.leader,
        health.term,
        entries,
        max(lags, default=None),
        at_leader.quantile_ms(0.99, "shardrouter_raft_commit_seconds", group=name),
        health.prepared,
        sum(known) if known else None,
    )


def _applied(group: GroupHealth | None) -> int | None:
    """By any of its replicas."""
    known = [replica.applied for replica in group.replicas if replica.applied] if group else []
    return max(known, default=None)


class _Moved:
    """How far the numbers of one page have moved."""

    def __init__(
        self, before: Samples | str | None, now: Samples | str | None, seconds: float
    ) -> None:
        self._before = before if isinstance(before, dict) else None
        self._now = now if isinstance(now, dict) else None
        self._seconds = seconds

    def by(self, name: str, **labels: str) -> float | None:
        """Of a counter; None if it went back: the process is another one."""
        if self._before is None or self._now is None:
            return None
        moved = _sum(self._now, name, labels) - _sum(self._before, name, labels)
        return moved if moved >= 0 else None

    def rate(self, name: str, **labels: str) -> float | None:
        moved = self.by(name, **labels)
        return None if moved is None else moved / self._seconds

    def gauge(self, name: str, **labels: str) -> float | None:
        return None if self._now is None else _sum(self._now, name, labels)

    def quantile_ms(self, share: float, name: str, **labels: str) -> float | None:
        """Of a histogram, read off as if a bucket's values were spread evenly."""
        if self._before is None or self._now is None:
            return None
        before, now = (_buckets(page, name, labels) for page in (self._before, self._now))
        counts = {limit: count - before.get(limit, 0.0) for limit, count in now.items()}
        total = counts.get(float("inf"), 0.0)
        if total <= 0:
            return None
        lower = below = 0.0
        for limit, count in sorted(counts.items()):
            if count >= share * total:
                if limit == float("inf"):
                    return lower * 1000
                part = (share * total - below) / (count - below)
                return (lower + (limit - lower) * part) * 1000
            lower, below = limit, count
        return None


def _sum(page: Samples, name: str, labels: Mapping[str, str]) -> float:
    return sum(
        value
        for (found, has), value in page.items()
        if found == name and labels.items() <= dict(has).items()
    )


def _buckets(page: Samples, name: str, labels: Mapping[str, str]) -> dict[float, float]:
    """How many were at most so long."""
    counts: dict[float, float] = {}
    for (found, has), value in page.items():
        if found == f"{name}_bucket" and labels.items() <= dict(has).items():
            limit = float(dict(has)["le"])
            counts[limit] = counts.get(limit, 0.0) + value
    return counts
