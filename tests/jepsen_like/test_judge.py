"""From a recording to verdicts: what the harness itself got wrong makes a run unknown."""

from __future__ import annotations

import dataclasses

from jepsen_like import load, workloads
from jepsen_like.history import History, Operation
from jepsen_like.judge import judge
from jepsen_like.load import Call
from jepsen_like.recording import Recording
from jepsen_like.result import RunResult
from jepsen_like.spec import Test
from tests.jepsen_like.register_db import GROUP, RegisterDb

READ = Operation(0, "read", 1, None, "ok", 0, 0, 10, 20, "n1", workload="register")


class DefiniteRegisterDb(RegisterDb):
    """One that says itself which of its errors are definite."""

    tells_definite_errors = True


def judged(
    *operations: Operation,
    unread: tuple[tuple[Call, str], ...] = (),
    db: type[RegisterDb] = RegisterDb,
    backend: str = "proxy",
) -> RunResult:
    test = Test(
        name="registers",
        db=db(),
        workloads=[workloads.register(keys=1)],
        load=load.open_loop(rate=10, deadline="100ms"),
    )
    recording = Recording(
        test=test,
        seed=1,
        backend=backend,
        started_at="2026-01-01T00:00:00+00:00",
        zero_s=0.0,
        duration_ns=100,
        history=History(operations),
        unserved=(),
        faults=(),
        leaders={GROUP: "n1"},
        groups={("register", 1): GROUP},
        unread=unread,
    )
    return judge(recording, command="jepsen-like run")


def test_a_well_formed_history_that_is_linearizable_is_valid() -> None:
    result = judged(READ)
    assert result.validity == "valid"
    assert {v.check for v in result.verdicts} == {"linearizable", "history", "final reads"}


def test_a_report_of_a_simulation_says_what_it_does_not_cover() -> None:
    (said,) = set(judged(READ, backend="sim").notes) - set(judged(READ).notes)
    assert said.startswith("simulated: says nothing of what only real processes have")
    assert "races of threads" in said


def test_a_process_that_goes_on_after_info_makes_the_run_unknown() -> None:
    lost = dataclasses.replace(READ, outcome="info", output=None, error="no answer")
    again = dataclasses.replace(READ, sent_ns=30, returned_ns=40)
    result = judged(lost, again)
    assert result.validity == "unknown"
    (verdict,) = [v for v in result.verdicts if v.check == "history"]
    assert "its process had ended with info" in verdict.reason


def test_a_stale_read_is_invalid_even_where_the_history_is_malformed() -> None:
    stale = dataclasses.replace(READ, output=99)
    early = dataclasses.replace(READ, process=1, scheduled_ns=15, sent_ns=12)
    assert judged(stale, early).validity == "invalid"


def test_a_key_that_was_never_read_again_makes_the_run_unknown() -> None:
    assert (
        judged(READ, unread=((Call("read", 1, workload="register"), "n2"),)).validity == "unknown"
    )


WRITE = dataclasses.replace(
    READ, f="write", value=7, outcome="fail", error="refused", sent_ns=1, returned_ns=2
)
SEEN = dataclasses.replace(READ, process=1, output=7)


def test_an_error_that_was_called_definite_and_was_none_convicts_nobody() -> None:
    result = judged(dataclasses.replace(WRITE, scheduled_ns=1), SEEN)
    assert result.validity == "unknown"
    verdicts = {verdict.check: verdict for verdict in result.verdicts}
    assert verdicts["linearizable"].validity == "unknown"
    assert "an error called definite was none, so this proves nothing" in (
        verdicts["linearizable"].reason
    )
    assert verdicts["definite errors"].reason.startswith(
        "the adapter called the error of write 7 of key 1 definite ('refused' on n1), but its "
        "value was read"
    )
    assert [o.f for o in verdicts["definite errors"].offending] == ["write", "read"]


def test_a_database_that_calls_an_error_definite_itself_is_convicted_if_it_was_none() -> None:
    result = judged(dataclasses.replace(WRITE, scheduled_ns=1), SEEN, db=DefiniteRegisterDb)
    assert result.validity == "invalid"
    verdicts = {verdict.check: verdict for verdict in result.verdicts}
    assert verdicts["linearizable"].validity == "invalid"
    assert verdicts["definite errors"].validity == "invalid"
    assert verdicts["definite errors"].reason.startswith("the database called the error of write 7")


def test_a_made_up_value_still_convicts() -> None:
    other = dataclasses.replace(WRITE, scheduled_ns=1, value=8)
    assert judged(other, SEEN).validity == "invalid"
