"""Reads of several shards at one instant (docs/distributed.md, "Snapshot over shards"): all leaders
are asked to pin what they have behind a closed gate, then whether that gate held, and with that
question goes what is read from the pins. What they answer counts for nothing before all have said
that it held. Rows leave the nodes as those of any read.

What writes without pause, or too slowly, is in the way of an instant: `NoInstant`, and who asked
has to read in another way.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from nodes.client import Outcome as ClientOutcome
from nodes.protocol import (
    EVERY_SLOT,
    CloseCursor,
    CloseGate,
    ConfirmGate,
    Done,
    Guard,
    NotPinned,
    OpenGate,
    Pinned,
    Read,
    RequestBody,
    SqlFailure,
)
from shardrouter.delivery import Answer, Delivery, GaveUp
from shardrouter.errors import DeadlineExceeded, Unavailable
from shardrouter.execution import Command
from shardrouter.verdicts import sql_error, time_over

__all__ = ["Instant", "InstantCounts", "Instants", "NoInstant", "guards_of"]

TRIES: Final = 3
"""How often an instant is asked for."""

PAUSE_S: Final = 0.005
"""Before the second time, times a random factor; then twice as long."""

CONFIRM_S_MAX: Final = 2.0
"""For the word of a leader; one without a majority has none."""

TELL_S: Final = 5.0
"""For what needs no answer."""


class NoInstant(Unavailable):
    """The shards could not be read at one instant."""


@dataclass
class InstantCounts:
    """What became of those that were asked for."""

    taken: int = 0
    missed: int = 0


class Instants:
    """Of one router."""

    def __init__(self, delivery: Delivery, rng: random.Random) -> None:
        self._delivery = delivery
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self.counts = InstantCounts()

    async def pinned(
        self, guards: Mapping[str, tuple[Guard, ...]], deadline: float, tries: int = 0
    ) -> Instant:
        """What these groups have pinned, for what these guards touch, after so many tries in vain;
        whether that is one instant they are asked in the same turn of the loop (`Instant.holds`).
        Raises RouterError, NoInstant among them."""
        await self._leaders(guards, deadline)
        for count in range(tries, TRIES):
            if count:
                pause_s = PAUSE_S * 2**count * self._rng.uniform(0.5, 1.0)
                await asyncio.sleep(min(pause_s, max(0.0, deadline - self._loop.time())))
            id_ = self._rng.getrandbits(128).to_bytes(16, "big")
            pins = await self._try(id_, guards, deadline)
            if pins is not None:
                words = self._words(id_, pins, deadline)
                return Instant(self._delivery, self.counts, pins, words, count + 1)
            self.counts.missed += 1
        raise NoInstant("the shards could not be read at one instant")

    async def _leaders(self, groups: Iterable[str], deadline: float) -> None:
        """A gate that waits for a shard without a leader keeps others out for nothing: find all
        leaders first, as any read does."""
        reads = {
            group: Read((), quick=True) for group in groups if self._delivery.leader(group) is None
        }
        for group, answer in (await self._send(reads, deadline)).items():
            if isinstance(answer, GaveUp):
                raise time_over(group, answer.reason, answer.hint)

    async def _try(
        self, id_: bytes, guards: Mapping[str, tuple[Guard, ...]], deadline: float
    ) -> dict[str, Pinned] | None:
        closes = {group: CloseGate(id_, of_group) for group, of_group in guards.items()}
        pins: dict[str, Pinned] = {}
        try:
            for group, answer in (await self._send(closes, deadline)).items():
                match answer:
                    case Pinned():
                        pins[group] = answer
                    case NotPinned():
                        pass
                    case GaveUp(reason=reason, hint=hint):
                        raise time_over(group, reason, hint)
                    case SqlFailure():
                        raise sql_error(answer)
                    case _:
                        raise Unavailable(f"{group} answered with {type(answer).__name__}")
        finally:
            if len(pins) < len(guards):
                for group, pin in pins.items():
                    self._tell(group, pin, OpenGate(id_))
        return pins if len(pins) == len(guards) else None

    async def _send(self, bodies: Mapping[str, RequestBody], deadline: float) -> dict[str, Answer]:
        """Ask leaders, all at once."""
        futures: dict[str, asyncio.Future[Answer]] = {}
        sendings = []
        for group, body in bodies.items():
            future = futures[group] = self._loop.create_future()
            sendings.append(self._delivery.send(group, body, deadline, partial(_answered, future)))
        try:
            return {group: await future for group, future in futures.items()}
        except asyncio.CancelledError:
            for future in futures.values():
                future.cancel()
            for sending in sendings:
                sending.stop()
            raise

    def _words(self, id_: bytes, pins: Mapping[str, Pinned], deadline: float) -> _Words:
        timeout_s = min(CONFIRM_S_MAX, deadline - self._loop.time())
        futures: list[asyncio.Future[ClientOutcome]] = []
        for group, pin in pins.items():
            future: asyncio.Future[ClientOutcome] = self._loop.create_future()
            futures.append(future)
            ask = partial(self._delivery.ask, pin.node, group, ConfirmGate(id_), timeout_s)
            ask(partial(_resolve, future))
        return _Words(futures, deadline)

    def _tell(self, group: str, pin: Pinned, body: OpenGate) -> None:
        self._delivery.ask(pin.node, group, body, TELL_S, _nobody_waits)


def _answered(future: asyncio.Future[Answer], answer: Answer, _doubt: bool) -> None:
    if not future.done():
        future.set_result(answer)


def _resolve(future: asyncio.Future[ClientOutcome], outcome: ClientOutcome) -> None:
    if not future.done():
        future.set_result(outcome)


def guards_of(commands: Iterable[Command], *, whole: bool = False) -> dict[str, tuple[Guard, ...]]:
    """What commands touch on their shards, all of them together; `whole`: all of their tables."""
    found: dict[str, list[Command]] = {}
    for command in commands:
        found.setdefault(command.shard, []).append(command)
    return {shard: _touched(of_shard, whole=whole) for shard, of_shard in found.items()}


def _touched(commands: Sequence[Command], *, whole: bool) -> tuple[Guard, ...]:
    guards = dict.fromkeys(guard for command in commands for guard in command.guards)
    if whole or not all(map(_names_slots, commands)):
        guards[EVERY_SLOT] = None
    return tuple(guards)


def _names_slots(command: Command) -> bool:
    return any(guard.object.startswith("slot:") for guard in command.guards)


class _Words(NamedTuple):
    """Of leaders, each that its gate was never open, and that a quorum takes it for one since."""

    futures: list[asyncio.Future[ClientOutcome]]
    deadline: float

    async def are_good(self) -> bool:
        answers = [await future for future in self.futures]
        if asyncio.get_running_loop().time() >= self.deadline:
            raise DeadlineExceeded("canceling statement due to statement timeout")
        return all(isinstance(answer, Done) for answer in answers)


class Instant:
    """What some groups have pinned; one instant if that `holds`, before which nothing that was read
    of it may be told. To be closed. `tries`: how many it took."""

    def __init__(
        self,
        delivery: Delivery,
        counts: InstantCounts,
        pins: dict[str, Pinned],
        words: _Words,
        tries: int,
    ) -> None:
        self._delivery = delivery
        self._counts = counts
        self._pins = pins  # that nobody ends yet
        self._words: _Words | None = words
        self.tries = tries

    async def holds(self) -> bool:
        """Whether all was there at one instant. Raises DeadlineExceeded."""
        words = self._words
        if words is None:
            return True
        if await words.are_good():
            self._words = None
            self._counts.taken += 1
            return True
        self._counts.missed += 1
        return False

    def read(
        self,
        command: Command,
        timeout_s: float,
        done: Callable[[ClientOutcome, str], None],
        *,
        keeps: bool,
    ) -> Callable[[], None]:
        """Read a statement where its shard has pinned; `done` gets the answer, and the node that
        has the rest. Unless it `keeps` the pin nothing can be read of that shard any more. Returns
        what ends it early. Raises NoInstant if the shard has pinned nothing."""
        pin = self._pins.get(command.shard) if keeps else self._pins.pop(command.shard, None)
        if pin is None:
            raise NoInstant(f"{command.shard} has pinned nothing")
        read = Read((command.statement,), command.guards, stream=True, pin=pin.pin, keeps_pin=keeps)
        ended = partial(_ended, done, pin.node)
        self._delivery.ask(pin.node, command.shard, read, timeout_s, ended)
        return partial(self._end, command.shard, pin)

    def _end(self, shard: str, pin: Pinned) -> None:
        self._delivery.ask(pin.node, shard, CloseCursor(pin.pin), TELL_S, _nobody_waits)

    def close(self) -> None:
        """Nothing more will be read of it."""
        while self._pins:
            self._end(*self._pins.popitem())


def _ended(done: Callable[[ClientOutcome, str], None], node: str, outcome: ClientOutcome) -> None:
    done(outcome, node)


def _nobody_waits(_outcome: ClientOutcome) -> None:
    pass
