"""What other programs print is read right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.suites.compatibility import over_shards
from tests.suites.outcomes import Outcome, outcomes
from tests.suites.pgbench.running import PgbenchFailed, Run, read_report
from tests.suites.reasons import compare, reason_of, reasons

PGBENCH = """\
pgbench (15.18)
pgbench: error: client 3 script 0 aborted in command 5 query 0: FATAL:  08007
pgbench: error: client 6 aborted in state 4: server closed the connection unexpectedly
scaling factor: 10
number of transactions actually processed: 1234
number of failed transactions: 2 (0.162%)
number of transactions retried: 17 (1.4%)
total number of retries: 20
latency average = 5.1 ms
initial connection time = 10 ms
tps = 617.500000 (without initial connection time)
"""

JUNIT = """\
<testsuites><testsuite name="pytest">
<testcase classname="tests.test_a.TestA" name="test_one" />
<testcase classname="tests.test_a.TestA" name="test_two">
<failure message="no&#10;more">x</failure></testcase>
<testcase classname="tests.test_a.TestA" name="test_one"><error message="teardown" /></testcase>
<testcase classname="tests.test_a.TestA" name="test_nul"><skipped message="y" /></testcase>
</testsuite></testsuites>
"""


def test_a_report_of_pgbench() -> None:
    assert read_report(PGBENCH) == Run(1234, failed=2, retried=17, tps=617.5, aborted=2)
    with pytest.raises(PgbenchFailed, match="connection refused"):
        read_report("pgbench: error: connection refused\n")


def test_a_report_of_pytest() -> None:
    """A test that fails only while it is cleaned up is told twice, and has failed."""
    assert outcomes(JUNIT, "tests.") == [
        Outcome("test_a.TestA.test_nul", "skipped"),
        Outcome("test_a.TestA.test_one", "failed", "teardown"),
        Outcome("test_a.TestA.test_two", "failed", "no"),
    ]


def test_the_first_reason_that_fits_counts() -> None:
    known = reasons("# why\n\ntest_a.*.test_two | one reason\ntest_a.* | another\n")
    assert reason_of("test_a.TestA.test_two", known) == "one reason"
    assert reason_of("test_a.TestA.test_one", known) == "another"
    assert reason_of("test_b.TestB.test_one", known) == ""


def test_what_passes_over_shards_is_counted_by_placement_and_reason(tmp_path: Path) -> None:
    (tmp_path / "baseline.txt").write_text("a.one\na.two\na.three\nb.four\n")
    (tmp_path / "reasons-home.txt").write_text("# none\n")
    (tmp_path / "reasons-sharded.txt").write_text("a.t* | a key\nb.* | an order\n")
    assert over_shards(tmp_path).splitlines()[-4:] == [
        "- `home`: 4 of 4 pass",
        "- `sharded`: 1 of 4 pass:",
        "  - 2: a key",
        "  - 1: an order",
    ]


def test_a_test_that_did_not_run_has_failed(tmp_path: Path) -> None:
    (tmp_path / "baseline.txt").write_text("a.one\na.two\na.three\n")
    (tmp_path / "reasons.txt").write_text("a.two | refused\n")
    found = [Outcome("a.one", "passed"), Outcome("a.two", "failed"), Outcome("b.new", "failed")]
    result = compare(found, tmp_path)
    assert (result.expected, result.passed, result.unexplained) == (3, 1, 1)
    assert [(o.test, o.message, why) for o, why in result.failed] == [
        ("a.three", "it did not run", ""),
        ("a.two", "", "refused"),
    ]
