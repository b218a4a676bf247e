"""Who is compared with whom, and figures that are looked up in a text."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.costs import Costs
from bench.filled import UNMEASURED, filled, unmeasured
from bench.page import CHANGES, kept
from bench.question import Answer, Line, Measured, Verdict, line_of
from bench.questions import questions
from bench.ratios import ratios
from bench.runs import costs_each

PAGE = Path(__file__).parents[2] / "docs" / "performance"


def line(name: str, per_second: float, client_share: float = 0.1, **figures: float) -> Line:
    figures |= {"per_second": per_second, "client_share": client_share}
    return line_of(name, "16 clients", [figures])


LINES = [
    line("shardrouter any, asyncpg", 50, **{"cpu_us n1": 7.0, "cpu_us n2": 9.0, "cpu_us": 4321.0}),
    line("PostgreSQL, asyncpg", 200, 0.7),
    line("etcd", 100),
    line("shardrouter any, pgbench", 60, **{"cpu_us n1": 8.0}),
    line("PostgreSQL, pgbench", 240),
]
VERDICTS = [Verdict("any of etcd's, 16", 0.5, ">=", 1), Verdict("any of etcd's, 64", 0.7, ">=", 1)]
FOUND = [
    Measured("reads", "", "abc", {}, False, 1.0, 1.0, Answer(LINES, VERDICTS, {})),
]


def test_a_line_is_compared_with_peers_that_had_its_client_or_one_of_their_own() -> None:
    assert ratios(LINES, "per_second") == [
        "0.25 of PostgreSQL (client-bound), 0.5 of etcd",
        "",
        "",
        "0.25 of PostgreSQL",
        "",
    ]


def test_without_peers_lines_are_compared_with_the_first() -> None:
    lines = [line("one shard", 20), line("two shards", 30)]
    assert ratios(lines, "per_second") == ["", "1.5 of one shard"]


def test_a_line_without_the_figure_is_compared_with_nobody() -> None:
    assert ratios([LINES[1], Line("core", "16 clients", {})], "per_second") == ["", ""]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("= any of etcd's, *", "0.5 and 0.7"),
        ("= any of etcd's, 16", "0.5"),
        ("reads | 16 clients | shardrouter any, asyncpg | cpu_us", "4,321"),
        ("reads | 16 clients | shardrouter any, asyncpg | cpu_us | /1000", "4.3"),
        ("reads | 16 clients | shardrouter any, asyncpg | cpu_us n*", "7 and 9"),
        ("reads | 16 clients | shardrouter any, asyncpg | cpu_us n* | max", "9"),
        ("reads | 16 clients | shardrouter any, * | cpu_us n*", "7 to 9"),
        ("reads | 64 clients | shardrouter any, asyncpg | cpu_us n* | max", UNMEASURED),
        ("= what nobody wanted", UNMEASURED),
    ],
)
def test_a_place_of_a_text_has_the_figure_of_the_answers(place: str, said: str) -> None:
    text = f"so [[{place}]]."
    assert filled(text, FOUND) == f"so {said}."
    assert unmeasured(text, FOUND) == ([place] if said == UNMEASURED else [])


@pytest.mark.parametrize("place", ["reads | any", "reads | 16 clients | etcd | p50_ms | furlongs"])
def test_a_place_that_cannot_be_read_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match="is not QUESTION"):
        filled(f"[[{place}]]", FOUND)


def test_what_is_said_of_missed_targets_has_figures_of_the_page() -> None:
    """A contestant, case or figure that has another name now is not found in its place."""
    found = [one for _, one in kept(PAGE, questions().values())]
    assert len(found) == len(questions())
    assert unmeasured(CHANGES.read_text(encoding="utf-8"), found) == []


def test_costs_without_a_client_of_their_own_have_no_share_of_it() -> None:
    figures = costs_each(Costs({"router": 2.0}, {"router": 1.0}, 10, 20), {"router": 5.0}, 2)
    assert figures["cpu_us"] == 1e6
    assert "client_share" not in figures
    assert msgspec.json.encode(line_of("a", "b", [figures], "2 of 3"))
