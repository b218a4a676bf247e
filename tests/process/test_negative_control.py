"""The harness convicts a database that serves stale reads, and acquits the one as shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.process.negative_control import run_control

pytestmark = pytest.mark.long


def test_reads_without_a_quorum_are_convicted(tmp_path: Path) -> None:
    result = run_control(stale=True, seed=1, out=tmp_path)
    assert result.validity == "invalid"
    (verdict,) = [v for v in result.verdicts if v.validity == "invalid"]
    assert verdict.check == "linearizable"
    assert any(operation.f == "read" for operation in verdict.offending)
    assert all(fault.verified for fault in result.faults), result.faults


def test_the_database_as_shipped_is_valid(tmp_path: Path) -> None:
    result = run_control(stale=False, seed=1, out=tmp_path)
    assert result.validity == "valid", [v.reason for v in result.verdicts]
    assert len(result.operations) > 300
