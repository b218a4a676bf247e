"""Every workload acquits a correct store, and convicts the bugs that its docstring names."""

from __future__ import annotations

import random
import sqlite3
from itertools import islice
from typing import Any

import pytest

from jepsen_like import workloads
from jepsen_like.checks.of_workloads import BY_NAME, same_content
from jepsen_like.checks.values import Evidence
from jepsen_like.history import lint
from jepsen_like.load import Call
from jepsen_like.models.model import ILLEGAL
from jepsen_like.models.model import Call as Step
from jepsen_like.result import ReplicaComparison
from jepsen_like.workloads import SqlCall, Workload, register
from tests.jepsen_like.stores import Bug, judged, recorded, run_sql

ALL: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        workloads.register(keys=6),
        workloads.cas_register(keys=6),
        workloads.sessions(keys=3),
        workloads.set(keys=6),
        workloads.crash_replay(keys=3),
        workloads.monotonic(keys=3),
        workloads.single_writer(keys=3),
        workloads.counter(keys=6),
        workloads.unique_ids(keys=6),
        workloads.lease(keys=6),
        workloads.sequential(keys=3),
        workloads.schema_change(keys=3),
        workloads.append(keys=3),
        workloads.write_skew(keys=3),
        workloads.rw_register(keys=3),
        workloads.bank(keys=3),
        workloads.append(keys=3, over_shards=True, name="append-over-shards"),
        workloads.write_skew(keys=3, over_shards=True, name="write-skew-over-shards"),
        workloads.rw_register(keys=3, over_shards=True, name="rw-register-over-shards"),
        workloads.bank(keys=3, over_shards=True, name="bank-over-shards"),
        workloads.long_fork(keys=3),
        workloads.causal_reverse(keys=3),
    )
}
MODELLED = [name for name, workload in ALL.items() if workload.model() is not None]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ALL)
def test_a_correct_store_is_acquitted(name: str, seed: int) -> None:
    workload = ALL[name]
    history = recorded(workload, seed=seed)
    assert lint(history) == []
    for check in workload.judged_by:
        if check not in ("same content", "pacelc of registers"):
            verdict = judged(workload, check, history)
            assert verdict.validity == "valid", (check, verdict.reason)


CONVICTED: list[tuple[str, Bug, str]] = [
    ("register", "stale read", "linearizable"),
    ("register", "lost write", "linearizable"),
    ("register", "lost write", "lost writes"),
    ("register", "stale read", "sessions"),
    ("register", "stale read", "sequential"),
    ("cas-register", "no guard", "linearizable"),
    ("sessions", "stale read", "sessions"),
    ("set", "lost write", "nothing lost"),
    ("set", "resurrection", "nothing lost"),
    ("set", "stale read", "linearizable"),
    ("crash-replay", "lost write", "nothing lost"),
    ("monotonic", "stale read", "monotonic"),
    ("monotonic", "lost write", "monotonic"),
    ("single-writer", "stale read", "monotonic"),
    ("counter", "lost write", "within bounds"),
    ("counter", "double apply", "within bounds"),
    ("counter", "stale read", "linearizable"),
    ("unique-ids", "no guard", "unique"),
    ("lease", "no guard", "linearizable"),
    ("lease", "lost write", "linearizable"),
    ("sequential", "lost write", "in order"),
    ("append", "stale read", "strict serializable"),
    ("append", "lost write", "strict serializable"),
    ("append", "double apply", "strict serializable"),
    ("write-skew", "stale read", "strict serializable"),
    ("rw-register", "stale read", "strict serializable"),
    ("rw-register", "lost write", "strict serializable"),
    ("rw-register-over-shards", "stale read", "strict serializable"),
    ("bank", "stale read", "total kept"),
    ("bank", "lost write", "total kept"),
    ("append-over-shards", "stale read", "strict serializable"),
    ("write-skew-over-shards", "stale read", "strict serializable"),
    ("bank-over-shards", "stale read", "total kept"),
    ("bank-over-shards", "lost write", "total kept"),
    ("long-fork", "stale read", "long fork"),
    ("long-fork", "stale read", "causal reverse"),
    ("long-fork", "lost write", "causal reverse"),
    ("causal-reverse", "lost write", "causal reverse"),
    ("schema-change", "stale read", "linearizable"),
    ("schema-change", "lost write", "linearizable"),
]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("name", "bug", "check"), CONVICTED)
def test_a_bug_is_convicted(name: str, bug: Bug, check: str, seed: int) -> None:
    workload = ALL[name]
    verdict = judged(workload, check, recorded(workload, bug, seed=seed))
    assert verdict.validity == "invalid", verdict.reason
    assert verdict.offending


def test_every_workload_is_convicted_of_something() -> None:
    assert {name for name, _, _ in CONVICTED} == set(ALL)


def test_stale_reads_of_a_single_writer_are_measured() -> None:
    workload = ALL["single-writer"]
    verdict = judged(workload, "staleness", recorded(workload, "stale read"))
    assert verdict.details["stale_reads"] > 10
    assert verdict.details["versions_max"] >= 2
    assert judged(workload, "staleness", recorded(workload)).details["stale_reads"] == 0


@pytest.mark.parametrize("name", MODELLED)
def test_sql_and_model_agree(name: str) -> None:
    workload = ALL[name]
    model = workload.model()
    assert model is not None
    states: dict[int, Any] = {}
    keys = workload.keys(400)
    connection = sqlite3.connect(":memory:")
    connection.execute(workload.create_sql())
    for key in keys:
        loaded = workload.load_sql(key)
        if loaded is not None:
            assert isinstance(loaded, SqlCall)
            run_sql(connection, loaded)
    for call in islice(workload.calls(random.Random(5), keys), 400):
        sql = workload.sql(call)
        assert isinstance(sql, SqlCall)
        step = Step(call.f, call.value, run_sql(connection, sql), True)
        after = model.step(states.get(call.key, model.init()), step)
        assert after is not ILLEGAL, call
        assert model.describe(step)
        assert not model.is_pure(step) or after == states.get(call.key, model.init())
        states[call.key] = after
    connection.close()


@pytest.mark.parametrize("name", ALL)
def test_no_key_of_a_searched_workload_collects_many_unknown_outcomes(name: str) -> None:
    """About a sixth of the calls during a cut, half of which write: ten of sixty."""
    workload = ALL[name]
    if workload.judged_by[0] == "linearizable":
        calls = list(islice(workload.calls(random.Random(1), workload.keys(2000)), 2000))
        most = max(sum(c.key == key for c in calls) for key in {c.key for c in calls})
        assert most <= 60


@pytest.mark.parametrize("name", ALL)
def test_what_a_workload_cannot_do_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="not 'fly'"):
        ALL[name].sql(Call("fly", 1, 1))
    # Labels hang on faults, and on what is promised: nothing judges by them unasked.
    assert set(ALL[name].judged_by) <= {*BY_NAME, "pacelc of registers"}


def test_a_lost_row_cannot_be_taken_for_a_fresh_one() -> None:
    model = register().model()
    assert model is not None
    assert model.step(model.init(), Step("read", None, None, True)) is ILLEGAL


def test_a_workload_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        register(keys=0)


@pytest.mark.parametrize(
    ("comparison", "validity"),
    [
        (ReplicaComparison(6), "valid"),
        (ReplicaComparison(6, ("shard-1: the replica on n2 differs",)), "invalid"),
        (ReplicaComparison(5, (), ("shard-1 on n3: no answer",)), "unknown"),
        (ReplicaComparison(0), "unknown"),
        (None, "unknown"),
    ],
)
def test_replicas_that_differ_are_convicted(
    comparison: ReplicaComparison | None, validity: str
) -> None:
    evidence = Evidence((), (), (), {}, comparison=comparison)
    (verdict,) = same_content().judge(evidence).verdicts
    assert verdict.validity == validity
