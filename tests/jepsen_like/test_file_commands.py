"""`jepsen-like check`, `lint` and `convert`, as they are called from a shell."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.__main__ import main
from jepsen_like.checks.named import Question
from jepsen_like.file_follow import follow
from jepsen_like.file_judge import FileVerdict, Job, judge_files
from jepsen_like.history import FaultWindow, History, Operation, Recorder, read, write_jsonl
from jepsen_like.process_clock import process_start
from tests.jepsen_like.histories import RECORDED as HISTORIES
from tests.jepsen_like.histories import legal_history, op, recorded, write
from tests.jepsen_like.histories import read as a_read

STALE = [write(1, 0, 1), write(2, 2, 3), a_read(1, 4, 5, process=1)]


class Shell:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        assert isinstance(caught.value.code, int)
        done = self._capsys.readouterr()
        return caught.value.code, done.out, done.err

    def json(self, *arguments: object) -> Any:
        return json.loads(self("check", *arguments, "--json")[1])


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def put(path: Path, history: Sequence[Operation]) -> Path:
    write_jsonl(path, history)
    return path


def test_a_stale_read_is_shown_with_its_lines(tmp_path: Path, shell: Shell) -> None:
    code, out, _ = shell("check", put(tmp_path / "h", STALE))
    assert code == 1
    assert out.startswith("invalid: read of x on n1 returned 1 after write 2 of x on n1 had been ")
    assert "  line 4: process 1: read of x -> 1 [4, 5]" in out
    assert "(linearizable, cas-register, jsonl, 3 operations" in out


def test_a_violation_is_told_with_the_faults_at_work_and_the_staleness_of_each_key(
    tmp_path: Path, shell: Shell
) -> None:
    ms = 1_000_000
    history = History()
    for key, sent in (("x", 5 * ms), ("y", 9 * ms)):
        history.append(write(1, 0, ms, key=key))
        history.append(write(2, 2 * ms, 3 * ms, key=key, process=1))
        history.append(a_read(1, sent, sent + ms, key=key, process=2 if key == "x" else 3))
    history.faults += [
        FaultWindow("kill n1", 4 * ms, 6 * ms, verified=False),
        FaultWindow("pause n2", 20 * ms, None),
    ]
    code, out, _ = shell("check", put(tmp_path / "h", history))
    assert code == 1
    assert f"\n  meanwhile: kill n1 (NOT VERIFIED) [{4 * ms}, {6 * ms}]\n" in out
    assert "pause n2" not in out
    assert "\nIt would be legal if reads might be 6 ms stale.\n" in out
    assert "\nKey by key: y 6 ms, x 2 ms.\n" in out
    found = shell.json(tmp_path / "h")
    assert found["faults"][1] == {
        "fault": "pause n2", "start_ns": 20 * ms, "end_ns": None, "verified": None,
    }  # fmt: skip
    assert found["details"]["staleness"]["x"] == {"ns": 2 * ms, "known": True}


def test_a_good_history_is_valid(tmp_path: Path, shell: Shell) -> None:
    code, out, _ = shell("check", put(tmp_path / "h", legal_history(1, count=100, keys=3)))
    assert (code, out.split(":")[0]) == (0, "valid")


def test_several_files_make_a_table_and_the_worst_exit_code(tmp_path: Path, shell: Shell) -> None:
    good = put(tmp_path / "good", STALE[:2])
    bad = put(tmp_path / "bad", STALE)
    broken = tmp_path / "broken"
    broken.write_text(good.read_text()[:-5])
    code, out, _ = shell("check", good, bad, broken)
    assert code == 1
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["good", "valid"],
        ["bad", "invalid"],
        ["broken", "unknown"],
        ["3", "histories:"],
    ]
    assert out.endswith("1 valid, 1 invalid, 1 unknown\n")
    assert shell("check", good, broken)[0] == 2
    found = shell.json(good, bad)
    assert [row["validity"] for row in found] == ["valid", "invalid"]
    assert [o["line"] for o in found[1]["offending"]] == [2, 3, 4]


def test_json_says_how_the_order_goes(tmp_path: Path, shell: Shell) -> None:
    found = shell.json(put(tmp_path / "h", STALE[:2]))
    assert found["details"]["linearization"] == {"x": [0, 1]}
    assert (found["model"], found["check"], found["format"]) == (
        "cas-register",
        "linearizable",
        "jsonl",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "h: the history is empty: there is nothing to judge"),
        ("", "h:1: an empty file is no history"),
        ("a b c\n", "h:1: no history of a known format"),
        ("[{:process 0", "h:1: the file ends inside the { of line 1"),
        ("[{:process 0, :type :ok, :f :read}]", "h:1: process 0 completes read"),
    ],
)
def test_bad_input_is_unknown_in_one_sentence(
    tmp_path: Path, shell: Shell, text: str | None, reason: str
) -> None:
    path = put(tmp_path / "h", [])
    if text is not None:
        path.write_text(text)
    code, out, err = shell("check", path)
    assert code == 2
    assert out.startswith(f"unknown: {tmp_path}/{reason}")
    assert err == ""


def test_values_that_no_model_expects_do_not_crash(tmp_path: Path, shell: Shell) -> None:
    huge = 10**300
    history = [write(huge, 0, 1), a_read(huge, 2, 3)]
    assert shell("check", put(tmp_path / "h", history))[0] == 0
    code, out, _ = shell("check", put(tmp_path / "h", [write({"a": 1}, 0, 1)]))
    assert code == 2
    assert "the checker crashed" in out
    code, out, _ = shell("check", put(tmp_path / "h", [op("frob", 1, at=(0, 1))]))
    assert (code, "no model is known for frob" in out) == (2, True)
    never = [op("write", n, at=(n, n + 1), outcome="info", process=n) for n in range(30)]
    assert shell("check", put(tmp_path / "h", never))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["check", "/nowhere"], "does not exist"),
        (["check"], "Missing argument"),
        (["check", "H", "--model", "heap"], "there is no model heap; there are cas-register"),
        (["check", "H", "--model", "heap.py:Heap"], "there is no Python file heap.py"),
        (["check", "H", "H", "--report", "r.html"], "--report is of one history"),
        (["check", "H", "--report", "/nowhere/r.html"], "--report: there is no directory /nowhere"),
        (["check", "H", "--junit", "/nowhere/r.xml"], "--junit: there is no directory /nowhere"),
        (["check", "H", "--memory", "much"], "'much' is no size like 500MB"),
        (["check", "H", "--format", "csv"], "'csv' is not one of"),
        (["check", "H", "--max-staleness", "1s"], "--max-staleness goes with --consistency stal"),
        (["check", "H", "--max-staleness", "soon"], "'soon' is not a duration"),
    ],
)
def test_wrong_usage_is_64(
    tmp_path: Path, shell: Shell, arguments: list[str], sentence: str
) -> None:
    path = str(put(tmp_path / "h", STALE))
    code, _, err = shell(*[path if word == "H" else word for word in arguments])
    assert code == 64
    assert sentence in " ".join(err.split())


MODEL = """
from jepsen_like.models import ILLEGAL, Model

class MaxRegister(Model):
    def init(self):
        return 0
    def step(self, state, call):
        if call.f == "write":
            return max(state, call.value)
        if call.f == "crash":
            raise RuntimeError("no such thing")
        return state if not call.returned or call.output == state else ILLEGAL
    def is_pure(self, call):
        return call.f == "read"
    def describe(self, call):
        return f"{call.f} {call.value or call.output}"

class NoModel:
    pass
"""


def test_a_model_of_ones_own(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "mine.py").write_text(MODEL)
    model = f"{tmp_path}/mine.py:MaxRegister"
    history = [write(5, 0, 1), write(3, 2, 3), a_read(5, 4, 5)]
    path = put(tmp_path / "h", history)
    assert shell("check", path)[0] == 1
    code, out, _ = shell("check", path, "--model", model)
    assert (code, "MaxRegister" in out) == (0, True)
    path = put(tmp_path / "h", [*history, op("crash", at=(6, 7))])
    code, out, _ = shell("check", path, "--model", model)
    assert code == 2
    assert out.startswith("unknown: the checker crashed")
    assert "no such thing" in out
    code, _, err = shell("check", path, "--model", model.replace("MaxRegister", "NoModel"))
    assert code == 64
    assert "is no model: it has no init" in " ".join(err.split())


def test_what_a_failed_cas_means_can_be_said(tmp_path: Path, shell: Shell) -> None:
    failed = op("cas", (1, 2), False, at=(2, 3))
    path = put(tmp_path / "h", [write(1, 0, 1), failed])
    assert shell("check", path)[0] == 1
    assert shell("check", path, "--failed-cas", "constrains")[0] == 1
    assert shell("check", path, "--failed-cas", "dropped")[0] == 0
    path = put(tmp_path / "h", [write(1, 0, 1), replace(failed, outcome="fail", error="no")])
    assert shell("check", path)[0] == 0
    assert shell("check", path, "--failed-cas", "constrains")[0] == 1


def test_what_a_key_holds_at_first_can_be_said(tmp_path: Path, shell: Shell) -> None:
    path = put(tmp_path / "h", [a_read(0, 0, 1)])
    assert shell("check", path)[0] == 1
    assert shell("check", path, "--initial", "0")[0] == 0
    path = put(tmp_path / "h", [a_read("red", 0, 1)])
    assert shell("check", path, "--initial", "red")[0] == 0


HARD = """
import time
from jepsen_like.models import CasRegister

class Slow(CasRegister):
    def step(self, state, call):
        while True:
            time.sleep(1)

class Greedy(CasRegister):
    def step(self, state, call):
        return bytes(1 << 34)

class Dies(CasRegister):
    def step(self, state, call):
        import os
        os._exit(9)
"""


@pytest.mark.slow
def test_limits_hold_whatever_a_model_does(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "hard.py").write_text(HARD)
    path = put(tmp_path / "h", STALE)
    found = shell.json(path, "--model", f"{tmp_path}/hard.py:Slow", "--timeout", "0.2")
    assert found["validity"] == "unknown"
    assert "the time limit is 0.2 s" in found["reason"]
    found = shell.json(path, "--model", f"{tmp_path}/hard.py:Greedy", "--memory", "2GB")
    assert found["validity"] == "unknown"
    assert "Memory" in found["reason"] or "memory" in found["reason"]
    found = shell.json(path, "--model", f"{tmp_path}/hard.py:Dies")
    assert found["validity"] == "unknown"
    assert "the checker died (exit code 9)" in found["reason"]


def test_what_cannot_be_written_is_said_in_a_sentence(tmp_path: Path, shell: Shell) -> None:
    path = put(tmp_path / "h", STALE)
    code, _, err = shell("convert", path, "/nowhere/h.edn")
    assert (code, err) == (3, "Error: /nowhere/h.edn: No such file or directory\n")
    # The verdict is told, whatever becomes of the file that was asked for
    code, out, err = shell("check", path, "--junit", tmp_path / ("x" * 300))
    assert code == 3
    assert out.startswith("invalid: read of x")
    assert "File name too long" in err


def test_a_file_is_followed_for_any_promise(tmp_path: Path, shell: Shell) -> None:
    clock = iter(range(1, 1000))
    steps = [("add", 1, None), ("read", None, 1), ("add", 1, None), ("read", None, 3)]
    with Recorder(tmp_path / "sum", clock=lambda: next(clock), start_ns=0) as recorder:
        for f, value, output in [*steps, steps[-1]]:
            with recorder.op(f, key="x", value=value) as operation:
                operation.output = output
    model = ("--model", "counter", "--consistency", "within-bounds")
    follow_it = ("check", "--follow", tmp_path / "sum", "--timeout", "0.01")
    code, out, _ = shell(*follow_it, *model)
    told = "invalid: stopped at operation 4: a read returned 3, where 2 to 2 were possible\n"
    assert (code, out.startswith(told)) == (1, True), out
    # Without a line for the sending, a read may be of what a later line is yet to tell
    ended = put(tmp_path / "ended", [a_read(1, 2, 3), write(1, 0, 9, process=1)])
    code, out, _ = shell(
        "check", "--follow", ended, "--timeout", "0.01", "--consistency", "sessions"
    )
    assert (code, out.startswith("valid")) == (0, True), out
    code, out, _ = shell(*follow_it, "--model", "bank")
    assert (code, "shows no balances" in out) == (1, True), out


def test_a_file_is_followed_while_it_is_written(tmp_path: Path, shell: Shell) -> None:
    path = tmp_path / "growing.jsonl"
    clock = iter(range(1, 1000))
    recorder = Recorder(path, clock=lambda: next(clock), start_ns=0)
    steps = [("write", 1, None), ("write", 2, None), ("read", None, 1), ("read", None, 2)]
    found: list[FileVerdict] = []

    def write_on(_seconds: float) -> None:  # instead of waiting for it
        if steps:
            f, value, output = steps.pop(0)
            with recorder.op(f, key="x", value=value) as operation:
                operation.output = output

    found.append(follow(path, Question(seconds=5.0), sleep=write_on))
    recorder.close()
    assert found[0].validity == "invalid"
    assert found[0].reason.startswith("stopped at operation 3: no order explains read -> 1 of x")
    assert steps == []  # the next operation told that the instant of the answer was over
    code, out, _ = shell("check", "--follow", path, "--timeout", "0.01")
    assert (code, out.splitlines()[0]) == (1, f"invalid: {found[0].reason}")
    with path.open("a") as file:
        file.write('[1,"read"')  # a line that is not whole yet
    assert shell("check", "--follow", path, "--timeout", "0.01")[0] == 1
    good = tmp_path / "good.jsonl"
    with Recorder(good) as recorder, recorder.op("write", key="x", value=1):
        pass
    code, out, _ = shell("check", "--follow", good, "--timeout", "0.01")
    assert (code, "1 operations were explained as they came" in out) == (0, True)
    (tmp_path / "bad").write_text("nothing\n")
    code, out, _ = shell("check", "--follow", tmp_path / "bad", "--timeout", "0.01")
    assert (code, "only JSON lines can be followed" in out) == (2, True), out
    for wrong in (["--model", "bank", "--consistency", "causal"], [str(good)]):
        code, _, err = shell("check", "--follow", good, "--timeout", "0.01", *wrong)
        assert code == 64, err


def test_time_is_counted_from_the_start_of_the_program(tmp_path: Path) -> None:
    path = put(tmp_path / "h", legal_history(1, count=10))
    jobs = [Job(path, Question(seconds=60.0)), Job(path, Question(seconds=60.0))]
    began = time.monotonic() - 100.0
    first, second = judge_files(jobs, side_by_side=1, since=began)
    assert first.validity == "unknown"
    assert "time limit" in first.reason  # whoever sees it first, the judge or who waits for it
    assert second.validity == "valid"  # its time began when its turn came


def test_a_process_knows_when_it_began() -> None:
    before = time.monotonic()
    code = "from jepsen_like.process_clock import process_start; print(process_start())"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    tick = 0.02
    assert before - tick <= float(done.stdout) <= time.monotonic()
    # Before the interpreter was up: what comes first is what takes the time
    assert process_start() <= time.monotonic()


def test_limits_that_are_wide_enough_change_nothing(tmp_path: Path, shell: Shell) -> None:
    path = put(tmp_path / "h", legal_history(1, count=100, keys=3))
    assert shell("check", path, "--memory", "4GB", "--timeout", "50")[0] == 0


def test_a_report_is_one_file(tmp_path: Path, shell: Shell) -> None:
    report = tmp_path / "out.html"
    code, out, _ = shell("check", put(tmp_path / "h", STALE), "--report", report)
    assert code == 1
    assert f"report: {report}" in out
    text = report.read_text()
    assert "</html>" in text
    assert "returned 1" in text


def test_lint_names_lines_and_ends_with_1(tmp_path: Path, shell: Shell) -> None:
    path = put(tmp_path / "h", [*STALE, write(1, 6, 7)])
    code, out, _ = shell("lint", path)
    assert (code, "nothing to complain about in 4 operations" in out) == (0, True)
    code, out, _ = shell("lint", path, "--distinct")
    assert code == 1
    assert out.startswith(f"{path}:5: ")
    path.write_text("nothing known")
    assert shell("lint", path)[0] == 1


def test_convert_there_and_back(tmp_path: Path, shell: Shell) -> None:
    history = sorted(legal_history(4, count=40, keys=2, info=0.1), key=lambda o: o.sent_ns)
    source = put(tmp_path / "a.jsonl", history)
    edn, back = tmp_path / "b.edn", tmp_path / "c.jsonl"
    assert shell("convert", source, edn)[0] == 0
    assert edn.read_text().startswith("{:process ")
    assert shell("convert", edn, back)[0] == 0
    assert [(o.f, o.key, o.value, o.output, o.outcome) for o in read(back)] == [
        (o.f, o.key, o.value, o.output, o.outcome) for o in history
    ]
    assert shell("convert", back, tmp_path / "x", "--to", "edn")[0] == 0
    assert (tmp_path / "x").read_text().startswith("{:process ")
    edn.write_text("[{:process")
    code, _, err = shell("convert", edn, back)
    assert (code, "b.edn:1: " in err) == (2, True)


def wanted_etcd() -> dict[str, bool]:
    path = HISTORIES / "etcd" / "verdicts.json"
    found: dict[str, bool] = json.loads(path.read_text()) if path.exists() else {}
    return found


@recorded
@pytest.mark.parametrize("alone", [False, True], ids=["in place", "renamed, alone"])
def test_recorded_etcd_logs(tmp_path: Path, shell: Shell, alone: bool) -> None:
    known = wanted_etcd()
    files = [HISTORIES / "etcd" / name for name in known]
    if alone:
        files = [
            Path(shutil.copy(path, tmp_path / f"copy-{i}.dat")) for i, path in enumerate(files)
        ]
    found = shell.json(*files, "--model", "cas-register")
    assert [row["validity"] == "valid" for row in found] == list(known.values())
    assert "unknown" not in {row["validity"] for row in found}


@recorded
@pytest.mark.parametrize("kind", ["good", "bad"])
def test_recorded_knossos_histories(tmp_path: Path, shell: Shell, kind: str) -> None:
    files = [
        Path(shutil.copy(path, tmp_path / f"{i}"))
        for i, path in enumerate(sorted((HISTORIES / "knossos" / kind).glob("*.edn")))
    ]
    options = ("--model", "cas-register", "--initial", "0", "--failed-cas", "dropped")
    found = shell.json(*files, *options)
    assert {row["validity"] for row in found} == {"valid" if kind == "good" else "invalid"}


@recorded
@pytest.mark.slow
def test_recorded_key_value_logs(tmp_path: Path, shell: Shell) -> None:
    files = sorted((HISTORIES / "kv").glob("*.txt"))
    copies = [Path(shutil.copy(path, tmp_path / f"{i}")) for i, path in enumerate(files)]
    found = shell.json(*copies, "--model", "kv")
    assert [row["validity"] for row in found] == [
        "valid" if path.stem.endswith("ok") else "invalid" for path in files
    ]


def txn(process: int, *steps: tuple[Any, ...]) -> Operation:
    asked = tuple((what, key, None if what == "r" else value) for what, key, value in steps)
    return op("txn", asked, tuple(steps), at=(process, process + 9), key="", process=process)


SKEW = [
    txn(0, ("r", "x", ()), ("append", "y", 1)),
    txn(1, ("r", "y", ()), ("append", "x", 1)),
    txn(2, ("r", "x", (1,)), ("r", "y", (1,))),
]
LOST = [op("add", 1, at=(0, 1)), op("read", None, (), at=(2, 3))]


@pytest.mark.parametrize(
    ("history", "options", "code", "words"),
    [
        (SKEW, [], 1, "G2: T1 read x as [], without 1, which T2 appended"),
        (SKEW, ["--consistency", "snapshot-isolation"], 0, "nothing that 3 transactions saw"),
        (STALE, ["--consistency", "sequential"], 0, "fit one order of versions"),
        (STALE, ["--consistency", "staleness"], 0, "1 of 1 reads were stale"),
        (STALE, ["--consistency", "staleness", "--max-staleness", "0ms"], 1, "than the 0 ms"),
        (STALE, ["--consistency", "causal"], 1, "although it had seen the effects"),
        ([write(1, 0, 1), a_read(None, 2, 3)], ["--consistency", "sessions"], 1, "read-your-write"),
        (LOST, ["--consistency", "nothing-lost"], 1, "was known to be in the set"),
        (LOST, [], 1, "(linearizable, set"),
        ([op("enqueue", 1, at=(0, 1)), op("dequeue", None, 1, at=(2, 3))], [], 0, "queue"),
        ([op("read", None, (("a", 5), ("b", 6)), at=(0, 1))], ["--model", "bank"], 0, "up to 11"),
        ([op("read", None, (("a", 5),), at=(0, 1))], ["--model", "bank", "--initial", "6"], 1, "5"),
        ([op("generate", None, 1, at=(0, 1))], [], 0, "all 1 ids differ"),
        ([op("add", 2, at=(0, 1)), op("read", None, 3, at=(2, 3))], [], 1, "counter"),
        ([op("acquire", None, True, at=(0, 1)), op("acquire", None, True, at=(2, 3), process=1)],
         [], 1, "mutex"),
    ],
)  # fmt: skip
def test_every_model_by_its_operations(
    tmp_path: Path,
    shell: Shell,
    history: list[Operation],
    options: list[str],
    code: int,
    words: str,
) -> None:
    if options == ["--consistency", "causal"]:
        history = [replace(o, process=n) for n, o in enumerate(STALE)]
        history = [replace(history[0], process=0), replace(history[1], process=0), history[2]]
        more = replace(history[2], output=2, sent_ns=3, scheduled_ns=3, returned_ns=3)
        history = [*history[:2], more, history[2]]
    found, out, err = shell("check", put(tmp_path / "h", history), *options)
    assert (found, err) == (code, ""), out
    assert words in out


def test_a_cycle_is_drawn_in_the_terminal(tmp_path: Path, shell: Shell) -> None:
    out = shell("check", put(tmp_path / "h", SKEW))[1]
    assert "G2: T1 -(rw x)-> T2 -(rw y)-> T1\n  T1 is process 0: read x -> [], append y 1" in out


def test_the_models_are_listed(shell: Shell, tmp_path: Path) -> None:
    code, out, _ = shell("check", "--models")
    assert code == 0
    assert "list-append     txn [[r, k, nil], [append, k, v]]\n" in out
    path = put(tmp_path / "h", STALE)
    code, _, err = shell("check", path, "--model", "kv", "--consistency", "causal")
    assert code == 64
    assert "kv can be judged as linearizable, not as causal" in " ".join(err.split())
