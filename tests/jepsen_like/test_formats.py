"""Histories of other tools: what they mean is kept, and what is broken is named by its line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jepsen_like.history import (
    FaultWindow,
    History,
    HistoryError,
    Operation,
    lint,
    read,
    write_edn,
    write_jsonl,
)
from jepsen_like.history.edn import Keyword, forms, text_of
from jepsen_like.history.files import FORMATS, load, parse
from jepsen_like.history.jsonl import Follower
from tests.jepsen_like.histories import cas, legal_history, op, write
from tests.jepsen_like.histories import read as a_read

ETCD = """\
INFO  jepsen.util - 0\t:invoke\t:write\t3
INFO  jepsen.util - 1\t:invoke\t:read\tnil
INFO  jepsen.util - 0\t:ok\t:write\t3
INFO  jepsen.util - 1\t:ok\t:read\tnil
INFO  jepsen.core - Worker 4 starting
INFO  jepsen.util - 0\t:invoke\t:cas\t[2 4]
INFO  jepsen.util - 0\t:fail\t:cas\t[2 4]
INFO  jepsen.util - 1\t:invoke\t:cas\t[3 4]
INFO  jepsen.util - 0\t:invoke\t:write\t9
INFO  jepsen.util - 1\t:info\t:cas\t:timed-out
"""
KV = """\
{:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}
{:process 2, :type :invoke, :f :get, :key "1", :value nil}
{:process 9, :type :ok, :f :append, :key "0", :value "x 9 0 y"}
{:process 2, :type :ok, :f :get, :key "1", :value ""}
"""
EDN = """\
; recorded by hand
[{:process 0, :type :invoke, :f :write, :value 3, :time 10}
 {:process :nemesis, :type :info, :f :start, :value "cut off #{n1}"}
 {:process 1, :type :invoke, :f :read, :value nil, :time 20}
 #_ {:process 7, :type :ok}
 {:process 0, :type :ok, :f :write, :value 3, :time 20}
 {:process 1, :type :ok, :f :read, :value 3, :time 40}
 {:process 1, :type :invoke, :f :cas,
  :value [3 4], :time 50}
 {:process 1, :type :fail, :f :cas, :value [3 4], :error [:no "match"], :time 60}
 #jepsen.history.Op{:process 0, :type :invoke, :f :read, :value nil, :time 70}
 {:process 0, :type :ok, :f :read, :value nil, :time 80}
 {:process 5, :type :invoke, :f :write, :value 5N, :time 90}]
"""


def shown(operation: Operation) -> tuple[Any, ...]:
    o = operation
    return (o.process, o.f, o.value, o.outcome, o.output)


def put(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "h"  # no suffix: the format is told by what is inside
    path.write_bytes(text.encode())
    return path


def test_an_etcd_log(tmp_path: Path) -> None:
    loaded = load(put(tmp_path, ETCD))
    assert loaded.format == "etcd"
    assert [shown(o) for o in loaded.history] == [
        (0, "write", 3, "ok", None),
        (1, "read", None, "ok", None),
        (0, "cas", (2, 4), "ok", False),
        (1, "cas", (3, 4), "info", None),
        (0, "write", 9, "info", None),
    ]
    assert list(loaded.history.lines) == [1, 2, 6, 8, 9]
    assert loaded.history[3].error == "timed-out"


def test_a_key_value_log(tmp_path: Path) -> None:
    loaded = load(put(tmp_path, KV))
    assert loaded.format == "kv"
    first, second = loaded.history
    assert (first.key, *shown(first)) == ("0", 9, "append", "x 9 0 y", "ok", None)
    assert (second.key, *shown(second)) == ("1", 2, "get", None, "ok", "")


def test_a_history_of_jepsen(tmp_path: Path) -> None:
    loaded = load(put(tmp_path, EDN))
    assert (loaded.format, loaded.flaws) == ("edn", ())
    assert [shown(o) for o in loaded.history] == [
        (0, "write", 3, "ok", None),
        (1, "read", None, "ok", 3),
        (1, "cas", (3, 4), "fail", None),
        (0, "read", None, "fail", None),  # nil: a value that was not recorded
        (5, "write", 5, "info", None),
    ]
    assert list(loaded.history.lines) == [2, 4, 8, 11, 13]
    # The clock is strict: what was invoked at 20 on line 4 came before what ended at 20 on line 6
    assert (loaded.history[1].sent_ns, loaded.history[0].returned_ns) == (20, 21)


def test_independent_keys_of_jepsen(tmp_path: Path) -> None:
    text = """{:process 0, :type :invoke, :f :read, :value [7 nil]}
              {:process 0, :type :ok, :f :read, :value [7 1]}"""
    (operation,) = read(put(tmp_path, text), independent=True)
    assert (operation.key, operation.output) == (7, 1)
    with pytest.raises(HistoryError, match=r"h:1: the value is no \[key value\]"):
        read(put(tmp_path, "{:process 0, :type :invoke, :f :read, :value 3}"), independent=True)


def test_transactions_of_jepsen(tmp_path: Path) -> None:
    text = """{:process 0, :type :invoke, :f :txn, :value [[:append 1 2] [:r 1 nil]]}
              {:process 0, :type :ok, :f :txn, :value [[:append 1 2] [:r 1 [1 2]]]}"""
    (operation,) = read(put(tmp_path, text))
    assert operation.value == (("append", 1, 2), ("r", 1, None))
    assert operation.output == (("append", 1, 2), ("r", 1, (1, 2)))
    write_edn(tmp_path / "again", [operation])
    assert ":value [[:append 1 2] [:r 1 nil]]" in (tmp_path / "again").read_text()
    assert read(tmp_path / "again") == [replace(operation, sent_ns=0, scheduled_ns=0)]


@pytest.mark.parametrize("seed", range(5))
def test_edn_that_we_write_is_read_back(tmp_path: Path, seed: int) -> None:
    history = sorted(
        legal_history(seed, count=60, keys=3, info=0.1, values=4), key=lambda o: o.sent_ns
    )
    write_edn(tmp_path / "h", history)
    back = read(tmp_path / "h")
    assert [(o.key, *shown(o)) for o in back] == [(o.key, *shown(o)) for o in history]
    assert lint(back) == []
    write_jsonl(tmp_path / "j", back)
    assert read(tmp_path / "j") == back


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8)
        | st.floats(allow_nan=False) | st.sampled_from([Keyword("a"), Keyword("b/c")]),
        lambda inner: st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.frozensets(st.integers(), max_size=3),
        max_leaves=8,
    )
)  # fmt: skip
def test_edn_values_survive(value: Any) -> None:
    ((line, back),) = forms(f"\n{text_of(value)}\n")
    assert (line, back) == (2, value)
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "h:1: an empty file is no history"),
        ("\n\nsomething else\n", "h:3: no history of a known format"),
        (ETCD + KV, "h:11: no line of an etcd log of Jepsen: '{:process 9"),
        (KV + ETCD, "h:5: no line of a key-value log"),
        (ETCD[:-20], "h:10: no line of an etcd log.*the file ends in the middle"),
        (KV[:-20], "h:4: no line of a key-value log.*the file ends in the middle"),
        (EDN[:-30], "h:13: the file ends inside the { of line 13"),
        (EDN + "INFO jepsen\n", "h:14: an event is a map, not 'INFO'"),
        (EDN + "]", "h:14: ] closes nothing"),
        ('[{:process 0 :f "x', "h:1: .* is not EDN"),
        ("[{:process 0 :type}]", "h:1: the map of line 1 has a key without value"),
        ("[{:process 0, :type :maybe, :f :x}]", "h:1: :type is :invoke"),
        ("[\n\n{:process 0.5, :type :ok, :f :x}]", "h:3: an event needs :process and :f"),
        (f"[{{:process {'9' * 5000}, :type :ok}}]", "h:1: an integer of 5000 digits is too large"),
        ("[{:process 0, :type :ok, :f :read}]", "h:1: process 0 completes read that it had not"),
        (
            "[{:process 0, :type :invoke, :f :read}\n{:process 0, :type :invoke, :f :write}]",
            "h:2: process 0 invokes write while its read of line 1 has not ended",
        ),
        (
            "[{:process 0, :type :invoke, :f :read}\n{:process 0, :type :ok, :f :write}]",
            "h:2: process 0 completes write, but invoked read on line 1",
        ),
        (f"[{{:process 0, :type :invoke, :f :r, :time {1 << 80}}}]", "h:1: a time of .* too large"),
        ('{"format":"jepsen_like.history","version":2,"columns":["f"]}\n', "h:1: columns must be"),
        ('{"format":"jepsen_like.history","version":2}\n', "h:1: columns must be"),
    ],
)  # fmt: skip
def test_what_is_broken_is_named_by_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(HistoryError, match=complaint):
        read(put(tmp_path, text))


HEADER = (
    '{"format":"jepsen_like.history","version":2,"columns":["process","f","key","value",'
    '"outcome","output","scheduled_ns","sent_ns","returned_ns","node","error","version"]}\n'
)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"process":0}', "h:3: not a JSON array"),
        ("[1,2]", "h:3: 2 fields, where the header names 12"),
        (f'[{1 << 70},"read","x",null,"ok",1,0,0,1,"n","",null]', "h:3: process is too large"),
        (f'[0,"read","x",null,"ok",1,0,0,1,"n","",-{1 << 70}]', "h:3: version is too large"),
        (f'[0,"read","x",null,"ok",{"1" * 5000},0,0,1,"n","",null]', "h:3: a whole number of more"),
        ('[0,"read","x",null,"ok",1,0,0,1,"n","",null],' * 2, "h:3: not JSON"),
        ("", "h:3: not JSON"),
        ("[" * 100_000, "h:3: nested too deeply"),
    ],
    ids=range(8),
)
def test_a_line_that_is_no_operation_is_refused(tmp_path: Path, line: str, complaint: str) -> None:
    good = '[0,"read","x",null,"ok",1,0,0,1,"n","",null]\n'
    with pytest.raises(HistoryError, match=complaint):
        read(put(tmp_path, HEADER + good + line + "\n" + good))


def test_columns_may_stand_in_another_order(tmp_path: Path) -> None:
    header = HEADER.replace('"process","f"', '"f","process"')
    (operation,) = read(put(tmp_path, header + '["read",4,"x",null,"ok",1,0,0,1,"n","",9]\n'))
    assert (operation.process, operation.f, operation.version) == (4, "read", 9)


def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "h"
    path.write_bytes(b"INFO\n\xff\xfe")
    with pytest.raises(HistoryError, match="h:2: not UTF-8"):
        read(path)


@pytest.mark.parametrize(
    ("history", "line", "finding"),
    [
        ([op("write", 1, at=(0, 3), outcome="fail")], 2, "does not prove that it did not happen"),
        ([replace(write(1, 0, 3, outcome="fail"), error="no row")], None, ""),
        (
            [
                replace(write(1, 0, 3, outcome="fail"), error="no row"),
                a_read(1, 4, 5, process=1),
            ],
            3,
            "the only write of its value failed",
        ),
        ([write(1, 5, 4)], 2, "the clock went back by 1 ns"),
        ([write(1, 0, 1), write(1, 2, 3)], 3, "its value was written before"),
        ([write(1, 0, 1), cas(0, 1, False, 2, 3)], None, ""),
        ([write(1, 0, 1), write(1, 2, 3, key="y")], None, ""),
        (
            [op("write", 1, at=(0, 1), outcome="info"), write(2, 2, 3)],
            3,
            "a process id is never used again",
        ),
        ([write(1, 0, 5), write(2, 2, 8)], 3, "sent while its process was still waiting"),
    ],
)
def test_lint_names_the_line(
    tmp_path: Path, history: list[Operation], line: int | None, finding: str
) -> None:
    write_jsonl(tmp_path / "h", history)
    found = lint(read(tmp_path / "h"), name="h", distinct=True)
    if line is None:
        assert found == []
    else:
        (sentence,) = found
        assert sentence.startswith(f"h:{line}: ")
        assert finding in sentence


def test_lint_names_every_fault_of_a_log(tmp_path: Path) -> None:
    text = EDN.replace(":time 40", ":time 15") + "{:process 9, :type :ok, :f :read, :value 1}"
    loaded = load(put(tmp_path, text))
    found = lint(loaded.history, name="h", flaws=loaded.flaws)
    assert [sentence.split(": ")[0] for sentence in found] == ["h:7", "h:14"]
    assert "the clock goes back by 5 ns" in found[0]
    assert "completes read that it had not invoked" in found[1]


@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_a_sentence(data: st.DataObject) -> None:
    line = '[0,"w","x",1,"ok",1,0,0,1,"","",1]\n'
    good = data.draw(st.sampled_from([ETCD, KV, EDN, HEADER + line]))
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 12)))
    put_in = data.draw(st.text(alphabet='0123456789:{}[]()",\\#_ \n\tnilreadok;é-.eE', max_size=8))
    text = good[:start] + put_in + good[end:]
    for format in FORMATS:
        refusal = "1: none"
        try:
            history, _ = parse("h", text, format, independent=False)
            lint(history)
        except HistoryError as exc:
            refusal = str(exc)
        assert re.match(r"(h:)?\d+: ", refusal)


def test_a_counter_may_show_what_a_failed_add_would_have_added() -> None:
    failed = Operation(0, "add", 1, 2, "fail", None, 0, 0, 9, "n1", "57014 too late")
    shown = Operation(1, "read", 1, None, "ok", 2, 10, 10, 19, "n1")
    assert lint([failed, shown]) == []
    assert lint([replace(failed, f="write"), shown]) != []


# --- what was broken meanwhile ------------------------------------------------------------------

NEMESIS = """\
{:process :nemesis, :type :info, :f :start-partition, :value nil, :time 5}
{:process 0, :type :invoke, :f :write, :value 3, :time 10}
{:process :nemesis, :type :info, :f :start-partition, :value [:isolated {"n1" #{"n2"}}], :time 12}
{:process :nemesis, :type :info, :f :kill, :value ["n1"], :time 15}
{:process 0, :type :ok, :f :write, :value 3, :time 20}
{:process :nemesis, :type :info, :f :kill, :value {"n1" :killed}, :time 25}
{:process :nemesis, :type :info, :f :check-offsets, :time 26}
{:process :nemesis, :type :info, :f :check-offsets, :time 28}
{:process :nemesis, :type :info, :f :stop-partition, :value nil, :time 30}
{:process :nemesis, :type :info, :f :stop-partition, :value :healed, :time 33}
{:process :nemesis, :type :info, :f :start, :value :all, :time 40}
{:process :nemesis, :type :info, :f :start, :value {"n1" :started}, :time 44}
{:process :nemesis, :type :info, :f :stop, :time 45}
{:process :nemesis, :type :info, :f :stop, :value :nothing, :time 46}
{:process :nemesis, :type :info, :f :pause, :value ["n3"], :time 50}
"""


def test_what_a_nemesis_broke_and_when(tmp_path: Path) -> None:
    history = read(put(tmp_path, NEMESIS))
    assert [(f.name, f.start_ns, f.end_ns, f.line) for f in history.faults] == [
        ('partition [:isolated {"n1" #{"n2"}}]', 5, 33, 1),
        ('kill {"n1" :killed}', 15, 44, 4),  # ended by :start
        ("check-offsets", 26, 28, 7),  # no beginning and no end: as long as it took
        ('pause ["n3"]', 50, None, 15),  # the log ends first
    ]
    assert [shown(o) for o in history] == [(0, "write", 3, "ok", None)]


def test_without_times_the_order_of_the_lines_says_when_it_was_broken(tmp_path: Path) -> None:
    lines = [
        "{:process 0, :type :invoke, :f :write, :value 3}",
        "{:process :nemesis, :type :info, :f :start, :value nil}",
        '{:process :nemesis, :type :info, :f :start, :value "Cut off n1"}',
        "{:process 0, :type :ok, :f :write, :value 3}",
        "{:process 0, :type :invoke, :f :write, :value 4}",
        '{:process :nemesis, :type :info, :f :stop, :value "fully connected"}',
        "{:process 0, :type :ok, :f :write, :value 4}",
    ]
    history = read(put(tmp_path, "\n".join(lines)))
    (fault,) = history.faults
    first, second = history
    assert fault.name == "Cut off n1"
    assert first.sent_ns <= fault.start_ns < first.returned_ns
    assert second.sent_ns <= (fault.end_ns or 0) < second.returned_ns


FAULTS = [
    FaultWindow("partition n2", 5, 40, True),
    FaultWindow("kill n1", 10, 30, False),
    FaultWindow("slow n3", 12, 35),
    FaultWindow("pause n1", 50, None),
]


@pytest.mark.parametrize("write", [write_jsonl, write_edn])
def test_faults_are_read_as_they_were_written(
    tmp_path: Path, write: Callable[[Path, History], None]
) -> None:
    history = History([Operation(0, "write", "x", 1, "ok", None, 0, 0, 60, "n1")])
    history.faults += FAULTS
    write(tmp_path / "h", history)
    found = read(tmp_path / "h")
    assert (found.faults, list(found)) == (FAULTS, list(history))


def test_lint_knows_faults(tmp_path: Path) -> None:
    history = History([Operation(0, "write", "x", 1, "ok", None, 0, 0, 60, "n1")])
    history.faults += [FaultWindow("kill n1", 30, 10), FaultWindow("pause n2", -1, 4)]
    write_jsonl(tmp_path / "h", history)
    assert lint(read(tmp_path / "h"), name="h") == [
        "h:3: the fault 'kill n1' ends 20 ns before it begins",
        "h:4: the fault 'pause n2' begins before the clock does",
    ]


HEADER_4 = (
    '{"format":"jepsen_like.history","version":4,"columns":["process","f","key","value","outcome",'
    '"output","scheduled_ns","sent_ns","returned_ns","node","error","version","workload"]}\n'
)
ROW = '[0,"write","x",3,"ok",null,0,0,9,"n1","",null,""]\n'


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{}", "a fault has fault, start_ns, end_ns, verified, not "),
        ('{"fault":"","start_ns":0,"end_ns":1,"verified":null}', "fault is a name, not ''"),
        ('{"fault":"x","start_ns":1.5,"end_ns":1,"verified":null}', "start_ns of a fault cannot"),
        ('{"fault":"x","start_ns":true,"end_ns":1,"verified":null}', "start_ns of a fault cannot"),
        (f'{{"fault":"x","start_ns":0,"end_ns":{2**80},"verified":null}}', "it has 81 bits"),
        ('{"fault":"x","start_ns":0,"end_ns":1,"verified":"yes"}', "verified is true, false or"),
    ],
)
def test_a_fault_that_is_none_is_refused_by_its_line(
    tmp_path: Path, line: str, complaint: str
) -> None:
    with pytest.raises(HistoryError, match=r"h:3: ") as raised:
        read(put(tmp_path, HEADER_4 + ROW + line + "\n"))
    assert complaint in str(raised.value)


def test_a_version_that_has_no_faults_refuses_them(tmp_path: Path) -> None:
    text = HEADER_4.replace('"version":4', '"version":3') + ROW
    assert len(read(put(tmp_path, text))) == 1
    fault = '{"fault":"x","start_ns":0,"end_ns":1,"verified":null}\n'
    with pytest.raises(HistoryError, match="h:3: not a JSON array"):
        read(put(tmp_path, text + fault))


def test_a_file_that_grows_has_faults_among_its_operations() -> None:
    follower = Follower("h")
    fault = '{"fault":"x","start_ns":0,"end_ns":1,"verified":null}\n'
    found = follower.feed(HEADER_4 + fault + ROW + fault + ROW)
    assert [operation.value for operation, _ in found] == [3, 3]
    assert follower.line == 5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HEADER_4 + ROW.replace("3", "9" * 5_000), "a whole number of more than 4300 digits is"),
        (HEADER_4 + ROW.replace("3", "[" * 100_000), "nested too deeply"),
        (HEADER_4 + ROW.replace("3", "NaN"), "NaN is no number there"),
        (HEADER_4 + ROW.replace("3", "-Infinity"), "-Infinity is no number there"),
        ("[\n{:process 0 :type :invoke :f :write :value ##NaN}]", "##NaN equals nothing"),
    ],
    ids=["digits", "deep", "nan", "infinity", "edn nan"],
)
def test_values_that_nothing_can_judge_are_refused_by_their_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(HistoryError, match=r"h:2: ") as raised:
        read(put(tmp_path, text))
    assert complaint in str(raised.value)
    assert len(str(raised.value)) < 300


def test_a_mark_of_the_byte_order_in_front_does_no_harm(tmp_path: Path) -> None:
    assert len(read(put(tmp_path, "\ufeff" + HEADER_4 + ROW))) == 1
    assert len(read(put(tmp_path, "\ufeff" + EDN))) == 5
