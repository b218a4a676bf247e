"""The label's rule, on simulated stores of every corner and on what no database can be."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.__main__ import main
from jepsen_like.checks.corners import ExperimentRun, OperationClass, control_of
from jepsen_like.checks.experiment import pacelc
from jepsen_like.checks.pacelc import READS_MIN, ClassFigures, Control, judge, label
from jepsen_like.checks.values import Evidence
from jepsen_like.corner_stores import CORNERS, LOCAL, Store, faults
from jepsen_like.history import Operation, write_jsonl
from jepsen_like.result import ClassLabel, FaultRecord
from tests.jepsen_like.histories import op, write

SCRIPT = Path(__file__).parent.parent.parent / "examples" / "pacelc_labels.py"

CLASSES = (
    OperationClass("read", "strong", ""),
    OperationClass(LOCAL, "any", ""),
    OperationClass("write", "strong", "", witness="read"),
)


def held_by(_operation: Operation) -> str:
    return "registers"


@cache
def figures(corner: str, *, is_cut_real: bool = True) -> tuple[ClassFigures, ...]:
    history = Store(corner, is_cut_real=is_cut_real).run()
    run, rng = ExperimentRun(history, (), faults(), 0), random.Random(1)
    return tuple(run.figures(one, held_by, rng) for one in CLASSES)


def labels(found: tuple[ClassFigures, ...]) -> dict[str, ClassLabel]:
    control = control_of(found, LOCAL)
    return {one.f: label(one, control) for one in found}


@pytest.mark.parametrize(
    ("corner", "reads", "writes"),
    [
        ("PC/EC", "PC/EC", "PC/EC"),
        ("PC/EL", "PA/EL", "?/?"),  # reads that may be stale are no witness for writes
        ("PA/EL", "PA/EL", "PA/EL"),
        ("PA/EC", "PA/EC", "PA/EC"),
    ],
)
def test_each_corner_is_found(corner: str, reads: str, writes: str) -> None:
    found = labels(figures(corner))
    assert found["read"].measured == reads, found["read"]
    assert found["write"].measured == writes, found["write"]
    for one in found.values():
        assert bool(one.missing) == ("?" in one.measured)


@pytest.mark.long
def test_the_table_of_the_corners_is_the_same_in_every_process() -> None:
    """What `jepsen-like pacelc --db corners` prints, whatever order hashes come in."""
    shown = [
        subprocess.run(
            [sys.executable, "-m", "jepsen_like", "pacelc", "--db", "corners", "--seed", "7"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for seed in ("1", "2")
    ]
    assert [done.returncode for done in shown] == [0, 0], shown[0].stderr
    assert shown[0].stdout == shown[1].stdout
    lines = [line.split() for line in shown[0].stdout.splitlines()]
    for corner, (reads, writes) in CORNERS.items():
        assert ["store", corner, "read", reads, reads] in lines
        assert ["store", corner, "write", *([writes, writes] if writes else ["?/?", "?"])] in lines


@pytest.mark.parametrize("option", [["--backend", "sim"], ["--quick"], ["--keep"]])
def test_the_corners_have_no_backend_and_no_files(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["pacelc", "--db", "corners", *option])
    assert caught.value.code == 64
    assert "--db corners goes with --seed and --json alone." in capsys.readouterr().err


@pytest.mark.parametrize("corner", ["PC/EC", "PC/EL"])
def test_local_reads_of_a_store_with_a_leader_are_pa_el(corner: str) -> None:
    assert labels(figures(corner))[LOCAL].measured == "PA/EL"


@pytest.mark.parametrize(
    ("corner", "f", "round_trips"),
    [
        ("PC/EC", "read", 5 / 3),  # two of three clients first go to the leader
        ("PC/EC", "write", 5 / 3),
        ("PC/EL", "read", 0),
        ("PA/EL", "write", 0),
        ("PA/EC", "write", 1),
        ("PA/EC", "read", 2),
    ],
)
def test_the_slope_is_the_number_of_round_trips(corner: str, f: str, round_trips: float) -> None:
    found = next(one for one in figures(corner) if one.f == f)
    assert found.slope is not None
    # The median of {1, 2, 2} round trips is 2
    wanted = 2 if round_trips == 5 / 3 else round_trips
    assert found.slope.value == pytest.approx(wanted, abs=0.01)
    assert found.slope.low <= wanted + 0.01
    assert found.slope.high >= wanted - 0.01


def test_yields_are_those_of_the_sides() -> None:
    read, _, write = figures("PC/EC")
    for one in (read, write):
        assert one.yields["minority"].value < 0.01
        assert 0.9 < one.yields["majority"].value < 0.99
        assert one.after_failover is not None
        assert one.after_failover.value == 1
    for one in figures("PA/EL"):
        assert {figure.value for figure in one.yields.values()} == {1.0}


def test_a_cut_that_was_none_makes_the_run_unknown() -> None:
    found = labels(figures("PC/EC", is_cut_real=False))
    verdict = judge(list(found.values()))
    assert verdict.validity == "unknown"
    assert "impossible" in verdict.reason


def strong(corner: str = "PC/EC") -> ClassFigures:
    return figures(corner)[0]


CONVICTED = Control(LOCAL, 10, 10)


def test_without_a_convicted_control_nothing_is_consistent() -> None:
    for control in (None, Control(LOCAL, 0, 0)):
        found = label(strong(), control)
        assert found.measured == "?/?"
        assert sum("positive control" in why for why in found.missing) == 2


def test_too_few_reads_are_no_evidence() -> None:
    of = strong()
    assert of.within_rtt is not None
    few = replace(of.within_rtt, reads=READS_MIN - 1)
    found = label(replace(of, within_rtt=few), CONVICTED)
    assert (found.measured, len(found.missing)) == ("PC/?", 1)
    assert f"{READS_MIN - 1} reads within 40 ms" in found.missing[0]
    majority = replace(of.in_cuts["majority"], reads=READS_MIN - 1)
    found = label(replace(of, in_cuts={**of.in_cuts, "majority": majority}), CONVICTED)
    assert found.measured == "?/EC"


def test_one_stale_read_in_a_cut_takes_pc_and_nothing_else() -> None:
    of = strong()
    minority = replace(of.in_cuts["minority"], reads=5, stale=1)
    found = label(replace(of, in_cuts={**of.in_cuts, "minority": minority}), CONVICTED)
    assert found.measured == "?/EC"
    assert any("1 of 5 reads on the minority were stale" in why for why in found.missing)


def test_one_stale_read_close_behind_a_write_takes_ec() -> None:
    of = strong()
    assert of.within_rtt is not None
    stale = replace(of.within_rtt, stale=1)
    found = label(replace(of, within_rtt=stale), CONVICTED)
    assert found.measured == "PC/?"  # and it is too slow for EL
    assert "latency slope" in found.missing[0]


def test_a_slow_class_with_stale_reads_is_in_no_corner() -> None:
    of = strong("PA/EL")
    assert of.slope is not None
    found = label(replace(of, slope=replace(of.slope, high=0.21)), CONVICTED)
    assert found.measured == "PA/?"


def test_without_a_verified_cut_or_a_sweep_nothing_is_known() -> None:
    history = Store("PC/EC", rate=60).run()
    unverified: list[FaultRecord] = [replace(f, verified_end=False) for f in faults()]
    found = ExperimentRun(history, (), unverified, 0).figures(CLASSES[0], held_by, random.Random(1))
    one = label(found, CONVICTED)
    assert one.measured == "?/?"
    assert one.missing == (
        "P: there was no verified cut",
        "E: there was no sweep of round-trip times",
    )


def test_the_verdict_compares_with_what_was_predicted() -> None:
    found = labels(figures("PC/EC"))["read"]
    assert judge([replace(found, predicted="PC/EC")]).validity == "valid"
    wrong = judge([replace(found, predicted="PA/EL")])
    assert (wrong.validity, wrong.reason) == (
        "invalid",
        "read is PC/EC, and was predicted to be PA/EL",
    )
    open_one = replace(found, partition="undetermined", missing=("P: x",))
    assert judge([open_one]).validity == "unknown"
    assert judge([open_one], in_short=True).validity == "valid"
    wrong_one = replace(found, predicted="PA/EL")
    assert judge([wrong_one, open_one], in_short=True).validity == "invalid"


@pytest.mark.long
@pytest.mark.parametrize("corner", ["PC/EC", "PA/EL", "PA/EC"])
def test_another_program_computes_the_same_labels(corner: str, tmp_path: Path) -> None:
    history = [replace(o, workload="w") for o in Store(corner).run()]
    write_jsonl(tmp_path / "history.jsonl", history)
    results = {
        "faults": [asdict(fault) for fault in faults()],
        "unserved": [],
        "topology": {"groups_of_keys": {f"w/{key}": "registers" for key in range(4)}},
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    said = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=True
    )
    expected = {one.f: one.measured for one in labels(figures(corner)).values()}
    assert said.stdout.split("\n")[:-1] == [f"{f} {expected[f]}" for f in sorted(expected)]


def test_the_other_program_is_short_and_stands_alone() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) <= 64
    assert "jepsen_like" not in text


def promised(history: Sequence[Operation], **promise: Any) -> dict[str, str]:
    """What is said of the local reads of a history that promise so much."""
    classes = (CLASSES[0], OperationClass(LOCAL, "weak", "", **promise), CLASSES[2])
    check = pacelc(classes, control=LOCAL)
    evidence = Evidence(tuple(history), (), tuple(faults()), {}, initial=0)
    return {v.check: v.validity for v in check.judge(evidence).verdicts if LOCAL in v.check}


@pytest.mark.parametrize(("bound_ns", "validity"), [(10**6, "invalid"), (10**11, "valid")])
def test_what_a_bound_promises_is_asked_of_the_whole_run(bound_ns: int, validity: str) -> None:
    """Local reads of the side that is cut off are as old as the cut."""
    history = Store("PC/EC").run()
    assert promised(history, max_staleness_ns=bound_ns) == {f"staleness of {LOCAL}": validity}


@pytest.mark.parametrize(
    ("outputs", "own", "again"),
    [((2, 2), "valid", "valid"), ((1, 2), "invalid", "valid"), ((3, 2), "valid", "invalid")],
    ids=["kept", "own-write-missing", "back-again"],
)
def test_reads_that_forget_what_their_session_saw_are_found(
    outputs: tuple[int, int], own: str, again: str
) -> None:
    """The client has written 2; 3 was written by another one, after that."""
    history = [write(1, 0, 1, process=1), write(2, 2, 3), write(3, 4, 5, process=1)]
    history += [op(LOCAL, None, o, at=(6 + 2 * i, 7 + 2 * i)) for i, o in enumerate(outputs)]
    assert promised(history, keeps_sessions=True) == {
        f"read-your-writes of {LOCAL}": own,
        f"monotonic-reads of {LOCAL}": again,
    }


def test_in_a_cut_a_class_is_held_to_its_bound_and_else_to_none() -> None:
    """With a bound of more than the cut nothing in it is too old, and there is no side that was
    asked for longer."""
    run = ExperimentRun(Store("PC/EC").run(), (), faults(), 0)
    bounded = OperationClass(LOCAL, "bounded", "", max_staleness_ns=2 * 10**9)
    within, without = (run.figures(one, held_by, random.Random(1)) for one in (bounded, CLASSES[1]))
    assert within.in_cuts["minority"].reads < without.in_cuts["minority"].reads
    assert within.in_cuts["majority"].stale == 0 < without.in_cuts["majority"].stale
    assert within.within_rtt == without.within_rtt
