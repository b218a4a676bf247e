"""Connections that are reset, or half of them: at both ends, on every network that can."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import pytest

from jepsen_like import faults
from jepsen_like.adapters.database import RunningDatabase
from jepsen_like.backends.backend import Backend, Pair
from jepsen_like.backends.probe import Prober
from jepsen_like.dispatch import Clock
from tests.jepsen_like.networks import BACKENDS, IdleDatabase, Twisted, opened, run_on

pytestmark = [pytest.mark.slow, pytest.mark.processes]

HOSTS = ("a", "b", "c")

THE_LEADER = faults.isolate(faults.leader_of("g"))


@pytest.mark.parametrize("name", BACKENDS)
async def test_a_reset_is_seen_at_both_ends(name: str) -> None:
    backend = await opened(name, HOSTS)
    record = await run_on(backend, faults.reset(THE_LEADER, rest=0))
    await backend.close()
    assert record.verified, record.evidence
    assert "8 of 8 ends of connections were reset" in record.evidence[1]


async def test_a_half_open_connection_is_found_by_who_speaks() -> None:
    backend = await opened("netns", HOSTS)
    record = await run_on(backend, faults.half_open(THE_LEADER, hold="300ms", rest=0))
    await backend.close()
    assert record.verified, record.evidence
    assert "4 of 4 other ends knew of nothing" in record.evidence[2]
    assert "4 of 4 ends of connections were reset" in record.evidence[4]


class Faithful(Twisted):
    """Never resets anything."""

    async def reset(self, pairs: Collection[Pair]) -> None:
        return


class Loud(Twisted):
    """Cuts nothing, so that both ends hear of a reset."""

    async def cut(self, pairs: Collection[Pair]) -> None:
        return


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (Faithful, faults.reset(THE_LEADER, rest=0)),
        (Faithful, faults.half_open(THE_LEADER, hold="300ms", rest=0)),
        (Loud, faults.half_open(THE_LEADER, hold="300ms", rest=0)),
    ],
)
async def test_what_was_not_reset_is_not_verified(
    wrong: type[Twisted], fault: faults.Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepsen_like.faults.resets.LEARN_S", 0.3)
    backend = await opened("netns", HOSTS)
    record = await run_on(cast("Backend", wrong(backend)), fault)
    await backend.close()
    assert not record.verified_start, record.evidence


class Restless(Twisted):
    """Resets the connections when what a cut has held should go on, by a fault or by itself."""

    by_fault: Prober | None = None

    async def heal(self, pairs: Collection[Pair]) -> None:
        if self.by_fault is not None:
            self.by_fault.struck(pairs)
        await self._backend.reset(pairs)
        await self._backend.heal(pairs)


@pytest.mark.parametrize("is_a_fault", [True, False])
async def test_what_another_fault_resets_need_not_arrive_after_a_cut(
    is_a_fault: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepsen_like.faults.partitions.OPEN_WAIT_S", 0.3)
    network = Restless(await opened("proxy", HOSTS))
    backend = cast("Backend", network)
    async with Prober(backend) as prober:
        network.by_fault = prober if is_a_fault else None
        cut = faults.partition(THE_LEADER, hold="300ms", rest=0)
        database = cast("RunningDatabase", IdleDatabase("b"))
        record = await cut.run(faults.Site(database, backend, prober, Clock(), lambda _: None))
        assert record is not None
        held = next(line for line in record.evidence if "held probes arrived" in line)
        assert held.startswith("NOT VERIFIED: ") != is_a_fault
        assert held.endswith("were on connections that another fault has reset") == is_a_fault
    await backend.close()
