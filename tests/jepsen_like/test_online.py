"""The checker that is fed while a test runs: what the offline one says, as soon as it can know."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jepsen_like import checks
from jepsen_like.checks.incremental import OnlineChecker
from jepsen_like.checks.linearizable import check
from jepsen_like.history import Operation, Recorder
from jepsen_like.models import CasRegister, Counter, FifoQueue, Model
from tests.jepsen_like.histories import cas, explainable, legal_history, op, read, write
from tests.jepsen_like.oracle import compared
from tests.jepsen_like.test_algorithms import HISTORIES, MODEL, random_history

Event = tuple[int, int, Operation, bool]  # time, at a tie the sending first, operation, is it open


def events_of(history: Iterable[Operation]) -> list[Event]:
    """As a recorder writes them: processes are told apart, an info ends when the client gave up."""
    found = []
    for number, operation in enumerate(history):
        mine = replace(operation, process=number)
        opened = replace(mine, outcome="info", output=None, error="")
        found.append((mine.sent_ns, 0, opened, True))
        found.append((max(mine.returned_ns, mine.sent_ns), 1, mine, False))
    return sorted(found, key=lambda event: event[:2])


def fed(events: Iterable[Event], model: Model = MODEL) -> OnlineChecker:
    online = OnlineChecker(model)
    for _, _, operation, is_open in events:
        online.feed(operation, is_open)
    return online


def so_far(events: list[Event]) -> list[Operation]:
    """What a recorder would show now: what is open is info."""
    shown = {operation.process: operation for _, _, operation, _ in events}
    return list(shown.values())


def at_every_event(history: list[Operation]) -> Iterator[str]:
    """Checks it against the offline verdict on every prefix; yields each verdict at the end."""
    events = events_of(history)
    online = OnlineChecker(MODEL)
    for n, (now, _, operation, is_open) in enumerate(events):
        violation = online.feed(operation, is_open)
        prefix = events[: n + 1]
        offline = check(so_far(prefix), MODEL)
        if violation is not None:
            assert offline.validity == "invalid", (history, n)
        elif offline.validity == "invalid":  # it cannot be known yet
            until = offline.details["prefix"]["until_ns"]
            open_ = {e[2].process for e in prefix if e[3]} - {
                e[2].process for e in prefix if not e[3]
            }
            sent = [e[2].sent_ns for e in prefix if e[2].process in open_]
            assert now <= until or min(sent, default=now) <= until, (history, n)
        assert fed(prefix).finish().validity == offline.validity, (history, n)
    yield online.finish().validity


def test_agrees_with_the_offline_checker_on_every_prefix() -> None:
    seen = {"valid": 0, "invalid": 0}
    for seed in range(HISTORIES):
        rng = random.Random(seed)
        history = random_history(rng, distinct=seed % 2 == 0, model=MODEL)
        for validity in at_every_event(history):
            assert validity == check(history, MODEL).validity
            assert (validity == "valid") == explainable(history, MODEL)
            compared(history, "online")
            seen[validity] += 1
    assert min(seen.values()) > HISTORIES / 8


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans())
def test_agrees_with_the_offline_checker(rng: random.Random, distinct: bool) -> None:
    history = random_history(rng, distinct=distinct, model=MODEL)
    assert set(at_every_event(history)) == {check(history, MODEL).validity}


def other_history(rng: random.Random, model: Model) -> list[Operation]:
    history = []
    for n in range(rng.randrange(2, 8)):
        sent = rng.randrange(20)
        at = (sent, sent + rng.randrange(8))
        if isinstance(model, Counter):
            f, value, output = rng.choice([("add", 1, None), ("read", None, rng.randrange(4))])
        else:
            f, value, output = rng.choice(
                [("enqueue", n, None), ("dequeue", None, rng.choice([None, *range(n)]))]
            )
        done = op(f, value, output, at=at, process=n)
        history.append(replace(done, outcome="info", output=None) if rng.random() < 0.2 else done)
    return history


@pytest.mark.parametrize("model", [Counter(), FifoQueue()], ids=["counter", "queue"])
def test_any_model_is_followed(model: Model) -> None:
    rng = random.Random(11)
    seen = set()
    for _ in range(HISTORIES):
        history = other_history(rng, model)
        validity = fed(events_of(history), model).finish().validity
        assert validity == ("valid" if explainable(history, model) else "invalid"), history
        compared(history, "online")
        seen.add(validity)
    assert seen == {"valid", "invalid"}


def test_a_stale_read_stops_at_its_operation() -> None:
    history = [write(1, 0, 10), write(2, 20, 30), read(1, 40, 50), read(2, 60, 70)]
    events = events_of(history)
    online = checks.online(MODEL)
    told = [online.feed(operation, is_open) for _, _, operation, is_open in events]
    # Known with the next event of any key: until then a request of the same instant may come
    assert [violation is not None for violation in told] == [False] * 6 + [True] * 2
    assert online.violation is not None
    assert online.violation.reason == (
        "no order explains read -> 1 of x on n1: it could only be at 2"
    )
    assert online.violation.details == {"at_operation": 3, "answered_ns": 50}
    assert online.violation.offending[0].output == 1
    assert online.finish() == online.violation


def test_an_open_operation_holds_its_key_up_and_no_other() -> None:
    online = OnlineChecker(MODEL)
    lost = replace(write(1, 0, 90), process=9, outcome="info")
    assert online.feed(lost, True) is None
    for operation in (read(1, 10, 20), read(None, 30, 40)):
        online.feed(operation, True)
        assert online.feed(operation) is None  # the write may explain it, or have failed
    online.feed(replace(read(7, 50, 60), key="y"), True)
    assert online.feed(replace(read(7, 50, 60), key="y")) is None
    violation = online.feed(replace(read(7, 61, 62), key="z"), True)
    assert violation is not None
    assert violation.offending[0].key == "y"


def test_memory_does_not_grow_with_the_test() -> None:
    most = []
    for count in (500, 5_000):
        online = OnlineChecker(MODEL)
        history = legal_history(3, count=count, keys=3, clients=6, values=4)
        remembered = 0
        for _, _, operation, is_open in events_of(history):
            assert online.feed(operation, is_open) is None
            remembered = max(remembered, online.remembered)
        assert online.finish().validity == "valid"
        most.append(remembered)
    assert most[1] < 2 * most[0] < 1_000


@pytest.mark.parametrize(
    ("history", "limits", "why"),
    [
        ([write(n, 0, 100) for n in range(12)], {"configurations_max": 50}, "configurations"),
        ([write(0, 0, 90), *[write(n, n, n) for n in range(1, 40)]], {"waiting_max": 30}, "waited"),
        ([op("frob", 1, at=(0, 1))], {}, "a register has read, write and cas"),
        ([write({"a": 1}, 0, 1), read(2, 3, 4)], {}, "unhashable"),
    ],
)  # fmt: skip
def test_a_key_that_is_too_much_is_given_up_and_not_convicted(
    history: list[Operation], limits: dict[str, int], why: str
) -> None:
    good = [replace(o, key="good") for o in (write(1, 1000, 1001), read(1, 1002, 1003))]
    bad = replace(read(9, 1004, 1005), key="bad")
    online = OnlineChecker(MODEL, **limits)
    for _, _, operation, is_open in events_of([*history, *good]):
        assert online.feed(operation, is_open) is None
    verdict = OnlineChecker.finish(online)
    assert verdict.validity == "unknown"
    assert why in verdict.reason
    online.feed(bad, True)
    online.feed(bad)
    assert online.finish().validity == "invalid"


def test_operations_that_were_not_announced_are_not_judged() -> None:
    online = OnlineChecker(MODEL)
    for operation in (write(1, 0, 10), read(1, 20, 30)):
        online.feed(operation, True)
        online.feed(operation)
    online.feed(write(3, 32, 40), True)
    online.feed(replace(write(2, 5, 50), process=7))
    verdict = online.finish()
    assert (verdict.validity, "was not announced" in verdict.reason) == ("unknown", True)


def test_a_recorder_feeds_it() -> None:
    now = iter(range(100))
    online = checks.online(CasRegister())
    with Recorder(clock=lambda: next(now), watch=online.feed) as recorder:
        with recorder.op("write", key="x", value=1):
            pass
        with recorder.op("read", key="x") as op_:
            op_.output = 2
        told = [online.violation]
        with recorder.op("read", key="x"):
            told.append(online.violation)
    assert told == [None, online.finish()]
    assert online.finish().validity == check(recorder.history, CasRegister()).validity == "invalid"


def test_crashed_operations_are_used_when_they_help() -> None:
    lost = [replace(write(n, 0, 5), outcome="info") for n in (1, 2, 3)]
    chain = replace(cas(2, 8, None, 0, 5), outcome="info")
    history = [*lost, chain, read(1, 10, 20), read(8, 30, 40), read(3, 50, 60)]
    assert fed(events_of(history)).finish().validity == "valid"
    again = [*history, read(8, 70, 80)]
    assert fed(events_of(again)).finish().validity == "invalid"
