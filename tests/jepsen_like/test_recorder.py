"""Recording in somebody's own test suite, and reading while it is written."""

from __future__ import annotations

import asyncio
import json
import threading
import tracemalloc
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jepsen_like.checks.linearizable import check
from jepsen_like.history import (
    History,
    HistoryError,
    Operation,
    Recorder,
    lint,
    read,
    read_jsonl,
    write_jsonl,
)
from jepsen_like.models import CasRegister
from tests.jepsen_like.histories import legal_history, write
from tests.jepsen_like.histories import read as a_read


def test_ten_lines_record_a_history_that_can_be_judged(tmp_path: Path) -> None:
    store: dict[str, int] = {}
    with Recorder(tmp_path / "h.jsonl") as recorder:
        with recorder.op("write", key="x", value=3):
            store["x"] = 3
        with recorder.op("read", key="x") as op:
            op.output = store["x"]
    assert check(recorder.history, CasRegister()).validity == "valid"
    assert read(tmp_path / "h.jsonl") == recorder.history
    assert lint(recorder.history) == []


def test_an_operation_that_raises_may_have_happened(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "h.jsonl", clock=count().__next__)
    with pytest.raises(TimeoutError), recorder.op("write", key="x", value=1):
        raise TimeoutError("no answer")
    with recorder.op("write", key="x", value=2) as op:
        op.fail("refused: read only")
    recorder.close()
    first, second = recorder.history
    assert (first.outcome, first.error) == ("info", "TimeoutError: no answer")
    assert (second.outcome, second.error) == ("fail", "refused: read only")
    assert first.process != second.process, "a process id is not used again after info"
    assert read_jsonl(tmp_path / "h.jsonl") == recorder.history


def test_processes_are_numbered_by_who_is_in_flight() -> None:
    recorder = Recorder(clock=count().__next__)
    with recorder.op("a") as outer, recorder.op("b") as inner:
        assert outer.process != inner.process
    with recorder.op("c") as later:
        assert later.process == 0
    with recorder.op("d", client="ada") as ada:
        first = ada.process
    with recorder.op("e", client="ada") as ada:
        assert ada.process == first
        ada.info("lost")
    with recorder.op("f", client="ada") as ada:
        assert ada.process != first
        with pytest.raises(HistoryError, match="ada began"), recorder.op("g", client="ada"):
            pass
    assert lint(recorder.history) == []


def test_what_is_in_flight_is_seen_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    recorder = Recorder(path, clock=count().__next__)
    with recorder.op("write", key="x", value=1):
        for history in (recorder.snapshot(), read_jsonl(path, growing=True)):
            (operation,) = history
            assert (operation.value, operation.outcome) == (1, "info")
    assert [o.outcome for o in read_jsonl(path, growing=True)] == ["ok"]
    text = path.read_text()
    path.write_text(text + '[7,"wri')
    assert [o.outcome for o in read_jsonl(path, growing=True)] == ["ok"]
    with pytest.raises(HistoryError, match=r"h\.jsonl:4: not JSON.*ends in the middle"):
        read(path)
    recorder.close()


def test_a_recorder_closed_too_early_leaves_the_operation_unknown(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "h.jsonl")
    with recorder.op("write", key="x", value=1):
        recorder.close()
    recorder.close()
    assert [o.outcome for o in recorder.history] == ["info"]
    assert read(tmp_path / "h.jsonl") == recorder.history


def test_threads_share_a_recorder() -> None:
    recorder = Recorder()

    def work() -> None:
        for n in range(200):
            with recorder.op("write", key="x", value=n):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen = [len(list(recorder.history)) for _ in range(20)]  # a reader that takes no lock
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    assert len(recorder.history) == 800
    assert lint(recorder.history) == []


async def test_tasks_share_a_recorder() -> None:
    recorder = Recorder()

    async def work() -> None:
        for _ in range(10):
            with recorder.op("read", key="x"):
                await asyncio.sleep(0)

    await asyncio.gather(*(work() for _ in range(5)))
    assert len({o.process for o in recorder.history}) == 5
    assert lint(recorder.history) == []


def test_an_operation_costs_bounded_memory() -> None:
    recorder = Recorder()
    operations = 5_000
    tracemalloc.start()
    for n in range(operations):
        with recorder.op("write", key="x", value=n + 1_000_000) as op:
            op.fail("a long story of its own: " + str(n) * 1_000)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / operations < 600  # of which the error is 200 characters
    recorder = Recorder()
    tracemalloc.start()
    for n in range(operations):
        with recorder.op("write", key="x", value=n + 1_000_000):
            pass
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / operations < 200


def test_a_history_is_a_sequence_of_operations() -> None:
    operations = [*legal_history(3, count=20, keys=2, info=0.2), replace(write(1, 0, 1), version=7)]
    history = History(operations)
    assert list(history) == operations
    assert history == operations
    assert (history[0], history[-1], history[1:3]) == (
        operations[0],
        operations[-1],
        operations[1:3],
    )
    assert history != [*operations[:-1], a_read(1, 0, 1)]
    with pytest.raises(IndexError):
        history[len(operations)]
    with pytest.raises(HistoryError, match="too large"):
        history.append(write(1, 0, 1 << 63))


def test_a_file_that_is_late_holds_all_up_to_some_moment(tmp_path: Path) -> None:
    """Several lines at once: never a later one without those before it."""
    now_ns = iter(range(0, 1000, 10)).__next__
    path = tmp_path / "h.jsonl"
    recorder = Recorder(path, clock=now_ns, start_ns=0, late_ns=35)
    seen = []
    for value in range(8):
        with recorder.op("write", key="x", value=value):
            lines = path.read_text().splitlines()[1:]
        seen.append(len(lines))
    assert seen == sorted(seen)
    assert 0 < max(seen) < 15, "less than what has happened by then"
    assert len(set(seen)) > 2
    recorder.flush()
    assert len(path.read_text().splitlines()) == 1 + 2 * 8
    assert read_jsonl(path) == recorder.history
    recorder.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines") / "h.jsonl"


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner),
        max_leaves=6,
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
)
def test_a_line_is_what_the_encoder_of_json_says(file: Path, value: Any, error: str) -> None:
    operation = Operation(
        *(7, "write", error, value, "ok", value, 1, 2, 3, "n1", error, None, "register")
    )
    write_jsonl(file, [operation])
    row = [getattr(operation, field.name) for field in fields(operation)]
    expected = json.dumps(row, separators=(",", ":"), ensure_ascii=False)
    assert file.read_text(encoding="utf-8").split("\n")[1:] == [expected, ""]
