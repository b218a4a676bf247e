"""Session guarantees, sequential and causal consistency, against their definitions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from jepsen_like.checks.causal import causal
from jepsen_like.checks.sessions import GUARANTEES, sequential, sessions
from jepsen_like.history import Operation
from jepsen_like.models import ILLEGAL, CasRegister, State, call_of
from tests.jepsen_like.histories import cas, legal_history, read, write


def session(process: int, *operations: Operation) -> list[Operation]:
    """One after the other, in one process."""
    return [
        Operation(process, o.f, o.key, o.value, o.outcome, o.output, n, n, n, "n", o.error)
        for n, o in enumerate(operations)
    ]


def w(value: Any, key: str = "x") -> Operation:
    return write(value, 0, 1, key=key)


def r(value: Any, key: str = "x") -> Operation:
    return read(value, 0, 1, key=key)


@pytest.mark.parametrize(
    ("broken", "history"),
    [
        ({"read-your-writes"}, session(0, w(1), r(None))),
        ({"monotonic-reads"}, [*session(0, r(1), r(None)), *session(1, w(1))]),
        (
            {"monotonic-reads"},
            [
                *session(0, r(1), r(2)),
                *session(1, r(2), r(1)),
                *session(2, w(1)),
                *session(3, w(2)),
            ],
        ),
        (set(), [*session(0, r(1), r(1)), *session(1, w(1))]),
        (set(), session(0, w(1), r(1), w(2), r(2))),
    ],
)  # fmt: skip
def test_each_guarantee_by_its_smallest_violation(
    broken: set[str], history: list[Operation]
) -> None:
    found = {g for g in GUARANTEES if sessions(history, g).validity == "invalid"}
    assert found == broken
    verdict = sessions(history)
    assert verdict.validity == ("invalid" if broken else "valid")
    assert sequential(history).validity == verdict.validity


def test_guarantees_that_hold_one_by_one_may_not_hold_together() -> None:
    history = session(0, w(1), w(2), r(1))  # its own writes, if 2 came first
    assert sessions(history).validity == "valid"
    assert sequential(history).validity == "invalid"


def test_guarantees_are_told_with_the_operations() -> None:
    history = [*session(0, r(1), r(None)), *session(7, w(1))]
    verdict = sessions(history)
    assert verdict.reason == "monotonic-reads: process 0 read 1 and then read None of x"
    assert verdict.offending == tuple(history[:2])
    assert verdict.details["guarantees"]["read-your-writes"] == "valid"


def test_a_value_nobody_wrote_and_one_written_twice() -> None:
    assert sequential(session(0, r(5))).reason == "5 of x was read, and nobody wrote it"
    verdict = sequential(session(0, w(5), w(5)))
    assert (verdict.validity, "written twice" in verdict.reason) == ("unknown", True)
    assert sequential([write({}, 0, 1)]).validity == "unknown"


def orders(history: Sequence[Operation]) -> bool:
    """The definition, executed: an order of all operations that keeps that of each process."""
    by_process: dict[int, list[Operation]] = {}
    for operation in history:
        by_process.setdefault(operation.process, []).append(operation)
    model = CasRegister()
    processes = list(by_process.values())
    seen: set[tuple[tuple[int, ...], State]] = set()

    def reach(done: tuple[int, ...], state: State) -> bool:
        if all(n == len(p) for n, p in zip(done, processes, strict=True)):
            return True
        if (done, state) in seen:
            return False
        seen.add((done, state))
        for i, n in enumerate(done):
            if n < len(processes[i]):
                after = model.step(state, call_of(processes[i][n]))
                if after is not ILLEGAL and reach((*done[:i], n + 1, *done[i + 1 :]), after):
                    return True
        return False

    return reach((0,) * len(processes), model.init())


def drawn(seed: int, keys: str = "x", with_cas: bool = True) -> list[Operation]:
    rng = random.Random(seed)
    values = iter(range(1, 100))
    by_key: dict[str, list[Any]] = {key: [None] for key in keys}
    history = []
    plans = [[rng.choice("rrwwc" if with_cas else "rrw") for _ in range(rng.randrange(1, 4))]
             for _ in range(3)]  # fmt: skip
    slots = [(p, rng.choice(keys), what) for p, plan in enumerate(plans) for what in plan]
    for _, key, what in slots:
        if what != "r":
            by_key[key].append(next(values))
    taken = {key: iter(by_key[key][1:]) for key in keys}
    lines: dict[int, list[Operation]] = {}
    for process, key, what in slots:
        if what == "r":
            operation = r(rng.choice(by_key[key]), key)
        elif what == "w":
            operation = w(next(taken[key]), key)
        else:
            new = next(taken[key])
            operation = cas(rng.choice([v for v in by_key[key] if v != new]), new, True, 0, 1)
        lines.setdefault(process, []).append(operation)
    for process, operations in lines.items():
        history += session(process, *operations)
    return history


def test_sequential_agrees_with_its_definition() -> None:
    answers = set()
    for seed in range(1_500):
        history = drawn(seed)
        answer = sequential(history)
        assert answer.validity == ("valid" if orders(history) else "invalid"), (seed, answer)
        answers.add(answer.validity)
    assert answers == {"valid", "invalid"}


def pairs(history: Sequence[Operation], guarantee: str) -> list[tuple[Any, Any]]:
    """The versions that a guarantee wants in order, straight from its definition."""
    first, second = {
        "read-your-writes": ("write", "read"),
        "monotonic-reads": ("read", "read"),
        "monotonic-writes": ("write", "write"),
        "writes-follow-reads": ("read", "write"),
    }[guarantee]
    return [
        (_version(a), _version(b))
        for i, a in enumerate(history)
        for b in history[i + 1 :]
        if a.process == b.process and (a.f, b.f) == (first, second)
    ]


def _version(operation: Operation) -> Any:
    return operation.value if operation.f == "write" else operation.output


def test_each_guarantee_agrees_with_its_definition() -> None:
    for seed in range(600):
        history = drawn(seed, with_cas=False)
        written = [o.value for o in history if o.f == "write"]
        for guarantee in GUARANTEES:
            strict = guarantee == "writes-follow-reads"
            wanted = pairs(history, guarantee)
            possible = any(
                all(place.index(a) < place.index(b) or (a == b and not strict) for a, b in wanted)
                for order in permutations(written)
                for place in [(None, *order)]
            )
            found = sessions(history, guarantee)
            assert found.validity == ("valid" if possible else "invalid"), (seed, guarantee)


def test_what_is_linearizable_is_all_of_the_weaker_ones() -> None:
    for seed in range(20):
        history = legal_history(seed, count=150, keys=2, info=0.05)
        for verdict in (sequential(history), sessions(history), causal(history)):
            assert verdict.validity == "valid", (seed, verdict)


@pytest.mark.parametrize(
    ("validity", "history"),
    [
        ("valid", [*session(0, w(1)), *session(1, r(1), r(None, "y"))]),
        ("invalid", session(0, w(1), r(None))),
        # a reply without the message it answers
        (
            "invalid",
            [
                *session(0, w(1)),
                *session(1, r(1), w(2, "y")),
                *session(2, r(2, "y"), r(None)),
            ],
        ),
        (
            "invalid",
            [
                *session(0, w(1), w(2)),
                *session(1, r(2), w(3, "y")),
                *session(2, r(3, "y"), r(1)),
            ],
        ),
        ("valid", [*session(0, w(1)), *session(1, w(2)), *session(2, r(1), r(2), r(1))]),
        ("invalid", [*session(0, r(2, "y"), w(1)), *session(1, r(1), w(2, "y"))]),
        ("invalid", session(0, r(9))),
        ("unknown", session(0, w(9), w(9))),
    ],
)
def test_causes_and_effects(validity: str, history: list[Operation]) -> None:
    assert causal(history).validity == validity
