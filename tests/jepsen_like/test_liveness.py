"""Progress that is demanded of whoever is well: of histories that were made for it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from jepsen_like import faults
from jepsen_like.checks.liveness import ASKED_MIN, liveness
from jepsen_like.faults import written
from jepsen_like.faults.liveness import WAYS, Liveness
from jepsen_like.history import Operation, Outcome, Unserved
from jepsen_like.result import FaultRecord, Verdict

S = 1_000_000_000

PHASE = FaultRecord(
    name="liveness within 5 s, n3 paused",
    kind="liveness",
    target="n3",
    role_before="",
    role_after="",
    start_ns=10 * S,
    end_ns=15 * S,
    healthy=("n1", "n2"),
    served=("shard-1",),
    verified_start=True,
    verified_end=True,
)


def asked(
    host: str, f: str, count: int, outcome: Outcome = "ok", *, key: int = 0, at_ns: int = 10 * S
) -> list[Operation]:
    """So many, one each 0.1 s from `at_ns` on."""
    return [
        Operation(
            1,
            f,
            key,
            None,
            outcome,
            None,
            sent,
            sent,
            sent + S // 20,
            host,
            "aborted",
        )
        for sent in range(at_ns, at_ns + count * S // 10, S // 10)
    ]


def judged(
    operations: Iterable[Operation],
    phase: FaultRecord = PHASE,
    unserved: Iterable[Unserved] = (),
) -> Verdict:
    """Key 0 is on shard-1, key 1 on shard-2, all others nowhere."""
    found = liveness(
        operations, unserved, [phase], lambda o: {0: "shard-1", 1: "shard-2"}.get(int(o.key))
    )
    assert found is not None
    return found


def test_without_a_phase_nothing_is_said() -> None:
    assert (
        liveness(asked("n1", "read", 20), (), [replace(PHASE, kind="kill")], lambda _: "x") is None
    )


def test_everybody_who_is_well_is_served() -> None:
    verdict = judged(asked("n1", "read", 20) + asked("n2", "write", 20))
    assert verdict.validity == "valid"
    assert verdict.details == {"parts": 2, "slowest_ns": S // 20}


def test_a_store_that_stands_still_is_convicted() -> None:
    verdict = judged(asked("n1", "read", 20, "info") + asked("n2", "read", 30, "info"))
    assert verdict.validity == "invalid"
    assert "n2 got none of 30 times `read` on shard-1 done, and 1 more of 2" in verdict.reason
    assert verdict.offending


def test_a_store_that_aborts_all_it_is_asked_to_write_is_convicted() -> None:
    """A livelock: reads go on, and every answer to a write is definite."""
    served = asked("n1", "read", 20) + asked("n2", "read", 20)
    verdict = judged([*served, *asked("n1", "write", 40, "fail")])
    assert verdict.validity == "invalid"
    assert "n1 got none of 40 times `write`" in verdict.reason
    assert "aborted" in verdict.reason


def test_one_host_that_is_not_served_is_enough() -> None:
    verdict = judged(asked("n1", "read", 20) + asked("n2", "read", 20, "fail"))
    assert verdict.validity == "invalid"


def test_who_is_not_connected_at_all_is_not_served() -> None:
    missed = [Unserved(11 * S + i, "n2", "read", 0) for i in range(ASKED_MIN)]
    assert judged(asked("n1", "read", 20), unserved=missed).validity == "invalid"
    assert judged(asked("n1", "read", 20), unserved=missed[:3]).validity == "unknown"


@pytest.mark.parametrize(
    "spared",
    [
        asked("n3", "read", 40, "info"),  # is broken
        asked("n1", "write", 40, "info", key=1),  # a group without a quorum
        asked("n1", "write", 40, "info", key=7),  # a group of which nobody knows
        asked("n1", "write", 40, "info", at_ns=5 * S),  # before the phase
        asked("n1", "write", 40, "info", at_ns=15 * S),  # after it
        asked("n1", "write", ASKED_MIN - 1, "info"),  # may be chance
    ],
)
def test_nothing_is_demanded_of(spared: list[Operation]) -> None:
    served = asked("n1", "read", 20) + asked("n2", "read", 20)
    assert judged([*served, *spared]).validity == "valid"


def test_a_weaker_level_is_no_progress() -> None:
    """A replica that is alone may answer it."""
    verdict = judged(asked("n1", "read any", 40) + asked("n1", "read", 40, "info"))
    assert verdict.validity == "invalid"


def test_too_little_to_tell() -> None:
    assert judged([]).validity == "unknown"
    assert judged(asked("n1", "read", 5, "info")).validity == "unknown"


def test_nothing_is_demanded_where_nobody_was_seen_to_be_well() -> None:
    blind = replace(PHASE, healthy=(), evidence=("NOT VERIFIED: no process runs on n1",))
    verdict = judged(asked("n1", "read", 40, "info"), blind)
    assert verdict.validity == "unknown"
    assert "no process runs on n1" in verdict.reason
    assert judged(asked("n1", "read", 40, "info"), replace(PHASE, served=())).validity == "unknown"


def test_of_several_phases_the_worst_counts() -> None:
    later = replace(PHASE, start_ns=20 * S, end_ns=25 * S)
    served = asked("n1", "read", 20) + asked("n2", "read", 20)
    stands = asked("n1", "read", 20, "info", at_ns=20 * S)
    found = liveness([*served, *stands], (), [PHASE, later], lambda _: "shard-1")
    assert found is not None
    assert found.validity == "invalid"


def test_what_stays_broken_is_drawn_and_never_a_majority() -> None:
    hosts = ("n1", "n2", "n3", "n4", "n5")
    seen: set[tuple[str, int]] = set()
    for seed in range(200):
        drawn = faults.liveness("10s").drawn(hosts, random.Random(seed))
        assert drawn == faults.liveness("10s").drawn(hosts, random.Random(seed))
        assert written.read(written.written(drawn)) == drawn
        assert len(drawn.broken) <= 2
        seen.add((drawn.way, len(drawn.broken)))
    assert {way for way, _ in seen} == set(WAYS)
    assert {count for _, count in seen} == {0, 1, 2}


def test_two_hosts_have_no_minority() -> None:
    for seed in range(20):
        assert not Liveness(5.0).drawn(("n1", "n2"), random.Random(seed)).broken
