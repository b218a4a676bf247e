"""Connections that are reset, or half of them: at both ends, on every network that can."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import pytest

from jepsen_like import faults
from jepsen_like.backends.backend import Backend, Pair
from tests.jepsen_like.networks import BACKENDS, Twisted, opened, run_on

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
