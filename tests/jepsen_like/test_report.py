"""The card and the page: what they must say, and what they must never do."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from jepsen_like.checks.availability import ALL
from jepsen_like.history import Operation, Unserved
from jepsen_like.report import charts, words
from jepsen_like.report.card import EVIDENCE_MAX, render, render_text
from jepsen_like.report.html import page, write
from jepsen_like.report.svg import Plot, nice_step
from jepsen_like.report.timeline import Band
from jepsen_like.result import (
    Estimate,
    Failover,
    FaultRecord,
    LogLine,
    ReadsOfClass,
    RunResult,
    StaleRead,
    Sweep,
    Verdict,
)
from tests.jepsen_like.histories import cas, read
from tests.jepsen_like.histories import write as wrote
from tests.jepsen_like.synthetic import CUT, KILL, synthetic_result

VALID = synthetic_result(1)
INVALID = synthetic_result(1, stale=True)
UNVERIFIED = replace(
    VALID,
    faults=(
        replace(
            CUT,
            verified_end=False,
            evidence=("all well", "so far", "and so on", "NOT VERIFIED: 3 bytes passed"),
        ),
    ),
)
EMPTY = RunResult(
    name="empty",
    seed=0,
    backend="proxy",
    command="",
    started_at="",
    duration_ns=0,
    versions={},
    topology={},
    operations=(),
    faults=(),
    availability=(),
    failovers=(),
    verdicts=(),
)
EVIL = "<script>alert('x')</script>\x00\x1b[2J&\"[bold][/nope]"
HOSTILE = replace(
    VALID,
    name=EVIL,
    command=EVIL,
    versions={EVIL: EVIL},
    topology={"database": EVIL, "hosts": [EVIL]},
    notes=(EVIL,),
    faults=(replace(CUT, name=EVIL, target=EVIL, role_before=EVIL, evidence=(EVIL,)),),
    operations=tuple(replace(o, node=EVIL, key=EVIL, error=EVIL) for o in VALID.operations[:20]),
    verdicts=(
        Verdict(
            EVIL, "invalid", EVIL, 1, (replace(VALID.operations[0], node=EVIL, value=EVIL, f=EVIL),)
        ),
    ),
)
ALL_RESULTS = {
    "valid": VALID,
    "invalid": INVALID,
    "unverified": UNVERIFIED,
    "empty": EMPTY,
    "hostile": HOSTILE,
}
every_result = pytest.mark.parametrize("name", ALL_RESULTS)


# --- the simulation the tests stand on ---------------------------------------------------------


def test_the_simulated_runs_are_what_they_claim_to_be() -> None:
    assert VALID.validity == "valid"
    assert INVALID.validity == "invalid"
    assert UNVERIFIED.validity == "unknown"
    assert synthetic_result(1) == VALID
    rows = {(row.side, row.f): row for row in VALID.availability}
    assert rows["minority (n2)", ALL].yield_ == 0.0
    share = rows["majority (n1, n3)", ALL].yield_
    assert share is not None
    assert 0.9 < share < 1.0
    assert [failover.group for failover in VALID.failovers] == ["shard-1", "shard-2"]


# --- words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ok", "invoked", "text"),
    [
        (0, 10, "0%"),
        (10, 10, "100%"),
        (9_999, 10_000, "99.9%"),
        (1, 100_000, "0.1%"),
        (1, 3, "33.3%"),
    ],
)
def test_percent_is_never_rounded_to_all_or_none(ok: int, invoked: int, text: str) -> None:
    assert words.percent(ok, invoked) == text


def test_the_headline_says_why() -> None:
    assert words.headline(VALID).startswith("linearizable: ")
    assert " returned " in words.headline(INVALID)
    assert words.headline(UNVERIFIED) == (
        "not verified to have happened as asked: partition isolate(leader of shard-1)"
    )
    assert words.headline(EMPTY) == "no check was made"
    stuck = Verdict("linearizable", "unknown", "out of budget on key 3")
    assert words.headline(replace(VALID, verdicts=(stuck,))) == (
        "linearizable: out of budget on key 3"
    )


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (read(5, 0, 1), "read x -> 5"),
        (wrote(5, 0, 1), "write x 5"),
        (cas(1, 2, False, 0, 1), "cas x 1 -> 2 (no match)"),
        (replace(read(5, 0, 1), f="append", value=3), "append x 3 -> 5"),
    ],
)
def test_operations_in_words(operation: Operation, text: str) -> None:
    assert words.operation_text(operation) == text


@pytest.mark.parametrize(
    ("ns", "text"), [(420_000, "0.42 ms"), (12_000_000, "12 ms"), (1_240_000_000, "1.24 s")]
)
def test_durations(ns: int, text: str) -> None:
    assert words.duration(ns) == text


# --- the card ----------------------------------------------------------------------------------


def test_the_card_of_a_valid_run() -> None:
    card = render_text(VALID, report=Path("runs/demo/report.html"), history=Path("h.jsonl"))
    lines = card.splitlines()
    assert lines[1].strip("│ ") == "VALID"
    for part in (
        "linearizable",
        "3181 operations: ",
        "minority (n2)",
        "majority (n1, n3)",
        "not measured",
        "97.7%",
        "partition isolate(leader of shard-1)  4.00 s to 14.00 s  verified",
        "n2: leader of shard-1, afterwards follower",
        "before the cut: 12 of 12 probes arrived over all links",
        "shard-1  served again 0.83 s after partition isolate(leader of shard-1)",
        "asked from the majority (n1, n3)",
        "seed 1",
        "report    runs/demo/report.html",
        "history   h.jsonl",
        "again     jepsen-like demo --seed 1",
    ):
        assert part in card, part
    assert f"({len(CUT.evidence) - EVIDENCE_MAX} more in the report)" in card


def test_the_card_of_an_invalid_run_shows_what_cannot_be_explained() -> None:
    card = render_text(INVALID)
    assert card.splitlines()[1].strip("│ ") == "INVALID"
    assert "Cannot be explained" in card
    for operation in INVALID.verdicts[0].offending:
        assert words.operation_text(operation) in card
    assert card.index("Cannot be explained") < card.index("Checks")


def test_the_card_of_an_unverified_run_says_what_was_not_verified_first() -> None:
    card = render_text(UNVERIFIED)
    assert card.splitlines()[1].strip("│ ") == "UNKNOWN"
    assert "end NOT VERIFIED" in card
    assert card.index("NOT VERIFIED: 3 bytes passed") < card.index("all well")


@every_result
@pytest.mark.parametrize("width", [80, 60, 120])
def test_no_line_of_the_card_is_wider_than_the_terminal(name: str, width: int) -> None:
    card = render_text(ALL_RESULTS[name], width=width)
    foot = re.compile("(report|history|again|versions) ")  # one line each, to be copied whole
    assert all(len(line) <= width for line in card.splitlines() if not foot.match(line))


def test_the_card_has_colour_on_a_terminal_only() -> None:
    def text(*, terminal: bool) -> str:
        out = io.StringIO()
        console = Console(file=out, width=80, force_terminal=terminal, _environ={"TERM": "xterm"})
        render(VALID, console)
        return out.getvalue()

    assert "\x1b[" in text(terminal=True)
    assert "\x1b" not in text(terminal=False)


def test_a_path_is_not_broken_over_lines() -> None:
    path = Path("/a") / ("long" * 40) / "report.html"
    assert f"report    {path}\n" in render_text(VALID, report=path)


# --- the page ----------------------------------------------------------------------------------


class Outline(HTMLParser):
    """What is in the page; fails on tags that do not match."""

    VOID = frozenset({"meta", "br", "link", "input", "img", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.sections.append(dict(attrs)["aria-label"] or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


OUTLINES = {name: Outline(page(result)) for name, result in ALL_RESULTS.items()}


def text_of(name: str) -> str:
    return re.sub(r"\s+", " ", " ".join(OUTLINES[name].text))


@every_result
def test_the_page_stands_alone(name: str) -> None:
    """Nothing is fetched and nothing runs: no script, no address, no import of a style."""
    text = page(ALL_RESULTS[name])
    assert "://" not in text
    assert "url(" not in text
    assert "@import" not in text
    for tag, attributes in OUTLINES[name].tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "base", "form"), tag
        assert not {"src", "href", "xlink:href"} & attributes.keys(), (tag, attributes)
        assert not any(attribute.startswith("on") for attribute in attributes), attributes


@every_result
def test_every_drawing_has_a_name_for_who_cannot_see_it(name: str) -> None:
    for tag, attributes in OUTLINES[name].tags:
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
    tables = [a for tag, a in OUTLINES[name].tags if a.get("tabindex") == "0"]
    assert all(a.get("aria-label") for a in tables), "what takes the focus has a name"


def test_what_others_wrote_is_text_and_never_markup() -> None:
    assert "&lt;script&gt;" in page(HOSTILE)
    assert EVIL.split("\x00")[0] in text_of("hostile")
    card = render_text(HOSTILE, width=120)
    assert EVIL.split("\x00")[0] in card.replace("\n", "")
    assert card.count("[/nope]") > 5  # rich's markup is not read either
    for text in (card, page(HOSTILE)):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)  # no cursor is moved


def test_the_verdict_comes_first_and_then_what_cannot_be_explained() -> None:
    assert OUTLINES["valid"].sections[:2] == ["Verdict", "Availability"]
    assert OUTLINES["invalid"].sections[:2] == ["Verdict", "Counterexample"]
    assert page(VALID).index("<h1>VALID</h1>") < page(VALID).index("<svg")
    assert "<h1>UNKNOWN</h1>" in page(UNVERIFIED)


def test_the_page_tells_the_same_as_the_card() -> None:
    text = text_of("valid")
    for part in (
        words.headline(VALID),
        words.asked_of(VALID),
        "97.7%",
        "not measured",
        "0.83 s",
        "jepsen-like demo --seed 1",
        "shardrouter 0.1.0",
        "seconds since the start of the run",
        "latency from scheduled time",
        "answered ok",
        *CUT.evidence,
        *KILL.evidence,
    ):
        assert part in text, part


def test_the_page_says_what_was_not_measured() -> None:
    assert "Yield of cas on the minority (n2)" in text_of("valid")
    assert "there was no partition" in text_of("empty")
    assert "not shown to have happened as asked" in text_of("unverified")


def test_an_unverified_fault_is_marked_where_it_is_drawn() -> None:
    assert "partition n2 (NOT VERIFIED)" in text_of("unverified")
    classes = [a.get("class") for tag, a in OUTLINES["unverified"].tags if tag == "li"]
    assert "doubt" in classes


def test_every_offending_operation_is_in_the_page() -> None:
    for operation in INVALID.verdicts[0].offending:
        assert text_of("invalid").count(words.operation_text(operation)) >= 2  # drawn, and listed
    assert "the answer that no order gets past" in text_of("invalid")


def test_light_dark_and_print() -> None:
    text = page(VALID)
    assert "@media (prefers-color-scheme: dark)" in text
    assert "@media print" in text


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    write(VALID, tmp_path / "a.html")
    write(synthetic_result(1), tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


# --- the page stays small, whatever the history ------------------------------------------------


def test_ten_thousand_operations_fit_in_half_a_megabyte() -> None:
    result = synthetic_result(2, seconds=40.0, rate=260.0, clients=80)
    assert len(result.operations) > 10_000
    assert len(page(result).encode()) < 500_000


def long_run(count: int) -> RunResult:
    """Many faults and many failures: the worst case for every drawing."""
    kinds = ("ok", "info", "fail")
    operations = tuple(
        Operation(
            process=i,
            f="read",
            key=i % 7,
            value=None,
            outcome=kinds[i % 3],  # type: ignore[arg-type]  # one of the three literals
            output=i,
            scheduled_ns=i * 1_000_000,
            sent_ns=i * 1_000_000,
            returned_ns=i * 1_000_000 + 1 + (i * 7919) % 900_000_000,
            node=f"n{i % 40}",
            error=f"error number {i % 1000}",
        )
        for i in range(count)
    )
    faults = tuple(
        replace(CUT, name=f"{CUT.name} {i}", start_ns=i * 10**9, end_ns=(i + 1) * 10**9)
        for i in range(60)
    )
    verdict = Verdict("linearizable", "invalid", "all of it", count, operations[:5_000])
    unserved = tuple(Unserved(i * 1_000_000, "n1", "read", 1) for i in range(count))
    failovers = tuple(Failover(fault.name, "shard-1", None, "none") for fault in faults)
    return replace(
        EMPTY,
        duration_ns=count * 1_000_000,
        operations=operations,
        faults=faults,
        verdicts=(verdict,),
        unserved=unserved,
        failovers=failovers,
        topology={"groups_of_keys": {str(k): "shard-1" for k in range(100_000)}},
    )


@pytest.mark.slow
def test_no_history_makes_a_page_over_five_megabytes() -> None:
    text = page(long_run(150_000))
    assert len(text.encode()) < 5_000_000
    said = re.sub(r"\s+", " ", text)
    assert "Too many faults to draw" in said
    assert "more would not fit" in said
    assert "rarer ones" in said


# --- drawings ----------------------------------------------------------------------------------


def test_nodes_that_were_never_apart_share_a_line() -> None:
    assert charts.node_groups(VALID) == [("n1", "n3"), ("n2",)]
    apart = replace(CUT, sides=(("n1",), ("n2", "n3")))
    assert charts.node_groups(replace(VALID, faults=(CUT, apart))) == [("n1",), ("n2",), ("n3",)]
    assert charts.node_groups(replace(VALID, faults=())) == [("n1", "n2", "n3")]


def test_a_timeline_says_what_it_leaves_out() -> None:
    chart = charts.around(VALID, 3.7, 5.2, name="a", wanted=lambda o: o.key == 3)
    drawn, inside = map(int, re.findall(r"(\d+) of (\d+) operations", chart.note)[0])
    assert chart.svg.count('class="bar ') == drawn
    assert f"{inside - drawn} on other keys are left out" in chart.note


def test_where_nothing_was_asked_there_is_no_line() -> None:
    gap = [o for o in VALID.operations if not 5e9 < o.scheduled_ns < 7e9]
    before = charts.yield_over_time(VALID).svg.count("<polyline")
    after = charts.yield_over_time(replace(VALID, operations=tuple(gap), unserved=()))
    assert after.svg.count("<polyline") == before + len(charts.node_groups(VALID))


@pytest.mark.parametrize(
    ("span", "parts", "step"), [(26, 12, 5), (10, 10, 1), (0.003, 12, 0.0005), (100, 12, 10)]
)
def test_steps_of_an_axis_are_round_numbers(span: float, parts: int, step: float) -> None:
    assert nice_step(span, parts) == pytest.approx(step)


def test_labels_of_bands_that_are_close_stand_in_rows() -> None:
    close = [Band(i / 100, i / 100 + 0.01, f"a fault called {i}") for i in range(3)]
    plot = Plot("p", (0.0, 100.0), bands=close)
    heights = re.findall(r'y="(\d+)" class="t band-label"', plot.svg())
    assert len(set(heights)) == 3


def test_a_thousand_points_on_one_spot_are_one_mark() -> None:
    plot = Plot("p", (0.0, 1.0))
    assert plot.marks([(0.5, 0.5)] * 1_000, "mark ok", "h0") == 1


def test_a_fault_record_without_evidence_says_so() -> None:
    bare = FaultRecord("pause n1", "pause", "n1", "follower", "follower", 0, 10**9)
    text = Outline(page(replace(VALID, faults=(bare,))))
    assert "Nothing was looked at." in " ".join(text.text)


def test_what_processes_said_is_shown_around_the_fault_alone() -> None:
    result = synthetic_result()
    at = result.faults[0].start_ns
    logs = (
        LogLine(at - 5_000_000_000, "n1", "long before"),
        LogLine(at + 1, "n2", "leads <b> group shard-1"),
    )
    text = page(replace(result, logs=logs))
    assert "n2: leads &lt;b&gt; group shard-1" in text
    assert "long before" not in text


def test_failovers_are_drawn_when_there_are_some() -> None:
    result = synthetic_result()
    one = result.failovers[0]
    times = (400_000_000, 500_000_000, 900_000_000)
    several = tuple(replace(one, first_ok_ns=ns) for ns in times)
    text = page(replace(result, failovers=(*several, replace(one, first_ok_ns=None))))
    assert "partition: 4, median 0.50 s, longest 0.90 s, 1 never." in text
    assert "How long groups did not serve" not in page(replace(result, failovers=several[:1]))


def test_staleness_and_the_price_of_consistency_are_drawn() -> None:
    stale = StaleRead(5_000_000_000, "n2", 3, 250_000_000)
    point = {"at": 1_000_000, "until": None, "reads": 10, "share": 0.5, "low": 0.2, "high": 0.8}
    reads = (
        ReadsOfClass("read", 500, 0, (), {"time": []}, "register"),
        ReadsOfClass("read any", 1_000, 1, (stale,), {"time": [point]}, "register"),
    )
    slope = Estimate(2.0, 1.9, 2.1, 100)
    steps = ((5_000_000, 12e6, 50), (50_000_000, 102e6, 50))
    sweep = Sweep("read", steps, 2e6, slope)
    text = page(replace(synthetic_result(), reads=reads, sweeps=(sweep,)))
    assert "read: none of 500 reads was stale." in text
    assert "read any: 1 of 1000 reads (0.1%) were stale, by up to 3 versions." in text
    assert "How soon a write is seen" in text
    assert "read: 2.00 round trips (1.90 to 2.10)" in text
    plain = page(synthetic_result())
    assert "its price" not in plain
