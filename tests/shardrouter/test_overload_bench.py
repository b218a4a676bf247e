"""When the question `overload` says that a router has recovered: rules, on tenths of seconds
made by hand."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from bench.question import Verdict
from bench.questions.overload import WINDOW, recovery, recovery_s

CALM_P99_MS = 10.0
TENTHS = 3 * WINDOW


def after(**changed: list[float]) -> dict[str, Any]:
    """A phase in which all goes well, but for what is `changed` in its first tenths."""
    well = {
        "p99_ms": CALM_P99_MS,
        "arrived": 100,
        "answered": 100,
        "refused": 0,
        "failed": 0,
    }
    tenths = {
        f"{name}_of_each_tenth": [*changed.get(name, ()), *[value] * TENTHS][:TENTHS]
        for name, value in well.items()
    }
    return {"calm": {"p99_ms": CALM_P99_MS}, "after": tenths}


def test_a_router_that_was_never_disturbed_has_recovered_at_once() -> None:
    assert recovery_s(after()) == 0


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"answered": [0, 0, 0], "p99_ms": [0.0, 0.0, 0.0]}, id="no answer"),
        pytest.param({"answered": [20] * 3}, id="few answers"),
        pytest.param({"refused": [0, 0, 1]}, id="refused"),
        pytest.param({"failed": [0, 0, 1]}, id="failed"),
    ],
)
def test_what_is_not_answered_is_no_recovery(changed: dict[str, list[float]]) -> None:
    assert recovery_s(after(**changed)) in (0.2, 0.3)


def test_a_single_slow_tenth_is_no_overload_and_a_slow_half_second_is() -> None:
    assert recovery_s(after(p99_ms=[50.0])) == 0
    assert recovery_s(after(p99_ms=[50.0] * WINDOW)) == 0.3


def test_one_that_never_answers_has_never_recovered() -> None:
    assert recovery_s(after(answered=[0] * TENTHS, p99_ms=[0.0] * TENTHS)) == math.inf


def test_what_never_recovers_is_a_missed_target_that_can_be_kept() -> None:
    never = recovery(after(answered=[0] * TENTHS, p99_ms=[0.0] * TENTHS))
    assert not never.is_met
    assert never.note.startswith("not within")
    assert msgspec.json.decode(msgspec.json.encode(never), type=Verdict) == never
    assert recovery(after()).is_met
