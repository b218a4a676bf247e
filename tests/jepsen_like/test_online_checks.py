"""Every check that can be fed while a test runs: what the offline judge says, as soon as it can."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from jepsen_like import checks
from jepsen_like.checks.named import KINDS, Question, judge, online_of
from jepsen_like.checks.online import GROWTH, Online, Rechecked
from jepsen_like.checks.values import OnlineCheck
from jepsen_like.history import Operation, Outcome
from jepsen_like.history.operation import OUTCOMES
from jepsen_like.models import CasRegister
from jepsen_like.result import Verdict
from tests.jepsen_like.histories import op, read, write
from tests.jepsen_like.test_online import Event, events_of


def asked(model: str, consistency: str, **more: Any) -> Callable[[], Online]:
    question = Question(model=model, consistency=consistency, **more)
    return lambda: online_of(question, model, operations_max=1_000)


def value(check: checks.Check, initial: Any = None) -> Callable[[], Online]:
    return lambda: checks.online(check, initial=initial)


def one_after_another(operations: Iterable[Operation]) -> list[Operation]:
    return [
        replace(o, scheduled_ns=10 * n, sent_ns=10 * n, returned_ns=10 * n + 5)
        for n, o in enumerate(operations)
    ]


def txn(process: int, *steps: tuple[str, str, Any]) -> Operation:
    asked_ = tuple((f, k, None if f == "r" else v) for f, k, v in steps)
    return op("txn", asked_, steps, at=(0, 0), key="", process=process)


def add(element: Any) -> Operation:
    return op("add", element, at=(0, 0))


def shows(*elements: Any) -> Operation:
    return op("read", None, elements, at=(0, 0), process=1)


A, B, C = write(1, 0, 0), write(2, 0, 0), write(3, 0, 0)
FORWARD, BACK = read(2, 0, 0, process=1), read(1, 0, 0, process=1)
TAKEN = [op("enqueue", n, at=(0, 0)) for n in (1, 2)]
TAKE = [op("dequeue", None, n, at=(0, 0), process=1) for n in (1, 2)]
IDS = [op("generate", None, n, at=(0, 0), key="") for n in (1, 2, 3)]
REMOVED = op("remove", 1, at=(0, 0))
CHAIN = [op("read", None, row, at=(0, 0)) for row in ((1, 1), (1, 2), (2, 1))]
BANK = [
    op("read", None, balances, at=(0, 0), key="")
    for balances in ({"a": 5, "b": 5}, {"a": 4, "b": 6}, {"a": 4, "b": 5})
]
SUM = [op("read", None, n, at=(0, 0)) for n in (0, 3, 4)]

CASES: dict[str, tuple[Callable[[], Online], list[Operation], int]] = {
    # what judges; a history; the place of the operation that completes the violation, from 1
    "linearizable": (lambda: checks.online(CasRegister()), [A, B, BACK], 3),
    "sessions": (value(checks.sessions()), [A, B, BACK, FORWARD, BACK, C], 5),
    "sequential": (value(checks.sequential()), [A, B, FORWARD, BACK, C], 4),
    "monotonic": (value(checks.monotonic(), 0), [A, B, FORWARD, BACK, C], 4),
    "staleness": (value(checks.staleness(12e-9)), [A, B, BACK, C, BACK, C], 5),
    "in order": (value(checks.in_order()), [*CHAIN, CHAIN[0]], 3),
    "resurrected": (
        value(checks.nothing_lost()), [add(1), shows(1), REMOVED, shows(1), add(2)], 4
    ),
    "twice in a set": (value(checks.nothing_lost()), [add(1), shows(1), shows(1, 1)], 3),
    "made up": (value(checks.nothing_lost()), [add(1), shows(1, 7), add(7)], 2),
    "missing": (
        value(checks.nothing_lost(stale_is_wrong=True)), [add(1), shows(1), shows(), add(2)], 3
    ),
    "within bounds": (value(checks.within_bounds(), 0), [SUM[0], add(3), SUM[1], SUM[2]], 4),
    "unique": (value(checks.unique()), [*IDS, IDS[1], *IDS], 4),
    "causal": (asked("cas-register", "causal"), [A, B, FORWARD, BACK, C], 4),
    "read-your-writes": (asked("cas-register", "read-your-writes"), [A, read(None, 0, 0), C], 2),
    "writes-follow-reads": (
        asked("cas-register", "writes-follow-reads"),
        [A, BACK, replace(B, process=1), read(2, 0, 0, process=2), replace(C, process=2)],
        0,
    ),
    "queue": (asked("queue", "nothing-lost"), [*TAKEN, *TAKE, TAKE[0]], 5),
    "counter": (asked("counter", "within-bounds"), [add(3), SUM[1], SUM[2]], 3),
    "set": (asked("set", "nothing-lost"), [add(1), shows(1, 1)], 2),
    "bank": (asked("bank", "constant-total"), [*BANK[:2], BANK[2], BANK[0]], 3),
    "unique-ids": (asked("unique-ids", "unique"), [*IDS, IDS[0]], 4),
    "strict-serializable": (
        asked("list-append", "strict-serializable"),
        [txn(0, ("append", "x", 1)), txn(1, ("r", "x", ())), txn(2, ("r", "x", (1,)))],
        3,
    ),
    "serializable": (
        asked("list-append", "serializable"),
        [
            txn(0, ("append", "x", 1), ("append", "y", 1)),
            txn(1, ("r", "x", (1,)), ("r", "y", ())),
            txn(1, ("r", "y", (1,))),
        ],
        3,
    ),
    "write-skew": (
        asked("list-append", "write-skew"),
        [
            txn(0, ("r", "x", ()), ("append", "y", 1)),
            txn(1, ("r", "y", ()), ("append", "x", 1)),
            txn(2, ("r", "x", (1,)), ("r", "y", (1,))),
        ],
        3,
    ),
    "long-fork": (
        asked("rw-register", "long-fork"),
        [
            txn(0, ("w", "x", 1)),
            txn(1, ("w", "y", 1)),
            txn(2, ("r", "x", 1), ("r", "y", None)),
            txn(3, ("r", "x", None), ("r", "y", 1)),
        ],
        4,
    ),
    "causal-reverse": (
        asked("set", "causal-reverse"),
        [add(1), add(2), shows(2), shows(1, 2)],
        3,
    ),
}  # fmt: skip


def fed(online: Online, events: Iterable[Event]) -> Online:
    for _, _, operation, is_open in events:
        online.feed(operation, is_open)
    return online


@pytest.mark.parametrize("name", CASES)
def test_a_violation_is_found_at_the_operation_that_completes_it(name: str) -> None:
    made, operations, place = CASES[name]
    history = one_after_another(operations)
    events = keeping_processes(history)
    if not place:
        assert fed(made(), events).finish().validity == "valid"
        return
    clean = fed(made(), [e for e in events if e[2].sent_ns < history[place - 1].sent_ns])
    assert clean.violation is None
    assert clean.finish().validity in ("valid", "unknown")  # unknown: no answer to judge yet
    online = fed(made(), events)
    found = online.violation or online.finish()
    assert (found.validity, found.operations) == ("invalid", place), found
    assert found.check.endswith(", online")
    assert found.details["at_operation"] == place
    assert online.finish() == found


def keeping_processes(history: Sequence[Operation]) -> list[Event]:
    renumbered = events_of(history)
    places = {n: operation.process for n, operation in enumerate(history)}
    return [(at, tie, replace(o, process=places[o.process]), x) for at, tie, o, x in renumbered]


def test_every_promise_that_can_be_asked_for_can_be_judged_online() -> None:
    names = {(kind.name, promise) for kind in KINDS.values() for promise in kind.consistencies}
    for name, promise in names:
        online = online_of(Question(name, promise), name, operations_max=10)
        assert online.finish().check.startswith(promise), (name, promise)


def test_what_only_the_end_can_tell_is_told_at_the_end() -> None:
    lost = one_after_another([add(1), shows(1), shows()])
    online = fed(checks.online(checks.nothing_lost()), events_of(lost))
    assert online.violation is None  # a later read may show it again
    assert online.finish().validity == "invalid"
    again = one_after_another([add(1), shows(1), shows(), shows(1)])
    assert fed(checks.online(checks.nothing_lost()), events_of(again)).finish().validity == "valid"
    empty = one_after_another([TAKEN[0], replace(TAKE[0], output=None)])
    queue = fed(asked("queue", "nothing-lost")(), events_of(empty))
    assert (queue.violation, queue.finish().validity) == (None, "invalid")
    with pytest.raises(ValueError, match="lost writes can be judged only when all is over"):
        checks.online(checks.lost_writes())


def test_what_is_open_may_have_happened() -> None:
    events = keeping_processes(
        [
            replace(op("add", 5, at=(0, 90)), process=7),
            op("read", None, (5,), at=(10, 20), process=1),
        ]
    )
    online = fed(checks.online(checks.nothing_lost()), events[:3])
    assert online.violation is None
    assert online.finish().validity == "valid"
    failed = replace(events[3][2], outcome="fail", error="no")
    assert online.feed(failed) is not None  # it was read, and never was


# --- against the offline judge, on every prefix --------------------------------------------------


def what_is_there(events: Iterable[Event]) -> list[Operation]:
    """What a recorder would show now: what is open is info."""
    done, in_flight = [], {}
    for _, _, operation, is_open in events:
        if is_open:
            in_flight[operation.process] = operation
        else:
            del in_flight[operation.process]
            done.append(operation)
    return [*done, *in_flight.values()]


def weak_store(rng: random.Random, kind: str) -> list[Operation]:
    """What clients see of a store with two copies, of which one may be behind."""
    copies: list[list[Any]] = [[], []]
    history = []
    for n in range(rng.randrange(4, 14)):
        copy = rng.choice(copies)
        outcome: Outcome = rng.choices(OUTCOMES, [8, 1, 1])[0]
        if rng.random() < 0.3:
            longest = max(copies, key=len)
            copies[rng.randrange(2)][:] = longest
        if rng.random() < 0.5:
            if outcome != "fail":
                copy.append(n)
            done = op(*written(kind, n), at=(0, 0), process=n)
            done = done if outcome == "ok" else replace(done, outcome=outcome, error="lost")
        else:
            done = op(*answered(kind, copy), at=(0, 0), process=rng.choice([100, 101]))
        history.append(done)
    return one_after_another(history)


def written(kind: str, n: int) -> tuple[Any, ...]:
    return {
        "set": ("add", n),
        "counter": ("add", 1),
        "cas-register": ("write", n),
        "list-append": ("txn", (("append", "x", n),), (("append", "x", n),)),
    }[kind]


def answered(kind: str, seen: list[Any]) -> tuple[Any, ...]:
    return {
        "set": ("read", None, tuple(seen)),
        "counter": ("read", None, len(seen)),
        "cas-register": ("read", None, seen[-1] if seen else None),
        "list-append": ("txn", (("r", "x", None),), (("r", "x", tuple(seen)),)),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        ("set", "nothing-lost"),
        ("counter", "within-bounds"),
        ("cas-register", "sessions"),
        ("cas-register", "sequential"),
        ("cas-register", "causal"),
        ("list-append", "strict-serializable"),
        ("list-append", "serializable"),
    ],
)
def test_agrees_with_the_offline_judge_on_every_prefix(kind: str, promise: str) -> None:
    seen = {"valid": 0, "invalid": 0, "unknown": 0}
    initial = 0 if kind == "counter" else None
    question = Question(kind, promise, initial=initial)
    for seed in range(60):
        history = weak_store(random.Random(seed), kind)
        events = keeping_processes(history)
        online = fed(online_of(question, kind, operations_max=1_000), events)
        _, offline = judge(history, question)
        assert online.finish().validity == offline.validity, seed
        seen[offline.validity] += 1
        if online.violation is None:
            continue
        ended = 0
        for n, (_, _, _, is_open) in enumerate(events, 1):
            ended += not is_open
            prefix = what_is_there(events[:n])
            _, then = judge(prefix, replace(question, is_over=False))
            expected = ended >= online.violation.operations and not is_open
            if expected or ended < online.violation.operations:
                assert (then.validity == "invalid") == expected, (seed, n)
    assert min(seen["valid"], seen["invalid"]) >= 5, seen


# --- cost ----------------------------------------------------------------------------------------


def test_it_costs_a_small_multiple_of_the_history_and_still_names_the_operation() -> None:
    for count in (500, 4_000):
        judged = 0

        def judge_it(history: Sequence[Operation], is_over: bool) -> Verdict:
            nonlocal judged
            judged += len(history)
            bad = any(o.value == "bad" and o.outcome == "ok" for o in history)
            return Verdict("never bad", "invalid" if bad else "valid", "", len(history))

        place = count * 3 // 4 + 1
        values = ["bad" if n == place else n for n in range(1, count)]
        history = one_after_another([op("write", v, at=(0, 0)) for v in values])
        online = fed(Rechecked("never bad", judge_it, "whole"), events_of(history))
        assert judged < (GROWTH + 16) * count  # the second: to find the operation
        assert online.violation is not None
        assert online.violation.details["at_operation"] == place
        noticed = online.violation.details["noticed_at"]
        assert place <= noticed <= place * (1 + 2 / GROWTH)


def test_a_group_that_is_too_long_is_judged_at_the_end_only() -> None:
    looks: list[int] = []

    def judge_it(history: Sequence[Operation], is_over: bool) -> Verdict:
        looks.append(len(history))
        return Verdict("length", "invalid" if len(history) > 40 else "valid", "", len(history))

    history = one_after_another([write(n, 0, 0) for n in range(60)])
    online = fed(Rechecked("length", judge_it, "key", operations_max=30), events_of(history))
    assert online.violation is None
    assert max(looks) <= 30
    assert online.finish().validity == "invalid"
    assert online.finish().operations == 60


def test_checks_of_a_test_say_whether_they_are_online() -> None:
    for made in (
        checks.linearizable, checks.sessions, checks.sequential, checks.staleness,
        checks.monotonic, checks.in_order, checks.nothing_lost, checks.within_bounds,
        checks.unique,
    ):  # fmt: skip
        assert not made().online
        check = made(online=True)
        assert isinstance(check, OnlineCheck)
        assert check.online
