"""The blocks in numpy say what the blocks in Python say, and show an order where there is one."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from jepsen_like.checks import columnar
from jepsen_like.checks.fast import Columns, _Fast, _lower, decide_all
from jepsen_like.checks.layout import NEVER
from jepsen_like.checks.linearizable import check
from jepsen_like.checks.objects import decide, replay
from jepsen_like.history import Operation
from jepsen_like.models import CasRegister
from tests.jepsen_like.histories import legal_history, read, write
from tests.jepsen_like.test_algorithms import random_history

numpy = pytest.importorskip("numpy")

HISTORIES = int(os.environ.get("ORACLE_HISTORIES", "200"))
MODEL = CasRegister(failed_cas="dropped")


def columns_of(histories: list[list[Operation]]) -> Columns:
    rows = []
    for key, history in enumerate(histories):
        versions = MODEL.versions(history)
        assert versions is not None
        for o, kind, before, after in zip(history, *versions[1:], strict=True):
            returned = NEVER if o.outcome == "info" else o.returned_ns
            names = [-1 if v is None else v for v in (before, after)]
            rows.append((o.sent_ns, returned, key, kind, *names))
    return Columns(*zip(*rows, strict=True))


def assert_agrees(histories: list[list[Operation]]) -> tuple[int, int, int]:
    answer = decide_all(columns_of(histories))
    assert answer is not None
    orders: list[list[int]] = [[] for _ in histories]
    where = [(key, i) for key, history in enumerate(histories) for i in range(len(history))]
    for position in answer.order.tolist():
        key, i = where[position]
        orders[key].append(i)
    for key, history in enumerate(histories):
        python = decide(history, MODEL)
        assert python is not None
        if key in answer.unclear:
            continue
        assert (key in answer.illegal) == (python.answer == "no"), history
        if key not in answer.illegal:
            assert python.answer == "yes"
            assert replay(MODEL, history, orders[key]) == "", history
    return len(histories), len(answer.illegal), len(answer.unclear)


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("together", [1, 7])
def test_agrees_with_the_blocks_in_python(distinct: bool, together: int) -> None:
    total = illegal = unclear = 0
    for seed in range(0, HISTORIES, together):
        histories = []
        for k in range(together):
            rng = random.Random(seed + k)
            history = random_history(rng, distinct=distinct, model=MODEL)
            # a cas that did not match says nothing here, and the blocks in Python place it
            said = [o for o in history if o.f != "cas" or o.output is not False]
            histories.append(said if rng.random() < 0.9 else history)
        histories = [history for history in histories if history] or [legal_history(1, count=3)]
        counts = assert_agrees(histories)
        total, illegal, unclear = total + counts[0], illegal + counts[1], unclear + counts[2]
    if distinct:
        assert illegal > total // 8
        assert unclear < total // 4


@pytest.mark.parametrize("info", [0.0, 0.1])
def test_a_longer_legal_history(info: float) -> None:
    history = legal_history(4, count=3_000, keys=5, clients=12, info=info)
    kept = [o for o in history if o.f != "read" or o.outcome == "ok"]
    kept = [o for o in kept if o.f != "cas" or o.output is not False]
    by_key = [[o for o in kept if o.key == key] for key in range(5)]
    assert assert_agrees(by_key) == (5, 0, 0)


def test_a_block_within_another_is_found_behind_a_third() -> None:
    """A write that may stand anywhere begins between the two that contradict each other."""
    history = [
        write(1, 0, 1, process=1),
        write(2, 5, 200, process=2),
        write(3, 40, 50, process=3),
        read(1, 100, 110, process=4),
    ]
    assert assert_agrees([history]) == (1, 1, 0)


def test_orders_replay_in_numpy_exactly_if_they_do_in_python() -> None:
    rng = random.Random(8)
    refused = 0
    for seed in range(150):
        history = legal_history(seed, count=12, clients=4, info=0.1)
        said = [o for o in history if o.f == "write" or (o.outcome, o.output) != ("ok", False)]
        said = [o for o in said if o.f != "read" or o.outcome == "ok"]
        arrays = columns_of([said]).as_arrays()
        found = decide(said, MODEL)
        assert arrays is not None
        assert found is not None
        first = min(o.sent_ns for o in said)
        span = max(o.returned_ns for o in said) - first + 3
        for _ in range(3):
            order = list(found.order)
            at, other = rng.randrange(len(order)), rng.randrange(len(order))
            change = rng.randrange(3)
            if change == 1:
                del order[at]
            elif change == 2:
                order.insert(other, order.pop(at))
            wrong = len(_Fast(numpy, arrays)._replay(numpy.array(order), span, first)) > 0
            assert wrong == (replay(MODEL, said, order) != "")
            refused += wrong
    assert 100 < refused < 350


def test_the_least_of_each_place_is_found_in_any_order() -> None:
    rng = random.Random(3)
    for size in (1, 3, 40):
        at = numpy.array([rng.randrange(size) for _ in range(200)])
        for values in (rng.sample(range(1_000), 200), list(range(200, 0, -1)), list(range(200))):
            least, wanted = numpy.full(size, 5_000), numpy.full(size, 5_000)
            _lower(numpy, least, at, numpy.array(values))
            numpy.minimum.at(wanted, at, values)
            assert list(least) == list(wanted)


def test_numbers_beyond_64_bits_are_left_to_python() -> None:
    assert decide_all(Columns([0], [1], [0], [1], [0], [1 << 80])) is None
    assert decide_all(Columns([0], [1], [0], [1], [0], [1 << 61])) is None
    assert decide_all(Columns([0], [1 << 61], [0], [1], [0], [1])) is None


@pytest.mark.parametrize("info", [0.0, 0.05])
def test_a_check_of_columns_says_what_the_usual_one_says(
    info: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = legal_history(4, count=900, keys=3, clients=9, info=info)
    history = [o for o in history if o.f != "cas" or o.output is not False]
    lost = {o.value for o in history if o.f == "cas" and o.outcome == "info"}
    failed = [replace(o, outcome="fail") for o in history[:20] if o.f == "read"]
    history += [replace(o, process=o.process + 9_000) for o in failed]
    usual = check(history, CasRegister())
    monkeypatch.setattr(columnar, "OPERATIONS_MIN", 1)
    quick = check(history, CasRegister())
    assert quick.validity == usual.validity == "valid"
    assert (quick.reason, quick.operations) == (usual.reason, usual.operations)
    assert {**quick.details, "linearization": 0} == {**usual.details, "linearization": 0}
    for order in quick.details["linearization"].values():
        assert replay(MODEL, [history[i] for i in order], range(len(order))) == ""
    assert lost or not info
    broken = [*history, replace(history[0], f="read", output=-5, outcome="ok")]
    assert check(broken, CasRegister()).validity == "invalid"


def test_nothing_at_all() -> None:
    answer = decide_all(Columns([], [], [], [], [], []))
    assert answer is not None
    assert (answer.illegal, answer.unclear, len(answer.order)) == ([], [], 0)
