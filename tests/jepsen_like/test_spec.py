"""A test as a value: several workloads share one load, and what does not fit is named."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import Any

import pytest

from jepsen_like import checks, faults, load, workloads
from jepsen_like.checks.corners import OperationClass
from jepsen_like.spec import SpecError, Test
from jepsen_like.workloads.levels import levelled_register
from tests.jepsen_like.register_db import RegisterDb


def made(*of: Any, **others: Any) -> Test:
    usual = {"db": RegisterDb(), "load": load.open_loop(rate=10, deadline="100ms")}
    return Test(name="shared", workloads=of, **{**usual, **others})


def test_workloads_share_the_load_by_weight() -> None:
    test = made(workloads.register(weight=3), workloads.cas_register())
    keys = test.keys(4000)
    calls = list(islice(test.calls(keys, seed=1), 4000))
    counts = Counter(call.workload for call in calls)
    assert 2850 < counts["register"] < 3150
    assert len(keys["register"]) > 2 * (len(keys["cas-register"]) - 48)
    assert calls == list(islice(test.calls(keys, seed=1), 4000))


def test_a_workload_more_changes_no_call_of_the_others() -> None:
    alone, shared = made(workloads.register()), made(workloads.register(), workloads.cas_register())
    keys = {"register": range(100), "cas-register": range(100)}
    mine = (call for call in shared.calls(keys, seed=7) if call.workload == "register")
    assert list(islice(mine, 500)) == list(islice(alone.calls(keys, seed=7), 500))


def test_two_workloads_of_one_kind_need_names() -> None:
    with pytest.raises(SpecError, match=r"two workloads with the name register; .*name="):
        made(workloads.register(), workloads.register())
    second = workloads.register(name="second")
    assert {w.table for w in made(workloads.register(), second).workloads} == {
        "of_register",
        "of_second",
    }


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(SpecError, match="has no workloads; give at least one"):
        made()
    with pytest.raises(ValueError, match="'two words' names no workload"):
        workloads.register(name="two words")
    with pytest.raises(ValueError, match="weight of the register workload must be above 0"):
        workloads.register(weight=0)
    with pytest.raises(ValueError, match=r"0\.8 reads and 0.4 writes is impossible"):
        workloads.RegisterMix(0.8, 0.4)


def test_each_workload_is_judged_by_what_fits_it() -> None:
    test = made(workloads.register(), checks=[checks.availability()])
    (register,) = test.workloads
    assert [check.name for check in test.checks_of(register)] == ["linearizable"]
    assert [check.name for check in test.checks_of_the_run()] == ["availability"]
    without = made(workloads.register())
    assert [check.name for check in without.checks_of_the_run()] == ["availability", "recovery"]


def test_a_check_that_fits_no_workload_is_named_with_those_that_do() -> None:
    with pytest.raises(SpecError, match=r"sessions judges none .* unique-ids by unique\."):
        made(workloads.unique_ids(), checks=[checks.sessions()])
    mixed = made(workloads.register(), workloads.unique_ids(), checks=[checks.sessions()])
    judges = [[check.name for check in mixed.checks_of(w)] for w in mixed.workloads]
    assert judges == [["sessions"], ["unique"]]


@pytest.mark.parametrize(
    ("of", "others", "complaint"),
    [
        ([workloads.register], {}, "register is no workload; write workloads.register() or"),
        (["register"], {}, "'register' is no workload"),
        ([workloads.register()], {"checks": ["linearizable"]}, "'linearizable' is no check"),
        ([workloads.register()], {"checks": [checks.recovery]}, "recovery is no check"),
        ([workloads.register()], {"checks": "recovery"}, "checks='recovery' is no list; write"),
        (
            [workloads.register()],
            {"faults": [faults.kill]},
            'kill is no fault; write faults.kill("one',
        ),
        ([workloads.register()], {"load": 300}, "load=300 is no load; write load=load.open_loop("),
        ([workloads.register()], {"db": RegisterDb}, "RegisterDb is no database; write db=Shard"),
    ],
)
def test_what_is_no_value_is_named(of: list[Any], others: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SpecError, match=re.escape(complaint)):
        made(*of, **others)


@pytest.mark.parametrize("module", [checks, workloads])
def test_a_misspelt_name_is_answered_with_those_there_are(module: Any) -> None:
    with pytest.raises(AttributeError, match=r"there is no (check|workload) regster; there are"):
        _ = module.regster


def test_the_replicas_are_compared_when_a_check_asks_for_it() -> None:
    assert made(workloads.crash_replay()).compares_replicas
    assert not made(workloads.set()).compares_replicas


def test_a_workload_whose_check_must_be_told_what_to_expect() -> None:
    with pytest.raises(SpecError, match=r"levelled-register is judged by pacelc, which has to be"):
        made(levelled_register(["any"]))


def test_labels_hang_on_the_workload_whose_classes_they_are() -> None:
    test = made(
        levelled_register(["any"]),
        workloads.register(),
        checks=[checks.pacelc((OperationClass("read any", "any", "PA/EL"),), control="read any")],
    )
    levelled, register = test.workloads
    assert [check.name for check in test.checks_of(levelled)] == ["pacelc"]
    assert "pacelc" not in {check.name for check in test.checks_of(register)}


def test_registers_of_any_test_may_be_labelled() -> None:
    test = made(workloads.register(), workloads.set(), checks=[checks.pacelc()])
    register, elements = test.workloads
    assert [check.name for check in test.checks_of(register)] == ["pacelc of registers"]
    assert "pacelc of registers" not in {check.name for check in test.checks_of(elements)}
