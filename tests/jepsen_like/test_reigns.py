"""Who said when that it leads, put together from answers, and drawn."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Mapping
from dataclasses import replace

from jepsen_like.reigns import REIGNS_MAX, Reigns, watch
from jepsen_like.report.html import page
from jepsen_like.report.lanes import BARS_MAX, GROUPS_MAX, leaders
from jepsen_like.result import Reign
from tests.jepsen_like.synthetic import synthetic_result


def test_a_reign_lasts_while_host_and_term_stay_the_same() -> None:
    reigns = Reigns()
    reigns.saw("n1", 10, {"a": 1, "b": 1})
    reigns.saw("n2", 11, {})
    reigns.saw("n1", 20, {"a": 1, "b": 2})
    reigns.saw("n2", 25, {"a": 2})
    reigns.saw("n1", 30, {"a": 1})
    assert reigns.seen() == (
        Reign("a", "n1", 1, 10, 30),  # it did not notice
        Reign("a", "n2", 2, 25, 25),
        Reign("b", "n1", 1, 10, 10),
        Reign("b", "n1", 2, 20, 20),
    )


def test_silence_ends_a_reign_at_the_last_answer() -> None:
    reigns = Reigns()
    for at, claims in ((10, {"a": 1}), (20, {"a": 1}), (30, None), (40, {"a": 1})):
        reigns.saw("n1", at, claims)
    assert reigns.seen() == (Reign("a", "n1", 1, 10, 20), Reign("a", "n1", 1, 40, 40))


def test_there_is_a_limit() -> None:
    reigns = Reigns()
    for term in range(2 * REIGNS_MAX):
        reigns.saw("n1", term, {"a": term})
    assert len(reigns.seen()) == REIGNS_MAX + 1


class _Database:
    """One host answers at once, the other never."""

    def __init__(self) -> None:
        self.asked = 0
        self.enough = asyncio.Event()

    async def claims(self, host: str) -> Mapping[str, int] | None:
        if host == "slow":
            await asyncio.Event().wait()
        self.asked += 1
        if self.asked == 2:
            self.enough.set()
        return {"a": 1}


async def test_a_host_that_does_not_answer_delays_no_other() -> None:
    db, reigns, clock = _Database(), Reigns(), itertools.count()
    watching = asyncio.ensure_future(watch(db, ["slow", "quick"], lambda: next(clock), reigns))
    await db.enough.wait()
    watching.cancel()
    await asyncio.wait([watching])
    assert {reign.host for reign in reigns.seen()} == {"quick"}


def test_the_page_draws_a_lane_for_each_host_that_led() -> None:
    told = (
        Reign("shard-1", "n1", 1, 0, 5_000_000_000),
        Reign("shard-1", "n2", 2, 4_000_000_000, 20_000_000_000),
    )
    result = replace(synthetic_result(), reigns=told)
    drawing = page(result)
    assert "n1 led shard-1 in term 1, 0.0 s to 5.0 s" in drawing
    assert "n2, term 2" in drawing
    levels = re.findall(r'y="([\d.]+)" width="[\d.]+" height="14" rx="2"', drawing)
    assert len(set(levels)) == 2, "two who led at once would hide each other"
    assert "Who led which group" not in page(replace(result, reigns=()))


def test_what_is_drawn_has_a_limit_and_says_so() -> None:
    many = tuple(
        Reign(f"g{group}", "n1", term, term * 1_000, term * 1_000 + 500)
        for group in range(GROUPS_MAX + 3)
        for term in range(BARS_MAX)
    )
    chart = leaders(replace(synthetic_result(), reigns=many))
    assert chart is not None
    assert chart.svg.count('class="reign') == BARS_MAX
    assert "3 more groups" in chart.note
    assert f"{len(many) - BARS_MAX} intervals" in chart.note
