"""Values that repeat, told apart by versions: as if they were distinct, or not at all."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from jepsen_like.checks.by_version import At, by_version
from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.checks.staleness import staleness
from jepsen_like.history import History, Operation
from jepsen_like.models import CasRegister
from jepsen_like.models import Counter as CounterModel
from tests.jepsen_like.histories import cas, explainable, legal_history, read, write
from tests.jepsen_like.oracle import compared
from tests.jepsen_like.test_algorithms import HISTORIES, MODEL, random_history

VALUES = 3


def at(operation: Operation, version: int | None) -> Operation:
    return replace(operation, version=version)


def told_apart(history: list[Operation]) -> list[Operation]:
    """Distinct values become versions, and the values repeat."""

    def small(value: Any) -> Any:
        return None if value is None else value % VALUES

    found = []
    for o in history:
        if o.f == "read":
            done, version = replace(o, output=small(o.output)), o.output
        elif o.f == "write":
            done, version = replace(o, value=small(o.value)), o.value
        else:
            done = replace(o, value=(small(o.value[0]), small(o.value[1])))
            version = o.value[1] if o.output is True else None
        found.append(replace(done, version=version if o.outcome == "ok" else None))
    return found


def test_is_judged_as_if_values_were_distinct_where_versions_tell() -> None:
    kinds: Counter[tuple[str, str]] = Counter()
    for seed in range(4 * HISTORIES):
        rng = random.Random(seed)
        distinct = random_history(rng, distinct=True, model=MODEL)
        history = told_apart(distinct)
        verdict = check(history, MODEL)
        by_values = explainable(history, MODEL)
        lost = [o for o in distinct if o.f != "read" and o.outcome == "info"]
        made_up = (
            {o.output for o in distinct if o.f == "read"}
            - {None}
            - {o.value[1] if o.f == "cas" else o.value for o in distinct if o.f != "read"}
        )
        if made_up and lost:
            continue  # a version that nobody got may look as if a lost write had got it
        if verdict.details.get("by_version"):
            labelled = by_version(history, MODEL)
            assert labelled is not None
            # A wrong compare-and-set may expect a value that looks like the right one
            true = labelled.history if any(o.f == "cas" for o in distinct) else distinct
            wanted = "valid" if explainable(true, MODEL) else "invalid"
            kinds["versions", wanted] += 1
        elif verdict.details.get("versions_disagree"):
            wanted = "unknown" if by_values else "invalid"
            has_cas = any(o.f == "cas" for o in distinct)  # changed ones break the log's order
            assert has_cas or not explainable(distinct, MODEL), history
            kinds["disagree", wanted] += 1
        else:
            wanted = "valid" if by_values else "invalid"
            kinds["values", wanted] += 1
        assert verdict.validity == wanted, (seed, history, verdict)
        compared(history, "by version")
    assert min(kinds[kind, v] for kind in ("versions", "values") for v in ("valid", "invalid")) > 9
    assert kinds["disagree", "unknown"] > 4


TWICE = [at(write(1, 0, 10), 3), at(write(2, 20, 30), 5), at(write(1, 40, 50), 7)]


def test_a_stale_read_of_a_value_that_was_written_again_is_found() -> None:
    fresh, stale = at(read(1, 60, 70), 7), at(read(1, 60, 70), 3)
    assert check([*TWICE, fresh], MODEL).validity == "valid"
    verdict = check([*TWICE, stale], MODEL)
    assert verdict.validity == "invalid"
    assert verdict.details["by_version"] == 1
    assert verdict.details["algorithms"] == ["blocks"]
    assert "returned 1 (version 3) after write 2 (version 5)" in verdict.reason
    assert verdict.offending == (TWICE[0], TWICE[1], stale)  # as they were recorded
    assert check([replace(o, version=None) for o in (*TWICE, stale)], MODEL).validity == "valid"
    assert staleness([*TWICE, stale]).details["versions_max"] == 2
    assert staleness([*TWICE, fresh]).details["versions_max"] == 0


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ([at(read(2, 60, 70), 7)], "version 7 of x was read as 2, and 1 was written as this"),
        ([at(write(9, 60, 70), 7)], "version 7 of x was given to two writes"),
        ([at(read(1, 60, 70), 8)], "1 of x was read with version 8, which no write got"),
        ([at(cas(2, 4, True, 60, 70), 8)], "of version 8 of x found 2, and 1 was there"),
        ([at(cas(1, 4, False, 60, 70), 7)], "of x found 1 in version 7, and answered that it did"),
    ],
)
def test_versions_that_cannot_be_true_are_never_valid(more: list[Operation], sentence: str) -> None:
    history = [*TWICE, *more]
    verdict = check(history, MODEL)
    assert sentence in verdict.details["versions_disagree"]["x"]
    assert verdict.validity == ("unknown" if explainable(history, MODEL) else "invalid")
    if verdict.validity == "unknown":
        assert sentence in verdict.reason
    assert staleness(history).validity != "valid"


@pytest.mark.parametrize(
    "more",
    [
        [at(write(5, 60, 70), None)],
        [at(read(2, 60, 70), None)],
        [at(cas(2, 4, False, 60, 70), None)],
        # Which of two lost writes was read?
        [replace(write(4, 60, 70, process=n), outcome="info") for n in (1, 2)]
        + [at(read(4, 80, 90), 9)],
    ],
)
def test_what_versions_do_not_tell_is_judged_by_values(more: list[Operation]) -> None:
    assert by_version([*TWICE, *more], MODEL) is None


def test_a_lost_write_gets_the_version_that_was_read() -> None:
    lost = replace(write(4, 60, 70, process=1), outcome="info")
    history = [*TWICE, lost, at(read(4, 80, 90), 9), at(cas(4, 1, True, 100, 110), 11)]
    labelled = by_version(history, MODEL)
    assert labelled is not None
    assert labelled.history[3].value == At(4, 9)
    assert labelled.history[5].value == (At(4, 9), At(1, 11))
    assert check(history, MODEL).validity == "valid"


def test_a_compare_and_set_may_have_found_a_lost_write() -> None:
    lost = replace(write(4, 60, 70, process=1), outcome="info")
    history = [*TWICE, lost, at(cas(4, 1, True, 100, 110), 11)]
    assert by_version(history, MODEL) is None


def test_a_mismatch_is_a_read_of_the_version_it_saw() -> None:
    stale = at(cas(5, 4, False, 60, 70), 3)
    assert check([*TWICE, stale], MODEL).validity == "invalid"
    assert check([*TWICE, at(stale, 7)], MODEL).validity == "valid"
    dropped = CasRegister(failed_cas="dropped")
    assert check([*TWICE, stale], dropped).validity == "valid"


def test_the_initial_value_needs_no_version() -> None:
    history = [read(None, 0, 5), *(replace(o, sent_ns=o.sent_ns + 9) for o in TWICE)]
    assert by_version(history, MODEL) is not None
    assert check(history, MODEL).validity == "valid"
    again = [*history, at(write(None, 60, 70), 9), read(None, 80, 90)]
    assert by_version(again, MODEL) is None  # which nothing was read?


def test_other_models_and_histories_without_versions_are_left_alone() -> None:
    assert by_version(TWICE, CounterModel()) is None
    assert by_version([replace(o, version=None) for o in TWICE], MODEL) is None
    assert by_version(TWICE[:2], MODEL) is None  # distinct as it is


@pytest.mark.parametrize("columns", [True, False])
def test_long_histories_are_judged_in_columns(columns: bool) -> None:
    distinct = [o for o in legal_history(5, count=16_000, keys=4) if o.output is not False]
    history = told_apart(distinct)
    long = [
        replace(o, key=f"{o.key} {copy}", process=o.process + 10 * copy)
        for copy in range(2)
        for o in history
    ]
    recorded = History(long) if columns else long
    verdict = check(recorded, MODEL, budget=Budget(configurations=0))
    assert verdict.validity == "valid"
    assert verdict.details["by_version"] == 8
    assert verdict.details["configurations"] == 0
    assert list(recorded) == long  # untouched
