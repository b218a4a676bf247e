"""Schedules: written down and read again, and which calls they send."""

from __future__ import annotations

import json
import random

import pytest

from jepsen_like import faults
from jepsen_like.faults import written
from jepsen_like.faults.fault import Planned
from jepsen_like.schedule import Schedule, ScheduleError

HOSTS = ("n1", "n2", "n3", "n4", "n5")

EVERY_FAULT: list[Planned] = [
    faults.healthy("1s"),
    *(
        faults.partition(cut, hold="2s")
        for cut in (
            faults.isolate(faults.leader_of("shard-1")),
            faults.split(["n1"], ["n2", "n3"]),
            faults.halves(),
            faults.one_way("one", faults.follower_of("shard-1")),
            faults.bridge(),
            faults.majority_ring(),
            faults.router_from_nodes("one"),
            faults.clients_from_router("n2"),
        )
    ),
    faults.flapping(faults.halves(), period="1s"),
    faults.kill("minority"),
    faults.kill(faults.leader_of("shard-1"), lose_unsynced="torn"),
    faults.pause(faults.router("one")),
    faults.restart("all"),
    faults.rolling_restart(),
    faults.clock("one", jump="+30s"),
    faults.clock("one", drift="500ppm", monotonic=True),
    faults.slow_fsync("one", "20ms"),
    faults.disk_full("n3"),
    faults.bit_flip("one"),
    faults.starve_cpu("one", "10%"),
    faults.exhaust_files("one"),
    faults.reset(faults.isolate("one")),
    faults.half_open(faults.isolate("one")),
    faults.slow("50ms"),
    faults.slow_link("20ms±5ms", on=faults.isolate("one")),
    faults.loss("5%"),
    faults.rate("10mbit"),
    faults.transfer("shard-1", "one"),
    faults.move_replica("shard-1"),
    faults.outage("one"),
    faults.any_of(faults.pause("minority"), faults.kill("one")),
    faults.package(faults.kill("one"), faults.transfer("shard-1"), times=2),
    faults.together(faults.clock("one", jump="-3s"), faults.pause("n1")),
]


@pytest.mark.parametrize("planned", EVERY_FAULT, ids=lambda planned: planned.name)
def test_every_fault_comes_back_as_it_was(planned: Planned) -> None:
    drawn = planned.drawn(HOSTS, random.Random(5))
    schedule = Schedule((drawn,), clients=4, operations=((0, 3), (7, 9)), order=11)
    assert Schedule.from_data(json.loads(json.dumps(schedule.as_data()))) == schedule


def test_every_fault_there_is_is_tried() -> None:
    tried = {type(planned).__name__ for planned in EVERY_FAULT}
    assert tried >= {
        "AnyOf", "Flapping", "HalfOpen", "Healthy", "MoveReplica", "Outage", "Package", "Partition",
        "ProcessFault", "Reset", "RollingRestart", "Shaped", "Together", "Transfer",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("operations", "sent"),
    [
        (None, [0, 1, 2, 3, 4, 5]),
        ((), []),
        (((0, 2),), [0, 1]),
        (((1, 2), (4, 99)), [1, 4, 5]),
        (((4, 5), (0, 1)), [0, 4]),
        (((0, 2), (2, 3)), [0, 1, 2]),
    ],
)
def test_operations_are_chosen_by_their_numbers(
    operations: tuple[tuple[int, int], ...] | None, sent: list[int]
) -> None:
    assert list(Schedule((), 1, operations, 0).chosen(range(6))) == sent


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 9}, "format 9"),
        ({"clients": "many"}, "no schedule"),
        ({"faults": [{"is": "faults.signals.Kill"}]}, "no fault"),
        ({"faults": [{"is": "faults.signals.Murder"}]}, "this version has no fault"),
        ({"faults": [{"is": "os.path.join"}]}, "names no fault"),
        ({"faults": [{"is": "faults.fault.Healthy", "depth": 3}]}, "not written by this version"),
        ({"faults": [{"is": "faults.signals.asyncio"}]}, "is no fault"),
    ],
)
def test_what_is_no_schedule_is_refused_with_a_sentence(
    change: dict[str, object], sentence: str
) -> None:
    data = Schedule((), 1, None, 0).as_data() | change
    with pytest.raises(ScheduleError, match=sentence):
        Schedule.from_data(data)


def test_a_fault_of_somebody_else_cannot_be_written() -> None:
    class Mine(faults.Healthy):
        pass

    with pytest.raises(written.NotWritable, match="only faults of jepsen_like"):
        written.written(Mine(1.0))
