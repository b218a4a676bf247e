"""Histories as files: what is written is read back, and nothing is guessed."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jepsen_like.history import (
    LINT_FINDINGS_MAX,
    HistoryError,
    Operation,
    lint,
    read_jsonl,
    write_jsonl,
)
from jepsen_like.history import read as read_any
from jepsen_like.history.collector import paused_collector
from jepsen_like.history.columns import TIME_MAX, History
from jepsen_like.history.fault_window import FaultWindow
from tests.jepsen_like.histories import cas, legal_history, read, write

SAMPLE = Path(__file__).parent.parent / "testdata" / "histories" / "stale_read.jsonl"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)
operations = st.builds(
    Operation,
    process=st.integers(0, 9),
    f=st.sampled_from(["read", "write", "cas"]),
    key=st.integers() | st.text(max_size=5),
    value=values,
    outcome=st.sampled_from(["ok", "fail", "info"]),
    output=values,
    scheduled_ns=st.integers(0, 10),
    sent_ns=st.integers(0, 10),
    returned_ns=st.integers(0, 10),
    node=st.text(max_size=3),
    error=st.text(max_size=5),
)


@given(st.lists(operations, max_size=5))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, history: list[Operation]
) -> None:
    path = tmp_path_factory.mktemp("history") / "h.jsonl"
    write_jsonl(path, history)
    assert read_jsonl(path) == history


def test_the_documented_example_is_what_is_written(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "h", [cas(1, 2, True, 12, 30, process=3)])
    header, line = (tmp_path / "h").read_text(encoding="utf-8").splitlines()
    assert header == (
        '{"format":"jepsen_like.history","version":4,"columns":["process","f","key","value",'
        '"outcome","output","scheduled_ns","sent_ns","returned_ns","node","error","version",'
        '"workload"]}'
    )
    assert line == '[3,"cas","x",[1,2],"ok",true,12,12,30,"n1","",null,""]'


def test_a_file_written_by_version_2_stays_readable(tmp_path: Path) -> None:
    (tmp_path / "h").write_text(
        '{"format":"jepsen_like.history","version":2,"columns":["process","f","key","value",'
        '"outcome","output","scheduled_ns","sent_ns","returned_ns","node","error","version"]}\n'
        '[3,"cas","x",[1,2],"ok",true,12,12,30,"n1","",null]\n'
    )
    assert read_jsonl(tmp_path / "h") == [cas(1, 2, True, 12, 30, process=3)]


def test_a_file_written_by_version_1_stays_readable() -> None:
    assert read_jsonl(SAMPLE) == [
        write(7, 0, 1_000_000, process=0),
        write(9, 2_000_000, 3_000_000, process=0),
        read(7, 1_203_000_000, 1_204_000_000, process=1, node="n2"),
        write(11, 4_000_000, 9_000_000, process=2, outcome="info", key=40),
    ]


GOOD: dict[str, Any] = {
    "process": 0,
    "f": "read",
    "key": "x",
    "value": None,
    "outcome": "ok",
    "output": None,
    "scheduled_ns": 0,
    "sent_ns": 0,
    "returned_ns": 1,
    "node": "n1",
    "error": "",
}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"process":', "h:2: not JSON"),
        ("[]", "h:2: not a JSON object"),
        (json.dumps(GOOD | {"extra": 1}), "h:2: missing or unknown fields: extra"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "node"}), "unknown fields: node"),
        (json.dumps(GOOD | {"process": True}), "h:2: process cannot be True"),
        (json.dumps(GOOD | {"sent_ns": 1.5}), "h:2: sent_ns cannot be 1.5"),
        (json.dumps(GOOD | {"outcome": "maybe"}), "h:2: outcome is ok, fail, info or open"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "h"
    path.write_text('{"format":"jepsen_like.history","version":1}\n' + line + "\n")
    with pytest.raises(HistoryError, match=complaint):
        read_jsonl(path)


FIELDS = list(Operation.__dataclass_fields__)


@pytest.mark.parametrize(
    ("field", "bad", "complaint"),
    [
        ("process", True, "process cannot be True"),
        ("process", None, "process cannot be None"),
        ("f", 5, "f cannot be 5"),
        ("key", 1.0, "key cannot be 1.0"),
        ("key", True, "key cannot be True"),
        ("outcome", "read", "outcome is ok, fail, info or open, not 'read'"),
        ("outcome", None, "outcome cannot be None"),
        ("scheduled_ns", False, "scheduled_ns cannot be False"),
        ("sent_ns", "7", "sent_ns cannot be '7'"),
        ("returned_ns", 1 << 62, "returned_ns is too large: it has 63 bits"),
        ("returned_ns", 1 << 80, "returned_ns is too large: it has 81 bits"),
        ("returned_ns", -(1 << 62), "returned_ns is too large: it has 63 bits"),
        ("node", ["n1"], "node cannot be"),
        ("error", None, "error cannot be None"),
        ("version", 1.5, "version cannot be 1.5"),
        ("version", False, "version cannot be False"),
        ("version", 1 << 62, "version is too large: it has 63 bits"),
        ("workload", 0, "workload cannot be 0"),
    ],
)
def test_among_a_thousand_lines_the_bad_one_is_named(
    tmp_path: Path, field: str, bad: Any, complaint: str
) -> None:
    path = tmp_path / "h"
    write_jsonl(path, [write(n, n, n + 5, process=n) for n in range(1_000)])
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[700])
    row[FIELDS.index(field)] = bad
    lines[700] = json.dumps(row)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(HistoryError, match="h:701: ") as caught:
        read_jsonl(path)
    assert complaint in str(caught.value)


def test_operations_between_faults_keep_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "h"
    history = History(write(n, n, n + 5, process=n) for n in range(1_000))
    history.faults += [FaultWindow("pause", n, n + 1) for n in range(0, 1_000, 10)]
    write_jsonl(path, history)
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    operations, faults = lines[:1_000], lines[1_000:]
    mixed = [line for n, fault in enumerate(faults) for line in (fault, *operations[n * 10 :][:10])]
    path.write_text("\n".join([header, *mixed]) + "\n", encoding="utf-8")
    found = read_jsonl(path)
    assert found == history
    assert found.faults == history.faults
    assert list(found.lines[:11]) == [*range(3, 13), 14]
    mixed[700] = mixed[700].replace('"ok"', '"okay"')
    path.write_text("\n".join([header, *mixed]) + "\n", encoding="utf-8")
    with pytest.raises(HistoryError, match="h:702: outcome is"):
        read_jsonl(path)


def test_numbers_up_to_the_limit_and_equal_texts_as_one_object(tmp_path: Path) -> None:
    edge = [TIME_MAX, TIME_MAX - (1 << 55), -TIME_MAX, -TIME_MAX + (1 << 55), 0]
    history = [replace(write(t, t, t, process=n), version=t) for n, t in enumerate(edge)]
    write_jsonl(tmp_path / "h", history)
    found = read_jsonl(tmp_path / "h")
    assert found == history
    assert len({id(text) for column in (found.f, found.node) for text in column}) == 2


def test_a_line_ends_with_a_newline_and_nothing_else(tmp_path: Path) -> None:
    """U+2028 and its like end lines for `str.splitlines`, and may stand in a value as they are."""
    history = [write("a\u2028b\x85c", 0, 1), write("d", 2, 3)]
    write_jsonl(tmp_path / "h", history)
    assert read_jsonl(tmp_path / "h") == history == read_any(tmp_path / "h")


def test_the_collector_is_as_it_was_after_a_pass(tmp_path: Path) -> None:
    path = tmp_path / "h"
    path.write_text("no history\n")
    with pytest.raises(HistoryError):
        read_jsonl(path)
    assert gc.isenabled()
    with paused_collector():
        with paused_collector():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "h:1: not JSON"),
        ('{"format":"other","version":1}\n', "h:1: no history"),
        ('{"format":"jepsen_like.history","version":5}\n', "h:1: history of version 5"),
    ],
)
def test_another_format_or_version_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "h"
    path.write_text(text)
    with pytest.raises(HistoryError, match=complaint):
        read_jsonl(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "h"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HistoryError, match="not UTF-8"):
        read_jsonl(path)


def test_a_value_that_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="cannot write"):
        write_jsonl(tmp_path / "h", [write(b"bytes", 0, 1)])


def test_lint_accepts_what_a_sound_recorder_writes() -> None:
    assert lint(legal_history(1, count=200, keys=3, info=0.1)) == []


@pytest.mark.parametrize(
    ("history", "finding"),
    [
        ([write(1, 5, 4)], "not in this order"),
        ([replace(write(1, 5, 6), scheduled_ns=6)], "not in this order"),
        ([write(1, 0, 9), read(1, 5, 10)], "sent while its process was still waiting"),
        ([write(1, 0, 3, outcome="info"), read(1, 5, 10)], "its process had ended with info"),
        ([replace(write(1, 0, 3, outcome="fail"), error="")], "fail without a reason"),
        ([cas(1, 2, None, 0, 1)], "is True or False"),
        ([replace(cas(1, 2, True, 0, 1), value=1)], "is (expected, new)"),
    ],
)
def test_lint_finds_what_makes_a_verdict_worthless(history: list[Operation], finding: str) -> None:
    (sentence,) = lint(history)
    assert finding in sentence


def test_lint_says_no_more_than_anyone_reads() -> None:
    assert len(lint([write(1, 5, 4, process=n) for n in range(1_000)])) == LINT_FINDINGS_MAX
