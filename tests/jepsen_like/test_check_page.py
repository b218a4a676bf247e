"""What the page of a judged history and its text say, whatever the history."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from jepsen_like.checks.furthest import orders_of
from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.checks.named import Question, judge
from jepsen_like.history import FaultWindow, Operation
from jepsen_like.history.columns import History
from jepsen_like.models import CasRegister
from jepsen_like.report import timeline, timeline_text
from jepsen_like.report.check_page import page
from jepsen_like.report.clock import clock_of
from jepsen_like.report.judged_history import (
    BINS_MAX,
    DRAWN_MAX,
    KEYS_MAX,
    JudgedHistory,
    judged_history,
)
from tests.jepsen_like.check_pages import MS, skewed, stale_on_one_key
from tests.jepsen_like.histories import cas, explainable, legal_history, read, write
from tests.jepsen_like.test_report import Outline

MODEL = CasRegister()
STALE = [write(1, 0, MS), write(2, 2 * MS, 3 * MS), read(1, 5 * MS, 6 * MS, process=1)]
EVIL = "</script><b onclick=x>&\"'\x1b[2J" + "v" * 50_000


def told(operations: Sequence[Operation], lines: bool = True) -> JudgedHistory:
    history = History()
    for line, operation in enumerate(operations, 2):
        history.append(operation, line if lines else 0)
    model, verdict = judge(history, Question())
    order = orders_of(history, verdict, MODEL, seconds=5) if model != "list-append" else None
    return judged_history("h.jsonl", model, history, verdict, order)


def text_of(shown: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Outline(shown).text))


# --- what is told ------------------------------------------------------------------------------


def test_the_verdict_then_the_counterexample_then_why_then_where() -> None:
    shown = page(told(STALE), command="jepsen-like check h.jsonl")
    assert Outline(shown).sections == ["Verdict", "Counterexample", "Keys", "History", "Counts"]
    text = text_of(shown)
    for part in (
        "INVALID",
        "read of x on n1 returned 1 after write 2 of x on n1",
        "It would be legal if reads might be 2 ms stale.",
        "Whatever order is tried, it ends like this:",
        "write x 1, then write x 2",
        "read -> 1 is not possible at 2: it needs 1",
        "All 3 operations are drawn.",
        "line 4 of the file",
        "jepsen-like check h.jsonl",
    ):
        assert part in text, part


def test_a_valid_history_has_a_page_too() -> None:
    history = legal_history(3, count=60, keys=2)
    story = told(history)
    shown = page(story)
    assert "Counterexample" not in Outline(shown).sections
    assert "VALID" in text_of(shown)
    drawn = [bar for row in story.timeline.rows for bar in row.bars]
    assert len(drawn) == len(history)
    answered = [o for o in history if o.outcome == "ok"]
    assert sum(bar.point is not None for bar in drawn) >= len(answered)


def test_the_page_stands_alone() -> None:
    for history in (STALE, stale_on_one_key(), skewed(), [write(EVIL, 0, 1, key=EVIL)]):
        shown = page(told(history))
        assert "://" not in shown.replace("http://www.w3.org/2000/svg", "")
        assert "url(" not in shown
        assert "default-src &#39;none&#39;" in shown
        for tag, attributes in Outline(shown).tags:
            assert tag not in ("link", "img", "iframe", "object", "base", "form"), tag
            assert not {"src", "href", "style"} & attributes.keys(), attributes
            assert not any(name.startswith("on") for name in attributes), attributes


def test_what_is_drawn_takes_effect_within_its_bar_and_in_one_order() -> None:
    story = told(stale_on_one_key())
    bars = [bar for row in story.timeline.rows for bar in row.bars if bar.point is not None]
    assert len(bars) > 15
    for bar in bars:
        assert bar.point is not None
        assert bar.start <= bar.point <= max(bar.end, story.timeline.end)


@pytest.mark.parametrize("seed", range(60))
def test_effects_never_go_back_and_stay_within_their_bars(seed: int) -> None:
    rng = random.Random(seed)
    now, order = 0.0, []
    for _ in range(12):
        now += rng.random() * rng.randrange(2)
        order.append((now - rng.random(), now + rng.random()))
    moments = timeline.effects(order, -1.0, 20.0)
    assert moments == sorted(moments)
    for (sent, returned), moment in zip(order, moments, strict=True):
        assert sent - 1e-9 <= moment <= returned + 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_the_order_until_the_failure_explains_everything_answered_before_it(seed: int) -> None:
    history = legal_history(seed, count=40, keys=1)
    last = max(o.returned_ns for o in history)
    history = [*history, read(-1, last // 2, last // 2 + 3, process=77, key=history[0].key)]
    verdict = check(history, MODEL)
    order = orders_of(history, verdict, MODEL, seconds=5)
    assert order is not None
    (positions,) = order.values()
    until = verdict.details["prefix"]["until_ns"]
    placed = [history[i] for i in positions]
    for operation in history:
        if operation.outcome == "ok" and operation.returned_ns < until:
            assert operation in placed
    as_seen = [o if o.returned_ns <= until else replace(o, outcome="info") for o in placed]
    assert MODEL.first_illegal(as_seen) is None


def test_what_was_broken_meanwhile_is_shaded_and_listed() -> None:
    history = History(STALE)
    history.faults += [
        FaultWindow("pause <n3>", 5 * MS, None),
        FaultWindow("partition n2", 1 * MS, 4 * MS, verified=False),
        FaultWindow("kill n1", 90 * MS, 95 * MS, verified=True),
    ]
    model, verdict = judge(history, Question())
    story = judged_history("h.jsonl", model, history, verdict)
    near = [(band.label, band.start, band.end) for band in story.timeline.bands]
    assert near == [("partition n2 (NOT VERIFIED)", 1, 4), ("pause <n3>", 5, 6)]
    outline = Outline(page(story))
    bands = [attrs for tag, attrs in outline.tags if (tag, attrs.get("class")) == ("rect", "band")]
    assert len(bands) == 2 + 3 + 2  # around the failure, the whole, two legends
    rows = text_of(page(story))
    assert "partition n2 1 ms 4 ms NOT VERIFIED" in rows
    assert "pause <n3> 5 ms not seen" in rows


def test_operations_outside_the_counterexample_are_grey() -> None:
    story = told(stale_on_one_key())
    styles = [bar.css for row in story.timeline.rows for bar in row.bars]
    assert styles.count("stuck") == 1
    assert sum("left-out" not in css for css in styles) == len(story.verdict.offending)


def test_what_was_never_answered_has_no_end() -> None:
    story = told([*STALE, write(7, 4 * MS, 9 * MS, process=5, outcome="info")])
    (bar,) = [b for row in story.timeline.rows for b in row.bars if b.css.startswith("info")]
    assert bar.is_open


def test_keys_that_are_not_valid_come_first() -> None:
    story = told(stale_on_one_key())
    assert [(row.key, row.validity) for row in story.keys] == [
        ("x", "invalid"),
        ("y", "valid"),
        ("z", "valid"),
    ]
    assert story.keys[0].staleness_ns == story.verdict.details["staleness_ns"]
    assert [row.staleness_ns for row in story.keys[1:]] == [0, 0]


def test_a_log_without_times_has_events_and_no_seconds() -> None:
    history = History([write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)])
    assert clock_of(history).text(4) == "event 4"
    shown = page(told(history[:]))
    assert "events since the first one" in shown
    assert "stale." not in text_of(shown)


def test_a_cycle_has_a_sentence_for_each_edge() -> None:
    text = text_of(page(told(skewed())))
    assert "G2: each of these must have come before the next" in text
    assert "T1 read x as [], without 1, which T2 appended" in text
    assert "T2 read y as [], without 1, which T1 appended" in text


# --- whatever the history ----------------------------------------------------------------------


def test_what_others_wrote_is_text_and_short() -> None:
    hostile = [
        write(EVIL, 0, MS, key=EVIL, node=EVIL),
        write("b" + EVIL, 2 * MS, 3 * MS, key=EVIL),
        read(EVIL, 4 * MS, 5 * MS, key=EVIL, node=EVIL),
    ]
    shown = page(told(hostile))
    assert "\x1b" not in shown
    assert "characters)" in shown
    assert len(shown) < 250_000
    assert "onclick" not in {name for _, a in Outline(shown).tags for name in a}


@pytest.mark.slow
@pytest.mark.long
def test_a_million_operations_make_a_page_of_less_than_five_megabytes() -> None:
    """Of one key among many, of long values, with a failure in the middle: nothing grows."""
    history = History()
    for n in range(500_000):
        at = n * 1_000
        key = f"key {n % 20_000} " + "k" * 100
        history.append(write(n, at, at + 900, key=key, process=n % 500), 2 * n + 2)
        seen = n - 20_000 if n == 250_000 else n
        history.append(read(seen, at + 901, at + 990, key=key, process=500 + n % 500), 2 * n + 3)
    verdict = check(history, MODEL, budget=Budget(seconds=600))
    assert verdict.validity == "invalid"
    order = orders_of(history, verdict, MODEL, seconds=5)
    story = judged_history("h", "register", history, verdict, order)
    shown = page(story)
    assert len(shown.encode()) < 5_000_000
    assert shown.count("<rect") < 3_000
    assert len(story.keys) == KEYS_MAX
    assert "19\N{NARROW NO-BREAK SPACE}000 valid keys with fewer operations" in shown
    assert sum(map(sum, story.density.bins)) == 1_000_000


@pytest.mark.parametrize("processes", [3, 400])
def test_one_busy_key_is_drawn_in_part_and_that_is_said(processes: int) -> None:
    history = [write(n, n * MS, n * MS + 400_000, process=n % processes) for n in range(3_000)]
    history.append(read(10, 2_990 * MS + 500_000, 2_990 * MS + 600_000, process=999))
    story = told(history)
    bars = [bar for row in story.timeline.rows for bar in row.bars]
    assert len(bars) <= DRAWN_MAX + len(story.verdict.offending)
    assert "of 3001 operations are drawn" in story.timeline_note
    assert "too far from the failure" in story.timeline_note
    assert len(story.density.bins) == BINS_MAX
    assert len(page(story)) < 1_000_000


# --- the same in a terminal --------------------------------------------------------------------


def test_the_text_is_the_drawing() -> None:
    verdict = check([*STALE], MODEL)
    assert timeline_text.render(verdict.offending, verdict.details) == [
        "process 0   |write x 1| |write x 2|",
        "process 1                           |read x -> 1|",
        "order            1           2             X",
        "then holds       1           2",
    ]


def test_a_narrow_terminal_gets_numbers() -> None:
    verdict = check([*STALE], MODEL)
    lines = timeline_text.render(verdict.offending, verdict.details, width=40)
    assert "process 1             |#3|" in lines
    assert "#3 read x -> 1" in lines
    assert timeline_text.render(verdict.offending, verdict.details, width=15) == []


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("seed", range(10))
def test_no_line_is_wider_than_the_terminal(seed: int, width: int) -> None:
    history = legal_history(seed, count=40, keys=1, info=0.2)
    last = max(o.returned_ns for o in history)
    verdict = check([*history, read(-1, last + 1, last + 2, process=77, key=history[0].key)], MODEL)
    lines = timeline_text.render(verdict.offending, verdict.details, width=width)
    assert all(len(line) <= width for line in lines)


def test_a_hostile_value_moves_no_cursor_and_fits() -> None:
    verdict = check([write(EVIL, 0, 1), write("b", 2, 3), read(EVIL, 4, 5)], MODEL)
    lines = timeline_text.render(verdict.offending, verdict.details)
    assert lines
    assert not any("\x1b" in line or len(line) > 80 for line in lines)


def test_operations_that_are_not_shown_are_in_brackets() -> None:
    history = [write(1, 0, 9), write(2, 1, 10), cas(1, 3, True, 12, 14), read(2, 15, 17)]
    assert not explainable(history, MODEL)
    verdict = check(history, MODEL)
    assert any(
        "(write 1)" in line for line in timeline_text.render(verdict.offending, verdict.details)
    )
