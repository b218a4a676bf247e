"""One at a time, in the order of asking."""

from __future__ import annotations

import asyncio

from shardrouter.turn import Turn


async def test_they_come_in_the_order_of_asking() -> None:
    turn, order = Turn(), list[int]()

    async def one(number: int) -> None:
        async with turn:
            order.append(number)
            await asyncio.sleep(0)
            order.append(number)

    assert turn.take()
    waiting = [asyncio.create_task(one(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert not turn.take()
    assert order == []
    turn.free()
    assert not turn.take(), "it is that of who has waited, before that one has noticed"
    await asyncio.gather(*waiting)
    assert order == [0, 0, 1, 1, 2, 2]
    assert turn.take()


async def test_who_gives_up_waiting_is_passed_over_and_passes_it_on() -> None:
    turn, had = Turn(), list[str]()

    async def one(name: str) -> None:
        async with turn:
            had.append(name)

    assert turn.take()
    early, late, last = [asyncio.create_task(one(name)) for name in ("early", "late", "last")]
    await asyncio.sleep(0)
    early.cancel()
    await asyncio.sleep(0)
    turn.free()  # to the one who is late, in the same moment as it is cancelled
    late.cancel()
    await asyncio.wait([early, late, last])
    assert had == ["last"]
    assert turn.take()
