"""What a node remembers of what routers avoid."""

from __future__ import annotations

from nodes.protocol import Avoided, GetStatus
from nodes.router_reports import AVOIDED_MAX, KEPT_S, ROUTERS_MAX, RouterReports

AVOIDED = Avoided("shard-1", "n2", "open", "n2 is behind")


def test_the_latest_word_of_each_router_holds_for_a_while() -> None:
    reports = RouterReports()
    reports.note(0.0, GetStatus("a", (AVOIDED, AVOIDED)))
    reports.note(5.0, GetStatus("b", (AVOIDED,)))
    reports.note(1.0, GetStatus("a", (AVOIDED,)))
    assert [(r.router, len(r.avoided)) for r in reports.lately(5.0)] == [("a", 1), ("b", 1)]
    assert [r.router for r in reports.lately(1.1 + KEPT_S)] == ["b"]
    reports.note(12.0, GetStatus("b"))  # it avoids nothing any more
    assert reports.lately(12.0) == ()


def test_it_has_a_limit() -> None:
    reports = RouterReports()
    for number in range(2 * ROUTERS_MAX):
        reports.note(0.0, GetStatus(f"r{number:03}", (AVOIDED,) * (2 * AVOIDED_MAX)))
    kept = reports.lately(0.0)
    assert len(kept) == ROUTERS_MAX
    assert kept[-1].router == f"r{2 * ROUTERS_MAX - 1:03}"
    assert all(len(report.avoided) == AVOIDED_MAX for report in kept)
