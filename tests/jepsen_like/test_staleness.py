"""Staleness per read against the definition executed, and the curves against known answers."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jepsen_like.checks.delta import Delta
from jepsen_like.checks.pbs import AGES_NS, WINDOWS, curves
from jepsen_like.checks.staleness import measure, staleness
from jepsen_like.history import Operation
from tests.jepsen_like.histories import cas, op, read, write
from tests.jepsen_like.oracle import compared
from tests.jepsen_like.test_algorithms import HISTORIES

MS = 1_000_000


def least_versions(history: list[Operation], at: int) -> int | None:
    """The definition: of all orders that respect the clock and put writes before their reads,
    the least number of writes between the read at `at` and its write. None: there is no order."""
    kept = [
        o
        for o in history
        if o.outcome == "ok" or any(r.f == "read" and r.output == o.value for r in history)
    ]
    place = kept.index(history[at])

    def before(a: Operation, b: Operation) -> bool:
        by_clock = a.outcome == "ok" and a.returned_ns < b.sent_ns
        return by_clock or (a.f == "write" and b.f == "read" and b.output == a.value)

    least = None
    for order in itertools.permutations(range(len(kept))):
        spot = {i: n for n, i in enumerate(order)}
        pairs = itertools.permutations(range(len(kept)), 2)
        if any(before(kept[a], kept[b]) and spot[a] > spot[b] for a, b in pairs):
            continue
        writes = [kept[i].value for i in order[: spot[place]] if kept[i].f == "write"]
        output = history[at].output
        newer = writes if output is None else writes[writes.index(output) + 1 :]
        least = len(newer) if least is None else min(least, len(newer))
    return least


def register_history(rng: random.Random) -> list[Operation]:
    """Distinct writes, and reads of any of them, past or future; some of unknown outcome."""
    history = []
    writes = rng.randrange(1, 4)
    for n in range(writes + rng.randrange(1, 3)):
        sent = rng.randrange(12)
        at = (sent, sent + rng.randrange(5))
        if n < writes:
            done = write(n + 1, *at, process=n)
            history.append(replace(done, outcome="info") if rng.random() < 0.2 else done)
        else:
            history.append(read(rng.choice([None, *range(1, writes + 1)]), *at, process=n))
    return history


def agree_with_the_definition(history: list[Operation]) -> int:
    found = measure(history)
    assert not found.not_measured
    reads = {read.position: read for key in found.keys for read in key.reads}
    stale = 0
    for i, operation in enumerate(history):
        if operation.f != "read":
            continue
        wanted = least_versions(history, i)
        if wanted is None:
            assert found.impossible, history
            continue
        if found.impossible:
            continue
        assert reads[i].versions == wanted, (history, i)
        # t is how much earlier it would have to be sent not to be stale
        t = reads[i].stale_ns
        for sooner, is_stale in ((t, False), (t - 1, True)):
            if sooner >= 0 and wanted:
                moved = [*history]
                moved[i] = replace(operation, sent_ns=operation.sent_ns - sooner)
                assert bool(least_versions(moved, i)) == is_stale, (history, i, sooner)
        stale += wanted > 0
        delta = found.delta
        assert delta.known
        assert delta.ns is None or delta.ns >= t
    compared(history, "k- and t-staleness")
    return stale


def test_agrees_with_the_definition_on_drawn_histories() -> None:
    rng = random.Random(7)
    stale = sum(agree_with_the_definition(register_history(rng)) for _ in range(HISTORIES))
    assert stale > HISTORIES / 5


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_agrees_with_the_definition(rng: random.Random) -> None:
    agree_with_the_definition(register_history(rng))


def one(*history: Operation, initial: Any = None) -> tuple[int, int, int | None]:
    (key,) = measure(history, initial).keys
    last = key.reads[-1]
    return last.versions, last.stale_ns, last.newest_ns


def test_versions_and_time_of_one_read() -> None:
    three = [write(1, 0, 10), write(2, 20, 30), write(3, 40, 50)]
    assert one(*three, read(3, 75, 80)) == (0, 0, 25)
    assert one(*three, read(2, 75, 80)) == (1, 25, 25)
    assert one(*three, read(1, 75, 80)) == (2, 45, 25)
    assert one(*three, read(None, 75, 80)) == (3, 65, 25)
    assert one(read(None, 0, 1), write(1, 5, 6)) == (0, 0, None)
    assert one(*three, read("first", 75, 80), initial="first") == (3, 65, 25)


def test_a_write_is_known_when_a_read_has_returned_it() -> None:
    lost = replace(write(2, 20, 90), outcome="info")
    assert one(write(1, 0, 10), lost, read(1, 75, 80)) == (0, 0, 65)
    assert one(write(1, 0, 10), lost, read(2, 25, 30), read(1, 75, 80)) == (1, 45, 45)


def test_a_matched_compare_and_set_is_a_write() -> None:
    assert one(write(1, 0, 10), cas(1, 2, True, 20, 30), read(1, 75, 80)) == (1, 45, 45)
    assert one(write(1, 0, 10), cas(5, 2, False, 20, 30), read(1, 75, 80)) == (0, 0, 65)


def test_concurrent_versions_are_not_stale_but_delta_sees_them_change_places() -> None:
    both = [write(1, 0, 100), write(2, 0, 100)]
    back_and_forth = [read(1, 10, 20), read(2, 30, 40), read(1, 50, 60)]
    found = measure([*both, *back_and_forth])
    assert [r.versions for r in found.keys[0].reads] == [0, 0, 0]
    assert found.delta == Delta(10)  # the second read may count as sent at 20, beside the first


# --- as the papers have it -----------------------------------------------------------------------


def test_delta_atomicity_is_that_of_golab_li_and_shah_2011() -> None:
    """Only the starts of reads move, by the same Delta, until the history is atomic."""
    overwritten = [write(1, 0, 10), write(2, 20, 30)]
    assert measure([*overwritten, read(1, 75, 80)]).delta == Delta(45)  # 75 - 30: they overlap
    assert measure([*overwritten, read(1, 30, 80)]).delta == Delta(0)  # they overlap already
    # The worst read decides; moving one of them alone would not do
    two = [read(1, 40, 50), read(1, 75, 80, process=1)]
    assert measure([*overwritten, *two]).delta == Delta(45)
    # Writes do not move: of two reads that see them the wrong way round the first must reach back
    swapped = [*overwritten, read(2, 40, 50), read(1, 60, 70, process=1)]
    assert measure(swapped).delta == Delta(30)


def least_k(history: list[Operation]) -> int | None:
    """The definition of k-atomicity (Aiyer, Alvisi and Bazzi 2005): the least k so that in one
    order of all operations, which respects the clock, each read returns one of the last k writes
    before it."""
    found = []
    for order in itertools.permutations(history):
        written: list[int] = []
        needed = 1
        for n, operation in enumerate(order):
            if any(later.returned_ns < operation.sent_ns for later in order[n + 1 :]):
                break
            if operation.f == "write":
                written.append(operation.value)
            elif operation.output in written:
                needed = max(needed, len(written) - written.index(operation.output))
            else:
                break
        else:
            found.append(needed)
    return min(found, default=None)


def test_k_of_each_read_is_a_bound_on_the_k_of_k_atomicity() -> None:
    three = [write(1, 0, 10), write(2, 20, 30), write(3, 40, 50)]
    for value, k in ((3, 1), (2, 2), (1, 3)):  # 1-atomic is linearizable
        history = [*three, read(value, 75, 80)]
        assert least_k(history) == k
        assert measure(history).keys[0].versions_max == k - 1
    both = [write(1, 0, 100), write(2, 0, 100), read(1, 10, 20), read(2, 30, 40), read(1, 50, 60)]
    assert least_k(both) == 2  # the reads must share an order; each by itself is fresh
    assert measure(both).keys[0].versions_max == 0
    rng = random.Random(12)
    exact = apart = 0
    for _ in range(150):
        drawn = [o for o in register_history(rng) if o.outcome == "ok"]
        history = [o for o in drawn if o.f == "write" or o.output is not None]
        needed = least_k(history) if len(history) < 7 else None
        if needed is None or not (keys := measure(history).keys):
            continue
        assert keys[0].versions_max + 1 <= needed, history
        exact += keys[0].versions_max + 1 == needed
        apart += keys[0].versions_max + 1 < needed
    assert exact > 30, (exact, apart)


def test_the_curve_of_versions_is_that_of_bailis_et_al_2012() -> None:
    """Their closed form: of N replicas a write reaches W and a read asks R, and nothing else moves.
    A read is within k versions unless it missed the last k writes: 1 - (C(N-W, R) / C(N, R))^k."""
    rng = random.Random(4)
    replicas = [0, 0, 0]  # N = 3, R = W = 1
    history = [write(0, 0, 1)]
    for n in range(1, 6_001):
        at = 10 * n
        replicas[rng.randrange(3)] = n
        history.append(write(n, at, at + 1))
        history.append(read(replicas[rng.randrange(3)], at + 3, at + 4, process=1))
    points = {p["at"] + 1: p for p in staleness(history).details["pbs"]["versions"]}
    for k, share in ((1, 0.333), (2, 0.556), (3, 0.704), (4, 0.802), (11, 0.988)):
        assert share == pytest.approx(1 - (2 / 3) ** k, abs=0.001)
        assert points[k]["share"] == pytest.approx(share, abs=0.02), k


def test_what_no_staleness_explains_is_invalid() -> None:
    verdict = staleness([write(1, 0, 10), read(7, 20, 30)])
    assert (verdict.validity, verdict.reason) == ("invalid", "7 of x was read, and nobody wrote it")
    verdict = staleness([read(1, 0, 5), write(1, 10, 20)])
    assert verdict.reason == "1 of x was read before it was written"
    assert [o.f for o in verdict.offending] == ["read", "write"]
    lost_update = [write(1, 0, 1), cas(1, 2, True, 2, 3), cas(1, 3, True, 4, 5)]
    assert "no staleness of reads explains" in staleness(lost_update).reason


def test_a_repeated_value_is_unknown_if_it_was_read() -> None:
    twice = [write(1, 0, 1), write(2, 2, 3), write(1, 4, 5), read(2, 6, 7)]
    assert staleness(twice).details["stale_reads"] == 1
    verdict = staleness([*twice, read(1, 8, 9), *[replace(o, key="y") for o in twice]])
    assert verdict.validity == "unknown"
    assert verdict.reason == "1 of x was read and written twice: by which is not known"
    assert list(verdict.details["not_measured"]) == ["x"]
    assert list(verdict.details["keys"]) == ["y"]


def test_a_promise_is_kept_or_broken_to_the_nanosecond() -> None:
    history = [write(1, 0, 10), write(2, 20, 30), read(1, 75, 80)]
    assert staleness(history, max_ns=45).validity == "valid"
    verdict = staleness(history, max_ns=44)
    assert verdict.validity == "invalid"
    assert [o.value or o.output for o in verdict.offending] == [1, 2, 1]
    assert verdict.details["staleness_ns"] == 45


def test_it_never_raises() -> None:
    verdict = staleness([op("frob", 1, at=(0, 1))])
    assert (verdict.validity, "not 'frob'" in verdict.reason) == ("unknown", True)
    assert staleness([]).validity == "valid"


def test_the_curves_of_a_store_that_lags_by_a_known_time() -> None:
    """A replica 3 ms behind: reads are fresh exactly from 3 ms after a write on."""
    history: list[Operation] = []
    rng = random.Random(3)
    for n in range(400):
        at = n * 10 * MS
        history.append(write(n + 1, at, at + 1))
        age = rng.randrange(2, 9 * MS)
        seen = n + 1 if age > 3 * MS else n or None
        history.append(read(seen, at + age, at + age + 1, process=1))
    found = staleness(history)
    pbs = found.details["pbs"]
    by_age = {point["at"]: point for point in pbs["time"]}
    assert by_age[1 * MS]["share"] == 0.0
    assert 0 < by_age[2 * MS]["share"] < 1  # the bin from 2 to 5 ms
    assert by_age[5 * MS]["share"] == 1.0
    assert by_age[2 * MS]["low"] < by_age[2 * MS]["share"] < by_age[2 * MS]["high"]
    at_most = {point["at"]: point["share"] for point in pbs["versions"]}
    assert at_most == {0: 1 - found.details["stale_reads"] / 400, 1: 1.0}
    assert staleness(history).details["pbs"] == pbs


def test_every_read_is_in_one_bin_of_each_curve() -> None:
    rng = random.Random(1)
    samples = [
        (rng.randrange(10**9), rng.choice([0, 0, 1, 7]), rng.choice([None, 0, 10**11, 10**6]))
        for _ in range(500)
    ]
    found = curves(samples, 1)
    assert sum(point.reads for point in found.time) == sum(age is not None for *_, age in samples)
    assert {point.reads for point in found.versions} == {500}
    assert [point.at for point in found.versions] == [0, 1, 2, 3, 5, 10]
    assert found.versions[-1].share == 1.0
    assert found.windows == WINDOWS
    assert {point.at for point in found.time} <= {0, *AGES_NS}
    assert curves([], 1).versions == ()


def test_intervals_of_bursts_are_wider_than_those_of_reads_drawn_one_by_one() -> None:
    """Stale reads that come all at once say less than as many spread out."""
    spread = [(i * 1000, i % 10 == 0, None) for i in range(4_000)]
    burst = [(i * 1000, i < 400, None) for i in range(4_000)]
    width = []
    for samples in (spread, burst):
        point = curves([(sent, int(stale), age) for sent, stale, age in samples], 1).versions[0]
        assert point.share == 0.9
        assert point.low <= 0.9 <= point.high
        width.append(point.high - point.low)
    assert width[1] > 5 * max(width[0], 0.01)


@pytest.mark.parametrize(("reads", "low"), [(3, 0.0), (300, 0.99)])
def test_where_all_agree_the_rule_of_three_bounds_the_rest(reads: int, low: float) -> None:
    (point,) = curves([(i, 0, None) for i in range(reads)], 1).versions
    assert (point.low, point.high) == (low, 1.0)
