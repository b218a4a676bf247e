"""Shaped links are believed only when measured: on every network that can, and each fake is found
out by its own figures."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

import pytest

from jepsen_like import faults
from jepsen_like.backends.abilities import CAN
from jepsen_like.backends.backend import Backend, Pair
from jepsen_like.backends.shape import PLAIN, Shape
from jepsen_like.faults import Shaped
from tests.jepsen_like.networks import BACKENDS, Twisted, opened, run_on

pytestmark = [pytest.mark.slow, pytest.mark.alone]

HOSTS = ("a", "b", "c")

SHORT: dict[str, Any] = {"hold": "100ms", "rest": "0s"}

SHAPES = [
    faults.slow_link("20ms±5ms", **SHORT),
    faults.rate("4mbit", **SHORT),
    faults.loss("20%", on=faults.isolate(faults.leader_of("g")), **SHORT),
    faults.duplicate("20%", **SHORT),
    faults.reorder("20%", delay="20ms", **SHORT),
]

EVERYWHERE = [
    pytest.param(fault, name, id=f"{fault.name} on {name}")
    for fault in SHAPES
    for name in BACKENDS
    if fault.needs <= CAN[name]
]


@pytest.mark.parametrize(("fault", "name"), EVERYWHERE)
async def test_links_are_shaped_as_asked(fault: Shaped, name: str) -> None:
    backend = await opened(name, HOSTS, fault.needs)
    record = await run_on(backend, replace(fault, seed=5))
    await backend.close()
    print("\n".join(record.evidence))
    assert record.verified, record.evidence


class Lazy(Twisted):
    """Does half of what it is asked."""

    async def shape(self, pairs: Collection[Pair], shape: Shape, seed: int) -> None:
        rate = shape.rate_bytes_s
        half = replace(
            shape,
            delay_s=shape.delay_s / 2,
            loss=shape.loss / 2,
            duplicate=shape.duplicate / 2,
            reorder=shape.reorder / 2,
            rate_bytes_s=None if rate is None else 2 * rate,
        )
        await self._backend.shape(pairs, half, seed)


class Partial(Twisted):
    """Forgets one link."""

    async def shape(self, pairs: Collection[Pair], shape: Shape, seed: int) -> None:
        await self._backend.shape([pair for pair in pairs if pair != ("b", "a")], shape, seed)


class Lasting(Twisted):
    """Never makes links as they were."""

    async def shape(self, pairs: Collection[Pair], shape: Shape, seed: int) -> None:
        if shape != PLAIN:
            await self._backend.shape(pairs, shape, seed)


@pytest.mark.long
@pytest.mark.nightly
@pytest.mark.parametrize("fault", SHAPES, ids=[fault.name for fault in SHAPES])
async def test_half_of_what_was_asked_is_not_verified(fault: Shaped) -> None:
    backend = await opened("netns", HOSTS, fault.needs)
    record = await run_on(cast("Backend", Lazy(backend)), replace(fault, seed=5))
    await backend.close()
    assert not record.verified_start, record.evidence


@pytest.mark.parametrize("fault", SHAPES[1:3], ids=[fault.name for fault in SHAPES[1:3]])
async def test_a_link_left_out_is_not_verified(fault: Shaped) -> None:
    backend = await opened("netns", HOSTS, fault.needs)
    record = await run_on(cast("Backend", Partial(backend)), replace(fault, seed=5))
    await backend.close()
    assert not record.verified_start, record.evidence


@pytest.mark.parametrize("name", BACKENDS)
async def test_links_that_stay_slow_are_noticed(name: str) -> None:
    fault = SHAPES[0]
    backend = await opened(name, HOSTS, fault.needs)
    record = await run_on(cast("Backend", Lasting(backend)), fault)
    await backend.close()
    assert record.verified_start, record.evidence
    assert not record.verified_end
    assert record.evidence[-1].startswith("NOT VERIFIED: after it")
