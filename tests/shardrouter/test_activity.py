"""What `shardrouter top` finds between two looks."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from rich.console import Console

from nodes.metrics import Latencies, Samples, exposition, family, read_exposition
from shardrouter.activity import Activity, Look, activity
from shardrouter.admission import Places
from shardrouter.cli.top import screen
from shardrouter.delivery import Counts
from shardrouter.health import health_of
from shardrouter.instants import InstantCounts
from shardrouter.meter import Meter
from shardrouter.router_metrics import router_families
from tests.shardrouter.test_health import ABC, cluster, statuses


def router_page(meter: Meter) -> Samples:
    return read_exposition(
        exposition(router_families(meter, Counts(), Places(0.0), InstantCounts()))
    )


def node_page(requests: int, fsyncs: list[float]) -> Samples:
    syncs = Latencies()
    for seconds in fsyncs:
        syncs.note(seconds)
    families = [
        family("shardrouter_node_requests_total", "counter", "", {"write": requests}, "kind"),
        family("shardrouter_log_fsync_seconds", "histogram", "", syncs),
        family("shardrouter_raft_elections_won_total", "counter", "", {"meta": 1}, "group"),
        family("shardrouter_raft_commit_seconds", "histogram", "", {"meta": syncs}, "group"),
    ]
    return read_exposition(exposition(families))


def look(at: float, router: Samples | str, nodes: Mapping[str, Samples | str]) -> Look:
    return Look(at, health_of(cluster(), statuses(ABC)), {"r": router}, nodes)


def test_rates_and_latencies_are_those_of_the_interval() -> None:
    meter = Meter()
    for _ in range(1000):
        meter.note("read", None, 1.0)  # long ago
    before = look(10, router_page(meter), {"a": node_page(5, [0.9]), "b": node_page(1, [])})
    for number in range(100):
        meter.note("write", None, 0.0015 if number < 90 else 0.1)
    meter.sqlstates["40001"] += 4
    fsyncs = [0.9, *[0.2] * 50]
    now = look(12, router_page(meter), {"a": node_page(25, fsyncs), "b": node_page(0, [])})
    seen = activity(before, now)
    router = seen.routers["r"]
    assert (router.statements_s, router.conflicts_s, router.unknown_s) == (50, 2, 0)
    assert router.p50_ms == pytest.approx(1.5, rel=0.5)
    assert router.p99_ms == pytest.approx(100, rel=0.5)
    assert seen.nodes["a"].requests_s == 10
    assert seen.nodes["a"].slow, "its disk is"
    assert seen.nodes["b"].requests_s is None, "it was started again between"
    assert seen.nodes["c"].requests_s is None, "it has no page"
    assert seen.groups["meta"].leader == "a"
    assert seen.groups["meta"].commit_p99_ms == pytest.approx(200, rel=0.5)
    assert seen.groups["meta"].elections == 0
    assert seen.groups["meta"].entries_s == 0


def shown(seen: Activity) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(screen(seen))
    return capture.get()


def test_what_cannot_be_told_is_no_number() -> None:
    nothing = look(1, "127.0.0.1:1 does not answer", {})
    seen = activity(nothing, look(2, "127.0.0.1:1 does not answer", {}))
    text = shown(seen)
    assert "does not answer" in text
    assert seen.routers["r"].statements_s is None
    assert json.loads(json.dumps(seen.to_json()))["nodes"]["a"]["requests_s"] is None
    assert [line.split()[:2] for line in text.splitlines() if line.startswith("meta")] == [
        ["meta", "a"]
    ]
