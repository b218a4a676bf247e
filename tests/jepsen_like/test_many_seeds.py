"""Results of many seeds: which still hold, and what they come to."""

from __future__ import annotations

import json
from dataclasses import replace

from jepsen_like.schedule import Schedule
from jepsen_like.sim.many_seeds import read_lines, summary_of
from jepsen_like.sim.seed_result import SeedResult

GOOD = SeedResult(
    1,
    "valid",
    "all is well",
    Schedule((), 3, None, 1),
    counts={"operations": 100, "elections": 2, "snapshots": 0, "kill": 1},
    expected=("operations", "elections", "kill"),
    simulated_s=12.5,
    digest="d",
    code="abc",
    where="t.py:test",
)


def line(result: SeedResult) -> str:
    return json.dumps(result.as_data())


def test_a_result_comes_back_as_it_was() -> None:
    assert SeedResult.from_data(json.loads(line(GOOD))) == GOOD


def test_only_results_of_this_code_this_test_and_these_seeds_hold() -> None:
    lines = [
        line(GOOD),
        line(replace(GOOD, seed=2, code="old")),
        line(replace(GOOD, seed=3, where="u.py:test")),
        line(replace(GOOD, seed=9)),
        line(replace(GOOD, seed=4))[:50],
        "not json",
        '{"format": 1}',
    ]
    found, others = read_lines(lines, range(1, 6), code="abc", where="t.py:test")
    assert list(found) == [1]
    assert others == 1


def test_the_closing_line_counts_everything() -> None:
    summary = summary_of([GOOD, replace(GOOD, seed=2)])
    assert str(summary) == (
        "2 seeds: 2 valid; operations 200, elections 4, kill 2, snapshots 0; 25 simulated seconds"
    )
    assert summary.exit_code == 0


def test_a_kind_that_no_seed_has_seen_makes_the_whole_unknown() -> None:
    summary = summary_of([replace(GOOD, expected=(*GOOD.expected, "pause", "snapshots"))])
    assert summary.unseen == ("pause", "snapshots")
    assert str(summary).endswith("NEVER SEEN: pause, snapshots")
    assert summary.exit_code == 2


def test_one_violation_outweighs_what_is_unknown() -> None:
    bad = [replace(GOOD, seed=2, verdict="unknown"), replace(GOOD, seed=3, verdict="invalid")]
    summary = summary_of([GOOD, *bad])
    assert summary.exit_code == 1
    assert (summary.invalid, summary.unknown) == ((3,), (2,))
    assert summary_of([]).exit_code == 2
