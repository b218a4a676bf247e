"""Under CI a skip is a failure, unless `tests/allowed_skips.txt` names the test and its reason.

A suite that quietly skips what it could not run proves nothing; on a laptop without, say,
psql, skipping (and saying which package is missing) is the friendly thing.
"""

from __future__ import annotations

import fnmatch
import gc
import os
import re
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

settings.register_profile("the same each time", derandomize=True, deadline=None)
settings.register_profile("others each time", deadline=None, print_blob=True)
settings.load_profile("the same each time")
"""A change is refused for what it breaks, not for what luck finds: that is for `make nightly`."""

_ALLOWED = Path(__file__).with_name("allowed_skips.txt")
_PROCESSES = ("power", "process")
_DIRECTORIES = tuple(f"tests/{directory}/" for directory in _PROCESSES)
_PARTS = ("long", "nightly", "processes", "alone", "computes")
"""Marks that parts of the suite are chosen by: a test has them by their names, or as said below."""


def has_none(chosen: str, path: str, text: str) -> bool:
    """Whether no test of a file, of such a path and text, can be `chosen`, an expression of marks:
    some mark of ours has to be there, and is not. False if it takes more than that to know."""
    if re.fullmatch(r"(not )?\w+( and (not )?\w+)*", chosen) is None:
        return False
    given = ("processes", "alone") if path.startswith(_DIRECTORIES) else ()
    needed = set(chosen.split(" and ")).intersection(_PARTS).difference(given)
    return any(f"mark.{mark}" not in text for mark in needed)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """All files take a quarter of a minute to be imported, in each worker of each part; most parts
    have tests in few of them."""
    if not collection_path.match("test_*.py"):
        return None
    path = collection_path.relative_to(config.rootpath).as_posix()
    text = collection_path.read_text(encoding="utf-8")
    return has_none(config.option.markexpr, path, text) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of processes wait more than they compute: `make test` keeps them from those that
    compute, and lets two of them run at a time. The long ones have a load and faults that are
    looked at while they last: unless they say that they can do with less, they run alone. What
    only computes leaves the machine to them, and may run meanwhile."""
    for item in items:
        said = {mark.name for mark in item.iter_markers()}
        if item.nodeid.startswith(_DIRECTORIES) and not said & {"processes", "alone", "computes"}:
            item.add_marker(pytest.mark.alone if "long" in said else pytest.mark.processes)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected lives to the end: the collector need not walk it, now or
    later, as in the programs. A test that has garbage collected then spends milliseconds on it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def allowed_skips(text: str) -> list[tuple[str, str]]:
    """(test id pattern, reason) of each line; raises ValueError for a line without both."""
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        test_id, tab, reason = line.partition("\t")
        if not tab or not reason.strip():
            raise ValueError(f"allowed_skips.txt:{number}: write the test id, a tab, the reason")
        pairs.append((test_id.strip(), reason.strip()))
    return pairs


def skip_is_allowed(test_id: str, reason: str, allowed: list[tuple[str, str]]) -> bool:
    return any(
        fnmatch.fnmatchcase(test_id, pattern) and wanted in reason for pattern, wanted in allowed
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        allowed = allowed_skips(_ALLOWED.read_text(encoding="utf-8"))
        if not skip_is_allowed(item.nodeid, reason, allowed):
            report.outcome = "failed"
            report.longrepr = f"skipped under CI, and not in tests/allowed_skips.txt: {reason}"
    return report


def _oracle() -> ModuleType | None:
    """Only if a test of this run compares with it."""
    return sys.modules.get("tests.jepsen_like.oracle")


def pytest_sessionfinish(session: pytest.Session) -> None:
    oracle = _oracle()
    if oracle is not None and oracle.too_few() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure() -> None:
    """Behind pytest's own last line."""
    oracle = _oracle()
    if oracle is not None and oracle.AT_LEAST:
        few = f"; at least {oracle.AT_LEAST} were promised" if oracle.too_few() else ""
        print(oracle.summary() + few)
