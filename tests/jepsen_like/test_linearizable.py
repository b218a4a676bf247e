"""The linearizability checker: against brute force, on histories with planted faults, in bounds."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jepsen_like.checks.linearizable import Budget, check, replay
from jepsen_like.history import Operation, read_jsonl
from jepsen_like.models import Call, CasRegister, Counter, Model, State, call_of
from tests.jepsen_like.histories import cas, explainable, legal_history, op, read, write
from tests.jepsen_like.test_history import SAMPLE

MODEL = CasRegister()


def validity(*history: Operation, model: CasRegister = MODEL) -> str:
    return check(history, model).validity


# --- the definition, on histories small enough to read ------------------------------------


def test_a_read_after_a_write_returns_it() -> None:
    assert validity(write(1, 0, 1), read(1, 2, 3)) == "valid"
    assert validity(write(1, 0, 1), read(None, 2, 3)) == "invalid"


def test_concurrent_operations_take_either_order() -> None:
    assert validity(write(1, 0, 9), read(1, 1, 2), read(None, 0, 1)) == "valid"
    assert validity(write(1, 0, 9), read(1, 1, 2), read(None, 3, 4)) == "invalid"


def test_equal_timestamps_count_as_concurrent() -> None:
    assert validity(write(1, 0, 5), read(None, 5, 6)) == "valid"
    assert validity(write(1, 0, 5), read(None, 6, 7)) == "invalid"


def test_two_compare_and_sets_cannot_win_the_same_value() -> None:
    start = write(1, 0, 1)
    assert validity(start, cas(1, 2, True, 2, 9), cas(1, 3, False, 2, 9)) == "valid"
    assert validity(start, cas(1, 2, True, 2, 9), cas(1, 3, True, 2, 9)) == "invalid"


def test_a_compare_and_set_that_did_not_match_constrains_the_value() -> None:
    assert validity(write(1, 0, 1), cas(2, 3, False, 2, 3)) == "valid"
    assert validity(write(1, 0, 1), cas(1, 3, False, 2, 3)) == "invalid"


def test_a_failed_operation_never_happened() -> None:
    assert validity(write(1, 0, 1, outcome="fail"), read(None, 2, 3)) == "valid"
    assert validity(write(1, 0, 1, outcome="fail"), read(1, 2, 3)) == "invalid"


def test_an_indeterminate_write_may_happen_at_any_later_time_or_never() -> None:
    lost = write(1, 10, 20, outcome="info")
    assert validity(lost, read(None, 30, 31), read(None, 40, 41)) == "valid"
    assert validity(lost, read(None, 30, 31), read(1, 40, 41)) == "valid"
    assert validity(lost, read(1, 30, 31), read(None, 40, 41)) == "invalid"
    assert validity(lost, read(1, 5, 6)) == "invalid"  # before it was sent


def test_an_indeterminate_write_happens_at_most_once() -> None:
    lost = write(1, 0, 9, outcome="info")
    seen = [read(1, 10, 11), write(2, 20, 21), read(1, 30, 31)]
    assert validity(lost, *seen) == "invalid"
    assert validity(lost, lost, *seen) == "valid"


def test_keys_are_judged_apart() -> None:
    verdict = check(
        [write(1, 0, 1, key=5), read(None, 2, 3, key="5"), read(2, 0, 1, key="bad")], MODEL
    )
    assert verdict.validity == "invalid"
    assert verdict.details["invalid_keys"] == ["bad"]
    assert verdict.details["keys"] == 3


def test_nothing_to_judge_is_valid() -> None:
    assert validity() == "valid"


# --- traps that fuzzing found ---------------------------------------------------------------


def test_trap_a_write_of_the_value_that_stands_is_not_placed_greedily() -> None:
    """write(1) at the state 1 changes nothing, and is needed after write(2)."""
    history = [write(1, 0, 1), write(1, 2, 20), write(2, 3, 4), read(2, 5, 6), read(1, 7, 8)]
    assert validity(*history) == "valid"


def test_trap_the_initial_state_is_not_confused_with_states_nobody_reads() -> None:
    """Two unread states may be taken for one; the initial state is read as None."""
    history = [write(1, 0, 1), write(2, 2, 3), read(None, 4, 5)]
    assert validity(*history) == "invalid"
    assert validity(cas(None, 1, True, 0, 1), cas(None, 2, True, 2, 3)) == "invalid"
    lost = cas(1, 2, None, 0, 1, outcome="info")
    assert validity(lost, read(None, 2, 3), cas(None, 3, True, 4, 5)) == "valid"


def test_trap_an_indeterminate_cas_to_its_own_value_does_not_follow_itself() -> None:
    same = cas(1, 1, None, 0, 1, outcome="info")
    assert validity(same, same, write(1, 0, 2), read(1, 3, 4), read(2, 5, 6)) == "invalid"
    assert validity(same, write(1, 0, 2), read(1, 3, 4)) == "valid"


def test_trap_a_key_left_empty_without_its_indeterminate_reads() -> None:
    lost = read(None, 0, 1, outcome="info")
    verdict = check([lost, write(1, 0, 1, outcome="fail", key="y")], MODEL)
    assert verdict.validity == "valid"
    assert verdict.operations == 0
    assert verdict.details["left_out"] == {"failed": 1, "reads without an answer": 1}


def test_trap_a_crashed_operation_that_only_another_crashed_one_needs() -> None:
    """write(2) does nothing for read -> 1 by itself, and cas(2, 1) does nothing at None."""
    lost = [write(2, 0, 9, outcome="info"), cas(2, 1, None, 0, 9, outcome="info")]
    assert validity(*lost, read(1, 10, 11)) == "valid"
    assert validity(lost[1], read(1, 10, 11)) == "invalid"


def test_trap_a_crashed_write_that_a_failed_cas_needs_though_nobody_reads_it() -> None:
    history = [write(1, 0, 1), write(5, 2, 9, outcome="info"), cas(1, 2, False, 10, 11)]
    assert validity(*history) == "valid"


# --- against brute force --------------------------------------------------------------------

few = st.integers(0, 2)


@st.composite
def any_operation(draw: st.DrawFn) -> Operation:
    sent = draw(st.integers(0, 12))
    at = (sent, sent + draw(st.integers(0, 6)))
    outcome = draw(st.sampled_from(["ok", "ok", "ok", "info", "fail"]))
    f = draw(st.sampled_from(["read", "write", "cas"]))
    if f == "read":
        return read(draw(few | st.none()), *at, outcome=outcome)
    if f == "write":
        return write(draw(few), *at, outcome=outcome)
    return cas(draw(few), draw(few), draw(st.booleans()), *at, outcome=outcome)


@settings(max_examples=400)
@given(st.lists(any_operation(), max_size=8))
def test_agrees_with_brute_force(history: list[Operation]) -> None:
    verdict = check(history, MODEL)
    assert verdict.validity == ("valid" if explainable(history, MODEL) else "invalid")


@settings(max_examples=200)
@given(st.lists(any_operation(), max_size=8))
def test_what_is_shown_is_unexplainable_whatever_the_others_did(history: list[Operation]) -> None:
    verdict = check(history, MODEL)
    if verdict.validity == "invalid":
        end = verdict.offending[verdict.details["stuck"]].returned_ns
        others = [
            o
            for o in history
            if o not in verdict.offending and o.outcome != "fail" and o.sent_ns <= end
        ]
        changing = [o for o in others if not MODEL.is_pure(call_of(o))]
        free = [replace(o, outcome="info", sent_ns=0) for o in changing]
        assert not explainable([*verdict.offending, *free], MODEL, until=end)


def test_agrees_with_brute_force_on_many_small_histories_with_repeated_values() -> None:
    rng = random.Random(7)
    for seed in range(400):
        history = legal_history(seed, count=9, clients=3, values=3, info=0.3)
        assert validity(*history) == "valid", f"seed {seed}"
        broken = [
            replace(o, output=rng.randrange(3)) if o.f == "read" and o.outcome == "ok" else o
            for o in history
        ]
        expected = "valid" if explainable(broken, MODEL) else "invalid"
        assert validity(*broken) == expected, f"seed {seed}"


# --- larger histories: legal ones stay legal, planted faults are found -------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("values", "info"), [(None, 0.0), (None, 0.1), (5, 0.1)])
def test_a_legal_history_is_valid(seed: int, values: int | None, info: float) -> None:
    history = legal_history(seed, count=600, keys=3, clients=12, values=values, info=info)
    verdict = check(history, MODEL)
    assert verdict.validity == "valid", verdict.reason
    for key, order in verdict.details["linearization"].items():
        assert replay(MODEL, [history[i] for i in order], range(len(order))) == ""
        assert {history[i].key for i in order} == {key}


def stale(history: list[Operation], rng: random.Random) -> list[Operation]:
    """One read answers a value that was overwritten, acknowledged, before it was sent."""
    for i in rng.sample(range(len(history)), len(history)):
        victim = history[i]
        if victim.f != "read" or victim.outcome != "ok":
            continue
        over = [
            o
            for o in history
            if o.f == "write"
            and o.outcome == "ok"
            and o.key == victim.key
            and o.returned_ns < victim.sent_ns
        ]
        for old in over:
            if any(old.returned_ns < new.sent_ns for new in over):
                return [*history[:i], replace(victim, output=old.value), *history[i + 1 :]]
    raise AssertionError("no read to make stale")


def lost_update(history: list[Operation], rng: random.Random) -> list[Operation]:
    """A compare-and-set that won is said to have won again, later, from the same value."""
    winners = [o for o in history if o.f == "cas" and o.outcome == "ok" and o.output is True]
    winner = rng.choice(winners)
    end = max(o.returned_ns for o in history)
    return [*history, replace(winner, process=999, sent_ns=end + 1, returned_ns=end + 2)]


def value_from_nowhere(history: list[Operation], rng: random.Random) -> list[Operation]:
    i = rng.choice([i for i, o in enumerate(history) if o.f == "read" and o.outcome == "ok"])
    return [*history[:i], replace(history[i], output=-1), *history[i + 1 :]]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mutate", [stale, lost_update, value_from_nowhere])
def test_a_planted_fault_is_found_and_shown_small(
    seed: int, mutate: Callable[[list[Operation], random.Random], list[Operation]]
) -> None:
    good = legal_history(seed, count=400, keys=3, clients=12, info=0.05)
    history = mutate(good, random.Random(seed))
    verdict = check(history, MODEL)
    assert verdict.validity == "invalid"
    assert verdict.details["minimal"]
    assert len(verdict.offending) <= 6, verdict.offending
    assert not explainable(verdict.offending, MODEL)
    if mutate is value_from_nowhere:
        assert "-1, a value that nobody had written" in verdict.reason
    if mutate is lost_update:
        assert " matched" in verdict.reason


def test_the_history_of_a_value_that_was_won_twice_is_not_shown() -> None:
    """Were write(1) free to happen twice, the chain could give 3 twice: at most once it may."""
    chain = [write(1, 0, 1), cas(1, 2, True, 2, 3), cas(2, 3, True, 4, 5)]
    twice = [cas(3, 4, True, 6, 9), cas(3, 5, True, 6, 9)]
    assert list(check([*chain, *twice], MODEL).offending) == twice


def test_an_innocent_read_in_flight_is_not_shown() -> None:
    """read -> 9 was in flight when the contradiction was complete; 9 was written after it."""
    guilty = [write(1, 0, 1), read(None, 3, 4)]
    innocent = [read(9, 2, 20), write(9, 10, 15)]
    assert list(check([*innocent, *guilty], MODEL).offending) == guilty


# --- words -----------------------------------------------------------------------------------


def test_a_stale_read_is_told_in_one_sentence() -> None:
    verdict = check(read_jsonl(SAMPLE), MODEL)
    assert verdict.reason == (
        "read of x on n2 returned 7 after write 9 of x on n1 had been acknowledged 1.2 s before "
        "it was sent"
    )
    assert [o.f for o in verdict.offending] == ["write", "write", "read"]


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        (
            [read(3, 0, 1, key=8)],
            "read of key 8 on n1 returned 3, a value that nobody had written when it returned",
        ),
        (
            [write(1, 0, 1), read(None, 40_000_001, 50_000_000)],
            (
                "read of x on n1 returned nothing after write 1 of x on n1 had been "
                "acknowledged 40 ms before it was sent"
            ),
        ),
        (
            [write(1, 0, 90), read(1, 1, 2), read(None, 3, 4)],
            (
                "read of x on n1 returned nothing after read of x on n1 had already returned 1, "
                "before it was sent"
            ),
        ),
        (
            [write(1, 0, 1), cas(1, 2, True, 2, 9), cas(1, 3, True, 2, 9)],
            (
                "cas 1 -> 2 of x on n1 matched and cas 1 -> 3 of x on n1 matched, "
                "and 1 was there for only one of them"
            ),
        ),
    ],
)
def test_reasons(history: list[Operation], reason: str) -> None:
    assert check(history, MODEL).reason == reason


# --- bounds, and the checker's own failures -------------------------------------------------------


def test_ten_thousand_operations_over_forty_keys_take_few_configurations() -> None:
    history = legal_history(3, count=10_000, keys=40, clients=30, info=0.04)
    verdict = check(history, MODEL)
    assert verdict.validity == "valid"
    assert verdict.details["configurations"] < 10_000


@pytest.mark.parametrize("ends", ["valid", "invalid"])
def test_ten_indeterminate_writes_of_one_key_do_not_explode(ends: str) -> None:
    history: list[Operation] = []
    for i in range(60):
        at = i * 100
        history.append(write(i, at, at + 150))
        history.append(write(1_000 + i, at, at + 150))
        if i % 5 == 0:
            history.append(write(2_000 + i, at, at + 99, outcome="info"))
            history.append(cas(2_000 + i, 3_000 + i, None, at, at + 99, outcome="info"))
    history.append(read(3_000 if ends == "valid" else 3_001, 7_000, 7_001))
    verdict = check(history, MODEL)
    assert verdict.validity == ends
    assert verdict.details["configurations"] < 5_000


def test_using_more_crashed_operations_than_needed_leads_nowhere_new() -> None:
    """Each read can be explained by its own write or by a crashed one: 2 ** 12 ways, one state."""
    history: list[Operation] = []
    for i in range(12):
        at = i * 100
        lost = write(1_000 + i, at, at + 1, outcome="info")
        history += [lost, write(1_000 + i, at, at + 90), read(1_000 + i, at, at + 90)]
        history.append(write(0, at + 91, at + 92))
    verdict = check([*history, read(5_000, 2_000, 2_001)], MODEL)
    assert verdict.validity == "invalid"
    assert verdict.details["configurations"] < 500


def hard() -> list[Operation]:
    """Concurrent writes whose every order must be tried before the last read is refused."""
    history = [write(i // 2, 0, 100) for i in range(28)]
    history += [read(i, 0, 100) for i in range(14)]
    return [*history, read(99, 200, 201)]


def test_out_of_configurations_is_unknown_and_says_how_far_it_got() -> None:
    verdict = check(hard(), MODEL, budget=Budget(configurations=50))
    assert verdict.validity == "unknown"
    assert "out of budget on x after 64 configurations" in verdict.reason
    assert "of its 43 operations" in verdict.reason
    assert verdict.details["unknown_keys"] == ["x"]


def test_out_of_time_is_unknown() -> None:
    ticks = iter(range(1_000_000))
    verdict = check(hard(), MODEL, budget=Budget(seconds=3), clock=lambda: float(next(ticks)))
    assert verdict.validity == "unknown"
    assert "out of time" in verdict.reason


def test_a_contradiction_elsewhere_outweighs_a_key_that_is_out_of_budget() -> None:
    broken = read(1, 0, 1, key="y")
    verdict = check([*hard(), broken], MODEL, budget=Budget(configurations=50))
    assert verdict.validity == "invalid"
    assert verdict.offending == (broken,)


def test_out_of_time_while_shrinking_still_shows_a_contradiction() -> None:
    history = stale(legal_history(2, count=300, clients=6), random.Random(1))
    verdict = check(history, MODEL, budget=Budget(shrink_seconds=-1.0))
    assert verdict.validity == "invalid"
    assert not verdict.details["minimal"]
    assert verdict.offending


def test_a_checker_that_crashes_says_unknown() -> None:
    verdict = check([replace(write(1, 0, 1), f="append")], MODEL)
    assert verdict.validity == "unknown"
    assert "crashed on x: ValueError: a register has read, write and cas" in verdict.reason
    assert "Traceback" in verdict.details["trace"]
    assert check([write([1], 0, 1)], MODEL).validity == "unknown"  # unhashable


class Forgetful(CasRegister):
    """A model that breaks its promise: what it says depends on how often it is asked."""

    def step(self, state: State, call: Call) -> Any:
        asked.append(call)
        return super().step(state, call if len(asked) % 2 else call._replace(output=-1))

    def versions(self, operations: object) -> None:
        """None: its states are no versions, and blocks would not ask it."""

    first_illegal = Model.first_illegal


asked: list[Call] = []


def test_an_order_that_does_not_replay_is_unknown_never_valid() -> None:
    asked.clear()
    verdict = check([read(None, 0, 1)], Forgetful())
    assert verdict.validity == "unknown"
    assert "the checker contradicted itself: read -> nothing is not possible" in verdict.reason


def test_replay_refuses_what_is_no_linearization() -> None:
    history = [write(1, 0, 1), read(1, 2, 3)]
    assert replay(MODEL, history, [0, 1]) == ""
    assert "twice" in replay(MODEL, history, [0, 0, 1])
    assert "not placed" in replay(MODEL, history, [0])
    assert "not possible" in replay(MODEL, [history[1]], [0])
    late = [write(1, 2, 3), write(1, 0, 1)]
    assert "after one sent when it was over" in replay(MODEL, late, [0, 1])


def test_a_history_is_judged_without_any_installed_package() -> None:
    """An interpreter that sees the standard library and this project's source, nothing else."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from jepsen_like.checks.linearizable import check\n"
        "from jepsen_like.history import lint, read_jsonl\n"
        "from jepsen_like.models import CasRegister\n"
        "print(check(read_jsonl(Path(sys.argv[2])), CasRegister()).validity)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-I", "-S", "-c", code, str(root), str(SAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("invalid\n", "")


def test_what_cannot_even_be_laid_out_is_unknown_and_says_why() -> None:
    verdict = check([op("add", {"a": 1}, at=(0, 1))], Counter())
    assert verdict.validity == "unknown"
    assert "TypeError: unhashable type" in verdict.reason
