"""The parts of a lab that need no cluster: what words mean, figures while they grow, faults that
wait for their heal, and questions over a socket."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from jepsen_like import faults
from jepsen_like.checks.staleness import measure
from jepsen_like.dispatch import Clock
from jepsen_like.faults import written
from jepsen_like.history import Operation, Outcome
from jepsen_like.lab import orders
from jepsen_like.lab.control import NoLab, Refusal, ask, listening
from jepsen_like.lab.figures import Figure, Live, quantile
from jepsen_like.lab.status import AtWork, HostNow, Leads, Status, from_data, sides
from jepsen_like.lab.strikes import FOREVER_S, HeldClock
from jepsen_like.lab.view import answers, healed_in_words, shown

# ------------------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["n1"], faults.partition(faults.isolate("n1"), FOREVER_S, 0.0)),
        (
            ["leader"],
            faults.partition(faults.isolate(faults.leader_of("shard-1")), FOREVER_S, 0.0),
        ),
        (
            ["follower:meta"],
            faults.partition(faults.isolate(faults.follower_of("meta")), FOREVER_S, 0.0),
        ),
        (["n1", "n2,n3"], faults.partition(faults.split(["n1"], ["n2", "n3"]), FOREVER_S, 0.0)),
        (["halves"], faults.partition(faults.halves(), FOREVER_S, 0.0)),
    ],
)
def test_words_of_a_cut(words: list[str], fault: faults.Planned) -> None:
    found = orders.cut(words, one_way=False, lasts=None)
    assert found == fault
    assert written.read(json.loads(json.dumps(written.written(found)))) == found


def test_words_that_mean_nothing_are_refused() -> None:
    with pytest.raises(orders.OrderError, match="one side only"):
        orders.cut(["n1", "n1,n2"], one_way=False, lasts=None)
    with pytest.raises(orders.OrderError, match="is no host"):
        orders.target("leda:shard-1")
    with pytest.raises(orders.OrderError, match="not a duration"):
        orders.kill("n1", loses_unsynced=False, lasts="soon")
    with pytest.raises(orders.OrderError, match="not a duration"):
        orders.slow("fast", None, lasts=None)


def test_a_fault_may_have_its_time() -> None:
    assert orders.pause("n1", lasts="3s").hold_s == 3.0
    assert orders.slow("100ms", "n3", lasts="2min").hold_s == 120.0


# ------------------------------------------------------------------------------ figures


def random_history(rng: random.Random) -> list[tuple[Operation, bool]]:
    """What a recorder tells while clients write and read two registers, some of them old values:
    in the order of its times, each operation when it is sent and when it ended."""
    events: list[tuple[Operation, bool]] = []
    at_ns, value = 0, 0
    under_way: list[Operation] = []
    written_before: dict[int, list[int]] = {0: [0], 1: [0]}
    for process in range(rng.randrange(5, 60)):
        at_ns += rng.randrange(1, 10)
        key = rng.randrange(2)
        f = rng.choice(["read", "read", "write"])
        if f == "write":
            value += 1
            written_before[key].append(value)
        operation = Operation(
            process, f, key, value if f == "write" else None, "info", None, at_ns, at_ns, at_ns, "n"
        )
        events.append((operation, True))
        under_way.append(operation)
        while under_way and rng.random() < 0.5:
            at_ns += rng.randrange(1, 10)
            ended = under_way.pop(rng.randrange(len(under_way)))
            outcome: Outcome = rng.choice(["ok", "ok", "ok", "info"])
            output = rng.choice(written_before[int(ended.key)]) if ended.f == "read" else None
            ended = replace(
                ended,
                outcome=outcome,
                output=output if outcome == "ok" else None,
                returned_ns=at_ns,
            )
            events.append((ended, False))
    return events


def test_live_figures_call_stale_what_the_checker_calls_stale() -> None:
    """Except what the checker finds impossible, which a real history has not."""
    stale = 0
    for seed in range(150):
        events = random_history(random.Random(seed))
        history = [operation for operation, is_open in events if not is_open]
        measured = measure(history, 0, seconds=0.0)
        if measured.impossible or measured.not_measured:
            continue
        expected = sum(key.stale for key in measured.keys)
        live = Live(0, window_ns=1 << 60)
        for operation, is_open in events:
            live.saw(operation, is_open)
        found = live.figures(1 << 50)
        assert sum(figure.stale for figure in found) == expected, seed
        assert live.stale.get("read", 0) == expected
        assert sum(figure.asked for figure in found) == len(history)
        stale += expected
    assert stale > 30


def test_figures_are_of_the_window() -> None:
    live = Live(0, window_ns=1000)
    told: tuple[tuple[int, Outcome], ...] = (
        (100, "ok"),
        (5000, "ok"),
        (5200, "fail"),
        (5300, "info"),
    )
    for at_ns, outcome in told:
        error = "" if outcome == "ok" else f"said at {at_ns}"
        operation = Operation(
            1,
            "read",
            0,
            None,
            outcome,
            0,
            at_ns - 60,
            at_ns - 50,
            at_ns,
            "n1",
            error,
        )
        live.saw(operation, True)
        live.saw(operation, False)
    (figure,) = live.figures(5400)
    assert (figure.asked, figure.ok, figure.failed, figure.unknown) == (3, 1, 1, 1)
    assert (figure.p50_ns, figure.p99_ns) == (50, 50)
    assert figure.rate == pytest.approx(1 / 1e-6)
    assert live.errors(5400) == ("n1, read: said at 5200", "n1, read: said at 5300")
    assert live.figures(9000) == ()


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert quantile([7], 0.99) == 7
    assert quantile(list(range(100)), 0.5) == 50
    assert quantile(list(range(100)), 0.99) == 99


def test_sides_of_a_cut() -> None:
    hosts = ["n1", "n2", "n3"]
    assert sides(hosts, []) == (("n1", "n2", "n3"),)
    away = [("n1", "n2"), ("n2", "n1"), ("n1", "n3"), ("n3", "n1")]
    assert sides(hosts, away) == (("n1",), ("n2", "n3"))
    bridge = [("n1", "n2"), ("n2", "n1")]
    assert sides(hosts, bridge) == (("n1", "n2", "n3"),), "over n3"


# ------------------------------------------------------------------------------ faults


def test_a_held_fault_ends_when_it_is_healed_and_not_before() -> None:
    async def scenario() -> None:
        clock = HeldClock(Clock())
        sleeping = asyncio.ensure_future(clock.sleep_until(round(FOREVER_S * 1e9)))
        await clock.holds.wait()
        done, _ = await asyncio.wait((sleeping,), timeout=0)
        assert not done
        clock.heal.set()
        await asyncio.wait_for(sleeping, 10)
        await asyncio.wait_for(clock.sleep_until(round(FOREVER_S * 1e9)), 10)  # and all after it

    asyncio.run(scenario())


# ------------------------------------------------------------------------------ questions


@dataclass
class Lab:
    """What answers in place of a cluster."""

    async def answer(self, question: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
        say("looking")
        if question["do"] != "status":
            raise ValueError("not that.")
        return {"asked": question}


def test_questions_over_the_socket(tmp_path: Path) -> None:
    said: list[str] = []

    async def scenario() -> None:
        async with listening(tmp_path, Lab().answer):
            found = await asyncio.to_thread(ask, tmp_path, {"do": "status"}, said.append)
            assert found == {"asked": {"do": "status"}}
            with pytest.raises(Refusal, match="not that"):
                await asyncio.to_thread(ask, tmp_path, {"do": "dance"}, said.append)
        with pytest.raises(NoLab, match="no lab runs in"):
            await asyncio.to_thread(ask, tmp_path, {"do": "status"}, said.append)

    asyncio.run(scenario())
    assert said == ["looking", "looking"]


def test_a_name_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoLab, match="too long a name"):
        ask(tmp_path / ("x" * 120), {"do": "status"}, print)


# ------------------------------------------------------------------------------ shown

STATUS = Status(
    directory="jepsen-lab",
    pid=7,
    seconds=83.0,
    groups=("shard-1",),
    keys={"3": "shard-1"},
    levels=("linearizable", "any"),
    load=20.0,
    window_s=10.0,
    hosts=(
        HostNow("n1", "running", 11, (Leads("shard-1", 2),), ("n2", "n3"), {}),
        HostNow("n2", "running", 12, (Leads("shard-1", 3),), ("n1",), {"n3": 50.0}),
        HostNow("n3", "dead", 13, (), ("n1",), {"n2": 50.0}),
    ),
    faults=(AtWork(1, "partition isolate(n1)", "partition", 12.4),),
    figures=(
        Figure("read any", "n1", 4, 4, 0, 0, 3, 2_000_000, 3_000_000, 0.4),
        Figure("read", "n1", 3, 0, 3, 0, 0, None, None, 0.0),
    ),
    operations=7,
    stale={"read any": 3},
    errors=("n1, read: 57014",),
)


def test_a_status_can_be_carried() -> None:
    assert from_data(json.loads(json.dumps(STATUS.as_data()))) == STATUS


def as_text(what: Any) -> str:
    console = Console(width=120, record=True, file=None, quiet=False, color_system=None)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def test_a_status_is_shown() -> None:
    text = as_text(shown(STATUS))
    for part in (
        "up for 1:23",
        "shard-1 (term 2, DEPOSED)",
        "shard-1 (term 3)",
        "dead (13)",
        "n3 +50 ms",
        "n1 | n2 n3",
        "4/4 2.0 ms, 3 STALE",
        "0/3",
        "n1, read: 57014",
    ):
        assert part in text, part


def test_answers_are_shown_by_host_and_level() -> None:
    said = [
        {"host": "n1", "level": "linearizable", "outcome": "fail", "value": None, "took_ns": 10**9}
        | {"error": "57014: no leader"},
        {"host": "n1", "level": "any", "outcome": "ok", "value": 41, "took_ns": 2_000_000}
        | {"error": ""},
    ]
    text = as_text(answers({"key": 3, "group": "shard-1", "said": said}, STATUS.levels))
    for part in ("register 3, on shard-1", "refused  1.0 s", "41  2.0 ms", "57014: no leader"):
        assert part in text, part


def test_what_was_not_verified_is_not_passed_over() -> None:
    healed = {
        "name": "partition isolate(n1)",
        "seconds": 3.0,
        "target": "n1",
        "role_before": "leader of shard-1",
        "role_after": "follower",
        "verified": False,
        "evidence": ["NOT VERIFIED: 1 probe arrived"],
    }
    lines = healed_in_words({"healed": [healed]}, in_full=False)
    assert "NOT VERIFIED" in lines[0]
    assert lines[1] == "  NOT VERIFIED: 1 probe arrived"
    assert len(healed_in_words({"healed": [{**healed, "verified": True}]}, in_full=False)) == 1
    assert healed_in_words({"healed": []}, in_full=True) == ["nothing was broken"]
