"""Sets, queues, counters, ids and banks: each promise with the smallest history that breaks it."""

from __future__ import annotations

from typing import Any

import pytest

from jepsen_like.checks.collections import (
    constant_total,
    queue_loses_nothing,
    set_loses_nothing,
    unique,
    within_bounds,
)
from jepsen_like.history import Operation
from tests.jepsen_like.histories import op


def add(value: Any, *at: int, **more: Any) -> Operation:
    return op("add", value, at=(at[0], at[1]), **more)


def read(output: Any, *at: int, **more: Any) -> Operation:
    return op("read", None, output, at=(at[0], at[1]), **more)


def remove(value: Any, *at: int, **more: Any) -> Operation:
    return op("remove", value, at=(at[0], at[1]), **more)


def enqueue(value: Any, *at: int, **more: Any) -> Operation:
    return op("enqueue", value, at=(at[0], at[1]), **more)


def dequeue(output: Any, *at: int, **more: Any) -> Operation:
    return op("dequeue", None, output, at=(at[0], at[1]), **more)


@pytest.mark.parametrize(
    ("history", "found"),
    [
        ([add(1, 0, 1), read((1,), 2, 3)], {}),
        ([add(1, 0, 5), read((), 2, 3), read((1,), 4, 6)], {}),
        ([add(1, 0, 1), read((), 1, 3), read((1,), 4, 6)], {}),  # closed intervals
        ([add(1, 0, 1), read((), 2, 3)], {"lost": 1}),
        ([add(1, 0, 1), read((1,), 2, 3), read((), 4, 5)], {"lost": 1}),
        ([add(1, 0, 1, outcome="info"), read((), 2, 3)], {}),
        ([add(1, 0, 1, outcome="info"), read((1,), 2, 3), read((), 4, 5)], {"lost": 1}),
        ([add(1, 0, 1), read((1, 1), 2, 3)], {"duplicated": 1}),
        ([read((7,), 2, 3)], {"made-up": 1}),
        ([add(7, 0, 1, outcome="fail"), read((7,), 2, 3)], {"made-up": 1}),
        ([add(1, 0, 1), remove(1, 2, 3), read((), 4, 5)], {}),
        ([add(1, 0, 1), remove(1, 2, 3), read((1,), 4, 5)], {"resurrected": 1}),
        ([add(1, 0, 1), remove(1, 2, 4), read((1,), 4, 5)], {}),
        ([add(1, 0, 9), remove(1, 2, 3), read((1,), 4, 5)], {}),
    ],
)
def test_a_set_keeps_what_it_acknowledged(history: list[Operation], found: dict[str, int]) -> None:
    verdict = set_loses_nothing(history)
    assert verdict.details["found"] == found
    assert verdict.validity == ("invalid" if found else "valid")
    assert bool(verdict.offending) == bool(found)


def test_a_stale_read_of_a_set_is_told_and_may_be_forbidden() -> None:
    history = [add(1, 0, 1), read((), 2, 3), read((1,), 4, 5)]
    verdict = set_loses_nothing(history)
    assert (verdict.validity, verdict.details["found"]) == ("valid", {"stale": 1})
    assert "1 of them were missing for a while" in verdict.reason
    assert set_loses_nothing(history, stale_is_wrong=True).validity == "invalid"


@pytest.mark.parametrize(
    ("history", "found"),
    [
        ([enqueue(1, 0, 1), dequeue(1, 2, 3)], {}),
        ([enqueue(1, 0, 1)], {}),  # it may be inside
        ([enqueue(1, 0, 1), dequeue(None, 2, 3)], {"lost": 1}),
        ([enqueue(1, 0, 1), dequeue(None, 1, 3)], {}),
        ([enqueue(1, 0, 1), dequeue(None, 2, 3, outcome="info"), dequeue(None, 4, 5)], {}),
        ([enqueue(1, 0, 1, outcome="info"), dequeue(None, 2, 3)], {}),
        ([enqueue(1, 0, 1), dequeue(1, 2, 3), dequeue(1, 4, 5)], {"duplicated": 1}),
        ([dequeue(4, 2, 3)], {"made-up": 1}),
        ([enqueue(1, 0, 1), enqueue(2, 0, 1), op("drain", None, (2,), at=(3, 4))], {"lost": 1}),
    ],
)
def test_a_queue_gives_out_what_was_put_in(history: list[Operation], found: dict[str, int]) -> None:
    verdict = queue_loses_nothing(history)
    assert verdict.details["found"] == found
    assert verdict.validity == ("invalid" if found else "valid")


@pytest.mark.parametrize(
    ("history", "validity"),
    [
        ([add(2, 0, 1), read(2, 2, 3)], "valid"),
        ([add(2, 0, 1), read(0, 2, 3)], "invalid"),
        ([add(2, 0, 1), read(0, 1, 3)], "valid"),
        ([add(2, 0, 5), read(2, 2, 3)], "valid"),
        ([add(2, 0, 1), read(3, 2, 3)], "invalid"),
        ([add(2, 0, 1, outcome="info"), read(0, 2, 3)], "valid"),
        ([add(2, 0, 1, outcome="fail"), read(2, 2, 3)], "invalid"),
        ([add(2, 0, 1), add(-3, 2, 5), read(-1, 3, 4)], "valid"),
        ([add(2, 0, 1), add(-3, 2, 5), read(-2, 3, 4)], "invalid"),
        ([add(2, 0, 1), add(-3, 2, 3), read(2, 4, 5)], "invalid"),
        ([add(2, 0, 1), read("two", 2, 3)], "invalid"),
        ([add(2, 0, 1)], "unknown"),
        ([add(2, 0, 1, key="a"), read(0, 2, 3, key="b")], "valid"),
    ],
)
def test_a_counter_stays_within_what_was_added(history: list[Operation], validity: str) -> None:
    assert within_bounds(history).validity == validity


def test_ids_are_unique() -> None:
    ids = [op("generate", None, n, at=(n, n + 1)) for n in range(4)]
    assert unique(ids).validity == "valid"
    verdict = unique([*ids, op("generate", None, 2, at=(7, 8))])
    assert verdict.reason == "the id 2 was given out twice"
    assert len(verdict.offending) == 2
    assert unique([]).validity == "unknown"


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        ([(("a", 5), ("b", 5)), (("a", 2), ("b", 8))], None),
        ([(("a", 5), ("b", 5)), (("a", 2), ("b", 5))], "wrong-total"),
        ([(("a", 5), ("b", 5)), (("a", -1), ("b", 11))], "below-zero"),
        ([(("a", 5), ("b", 5)), (("a", 10),)], "other-accounts"),
        ([{"a": 5}, {"a": 5}], None),
        ([7], "unreadable"),
    ],
)
def test_the_money_in_a_bank_stays_the_same(outputs: list[Any], kind: str | None) -> None:
    history = [read(output, 2 * n, 2 * n + 1) for n, output in enumerate(outputs)]
    verdict = constant_total(history)
    assert verdict.details["found"] == ({} if kind is None else {kind: 1})
    assert verdict.validity == ("valid" if kind is None else "invalid")
    if kind is None:
        assert constant_total(history, total=99).validity == "invalid"
    if kind == "below-zero":
        assert constant_total(history, overdraft=True).validity == "valid"
