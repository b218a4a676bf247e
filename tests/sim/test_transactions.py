"""Interleaved transactions under changes of leaders are strictly serializable; broken on purpose
in ways that have names, they are convicted."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.checks.transactions import check
from nodes import applied_state, speculation, transaction_unit
from nodes.authorizer import OWN
from nodes.protocol import SqlFailure
from tests.nodes import block
from tests.sim.transactions import Faults, Run, run

SEEDS = 10
NOTHING = OWN + "SELECT 1"


def judged(found: Run) -> Any:
    return check(found.history, "list-append", "strict-serializable")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_transactions_are_strictly_serializable(seed: int, tmp_path: Path) -> None:
    found = run(seed, tmp_path)
    verdict = judged(found)
    assert verdict.validity == "valid", (verdict, found.counts)
    assert found.contents == [found.contents[0]] * 3
    # And what this is about did happen.
    counts = found.counts
    assert counts["ok"] > 40, counts
    assert counts["40001"] > 3, counts
    assert counts["elections"] > 5, counts


def no_compare(patch: pytest.MonkeyPatch) -> Faults:
    patch.setattr(transaction_unit, "refuse_difference", lambda *_: None)
    patch.setattr(speculation, "refuse_difference", lambda *_: None)
    return Faults()


def digest_without_rows(patch: pytest.MonkeyPatch) -> Faults:
    def digest_of(outcome: Any) -> bytes:
        said = outcome.sqlstate if isinstance(outcome, SqlFailure) else outcome.row_count
        return blake2b(repr(said).encode(), digest_size=16).digest()

    for module in (transaction_unit, block):
        patch.setattr(module, "digest_of", digest_of)
    return Faults()


def unit_not_rolled_back(patch: pytest.MonkeyPatch) -> Faults:
    patch.setattr(applied_state, "ROLLBACK_TO", NOTHING)
    return Faults()


def savepoint_not_rolled_back(patch: pytest.MonkeyPatch) -> Faults:
    marks = {**transaction_unit._MARKS, "rollback": NOTHING}
    patch.setattr(transaction_unit, "_MARKS", marks)
    return Faults()


def earlier_steps_not_run_again(patch: pytest.MonkeyPatch) -> Faults:
    def steps_that_ran(self: Any, asked: Any) -> int:
        self.give_up()
        return len(asked.transaction.steps) - 1

    patch.setattr(speculation.Speculation, "_steps_that_ran", steps_that_ran)
    return Faults()


def committed_twice(_: pytest.MonkeyPatch) -> Faults:
    return Faults(commits_twice=True)


def no_barrier(_: pytest.MonkeyPatch) -> Faults:
    return Faults(skips_barrier=True)


MUTANTS: list[Callable[[pytest.MonkeyPatch], Faults]] = [
    no_compare,
    digest_without_rows,
    unit_not_rolled_back,
    savepoint_not_rolled_back,
    earlier_steps_not_run_again,
    committed_twice,
    no_barrier,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: str(mutant.__name__))
def test_what_is_broken_on_purpose_is_convicted(
    mutant: Callable[[pytest.MonkeyPatch], Faults], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = mutant(monkeypatch)
    for seed in range(SEEDS):
        found = run(seed, tmp_path / str(seed), faults=faults)
        verdict = judged(found)
        if verdict.validity == "invalid":
            return
    pytest.fail(f"not noticed in {SEEDS} runs: {found.counts}")
