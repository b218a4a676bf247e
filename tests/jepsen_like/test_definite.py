"""Errors called definite that were none: what shows them, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from jepsen_like.history import NEVER_COMMITTED, Operation, Outcome, contradicted, in_words


def op(f: str, value: Any, outcome: Outcome, at: int, output: Any = None, **more: Any) -> Operation:
    error = more.pop("error", "" if outcome == "ok" else "refused")
    process = more.pop("process", at)
    return Operation(
        process, f, 1, value, outcome, output, at, at, at + 5, "n1", error=error, **more
    )


def test_a_read_that_shows_it_says_so_in_words() -> None:
    write, read = op("write", 7, "fail", 0), op("read", None, "ok", 20, 7)
    assert contradicted([write, op("read", None, "ok", 10, 0), read]) == [(write, read)]
    assert in_words(write, read) == (
        "the adapter called the error of write 7 of key 1 definite ('refused' on n1), but its "
        "value was read 0.000 s after it was sent, on n1: such an error has to be info"
    )


@pytest.mark.parametrize(
    "operations",
    [
        [op("cas", (3, 7), "fail", 0), op("read any", None, "ok", 20, 7)],
        [op("add", 7, "fail", 0), op("read", None, "ok", 20, (1, 7))],
    ],
    ids=["a compare-and-set read at a weaker level", "an element of a set"],
)
def test_other_calls_are_found_out_too(operations: list[Operation]) -> None:
    assert contradicted(operations) == [tuple(operations)]


@pytest.mark.parametrize(
    "operations",
    [
        [op("write", 7, "info", 0), op("read", None, "ok", 20, 7)],
        [op("write", 7, "fail", 0), op("write", 7, "ok", 8), op("read", None, "ok", 20, 7)],
        [op("write", 7, "fail", 40), op("read", None, "ok", 20, 7)],
        [op("write", 0, "fail", 0), op("read", None, "ok", 20, 0)],
        [op("write", 7, "fail", 0, error=NEVER_COMMITTED + "x"), op("read", None, "ok", 20, 7)],
        [op("add", 7, "fail", 0), op("read", None, "ok", 20, 7)],
        [op("write", 7, "fail", 0), op("read", None, "fail", 20, 7)],
    ],
    ids=[
        "it was not called definite",
        "something else wrote it",
        "it was read before it was sent",
        "it was there at first",
        "its transaction never committed, which is for another check",
        "the sum of a counter",
        "the read failed",
    ],
)
def test_what_proves_nothing(operations: list[Operation]) -> None:
    assert contradicted(operations, initial=0) == []
