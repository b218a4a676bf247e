"""Schedules: targets by role, faults put together, lots drawn once from the seed."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import pytest

from jepsen_like import faults
from jepsen_like.adapters.database import Offer, RunningDatabase
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.backends.probe import Prober
from jepsen_like.backends.proxy import Mesh
from jepsen_like.dispatch import Clock
from jepsen_like.faults.demands import demands, refusal
from jepsen_like.faults.targets import (
    FollowerOf,
    Hosts,
    RouterOf,
    Target,
    TargetError,
    as_target,
    draw_target,
    resolve,
)
from jepsen_like.kernel import kernel
from jepsen_like.result import FaultRecord
from tests.jepsen_like.register_db import RegisterDb

HOSTS = ("n1", "n2", "n3", "n4", "n5")
LEADERS = {"g": "n2"}


def hosts_of(target: Target | str, seed: int = 1) -> tuple[str, ...]:
    drawn = draw_target(as_target(target), HOSTS, random.Random(seed))
    return resolve(drawn, LEADERS, ("n1", "n2", "n3"))


def test_words_are_shares_of_the_hosts() -> None:
    assert len(hosts_of("one")) == 1
    assert len(hosts_of("minority")) == 2
    assert len(hosts_of("majority")) == 3
    assert hosts_of("all") == HOSTS
    assert {hosts_of("minority", seed) for seed in range(200)} == {
        (a, b) for i, a in enumerate(HOSTS) for b in HOSTS[i + 1 :]
    }, "every minority, in the order of the hosts"
    with pytest.raises(TargetError, match="2 hosts have no minority"):
        draw_target(as_target("minority"), HOSTS[:2], random.Random(0))


def test_roles_are_resolved_when_the_fault_strikes() -> None:
    assert hosts_of(faults.leader_of("g")) == ("n2",)
    assert {hosts_of(faults.follower_of("g"), seed) for seed in range(20)} == {("n1",), ("n3",)}
    assert hosts_of(faults.router(faults.leader_of("g"))) == ("n2",)
    with pytest.raises(TargetError, match="nobody leads h now; groups with a leader: g"):
        hosts_of(faults.follower_of("h"))
    with pytest.raises(TargetError, match="g has no followers"):
        resolve(FollowerOf("g", 0.5), LEADERS, ("n2",))


def test_a_host_is_named_by_its_name() -> None:
    assert hosts_of("n4") == ("n4",)
    with pytest.raises(TargetError, match=r"no host n9; there are n1, .*; or write one, minority"):
        hosts_of("n9")
    with pytest.raises(TargetError, match="no host n9"):
        draw_target(RouterOf(Hosts(("n1", "n9"))), HOSTS, random.Random(0))


def test_a_cut_around_one_host_is_not_around_several() -> None:
    assert drawn(faults.partition(faults.isolate("n2")))[0].name == "partition isolate(n2)"
    with pytest.raises(TargetError, match="minority are 2 hosts, and one is meant"):
        drawn(faults.partition(faults.isolate("minority")))


# ------------------------------------------------------------------------------ put together


def drawn(*planned: faults.Planned, seed: int = 1) -> tuple[faults.Planned, ...]:
    return faults.draw(planned, HOSTS, random.Random(seed))


def test_one_of_several_is_drawn_from_the_seed() -> None:
    choice = faults.any_of(faults.pause("minority"), faults.kill("one"))
    (first,) = drawn(choice)
    assert drawn(choice) == (first,)
    assert {drawn(choice, seed=seed)[0].kind for seed in range(20)} == {"pause", "kill"}
    with pytest.raises(TargetError, match="no host n9"):
        drawn(faults.any_of(*[faults.kill("one")] * 50, faults.kill("n9")))
    with pytest.raises(ValueError, match=r"any_of\(\) needs one fault"):
        faults.any_of()


def test_a_package_draws_its_lots_every_time() -> None:
    (package,) = drawn(faults.package(faults.kill("one"), faults.pause("one"), times=10))
    assert isinstance(package, faults.Package)
    assert [part.kind for part in package.parts] == ["kill", "pause"] * 10
    assert len({part.name for part in package.parts}) > 2
    assert package.hold_s == pytest.approx(10 * (2 + 3 + 5 + 3))


def test_a_rolling_restart_is_every_host_in_turn() -> None:
    (rolling,) = drawn(faults.rolling_restart(rest="2s"))
    assert isinstance(rolling, faults.Package)
    assert [part.name for part in rolling.parts] == [f"restart {host}" for host in HOSTS]
    assert rolling.hold_s == 10


@dataclass(frozen=True)
class Noted:
    """Says when it begins and ends."""

    name: str
    log: list[str]
    fails: bool = False
    kind: ClassVar[str] = "noted"
    hold_s: ClassVar[float] = 0.0
    rest_s: ClassVar[float] = 0.0

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Noted:
        return self

    async def run(self, site: faults.Site) -> FaultRecord:
        self.log.append(f"{self.name} begins")
        await asyncio.sleep(0)
        if self.fails:
            raise TargetError("nobody is there.")
        self.log.append(f"{self.name} ends")
        return FaultRecord(self.name, self.kind, "", "", "", 0, 0)


class Ledger:
    def __init__(self) -> None:
        self.records: list[FaultRecord] = []
        self.unfinished: list[str] = []

    def ended(self, record: FaultRecord) -> None:
        self.records.append(record)

    def cut_short(self, name: str, start_ns: int) -> None:
        self.unfinished.append(name)


async def struck(planned: faults.Planned) -> list[FaultRecord]:
    ledger = Ledger()
    mesh = Mesh(("n1",))
    nobody = cast("RunningDatabase", object())
    async with Prober(mesh) as prober:
        site = faults.Site(nobody, mesh, prober, Clock(), lambda _: None)
        await faults.strike(planned, site, ledger)
    await mesh.close()
    return ledger.records


async def test_every_fault_of_a_composition_leaves_its_own_record() -> None:
    log: list[str] = []
    a, b, c = (Noted(name, log) for name in "abc")
    records = await struck(faults.together(faults.package(a, b), c))
    assert sorted(record.name for record in records) == ["a", "b", "c"]
    assert log.index("a ends") < log.index("b begins")
    assert log.index("c begins") < log.index("a ends"), "at the same time"


async def test_a_fault_without_a_target_is_a_record_that_is_not_verified() -> None:
    log: list[str] = []
    failing = Noted("a", log, fails=True)
    records = await struck(faults.package(failing, Noted("b", log)))
    assert [record.evidence for record in records] == [("NOT VERIFIED: nobody is there.",), ()]
    assert not records[0].verified


# ------------------------------------------------------------------------------ what is impossible


def test_what_a_database_does_not_offer_is_refused_before_the_run() -> None:
    moves = drawn(faults.package(faults.kill("one"), faults.move_replica("shard-1")))
    routers = drawn(faults.together(faults.pause(faults.router("minority"))))
    assert demands(moves) == {Offer.MOVES, Offer.ROOM}
    assert demands(routers) == {Offer.ROUTERS}
    assert "cannot be told to move" in refusal(moves, RegisterDb())
    assert "has no routers" in refusal(routers, RegisterDb())
    db = ShardRouter(nodes=5, shards=1)
    assert not refusal(moves, db)
    assert not refusal(routers, db)
    assert "more nodes than replicas" in refusal(moves, ShardRouter(nodes=3, replicas=3))


def test_a_group_that_does_not_exist_is_refused_before_the_run() -> None:
    db = ShardRouter(nodes=5, shards=2)
    wrong: Mapping[str, faults.Planned] = {
        "shard-3": faults.kill(faults.leader_of("shard-3")),
        "shrad-1": faults.any_of(faults.pause(faults.router(faults.follower_of("shrad-1")))),
        "shard-9": faults.transfer("shard-9"),
        "x": faults.partition(faults.isolate(faults.leader_of("x"))),
    }
    for group, fault in wrong.items():
        said = refusal(drawn(fault), db)
        assert f"no group {group}; there are meta, shard-1, shard-2." in said


def test_the_kernel_says_who_listens() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert not kernel().listens(os.getpid(), port)
        listener.listen()
        assert kernel().listens(os.getpid(), port)
        assert not kernel().listens(os.getppid(), port)
    assert not kernel().listens(2**22 + 1, port)
