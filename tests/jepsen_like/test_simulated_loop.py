"""The loop and the network of a simulation: time that jumps, order that is kept, links that fail.

What runs here are tasks of the tests; whole databases are in tests/process/test_simulation.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from jepsen_like.sim.loop import SimulationError, SimulationLoop
from jepsen_like.sim.network import RESEND_S
from jepsen_like.sim.processes import CURRENT, Process

Main = Callable[[SimulationLoop], Awaitable[Any]]


def simulate(main: Main, seed: int = 1) -> Any:
    """Run `main` as a process of its own machine."""
    loop = SimulationLoop(seed)
    loop.network.machines.update({"10.0.0.1": "a", "10.0.0.2": "b"})
    main_process = loop.process("main", "a")

    async def run() -> Any:
        found = await main(loop)
        for transport in loop.network.transports():
            transport.abort()
        await asyncio.sleep(1)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return found

    try:
        return loop.run_until_complete(loop.spawn(main_process, run()))
    finally:
        loop.close()


def test_time_passes_only_when_nothing_can_be_done() -> None:
    async def main(loop: SimulationLoop) -> tuple[float, int]:
        await asyncio.sleep(3600)
        return loop.time(), loop.steps

    now, steps = simulate(main)
    assert now == pytest.approx(3600)
    assert steps < 10


def test_who_waits_until_a_clock_shows_a_time_waits_once() -> None:
    """As nodes look at their gates: by a clock that shows whole nanoseconds."""

    async def main(loop: SimulationLoop) -> int:
        looks = 0
        for number in range(200):
            until = loop.monotonic_ns() / 1e9 + 0.001 + number / 7e4
            while (left := until - loop.monotonic_ns() / 1e9) > 0:
                await asyncio.sleep(left)
                looks += 1
                assert looks <= 400, f"it waits for another {left} s"
        return looks

    assert simulate(main) >= 200


def test_a_processs_callbacks_keep_their_order_and_processes_interleave_by_the_seed() -> None:
    async def main(loop: SimulationLoop) -> str:
        said: list[str] = []
        for name in "ab":
            process = loop.process(name, "a")
            for number in range(8):
                loop.call_soon(said.append, f"{name}{number}", context=process.context.copy())
        await asyncio.sleep(0.1)
        return " ".join(said)

    found = {seed: simulate(main, seed) for seed in range(1, 6)}
    assert found == {seed: simulate(main, seed) for seed in range(1, 6)}
    assert len(set(found.values())) == 5
    for order in found.values():
        for name in "ab":
            own = [word for word in order.split() if word[0] == name]
            assert own == [f"{name}{number}" for number in range(8)]


def test_what_waits_for_ever_and_what_never_waits_end_with_a_sentence() -> None:
    async def waits(loop: SimulationLoop) -> None:
        await loop.create_future()

    with pytest.raises(SimulationError, match="somebody still waits"):
        simulate(waits)

    async def spins(loop: SimulationLoop) -> None:
        def again() -> None:
            loop.call_soon(again)

        again()
        await asyncio.sleep(1)

    with pytest.raises(SimulationError, match="goes round in circles"):
        simulate(spins)


def test_a_killed_process_runs_nothing_any_more_not_even_its_end() -> None:
    async def main(loop: SimulationLoop) -> list[str]:
        said: list[str] = []

        async def life() -> None:
            try:
                while True:
                    await asyncio.sleep(1)
                    said.append("beat")
            finally:
                said.append("finally")

        victim = loop.process("victim", "b")
        loop.spawn(victim, life())
        await asyncio.sleep(2.5)
        loop.kill(victim)
        await asyncio.sleep(10)
        return said

    assert simulate(main) == ["beat", "beat"]


def test_a_stopped_process_does_what_it_missed_when_it_goes_on() -> None:
    async def main(loop: SimulationLoop) -> list[float]:
        seen: list[float] = []

        async def life() -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                seen.append(loop.time())

        victim = loop.process("victim", "b")
        task = loop.spawn(victim, life())
        await asyncio.sleep(1.5)
        loop.stop_process(victim)
        await asyncio.sleep(5)
        loop.continue_process(victim)
        await task
        return seen

    assert simulate(main) == pytest.approx([1.0, 6.5, 7.5])


def test_work_of_an_executor_is_done_in_its_order_and_takes_time() -> None:
    async def main(loop: SimulationLoop) -> tuple[list[int], bool]:
        done: list[int] = []
        thread = object()
        began = loop.time()
        await asyncio.gather(*(loop.run_in_executor(thread, done.append, n) for n in range(20)))
        return done, loop.time() > began

    assert simulate(main) == (list(range(20)), True)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1024):
            writer.write(data)
    writer.close()


async def _serving(loop: SimulationLoop) -> Process:
    """A process on machine b that says back what it is told at port 7."""
    server = loop.process("server", "b")
    listening = loop.create_future()

    async def serve() -> None:
        await asyncio.start_server(_echo, "10.0.0.2", 7)
        listening.set_result(None)
        await loop.create_future()

    loop.spawn(server, serve())
    await listening
    return server


def test_bytes_arrive_in_order_over_the_streams_of_asyncio() -> None:
    async def main(loop: SimulationLoop) -> bytes:
        await _serving(loop)
        reader, writer = await asyncio.open_connection("10.0.0.2", 7)
        for number in range(100):
            writer.write(b"%d " % number)
        writer.write_eof()
        found = await reader.read()
        writer.close()
        return found

    assert simulate(main).split() == [b"%d" % number for number in range(100)]


def test_every_chunk_takes_the_time_of_its_link_also_behind_another() -> None:
    async def main(loop: SimulationLoop) -> list[float]:
        await _serving(loop)
        reader, writer = await asyncio.open_connection("10.0.0.2", 7)
        loop.network.shaped["a", "b"] = 0.05, 0.02
        sent: list[float] = []

        async def send() -> None:
            for _ in range(50):
                sent.append(loop.time())
                writer.write(b"x")
                await asyncio.sleep(0.01)

        sending = asyncio.ensure_future(send())
        took: list[float] = []
        while len(took) < 50:
            for _ in await reader.read(100):
                took.append(loop.time() - sent[len(took)])
        await sending
        writer.close()
        return took

    took = simulate(main)
    assert min(took) >= 0.03
    assert max(took) <= 0.075


def test_a_cut_holds_bytes_until_they_are_sent_again_and_refuses_nothing() -> None:
    async def main(loop: SimulationLoop) -> tuple[bool, float]:
        await _serving(loop)
        reader, writer = await asyncio.open_connection("10.0.0.2", 7)
        loop.network.cut |= {("a", "b")}
        writer.write(b"x")
        cut_at = loop.time()
        dialing = asyncio.ensure_future(asyncio.open_connection("10.0.0.2", 7))
        await asyncio.sleep(10)
        held = not dialing.done()
        loop.network.cut.clear()
        assert await reader.readexactly(1) == b"x"
        took = loop.time() - cut_at
        writer.close()
        dialing.cancel()
        return held, took

    held, took = simulate(main)
    assert held
    sent_again, pause = 0.0, RESEND_S
    while sent_again < 10:
        sent_again += pause
        pause *= 2
    assert took == pytest.approx(sent_again, abs=0.1)


def test_a_dead_server_ends_its_connections_and_refuses_new_ones() -> None:
    async def main(loop: SimulationLoop) -> bytes:
        server = await _serving(loop)
        reader, writer = await asyncio.open_connection("10.0.0.2", 7)
        loop.kill(server)
        rest = await reader.read()
        writer.close()
        with pytest.raises(ConnectionRefusedError, match=r"nobody listens at 10\.0\.0\.2:7"):
            await asyncio.open_connection("10.0.0.2", 7)
        return rest

    assert simulate(main) == b""


def test_whoever_does_not_read_stops_the_sender() -> None:
    async def main(loop: SimulationLoop) -> bool:
        process = loop.process("server", "b")
        listening = loop.create_future()

        async def serve() -> None:
            async def ignore(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.sleep(600)
                writer.close()

            await asyncio.start_server(ignore, "10.0.0.2", 7)
            listening.set_result(None)
            await loop.create_future()

        loop.spawn(process, serve())
        await listening
        _, writer = await asyncio.open_connection("10.0.0.2", 7)
        try:
            async with asyncio.timeout(60):
                while True:
                    writer.write(bytes(64 * 1024))
                    await writer.drain()
        except TimeoutError:
            writer.close()
            return True

    assert simulate(main)


def test_a_process_is_known_in_everything_that_it_begins() -> None:
    async def main(loop: SimulationLoop) -> str:
        seen = loop.create_future()

        def look() -> None:
            process = CURRENT.get()
            seen.set_result("" if process is None else process.name)

        async def begin() -> None:
            loop.call_later(1, look)

        await loop.spawn(loop.process("p", "b"), begin())
        return str(await seen)

    assert simulate(main) == "p"


def test_timers_of_one_moment_run_in_the_order_of_their_making() -> None:
    async def main(loop: SimulationLoop) -> list[int]:
        rang: list[int] = []
        timers = [loop.call_at(1.0, rang.append, number) for number in range(20)]
        timers[3].cancel()
        await asyncio.sleep(2)
        return rang

    assert simulate(main) == [number for number in range(20) if number != 3]
